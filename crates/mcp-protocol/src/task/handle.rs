//! One task in memory: its states, and what its work can do while it runs.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use jsonrpsee::types::ErrorObjectOwned;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::input::{InputError, fits};
use crate::notify::Notifier;
use crate::session::SessionOwner;
use crate::tool::ToolError;
use crate::wire::{InputRequest, InputResponses, Task, TaskState};

/// Given to the work of a task. Cheap to clone; clones may outlive the task, and then do nothing.
#[derive(Clone, Debug)]
pub struct TaskHandle {
    pub(super) entry: Arc<Entry>,
}

/// Why the work of a task has no reply.
#[derive(Clone, Debug, thiserror::Error)]
pub enum TaskFailure {
    /// An error of the tool's own: the task is completed, with a result that has `isError`.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// A JSON-RPC error: the task has failed with it.
    #[error("{}", .0.message())]
    Protocol(ErrorObjectOwned),
}

impl From<ErrorObjectOwned> for TaskFailure {
    fn from(error: ErrorObjectOwned) -> Self {
        TaskFailure::Protocol(error)
    }
}

impl From<InputError> for TaskFailure {
    fn from(error: InputError) -> Self {
        TaskFailure::Tool(error.into())
    }
}

/// A task that is kept.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) id: String,
    pub(super) owner: Option<SessionOwner>,
    pub(super) ttl: Duration,
    pub(super) poll_interval: Duration,
    pub(super) created_at: Timestamp,
    /// What the client could do when it made the request.
    pub(super) client_capabilities: Value,
    pub(super) notifier: Notifier,
    pub(super) cancelled: CancellationToken,
    pub(super) progress: Mutex<Progress>,
}

/// What changes of a task.
#[derive(Debug)]
pub(super) struct Progress {
    pub(super) updated_at: Timestamp,
    message: Option<String>,
    open: Vec<Question>,
    /// A key means one question for as long as the task is kept (tasks extension, task update requests).
    used_keys: BTreeSet<String>,
    /// Final once it is there.
    ended: Option<TaskState>,
}

#[derive(Debug)]
struct Question {
    key: String,
    request: InputRequest,
    answer: oneshot::Sender<Value>,
}

impl TaskHandle {
    /// The task's id.
    pub fn id(&self) -> &str {
        &self.entry.id
    }

    /// Says how the work goes, for people.
    pub fn status(&self, message: impl Into<String>) {
        self.entry.change(|progress| {
            progress.message = Some(message.into());
            true
        });
    }

    /// Asks the client, which sees the task as `input_required` until it has answered everything that is open. `key` names
    /// the question; it gets a number where the task has had a question of that name. An answer of another shape leaves
    /// the question open.
    pub async fn input<R: DeserializeOwned>(
        &self,
        key: &str,
        request: InputRequest,
    ) -> Result<R, InputError> {
        if !request.kind().is_in(&self.entry.client_capabilities) {
            return Err(InputError::Unsupported(request.kind()));
        }
        let (sender, answer) = oneshot::channel();
        let asked = Asked { entry: &self.entry, key: self.entry.ask(key, request, sender) };
        let answer = answer.await.map_err(|_| InputError::Gone)?;
        serde_json::from_value(answer)
            .map_err(|error| InputError::Invalid { key: asked.key.clone(), reason: error.to_string() })
    }

    /// Fires when the task is cancelled, has outlived its time, or goes with its store. The work's future is dropped at
    /// that moment too; the token is for what was spawned beside it.
    pub fn cancelled(&self) -> CancellationToken {
        self.entry.cancelled.clone()
    }
}

/// A question that is being asked; its drop takes it back.
struct Asked<'a> {
    entry: &'a Entry,
    key: String,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        self.entry.change(|progress| {
            let before = progress.open.len();
            progress.open.retain(|question| question.key != self.key);
            progress.open.len() < before
        });
    }
}

impl Entry {
    /// As `tasks/get` shows it.
    pub(super) fn task(&self) -> Task {
        let progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        Task {
            task_id: self.id.clone(),
            state: progress.state(),
            status_message: progress.message.clone(),
            created_at: self.created_at,
            last_updated_at: progress.updated_at,
            ttl_ms: Some(milliseconds(self.ttl)),
            poll_interval_ms: Some(milliseconds(self.poll_interval)),
        }
    }

    /// Gives answers to open questions; what is no answer to them is ignored.
    pub(super) fn answer(&self, responses: InputResponses) {
        self.change(|progress| {
            let before = progress.open.len();
            for (key, answer) in responses {
                let place = progress.open.iter().position(|open| open.key == key);
                if let Some(place) = place.filter(|place| fits(&progress.open[*place].request, &answer)) {
                    // Whoever has asked may have stopped waiting.
                    _ = progress.open.remove(place).answer.send(answer);
                }
            }
            progress.open.len() < before
        });
    }

    /// Ends the task, unless it has ended.
    pub(super) fn end(&self, state: TaskState) {
        self.change(|progress| {
            progress.message = match &state {
                TaskState::Failed { error } => {
                    error.get("message").and_then(Value::as_str).map(str::to_owned)
                }
                _ => None,
            };
            progress.open.clear();
            progress.ended = Some(state);
            true
        });
    }

    /// The key that the question got. In a task that has ended nobody is asked.
    fn ask(&self, key: &str, request: InputRequest, answer: oneshot::Sender<Value>) -> String {
        let mut unique = key.to_owned();
        self.change(|progress| {
            let mut number = 1;
            while !progress.used_keys.insert(unique.clone()) {
                number += 1;
                unique = format!("{key}-{number}");
            }
            progress.open.push(Question { key: unique.clone(), request, answer });
            true
        });
        unique
    }

    /// Changes what hasn't ended, and tells the listeners if `act` says that it did.
    fn change(&self, act: impl FnOnce(&mut Progress) -> bool) {
        {
            let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
            if progress.ended.is_some() || !act(&mut progress) {
                return;
            }
            progress.updated_at = Timestamp::now();
        }
        // Listeners get the task as it is by then: changes told late can't bring an older state back.
        self.notifier.task_changed(&self.id, || self.task());
    }
}

impl Progress {
    pub(super) fn new(now: Timestamp) -> Progress {
        Progress { updated_at: now, message: None, open: Vec::new(), used_keys: BTreeSet::new(), ended: None }
    }

    fn state(&self) -> TaskState {
        if let Some(ended) = &self.ended {
            return ended.clone();
        }
        if self.open.is_empty() {
            return TaskState::Working;
        }
        let requests = self.open.iter().filter_map(|question| {
            let request = serde_json::to_value(&question.request).ok()?;
            Some((question.key.clone(), request))
        });
        TaskState::InputRequired { input_requests: requests.collect::<Map<_, _>>() }
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).max(1)
}
