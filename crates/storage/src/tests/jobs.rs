//! What the suite doesn't ask of the store of jobs: files, many tasks, and speed.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use job_queue::{JobFilter, JobState, JobStore, NewJob, Outcome, StoreError};
use serde_json::json;

use super::{Temporary, at};

const LEASE: Duration = Duration::from_secs(30);

fn new_job(owner: &str) -> NewJob {
    NewJob::new(owner, "generate", json!({"seed": u64::MAX}))
}

#[tokio::test]
async fn everything_is_there_after_a_kill() {
    let temporary = Temporary::new().await;
    let jobs = temporary.storage.jobs();
    let queued = jobs.enqueue(new_job("alice"), at(0)).await.unwrap().into_job();
    let (running, lease) = jobs.claim("worker", LEASE, at(1)).await.unwrap().unwrap();
    jobs.checkpoint(&lease, json!({"prompt_id": "p1"})).await.unwrap();
    let waiting = jobs.enqueue(new_job("alice"), at(2)).await.unwrap().into_job();
    assert_eq!(queued.id, running.id);
    drop(jobs);

    let temporary = temporary.reopened().await;
    let jobs = temporary.storage.jobs();
    let found = jobs.get(&running.id).await.unwrap().unwrap();
    assert_eq!((found.state, found.checkpoint), (JobState::Running, Some(json!({"prompt_id": "p1"}))));
    assert_eq!(found.payload, json!({"seed": u64::MAX}), "all 64 bits");
    assert_eq!(jobs.get(&waiting.id).await.unwrap().unwrap(), waiting);

    assert_eq!(jobs.void_leases(at(3)).await.unwrap(), 1);
    assert!(matches!(jobs.checkpoint(&lease, json!(1)).await, Err(StoreError::LeaseLost)));
    let (again, _) = jobs.claim("worker", LEASE, at(4)).await.unwrap().unwrap();
    assert_eq!((again.attempt, again.fence), (1, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_hundred_writers_lose_nothing_and_claim_nothing_twice() {
    let temporary = Temporary::new().await;
    // The claims come from two processes, as far as the database can tell.
    let beside = temporary.beside().await;
    let tasks = (0..100).map(|n| {
        let jobs = if n % 2 == 0 { temporary.storage.jobs() } else { beside.jobs() };
        tokio::spawn(async move {
            jobs.enqueue(new_job(&format!("owner {}", n % 7)), at(0)).await.unwrap();
            let (job, lease) = jobs.claim("worker", LEASE, at(1)).await.unwrap().unwrap();
            jobs.heartbeat(&lease, LEASE, at(2)).await.unwrap();
            jobs.complete(&lease, Outcome::Succeeded(json!(n)), at(3)).await.unwrap();
            job.id
        })
    });
    let mut claimed = HashSet::new();
    for task in tasks.collect::<Vec<_>>() {
        assert!(claimed.insert(task.await.unwrap()), "claimed twice");
    }
    let counts = temporary.storage.jobs().counts(None).await.unwrap();
    assert_eq!((counts.succeeded, counts.queued, counts.running), (100, 0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_idempotency_key_makes_one_job() {
    let temporary = Temporary::new().await;
    let tasks = (0..20).map(|_| {
        let jobs = temporary.storage.jobs();
        let job = NewJob { idempotency_key: Some("once".to_owned()), ..new_job("alice") };
        tokio::spawn(async move { jobs.enqueue(job, at(0)).await.unwrap().into_job().id })
    });
    let mut ids = HashSet::new();
    for task in tasks.collect::<Vec<_>>() {
        ids.insert(task.await.unwrap());
    }
    assert_eq!(ids.len(), 1);
}

#[tokio::test]
async fn a_call_that_is_given_up_leaves_the_writer_free() {
    let temporary = Temporary::new().await;
    let jobs = temporary.storage.jobs();
    for n in 0..50 {
        let call = jobs.enqueue(new_job("alice"), at(n));
        // Polled a few times at most, so that it ends at another point each time.
        drop(tokio::time::timeout(Duration::from_micros(20 * n.unsigned_abs()), call).await);
    }
    // One that was given up in its commit is stored nevertheless. Its connection is the writer's only one, so after
    // the next call on that all have ended, one way or the other.
    jobs.enqueue(new_job("alice"), at(100)).await.unwrap();
    let before = jobs.counts(None).await.unwrap().queued;
    jobs.enqueue(new_job("alice"), at(100)).await.unwrap();
    assert_eq!(jobs.counts(None).await.unwrap().queued, before + 1);
}

#[tokio::test]
async fn a_job_is_read_quickly_among_many() {
    let temporary = Temporary::new().await;
    let jobs: Arc<dyn JobStore> = temporary.storage.jobs();
    let mut ids = Vec::new();
    for n in 0..500 {
        ids.push(jobs.enqueue(new_job(&format!("owner {}", n % 5)), at(n)).await.unwrap().into_job().id);
    }
    let get = shortest(100, async || drop(jobs.get(&ids[250]).await.unwrap().unwrap())).await;
    let position = shortest(20, async || _ = jobs.position(&ids[499]).await.unwrap().unwrap()).await;
    let claim =
        shortest(20, async || drop(jobs.claim("worker", LEASE, at(1000)).await.unwrap().unwrap())).await;
    println!("get {get:?}, position {position:?}, claim {claim:?}");
    // 200 µs in a release build.
    assert!(get < Duration::from_millis(5), "{get:?}");
    assert!(claim < Duration::from_millis(50), "{claim:?}");
}

/// Of several calls: the others tell how busy the machine is.
async fn shortest(calls: u32, call: impl AsyncFn()) -> Duration {
    let mut shortest = Duration::MAX;
    for _ in 0..calls {
        let start = Instant::now();
        call().await;
        shortest = shortest.min(start.elapsed());
    }
    shortest
}

#[tokio::test]
async fn a_limit_may_be_any_number() {
    let temporary = Temporary::new().await;
    let jobs = temporary.storage.jobs();
    jobs.enqueue(new_job("alice"), at(0)).await.unwrap();
    let all = JobFilter { limit: usize::MAX, ..JobFilter::default() };
    assert_eq!(jobs.list(&all).await.unwrap().len(), 1);
}
