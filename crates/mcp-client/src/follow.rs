//! Following a job to its end, over lost connections and restarts of the server.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::Stream;
use mcp_protocol::client::{CallOptions, ClientError};
use mcp_protocol::wire::ProgressUpdate;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::error::GatewayError;
use crate::gateway::GatewayClient;
use crate::job::{Job, JobState};

/// How long the server holds one call; short enough for every proxy on the way.
const WAIT_SECONDS: u64 = 20;
/// A server that answers a waiting call sooner than this, with the job still not over, is not asked at once
/// again.
const SHORTEST_WAIT: Duration = Duration::from_millis(250);
/// How long a server may be away before its jobs are given up.
const PATIENCE: Duration = Duration::from_mins(1);
/// How long a server may answer that there are too many requests: it is there, and the job is safe.
pub const RATE_LIMIT_PATIENCE: Duration = Duration::from_mins(10);
/// The longest that is waited at once because a server asks for it.
pub const LONGEST_RATE_WAIT: Duration = Duration::from_mins(1);
/// The first pause after a failure; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Updates that nobody has looked at yet. Progress beyond that is left out, changes of state are not.
const UPDATES: usize = 64;

/// Something new about a job.
#[derive(Debug, Clone, PartialEq)]
pub enum JobUpdate {
    /// It is in another state than before; the first update is one of these or [`Finished`](Self::Finished).
    State(Box<Job>),
    /// It got further.
    Progress {
        /// 0 to 1, over the whole job.
        fraction: f64,
        /// What it does just now.
        message: Option<String>,
    },
    /// The server can't be asked just now; it is tried again.
    Retrying {
        /// Why.
        reason: String,
    },
    /// It is over: succeeded, failed or cancelled. Nothing comes after it.
    Finished(Box<Job>),
}

/// The updates of one job, as a [`Stream`] or with [`next`](Self::next). Dropping it stops the following, not
/// the job.
#[derive(Debug)]
pub struct JobUpdates {
    updates: mpsc::Receiver<Result<JobUpdate, GatewayError>>,
    follower: AbortHandle,
}

impl JobUpdates {
    /// The next update; `None` after the last. An error is the last, too. Can be dropped and called again.
    pub async fn next(&mut self) -> Option<Result<JobUpdate, GatewayError>> {
        self.updates.recv().await
    }
}

impl Stream for JobUpdates {
    type Item = Result<JobUpdate, GatewayError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.updates.poll_recv(context)
    }
}

impl Drop for JobUpdates {
    fn drop(&mut self) {
        self.follower.abort();
    }
}

impl GatewayClient {
    /// Follows a job. The server is asked to wait for it, again and again, so that nothing hangs on one long
    /// call; a server that is away for a while is waited for.
    pub fn subscribe_to_job(&self, job_id: impl Into<String>) -> JobUpdates {
        let (sender, updates) = mpsc::channel(UPDATES);
        let follower = Follower { gateway: self.clone(), job_id: job_id.into(), updates: sender, last: None };
        let task = tokio::spawn(follower.run());
        JobUpdates { updates, follower: task.abort_handle() }
    }

    /// Waits until a job is over, and tells how: a failed or cancelled job is an `Ok`. After `timeout` it is
    /// [`GatewayError::TimedOut`], and the job goes on.
    pub async fn wait_for_job_completion(
        &self,
        job_id: &str,
        timeout: Duration,
    ) -> Result<Job, GatewayError> {
        let mut updates = self.subscribe_to_job(job_id);
        let finished = async {
            while let Some(update) = updates.next().await {
                if let JobUpdate::Finished(job) = update? {
                    return Ok(*job);
                }
            }
            Err(GatewayError::Client(ClientError::Closed { reason: "the updates ended".to_owned() }))
        };
        tokio::time::timeout(timeout, finished)
            .await
            .map_err(|_| GatewayError::TimedOut { job_id: job_id.to_owned(), after: timeout })?
    }
}

