//! The workflow that ComfyUI wrote into a picture: text chunks of a PNG, EXIF of a WebP, or a JSON document.
//!
//! Nothing is decoded but the text, checksums aren't looked at, and of a file that is cut off what is there is read.

mod strip;
#[cfg(test)]
mod tests;
mod webp;

use std::io::Read as _;

use flate2::read::ZlibDecoder;
use serde_json::{Map, Value};
use thiserror::Error;

pub use strip::PngStripper;

/// A text longer than this, also when it is decompressed, is not read, in bytes: ten times the largest graphs.
const MAX_TEXT: usize = 16 << 20;

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";

/// What was found in a file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metadata {
    /// The graph that ran, in the API format.
    pub prompt: Option<Value>,
    /// The workflow as the editor has it.
    pub workflow: Option<Value>,
}

/// Why a file gives no workflow.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum MetadataError {
    /// Neither PNG nor WebP nor JSON.
    #[error("it is neither a PNG nor a WebP image nor JSON")]
    UnknownFormat,
    /// A picture without a workflow: not made by ComfyUI, or saved without metadata or again by another program.
    #[error(
        "the image holds no workflow; ComfyUI writes one into what it saves, and other programs take it out"
    )]
    NoWorkflow,
    /// The text of a workflow isn't JSON.
    #[error("the {key} in it is not JSON: {reason}")]
    NotJson {
        /// `prompt`, `workflow` or `document`.
        key: &'static str,
        /// What the parser said.
        reason: String,
    },
    /// The text of a workflow is longer than is read.
    #[error("the {key} in it is longer than {MAX_TEXT} bytes")]
    TooLong {
        /// `prompt` or `workflow`.
        key: &'static str,
    },
}

impl Metadata {
    /// The graph that ran, or else the editor's document.
    pub fn into_document(self) -> Option<Value> {
        self.prompt.or(self.workflow)
    }
}

/// Finds the workflow in the bytes of a file, in time and memory linear in its size.
pub fn read(bytes: &[u8]) -> Result<Metadata, MetadataError> {
    let found = if let Some(chunks) = bytes.strip_prefix(PNG) {
        png(chunks)?
    } else if let Some(chunks) = webp::chunks(bytes) {
        webp::read(chunks)?
    } else if bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{') {
        document(json("document", bytes)?)
    } else {
        return Err(MetadataError::UnknownFormat);
    };
    if found == Metadata::default() { Err(MetadataError::NoWorkflow) } else { Ok(found) }
}

/// Which of both a JSON document is; one that has both under their names is what some nodes save beside a video.
fn document(document: Value) -> Metadata {
    let Value::Object(mut members) = document else { return Metadata::default() };
    let is_plain = |members: &Map<String, Value>, key: &str| {
        members.get(key).and_then(Value::as_object).is_some_and(|inner| !inner.contains_key("class_type"))
    };
    let prompt = is_plain(&members, "prompt").then(|| members.remove("prompt")).flatten();
    let workflow = is_plain(&members, "workflow").then(|| members.remove("workflow")).flatten();
    if prompt.is_some() || workflow.is_some() {
        return Metadata { prompt, workflow };
    }
    if members.get("nodes").is_some_and(Value::is_array) {
        return Metadata { prompt: None, workflow: Some(Value::Object(members)) };
    }
    Metadata { prompt: Some(Value::Object(members)), workflow: None }
}

fn png(mut chunks: &[u8]) -> Result<Metadata, MetadataError> {
    let mut found = Found::default();
    while let Some((head, rest)) = chunks.split_first_chunk::<8>() {
        let (length, kind) = head.split_at(4);
        let length = u32::from_be_bytes([length[0], length[1], length[2], length[3]]) as usize;
        let Some(data) = rest.get(..length) else { break };
        match kind {
            b"tEXt" => found.take(data, |text| Ok(text.to_vec()))?,
            b"zTXt" => found.take(data, |text| inflated(text.get(1..).unwrap_or_default()))?,
            b"iTXt" => found.take(data, international)?,
            b"IEND" => break,
            _ => {}
        }
        // After the data comes a checksum.
        chunks = rest.get(length.saturating_add(4)..).unwrap_or_default();
    }
    Ok(found.metadata)
}

