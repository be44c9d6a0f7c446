//! The queue as its users see it: submit, look, cancel, wait.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::announce::Announcer;
use crate::config::QueueConfig;
use crate::execution::{Executor, Observer};
use crate::model::{Counts, Enqueued, Job, JobFilter, JobId, JobState, JobSummary, NewJob};
use crate::running::Running;
use crate::store::{JobStore, StoreError};
use crate::{check, worker};

/// How often a waiting call looks for an end that another process may have written.
const RECHECK: Duration = Duration::from_secs(5);
/// Jobs whose duration counts in an estimate.
const SAMPLE: usize = 32;

/// Where a queue reads the time.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Why the queue didn't do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// No more jobs are taken until some have run.
    #[error("the queue is full: {limit} jobs are waiting")]
    Full {
        /// [`QueueConfig::max_queued`].
        limit: usize,
    },
    /// No more jobs of this owner are taken until some have run.
    #[error("the owner's share of the queue is full: {limit} jobs are waiting")]
    OwnerFull {
        /// [`QueueConfig::max_queued_per_owner`].
        limit: usize,
    },
    /// The new job is not acceptable.
    #[error("{field}: {reason}")]
    Invalid {
        /// The field of [`NewJob`].
        field: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A queue of jobs over a store. Cheap to clone; the clones are one queue.
///
/// Submitting and looking go to the store and never wait for a job that runs. [`Queue::run`] does the work.
#[derive(Clone)]
pub struct Queue {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) store: Arc<dyn JobStore>,
    pub(crate) config: QueueConfig,
    pub(crate) clock: Clock,
    pub(crate) announcer: Arc<Announcer>,
    pub(crate) running: Running,
    /// Lets one submission at a time through, so that a burst can't pass the limits together.
    pub(crate) admission: tokio::sync::Mutex<()>,
    durations: Mutex<VecDeque<Duration>>,
}

impl Queue {
    /// A queue that reads the system's clock.
    pub fn new(store: Arc<dyn JobStore>, config: QueueConfig, observer: Arc<dyn Observer>) -> Queue {
        Queue::with_clock(store, config, observer, Arc::new(Timestamp::now))
    }

    /// A queue with a clock of the caller's, for tests. Timers are tokio's.
    pub fn with_clock(
        store: Arc<dyn JobStore>,
        config: QueueConfig,
        observer: Arc<dyn Observer>,
        clock: Clock,
    ) -> Queue {
        Queue {
            inner: Arc::new(Inner {
                store,
                config,
                clock,
                announcer: Arc::new(Announcer::new(observer)),
                running: Running::default(),
                admission: tokio::sync::Mutex::default(),
                durations: Mutex::default(),
            }),
        }
    }

    /// Queues a job, or finds the one with its idempotency key, also when the queue is full. Once this returns, the
    /// job is stored. Goes through to its end even if the caller leaves.
    pub async fn submit(&self, job: NewJob) -> Result<Enqueued, QueueError> {
        check::new_job(&job, &self.inner.config)?;
        let inner = Arc::clone(&self.inner);
        to_the_end(async move {
            let _admission = inner.admission.lock().await;
            if let Some(full) = inner.full_for(&job.owner).await? {
                return match &job.idempotency_key {
                    Some(key) => inner.store.find(&job.owner, key).await?.map(Enqueued::Existing).ok_or(full),
                    None => Err(full),
                };
            }
            let enqueued = inner.store.enqueue(job, inner.now()).await?;
            if let Enqueued::Created(job) = &enqueued {
                inner.announcer.announce(job);
            }
            Ok(enqueued)
        })
        .await
    }

    /// The job, or nothing.
    pub async fn get(&self, id: &JobId) -> Result<Option<Job>, QueueError> {
        Ok(self.inner.store.get(id).await?)
    }

    /// Jobs, newest first.
    pub async fn list(&self, filter: &JobFilter) -> Result<Vec<Job>, QueueError> {
        Ok(self.inner.store.list(filter).await?)
    }

    /// The same jobs, without what may be large in them.
    pub async fn summaries(&self, filter: &JobFilter) -> Result<Vec<JobSummary>, QueueError> {
        Ok(self.inner.store.summaries(filter).await?)
    }

    /// Jobs per state, of one owner or of all.
    pub async fn counts(&self, owner: Option<&str>) -> Result<Counts, QueueError> {
        Ok(self.inner.store.counts(owner).await?)
    }

    /// How many queued jobs are expected to start before this one; nothing when it isn't queued.
    pub async fn position(&self, id: &JobId) -> Result<Option<u64>, QueueError> {
        Ok(self.inner.store.position(id).await?)
    }

