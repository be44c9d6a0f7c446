//! Tasks in memory, for tools whose server has no job queue of its own: gone with the process.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt as _;
use jiff::Timestamp;
use jsonrpsee::types::ErrorObjectOwned;
use schemars::JsonSchema;
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::TaskStore;
use super::handle::{Entry, Progress, TaskFailure, TaskHandle};
use crate::context::CallContext;
use crate::error::{self, INTERNAL_ERROR};
use crate::notify::Notifier;
use crate::schema::{self, Normaliser};
use crate::session::SessionOwner;
use crate::tool::{ToolError, ToolReply};
use crate::wire::{InputResponses, Task, TaskState};

/// Runs work beside the request that asked for it, and keeps what became of it. Cheap to clone; the work goes with the
/// last clone.
///
/// ```
/// use mcp_protocol::wire::ToolDescription;
/// use mcp_protocol::{CallContext, DynTool, MemoryTasks, TaskFailure, TaskOptions, ToolError, ToolReply};
/// use serde_json::{Map, Value, json};
///
/// struct Slow(MemoryTasks);
///
/// #[async_trait::async_trait]
/// impl DynTool for Slow {
///     # fn description(&self) -> ToolDescription {
///     #     let input_schema = json!({"type": "object"});
///     #     ToolDescription { name: "slow".into(), input_schema, ..Default::default() }
///     # }
///     async fn call(&self, cx: CallContext, _: Map<String, Value>) -> Result<ToolReply<Value>, ToolError> {
///         let task = self.0.start(&cx, TaskOptions::default(), |task| async move {
///             task.status("halfway");
///             Ok::<_, TaskFailure>(ToolReply::from(json!({"done": true})))
///         })?;
///         Ok(ToolReply::from(Value::Null).as_task(task))
///     }
/// }
/// ```
#[derive(Clone, Debug)]
pub struct MemoryTasks {
    inner: Arc<Inner>,
}

/// How many tasks are kept.
#[derive(Clone, Copy, Debug)]
pub struct TaskLimits {
    /// In all; above it no task is started, as none is taken away before its time.
    pub max_tasks: usize,
    /// Of one [`SessionOwner`].
    pub max_per_owner: usize,
}

/// What a task is started with.
#[derive(Clone, Copy, Debug)]
pub struct TaskOptions {
    /// How long after its start the task is kept; work that takes longer is cancelled.
    pub ttl: Duration,
    /// How often the client should ask.
    pub poll_interval: Duration,
}

#[derive(Debug)]
struct Inner {
    notifier: Notifier,
    limits: TaskLimits,
    entries: Mutex<HashMap<String, Arc<Entry>>>,
    closing: CancellationToken,
}

impl MemoryTasks {
    /// Changes are told to `notifier`, which is the server's ([`crate::ServerBuilder::notifier`]).
    pub fn new(notifier: Notifier, limits: TaskLimits) -> MemoryTasks {
        let closing = CancellationToken::new();
        MemoryTasks { inner: Arc::new(Inner { notifier, limits, entries: Mutex::default(), closing }) }
    }

    /// Starts `work` for the caller of `cx` and gives the task to answer with. Has to be called on a Tokio runtime.
    ///
    /// What the work returns is what the request would have been answered with; a panic is an internal error. A caller that
    /// takes no tasks ([`CallContext::supports_tasks`]) gets [`ToolError::tasks_required`].
    pub fn start<O, F, W>(&self, cx: &CallContext, options: TaskOptions, work: F) -> Result<Task, ToolError>
    where
        O: Serialize + JsonSchema,
        F: FnOnce(TaskHandle) -> W + Send + 'static,
        W: Future<Output = Result<ToolReply<O>, TaskFailure>> + Send + 'static,
    {
        if !cx.supports_tasks() {
            return Err(ToolError::tasks_required());
        }
        let entry = self.inner.add(cx, options)?;
        let task = entry.task();
        let handle = TaskHandle { entry: Arc::clone(&entry) };
        let work = async move { ended(work(handle).await) };
        let closing = self.inner.closing.clone();
        tokio::spawn(keep(Arc::downgrade(&self.inner), entry, closing, work));
        Ok(task)
    }

    fn find(&self, cx: &CallContext, task_id: &str) -> Option<Arc<Entry>> {
        let entries = self.inner.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = entries.get(task_id)?;
        (entry.owner.as_ref() == cx.extension::<SessionOwner>()).then(|| Arc::clone(entry))
    }
}

#[async_trait]
impl TaskStore for MemoryTasks {
    async fn get(&self, cx: &CallContext, task_id: &str) -> Result<Option<Task>, ErrorObjectOwned> {
        Ok(self.find(cx, task_id).map(|entry| entry.task()))
    }