/// Too long a text, of a key that the caller knows.
struct TooLong;

/// What was found so far. The first text of a key counts, whatever it is: to read further ones could take without end.
#[derive(Default)]
struct Found {
    metadata: Metadata,
    seen: Vec<&'static str>,
}

impl Found {
    /// Keeps the text of a chunk `keyword NUL …` if it is one of the two.
    fn take(
        &mut self,
        chunk: &[u8],
        text: impl Fn(&[u8]) -> Result<Vec<u8>, TooLong>,
    ) -> Result<(), MetadataError> {
        // A keyword has at most 79 bytes (PNG, 11.3.3).
        let head = &chunk[..chunk.len().min(80)];
        let Some(end) = head.iter().position(|byte| *byte == 0) else { return Ok(()) };
        let Some(key) = key(&head[..end]).filter(|key| !self.seen.contains(key)) else { return Ok(()) };
        let text = text(&chunk[end + 1..]).map_err(|_| MetadataError::TooLong { key })?;
        self.put(key, &text)
    }

    /// Keeps the first text of a key.
    fn put(&mut self, key: &'static str, text: &[u8]) -> Result<(), MetadataError> {
        if self.seen.contains(&key) {
            return Ok(());
        }
        self.seen.push(key);
        if text.len() > MAX_TEXT {
            return Err(MetadataError::TooLong { key });
        }
        let value = Some(json(key, text)?).filter(Value::is_object);
        if key == "prompt" {
            self.metadata.prompt = value;
        } else {
            self.metadata.workflow = value;
        }
        Ok(())
    }
}

fn key(keyword: &[u8]) -> Option<&'static str> {
    match keyword {
        b"prompt" => Some("prompt"),
        b"workflow" => Some("workflow"),
        _ => None,
    }
}

/// After the keyword: whether it is compressed, how, the language, the translated keyword, the text (PNG, 11.3.3.4).
fn international(rest: &[u8]) -> Result<Vec<u8>, TooLong> {
    let Some((&[compressed, _method], rest)) = rest.split_first_chunk::<2>() else { return Ok(Vec::new()) };
    let text = rest.splitn(3, |byte| *byte == 0).nth(2).unwrap_or_default();
    if compressed == 1 { inflated(text) } else { Ok(text.to_vec()) }
}

/// What can't be decompressed ends where it is broken; that it isn't JSON is said then.
fn inflated(bytes: &[u8]) -> Result<Vec<u8>, TooLong> {
    let mut text = Vec::new();
    let _ = ZlibDecoder::new(bytes).take(MAX_TEXT as u64 + 1).read_to_end(&mut text);
    if text.len() > MAX_TEXT { Err(TooLong) } else { Ok(text) }
}

/// The text as JSON. Python writes numbers into it that JSON doesn't have; they become null.
fn json(key: &'static str, text: &[u8]) -> Result<Value, MetadataError> {
    match serde_json::from_slice(text) {
        Ok(value) => Ok(value),
        Err(error) => {
            let not_json = || MetadataError::NotJson { key, reason: error.to_string() };
            let mended = without_special_numbers(text).ok_or_else(not_json)?;
            serde_json::from_slice(&mended).map_err(|_| not_json())
        }
    }
}

/// The text with null for `NaN`, `Infinity` and `-Infinity` outside of strings; `None` if there are none.
fn without_special_numbers(text: &[u8]) -> Option<Vec<u8>> {
    const SPECIAL: [&[u8]; 3] = [b"NaN", b"-Infinity", b"Infinity"];
    let mut mended = Vec::with_capacity(text.len());
    let (mut rest, mut in_string, mut found) = (text, false, false);
    while let Some((&byte, after)) = rest.split_first() {
        if in_string && byte == b'\\' {
            let escaped = rest.len().min(2);
            mended.extend_from_slice(&rest[..escaped]);
            rest = &rest[escaped..];
            continue;
        }
        let special = SPECIAL.iter().find(|number| !in_string && rest.starts_with(number));
        if let Some(number) = special {
            mended.extend_from_slice(b"null");
            rest = &rest[number.len()..];
            found = true;
            continue;
        }
        in_string ^= byte == b'"';
        mended.push(byte);
        rest = after;
    }
    found.then_some(mended)
}
