//! The methods of the tasks extension.

use std::sync::Arc;

use jsonrpsee::types::ErrorObjectOwned;

use super::{Module, parsed, register as add};
use crate::context::CallContext;
use crate::error::{self, INVALID_PARAMS, quoted};
use crate::server::Core;
use crate::task::TaskStore;
use crate::wire::{Era, GetTaskResult, ResultFrame, TaskParams, UpdateTaskParams, required_tasks};

pub(super) fn register(core: &Arc<Core>, module: &mut Module) {
    if core.tasks.is_none() {
        return;
    }
    add(module, "tasks/get", |core, cx, params| async move {
        let tasks = core.task_store(&cx)?;
        let TaskParams { task_id } = parsed(&params)?;
        let task = tasks.get(&cx, &task_id).await?.ok_or_else(|| no_task(&task_id))?;
        Ok(GetTaskResult { task, frame: core.frame(Era::Modern) })
    });
    add(module, "tasks/update", |core, cx, params| async move {
        let tasks = core.task_store(&cx)?;
        let UpdateTaskParams { task_id, input_responses } = parsed(&params)?;
        acknowledged(&core, tasks.update(&cx, &task_id, input_responses).await?, &task_id)
    });
    add(module, "tasks/cancel", |core, cx, params| async move {
        let tasks = core.task_store(&cx)?;
        let TaskParams { task_id } = parsed(&params)?;
        acknowledged(&core, tasks.cancel(&cx, &task_id).await?, &task_id)
    });
}

impl Core {
    /// The store, for a client that has declared the extension on this request.
    pub(super) fn task_store(&self, cx: &CallContext) -> Result<&dyn TaskStore, ErrorObjectOwned> {
        if !cx.supports_tasks() {
            return Err(error::missing_capability(&required_tasks()));
        }
        self.tasks.as_deref().ok_or_else(error::internal)
    }
}

fn acknowledged(core: &Core, found: bool, task_id: &str) -> Result<ResultFrame, ErrorObjectOwned> {
    if found { Ok(core.frame(Era::Modern)) } else { Err(no_task(task_id)) }
}

fn no_task(task_id: &str) -> ErrorObjectOwned {
    error::error(INVALID_PARAMS, format!("there is no task {} (any more)", quoted(task_id)))
}
