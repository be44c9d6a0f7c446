//! Tasks: requests that go on after they were answered (extension `io.modelcontextprotocol/tasks`).

mod handle;
mod memory;

use async_trait::async_trait;
use jsonrpsee::types::ErrorObjectOwned;

use crate::context::CallContext;
use crate::wire::{InputResponses, Task};

pub use handle::{TaskFailure, TaskHandle};
pub use memory::{MemoryTasks, TaskLimits, TaskOptions};

/// Keeps tasks. A tool makes one by answering with [`crate::ToolReply::as_task`], when it is kept already; changes are
/// told to [`crate::Notifier::task_changed`]. [`MemoryTasks`] is for tools whose server has no queue of its own.
///
/// Who may see a task is decided here, by the extensions of the context: another's task doesn't exist.
#[async_trait]
pub trait TaskStore: Send + Sync + 'static {
    /// The task as it is now; `None` if there is none (for this caller).
    async fn get(&self, cx: &CallContext, task_id: &str) -> Result<Option<Task>, ErrorObjectOwned>;

    /// Gives answers to open questions; keys that aren't open are ignored. False if there is no such task.
    async fn update(
        &self,
        cx: &CallContext,
        task_id: &str,
        responses: InputResponses,
    ) -> Result<bool, ErrorObjectOwned>;

    /// Asks for the task's end; a task that has ended stays as it is. False if there is no such task.
    async fn cancel(&self, cx: &CallContext, task_id: &str) -> Result<bool, ErrorObjectOwned>;
}

#[cfg(test)]
mod tests;
