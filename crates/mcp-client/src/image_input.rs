//! Images that go to the server: an artifact it already has, or bytes as a `data:` URI.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

/// The largest image that is sent. Base64 makes it a third larger on the way.
pub const MAX_IMAGE_BYTES: u64 = 20 * 1024 * 1024;

/// An image in the form that the tools take: an artifact id, a `comfy://artifacts/{id}` URI, or a `data:`
/// URI.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct ImageInput(String);

impl std::fmt::Debug for ImageInput {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let start: String = self.0.chars().take(48).collect();
        write!(f, "ImageInput({start:?}, {} bytes)", self.0.len())
    }
}

impl ImageInput {
    /// An image that the server already has: the id, or `comfy://artifacts/{id}`.
    pub fn artifact(id_or_uri: impl Into<String>) -> ImageInput {
        ImageInput(id_or_uri.into())
    }

    /// The bytes of a PNG, JPEG or WebP file.
    pub fn from_bytes(bytes: &[u8]) -> Result<ImageInput, ImageInputError> {
        if bytes.len() as u64 > MAX_IMAGE_BYTES {
            return Err(ImageInputError::TooLarge { path: None, bytes: bytes.len() as u64 });
        }
        let media_type = media_type_of(bytes).ok_or(ImageInputError::NotAnImage { path: None })?;
        Ok(ImageInput(format!("data:{media_type};base64,{}", STANDARD.encode(bytes))))
    }

    /// Reads a PNG, JPEG or WebP file. Its size is looked at before it is read.
    pub async fn from_file(path: &Path) -> Result<ImageInput, ImageInputError> {
        let cannot_read = |source| ImageInputError::Read { path: path.to_owned(), source };
        let about = tokio::fs::metadata(path).await.map_err(cannot_read)?;
        if about.len() > MAX_IMAGE_BYTES {
            return Err(ImageInputError::TooLarge { path: Some(path.to_owned()), bytes: about.len() });
        }
        let bytes = tokio::fs::read(path).await.map_err(cannot_read)?;
        ImageInput::from_bytes(&bytes).map_err(|error| match error {
            ImageInputError::NotAnImage { .. } => ImageInputError::NotAnImage { path: Some(path.to_owned()) },
            ImageInputError::TooLarge { bytes, .. } => {
                ImageInputError::TooLarge { path: Some(path.to_owned()), bytes }
            }
            other @ ImageInputError::Read { .. } => other,
        })
    }

    /// The text that is sent.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why an image can't be sent.
#[derive(Debug, thiserror::Error)]
pub enum ImageInputError {
    /// The file can't be read.
    #[error("can't read the image {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// More than [`MAX_IMAGE_BYTES`].
    #[error(
        "{} has {}, more than the {} that can be sent",
        name(path.as_deref()),
        megabytes(*bytes),
        megabytes(MAX_IMAGE_BYTES)
    )]
    TooLarge {
        /// The file, if it is one.
        path: Option<PathBuf>,
        /// Its size.
        bytes: u64,
    },
    /// Neither PNG nor JPEG nor WebP.
    #[error("{} is not a PNG, JPEG or WebP image", name(path.as_deref()))]
    NotAnImage {
        /// The file, if it is one.
        path: Option<PathBuf>,
    },
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / f64::from(1 << 20))
}

fn name(path: Option<&Path>) -> String {
    path.map_or_else(|| "the image".to_owned(), |path| path.display().to_string())
}

/// The media type that the first bytes of a PNG, JPEG or WebP file tell.
pub fn media_type_of(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a, ..] => Some("image/png"),
        [0xff, 0xd8, 0xff, ..] => Some("image/jpeg"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some("image/webp"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_is_told_from_the_bytes() {
        let cases: [(&[u8], &str); 3] = [
            (b"\x89PNG\r\n\x1a\nrest", "data:image/png;base64,"),
            (b"\xff\xd8\xff\xe0rest", "data:image/jpeg;base64,"),
            (b"RIFF\0\0\0\0WEBPrest", "data:image/webp;base64,"),
        ];
        for (bytes, start) in cases {
            assert!(ImageInput::from_bytes(bytes).unwrap().as_str().starts_with(start));
        }
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_sent_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let text = folder.path().join("notes.txt");
        std::fs::write(&text, "no image").unwrap();
        let large = folder.path().join("large.png");
        std::fs::File::create(&large).unwrap().set_len(MAX_IMAGE_BYTES + 1).unwrap();
        let cases = [
            (text, "notes.txt is not a PNG, JPEG or WebP image"),
            (large, "large.png has 20.0 MB, more than the 20.0 MB that can be sent"),
            (folder.path().join("none.png"), "none.png"),
        ];
        for (path, expected) in cases {
            let error = ImageInput::from_file(&path).await.unwrap_err().to_string();
            assert!(error.ends_with(expected), "{error}");
        }
    }
}
