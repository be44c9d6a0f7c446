//! The data folder: input, output and temp, and the names in requests, which never lead out of it.

use std::{
    fs, io,
    path::{Component, Path, PathBuf},
};

use tempfile::TempDir;

/// A folder that a request may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Input,
    Output,
    Temp,
}

impl Kind {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text {
            "input" => Some(Self::Input),
            "output" => Some(Self::Output),
            "temp" => Some(Self::Temp),
            _ => None,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Output => "output",
            Self::Temp => "temp",
        }
    }
}

/// The three folders on disk.
#[derive(Debug)]
pub(crate) struct DataDir {
    root: PathBuf,
    /// Removes the folder when it is one of our own.
    _temporary: Option<TempDir>,
}

impl DataDir {
    /// Uses this folder, or makes one that is removed when this value is dropped.
    pub(crate) fn open(path: Option<&Path>) -> Result<Self, (PathBuf, io::Error)> {
        let (root, temporary) = if let Some(path) = path {
            (path.to_owned(), None)
        } else {
            let temporary = tempfile::Builder::new().prefix("comfy-sandbox-").tempdir();
            let temporary = temporary.map_err(|source| (std::env::temp_dir(), source))?;
            (temporary.path().to_owned(), Some(temporary))
        };
        for kind in [Kind::Input, Kind::Output, Kind::Temp] {
            let folder = root.join(kind.name());
            fs::create_dir_all(&folder).map_err(|source| (folder, source))?;
        }
        Ok(Self { root, _temporary: temporary })
    }

    pub(crate) fn folder(&self, kind: Kind) -> PathBuf {
        self.root.join(kind.name())
    }

    /// Where `subfolder/name` lies, or `None` when it would be outside of the folder.
    pub(crate) fn resolve(&self, kind: Kind, subfolder: &str, name: &str) -> Option<PathBuf> {
        let relative = normalise(Path::new(subfolder))?.join(name);
        let relative = normalise(&relative)?;
        Some(self.folder(kind).join(relative))
    }

    /// Where a name as LoadImage takes it lies: `subfolder/name`, perhaps with ` [output]` behind it.
    pub(crate) fn resolve_annotated(&self, annotated: &str) -> Option<PathBuf> {
        let (name, kind) = annotation(annotated);
        self.resolve(kind.unwrap_or(Kind::Input), "", name).filter(|path| path.is_file())
    }

    /// The names of the image files at the top of the input folder, sorted: the options of LoadImage.
    pub(crate) fn input_images(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.folder(Kind::Input)) else { return Vec::new() };
        let mut names: Vec<String> = entries
            .filter_map(Result::ok)
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()))
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| media_type(name).starts_with("image/"))
            .collect();
        names.sort();
        names
    }
}

/// Splits ` [input]`, ` [output]` or ` [temp]` off a name.
pub(crate) fn annotation(name: &str) -> (&str, Option<Kind>) {
    for kind in [Kind::Input, Kind::Output, Kind::Temp] {
        if let Some(name) = name.strip_suffix(&format!("[{}]", kind.name())) {
            return (name.strip_suffix(' ').unwrap_or(name), Some(kind));
        }
    }
    (name, None)
}

/// The media type that the end of a file name stands for.
pub(crate) fn media_type(name: &str) -> &'static str {
    let extension = Path::new(name).extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    match extension.to_ascii_lowercase().as_str() {
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "gif" => "image/gif",
        "bmp" => "image/bmp",
        "tif" | "tiff" => "image/tiff",
        "txt" => "text/plain",
        "json" => "application/json",
        "mp4" => "video/mp4",
        "flac" => "audio/flac",
        _ => "application/octet-stream",
    }
}

/// Takes `.` and `..` out of a relative path; `None` when it is absolute or leads out.
pub(crate) fn normalise(path: &Path) -> Option<PathBuf> {
    let mut out = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(part) if part.as_encoded_bytes().contains(&0) => return None,
            Component::Normal(part) => out.push(part),
            Component::CurDir => {}
            Component::ParentDir => {
                if !out.pop() {
                    return None;
                }
            }
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leads_out_of_the_folder() {
        let data = DataDir::open(None).unwrap();
        let root = data.folder(Kind::Input);
        let inside = [("", "a.png", "a.png"), ("x/y", "a.png", "x/y/a.png"), ("x/../y", "a.png", "y/a.png")];
        for (subfolder, name, expected) in inside {
            assert_eq!(
                data.resolve(Kind::Input, subfolder, name),
                Some(root.join(expected)),
                "{subfolder}/{name}"
            );
        }
        let outside = [
            ("..", "a"),
            ("", "../a"),
            ("/etc", "passwd"),
            ("x", "../../a"),
            ("", "/etc/passwd"),
            ("", "a\0"),
        ];
        for (subfolder, name) in outside {
            assert_eq!(data.resolve(Kind::Input, subfolder, name), None, "{subfolder}/{name}");
        }
        assert_eq!(data.resolve_annotated("../output/x.png"), None);
    }

    #[test]
    fn a_folder_of_its_own_goes_with_it() {
        let data = DataDir::open(None).unwrap();
        let root = data.root.clone();
        assert!(root.join("output").is_dir());
        drop(data);
        assert!(!root.exists());
    }

    #[test]
    fn reads_annotations() {
        assert_eq!(annotation("a.png [output]"), ("a.png", Some(Kind::Output)));
        assert_eq!(annotation("a.png"), ("a.png", None));
    }
}
