//! A durable job queue with priorities, leases and fencing, over a store of your choice.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use job_queue::{
//!     ExecuteError, Execution, Executor, Job, JobState, MemoryStore, NewJob, NoObserver, Queue, QueueConfig,
//! };
//! use serde_json::{Value, json};
//!
//! struct Double;
//!
//! #[async_trait::async_trait]
//! impl Executor for Double {
//!     async fn execute(&self, job: Job, _execution: Execution) -> Result<Value, ExecuteError> {
//!         Ok(json!(job.payload.as_i64().unwrap_or(0) * 2))
//!     }
//! }
//!
//! let queue = Queue::new(Arc::new(MemoryStore::new()), QueueConfig::default(), Arc::new(NoObserver));
//! let stop = tokio_util::sync::CancellationToken::new();
//! let worker = tokio::spawn({
//!     let (queue, stop) = (queue.clone(), stop.clone());
//!     async move { queue.run(Arc::new(Double), stop).await }
//! });
//!
//! let id = queue.submit(NewJob::new("client-1", "double", json!(21))).await?.into_job().id;
//! let until = tokio::time::Instant::now() + Duration::from_secs(5);
//! let job = queue.wait(&id, until).await?.expect("it was submitted");
//! assert_eq!((job.state, job.result), (JobState::Succeeded, Some(json!(42))));
//!
//! stop.cancel();
//! worker.await?;
//! # Ok(())
//! # }
//! ```

mod announce;
mod attempt;
mod cancel;
mod check;
mod config;
#[cfg(any(test, feature = "contract"))]
pub mod contract;
mod execution;
mod memory;
mod model;
mod queue;
mod running;
mod store;
#[cfg(test)]
mod tests;
pub mod transition;
mod worker;

pub use cancel::CancelReason;
pub use config::{Backoff, QueueConfig};
pub use execution::{ExecuteError, Execution, Executor, NoObserver, Observer};
pub use memory::MemoryStore;
pub use model::{
    Counts, DEADLINE_EXCEEDED, Enqueued, Heartbeat, INTERNAL_ERROR, InvalidJobId, InvalidJobState, Job,
    JobError, JobFilter, JobId, JobState, JobSummary, Lease, NewJob, Outcome, Priority, PriorityOutOfRange,
    WORKER_LOST,
};
pub use queue::{Clock, Queue, QueueError};
pub use store::{JobStore, StoreError};
