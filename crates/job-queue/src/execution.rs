//! What does the work of a job, and what it is given while it does.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::cancel::{Cancel, CancelReason};
use crate::model::{Job, JobError, Lease};
use crate::store::{JobStore, StoreError};

/// Does the work of jobs; one call is one attempt.
#[async_trait]
pub trait Executor: Send + Sync + 'static {
    /// Runs the job and gives its result. A panic fails the job with the code `internal_error`.
    ///
    /// [`Execution::cancelled`] and [`Execution::stopping`] ask it to end soon; one that doesn't is dropped after
    /// the grace of [`QueueConfig`](crate::QueueConfig).
    async fn execute(&self, job: Job, execution: Execution) -> Result<Value, ExecuteError>;
}

/// Why an attempt gave no result.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ExecuteError {
    /// It failed; with [`JobError::retryable`] it is tried again, later, while attempts are left.
    #[error("{}", .0.message)]
    Failed(JobError),
    /// It ended because [`Execution::cancelled`] asked for it.
    #[error("the job was cancelled")]
    Cancelled,
    /// It ended because [`Execution::stopping`] asked for it; the job is queued again and goes on after a restart.
    #[error("the server is stopping")]
    Interrupted,
}

/// One attempt, from the inside.
#[derive(Clone)]
pub struct Execution {
    pub(crate) store: Arc<dyn JobStore>,
    pub(crate) lease: Lease,
    pub(crate) attempt: u32,
    pub(crate) cancel: Cancel,
    pub(crate) stopping: CancellationToken,
}

impl Execution {
    /// Stores what a later attempt needs to find this work again ([`Job::checkpoint`]). When it gives
    /// [`StoreError::LeaseLost`] the job is another worker's now, and this attempt should end.
    pub async fn checkpoint(&self, value: Value) -> Result<(), StoreError> {
        let stored = self.store.checkpoint(&self.lease, value).await;
        if matches!(stored, Err(StoreError::LeaseLost)) {
            self.cancel.ask(CancelReason::LeaseLost);
        }
        stored
    }

    /// Cancelled when the attempt must end: on a user's request, at the deadline, or when the lease is lost. From the
    /// beginning, when the job was cancelled after an earlier attempt: then the work that its checkpoint names is to
    /// be ended, and none to be begun.
    pub fn cancelled(&self) -> &CancellationToken {
        self.cancel.token()
    }

    /// Why [`Execution::cancelled`] is cancelled, once it is.
    pub fn cancel_reason(&self) -> Option<CancelReason> {
        self.cancel.reason()
    }

    /// Cancelled when the server stops: end with [`ExecuteError::Interrupted`], or soon with a result.
    pub fn stopping(&self) -> &CancellationToken {
        &self.stopping
    }

    /// Number of this attempt, from 1; that of the latest one, which may be 0, when the job only has to be cancelled.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }
}

/// Is told of jobs.
pub trait Observer: Send + Sync + 'static {
    /// Called after every committed change of a job by this process, one call at a time and for one job in the order
    /// of its life; a change that a later one overtook is left out. It must return at once, and not call the queue.
    fn job_changed(&self, job: &Job);
}

/// An observer that looks away.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoObserver;

impl Observer for NoObserver {
    fn job_changed(&self, _job: &Job) {}
}
