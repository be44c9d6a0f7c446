//! The queue over a store in memory, on tokio's paused time.

mod ending;
mod random;
mod running;
mod submitting;

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{
    Clock, Counts, Enqueued, ExecuteError, Execution, Executor, Heartbeat, Job, JobError, JobFilter, JobId,
    JobState, JobStore, JobSummary, Lease, MemoryStore, NewJob, Observer, Outcome, Queue, QueueConfig,
    StoreError,
};

type Work = Pin<Box<dyn Future<Output = Result<Value, ExecuteError>> + Send>>;

/// An executor out of a closure.
struct Does<F>(F);

#[async_trait]
impl<F: Fn(Job, Execution) -> Work + Send + Sync + 'static> Executor for Does<F> {
    async fn execute(&self, job: Job, execution: Execution) -> Result<Value, ExecuteError> {
        (self.0)(job, execution).await
    }
}

fn does<F, W>(work: F) -> Arc<dyn Executor>
where
    F: Fn(Job, Execution) -> W + Send + Sync + 'static,
    W: Future<Output = Result<Value, ExecuteError>> + Send + 'static,
{
    Arc::new(Does(move |job, execution| -> Work { Box::pin(work(job, execution)) }))
}

/// Takes the seconds that the payload tells.
fn sleeps() -> Arc<dyn Executor> {
    does(|job, _| async move {
        tokio::time::sleep(seconds(job.payload.as_u64().unwrap_or(0))).await;
        Ok(json!("slept"))
    })
}

/// Ends when it is cancelled, and not before.
fn hangs() -> Arc<dyn Executor> {
    does(|_, execution| async move {
        execution.cancelled().cancelled().await;
        Err(ExecuteError::Cancelled)
    })
}

/// Notes each change.
#[derive(Default)]
struct Notes(Mutex<Vec<(JobId, JobState)>>);

impl Observer for Notes {
    fn job_changed(&self, job: &Job) {
        self.0.lock().unwrap().push((job.id.clone(), job.state));
    }
}

impl Notes {
    fn of(&self, id: &JobId) -> String {
        let notes = self.0.lock().unwrap();
        notes.iter().filter(|(of, _)| of == id).map(|(_, state)| state.as_str()).collect::<Vec<_>>().join(" ")
    }
}

/// A store that counts looks at jobs, and fails on demand.
#[derive(Default)]
struct Shaky {
    store: MemoryStore,
    gets: AtomicUsize,
    failing_completes: AtomicUsize,
    failing_heartbeats: AtomicUsize,
    failing_claims: AtomicUsize,
}

fn fails(left: &AtomicUsize) -> Result<(), StoreError> {
    match left.try_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)) {
        Ok(_) => Err(StoreError::failed("the disk is full")),
        Err(_) => Ok(()),
    }
}

