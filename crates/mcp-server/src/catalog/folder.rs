//! The files of `workflows_dir`: workflows, pictures that hold one, and their sidecars.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use serde_json::Value;
use workflow_analyzer::metadata;

use super::descriptor::{Descriptor, Fault, MAX_SIDECAR};
use super::{Catalog, Document, Entry, Origin};

/// The largest workflow file that is read, in bytes.
pub(super) const MAX_FILE: u64 = 16 << 20;
/// The largest picture that a workflow is looked for in, in bytes.
const MAX_PICTURE: u64 = 64 << 20;
/// More files than this are not looked at.
const MAX_FILES: usize = 10_000;
/// The endings of workflow files; of two files of one name the first is taken.
const ENDINGS: [&str; 3] = ["json", "png", "webp"];
const SIDECAR: &str = "toml";

/// What tells one version of the files of a workflow from another.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Stamps {
    document: Option<Stamp>,
    sidecar: Option<Stamp>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
    file: u64,
}

/// The files of one name.
#[derive(Default)]
struct Found {
    documents: Vec<PathBuf>,
    sidecar: Option<PathBuf>,
}

/// Adds the files of a folder. A file that can't be used leaves the version before it where it is.
pub(super) fn add(catalog: &mut Catalog, before: &Catalog, folder: &Path) {
    for (name, found) in files(folder) {
        let document = found.documents.first();
        let stamps = Stamps {
            document: document.and_then(|path| stamp(path)),
            sidecar: found.sidecar.as_deref().and_then(stamp),
        };
        let known = before.entries.get(&name).filter(|entry| entry.stamps != Stamps::default());
        if let Some(known) = known.filter(|known| known.stamps == stamps) {
            catalog.entries.insert(name, Arc::clone(known));
            continue;
        }
        match read(catalog, &name, &found, stamps) {
            Ok(Some(entry)) => catalog.add(entry),
            Ok(None) => {}
            Err(problem) => {
                // One that was taken away is not to be used.
                if let Some(known) = known.filter(|_| document.is_some()) {
                    catalog.refuse(&name, format!("{problem} (until then the version before it is used)"));
                    catalog.entries.insert(name, Arc::clone(known));
                } else {
                    catalog.refuse(&name, problem);
                }
            }
        }
    }
}

/// Reads a file and the sidecar beside it.
pub(super) fn open(path: &Path) -> Result<Entry, String> {
    let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let sidecar = Some(path.with_extension(SIDECAR)).filter(|sidecar| sidecar.is_file());
    let found = Found { documents: vec![path.to_owned()], sidecar };
    let entry = read(&Catalog::default(), &name, &found, Stamps::default())?;
    entry.ok_or_else(|| "it holds no workflow".to_owned())
}

/// The workflow of the files; `None` where it is a shipped one and nothing else.
fn read(catalog: &Catalog, name: &str, found: &Found, stamps: Stamps) -> Result<Option<Entry>, String> {
    let sidecar = found.sidecar.as_deref().map(|path| sidecar(name, path)).transpose()?;
    let descriptor = sidecar.unwrap_or_default();
    let shipped = catalog.get(name).and_then(|entry| match entry.document {
        Document::Shipped(text) => Some((text, entry.description.clone())),
        Document::Api(_) | Document::Editor(_) => None,
    });
    let json = match found.documents.as_slice() {
        [] => None,
        [path] => Some(document(path)?),
        [path, other, ..] => {
            return Err(format!("{} and {} have the same name; rename one", shown(path), shown(other)));
        }
    };
    let is_shipped = |json: &Value| {
        shipped
            .as_ref()
            .is_some_and(|(text, _)| serde_json::from_str::<Value>(text).is_ok_and(|own| own == *json))
    };
    // The folder of a checkout holds the shipped files themselves.
    if json.as_ref().is_none_or(is_shipped) {
        let Some((text, description)) = shipped else {
            return Err(format!(
                "there is {name}.{SIDECAR} and no {name}.json beside it; add it, or remove the first"
            ));
        };
        if descriptor == Descriptor::default() {
            return Ok(None);
        }
        let document = Document::Shipped(text);
        let description = descriptor.description.clone().or(description);
        let (name, descriptor) = (name.to_owned(), Arc::new(descriptor));
        return Ok(Some(Entry { name, description, origin: Origin::Shipped, descriptor, document, stamps }));
    }
    let document = Document::read(&json.unwrap_or_default())?;
    Ok(Some(Entry {
        name: name.to_owned(),
        description: descriptor.description.clone().or_else(|| descriptor.title.clone()),
        origin: if descriptor.saved_by.is_some() { Origin::Saved } else { Origin::File },
        descriptor: Arc::new(descriptor),
        document,
        stamps,
    }))
}

fn sidecar(name: &str, path: &Path) -> Result<Descriptor, String> {
    let bytes = bytes(path, MAX_SIDECAR).map_err(|problem| format!("{name}.{SIDECAR}: {problem}"))?;
    let text = std::str::from_utf8(&bytes).map_err(|_| format!("{name}.{SIDECAR} is not UTF-8 text"))?;
    // Some editors begin a file with a mark.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    Descriptor::parse(text).map_err(|fault| in_sidecar(name, &fault))
}

/// What is wrong with the sidecar of a workflow, and where.
pub(super) fn in_sidecar(name: &str, fault: &Fault) -> String {
    format!("{name}.{SIDECAR}, line {}: {}", fault.line, fault.problem)
}

fn document(path: &Path) -> Result<Value, String> {
    if path.extension().is_some_and(|ending| ending == "json") {
        let bytes = bytes(path, MAX_FILE)?;
        return serde_json::from_slice(&bytes).map_err(|error| format!("it is not JSON: {error}"));
    }
    let found = metadata::read(&bytes(path, MAX_PICTURE)?).map_err(|error| error.to_string())?;
    found.into_document().ok_or_else(|| "it holds no workflow".to_owned())
}

/// The bytes of a file, which may grow while it is read.
fn bytes(path: &Path, limit: u64) -> Result<Vec<u8>, String> {
    let cant = |error: std::io::Error| format!("it can't be read: {error}");
    let file = std::fs::File::open(path).map_err(cant)?;
    let length = file.metadata().map_err(cant)?.len();
    if length > limit {
        return Err(format!("it is {length} bytes long, and at most {limit} are read"));
    }
    let mut bytes = Vec::with_capacity(length as usize);
    file.take(limit).read_to_end(&mut bytes).map_err(cant)?;
    Ok(bytes)
}

/// The files by name.
fn files(folder: &Path) -> BTreeMap<String, Found> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            tracing::debug!(folder = %folder.display(), "there is no workflow folder; the shipped ones are used");
            return BTreeMap::new();
        }
        Err(error) => {
            tracing::warn!(folder = %folder.display(), %error, "the workflow folder can't be read");
            return BTreeMap::new();
        }
    };
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    let mut files: BTreeMap<String, Found> = BTreeMap::new();
    for path in paths.into_iter().take(MAX_FILES) {
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        let is_document = ENDINGS.contains(&ending);
        if (!is_document && ending != SIDECAR) || shown(&path).starts_with('.') || !path.is_file() {
            continue;
        }
        let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let found = files.entry(name).or_default();
        if is_document {
            found.documents.push(path);
        } else {
            found.sidecar = Some(path);
        }
    }
    files
}

fn shown(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = path.metadata().ok()?;
    #[cfg(unix)]
    let file = std::os::unix::fs::MetadataExt::ino(&metadata);
    #[cfg(not(unix))]
    let file = 0;
    Some(Stamp { modified: metadata.modified().ok(), length: metadata.len(), file })
}
