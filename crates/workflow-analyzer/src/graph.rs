//! A workflow in ComfyUI's API format: nodes by id, each with its class and its inputs.

#[cfg(test)]
mod tests;

use indexmap::IndexMap;
use serde_json::{Map, Value, json};
use thiserror::Error;

/// The key of a node in the graph. ComfyUI takes any string; the editor writes numbers, and `12:3` inside subgraphs.
pub type NodeId = String;

/// More nodes than this are refused: a hundred times the largest graph that people share.
pub const MAX_NODES: usize = 100_000;

/// More inputs on one node than this are refused; the largest nodes of the well-known packs have some hundred.
const MAX_INPUTS: usize = 512;

/// A value nested deeper than this is refused, so that nothing that walks it can exhaust the stack.
const MAX_VALUE_DEPTH: usize = 64;

/// A workflow as `POST /prompt` takes it, in the order of the file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Graph {
    /// Every node under its id.
    pub nodes: IndexMap<NodeId, Node>,
}

/// One node of a graph.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The node class, a key of `/object_info`.
    pub class_type: String,
    /// What is set or linked, by input name. Inputs that the class doesn't know are kept; ComfyUI ignores them.
    pub inputs: IndexMap<String, Input>,
    /// `_meta.title`: the name that a person gave the node.
    pub title: Option<String>,
}

/// What an input of a node holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// The output `slot` of another node: `["4", 1]` in JSON.
    Link {
        /// The id of the node that the value comes from; it may be missing in the graph.
        node: NodeId,
        /// The position in that node's outputs, from 0; it may be out of range.
        slot: usize,
    },
    /// A value as written in the file. Integers keep all 64 bits. A list that isn't a well-formed link stays a value
    /// and is reported by [`validate`](crate::validate()).
    Value(Value),
}

/// Why a JSON document isn't a workflow in the API format.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum GraphError {
    /// The file was saved for the editor. ComfyUI answers 500 to it.
    #[error("this workflow is in the editor's format; export it with Workflow → Export (API)")]
    UiFormat,
    /// The document is a list, a string, a number or null.
    #[error("a workflow is a JSON object of nodes by id, this is {found}")]
    NotAnObject {
        /// The JSON type that came.
        found: &'static str,
    },
    /// There is no node at all.
    #[error("the workflow has no nodes")]
    Empty,
    /// More nodes than [`MAX_NODES`].
    #[error("the workflow has {count} nodes, the limit is {MAX_NODES}")]
    TooManyNodes {
        /// How many came.
        count: usize,
    },
    /// A node isn't an object.
    #[error("node {node} is {found}, a node is an object with class_type and inputs")]
    NodeNotAnObject {
        /// The id of the node.
        node: NodeId,
        /// The JSON type that came.
        found: &'static str,
    },
    /// A node has no `class_type`, or one that isn't a string.
    #[error("node {node} has no class_type")]
    MissingClassType {
        /// The id of the node.
        node: NodeId,
    },
    /// `inputs` is there and isn't an object.
    #[error("the inputs of node {node} are {found}, not an object")]
    InputsNotAnObject {
        /// The id of the node.
        node: NodeId,
        /// The JSON type that came.
        found: &'static str,
    },
    /// A node has too many inputs.
    #[error("node {node} has {count} inputs, the limit is {MAX_INPUTS}")]
    TooManyInputs {
        /// The id of the node.
        node: NodeId,
        /// How many came.
        count: usize,
    },
    /// A value is nested too deeply.
    #[error("input {input} of node {node} is nested deeper than {MAX_VALUE_DEPTH} levels")]
    TooDeep {
        /// The id of the node.
        node: NodeId,
        /// The name of the input.
        input: String,
    },
}

impl Graph {
    /// Reads a graph in the API format, bare or as the `prompt` of a saved `POST /prompt` body.
    ///
    /// Links are taken as they are: whether they lead anywhere is for [`validate`](crate::validate()) to say.
    pub fn from_json(document: &Value) -> Result<Graph, GraphError> {
        let object =
            document.as_object().ok_or_else(|| GraphError::NotAnObject { found: type_name(document) })?;
        let object = unwrap_prompt(object);
        if is_ui_format(object) {
            return Err(GraphError::UiFormat);
        }
        if object.is_empty() {
            return Err(GraphError::Empty);
        }
        if object.len() > MAX_NODES {
            return Err(GraphError::TooManyNodes { count: object.len() });
        }
        let nodes = object.iter().map(|(id, node)| Ok((id.clone(), node_from_json(id, node)?)));
        Ok(Graph { nodes: nodes.collect::<Result<_, GraphError>>()? })
    }

    /// The graph as ComfyUI takes it.
    pub fn to_json(&self) -> Value {
        Value::Object(self.nodes.iter().map(|(id, node)| (id.clone(), node.to_json())).collect())
    }

    /// An id that no node has: one more than the highest number in use.
    pub fn fresh_id(&self) -> NodeId {
        let highest = self.nodes.keys().filter_map(|id| id.parse::<u64>().ok()).max().unwrap_or(0);
        let mut number = highest.saturating_add(1);
        while self.nodes.contains_key(&number.to_string()) {
            // Only when the highest possible number is taken: there is a free one among the first `len + 1`.
            number = if number == u64::MAX { 1 } else { number + 1 };
        }
        number.to_string()
    }

