//! Writes a workflow into the folder: under a plain name, whole or not at all, and over nothing unasked.

use std::fs::{self, File};
use std::io::{self, Cursor, Write as _};
use std::path::{Path, PathBuf};
use std::sync::PoisonError;

use serde_json::Value;

use super::{Catalog, Live, Origin};

/// Of a name, in bytes.
const MAX_NAME: usize = 64;
/// The largest text with line breaks, in bytes: a document that is deeply nested is mostly indentation then.
const MAX_PRETTY: usize = 4 << 20;
/// Files of a folder that more are saved into.
const MAX_FILES: usize = 1000;

/// What is to be saved.
#[derive(Debug)]
pub(crate) struct Saving<'a> {
    /// As [`plain_name`] gives it.
    pub(crate) name: &'a str,
    /// The document.
    pub(crate) document: &'a Value,
    /// Who saves, where keys tell clients apart. What others wrote stays as it is then.
    pub(crate) client: Option<&'a str>,
    /// Whether a workflow of this name may be replaced.
    pub(crate) overwrite: bool,
}

/// Why nothing was saved.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SaveError {
    /// There is one of this name, and it wasn't to be replaced.
    #[error("there is a workflow `{0}` already; give another name, or `overwrite`")]
    Exists(String),
    /// It isn't the caller's.
    #[error("there is a workflow `{0}` already, which isn't yours; give another name")]
    NotYours(String),
    /// Another kind of file has the name.
    #[error("the folder has {0}, which would stand for the same name; give another name")]
    InTheWay(String),
    /// The folder has too many files.
    #[error("the workflow folder has {MAX_FILES} files, which is the most that more are saved into")]
    Full,
    /// The system refused.
    #[error("the workflow folder can't be written")]
    Io(#[from] io::Error),
}

/// A name under which a file can be saved, with or without `.json`; the error says what is wrong with it. It is no path:
/// whatever could lead out of the folder is refused.
pub(crate) fn plain_name(text: &str) -> Result<&str, String> {
    let name = text.strip_suffix(".json").unwrap_or(text);
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ' ' | '(' | ')');
    let ends_badly = |c: char| c == '.' || c == ' ';
    if name.is_empty() || name.len() > MAX_NAME {
        return Err(format!("a name has 1 to {MAX_NAME} bytes"));
    }
    // A lookup takes the ending off too, and would find another workflow.
    if ends_in_json(name) {
        return Err("a name has no `.json` at its end; leave it out".to_owned());
    }
    if !name.chars().all(plain) || name.starts_with(ends_badly) || name.ends_with(ends_badly) {
        return Err(
            "a name has letters, digits, `_`, `-`, and inside also points, spaces and brackets".to_owned()
        );
    }
    Ok(name)
}

fn ends_in_json(name: &str) -> bool {
    name.as_bytes().last_chunk::<5>().is_some_and(|ending| ending.eq_ignore_ascii_case(b".json"))
}

impl Live {
    /// Saves a workflow and reads it. Takes its time: not for the runtime's threads.
    pub(crate) fn save(&self, saving: &Saving<'_>) -> Result<(), SaveError> {
        self.refresh();
        {
            let _one = self.refreshing.lock().unwrap_or_else(PoisonError::into_inner);
            fs::create_dir_all(&self.folder)?;
            check(&self.current(), &self.folder, saving)?;
            write(&self.folder, saving)?;
        }
        self.refresh();
        Ok(())
    }
}

fn check(catalog: &Catalog, folder: &Path, saving: &Saving<'_>) -> Result<(), SaveError> {
    let name = saving.name;
    let of_name = |ending: &str| folder.join(format!("{name}.{ending}"));
    let is_there = |path: &PathBuf| path.symlink_metadata().is_ok();
    let entry = catalog.get(name);
    let known = entry.is_some() || catalog.broken().iter().any(|broken| broken.name == name);
    let (document, sidecar) = (is_there(&of_name("json")), is_there(&of_name("toml")));
    if let Some(other) = ["png", "webp"].iter().map(|ending| of_name(ending)).find(is_there) {
        return Err(SaveError::InTheWay(
            other.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        ));
    }
    if known || document || sidecar {
        if let Some(client) = saving.client {
            let saved_by = entry.filter(|entry| entry.origin == Origin::Saved);
            if saved_by.is_none_or(|entry| entry.descriptor.saved_by.as_deref() != Some(client)) {
                return Err(SaveError::NotYours(name.to_owned()));
            }
        }
        if !saving.overwrite {
            return Err(SaveError::Exists(name.to_owned()));
        }
    }
    if !document && fs::read_dir(folder)?.take(MAX_FILES).count() == MAX_FILES {
        return Err(SaveError::Full);
    }
    Ok(())
}

fn write(folder: &Path, saving: &Saving<'_>) -> Result<(), SaveError> {
    let document = text(saving.document)?;
    let sidecar = folder.join(format!("{}.toml", saving.name));
    let mut mine = None;
    if let Some(client) = saving.client.filter(|_| sidecar.symlink_metadata().is_err()) {
        // Before the document: it is the operator's without this.
        let owner = toml::Value::from(client);
        let text =
            format!("# Without this line the workflow counts as the operator's own.\nsaved_by = {owner}\n");
        replace(&sidecar, text.as_bytes())?;
        mine = Some(sidecar);
    }
    let written = replace(&folder.join(format!("{}.json", saving.name)), &document);
    if let (Err(_), Some(sidecar)) = (&written, mine) {
        let _ = fs::remove_file(sidecar);
    }
    Ok(written?)
}

/// The document for people to read, or without line breaks where that would be too long.
fn text(document: &Value) -> io::Result<Vec<u8>> {
    let mut pretty = vec![0; MAX_PRETTY];
    let mut room = Cursor::new(pretty.as_mut_slice());
    if serde_json::to_writer_pretty(&mut room, document).is_err() {
        return Ok(serde_json::to_vec(document)?);
    }
    let length = room.position() as usize;
    pretty.truncate(length);
    Ok(pretty)
}

/// Puts a whole file in the place of another. A symbolic link is replaced and not followed.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let beside = path.with_file_name(format!(".{name}.{}", uuid::Uuid::new_v4().simple()));
    let written = (|| {
        let mut file = File::create_new(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, path)
    })();
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written
}
