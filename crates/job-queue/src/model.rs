//! What a job is: its identity, its states, and the records that a store keeps and gives out.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// Identity of a job: a UUIDv7 in lower-case hyphenated form, so that the order of ids is the order of creation.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct JobId(String);

/// A text that is not the id of a job.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the id of a job: expected a UUID")]
pub struct InvalidJobId;

impl JobId {
    /// A fresh id; ids made by one process are in rising order.
    #[expect(clippy::new_without_default, reason = "a default that differs every time would surprise")]
    pub fn new() -> JobId {
        JobId(Uuid::now_v7().to_string())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JobId({})", self.0)
    }
}

impl FromStr for JobId {
    type Err = InvalidJobId;

    fn from_str(text: &str) -> Result<JobId, InvalidJobId> {
        // The other spellings of a UUID (braces, URN, no hyphens) would be other keys for the same job.
        if text.len() != 36 {
            return Err(InvalidJobId);
        }
        Uuid::try_parse(text).map(|id| JobId(id.to_string())).map_err(|_| InvalidJobId)
    }
}

impl TryFrom<String> for JobId {
    type Error = InvalidJobId;

    fn try_from(text: String) -> Result<JobId, InvalidJobId> {
        text.parse()
    }
}

impl From<JobId> for String {
    fn from(id: JobId) -> String {
        id.0
    }
}

/// Priority of a job, -100 to 100, higher first; 0 by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub struct Priority(i8);

/// A priority outside of -100 to 100.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the priority {given} is not between -100 and 100")]
pub struct PriorityOutOfRange {
    /// The number that was given.
    pub given: i64,
}

impl Priority {
    /// The lowest priority.
    pub const MIN: Priority = Priority(-100);
    /// The highest priority.
    pub const MAX: Priority = Priority(100);

    /// Checks the range.
    pub fn new(given: i64) -> Result<Priority, PriorityOutOfRange> {
        match i8::try_from(given) {
            Ok(value) if (-100..=100).contains(&value) => Ok(Priority(value)),
            _ => Err(PriorityOutOfRange { given }),
        }
    }

    /// The number, -100 to 100.
    pub fn get(self) -> i8 {
        self.0
    }
}

impl TryFrom<i64> for Priority {
    type Error = PriorityOutOfRange;

    fn try_from(given: i64) -> Result<Priority, PriorityOutOfRange> {
        Priority::new(given)
    }
}

impl From<Priority> for i64 {
    fn from(priority: Priority) -> i64 {
        priority.0.into()
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where a job stands: queued → running → succeeded | failed | cancelled. A running job may be queued again (a
/// retry, a lost worker, a shutdown), and a queued one may end without running (its deadline, or a cancel; after an
/// attempt that left a checkpoint, a cancelled job runs once more to clean up).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Waits to be claimed.
    Queued,
    /// A worker holds its lease.
    Running,
    /// Ended with a result.
    Succeeded,
    /// Ended with an error.
    Failed,
    /// Ended because somebody asked for it.
    Cancelled,
}

/// A text that is not the name of a state.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a state of a job: expected queued, running, succeeded, failed or cancelled")]
pub struct InvalidJobState;

impl JobState {
    /// Every state.
    pub const ALL: [JobState; 5] =
        [JobState::Queued, JobState::Running, JobState::Succeeded, JobState::Failed, JobState::Cancelled];

    /// The name in snake case, as serde writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            JobState::Queued => "queued",
            JobState::Running => "running",
            JobState::Succeeded => "succeeded",
            JobState::Failed => "failed",
            JobState::Cancelled => "cancelled",
        }
    }

    /// Whether the job has ended; it never leaves such a state.
    pub fn is_terminal(self) -> bool {
        matches!(self, JobState::Succeeded | JobState::Failed | JobState::Cancelled)
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for JobState {
    type Err = InvalidJobState;

    fn from_str(text: &str) -> Result<JobState, InvalidJobState> {
        JobState::ALL.into_iter().find(|state| state.as_str() == text).ok_or(InvalidJobState)
    }
}

/// Why an attempt or a job failed, as a client may see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobError {
    /// Stable name of the kind of failure, in snake case.
    pub code: String,
    /// What went wrong.
    pub message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    /// Whether another attempt may succeed.
    pub retryable: bool,
}

/// [`JobError::code`] of a job that didn't end by its deadline.
pub const DEADLINE_EXCEEDED: &str = "deadline_exceeded";
/// [`JobError::code`] of a job whose last attempt ended with its worker.
pub const WORKER_LOST: &str = "worker_lost";
/// [`JobError::code`] of a job whose executor panicked.
pub const INTERNAL_ERROR: &str = "internal_error";

impl JobError {
    /// The error of a job whose deadline has passed.
    pub fn deadline_exceeded() -> JobError {
        JobError {
            code: DEADLINE_EXCEEDED.into(),
            message: "the job did not end by its deadline".into(),
            remedy: Some("submit it again with a later deadline".into()),
            retryable: false,
        }
    }

