//! What is tried: a run is one client in one way, and each run has the same cases.

use std::time::Duration;

use anyhow::{Context as _, Result};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde::Deserialize;

/// What every run tells of, in this order.
pub(crate) const CASES: [&str; 12] = [
    "connect",
    "tools/list",
    "tools/call",
    "progress",
    "cancel",
    "resources/list",
    "resources/templates/list",
    "resources/read",
    "prompts/list",
    "prompts/get",
    "completion/complete",
    "subscribe",
];
/// No run takes longer, whatever the machine.
pub(crate) const LIMIT: Duration = Duration::from_mins(5);

/// One client in one way; nothing of it happens before it is awaited.
pub(crate) struct Run {
    pub(crate) name: String,
    pub(crate) work: BoxFuture<'static, Result<Vec<Case>>>,
}

impl Run {
    pub(crate) fn new(name: String, work: impl Future<Output = Result<Vec<Case>>> + Send + 'static) -> Run {
        Run { name, work: work.boxed() }
    }
}

/// How a case went. The scripts write it as a line of JSON.
#[derive(Debug, Deserialize)]
pub(crate) struct Case {
    #[serde(rename = "case")]
    pub(crate) name: String,
    /// None when the client's API can't do it.
    pub(crate) ok: Option<bool>,
    pub(crate) note: String,
}

impl Case {
    pub(crate) fn failed(name: &str, note: impl Into<String>) -> Case {
        Case { name: name.to_owned(), ok: Some(false), note: note.into() }
    }

    /// The outcome of work done here.
    pub(crate) fn of(name: &str, outcome: Result<String>) -> Case {
        match outcome {
            Ok(note) => Case { name: name.to_owned(), ok: Some(true), note },
            Err(error) => Case::failed(name, format!("{error:#}")),
        }
    }

    pub(crate) fn parse(line: &str) -> Result<Case> {
        serde_json::from_str(line).with_context(|| format!("a line that is no case: {line:?}"))
    }
}
