//! How jobs are run, and how others wait for them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::{Bench, does, failure, hangs, seconds, sleeps};
use crate::{
    Backoff, DEADLINE_EXCEEDED, ExecuteError, JobId, JobState, JobStore, MemoryStore, NewJob, NoObserver,
    Queue, QueueConfig,
};

#[tokio::test(start_paused = true)]
async fn a_job_goes_from_queued_over_running_to_its_result() {
    let bench = Bench::started(QueueConfig::default(), sleeps());
    let id = bench.submit(json!(3)).await;
    let job = bench.end(&id).await;
    assert_eq!((job.state, job.attempt, job.result), (JobState::Succeeded, 1, Some(json!("slept"))));
    assert_eq!(bench.notes.of(&id), "queued running succeeded");
}

#[tokio::test(start_paused = true)]
async fn not_more_jobs_run_than_there_are_places() {
    let running = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let (gauge, peak) = (running.clone(), most.clone());
    let executor = does(move |_, _| {
        let (gauge, peak) = (gauge.clone(), peak.clone());
        async move {
            peak.fetch_max(gauge.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            tokio::time::sleep(seconds(10)).await;
            gauge.fetch_sub(1, Ordering::SeqCst);
            Ok(json!(null))
        }
    });
    let start = Instant::now();
    let bench = Bench::started(QueueConfig { max_concurrent_jobs: 3, ..QueueConfig::default() }, executor);
    let mut ids = Vec::new();
    for _ in 0..9 {
        ids.push(bench.submit(json!(null)).await);
    }
    for id in &ids {
        assert_eq!(bench.end(id).await.state, JobState::Succeeded);
    }
    assert_eq!(most.load(Ordering::SeqCst), 3);
    assert_eq!(start.elapsed().as_secs(), 30, "and not fewer");
}

#[tokio::test(start_paused = true)]
async fn a_job_that_runs_longer_than_its_lease_keeps_it() {
    let bench = Bench::started(QueueConfig::default(), sleeps());
    let id = bench.submit(json!(300)).await;
    let job = bench.end(&id).await;
    assert_eq!((job.state, job.attempt), (JobState::Succeeded, 1));
}

#[tokio::test(start_paused = true)]
async fn waiting_ends_with_the_job_or_at_its_time() {
    let bench = Bench::started(QueueConfig::default(), sleeps());
    let id = bench.submit(json!(20)).await;
    let start = Instant::now();

    let job = bench.queue.wait(&id, start + seconds(7)).await.unwrap().expect("it is there");
    assert_eq!((job.state, start.elapsed().as_secs()), (JobState::Running, 7));
    let job = bench.queue.wait(&id, start).await.unwrap().expect("it is there");
    assert_eq!((job.state, start.elapsed().as_secs()), (JobState::Running, 7), "a time in the past is now");
    let job = bench.queue.wait(&id, start + seconds(100)).await.unwrap().expect("it is there");
    assert_eq!((job.state, start.elapsed().as_secs()), (JobState::Succeeded, 20));
    let again = bench.queue.wait(&id, start + seconds(100)).await.unwrap().expect("it is there");
    assert_eq!((again, start.elapsed().as_secs()), (job, 20));
    assert_eq!(bench.queue.wait(&JobId::new(), start + seconds(100)).await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn waiting_does_not_poll_the_store() {
    let bench = Bench::started(QueueConfig::default(), sleeps());
    let id = bench.submit(json!(4)).await;
    bench.runs(&id).await;
    let before = bench.store.gets.load(Ordering::SeqCst);
    let tasks: Vec<_> = (0..10)
        .map(|_| {
            let (queue, id) = (bench.queue.clone(), id.clone());
            tokio::spawn(async move { queue.wait(&id, Instant::now() + seconds(100)).await })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap().unwrap().expect("it is there").state, JobState::Succeeded);
    }
    assert_eq!(bench.store.gets.load(Ordering::SeqCst) - before, 10, "each looked once, at the start");
}

#[tokio::test(start_paused = true)]
async fn an_end_that_another_process_wrote_is_seen() {
    let bench = Bench::new(QueueConfig::default());
    let id = bench.submit(json!(null)).await;
    let (queue, other) = (bench.queue.clone(), id.clone());
    let waiter = tokio::spawn(async move { queue.wait(&other, Instant::now() + seconds(100)).await });
    tokio::task::yield_now().await;
    bench.store.store.request_cancel(&id, bench.now()).await.unwrap();
    let start = Instant::now();
    assert_eq!(waiter.await.unwrap().unwrap().expect("it is there").state, JobState::Cancelled);
    assert!(start.elapsed() <= seconds(5));
}

#[tokio::test(start_paused = true)]
async fn what_may_be_retried_is_retried_with_growing_delays() {
    let config = QueueConfig {
        retry_backoff: Backoff { initial: seconds(4), max: seconds(10) },
        ..QueueConfig::default()
    };
    let starts = Arc::new(std::sync::Mutex::new(Vec::new()));
    let noted = starts.clone();
    let executor = does(move |_, execution| {
        noted.lock().unwrap().push(Instant::now());
        async move {
            match execution.attempt() {
                4 => Ok(json!("at last")),
                _ => Err(ExecuteError::Failed(failure(true))),
            }
        }
    });
    let bench = Bench::started(config, executor);
    let id = bench.submit_job(NewJob { max_attempts: 4, ..NewJob::new("a", "test", json!(null)) }).await;
    let job = bench.end(&id).await;
    assert_eq!((job.state, job.attempt, job.error), (JobState::Succeeded, 4, None));
    assert_eq!(bench.notes.of(&id), "queued running queued running queued running queued running succeeded");

    let starts = starts.lock().unwrap().clone();
    let delays: Vec<Duration> = starts.windows(2).map(|pair| pair[1] - pair[0]).collect();
    for (delay, longest) in delays.iter().zip([4, 8, 10].map(seconds)) {
        let range = longest / 2..=longest + Duration::from_millis(5);
        assert!(range.contains(delay), "{delay:?} of {longest:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_may_not_be_retried_fails_at_once() {
    for (retryable, max_attempts, attempts) in [(false, 5, 1), (true, 1, 1), (true, 3, 3)] {
        let executor = does(move |_, _| async move { Err(ExecuteError::Failed(failure(retryable))) });
        let bench = Bench::started(QueueConfig::default(), executor);
        let id = bench.submit_job(NewJob { max_attempts, ..NewJob::new("a", "test", json!(null)) }).await;
        let job = bench.end(&id).await;
        assert_eq!((job.state, job.attempt), (JobState::Failed, attempts));
        assert_eq!(job.error, Some(failure(retryable)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_would_come_after_the_deadline_is_not_made() {
    let executor = does(|_, _| async move { Err(ExecuteError::Failed(failure(true))) });
    let bench = Bench::started(QueueConfig::default(), executor);
    let deadline = Some(bench.now() + seconds(1));
    let id = bench.submit_job(NewJob { deadline, ..NewJob::new("a", "test", json!(null)) }).await;
    let job = bench.end(&id).await;
    assert_eq!((job.state, job.attempt, job.error), (JobState::Failed, 1, Some(failure(true))));
}

#[tokio::test(start_paused = true)]
async fn a_deadline_ends_a_running_and_a_queued_job() {
    let bench = Bench::started(QueueConfig { max_concurrent_jobs: 1, ..QueueConfig::default() }, hangs());
    let start = Instant::now();
    let due = |after| NewJob {
        deadline: Some(bench.now() + seconds(after)),
        ..NewJob::new("a", "test", json!(null))
    };
    let running = bench.submit_job(due(100)).await;
    let queued = bench.submit_job(due(50)).await;
    for (id, latest, attempt) in [(queued, 55, 0), (running, 100, 1)] {
        let job = bench.end(&id).await;
        assert_eq!((job.state, job.attempt), (JobState::Failed, attempt));
        assert_eq!(job.error.map(|error| error.code).as_deref(), Some(DEADLINE_EXCEEDED));
        assert!(start.elapsed() < seconds(latest + 1), "{:?}", start.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_for_a_while_costs_nothing() {
    let bench = Bench::started(QueueConfig::default(), sleeps());
    bench.store.failing_claims.store(3, Ordering::SeqCst);
    bench.store.failing_heartbeats.store(2, Ordering::SeqCst);
    bench.store.failing_completes.store(5, Ordering::SeqCst);
    let id = bench.submit(json!(100)).await;
    let job = bench.end(&id).await;
    assert_eq!((job.state, job.attempt), (JobState::Succeeded, 1));
    assert_eq!(bench.notes.of(&id), "queued running succeeded");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_jobs_on_eight_places_are_done() {
    run_a_thousand_jobs().await;
}

/// With the clock stopped, only what waits for a timer takes time: nobody missed what there was to be told.
#[tokio::test(start_paused = true)]
async fn a_thousand_jobs_on_eight_places_wait_for_no_timer() {
    let start = Instant::now();
    run_a_thousand_jobs().await;
    assert_eq!(start.elapsed(), seconds(0));
}

async fn run_a_thousand_jobs() {
    let config = QueueConfig { max_concurrent_jobs: 8, max_queued_per_owner: 1000, ..QueueConfig::default() };
    let queue = Queue::new(Arc::new(MemoryStore::new()), config, Arc::new(NoObserver));
    let stop = tokio_util::sync::CancellationToken::new();
    let executor = does(|job, _| async move { Ok(json!(job.payload.as_u64().map(|number| number * 2))) });
    let worker = tokio::spawn({
        let (queue, stop) = (queue.clone(), stop.clone());
        async move { queue.run(executor, stop).await }
    });
    let mut ids = Vec::new();
    for number in 0..1000 {
        let job = NewJob::new("owner", "double", json!(number));
        ids.push(queue.submit(job).await.expect("there is room").into_job().id);
    }
    let end = Instant::now() + seconds(60);
    for (number, id) in ids.iter().enumerate() {
        let job = queue.wait(id, end).await.unwrap().expect("it is there");
        assert_eq!((job.state, job.result), (JobState::Succeeded, Some(json!(number * 2))));
    }
    stop.cancel();
    worker.await.unwrap();
}
