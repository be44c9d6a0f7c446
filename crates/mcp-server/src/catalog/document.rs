//! What a workflow file holds, kept small.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use serde_json::Value;
use workflow_analyzer::{ConvertProblem, ConvertProblemKind, Graph, ObjectInfo, convert, is_editor_format};

use super::Unusable;

/// A workflow as it was written.
#[derive(Debug)]
pub enum Document {
    /// The text of a shipped file.
    Shipped(&'static str),
    /// A graph in the API format.
    Api(Packed),
    /// What the editor saves. It becomes a graph with what ComfyUI has.
    Editor(Packed),
}

/// A document as a graph.
#[derive(Debug, Default)]
pub struct Opened {
    /// In the API format.
    pub graph: Graph,
    /// The packs of custom nodes that have a class, by the class, as the file says.
    pub packs: BTreeMap<String, String>,
    /// What couldn't be converted, beside classes that aren't there: validation tells those.
    pub problems: Vec<String>,
    /// The nodes, by their ids in the file, for which the editor draws another number after each run.
    pub randomized: BTreeSet<String>,
}

impl Document {
    /// Reads a document; the error says what is wrong with it.
    pub fn read(json: &Value) -> Result<Self, String> {
        if is_editor_format(json) {
            // Without any classes it shows whether it can be read at all.
            convert(json, &ObjectInfo::default()).map_err(|error| error.to_string())?;
            return Ok(Self::Editor(Packed::new(json)?));
        }
        Graph::from_json(json).map_err(|error| error.to_string())?;
        Ok(Self::Api(Packed::new(json)?))
    }

    /// The graph in the API format.
    pub fn open(&self, info: Option<&ObjectInfo>) -> Result<Opened, Unusable> {
        let json = match self {
            Self::Shipped(text) => serde_json::from_str(text).map_err(|error| error.to_string())?,
            Self::Api(packed) => packed.json()?,
            Self::Editor(packed) => return converted(&packed.json()?, info.ok_or(Unusable::Waiting)?),
        };
        let graph = Graph::from_json(&json).map_err(|error| error.to_string())?;
        Ok(Opened { graph, ..Opened::default() })
    }
}

fn converted(json: &Value, info: &ObjectInfo) -> Result<Opened, Unusable> {
    let conversion = convert(json, info).map_err(|error| error.to_string())?;
    let mut opened = Opened { graph: conversion.graph, randomized: randomized(json), ..Opened::default() };
    for problem in conversion.problems {
        let ConvertProblem { kind, node, title, message, hint } = problem;
        match kind {
            ConvertProblemKind::MissingClass { class, pack } => {
                opened.packs.extend(pack.map(|pack| (class, pack)));
            }
            _ => opened.problems.push(format!("node {node} ({title}): {message} ({hint})")),
        }
    }
    Ok(opened)
}

/// The nodes whose `control_after_generate` says `randomize`: it stands behind the number that it is for.
fn randomized(json: &Value) -> BTreeSet<String> {
    let definitions = items(&json["definitions"]["subgraphs"]);
    let nodes = definitions.flat_map(|definition| items(&definition["nodes"])).chain(items(&json["nodes"]));
    let is_random = |node: &&Value| match &node["widgets_values"] {
        Value::Array(values) => {
            values.windows(2).any(|pair| pair[0].is_number() && pair[1].as_str() == Some("randomize"))
        }
        Value::Object(values) => values.values().any(|value| value.as_str() == Some("randomize")),
        _ => false,
    };
    nodes.filter(is_random).map(|node| node["id"].to_string().trim_matches('"').to_owned()).collect()
}

fn items(value: &Value) -> std::slice::Iter<'_, Value> {
    value.as_array().map(Vec::as_slice).unwrap_or_default().iter()
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
