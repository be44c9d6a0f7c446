//! One attempt of one job: keeps its lease, passes on what asks it to end, and writes its outcome.

use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use tokio::task::JoinError;
use tokio::time::{Instant, MissedTickBehavior, Sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::cancel::{Cancel, CancelReason};
use crate::execution::{ExecuteError, Execution, Executor};
use crate::model::{INTERNAL_ERROR, Job, JobError, JobState, Lease, Outcome};
use crate::queue::{self, Inner};
use crate::store::StoreError;

/// How often an outcome is offered to a store that fails; the pauses between make about half a minute.
const COMPLETE_TRIES: u32 = 9;
/// More than any timer needs.
const FAR: Duration = Duration::from_hours(24 * 365);

pub(crate) struct Claimed {
    pub(crate) job: Job,
    pub(crate) lease: Lease,
    pub(crate) cancel: Cancel,
}

/// Why an attempt was asked to end; a later one outweighs those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Ask {
    Stop,
    End(CancelReason),
}

/// How the executor came to its end.
enum End {
    Returned(Result<Value, ExecuteError>),
    Panicked,
    /// It didn't end within the grace.
    Dropped,
}

pub(crate) async fn run(
    inner: Arc<Inner>,
    executor: Arc<dyn Executor>,
    claimed: Claimed,
    stop: CancellationToken,
) {
    let Claimed { job, lease, cancel } = claimed;
    let facts = Facts { max_attempts: job.max_attempts, attempt: job.attempt, deadline: job.deadline };
    let execution = Execution {
        store: Arc::clone(&inner.store),
        lease: lease.clone(),
        attempt: job.attempt,
        cancel: cancel.clone(),
        stopping: stop.child_token(),
    };
    let mut attempt = Attempt { cancel, asked: None, grace: Box::pin(tokio::time::sleep(FAR)), inner, lease };
    let task = tokio::spawn(async move { executor.execute(job, execution).await });
    let end = attempt.follow(AbortOnDropHandle::new(task), &facts, &stop).await;
    if let Some(outcome) = attempt.outcome(end, &facts) {
        attempt.complete(outcome).await;
    }
    attempt.inner.running.ended(&attempt.lease);
}

/// What of the job decides over its outcome.
struct Facts {
    attempt: u32,
    max_attempts: u32,
    deadline: Option<Timestamp>,
}

struct Attempt {
    inner: Arc<Inner>,
    lease: Lease,
    /// Tells the executor to end; others may, too.
    cancel: Cancel,
    asked: Option<Ask>,
    /// Runs once the executor was asked to end.
    grace: Pin<Box<Sleep>>,
}

impl Attempt {
    async fn follow(
        &mut self,
        mut task: AbortOnDropHandle<Result<Value, ExecuteError>>,
        facts: &Facts,
        stop: &CancellationToken,
    ) -> End {
        let every = (self.inner.config.lease / 3).max(Duration::from_millis(1));
        let mut beats = tokio::time::interval_at(Instant::now() + every, every);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let left = facts.deadline.map(|deadline| deadline.duration_since(self.inner.now()));
        let left = left.map_or(FAR, |left| Duration::try_from(left).unwrap_or_default().min(FAR));
        let mut deadline = Box::pin(tokio::time::sleep(left));
        let cancel = self.cancel.clone();
        loop {
            let before = self.asked;
            tokio::select! {
                biased;
                end = &mut task => {
                    // The executor may have been quicker to hear of it.
                    let stopped = stop.is_cancelled().then_some(Ask::Stop);
                    self.asked = self.asked.max(stopped).max(cancel.reason().map(Ask::End));
                    return self.ended(end);
                }
                () = cancel.token().cancelled(), if before <= Some(Ask::Stop) => {
                    self.ask(Ask::End(cancel.reason().unwrap_or(CancelReason::User)));
                }
                () = &mut deadline, if before <= Some(Ask::Stop) => self.ask(Ask::End(CancelReason::Deadline)),
                () = stop.cancelled(), if before.is_none() => self.ask(Ask::Stop),
                () = &mut self.grace, if before.is_some() => {
                    tracing::warn!(job.id = %self.lease.job_id, asked = ?before, "an attempt didn't end in time and is dropped");
                    self.asked = self.asked.max(cancel.reason().map(Ask::End));
                    return End::Dropped;
                }
                _ = beats.tick(), if before < Some(Ask::End(CancelReason::LeaseLost)) => self.beat(every).await,
            }
        }
    }

    fn ended(&self, end: Result<Result<Value, ExecuteError>, JoinError>) -> End {
        match end {
            Ok(returned) => End::Returned(returned),
            Err(error) => {
                // Not its message, which may hold what the job is about.
                let panicked = error.is_panic();
                tracing::error!(job.id = %self.lease.job_id, panicked, "the executor of a job broke off");
                End::Panicked
            }
        }
    }

