//! `get_job_status`, `wait_for_job`, `cancel_job` and `get_queue_status`.

use std::sync::Arc;

use job_queue::JobState;
use mcp_protocol::wire::ToolAnnotations;
use mcp_protocol::{CallContext, Tool, ToolDefinition, ToolError, ToolReply};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::arguments::seconds;
use super::{principal, reads, tells};
use crate::app::App;
use crate::backend::Health;
use crate::error::ServerError;
use crate::jobs;
use crate::views::JobReply;

/// Looks a job up.
pub(super) struct GetJobStatus(pub(super) Arc<App>);
/// Waits for a job's end.
pub(super) struct WaitForJob(pub(super) Arc<App>);
/// Cancels a job.
pub(super) struct CancelJob(pub(super) Arc<App>);
/// Tells how full the queue is.
pub(super) struct GetQueueStatus(pub(super) Arc<App>);

#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct JobArgs {
    job_id: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct WaitArgs {
    job_id: String,
    #[schemars(range(min = 0, max = 3600))]
    wait_seconds: Option<f64>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(extend("properties" = {}))]
pub(super) struct NoArgs {}

/// The queue and the machines that it feeds.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct QueueStatus {
    queued: u64,
    running: u64,
    #[schemars(skip)]
    max_concurrent_jobs: usize,
    /// The caller's own jobs.
    #[schemars(skip)]
    yours: Yours,
    #[schemars(skip)]
    backends: Vec<BackendStatus>,
}

#[derive(Debug, Serialize)]
struct Yours {
    queued: u64,
    running: u64,
    succeeded: u64,
    failed: u64,
    cancelled: u64,
}

#[derive(Debug, Serialize)]
struct BackendStatus {
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl Tool for GetJobStatus {
    type Args = JobArgs;
    type Output = JobReply;

    fn definition(&self) -> ToolDefinition {
        reads(
            "get_job_status",
            "A job: its state (queued, running, succeeded, failed, cancelled), progress and results.",
        )
    }

    async fn call(&self, cx: CallContext, args: Self::Args) -> Result<ToolReply<JobReply>, ToolError> {
        let job = jobs::of_call(&self.0, &cx, &args.job_id).await?;
        Ok(jobs::reply(&self.0, &job).await?)
    }
}

impl Tool for WaitForJob {
    type Args = WaitArgs;
    type Output = JobReply;

    fn definition(&self) -> ToolDefinition {
        reads("wait_for_job", "Wait until a job ends, at most wait_seconds (20).")
    }

    async fn call(&self, cx: CallContext, args: Self::Args) -> Result<ToolReply<JobReply>, ToolError> {
        let job = jobs::of_call(&self.0, &cx, &args.job_id).await?;
        let limit = seconds(args.wait_seconds).unwrap_or(self.0.default_wait());
        let job = jobs::wait(&self.0, &cx, job, limit).await?;
        Ok(jobs::reply(&self.0, &job).await?)
    }
}

impl Tool for CancelJob {
    type Args = JobArgs;
    type Output = JobReply;

    fn definition(&self) -> ToolDefinition {
        let mut definition = ToolDefinition::new("cancel_job", "Stop a queued or running job.");
        definition.annotations = ToolAnnotations {
            read_only: Some(false),
            destructive: Some(true),
            idempotent: Some(true),
            ..ToolAnnotations::default()
        };
        definition
    }

    async fn call(&self, cx: CallContext, args: Self::Args) -> Result<ToolReply<JobReply>, ToolError> {
        let job = jobs::of_call(&self.0, &cx, &args.job_id).await?;
        let job = self.0.queue.cancel(&job.id).await.map_err(ServerError::from)?.unwrap_or(job);
        // A running job ends a moment later, when ComfyUI has let go of the prompt.
        let job = match job.state {
            JobState::Running => jobs::wait(&self.0, &cx, job, self.0.cancel_wait()).await?,
            _ => job,
        };
        Ok(jobs::reply(&self.0, &job).await?)
    }
}

impl Tool for GetQueueStatus {
    type Args = NoArgs;
    type Output = QueueStatus;

    fn definition(&self) -> ToolDefinition {
        tells("get_queue_status", "How full the queue is, and whether ComfyUI answers.")
    }

    async fn call(&self, cx: CallContext, _: Self::Args) -> Result<ToolReply<QueueStatus>, ToolError> {
        let app = &self.0;
        let all = app.queue.counts(None).await.map_err(ServerError::from)?;
        let own = app.queue.counts(Some(&principal(&cx)?.client_id)).await.map_err(ServerError::from)?;
        let backends = app.pool.backends().iter().map(|backend| {
            let (state, version, reason) = match backend.health() {
                Health::Connecting => ("connecting", None, None),
                Health::Up { version } => ("up", Some(version), None),
                Health::Down { reason } => ("down", None, Some(reason)),
            };
            // Where ComfyUI is concerns nobody who has come by a key; a reason says it too.
            let url = Some(backend.name.clone()).filter(|_| !app.settings.enable_auth);
            BackendStatus { reason: reason.filter(|_| url.is_some()), url, state, version }
        });
        let status = QueueStatus {
            queued: all.queued,
            running: all.running,
            max_concurrent_jobs: app.settings.max_concurrent_jobs,
            yours: Yours {
                queued: own.queued,
                running: own.running,
                succeeded: own.succeeded,
                failed: own.failed,
                cancelled: own.cancelled,
            },
            backends: backends.collect(),
        };
        Ok(status.into())
    }
}
