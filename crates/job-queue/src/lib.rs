//! A durable job queue with priorities, leases and fencing, over a store of your choice.

mod execution;
mod model;
mod store;

pub use execution::{ExecuteError, Execution, Executor, NoObserver, Observer};
pub use model::{
    Counts, DEADLINE_EXCEEDED, Enqueued, Heartbeat, INTERNAL_ERROR, InvalidJobId, InvalidJobState, Job,
    JobError, JobFilter, JobId, JobState, Lease, NewJob, Outcome, Priority, PriorityOutOfRange, WORKER_LOST,
};
pub use store::{JobStore, StoreError};
