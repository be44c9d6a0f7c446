//! What ComfyUI remembers of a prompt that ended.

use std::collections::HashMap;

use indexmap::IndexMap;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use workflow_analyzer::NodeId;

use crate::{ComfyClient, ComfyError, transport::path_segment};

/// One entry of the history.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct HistoryEntry {
    /// Per output node: lists by kind (`images`, `audio`, `text` …).
    #[serde(default, deserialize_with = "outputs")]
    pub outputs: IndexMap<NodeId, Map<String, Value>>,
    /// Missing in very old versions.
    #[serde(default)]
    pub status: Option<HistoryStatus>,
    /// What else is there, `meta` and the submitted `prompt` among it.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// How it ended.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct HistoryStatus {
    /// `success` or `error`; an interrupted prompt is an `error`.
    #[serde(default)]
    pub status_str: String,
    /// False for an error.
    #[serde(default)]
    pub completed: bool,
    /// `[name, data]` of the events from start to end, such as `execution_error`.
    #[serde(default, deserialize_with = "messages")]
    pub messages: Vec<(String, Value)>,
}

impl HistoryEntry {
    /// Its place in the queue when it was submitted.
    pub fn number(&self) -> Option<f64> {
        self.extra.get("prompt")?.get(0)?.as_f64()
    }
}

impl HistoryStatus {
    /// The data of the last message `name`.
    pub fn message(&self, name: &str) -> Option<&Value> {
        self.messages.iter().rev().find(|(found, _)| found == name).map(|(_, data)| data)
    }
}

impl ComfyClient {
    /// The entry of `prompt_id`; `None` while it waits or runs, and when ComfyUI doesn't know it.
    pub async fn history(&self, prompt_id: &str) -> Result<Option<HistoryEntry>, ComfyError> {
        let path = ["history", path_segment(prompt_id, "prompt")?];
        let mut entries: HashMap<String, HistoryEntry> = self.http.get(&path).await?;
        Ok(entries.remove(prompt_id))
    }
}

/// Custom nodes put in what they like: what isn't an object has no files and no texts.
fn outputs<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<IndexMap<NodeId, Map<String, Value>>, D::Error> {
    let outputs = Option::<IndexMap<NodeId, Value>>::deserialize(deserializer)?.unwrap_or_default();
    let object = |(node, value)| match value {
        Value::Object(lists) => Some((node, lists)),
        _ => None,
    };
    Ok(outputs.into_iter().filter_map(object).collect())
}

fn messages<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<(String, Value)>, D::Error> {
    let messages = Option::<Vec<Value>>::deserialize(deserializer)?.unwrap_or_default();
    let pair = |message: Value| match message {
        Value::Array(parts) => match <[Value; 2]>::try_from(parts).ok()? {
            [Value::String(name), data] => Some((name, data)),
            _ => None,
        },
        _ => None,
    };
    Ok(messages.into_iter().filter_map(pair).collect())
}