    /// Adds a node under a fresh id and gives that id.
    pub fn add(&mut self, node: Node) -> NodeId {
        let id = self.fresh_id();
        self.nodes.insert(id.clone(), node);
        id
    }

    /// The input `input` of the node `node`, if both are there.
    pub fn input(&self, node: &str, input: &str) -> Option<&Input> {
        self.nodes.get(node)?.inputs.get(input)
    }
}

impl Node {
    /// A node without inputs.
    pub fn new(class_type: &str, title: &str) -> Node {
        Node { class_type: class_type.to_owned(), inputs: IndexMap::new(), title: Some(title.to_owned()) }
    }

    /// The same node with one more input.
    pub fn with(mut self, name: &str, input: impl Into<Input>) -> Node {
        self.inputs.insert(name.to_owned(), input.into());
        self
    }

    /// The title that a person gave it, or else the class.
    pub fn label(&self) -> &str {
        self.title.as_deref().unwrap_or(&self.class_type)
    }

    fn to_json(&self) -> Value {
        let inputs: Map<String, Value> =
            self.inputs.iter().map(|(name, input)| (name.clone(), input.to_json())).collect();
        let mut node = json!({ "class_type": self.class_type, "inputs": inputs });
        if let Some(title) = &self.title {
            node["_meta"] = json!({ "title": title });
        }
        node
    }
}

impl Input {
    /// A link to an output of another node.
    pub fn link(node: &str, slot: usize) -> Input {
        Input::Link { node: node.to_owned(), slot }
    }

    /// The value, if this isn't a link.
    pub fn as_value(&self) -> Option<&Value> {
        match self {
            Input::Value(value) => Some(value),
            Input::Link { .. } => None,
        }
    }

    /// The node and slot that this links to, if it is a link.
    pub fn as_link(&self) -> Option<(&str, usize)> {
        match self {
            Input::Link { node, slot } => Some((node, *slot)),
            Input::Value(_) => None,
        }
    }

    fn from_json(value: &Value) -> Input {
        if let Value::Array(items) = value
            && let [Value::String(node), slot] = items.as_slice()
            && let Some(slot) = slot.as_u64().and_then(|slot| usize::try_from(slot).ok())
        {
            return Input::Link { node: node.clone(), slot };
        }
        Input::Value(value.clone())
    }

    fn to_json(&self) -> Value {
        match self {
            Input::Link { node, slot } => json!([node, slot]),
            Input::Value(value) => value.clone(),
        }
    }
}

impl From<Value> for Input {
    fn from(value: Value) -> Input {
        Input::Value(value)
    }
}

impl From<&str> for Input {
    fn from(text: &str) -> Input {
        Input::Value(text.into())
    }
}

/// The JSON type of a value with its article, for messages.
pub(crate) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// What people save from the network tab is the whole request body.
fn unwrap_prompt(object: &Map<String, Value>) -> &Map<String, Value> {
    match object.get("prompt") {
        Some(Value::Object(prompt)) if !prompt.contains_key("class_type") => prompt,
        _ => object,
    }
}

pub(crate) fn is_ui_format(object: &Map<String, Value>) -> bool {
    object.get("nodes").is_some_and(|nodes| nodes.is_array() || nodes.get("class_type").is_none())
        && ["links", "last_node_id", "version", "state"].iter().any(|key| object.contains_key(*key))
}

fn node_from_json(id: &str, value: &Value) -> Result<Node, GraphError> {
    let Some(node) = value.as_object() else {
        return Err(GraphError::NodeNotAnObject { node: id.to_owned(), found: type_name(value) });
    };
    let Some(class_type) = node.get("class_type").and_then(Value::as_str) else {
        return Err(GraphError::MissingClassType { node: id.to_owned() });
    };
    let title = node.get("_meta").and_then(|meta| meta.get("title")).and_then(Value::as_str);
    Ok(Node {
        class_type: class_type.to_owned(),
        inputs: inputs_from_json(id, node.get("inputs"))?,
        title: title.map(str::to_owned),
    })
}

fn inputs_from_json(id: &str, value: Option<&Value>) -> Result<IndexMap<String, Input>, GraphError> {
    let inputs = match value {
        None | Some(Value::Null) => return Ok(IndexMap::new()),
        Some(Value::Object(inputs)) => inputs,
        Some(other) => {
            return Err(GraphError::InputsNotAnObject { node: id.to_owned(), found: type_name(other) });
        }
    };
    if inputs.len() > MAX_INPUTS {
        return Err(GraphError::TooManyInputs { node: id.to_owned(), count: inputs.len() });
    }
    if let Some((name, _)) = inputs.iter().find(|(_, value)| is_too_deep(value)) {
        return Err(GraphError::TooDeep { node: id.to_owned(), input: name.clone() });
    }
    Ok(inputs.iter().map(|(name, value)| (name.clone(), Input::from_json(value))).collect())
}

pub(crate) fn is_too_deep(value: &Value) -> bool {
    let mut pending = vec![(value, 0)];
    while let Some((value, depth)) = pending.pop() {
        if depth > MAX_VALUE_DEPTH {
            return true;
        }
        match value {
            Value::Array(items) => pending.extend(items.iter().map(|item| (item, depth + 1))),
            Value::Object(fields) => pending.extend(fields.values().map(|field| (field, depth + 1))),
            _ => {}
        }
    }
    false
}
