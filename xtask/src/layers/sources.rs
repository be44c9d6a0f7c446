//! What only the sources show: words that must not be there, and files that have grown too long.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use super::{
    check::Violation,
    rules::{FORBIDDEN_WORDS, ForbiddenWord},
};

/// Above this a file is listed, unless it holds tests.
pub(crate) const MAX_LINES: usize = 500;

/// The places where a forbidden word stands.
pub(crate) fn forbidden_words(root: &Path) -> Result<Vec<Violation>> {
    let mut broken = Vec::new();
    for rule in FORBIDDEN_WORDS {
        for file in rust_files(&root.join(rule.folder))? {
            let text = read(&file)?;
            let name = relative(root, &file);
            broken.extend(lines_with(rule, &text).map(|line| Violation {
                what: format!("{name}:{line} names `{}`", rule.word),
                why: rule.why,
            }));
        }
    }
    Ok(broken)
}

/// The numbers, from 1, of the lines that hold the word.
pub(crate) fn lines_with(rule: &ForbiddenWord, text: &str) -> impl Iterator<Item = usize> {
    text.lines()
        .enumerate()
        .filter(|(_, line)| line.to_ascii_lowercase().contains(rule.word))
        .map(|(index, _)| index + 1)
}

/// Files over the limit with their number of lines, the longest first.
pub(crate) fn long_files(root: &Path) -> Result<Vec<(String, usize)>> {
    let mut long = Vec::new();
    for folder in ["crates", "xtask/src"] {
        for file in rust_files(&root.join(folder))? {
            let name = relative(root, &file);
            let lines = read(&file)?.lines().count();
            if lines > MAX_LINES && !holds_tests(&name) {
                long.push((name, lines));
            }
        }
    }
    long.sort_by_key(|(name, lines)| (std::cmp::Reverse(*lines), name.clone()));
    Ok(long)
}

/// Whether a path (with `/`) is that of a test: `tests.rs`, or anything under a folder `tests`.
pub(crate) fn holds_tests(path: &str) -> bool {
    path.ends_with("tests.rs") || path.contains("/tests/")
}

fn relative(root: &Path, file: &Path) -> String {
    file.strip_prefix(root).unwrap_or(file).to_string_lossy().replace('\\', "/")
}

fn read(file: &Path) -> Result<String> {
    fs::read_to_string(file).with_context(|| format!("could not read {}", file.display()))
}

/// All `.rs` files below a folder, in the order of their names.
fn rust_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let entries = fs::read_dir(folder).with_context(|| format!("could not read {}", folder.display()))?;
    for entry in entries {
        let path = entry.with_context(|| format!("could not read {}", folder.display()))?.path();
        if path.is_dir() {
            files.extend(rust_files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