    fn ask(&mut self, ask: Ask) {
        tracing::debug!(job.id = %self.lease.job_id, ?ask, "asking a job to end");
        if self.asked.is_none() {
            self.grace.as_mut().reset(Instant::now() + self.inner.config.grace);
        }
        self.asked = self.asked.max(Some(ask));
        if let Ask::End(reason) = ask {
            self.cancel.ask(reason);
        }
    }

    async fn beat(&mut self, at_most: Duration) {
        let inner = Arc::clone(&self.inner);
        let beat = inner.store.heartbeat(&self.lease, inner.config.lease, inner.now());
        match tokio::time::timeout(at_most, beat).await {
            Ok(Ok(beat)) => {
                self.lease = beat.lease;
                if beat.cancel_requested && self.asked < Some(Ask::End(CancelReason::User)) {
                    self.ask(Ask::End(CancelReason::User));
                }
            }
            Ok(Err(StoreError::LeaseLost)) => self.ask(Ask::End(CancelReason::LeaseLost)),
            Ok(Err(error)) => {
                tracing::warn!(job.id = %self.lease.job_id, error = &error as &dyn Error, "no heartbeat");
            }
            Err(_) => tracing::warn!(job.id = %self.lease.job_id, "no heartbeat: the store does not answer"),
        }
    }

    /// What to write; nothing when the job is another worker's.
    fn outcome(&self, end: End, facts: &Facts) -> Option<Outcome> {
        let error = match end {
            _ if self.asked == Some(Ask::End(CancelReason::LeaseLost)) => return None,
            End::Returned(Ok(result)) => return Some(Outcome::Succeeded(result)),
            End::Panicked => return Some(Outcome::Failed(internal_error())),
            End::Returned(Err(error)) => error,
            End::Dropped if self.asked == Some(Ask::Stop) => ExecuteError::Interrupted,
            End::Dropped => ExecuteError::Cancelled,
        };
        Some(match (self.asked, error) {
            // Whatever it says now, it says because it was asked to end.
            (Some(Ask::End(CancelReason::Deadline)), _) => Outcome::Failed(JobError::deadline_exceeded()),
            (Some(Ask::End(_)), _) | (_, ExecuteError::Cancelled) => Outcome::Cancelled,
            (Some(Ask::Stop), ExecuteError::Interrupted) => Outcome::Released,
            (_, ExecuteError::Interrupted) => self.again(interrupted(), facts),
            (_, ExecuteError::Failed(error)) if error.retryable => self.again(error, facts),
            (_, ExecuteError::Failed(error)) => Outcome::Failed(error),
        })
    }

    /// Another attempt, if there is one left and time for it.
    fn again(&self, error: JobError, facts: &Facts) -> Outcome {
        let delay = self.inner.config.retry_backoff.delay(&self.lease.job_id, facts.attempt);
        match self.inner.now().checked_add(delay) {
            Ok(run_after)
                if facts.attempt < facts.max_attempts
                    && facts.deadline.is_none_or(|deadline| run_after < deadline) =>
            {
                Outcome::Retry { error, run_after }
            }
            _ => Outcome::Failed(error),
        }
    }

    /// A store that fails is asked again for a while: the work is done, and only its outcome is missing. After that
    /// the lease expires, and another attempt finds the checkpoint.
    async fn complete(&self, outcome: Outcome) {
        let job_id = &self.lease.job_id;
        let mut pause = Duration::from_millis(100);
        for _ in 0..COMPLETE_TRIES {
            match self.inner.store.complete(&self.lease, outcome.clone(), self.inner.now()).await {
                Ok(job) => {
                    if job.state == JobState::Succeeded
                        && let Some(duration) = queue::duration(&job)
                    {
                        self.inner.took(duration);
                    }
                    tracing::debug!(job.id = %job_id, job.state = %job.state, job.attempt, "an attempt ended");
                    return self.inner.announcer.announce(&job);
                }
                Err(StoreError::LeaseLost) => {
                    return tracing::warn!(job.id = %job_id, "dropped the outcome of a job whose lease is lost");
                }
                Err(error) => {
                    tracing::error!(job.id = %job_id, error = &error as &dyn Error, "could not store an outcome");
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(8));
        }
    }
}

fn internal_error() -> JobError {
    JobError {
        code: INTERNAL_ERROR.into(),
        message: "the job ended in an internal error".into(),
        remedy: Some("see the server's log".into()),
        retryable: false,
    }
}

fn interrupted() -> JobError {
    JobError {
        code: "interrupted".into(),
        message: "the attempt was interrupted".into(),
        remedy: None,
        retryable: true,
    }
}
