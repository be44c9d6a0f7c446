//! Jobs as tools see them: submit, wait while telling the progress, look up for the owner alone, and answer.

mod answer;

use std::time::Duration;

use auth::Principal;
use job_queue::{Enqueued, Job, JobId, JobState, NewJob, Priority, Queue, QueueError};
use mcp_protocol::{CallContext, ToolReply};
use progress::Event;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use self::answer::{made, reply, shown, view};
use crate::app::App;
use crate::error::ServerError;
use crate::guard::principal;
use crate::plan::Plan;
use crate::tasks;
use crate::views::{Brief, JobReply};

/// A job is begun this often before it is given up.
const MAX_ATTEMPTS: u32 = 3;

/// How a job is queued and how long its call waits.
#[derive(Debug, Clone, Default)]
pub struct Delivery {
    /// Higher goes first.
    pub priority: Option<i64>,
    /// How long the call waits for the result.
    pub wait: Option<Duration>,
    /// The same key gives the same job.
    pub idempotency_key: Option<String>,
    /// Of the arguments that say what the job does, where there is a key.
    pub fingerprint: Option<String>,
    /// Whether the pictures are kept without the workflow that ComfyUI writes into them.
    pub strip_metadata: bool,
}

/// Finds the job that an earlier call with the same key made, and waits for it.
pub async fn repeated(
    app: &App,
    cx: &CallContext,
    principal: &Principal,
    delivery: &Delivery,
) -> Result<Option<ToolReply<JobReply>>, ServerError> {
    let Some(key) = &delivery.idempotency_key else { return Ok(None) };
    let found = app.storage.jobs().find(&principal.client_id, key).await.map_err(ServerError::internal)?;
    let Some(job) = found else { return Ok(None) };
    check_same(&job, delivery)?;
    begun(app, cx, job, delivery).await.map(Some)
}

/// A key stands for one job; other arguments under it are a mistake of the caller's.
fn check_same(job: &Job, delivery: &Delivery) -> Result<(), ServerError> {
    match (Brief::of(job).fingerprint, &delivery.fingerprint) {
        (Some(before), Some(now)) if before != *now => Err(ServerError::InvalidArgument {
            field: "idempotency_key".into(),
            problem: format!("it stands for job {}, which has other arguments; use a new key", job.id),
        }),
        _ => Ok(()),
    }
}

/// Queues a plan and waits for it.
pub async fn run(
    app: &App,
    cx: &CallContext,
    principal: &Principal,
    mut plan: Plan,
    delivery: Delivery,
) -> Result<ToolReply<JobReply>, ServerError> {
    let priority = Priority::new(delivery.priority.unwrap_or(0)).map_err(|error| {
        ServerError::InvalidArgument { field: "priority".into(), problem: error.to_string() }
    })?;
    plan.fingerprint.clone_from(&delivery.fingerprint);
    plan.strip_metadata = delivery.strip_metadata;
    let tool = plan.tool.clone();
    let payload =
        app.off_runtime(move || serde_json::to_value(plan)).await?.map_err(ServerError::internal)?;
    let mut new = NewJob::new(principal.client_id.clone(), tool, payload);
    new.priority = priority;
    new.max_attempts = MAX_ATTEMPTS;
    new.idempotency_key.clone_from(&delivery.idempotency_key);
    let (enqueued, guard) = submit(app, new).await?;
    check_same(enqueued.job(), &delivery)?;
    let reply = begun(app, cx, enqueued.into_job(), &delivery).await;
    if let Some(guard) = guard {
        guard.disarm();
    }
    reply
}

/// What a call that has its job answers: a task at once where the client takes tasks, else the job when it has ended or
/// the wait is over.
async fn begun(
    app: &App,
    cx: &CallContext,
    job: Job,
    delivery: &Delivery,
) -> Result<ToolReply<JobReply>, ServerError> {
    cx.set_subject(job.id.as_str());
    if cx.supports_tasks() && !job.state.is_terminal() {
        let task = tasks::task(app, &job).await?;
        return Ok(reply(app, &job).await?.as_task(task));
    }
    let job = wait(app, cx, job, delivery.wait.unwrap_or(app.default_wait())).await?;
    made(app, &job).await
}

