//! Random runs of a queue, and what holds in all of them.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;
use serde_json::json;

use super::{Bench, does, failure, seconds};
use crate::{
    ExecuteError, Execution, Executor, Job, JobFilter, JobId, JobState, JobStore, NewJob, Priority,
    QueueConfig,
};

const PLACES: usize = 3;
const OWNERS: [&str; 3] = ["a", "b", "c"];
const KINDS: [&str; 6] = ["quick", "slow", "fails", "retries", "panics", "deaf"];

#[derive(Clone, Debug)]
enum Op {
    Submit {
        kind: &'static str,
        owner: &'static str,
        priority: i64,
        key: Option<u8>,
        due: Option<u64>,
    },
    Cancel(usize),
    /// So many seconds pass.
    Pass(u64),
    /// The server stops well and starts again.
    Restart,
    /// The server dies and starts again.
    Crash,
    /// Another server, with a clock far ahead, takes the leases away.
    Rob,
}

fn any_op() -> impl Strategy<Value = Op> {
    let submit = (
        proptest::sample::select(&KINDS[..]),
        proptest::sample::select(&OWNERS[..]),
        -100..=100_i64,
        proptest::option::weighted(0.3, 0..3_u8),
        proptest::option::weighted(0.2, 1..60_u64),
    );
    prop_oneof![
        8 => submit.prop_map(|(kind, owner, priority, key, due)| Op::Submit { kind, owner, priority, key, due }),
        3 => (0..20_usize).prop_map(Op::Cancel),
        4 => (0..40_u64).prop_map(Op::Pass),
        1 => Just(Op::Restart),
        1 => Just(Op::Crash),
        1 => Just(Op::Rob),
    ]
}

/// Counts itself out however it ends.
struct Busy(Arc<AtomicUsize>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn work(job: Job, execution: Execution) -> Result<serde_json::Value, ExecuteError> {
    match job.kind.as_str() {
        "slow" => {
            // So that it has to be cleaned up; the lease may be lost already.
            let _ = execution.checkpoint(json!("elsewhere")).await;
            tokio::select! {
                () = tokio::time::sleep(seconds(25)) => Ok(json!("slow")),
                () = execution.cancelled().cancelled() => Err(ExecuteError::Cancelled),
                () = execution.stopping().cancelled() => Err(ExecuteError::Interrupted),
            }
        }
        "deaf" => {
            tokio::time::sleep(seconds(45)).await;
            Ok(json!("deaf"))
        }
        "fails" => Err(ExecuteError::Failed(failure(false))),
        "retries" if execution.attempt() < 3 => Err(ExecuteError::Failed(failure(true))),
        "panics" => std::panic::resume_unwind(Box::new("quietly")),
        _ => Ok(json!("quick")),
    }
}

struct Run {
    bench: Bench,
    busy: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
    ids: Vec<JobId>,
    keys: HashMap<(&'static str, u8), JobId>,
}

impl Run {
    fn new() -> Run {
        let config = QueueConfig { max_concurrent_jobs: PLACES, ..QueueConfig::default() };
        let bench = Bench::new(config);
        let mut run =
            Run { bench, busy: Arc::default(), most: Arc::default(), ids: Vec::new(), keys: HashMap::new() };
        run.bench.start(run.executor());
        run
    }

    fn executor(&self) -> Arc<dyn Executor> {
        let (busy, most) = (self.busy.clone(), self.most.clone());
        does(move |job, execution| {
            let (count, most) = (busy.clone(), most.clone());
            async move {
                most.fetch_max(count.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                let _busy = Busy(count);
                work(job, execution).await
            }
        })
    }

    async fn apply(&mut self, op: &Op) {
        match *op {
            Op::Submit { kind, owner, priority, key, due } => {
                let job = NewJob {
                    priority: Priority::new(priority).unwrap(),
                    idempotency_key: key.map(|key| key.to_string()),
                    deadline: due.map(|after| self.bench.now() + seconds(after)),
                    ..NewJob::new(owner, kind, json!(null))
                };
                let id = self.bench.queue.submit(job).await.unwrap().into_job().id;
                if let Some(key) = key {
                    let first = self.keys.entry((owner, key)).or_insert_with(|| id.clone());
                    assert_eq!(*first, id, "a key is one job");
                }
                if !self.ids.contains(&id) {
                    self.ids.push(id);
                }
            }
            Op::Cancel(index) => {
                if let Some(id) = self.ids.get(index) {
                    let job = self.bench.queue.cancel(id).await.unwrap().expect("it is there");
                    assert!(job.state.is_terminal() || job.cancel_requested);
                }
            }
            Op::Pass(time) => tokio::time::sleep(seconds(time)).await,
            Op::Restart => {
                self.bench.stop().await;
                let counts = self.bench.queue.counts(None).await.unwrap();
                assert_eq!((counts.running, self.busy.load(Ordering::SeqCst)), (0, 0), "all ended");
                self.bench.start(self.executor());
            }
            Op::Crash => {
                let (worker, _) = self.bench.worker.take().expect("it was started");
                worker.abort();
                assert!(worker.await.is_err());
                while self.busy.load(Ordering::SeqCst) > 0 {
                    tokio::task::yield_now().await;
                }
                self.bench.store.void_leases(self.bench.now()).await.unwrap();
                self.bench.start(self.executor());
            }
            Op::Rob => {
                let later = self.bench.now() + seconds(31);
                // A deadline isn't to come early, so only where there is none.
                let filter = JobFilter { limit: 100, ..JobFilter::default() };
                let jobs = self.bench.store.list(&filter).await.unwrap();
                if jobs.iter().all(|job| job.deadline.is_none()) {
                    self.bench.store.reap_expired(later).await.unwrap();
                }
            }
        }
    }

    async fn holds(&self) {
        for id in &self.ids {
            let job = self.bench.get(id).await;
            assert!(job.attempt <= job.max_attempts, "{job:?}");
            assert_eq!(job.state.is_terminal(), job.finished_at.is_some(), "{job:?}");
            assert_eq!(job.state == JobState::Running, job.lease_expires_at.is_some(), "{job:?}");
            assert!(job.result.is_none() || job.state == JobState::Succeeded, "{job:?}");
            assert!(job.state != JobState::Failed || job.error.is_some(), "{job:?}");
        }
    }
}

async fn every_job_ends_once(ops: Vec<Op>) {
    let mut run = Run::new();
    for op in &ops {
        run.apply(op).await;
        run.holds().await;
    }
    let mut ended = Vec::new();
    for id in &run.ids {
        ended.push(run.bench.end(id).await);
    }
    tokio::time::sleep(seconds(200)).await;
    for job in ended {
        assert_eq!(run.bench.get(&job.id).await, job, "what has ended stays");
        let notes = run.bench.notes.of(&job.id);
        let ends = ["succeeded", "failed", "cancelled"];
        assert!(notes.split(' ').filter(|note| ends.contains(note)).count() <= 1, "{notes}");
    }
    assert!(run.most.load(Ordering::SeqCst) <= PLACES);
    assert_eq!(run.busy.load(Ordering::SeqCst), 0);
    assert_eq!(run.bench.queue.inner.announcer.waiting(), 0, "nobody waits, so nothing is kept for waiting");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_every_job_ends_once(ops in proptest::collection::vec(any_op(), 0..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(every_job_ends_once(ops));
    }
}
