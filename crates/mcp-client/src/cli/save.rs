//! Images into files: whole or not at all, and nothing is replaced but the file that was named.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use mcp_client::Artifact;

/// Free names that are tried before giving up.
const MAX_NUMBER: u32 = 100_000;

/// Why a file can't be written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SaveError {
    #[error("can't write {}", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("the folder {} does not exist", folder.display())]
    NoFolder { folder: PathBuf },
}

/// Where the images of one command go.
#[derive(Debug)]
pub(super) struct Destination {
    /// Given by the user.
    output: PathBuf,
    is_folder: bool,
    saved: u32,
}

impl Destination {
    /// Looks whether files can go there, so that nobody waits for an image that has no place.
    pub(super) fn new(output: &Path) -> Result<Destination, SaveError> {
        let is_folder = output.is_dir();
        let folder = if is_folder { output } else { folder_of(output) };
        if !folder.is_dir() || output.to_string_lossy().ends_with(std::path::MAIN_SEPARATOR) && !is_folder {
            let folder = if folder.is_dir() { output } else { folder };
            return Err(SaveError::NoFolder { folder: folder.to_owned() });
        }
        Ok(Destination { output: output.to_owned(), is_folder, saved: 0 })
    }

    /// Writes the next image and tells where it is. The first one takes the name that was given; a name that
    /// was made up here is never one that exists.
    pub(super) fn save(&mut self, artifact: &Artifact, bytes: &[u8]) -> Result<PathBuf, SaveError> {
        self.saved += 1;
        let extension = extension_of(&artifact.media_type);
        if self.is_folder {
            let name = safe_name(&artifact.file_name, extension);
            return write_new(&self.output.join(name), 1, bytes);
        }
        let mut path = self.output.clone();
        if path.extension().is_none()
            && let Some(extension) = extension
        {
            path.set_extension(extension);
        }
        if self.saved == 1 {
            write(&path, Existing::Replace, bytes)
        } else {
            write_new(&path, self.saved, bytes)
        }
    }
}

/// The folder that a file is in.
fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[derive(Clone, Copy)]
enum Existing {
    Replace,
    Keep,
}

/// Writes to `path` with a number, the first free one from `number` on; 1 is `path` itself.
fn write_new(path: &Path, number: u32, bytes: &[u8]) -> Result<PathBuf, SaveError> {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let extension = path.extension().map(|extension| extension.to_string_lossy().into_owned());
    for number in number..MAX_NUMBER {
        let mut name = if number == 1 { stem.clone() } else { format!("{stem}-{number}") };
        if let Some(extension) = &extension {
            name = format!("{name}.{extension}");
        }
        let candidate = path.with_file_name(name);
        match write(&candidate, Existing::Keep, bytes) {
            Err(SaveError::Write { source, .. }) if source.kind() == std::io::ErrorKind::AlreadyExists => {}
            result => return result,
        }
    }
    Err(SaveError::Write { path: path.to_owned(), source: std::io::ErrorKind::AlreadyExists.into() })
}

fn write(path: &Path, existing: Existing, bytes: &[u8]) -> Result<PathBuf, SaveError> {
    let failed = |source| SaveError::Write { path: path.to_owned(), source };
    let mut file = new_file(folder_of(path)).map_err(failed)?;
    file.write_all(bytes).map_err(failed)?;
    match existing {
        Existing::Replace => file.persist(path),
        Existing::Keep => file.persist_noclobber(path),
    }
    .map_err(|error| failed(error.error))?;
    Ok(path.to_owned())
}

/// A temporary file beside the last one, with the rights that a new file has here.
fn new_file(folder: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".mcp-client-");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(folder)
}

/// The server's name for a file, cut to what may be a name in a folder.
fn safe_name(name: &str, extension: Option<&str>) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let kept =
        last.chars().filter(|c| !c.is_control() && !matches!(c, ':' | '*' | '?' | '"' | '<' | '>' | '|'));
    let kept: String = kept.take(120).collect();
    let kept = kept.trim_matches(['.', ' ']);
    match (kept.is_empty(), extension) {
        (false, _) => kept.to_owned(),
        (true, Some(extension)) => format!("image.{extension}"),
        (true, None) => "image".to_owned(),
    }
}

fn extension_of(media_type: &str) -> Option<&'static str> {
    Some(match media_type {
        "image/png" => "png",
        "image/jpeg" => "jpg",
        "image/webp" => "webp",
        "image/gif" => "gif",
        "video/mp4" => "mp4",
        "audio/flac" => "flac",
        "text/plain" => "txt",
        _ => return None,
    })
}

/// True when a file's name says another kind than what is in it.
pub(super) fn misnamed(path: &Path, media_type: &str) -> bool {
    let named = path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
    match (named.as_deref(), extension_of(media_type)) {
        (Some("jpeg"), Some("jpg")) => false,
        (Some(named), Some(is)) => named != is && matches!(named, "png" | "jpg" | "jpeg" | "webp" | "gif"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn artifact(file_name: &str) -> Artifact {
        Artifact {
            id: "a".to_owned(),
            uri: "comfy://artifacts/a".to_owned(),
            url: None,
            media_type: "image/png".to_owned(),
            width: None,
            height: None,
            bytes: 1,
            file_name: file_name.to_owned(),
        }
    }

    fn files(folder: &Path) -> Vec<(String, String)> {
        let mut found: Vec<(String, String)> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap())
            .map(|entry| {
                (entry.file_name().into_string().unwrap(), std::fs::read_to_string(entry.path()).unwrap())
            })
            .collect();
        found.sort();
        found
    }

    #[test]
    fn only_the_named_file_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("dog.png"), "old").unwrap();
        std::fs::write(folder.path().join("dog-2.png"), "keep").unwrap();
        let mut to = Destination::new(&folder.path().join("dog.png")).unwrap();
        for text in ["one", "two", "three"] {
            to.save(&artifact("x.png"), text.as_bytes()).unwrap();
        }
        let expected =
            [("dog-2.png", "keep"), ("dog-3.png", "two"), ("dog-4.png", "three"), ("dog.png", "one")];
        assert_eq!(files(folder.path()), expected.map(|(name, text)| (name.to_owned(), text.to_owned())));
    }

    #[test]
    fn a_folder_takes_images_under_their_own_names() {
        let folder = tempfile::tempdir().unwrap();
        let mut to = Destination::new(folder.path()).unwrap();
        for name in ["fox.png", "fox.png", "../../etc/passwd", "..", ""] {
            to.save(&artifact(name), b"x").unwrap();
        }
        let names: Vec<String> = files(folder.path()).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["fox-2.png", "fox.png", "image-2.png", "image.png", "passwd"]);
    }

    #[test]
    fn a_name_without_an_extension_gets_one() {
        let folder = tempfile::tempdir().unwrap();
        let mut to = Destination::new(&folder.path().join("fox")).unwrap();
        assert_eq!(to.save(&artifact("x"), b"x").unwrap(), folder.path().join("fox.png"));
        assert!(misnamed(Path::new("x.JPG"), "image/png") && !misnamed(Path::new("x.jpeg"), "image/jpeg"));
    }

    #[test]
    fn a_folder_that_is_not_there_is_told_at_once() {
        let folder = tempfile::tempdir().unwrap();
        for output in ["none/dog.png", "none/"] {
            let error = Destination::new(&folder.path().join(output)).unwrap_err().to_string();
            assert!(error.contains("none") && error.ends_with("does not exist"), "{error}");
        }
    }
}
