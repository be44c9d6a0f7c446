//! The trait of a store of jobs: every rule of the state machine is kept behind these calls.

use std::error::Error;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::Value;

use crate::model::{Counts, Enqueued, Heartbeat, Job, JobFilter, JobId, JobSummary, Lease, NewJob, Outcome};

/// Why a store couldn't do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The lease isn't the job's any more: the job ended, was queued again, or runs under a newer lease.
    #[error("the lease on the job is lost")]
    LeaseLost,
    /// The store itself failed.
    #[error("the job store failed")]
    Failed(#[source] Box<dyn Error + Send + Sync>),
}

impl StoreError {
    /// Wraps the failure of whatever is under the store.
    pub fn failed(source: impl Into<Box<dyn Error + Send + Sync>>) -> StoreError {
        StoreError::Failed(source.into())
    }
}

/// Where jobs are kept.
///
/// Every call is atomic and may be made from any task. The caller passes the time in, and a store keeps at least its
/// milliseconds. `contract::run` (feature `contract`) checks an implementation against all that is said here.
#[async_trait]
pub trait JobStore: Send + Sync + 'static {
    /// Queues a job: `created_at` and `run_after` are `now`, `attempt` and `fence` 0. A job that the same owner has
    /// under the same idempotency key is given back instead, unchanged and in whatever state.
    async fn enqueue(&self, job: NewJob, now: Timestamp) -> Result<Enqueued, StoreError>;

    /// The job, or nothing.
    async fn get(&self, id: &JobId) -> Result<Option<Job>, StoreError>;

    /// The job that an owner has under an idempotency key.
    async fn find(&self, owner: &str, idempotency_key: &str) -> Result<Option<Job>, StoreError>;

    /// Jobs by falling id, so newest first.
    async fn list(&self, filter: &JobFilter) -> Result<Vec<Job>, StoreError>;

    /// The same jobs, without reading what may be large in them.
    async fn summaries(&self, filter: &JobFilter) -> Result<Vec<JobSummary>, StoreError>;

    /// Starts the next job that is queued, has `run_after <= now` and no deadline at or before `now`: it is running,
    /// with `attempt` and `fence` one higher, `started_at` now, and leased until `now + lease`.
    ///
    /// Before all others comes a queued job whose cancel was asked for, whatever its time and its deadline: it is
    /// started in the same way to be cleaned up, but its `attempt` stays.
    ///
    /// Which one is next, among those claimable now:
    /// 1. The priority: the jobs of one priority age together. Its effective priority is the priority plus 1 for
    ///    each whole minute that its longest waiting job has waited (`now - run_after`). The highest wins, and with
    ///    equals the higher plain priority.
    /// 2. Within it, the owner with the fewest running jobs (of any priority), and with equals the owner whose last
    ///    start (`started_at` of any of its jobs) is the longest ago, never being the longest.
    /// 3. The oldest: the lowest id.
    async fn claim(
        &self,
        worker: &str,
        lease: Duration,
        now: Timestamp,
    ) -> Result<Option<(Job, Lease)>, StoreError>;

    /// Extends the lease to `now + extend`. A lease that has expired but wasn't reaped is still good.
    /// [`StoreError::LeaseLost`] when the job isn't running under this fence.
    async fn heartbeat(
        &self,
        lease: &Lease,
        extend: Duration,
        now: Timestamp,
    ) -> Result<Heartbeat, StoreError>;

    /// Stores what the executor needs to go on after a restart, in place of what was there.
    /// [`StoreError::LeaseLost`] as for a heartbeat.
    async fn checkpoint(&self, lease: &Lease, value: Value) -> Result<(), StoreError>;

    /// Ends the attempt as [`Outcome`] says, and gives the lease back. The checkpoint stays; a success clears `error`.
    /// [`StoreError::LeaseLost`] as for a heartbeat; nothing is changed then.
    async fn complete(&self, lease: &Lease, outcome: Outcome, now: Timestamp) -> Result<Job, StoreError>;

    /// A queued job is cancelled at once, a running one is marked, one that ended stays as it is. Nothing when there
    /// is no such job.
    ///
    /// A checkpoint (other than null) says that work may go on outside, which a worker has to end: a queued job with
    /// one stays queued, is marked, and is there to be claimed. The same goes wherever a marked job would be queued
    /// again: it is cancelled without a checkpoint, and queued to be claimed at once with one.
    async fn request_cancel(&self, id: &JobId, now: Timestamp) -> Result<Option<Job>, StoreError>;

    /// Takes back what nobody works on, and gives the jobs that changed:
    /// - running with a lease that ended at or before `now`: cancelled, as by [`JobStore::request_cancel`] on a queued
    ///   job, when that was asked for, else failed with
    ///   [`JobError::deadline_exceeded`](crate::JobError::deadline_exceeded) when past the deadline, else queued
    ///   again (`run_after` and checkpoint stay, so it keeps its age) while attempts are left, else failed with
    ///   [`JobError::worker_lost`](crate::JobError::worker_lost);
    /// - queued, not marked, with a deadline at or before `now`: failed with the error of the deadline.
    async fn reap_expired(&self, now: Timestamp) -> Result<Vec<Job>, StoreError>;

    /// For the start of a server that has the store to itself: nobody holds a lease, so every running job is queued
    /// again, with its checkpoint, and its attempt isn't counted; one whose cancel was asked for is cancelled, as by
    /// [`JobStore::request_cancel`] on a queued job.
    /// Gives the number of jobs changed.
    async fn void_leases(&self, now: Timestamp) -> Result<u64, StoreError>;

    /// Jobs per state, of one owner or of all.
    async fn counts(&self, owner: Option<&str>) -> Result<Counts, StoreError>;

    /// How many queued jobs are expected to start before this one; nothing when it isn't queued.
    ///
    /// An estimate, without ageing and the running jobs: by falling priority, then by the job's place among its
    /// owner's queued jobs of that priority (by id; owners take turns), then by id.
    async fn position(&self, id: &JobId) -> Result<Option<u64>, StoreError>;

    /// The earliest `run_after` later than `now` among the queued jobs: when to look again if no work comes before.
    async fn next_run_after(&self, now: Timestamp) -> Result<Option<Timestamp>, StoreError>;

    /// Deletes the jobs that ended before a time and gives their number.
    async fn prune(&self, finished_before: Timestamp) -> Result<u64, StoreError>;

    /// Returns when there may be something to claim: a job was enqueued, queued again, or marked in the
    /// queue. A wake-up that comes while
    /// nobody waits is kept for the next call; one without work is allowed. Dropping the future loses nothing.
    async fn wait_for_work(&self);
}
