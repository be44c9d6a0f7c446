//! Calls that go on as tasks (extension `io.modelcontextprotocol/tasks`).

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use jsonrpsee::types::ErrorObjectOwned;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::Peer;
use super::connection::Connection;
use super::error::ClientError;
use super::notices::Notice;
use super::options::CallOptions;
use super::rounds::Answered;
use super::subscription::Subscription;
use super::transport::{self, in_time};
use crate::wire::{
    CallToolResult, CreateTaskResult, Era, GetTaskResult, InputResponses, SubscriptionFilter, Task,
    TaskParams, TaskState, UpdateTaskParams,
};

/// The wait between two looks at a task whose server names none.
const POLL: Duration = Duration::from_secs(1);
/// A server's wish for the wait is followed within these bounds.
const SHORTEST_POLL: Duration = Duration::from_millis(50);
const LONGEST_POLL: Duration = Duration::from_mins(5);
/// A task that the server tells of is looked at nevertheless now and then.
const SELDOM: Duration = Duration::from_mins(1);
/// How many looks in a row may fail for reasons that pass.
const MAX_FAILURES: u32 = 5;

/// What a call of a tool has come to.
#[derive(Debug, Clone)]
pub enum ToolOutcome {
    /// It is done.
    Result(CallToolResult),
    /// It goes on; [`Peer::wait_for_task`] waits for its end.
    Task(Task),
}

impl Peer {
    /// Calls a tool. `arguments` is an object. A result that [`is_error`](CallToolResult::is_error) is an
    /// `Ok`: the tool ran, or refused its arguments, and says why. Questions of the server are answered by
    /// [`PeerOptions::on_input`](super::PeerOptions::on_input).
    ///
    /// With [`PeerOptions::tasks`](super::PeerOptions::tasks) a call that goes on as a task is followed to its end. It
    /// has the same time as any call, and is cancelled when this future is dropped.
    pub async fn call_tool(
        &self,
        name: &str,
        arguments: Value,
        options: CallOptions,
    ) -> Result<CallToolResult, ClientError> {
        let timeout = options.timeout.unwrap_or(self.connection.options.timeout);
        let began = Instant::now();
        let task = match self.call_tool_or_task(name, arguments, options).await? {
            ToolOutcome::Result(result) => return Ok(result),
            ToolOutcome::Task(task) => task,
        };
        let mut cancel = CancelTask { connection: &self.connection, id: task.task_id.clone(), armed: true };
        let left = timeout.saturating_sub(began.elapsed());
        let result =
            in_time("tools/call", left, &self.connection.incoming, Box::pin(self.finish(task))).await;
        let result = match result {
            Err(ClientError::Timeout { method, .. }) => Err(ClientError::Timeout { method, after: timeout }),
            result => result,
        };
        cancel.armed = matches!(
            result,
            Err(ClientError::Timeout { .. }
                | ClientError::InputNeeded { .. }
                | ClientError::InputRefused { .. })
        );
        result
    }

    /// The same, but a task is given back as it is. That is possible only with
    /// [`PeerOptions::tasks`](super::PeerOptions::tasks).
    pub async fn call_tool_or_task(
        &self,
        name: &str,
        arguments: Value,
        mut options: CallOptions,
    ) -> Result<ToolOutcome, ClientError> {
        const METHOD: &str = "tools/call";
        let mut on_progress = options.on_progress.take();
        let params = Map::from_iter([("name".to_owned(), json!(name)), ("arguments".to_owned(), arguments)]);
        let call = self.connection.call(METHOD, params, &options);
        Ok(match self.connection.in_rounds(call, &mut on_progress).await? {
            Answered::Complete(result) => ToolOutcome::Result(transport::typed(METHOD, &result)?),
            Answered::Task(result) => ToolOutcome::Task(self.created(&result).await?),
        })
    }

    /// The task that a call was answered with. What belongs to its state may not be there: that comes with `tasks/get`
    /// alone.
    async fn created(&self, result: &RawValue) -> Result<Task, ClientError> {
        if let Ok(created) = transport::typed::<CreateTaskResult>("tools/call", result) {
            return Ok(created.task);
        }
        let created: TaskParams = transport::typed("tools/call", result)?;
        self.get_task(&created.task_id).await
    }

    /// How a task stands.
    pub async fn get_task(&self, id: &str) -> Result<Task, ClientError> {
        let result: GetTaskResult =
            self.connection.typed("tasks/get", task_params(id), CallOptions::default()).await?;
        Ok(result.task)
    }

    /// Answers questions of a task, by their keys.
    pub async fn update_task(&self, id: &str, answers: InputResponses) -> Result<(), ClientError> {
        let params = UpdateTaskParams { task_id: id.to_owned(), input_responses: answers };
        let params = transport::object(&params);
        self.connection.request("tasks/update", params, CallOptions::default()).await.map(drop)
    }

    /// Asks the server to cancel a task. It may end otherwise nevertheless, or later.
    pub async fn cancel_task(&self, id: &str) -> Result<(), ClientError> {
        self.connection.request("tasks/cancel", task_params(id), CallOptions::default()).await.map(drop)
    }

