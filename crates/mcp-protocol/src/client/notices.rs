//! What a server tells without being asked: log messages, and that something has changed.

use std::sync::Arc;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;

use super::get_stream::GetStream;
use super::mailbox::Mailbox;
use crate::wire::{LogMessage, RequestId, ResourceParams, SubscriptionFilter, Task, key};

/// One thing that a server tells.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Notice {
    /// A log message.
    Log(LogMessage),
    /// `tools/list` has another answer now.
    ToolsChanged,
    /// `prompts/list` has another answer now.
    PromptsChanged,
    /// `resources/list` has another answer now.
    ResourcesChanged,
    /// `resources/read` has another answer now.
    ResourceUpdated {
        /// Of this resource, or a part of one that was subscribed to.
        uri: String,
    },
    /// A task has changed; this is how it stands now.
    Task(Box<Task>),
    /// What [`Elicitation::Url`](crate::wire::Elicitation::Url) asked for is done (2025-11-25).
    ElicitationComplete {
        /// As the question named it.
        elicitation_id: String,
    },
    /// Something was lost, because it was not taken in time or the connection broke: look again at what matters.
    Missed {
        /// How many, as far as it is known.
        at_least: u64,
    },
}

impl Notice {
    /// Whether whoever learns this need not learn `earlier`.
    pub(super) fn replaces(&self, earlier: &Notice) -> bool {
        match (self, earlier) {
            (Notice::Log(_), _) => false,
            (Notice::Task(now), Notice::Task(then)) => now.task_id == then.task_id,
            _ => self == earlier,
        }
    }
}

/// What a server tells, from [`Peer::notices`](super::Peer::notices).
///
/// At most 256 of them wait to be taken; then the oldest are lost, and [`Notice::Missed`] says so.
#[derive(Debug)]
pub struct Notices {
    pub(super) mailbox: Arc<Mailbox>,
    /// Where a legacy server tells it over HTTP.
    pub(super) _stream: Option<Arc<GetStream>>,
}

impl Notices {
    /// The next one; `None` when the connection has ended. It may be dropped and called again.
    pub async fn next(&mut self) -> Option<Notice> {
        self.mailbox.next().await.ok().flatten()
    }
}

/// A notification of the server, read.
pub(super) enum Told {
    /// For all who want it, with the id of the subscription that it is for.
    Notice(Notice, Option<i64>),
    /// The first message of a modern subscription.
    Agreed(i64, SubscriptionFilter),
}

/// Reads a notification; none if it isn't one that this client knows, or isn't readable.
pub(super) fn read(method: &str, params: Option<&RawValue>) -> Option<Told> {
    let notice = match method {
        "notifications/message" => Notice::Log(typed(params)?),
        "notifications/tools/list_changed" => Notice::ToolsChanged,
        "notifications/prompts/list_changed" => Notice::PromptsChanged,
        "notifications/resources/list_changed" => Notice::ResourcesChanged,
        "notifications/resources/updated" => {
            Notice::ResourceUpdated { uri: typed::<ResourceParams>(params)?.uri }
        }
        "notifications/tasks" => Notice::Task(Box::new(typed(params)?)),
        "notifications/elicitation/complete" => {
            Notice::ElicitationComplete { elicitation_id: typed::<Complete>(params)?.elicitation_id }
        }
        "notifications/subscriptions/acknowledged" => {
            return Some(Told::Agreed(tag(params)?, typed::<Acknowledged>(params)?.notifications));
        }
        _ => return None,
    };
    Some(Told::Notice(notice, tag(params)))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Complete {
    elicitation_id: String,
}

#[derive(Deserialize)]
struct Acknowledged {
    #[serde(default)]
    notifications: SubscriptionFilter,
}

#[derive(Deserialize)]
struct Tagged {
    #[serde(rename = "_meta")]
    meta: serde_json::Map<String, Value>,
}

fn tag(params: Option<&RawValue>) -> Option<i64> {
    let tag = typed::<Tagged>(params)?.meta.remove(key::SUBSCRIPTION_ID)?;
    match serde_json::from_value(tag).ok()? {
        RequestId::Number(id) => Some(id),
        RequestId::String(_) => None,
    }
}

fn typed<T: DeserializeOwned>(params: Option<&RawValue>) -> Option<T> {
    serde_json::from_str(params?.get()).ok()
}