    /// The error of a job whose worker went away in the last of `attempts` attempts.
    pub fn worker_lost(attempts: u32) -> JobError {
        JobError {
            code: WORKER_LOST.into(),
            message: format!("the worker went away in attempt {attempts}, which was the last"),
            remedy: Some("submit the job again".into()),
            retryable: true,
        }
    }
}

/// A job to be queued.
#[derive(Clone, Debug, PartialEq)]
pub struct NewJob {
    /// Who owns the job, e.g. the id of a client; fairness and idempotency keys are per owner.
    pub owner: String,
    /// What kind of work it is; only the executor reads it.
    pub kind: String,
    /// What the executor needs.
    pub payload: Value,
    /// Higher first.
    pub priority: Priority,
    /// A second job of the same owner with the same key is the first one.
    pub idempotency_key: Option<String>,
    /// How many attempts there may be, at least 1.
    pub max_attempts: u32,
    /// When the job is given up, queued or running.
    pub deadline: Option<Timestamp>,
}

impl NewJob {
    /// A job with priority 0, up to 3 attempts, no idempotency key and no deadline.
    pub fn new(owner: impl Into<String>, kind: impl Into<String>, payload: Value) -> NewJob {
        NewJob {
            owner: owner.into(),
            kind: kind.into(),
            payload,
            priority: Priority::default(),
            idempotency_key: None,
            max_attempts: 3,
            deadline: None,
        }
    }
}

/// A job as the store knows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// Its identity.
    pub id: JobId,
    /// Who owns it.
    pub owner: String,
    /// What kind of work it is.
    pub kind: String,
    /// What the executor needs.
    pub payload: Value,
    /// Higher first.
    pub priority: Priority,
    /// Where it stands.
    pub state: JobState,
    /// Number of the latest attempt that counts, from 1; 0 when there was none.
    pub attempt: u32,
    /// How many attempts there may be.
    pub max_attempts: u32,
    /// Unique per owner.
    pub idempotency_key: Option<String>,
    /// When it was queued first.
    pub created_at: Timestamp,
    /// Not claimed before this time; a queued job waits, and ages, since then.
    pub run_after: Timestamp,
    /// When it was claimed last; kept while it is queued again.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// When it is given up.
    pub deadline: Option<Timestamp>,
    /// Somebody asked for its end while it ran, or had a checkpoint; queued, it waits to be cleaned up.
    pub cancel_requested: bool,
    /// What the executor stored last, e.g. where the work runs; kept over attempts.
    pub checkpoint: Option<Value>,
    /// What it gave, when it succeeded.
    pub result: Option<Value>,
    /// Why it failed, or why its last attempt did.
    pub error: Option<JobError>,
    /// Until when the worker holds it, while it runs.
    pub lease_expires_at: Option<Timestamp>,
    /// How often it was claimed: a lease with a lower number is void.
    pub fence: u64,
}

/// The right to run a job and to write its outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The job.
    pub job_id: JobId,
    /// Who holds it; for people, the fence decides.
    pub worker: String,
    /// [`Job::fence`] when it was claimed.
    pub fence: u64,
    /// Afterwards [`JobStore::reap_expired`](crate::JobStore::reap_expired) may take the job away.
    pub expires_at: Timestamp,
}

/// What became of a new job.
#[derive(Clone, Debug, PartialEq)]
pub enum Enqueued {
    /// It is queued.
    Created(Job),
    /// The owner has a job with this idempotency key, in whatever state.
    Existing(Job),
}

impl Enqueued {
    /// The job, new or not.
    pub fn job(&self) -> &Job {
        match self {
            Enqueued::Created(job) | Enqueued::Existing(job) => job,
        }
    }

    /// The job, new or not.
    pub fn into_job(self) -> Job {
        match self {
            Enqueued::Created(job) | Enqueued::Existing(job) => job,
        }
    }
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// With this result.
    Succeeded(Value),
    /// For good, with this error.
    Failed(JobError),
    /// Because somebody asked for it.
    Cancelled,
    /// Queued again, not before a time. Without attempts left the job fails with the error; with a cancel asked
    /// for, as for [`Outcome::Released`].
    Retry {
        /// Why the attempt failed.
        error: JobError,
        /// When to try again.
        run_after: Timestamp,
    },
    /// The worker stops: queued again at once, the attempt isn't counted. With a cancel asked for it is cancelled, or
    /// queued to be cleaned up when it has a checkpoint.
    Released,
}

/// Which jobs to list; newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobFilter {
    /// Jobs of this owner alone.
    pub owner: Option<String>,
    /// Jobs in one of these states; empty = in any.
    pub states: Vec<JobState>,
    /// At most so many.
    pub limit: usize,
    /// Jobs older than this one: the last of the page before.
    pub before: Option<JobId>,
}

/// What a list says of a job: it doesn't hold what may be large.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobSummary {
    /// Its identity.
    pub id: JobId,
    /// What kind of work it is.
    pub kind: String,
    /// Where it stands.
    pub state: JobState,
    /// When it was queued first.
    pub created_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

impl From<&Job> for JobSummary {
    fn from(job: &Job) -> JobSummary {
        JobSummary {
            id: job.id.clone(),
            kind: job.kind.clone(),
            state: job.state,
            created_at: job.created_at,
            finished_at: job.finished_at,
        }
    }
}

/// How many jobs are in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Waiting.
    pub queued: u64,
    /// Running.
    pub running: u64,
    /// Ended with a result.
    pub succeeded: u64,
    /// Ended with an error.
    pub failed: u64,
    /// Ended on request.
    pub cancelled: u64,
}

/// What a heartbeat gives back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// The lease with its new end.
    pub lease: Lease,
    /// Somebody asked for the end of the job.
    pub cancel_requested: bool,
}

#[cfg(test)]
mod tests;
