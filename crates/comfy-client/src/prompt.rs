//! Prompts: submitting, the queue, interrupting, and where a prompt stands.

use std::fmt;

use indexmap::IndexMap;
use reqwest::{Method, StatusCode};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{IgnoredAny, SeqAccess, Visitor},
};
use serde_json::{Map, Value, json};
use workflow_analyzer::{Graph, NodeId};

use crate::{
    ComfyClient, ComfyError, HistoryEntry, NodeErrors, NodeValidation, ValidationError,
    transport::{parse, status_error_with},
};

/// A `POST /prompt`.
#[derive(Clone, Debug)]
pub struct PromptRequest<'a> {
    /// What to run.
    pub prompt: &'a Graph,
    /// Chosen by the caller, so that the prompt can be found again; must be new, ComfyUI doesn't check it.
    pub prompt_id: &'a str,
    /// Whose websocket gets the events.
    pub client_id: Option<&'a str>,
    /// `extra_pnginfo`, `preview_method` and whatever custom nodes read.
    pub extra_data: &'a Map<String, Value>,
    /// Where it is put.
    pub position: QueuePosition,
}

/// A place in ComfyUI's queue.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum QueuePosition {
    /// Behind all others.
    #[default]
    Back,
    /// Before all others that wait.
    Front,
    /// By number: lower runs first, fractions and negatives are fine.
    Number(f64),
}

/// An accepted prompt.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Submitted {
    /// The id asked for; a ComfyUI older than that feature chooses its own.
    pub prompt_id: String,
    /// Its place in the queue: lower runs first.
    pub number: f64,
    /// Not empty when some outputs are invalid: those are left out, the others run.
    #[serde(default, deserialize_with = "node_errors")]
    pub node_errors: NodeErrors,
}

/// `GET /queue`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct QueueState {
    /// At most one, unless ComfyUI is built otherwise.
    #[serde(rename = "queue_running", default)]
    pub running: Vec<QueueItem>,
    /// In the order in which they will run.
    #[serde(rename = "queue_pending", default)]
    pub pending: Vec<QueueItem>,
}

/// A prompt that runs or waits. The graph in it is skipped.
#[derive(Clone, Debug, PartialEq)]
pub struct QueueItem {
    /// Lower runs first.
    pub number: f64,
    /// The prompt's id.
    pub prompt_id: String,
    /// What the submitter sent along, `client_id` and `create_time` (unix milliseconds) among it.
    pub extra_data: Map<String, Value>,
    /// The output nodes that will run.
    pub outputs: Vec<NodeId>,
}

/// Where a prompt stands.
#[derive(Clone, Debug)]
pub enum Standing {
    /// Waiting, with this many before it in the queue (without the running one).
    Pending {
        /// 0 = next.
        before: usize,
        /// Its entry in the queue.
        item: QueueItem,
    },
    /// Running.
    Running(QueueItem),
    /// It ended, one way or the other.
    Finished(Box<HistoryEntry>),
    /// Neither in the queue nor in the history: never submitted, deleted, or forgotten by a restart.
    Unknown,
}

impl ComfyClient {
    /// Queues a graph. [`ComfyError::Rejected`] when it isn't valid there.
    pub async fn submit(&self, request: &PromptRequest<'_>) -> Result<Submitted, ComfyError> {
        const PATH: &[&str] = &["prompt"];
        let body = serde_json::to_vec(&body(request)).map_err(|error| {
            ComfyError::InvalidArgument(format!("the workflow can't be written as JSON: {error}"))
        })?;
        let within = self.http.upload_timeout(body.len());
        let post =
            self.http.request(Method::POST, PATH).header("content-type", "application/json").body(body);
        let (status, answer) = self
            .http
            .within(PATH, within, async {
                let response = self.http.send(post, PATH).await?;
                Ok((response.status(), self.http.body(response, PATH).await?))
            })
            .await?;
        if status.is_success() {
            return parse(&answer, PATH);
        }
        match serde_json::from_slice::<Rejection>(&answer) {
            Ok(Rejection { error, node_errors }) if status == StatusCode::BAD_REQUEST => {
                Err(ComfyError::Rejected { error, node_errors })
            }
            _ => Err(status_error_with(status, &answer, PATH)),
        }
    }