    /// Waits until a task has ended, however long that takes; the task goes on when the future is dropped. What it asks
    /// is answered by [`PeerOptions::on_input`](super::PeerOptions::on_input); without that the task is given back when
    /// it asks.
    ///
    /// Where the server tells of tasks it is listened to, else asked at the intervals that it names.
    pub async fn wait_for_task(&self, id: &str) -> Result<Task, ClientError> {
        let filter = SubscriptionFilter { task_ids: vec![id.to_owned()], ..SubscriptionFilter::default() };
        let told = match self.connection.era() {
            Era::Modern => self.listen(filter).await.ok(),
            Era::Legacy => None,
        };
        let told = told.filter(|told| told.agreed().task_ids.iter().any(|agreed| agreed == id));
        let mut following = Following { peer: self, id, told, answered: HashSet::new(), failures: 0 };
        let mut task = following.look().await?;
        loop {
            match &task.state {
                TaskState::InputRequired { .. } if self.connection.incoming.kinds.is_empty() => {
                    return Ok(task);
                }
                TaskState::InputRequired { input_requests } => following.answer(input_requests).await?,
                state if state.is_terminal() => return Ok(task),
                _ => {}
            }
            task = following.next(&task).await?;
        }
    }

    /// The result of a task that stands for a tool's call.
    async fn finish(&self, task: Task) -> Result<CallToolResult, ClientError> {
        let id = task.task_id.clone();
        let task = if task.state.is_terminal() && !matches!(task.state, TaskState::Completed { .. }) {
            task
        } else {
            self.wait_for_task(&id).await?
        };
        match task.state {
            TaskState::Completed { result } => serde_json::from_value(result)
                .map_err(|error| ClientError::protocol("tools/call", error.to_string())),
            TaskState::Failed { error } => Err(match serde_json::from_value::<ErrorObjectOwned>(error) {
                Ok(error) => error.into(),
                Err(_) => ClientError::protocol("tools/call", "its task failed with what is no error"),
            }),
            TaskState::Cancelled => Err(ClientError::TaskCancelled { id }),
            TaskState::InputRequired { input_requests } => {
                let asked = input_requests.values().find_map(|question| question.get("method"));
                let asked = asked.and_then(Value::as_str).unwrap_or("something").to_owned();
                Err(ClientError::InputNeeded { method: "tools/call".to_owned(), asked })
            }
            TaskState::Working => Err(ClientError::protocol("tools/call", "its task has no end")),
        }
    }
}

/// A task on its way to the end.
struct Following<'a> {
    peer: &'a Peer,
    id: &'a str,
    told: Option<Subscription>,
    /// Questions that were answered: a server may show them for a while after that.
    answered: HashSet<String>,
    failures: u32,
}

impl Following<'_> {
    /// How it stands after it has changed, or after a while.
    async fn next(&mut self, task: &Task) -> Result<Task, ClientError> {
        let wish = task.poll_interval_ms.map_or(POLL, Duration::from_millis);
        let wish = wish.clamp(SHORTEST_POLL, LONGEST_POLL);
        let wait = if self.told.is_some() { SELDOM.max(wish) } else { wish };
        let told = tokio::select! {
            told = next_told(&mut self.told) => told,
            () = tokio::time::sleep(wait) => return self.look().await,
        };
        match told {
            Ok(Some(Notice::Task(task))) if task.task_id == self.id => Ok(*task),
            Ok(Some(_)) => self.look().await,
            // Nothing more is told: from now on the server is asked.
            Ok(None) | Err(_) => {
                self.told = None;
                self.look().await
            }
        }
    }

    /// Asks the server. What passes by itself doesn't end the waiting.
    async fn look(&mut self) -> Result<Task, ClientError> {
        loop {
            match self.peer.get_task(self.id).await {
                Ok(task) => {
                    self.failures = 0;
                    return Ok(task);
                }
                Err(error) if error.is_transient() && self.failures < MAX_FAILURES => {
                    self.failures += 1;
                    tokio::time::sleep(POLL).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn answer(&mut self, questions: &Map<String, Value>) -> Result<(), ClientError> {
        let open: Map<String, Value> = questions
            .iter()
            .filter(|(key, _)| !self.answered.contains(*key))
            .map(|(key, question)| (key.clone(), question.clone()))
            .collect();
        if open.is_empty() {
            return Ok(());
        }
        let answers = self.peer.connection.answers("tasks/get", &open).await?;
        self.answered.extend(open.into_iter().map(|(key, _)| key));
        self.peer.update_task(self.id, answers).await
    }
}

async fn next_told(told: &mut Option<Subscription>) -> Result<Option<Notice>, ClientError> {
    match told {
        Some(told) => told.next().await,
        None => std::future::pending().await,
    }
}

fn task_params(id: &str) -> Map<String, Value> {
    Map::from_iter([("taskId".to_owned(), json!(id))])
}

/// Cancels the task of a call that nobody waits for any more.
struct CancelTask<'a> {
    connection: &'a Arc<Connection>,
    id: String,
    armed: bool,
}

impl Drop for CancelTask<'_> {
    fn drop(&mut self) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if !self.armed {
            return;
        }
        let (connection, params) = (Arc::clone(self.connection), task_params(&self.id));
        runtime.spawn(async move {
            let closing = connection.incoming.closing.clone();
            tokio::select! {
                () = closing.cancelled() => {}
                cancelled = connection.request("tasks/cancel", params, CallOptions::default()) => {
                    if let Err(error) = cancelled {
                        tracing::debug!(%error, "a task that nobody waits for was not cancelled");
                    }
                }
            }
        });
    }
}
