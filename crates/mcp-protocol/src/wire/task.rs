//! Tasks on the wire (extension `io.modelcontextprotocol/tasks`).

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::ResultFrame;

/// The name under which both sides declare the extension in `capabilities.extensions`.
pub const TASKS_EXTENSION: &str = "io.modelcontextprotocol/tasks";

/// A request that goes on after it was answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Task {
    /// Impossible to guess.
    pub task_id: String,
    /// Where it stands, with what belongs to that.
    #[serde(flatten)]
    pub state: TaskState,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_message: Option<String>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it last changed.
    pub last_updated_at: Timestamp,
    /// How long after its creation it is kept, in milliseconds; `None` is for good.
    pub ttl_ms: Option<u64>,
    /// How often a client should ask, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub poll_interval_ms: Option<u64>,
}

/// Where a task stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum TaskState {
    /// It is being worked on.
    Working,
    /// It waits for `tasks/update`.
    #[serde(rename_all = "camelCase")]
    InputRequired {
        /// The questions that are open, by key.
        input_requests: Map<String, Value>,
    },
    /// It has ended; a tool that failed is in the result.
    Completed {
        /// What the request would have been answered with.
        result: Value,
    },
    /// It has ended with a JSON-RPC error.
    Failed {
        /// The error object.
        error: Value,
    },
    /// It was cancelled.
    Cancelled,
}

/// `tools/call` answered with a task.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CreateTaskResult {
    /// The task as it is now.
    #[serde(flatten)]
    pub task: Task,
    /// Modern members; `resultType` is `task`.
    #[serde(flatten)]
    pub frame: ResultFrame,
}

/// The result of `tasks/get`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GetTaskResult {
    /// The task as it is now.
    #[serde(flatten)]
    pub task: Task,
    /// Modern members.
    #[serde(flatten)]
    pub frame: ResultFrame,
}

/// The parameters of `tasks/get` and `tasks/cancel`, without `_meta`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskParams {
    /// Which task.
    pub task_id: String,
}

/// The parameters of `tasks/update`, without `_meta`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UpdateTaskParams {
    /// Which task.
    pub task_id: String,
    /// Answers by the keys of the open questions.
    pub input_responses: Map<String, Value>,
}

impl TaskState {
    /// Whether it can't change any more.
    pub fn is_terminal(&self) -> bool {
        matches!(self, TaskState::Completed { .. } | TaskState::Failed { .. } | TaskState::Cancelled)
    }
}

/// Whether a client with these capabilities takes tasks.
pub fn supports_tasks(capabilities: &Value) -> bool {
    capabilities
        .get("extensions")
        .and_then(|extensions| extensions.get(TASKS_EXTENSION))
        .is_some_and(Value::is_object)
}

/// The extension as `requiredCapabilities` of an error says it.
pub(crate) fn required_tasks() -> Value {
    json!({"extensions": {TASKS_EXTENSION: {}}})
}
