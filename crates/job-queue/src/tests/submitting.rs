//! What is taken into the queue, and what is said of it there.

use std::sync::Arc;

use serde_json::json;

use super::{Bench, seconds, sleeps};
use crate::{Counts, Enqueued, JobFilter, JobId, JobState, NewJob, Queue, QueueConfig, QueueError};

fn job(owner: &str) -> NewJob {
    NewJob::new(owner, "test", json!(10))
}

fn limits(max_queued: usize, max_queued_per_owner: usize) -> QueueConfig {
    QueueConfig { max_queued, max_queued_per_owner, ..QueueConfig::default() }
}

#[tokio::test(start_paused = true)]
async fn a_new_job_is_checked() {
    let config = QueueConfig { max_payload_bytes: 10, ..QueueConfig::default() };
    let bench = Bench::new(config);
    let key = |key: &str| Some(key.to_owned());
    for (job, field) in [
        (NewJob { owner: String::new(), ..job("a") }, "owner"),
        (NewJob { owner: "x".repeat(257), ..job("a") }, "owner"),
        (NewJob { kind: String::new(), ..job("a") }, "kind"),
        (NewJob { idempotency_key: key(""), ..job("a") }, "idempotency_key"),
        (NewJob { idempotency_key: key(&"x".repeat(1 << 20)), ..job("a") }, "idempotency_key"),
        (NewJob { max_attempts: 0, ..job("a") }, "max_attempts"),
        (NewJob { max_attempts: u32::MAX, ..job("a") }, "max_attempts"),
        (NewJob { payload: json!("123456789"), ..job("a") }, "payload"),
    ] {
        match bench.queue.submit(job).await {
            Err(QueueError::Invalid { field: named, .. }) => assert_eq!(named, field),
            other => panic!("{field}: {other:?}"),
        }
    }
    bench.submit_job(NewJob { payload: json!("12345678"), idempotency_key: key("k"), ..job("a") }).await;
    assert_eq!(bench.queue.counts(None).await.unwrap().queued, 1, "what was refused isn't there");
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_refuses_and_says_how_many_wait() {
    let bench = Bench::new(limits(3, 2));
    let keyed = NewJob { idempotency_key: Some("key".into()), ..job("a") };
    let first = bench.submit_job(keyed.clone()).await;
    bench.submit_job(job("a")).await;

    let refused = bench.queue.submit(job("a")).await.expect_err("the owner's share is used up");
    assert!(matches!(refused, QueueError::OwnerFull { limit: 2 }), "{refused:?}");
    bench.submit_job(job("b")).await;
    let refused = bench.queue.submit(job("c")).await.expect_err("it is full");
    assert!(matches!(refused, QueueError::Full { limit: 3 }), "{refused:?}");

    let again = bench.queue.submit(keyed.clone()).await.expect("who asks again is told of the first job");
    assert!(matches!(&again, Enqueued::Existing(job) if job.id == first), "{again:?}");
    let fresh = NewJob { idempotency_key: Some("fresh".into()), ..keyed };
    assert!(bench.queue.submit(fresh).await.is_err());

    bench.queue.cancel(&first).await.unwrap();
    bench.submit_job(job("c")).await;
}

#[tokio::test(start_paused = true)]
async fn a_burst_does_not_pass_the_limit() {
    let bench = Bench::new(limits(10, 100));
    let tasks: Vec<_> = (0..50)
        .map(|_| {
            let queue = bench.queue.clone();
            tokio::spawn(async move { queue.submit(job("a")).await.is_ok() })
        })
        .collect();
    let mut taken = 0;
    for task in tasks {
        taken += usize::from(task.await.unwrap());
    }
    assert_eq!((taken, bench.queue.counts(None).await.unwrap().queued), (10, 10));
}

#[tokio::test(start_paused = true)]
async fn a_submission_that_nobody_waits_for_is_announced() {
    let bench = Bench::new(QueueConfig::default());
    let queue = bench.queue.clone();
    let task = tokio::spawn(async move { queue.submit(job("a")).await });
    tokio::task::yield_now().await;
    task.abort();
    while bench.notes.0.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_queue_tells_what_the_store_knows() {
    let mut bench = Bench::new(QueueConfig { max_concurrent_jobs: 1, ..QueueConfig::default() });
    let (first, second) = (bench.submit(json!(1)).await, bench.submit(json!(1)).await);
    assert_eq!(bench.queue.position(&second).await.unwrap(), Some(1));
    assert_eq!(bench.queue.get(&JobId::new()).await.unwrap(), None);
    bench.start(sleeps());
    bench.end(&second).await;
    assert_eq!(bench.queue.counts(None).await.unwrap(), Counts { succeeded: 2, ..Counts::default() });
    let filter = JobFilter { limit: 1, ..JobFilter::default() };
    assert_eq!(bench.queue.list(&filter).await.unwrap()[0].id, second);
    assert_eq!(bench.queue.position(&first).await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn the_wait_is_estimated_from_what_jobs_took() {
    let config = QueueConfig { max_concurrent_jobs: 2, ..QueueConfig::default() };
    let mut bench = Bench::new(config.clone());
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(bench.submit(json!(10)).await);
    }
    // Nobody runs a job yet: two places are free, and nothing is known of how long one takes.
    for (id, expect) in [(0, Some(0)), (1, Some(0)), (2, None)] {
        let wait = bench.queue.estimate_wait(&ids[id]).await.unwrap();
        assert_eq!(wait, expect.map(seconds), "job {id}");
    }

    bench.start(sleeps());
    bench.end(&ids[1]).await;
    bench.runs(&ids[3]).await;
    for _ in 0..2 {
        ids.push(bench.submit(json!(10)).await);
    }
    // Two run, of ten seconds each, so one ends every five.
    for (id, expect) in [(0, None), (3, None), (4, Some(5)), (5, Some(10)), (6, Some(15))] {
        let wait = bench.queue.estimate_wait(&ids[id]).await.unwrap();
        assert_eq!(wait.map(|wait| wait.as_secs_f64().round() as u64), expect, "job {id}");
    }
    assert_eq!(bench.queue.estimate_wait(&JobId::new()).await.unwrap(), None);

    // A new process learns from the history.
    let (store, clock) = (bench.store.clone(), bench.clock.clone());
    let other = Queue::with_clock(store, config, Arc::clone(&bench.notes) as _, clock);
    let wait = other.estimate_wait(&ids[4]).await.unwrap().expect("jobs have succeeded");
    assert_eq!(wait.as_secs_f64().round() as u64, 5);
}

#[tokio::test(start_paused = true)]
async fn old_jobs_are_deleted() {
    let config = QueueConfig { retention: seconds(3600), ..QueueConfig::default() };
    let bench = Bench::started(config, sleeps());
    let old = bench.submit(json!(0)).await;
    assert_eq!(bench.end(&old).await.state, JobState::Succeeded);
    tokio::time::sleep(seconds(1800)).await;
    let young = bench.submit(json!(0)).await;
    bench.end(&young).await;
    tokio::time::sleep(seconds(2700)).await;
    assert_eq!(bench.queue.get(&old).await.unwrap(), None);
    assert!(bench.queue.get(&young).await.unwrap().is_some());
}