    /// Everything that runs and waits there, also of others.
    pub async fn queue(&self) -> Result<QueueState, ComfyError> {
        let mut queue: QueueState = self.http.get(&["queue"]).await?;
        // ComfyUI sends its heap as it lies in memory.
        queue.pending.sort_by(|a, b| a.number.total_cmp(&b.number));
        Ok(queue)
    }

    /// Interrupts `prompt_id` if it is running; does nothing otherwise. It can get lost: check again.
    pub async fn interrupt(&self, prompt_id: &str) -> Result<(), ComfyError> {
        self.http.post(&["interrupt"], &json!({ "prompt_id": prompt_id })).await
    }

    /// Takes waiting prompts out of the queue. Running and unknown ones are left alone, without an error.
    pub async fn delete_pending(&self, prompt_ids: &[&str]) -> Result<(), ComfyError> {
        self.http.post(&["queue"], &json!({ "delete": prompt_ids })).await
    }

    /// Looks in the queue first and in the history after it: in this order a prompt that ends in between is seen.
    pub async fn standing(&self, prompt_id: &str) -> Result<Standing, ComfyError> {
        let queue = self.queue().await?;
        if let Some(item) = queue.running.into_iter().find(|item| item.prompt_id == prompt_id) {
            return Ok(Standing::Running(item));
        }
        let mut pending = queue.pending.into_iter().enumerate();
        if let Some((before, item)) = pending.find(|(_, item)| item.prompt_id == prompt_id) {
            return Ok(Standing::Pending { before, item });
        }
        Ok(match self.history(prompt_id).await? {
            Some(entry) => Standing::Finished(Box::new(entry)),
            None => Standing::Unknown,
        })
    }
}

impl QueueItem {
    /// Whose websocket gets the events.
    pub fn client_id(&self) -> Option<&str> {
        self.extra_data.get("client_id")?.as_str()
    }
}

#[derive(Serialize)]
struct Body<'a> {
    prompt: Value,
    prompt_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    extra_data: &'a Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    front: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    number: Option<f64>,
}

fn body<'a>(request: &PromptRequest<'a>) -> Body<'a> {
    let (front, number) = match request.position {
        QueuePosition::Back => (None, None),
        QueuePosition::Front => (Some(true), None),
        QueuePosition::Number(number) => (None, Some(number)),
    };
    Body {
        prompt: request.prompt.to_json(),
        prompt_id: request.prompt_id,
        client_id: request.client_id,
        extra_data: request.extra_data,
        front,
        number,
    }
}

#[derive(Deserialize)]
struct Rejection {
    error: Box<ValidationError>,
    #[serde(default, deserialize_with = "node_errors")]
    node_errors: NodeErrors,
}

/// ComfyUI writes "none" as `{}`, and as `[]` in one place.
fn node_errors<'de, D: Deserializer<'de>>(deserializer: D) -> Result<NodeErrors, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Errors(IndexMap<NodeId, NodeValidation>),
        Other(IgnoredAny),
    }
    Ok(match Either::deserialize(deserializer)? {
        Either::Errors(errors) => errors,
        Either::Other(_) => NodeErrors::new(),
    })
}

impl<'de> Deserialize<'de> for QueueItem {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ItemVisitor)
    }
}

struct ItemVisitor;

impl<'de> Visitor<'de> for ItemVisitor {
    type Value = QueueItem;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[number, prompt_id, workflow, extra_data, output_ids]")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<QueueItem, A::Error> {
        let missing = |at| serde::de::Error::invalid_length(at, &self);
        let number = seq.next_element()?.ok_or_else(|| missing(0))?;
        let prompt_id = seq.next_element()?.ok_or_else(|| missing(1))?;
        seq.next_element::<IgnoredAny>()?;
        let extra_data = seq.next_element::<Option<Map<String, Value>>>()?.flatten().unwrap_or_default();
        let outputs = seq.next_element::<Option<Vec<NodeId>>>()?.flatten().unwrap_or_default();
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(QueueItem { number, prompt_id, extra_data, outputs })
    }
}