/// Queues a job. A caller that hangs up before it learns the job's id can never ask for it again, so that the guard
/// comes with the job, also when the caller leaves while it is stored; one with an idempotency key can ask, by the same
/// call.
pub(crate) async fn submit(app: &App, new: NewJob) -> Result<(Enqueued, Option<OrphanGuard>), ServerError> {
    let (queue, stopping) = (app.queue.clone(), app.stopping.clone());
    let submitted = tokio::spawn(async move {
        let has_key = new.idempotency_key.is_some();
        let enqueued = queue.submit(new).await?;
        let orphan = matches!(enqueued, Enqueued::Created(_)) && !has_key;
        let guard = orphan.then(|| OrphanGuard { queue, stopping, id: Some(enqueued.job().id.clone()) });
        Ok((enqueued, guard))
    });
    // When nobody awaits it, its result is dropped where it ends, and the guard with it.
    submitted.await.map_err(ServerError::internal)?
}

/// Waits for a job, telling the caller how far it is, until it ends, the time is up, or the server stops.
pub async fn wait(app: &App, cx: &CallContext, job: Job, limit: Duration) -> Result<Job, ServerError> {
    if job.state.is_terminal() || limit.is_zero() {
        return Ok(job);
    }
    let mut events = app.hub.subscribe(job.id.as_str(), None);
    let mut listening = cx.wants_progress();
    let id = job.id.clone();
    let ended = app.queue.wait(&id, Instant::now() + limit);
    tokio::pin!(ended);
    loop {
        tokio::select! {
            biased;
            job_now = &mut ended => {
                let job = job_now?.unwrap_or(job);
                if job.state == JobState::Succeeded {
                    cx.progress(100.0, Some(100.0), Some("done"));
                }
                return Ok(job);
            }
            () = app.stopping.cancelled() => break,
            event = events.next(), if listening => match event {
                Some(envelope) => tell(cx, &envelope.event),
                None => listening = false,
            },
        }
    }
    Ok(app.queue.get(&id).await?.unwrap_or(job))
}

/// Percent with one decimal: enough for a bar, and few enough to send.
fn tell(cx: &CallContext, event: &Event) {
    if let Event::Progress(progress) = event {
        let percent = (progress.fraction * 1000.0).floor() / 10.0;
        cx.progress(percent, Some(100.0), progress.message.as_deref());
    }
}

/// The job that a call is about, if it is the caller's.
pub async fn of_call(app: &App, cx: &CallContext, id: &str) -> Result<Job, ServerError> {
    let job = owned(app, &*principal(cx)?, id).await?;
    cx.set_subject(job.id.as_str());
    Ok(job)
}

/// The job, if it is the caller's.
pub async fn owned(app: &App, principal: &Principal, id: &str) -> Result<Job, ServerError> {
    let missing = || ServerError::NotFound { kind: "job", id: id.to_owned() };
    let parsed: JobId = id.parse().map_err(|_| missing())?;
    let job = app.queue.get(&parsed).await?.ok_or_else(missing)?;
    if job.owner == principal.client_id { Ok(job) } else { Err(missing()) }
}

/// Cancels a job whose caller went away before it learned the id.
pub(crate) struct OrphanGuard {
    queue: Queue,
    stopping: CancellationToken,
    id: Option<JobId>,
}

impl OrphanGuard {
    fn disarm(mut self) {
        self.id = None;
    }
}

impl Drop for OrphanGuard {
    fn drop(&mut self) {
        // A server that stops drops its calls too; their jobs go on after it is back.
        if self.stopping.is_cancelled() {
            return;
        }
        let (Some(id), Ok(runtime)) = (self.id.take(), tokio::runtime::Handle::try_current()) else { return };
        let queue = self.queue.clone();
        runtime.spawn(async move {
            tracing::info!(job.id = %id, "the caller is gone before it knew the job; it is cancelled");
            if let Err(error) = queue.cancel(&id).await {
                tracing::warn!(job.id = %id, %error, "an abandoned job could not be cancelled");
            }
        });
    }
}

impl From<QueueError> for ServerError {
    fn from(error: QueueError) -> Self {
        match error {
            QueueError::Full { limit } => Self::QueueFull { limit },
            QueueError::OwnerFull { limit } => Self::OwnQueueFull { limit },
            QueueError::Invalid { field, reason } => {
                Self::InvalidArgument { field: field.to_owned(), problem: reason.clone() }
            }
            other @ QueueError::Store(_) => Self::internal(other),
        }
    }
}