    async fn update(
        &self,
        cx: &CallContext,
        task_id: &str,
        responses: InputResponses,
    ) -> Result<bool, ErrorObjectOwned> {
        let Some(entry) = self.find(cx, task_id) else { return Ok(false) };
        entry.answer(responses);
        Ok(true)
    }

    async fn cancel(&self, cx: &CallContext, task_id: &str) -> Result<bool, ErrorObjectOwned> {
        let Some(entry) = self.find(cx, task_id) else { return Ok(false) };
        entry.end(TaskState::Cancelled);
        entry.cancelled.cancel();
        Ok(true)
    }
}

impl Inner {
    fn add(&self, cx: &CallContext, options: TaskOptions) -> Result<Arc<Entry>, ToolError> {
        let owner = cx.extension::<SessionOwner>().cloned();
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= self.limits.max_tasks {
            return Err(too_many(self.limits.max_tasks, ""));
        }
        let own = || entries.values().filter(|entry| entry.owner == owner).count();
        if owner.is_some() && own() >= self.limits.max_per_owner {
            return Err(too_many(self.limits.max_per_owner, "of yours "));
        }
        let now = Timestamp::now();
        let entry = Arc::new(Entry {
            // Version 4: 122 random bits.
            id: Uuid::new_v4().to_string(),
            owner,
            ttl: options.ttl,
            poll_interval: options.poll_interval,
            created_at: now,
            client_capabilities: cx.info().client_capabilities.clone(),
            notifier: self.notifier.clone(),
            cancelled: self.closing.child_token(),
            progress: Mutex::new(Progress::new(now)),
        });
        entries.insert(entry.id.clone(), Arc::clone(&entry));
        Ok(entry)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.closing.cancel();
    }
}

/// Runs the work, and takes the task out when its time is over.
async fn keep(
    tasks: Weak<Inner>,
    entry: Arc<Entry>,
    closing: CancellationToken,
    work: impl Future<Output = TaskState> + Send,
) {
    let mut expired = std::pin::pin!(tokio::time::sleep(entry.ttl));
    {
        let work = AssertUnwindSafe(work).catch_unwind();
        tokio::select! {
            biased;
            () = entry.cancelled.cancelled() => {}
            ended = work => entry.end(ended.unwrap_or_else(|_| {
                tracing::error!(task.id = entry.id, "the work of a task panicked");
                failed(&error::internal())
            })),
            () = &mut expired => {
                let message = format!("the task has not ended within {} s", entry.ttl.as_secs_f64());
                entry.end(failed(&error::error(INTERNAL_ERROR, message)));
                entry.cancelled.cancel();
            }
        }
    }
    if !expired.is_elapsed() {
        tokio::select! {
            () = closing.cancelled() => {}
            () = &mut expired => {}
        }
    }
    if let Some(tasks) = tasks.upgrade() {
        tasks.entries.lock().unwrap_or_else(PoisonError::into_inner).remove(&entry.id);
    }
}

/// The state that the outcome of the work ends in: what the request would have been answered with.
fn ended<O: Serialize + JsonSchema>(outcome: Result<ToolReply<O>, TaskFailure>) -> TaskState {
    let result = match outcome {
        Ok(reply) => reply.into_untyped(&Normaliser::new(&schema::output::<O>())).map(ToolReply::into_result),
        Err(TaskFailure::Tool(error)) => Err(error),
        Err(TaskFailure::Protocol(error)) => return failed(&error),
    };
    let mut result = match result.or_else(ToolError::into_result) {
        Ok(result) => result,
        Err(error) => return failed(&error),
    };
    result.frame.result_type = Some("complete".to_owned());
    match serde_json::to_value(result) {
        Ok(result) => TaskState::Completed { result },
        Err(_) => failed(&error::internal()),
    }
}

fn failed(error: &ErrorObjectOwned) -> TaskState {
    TaskState::Failed { error: serde_json::to_value(error).unwrap_or_default() }
}

fn too_many(limit: usize, whose: &str) -> ToolError {
    ToolError::new("too_many_tasks", format!("{limit} tasks {whose}are kept already"))
        .remedy("try again when one of them has ended and its time is over")
}

impl Default for TaskLimits {
    fn default() -> Self {
        TaskLimits { max_tasks: 1000, max_per_owner: 200 }
    }
}

impl Default for TaskOptions {
    fn default() -> Self {
        TaskOptions { ttl: Duration::from_mins(10), poll_interval: Duration::from_secs(1) }
    }
}
