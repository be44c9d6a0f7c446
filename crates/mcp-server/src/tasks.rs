//! Tasks of the extension `io.modelcontextprotocol/tasks`. A task is a job, under the same id: it outlives the server,
//! and the tools of jobs work on it too.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use job_queue::{Job, JobState};
use jsonrpsee::types::ErrorObjectOwned;
use mcp_protocol::wire::{InputResponses, Task, TaskState};
use mcp_protocol::{CallContext, TaskStore, ToolReply};
use serde_json::Value;

use crate::app::App;
use crate::error::ServerError;
use crate::guard::{self, principal};
use crate::jobs;
use crate::views::JobView;

/// How often a client should ask. One that listens hears of changes sooner.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// The queue as a store of tasks.
pub(crate) struct JobTasks(pub(crate) Arc<App>);

#[async_trait]
impl TaskStore for JobTasks {
    async fn get(&self, cx: &CallContext, task_id: &str) -> Result<Option<Task>, ErrorObjectOwned> {
        let Some(job) = self.job(cx, task_id).await? else { return Ok(None) };
        self.0.updates.watch(&job);
        Ok(Some(task(&self.0, &job).await?))
    }

    /// A job asks nothing while it runs, so no key is open.
    async fn update(
        &self,
        cx: &CallContext,
        task_id: &str,
        _responses: InputResponses,
    ) -> Result<bool, ErrorObjectOwned> {
        Ok(self.job(cx, task_id).await?.is_some())
    }

    /// Asks for the end and doesn't wait for it.
    async fn cancel(&self, cx: &CallContext, task_id: &str) -> Result<bool, ErrorObjectOwned> {
        let Some(job) = self.job(cx, task_id).await? else { return Ok(false) };
        Ok(self.0.queue.cancel(&job.id).await.map_err(ServerError::from)?.is_some())
    }
}

impl JobTasks {
    async fn job(&self, cx: &CallContext, task_id: &str) -> Result<Option<Job>, ServerError> {
        let principal = principal(cx)?;
        if !guard::may(&principal, "get_job_status") {
            return Ok(None);
        }
        match jobs::owned(&self.0, &principal, task_id).await {
            // Another spelling of the id would be another task to whoever listens.
            Ok(job) => Ok(Some(job).filter(|job| job.id.as_str() == task_id)),
            Err(ServerError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The job as a task.
pub(crate) async fn task(app: &App, job: &Job) -> Result<Task, ServerError> {
    let (state, status_message) = match job.state {
        JobState::Queued | JobState::Running => {
            let message = if job.cancel_requested {
                "it is being cancelled".to_owned()
            } else {
                standing(&jobs::view(app, job).await?)
            };
            (TaskState::Working, Some(message))
        }
        JobState::Succeeded => (TaskState::Completed { result: result(app, job).await? }, None),
        JobState::Failed => {
            let message = job.error.as_ref().map(|error| error.message.clone());
            (TaskState::Completed { result: result(app, job).await? }, message)
        }
        JobState::Cancelled => (TaskState::Cancelled, None),
    };
    Ok(Task {
        task_id: job.id.to_string(),
        state,
        status_message,
        created_at: job.created_at,
        last_updated_at: job.finished_at.or(job.started_at).unwrap_or(job.created_at),
        ttl_ms: time_to_live(app, job),
        poll_interval_ms: Some(millis(POLL_INTERVAL)),
    })
}

/// What the tool would have answered, had its caller waited.
async fn result(app: &App, job: &Job) -> Result<Value, ServerError> {
    let ToolReply { output, content, error, task: _ } = jobs::made(app, job).await?;
    let output = serde_json::to_value(output).map_err(ServerError::internal)?;
    let mut result = ToolReply { output, content, error, task: None }.into_result();
    result.frame.result_type = Some("complete".to_owned());
    serde_json::to_value(result).map_err(ServerError::internal)
}

/// Where an unfinished job stands, in a line.
fn standing(job: &JobView) -> String {
    let mut text = match (job.position, job.progress) {
        (Some(0), _) => "queued, next in line".to_owned(),
        (Some(position), _) => format!("queued, {position} before it"),
        (None, Some(progress)) => format!("running, {:.0} %", progress * 100.0),
        (None, None) => "running".to_owned(),
    };
    if let Some(message) = &job.message {
        text = format!("{text}: {message}");
    }
    text
}

/// From its creation. A job that has not ended is kept until it has.
fn time_to_live(app: &App, job: &Job) -> Option<u64> {
    if app.settings.job_retention_days == 0 {
        return None;
    }
    let lived: Duration = job.finished_at?.duration_since(job.created_at).try_into().ok()?;
    Some(millis(lived + app.settings.job_retention()))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
