//! What a workflow file holds, kept small.

use std::io::{Read as _, Write as _};

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use serde_json::Value;
use workflow_analyzer::{Graph, ObjectInfo};

/// A workflow as it was written.
#[derive(Debug)]
pub enum Document {
    /// The text of a shipped file.
    Shipped(&'static str),
    /// A graph in the API format.
    Api(Packed),
}

impl Document {
    /// Reads a document; the error says what is wrong with it.
    pub fn read(json: &Value) -> Result<Self, String> {
        Graph::from_json(json).map_err(|error| error.to_string())?;
        Ok(Self::Api(Packed::new(json)?))
    }

    /// The graph in the API format.
    pub fn graph(&self, _info: Option<&ObjectInfo>) -> Result<Graph, String> {
        let json = match self {
            Self::Shipped(text) => serde_json::from_str(text).map_err(|error| error.to_string())?,
            Self::Api(packed) => packed.json()?,
        };
        Graph::from_json(&json).map_err(|error| error.to_string())
    }
}

/// A JSON document, compressed: a file of the editor's has a hundred kilobytes, of which nothing is used most of the
/// time. It is kept because the file may be overwritten with something that can't be used.
#[derive(Debug)]
pub struct Packed(Box<[u8]>);

impl Packed {
    /// Packs a document.
    pub fn new(json: &Value) -> Result<Self, String> {
        let text = serde_json::to_vec(json).map_err(|error| error.to_string())?;
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&text).map_err(|error| error.to_string())?;
        Ok(Self(encoder.finish().map_err(|error| error.to_string())?.into_boxed_slice()))
    }

    /// The document.
    pub fn json(&self) -> Result<Value, String> {
        let mut text = Vec::new();
        DeflateDecoder::new(&*self.0).read_to_end(&mut text).map_err(|error| error.to_string())?;
        serde_json::from_slice(&text).map_err(|error| error.to_string())
    }
}
