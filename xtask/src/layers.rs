//! `cargo xtask layers`: holds the arrows and absences of docs/ARCHITECTURE.md.

use std::process::ExitCode;

use anyhow::Result;

use crate::root::Root;

mod check;
mod rules;
mod sources;
#[cfg(test)]
mod tests;
mod workspace;

/// Prints what breaks a rule, with the reason for the rule, and fails if anything does.
pub(crate) fn run() -> Result<ExitCode> {
    let root = Root::find()?;
    let workspace = workspace::read(&root.dir)?;
    let mut broken = check::check(&workspace);
    broken.extend(sources::forbidden_words(&root.dir)?);

    for name in check::unused_shared(&workspace) {
        println!("warning: no crate takes `{name}` of [workspace.dependencies]; remove the line");
    }
    for (file, lines) in sources::long_files(&root.dir)? {
        println!(
            "warning: {file} has {lines} lines; a file has one subject and at most {}",
            sources::MAX_LINES
        );
    }
    for violation in &broken {
        println!("error: {}\n       why not: {}", violation.what, violation.why);
    }
    println!("layers: {} crates checked, {} violations", workspace.crates.len(), broken.len());
    Ok(if broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