#[async_trait]
impl JobStore for Shaky {
    async fn enqueue(&self, job: NewJob, now: Timestamp) -> Result<Enqueued, StoreError> {
        // As a database does: others get a turn.
        tokio::task::yield_now().await;
        self.store.enqueue(job, now).await
    }
    async fn get(&self, id: &JobId) -> Result<Option<Job>, StoreError> {
        self.gets.fetch_add(1, Ordering::SeqCst);
        self.store.get(id).await
    }
    async fn find(&self, owner: &str, key: &str) -> Result<Option<Job>, StoreError> {
        self.store.find(owner, key).await
    }
    async fn list(&self, filter: &JobFilter) -> Result<Vec<Job>, StoreError> {
        self.store.list(filter).await
    }
    async fn summaries(&self, filter: &JobFilter) -> Result<Vec<JobSummary>, StoreError> {
        self.store.summaries(filter).await
    }
    async fn claim(
        &self,
        worker: &str,
        lease: Duration,
        now: Timestamp,
    ) -> Result<Option<(Job, Lease)>, StoreError> {
        fails(&self.failing_claims)?;
        self.store.claim(worker, lease, now).await
    }
    async fn heartbeat(
        &self,
        lease: &Lease,
        extend: Duration,
        now: Timestamp,
    ) -> Result<Heartbeat, StoreError> {
        fails(&self.failing_heartbeats)?;
        self.store.heartbeat(lease, extend, now).await
    }
    async fn checkpoint(&self, lease: &Lease, value: Value) -> Result<(), StoreError> {
        self.store.checkpoint(lease, value).await
    }
    async fn complete(&self, lease: &Lease, outcome: Outcome, now: Timestamp) -> Result<Job, StoreError> {
        fails(&self.failing_completes)?;
        self.store.complete(lease, outcome, now).await
    }
    async fn request_cancel(&self, id: &JobId, now: Timestamp) -> Result<Option<Job>, StoreError> {
        self.store.request_cancel(id, now).await
    }
    async fn reap_expired(&self, now: Timestamp) -> Result<Vec<Job>, StoreError> {
        self.store.reap_expired(now).await
    }
    async fn void_leases(&self, now: Timestamp) -> Result<u64, StoreError> {
        self.store.void_leases(now).await
    }
    async fn counts(&self, owner: Option<&str>) -> Result<Counts, StoreError> {
        tokio::task::yield_now().await;
        self.store.counts(owner).await
    }
    async fn position(&self, id: &JobId) -> Result<Option<u64>, StoreError> {
        self.store.position(id).await
    }
    async fn next_run_after(&self, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        self.store.next_run_after(now).await
    }
    async fn prune(&self, finished_before: Timestamp) -> Result<u64, StoreError> {
        self.store.prune(finished_before).await
    }
    async fn wait_for_work(&self) {
        self.store.wait_for_work().await;
    }
}

/// A queue, and its worker when one is started.
struct Bench {
    queue: Queue,
    store: Arc<Shaky>,
    notes: Arc<Notes>,
    clock: Clock,
    worker: Option<(JoinHandle<()>, CancellationToken)>,
}

impl Bench {
    fn new(config: QueueConfig) -> Bench {
        let (store, notes, start) = (Arc::<Shaky>::default(), Arc::<Notes>::default(), Instant::now());
        let clock: Clock = Arc::new(move || {
            let elapsed = SignedDuration::try_from(start.elapsed()).unwrap();
            Timestamp::UNIX_EPOCH + SignedDuration::from_secs(1_800_000_000) + elapsed
        });
        let queue = Queue::with_clock(store.clone(), config, notes.clone(), clock.clone());
        Bench { queue, store, notes, clock, worker: None }
    }

    fn started(config: QueueConfig, executor: Arc<dyn Executor>) -> Bench {
        let mut bench = Bench::new(config);
        bench.start(executor);
        bench
    }

    fn start(&mut self, executor: Arc<dyn Executor>) {
        let (queue, stop) = (self.queue.clone(), CancellationToken::new());
        let stopped = stop.clone();
        self.worker = Some((tokio::spawn(async move { queue.run(executor, stopped).await }), stop));
    }

    async fn stop(&mut self) {
        let (worker, stop) = self.worker.take().expect("a worker was started");
        stop.cancel();
        worker.await.expect("the worker ends well");
    }

    fn now(&self) -> Timestamp {
        (self.clock)()
    }

    async fn submit(&self, payload: Value) -> JobId {
        self.submit_job(NewJob::new("owner", "test", payload)).await
    }

    async fn submit_job(&self, job: NewJob) -> JobId {
        match self.queue.submit(job).await.expect("submit") {
            Enqueued::Created(job) => job.id,
            Enqueued::Existing(job) => panic!("{job:?} should be new"),
        }
    }

    async fn get(&self, id: &JobId) -> Job {
        self.queue.get(id).await.expect("get").expect("the job is there")
    }

    /// The job when it has ended.
    async fn end(&self, id: &JobId) -> Job {
        let job =
            self.queue.wait(id, Instant::now() + seconds(10_000)).await.expect("wait").expect("it is there");
        assert!(job.state.is_terminal(), "{job:?} never ends");
        job
    }

    /// Lets everybody work until the job runs.
    async fn runs(&self, id: &JobId) {
        while self.get(id).await.state != JobState::Running {
            tokio::task::yield_now().await;
        }
    }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn failure(retryable: bool) -> JobError {
    JobError { code: "broken".into(), message: "it broke".into(), remedy: None, retryable }
}
