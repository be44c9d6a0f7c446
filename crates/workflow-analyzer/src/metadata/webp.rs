//! WebP: EXIF tags whose texts begin with `prompt:` and `workflow:`, as ComfyUI's `SaveAnimatedWEBP` writes them.

use super::{Found, Metadata, MetadataError, key};

/// More entries of a directory than this are not looked at.
const MAX_ENTRIES: usize = 512;
/// The type of a text.
const ASCII: u16 = 2;

/// What follows the header of a WebP file.
pub(super) fn chunks(bytes: &[u8]) -> Option<&[u8]> {
    let body = bytes.strip_prefix(b"RIFF")?.get(4..)?;
    body.strip_prefix(b"WEBP")
}

pub(super) fn read(mut chunks: &[u8]) -> Result<Metadata, MetadataError> {
    while let Some((head, rest)) = chunks.split_first_chunk::<8>() {
        let length = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
        let data = &rest[..length.min(rest.len())];
        if head.starts_with(b"EXIF") {
            return exif(data.strip_prefix(b"Exif\0\0").unwrap_or(data));
        }
        // Chunks begin at even places.
        chunks = rest.get(length.saturating_add(length % 2)..).unwrap_or_default();
    }
    Ok(Metadata::default())
}

/// A TIFF directory, in the order of bytes that it says.
struct Tiff<'a> {
    bytes: &'a [u8],
    big_endian: bool,
}

fn exif(bytes: &[u8]) -> Result<Metadata, MetadataError> {
    let mut found = Found::default();
    let big_endian = match bytes.get(..2) {
        Some(b"MM") => true,
        Some(b"II") => false,
        _ => return Ok(found.metadata),
    };
    let tiff = Tiff { bytes, big_endian };
    let Some(directory) = tiff.long(4) else { return Ok(found.metadata) };
    let entries = tiff.short(directory).map_or(0, usize::from).min(MAX_ENTRIES);
    for entry in 0..entries {
        let Some(text) = tiff.text(directory.saturating_add(2 + 12 * entry)) else { continue };
        let Some(colon) = text.iter().take(16).position(|byte| *byte == b':') else { continue };
        if let Some(key) = key(&text[..colon]) {
            found.put(key, &text[colon + 1..])?;
        }
    }
    Ok(found.metadata)
}

impl<'a> Tiff<'a> {
    /// The text of an entry: tag, type, count, and where it is.
    fn text(&self, entry: usize) -> Option<&'a [u8]> {
        let (kind, count) = (self.short(entry.checked_add(2)?)?, self.long(entry.checked_add(4)?)?);
        if kind != ASCII || count <= 4 {
            return None;
        }
        let start = self.long(entry.checked_add(8)?)?;
        let text = self.bytes.get(start..start.checked_add(count)?)?;
        let end = text.iter().rposition(|byte| *byte != 0)?;
        Some(&text[..=end])
    }

    fn short(&self, at: usize) -> Option<u16> {
        let bytes = *self.bytes.get(at..)?.first_chunk()?;
        Some(if self.big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    }

    fn long(&self, at: usize) -> Option<usize> {
        let bytes = *self.bytes.get(at..)?.first_chunk()?;
        let number = if self.big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) };
        usize::try_from(number).ok()
    }
}