    /// Cancels a queued job, asks a running one to end, and leaves one that has ended as it is. A queued job with a
    /// checkpoint stays queued, marked, until a worker has cleaned up after it. The job as it is after that; nothing
    /// when there is none. Goes through to its end even if the caller leaves.
    ///
    /// A job that runs in this process is told at once, one in another process with its next heartbeat.
    pub async fn cancel(&self, id: &JobId) -> Result<Option<Job>, QueueError> {
        let (inner, id) = (Arc::clone(&self.inner), id.clone());
        to_the_end(async move {
            match inner.store.get(&id).await? {
                Some(job) if !job.state.is_terminal() => {}
                none_or_ended => return Ok(none_or_ended),
            }
            let Some(job) = inner.store.request_cancel(&id, inner.now()).await? else { return Ok(None) };
            if job.state == JobState::Running {
                inner.running.cancel(&id);
            }
            inner.announcer.announce(&job);
            Ok(Some(job))
        })
        .await
    }

    /// The job when it has ended, or as it is at `until`; nothing when there is none.
    ///
    /// An end that this process writes is seen at once, without asking the store; one that another process writes is
    /// seen within five seconds.
    pub async fn wait(&self, id: &JobId, until: Instant) -> Result<Option<Job>, QueueError> {
        let mut watch = self.inner.announcer.watch(id);
        loop {
            match self.inner.store.get(id).await? {
                Some(job) if !job.state.is_terminal() && Instant::now() < until => {}
                none_or_due => return Ok(none_or_due),
            }
            tokio::select! {
                job = watch.end() => return Ok(Some(job)),
                () = tokio::time::sleep_until(until.min(Instant::now() + RECHECK)) => {}
            }
        }
    }

    /// How long a queued job is likely to wait until it starts; nothing when it isn't queued, or nothing has
    /// succeeded yet to judge by.
    ///
    /// The mean duration of the last jobs that succeeded, times the starts that come before this one and have to
    /// wait for a free place, divided by the places.
    pub async fn estimate_wait(&self, id: &JobId) -> Result<Option<Duration>, QueueError> {
        let inner = &self.inner;
        let Some(position) = inner.store.position(id).await? else { return Ok(None) };
        let running = inner.store.counts(None).await?.running;
        let places = inner.config.max_concurrent_jobs.max(1) as u64;
        let free = places.saturating_sub(running);
        if position < free {
            return Ok(Some(Duration::ZERO));
        }
        let Some(mean) = inner.mean_duration().await? else { return Ok(None) };
        let ends = position - free + 1;
        Ok(Some(mean.mul_f64(ends as f64 / places as f64)))
    }

    /// Does the work until `stop` is cancelled: claims jobs while there are places, keeps their leases, retries what
    /// may be retried, takes back what other workers lost, and deletes what is older than the retention.
    ///
    /// Stopping asks the executors to end; their jobs are queued again with their checkpoints. Returns when all have
    /// ended, at the latest after the grace. Dropping the future ends the executors without a word to the store:
    /// their jobs are taken back when their leases expire.
    pub async fn run(&self, executor: Arc<dyn Executor>, stop: CancellationToken) {
        worker::run(Arc::clone(&self.inner), executor, stop).await;
    }
}

impl Inner {
    pub(crate) fn now(&self) -> Timestamp {
        (self.clock)()
    }

    pub(crate) fn took(&self, duration: Duration) {
        let mut durations = self.durations.lock().unwrap_or_else(PoisonError::into_inner);
        durations.truncate(SAMPLE - 1);
        durations.push_front(duration);
    }

    async fn full_for(&self, owner: &str) -> Result<Option<QueueError>, StoreError> {
        let (all, own) = (self.config.max_queued, self.config.max_queued_per_owner);
        if self.store.counts(None).await?.queued >= all as u64 {
            return Ok(Some(QueueError::Full { limit: all }));
        }
        if self.store.counts(Some(owner)).await?.queued >= own as u64 {
            return Ok(Some(QueueError::OwnerFull { limit: own }));
        }
        Ok(None)
    }

    async fn mean_duration(&self) -> Result<Option<Duration>, StoreError> {
        if let Some(mean) =
            mean(self.durations.lock().unwrap_or_else(PoisonError::into_inner).iter().copied())
        {
            return Ok(Some(mean));
        }
        // After a restart the history tells.
        let filter = JobFilter { states: vec![JobState::Succeeded], limit: SAMPLE, ..JobFilter::default() };
        Ok(mean(self.store.list(&filter).await?.iter().filter_map(duration)))
    }
}

/// How long the last attempt of a job took.
pub(crate) fn duration(job: &Job) -> Option<Duration> {
    job.finished_at?.duration_since(job.started_at?).try_into().ok()
}

fn mean(durations: impl Iterator<Item = Duration>) -> Option<Duration> {
    let (mut sum, mut count) = (Duration::ZERO, 0);
    for duration in durations {
        sum = sum.saturating_add(duration);
        count += 1;
    }
    sum.checked_div(count)
}

/// Between a change in the store and the word of it nobody's leaving may come, or those who wait would never hear.
async fn to_the_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, QueueError>> + Send + 'static,
) -> Result<T, QueueError> {
    tokio::spawn(work).await.unwrap_or_else(|error| Err(StoreError::failed(error).into()))
}
