//! Text messages of the websocket.

use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::value::RawValue;
use std::collections::HashMap;
use workflow_analyzer::NodeId;

use crate::json;

/// A message, and whose it is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Message {
    /// Missing in what goes to everyone, and in the `executing` that a reconnecting client gets.
    pub(crate) prompt_id: Option<String>,
    pub(crate) event: Event,
}

/// What is followed; all else is [`Event::Other`].
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Event {
    /// The queue has changed.
    Status,
    Started,
    Cached(Vec<NodeId>),
    Executing {
        node: NodeId,
        /// The node of the submitted graph, when `node` comes from an expanded one.
        display: Option<NodeId>,
    },
    /// `executing` without a node: the prompt is over and its history is written.
    Over,
    Progress {
        node: NodeId,
        value: f64,
        max: f64,
    },
    States(Vec<NodeState>),
    Executed(NodeId),
    /// `execution_success`, `execution_error` or `execution_interrupted`: the history may not be written yet.
    Ending,
    Other,
}

/// One node of a `progress_state`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct NodeState {
    #[serde(default)]
    pub(crate) node_id: NodeId,
    #[serde(default)]
    pub(crate) value: f64,
    #[serde(default)]
    pub(crate) max: f64,
    #[serde(default)]
    pub(crate) state: String,
}

#[derive(Deserialize)]
struct Envelope {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    data: Option<Box<RawValue>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Data {
    prompt_id: Option<String>,
    node: Option<NodeId>,
    display_node: Option<NodeId>,
    #[serde(deserialize_with = "null_is_default")]
    value: f64,
    #[serde(deserialize_with = "null_is_default")]
    max: f64,
    #[serde(deserialize_with = "null_is_default")]
    nodes: Nodes,
}

/// `execution_cached` has a list, `progress_state` an object.
#[derive(Deserialize)]
#[serde(untagged)]
enum Nodes {
    Ids(Vec<NodeId>),
    States(HashMap<NodeId, NodeState>),
}

impl Default for Nodes {
    fn default() -> Self {
        Self::Ids(Vec::new())
    }
}

/// Reads a message; what can't be read is [`Event::Other`], because custom nodes send whatever they like.
pub(crate) fn parse(text: &str) -> Message {
    read(text).unwrap_or(Message { prompt_id: None, event: Event::Other })
}

fn read(text: &str) -> Option<Message> {
    let envelope: Envelope = json::parse(text.as_bytes()).ok()?;
    if envelope.kind == "status" {
        return Some(Message { prompt_id: None, event: Event::Status });
    }
    if !is_followed(&envelope.kind) {
        return None;
    }
    let data: Data = json::parse(envelope.data?.get().as_bytes()).ok()?;
    let event = match (envelope.kind.as_str(), data.node, data.nodes) {
        ("execution_start", ..) => Event::Started,
        ("execution_cached", _, Nodes::Ids(nodes)) => Event::Cached(nodes),
        ("executing", Some(node), _) => Event::Executing { node, display: data.display_node },
        ("executing", None, _) => Event::Over,
        ("progress", Some(node), _) => Event::Progress { node, value: data.value, max: data.max },
        ("progress_state", _, Nodes::States(states)) => Event::States(states.into_values().collect()),
        ("executed", Some(node), _) => Event::Executed(node),
        ("execution_success" | "execution_error" | "execution_interrupted", ..) => Event::Ending,
        _ => return None,
    };
    Some(Message { prompt_id: data.prompt_id, event })
}

fn is_followed(kind: &str) -> bool {
    matches!(kind, "executing" | "executed" | "progress" | "progress_state") || kind.starts_with("execution_")
}

fn null_is_default<'de, D: Deserializer<'de>, T: DeserializeOwned + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::{Event, Message, parse};

    #[test]
    fn each_kind() {
        let check = |text: &str, prompt_id: Option<&str>, event: Event| {
            assert_eq!(parse(text), Message { prompt_id: prompt_id.map(str::to_owned), event }, "{text}");
        };
        let node = || "3".to_owned();
        check(r#"{"type":"status","data":{"status":{}}}"#, None, Event::Status);
        check(
            r#"{"type":"execution_start","data":{"prompt_id":"p","timestamp":1}}"#,
            Some("p"),
            Event::Started,
        );
        check(
            r#"{"type":"execution_cached","data":{"nodes":["3"],"prompt_id":"p"}}"#,
            Some("p"),
            Event::Cached(vec![node()]),
        );
        check(
            r#"{"type":"executing","data":{"node":"3","display_node":"3","prompt_id":"p"}}"#,
            Some("p"),
            Event::Executing { node: node(), display: Some(node()) },
        );
        check(
            r#"{"type":"executing","data":{"node":"3"}}"#,
            None,
            Event::Executing { node: node(), display: None },
        );
        check(r#"{"type":"executing","data":{"node":null,"prompt_id":"p"}}"#, Some("p"), Event::Over);
        check(
            r#"{"type":"progress","data":{"value":1,"max":4,"prompt_id":"p","node":"3"}}"#,
            Some("p"),
            Event::Progress { node: node(), value: 1.0, max: 4.0 },
        );
        check(
            r#"{"type":"executed","data":{"node":"3","output":{"x":[NaN]},"prompt_id":"p"}}"#,
            Some("p"),
            Event::Executed(node()),
        );
        for kind in ["success", "error", "interrupted"] {
            let text = format!(r#"{{"type":"execution_{kind}","data":{{"prompt_id":"p","traceback":[]}}}}"#);
            check(&text, Some("p"), Event::Ending);
        }
    }

    #[test]
    fn anything_else_is_other() {
        for text in [
            "",
            "[]",
            "{}",
            r#"{"type":"crystools.monitor","data":{"cpu":1}}"#,
            r#"{"type":"executing"}"#,
            r#"{"type":"executing","data":[{}]}"#,
            r#"{"type":"progress","data":{"node":{}}}"#,
            r#"{"type":7}"#,
        ] {
            assert_eq!(parse(text).event, Event::Other, "{text}");
        }
    }
}
