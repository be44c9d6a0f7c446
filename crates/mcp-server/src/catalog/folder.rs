//! The files of `workflows_dir`.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{Catalog, Document, Entry, Origin};

/// The largest workflow file that is read, in bytes.
pub(super) const MAX_FILE: u64 = 16 << 20;
/// More files than this are not looked at.
const MAX_FILES: usize = 10_000;

/// Adds the files of a folder.
pub(super) fn add(catalog: &mut Catalog, folder: &Path) {
    for path in files(folder) {
        let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let read = read(&path).and_then(|json| Ok((Document::read(&json)?, json)));
        match read {
            Ok((document, json)) if !is_shipped(catalog, &name, &json) => {
                let entry = Entry { name, description: None, origin: Origin::File, document };
                catalog.add(entry);
            }
            // The folder of a checkout holds the shipped files themselves.
            Ok(_) => {}
            Err(problem) => catalog.refuse(&name, problem),
        }
    }
}

fn is_shipped(catalog: &Catalog, name: &str, json: &Value) -> bool {
    let shipped = catalog.get(name).map(|entry| &entry.document);
    matches!(shipped, Some(Document::Shipped(text)) if serde_json::from_str::<Value>(text).is_ok_and(|shipped| shipped == *json))
}

/// The workflow files by name.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            tracing::debug!(folder = %folder.display(), "there is no workflow folder; the shipped ones are used");
            return Vec::new();
        }
        Err(error) => {
            tracing::warn!(folder = %folder.display(), %error, "the workflow folder can't be read");
            return Vec::new();
        }
    };
    let is_workflow = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "json");
    let mut files: Vec<_> = entries.flatten().map(|entry| entry.path()).filter(is_workflow).collect();
    files.truncate(MAX_FILES);
    files.retain(|path| path.is_file());
    files.sort();
    files
}

/// The JSON of a file, which may grow while it is read.
fn read(path: &Path) -> Result<Value, String> {
    let cant = |error: std::io::Error| format!("it can't be read: {error}");
    let file = std::fs::File::open(path).map_err(cant)?;
    let length = file.metadata().map_err(cant)?.len();
    if length > MAX_FILE {
        return Err(format!("it is {length} bytes long, and at most {MAX_FILE} are read"));
    }
    let mut bytes = Vec::with_capacity(length as usize);
    file.take(MAX_FILE).read_to_end(&mut bytes).map_err(cant)?;
    serde_json::from_slice(&bytes).map_err(|error| format!("it is not JSON: {error}"))
}