struct Follower {
    gateway: GatewayClient,
    job_id: String,
    updates: mpsc::Sender<Result<JobUpdate, GatewayError>>,
    last: Option<JobState>,
}

impl Follower {
    async fn run(mut self) {
        let mut wait_seconds = 0;
        let mut failing_since: Option<Instant> = None;
        let mut limited_since: Option<Instant> = None;
        let mut pause = FIRST_PAUSE;
        loop {
            let asked = Instant::now();
            match self.ask(wait_seconds).await {
                Ok(job) => {
                    (failing_since, limited_since, pause) = (None, None, FIRST_PAUSE);
                    let over = job.state.is_terminal();
                    if self.tell(job).await.is_err() || over {
                        return;
                    }
                    let waited_for_nothing = wait_seconds > 0 && asked.elapsed() < SHORTEST_WAIT;
                    if waited_for_nothing {
                        tokio::time::sleep(SHORTEST_WAIT.saturating_sub(asked.elapsed())).await;
                    }
                    wait_seconds = WAIT_SECONDS;
                }
                Err(error) if self.waits_its_turn(&error, &mut limited_since).await => {}
                Err(error) => {
                    let since = *failing_since.get_or_insert(asked);
                    // A job that this follower has never seen is more likely a wrong address than a restart.
                    if !error.is_transient() || self.last.is_none() || since.elapsed() > PATIENCE {
                        let _ = self.updates.send(Err(error)).await;
                        return;
                    }
                    let _ = self.updates.try_send(Ok(JobUpdate::Retrying { reason: error.to_string() }));
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    /// Waits as long as the server asks for, where it answered that there were too many requests; false where
    /// it did not, or where that has gone on for too long.
    async fn waits_its_turn(&self, error: &GatewayError, since: &mut Option<Instant>) -> bool {
        let Some(wait) = error.retry_after() else { return false };
        if since.get_or_insert_with(Instant::now).elapsed() > RATE_LIMIT_PATIENCE {
            return false;
        }
        let _ = self.updates.try_send(Ok(JobUpdate::Retrying { reason: error.to_string() }));
        tokio::time::sleep(wait.clamp(FIRST_PAUSE, LONGEST_RATE_WAIT)).await;
        true
    }

    async fn ask(&self, wait_seconds: u64) -> Result<Job, GatewayError> {
        let furthest = Arc::new(Mutex::new(-1.0));
        let updates = self.updates.clone();
        let options = CallOptions::default().progress(move |update| {
            let fraction = fraction(&update);
            let mut furthest = furthest.lock().unwrap_or_else(PoisonError::into_inner);
            if fraction > *furthest {
                *furthest = fraction;
                let _ = updates.try_send(Ok(JobUpdate::Progress { fraction, message: update.message }));
            }
        });
        let arguments = json!({"job_id": self.job_id, "wait_seconds": wait_seconds});
        Ok(self.gateway.job_call("wait_for_job", arguments, options).await?.job)
    }

    /// Passes the job on; `Err` when nobody listens any more.
    async fn tell(&mut self, job: Job) -> Result<(), ()> {
        let changed = self.last.replace(job.state) != Some(job.state);
        let update = if job.state.is_terminal() {
            JobUpdate::Finished(Box::new(job))
        } else if changed {
            JobUpdate::State(Box::new(job))
        } else if let Some(fraction) = job.progress {
            JobUpdate::Progress { fraction, message: job.message }
        } else {
            return Ok(());
        };
        self.updates.send(Ok(update)).await.map_err(|_| ())
    }
}

fn fraction(update: &ProgressUpdate) -> f64 {
    let total = update.total.filter(|total| *total > 0.0).unwrap_or(100.0);
    let fraction = update.progress / total;
    if fraction.is_finite() { fraction.clamp(0.0, 1.0) } else { 0.0 }
}
