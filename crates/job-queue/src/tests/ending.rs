//! How jobs are ended from outside: cancels, stops, panics, lost leases.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use tokio::time::Instant;

use super::{Bench, does, failure, hangs, seconds, sleeps};
use crate::{
    Backoff, CancelReason, ExecuteError, INTERNAL_ERROR, JobId, JobState, JobStore, NewJob, QueueConfig,
};

#[tokio::test(start_paused = true)]
async fn a_running_job_is_cancelled_promptly_and_it_alone() {
    let bench = Bench::started(QueueConfig::default(), hangs());
    let (id, other) = (bench.submit(json!(null)).await, bench.submit(json!(null)).await);
    bench.runs(&id).await;
    bench.runs(&other).await;

    let start = Instant::now();
    let asked = bench.queue.cancel(&id).await.unwrap().expect("it is there");
    assert!(asked.cancel_requested || asked.state == JobState::Cancelled);
    assert_eq!(bench.end(&id).await.state, JobState::Cancelled);
    assert!(start.elapsed() < seconds(1), "not with the next heartbeat");
    assert_eq!(bench.get(&other).await.state, JobState::Running);
    assert_eq!(bench.notes.of(&id), "queued running running cancelled");
}

#[tokio::test(start_paused = true)]
async fn cancelling_what_does_not_run() {
    let mut bench = Bench::new(QueueConfig::default());
    let queued = bench.submit(json!(null)).await;
    assert_eq!(bench.queue.cancel(&queued).await.unwrap().expect("it is there").state, JobState::Cancelled);
    assert_eq!(bench.notes.of(&queued), "queued cancelled");
    assert_eq!(bench.queue.cancel(&JobId::new()).await.unwrap(), None);

    bench.start(sleeps());
    let ended = bench.submit(json!(1)).await;
    let job = bench.end(&ended).await;
    assert_eq!(bench.queue.cancel(&ended).await.unwrap(), Some(job));
    assert_eq!(bench.notes.of(&ended), "queued running succeeded", "nothing more is told");
}

#[tokio::test(start_paused = true)]
async fn a_cancel_from_another_process_comes_with_a_heartbeat() {
    let bench = Bench::started(QueueConfig { lease: seconds(30), ..QueueConfig::default() }, hangs());
    let id = bench.submit(json!(null)).await;
    bench.runs(&id).await;
    let start = Instant::now();
    bench.store.store.request_cancel(&id, bench.now()).await.unwrap();
    assert_eq!(bench.end(&id).await.state, JobState::Cancelled);
    assert!(start.elapsed() <= seconds(10));
}

#[tokio::test(start_paused = true)]
async fn who_does_not_heed_a_cancel_is_dropped_after_the_grace() {
    let bench = Bench::started(QueueConfig { grace: seconds(7), ..QueueConfig::default() }, sleeps());
    let id = bench.submit(json!(100_000)).await;
    bench.runs(&id).await;
    let start = Instant::now();
    bench.queue.cancel(&id).await.unwrap();
    assert_eq!(bench.end(&id).await.state, JobState::Cancelled);
    assert_eq!(start.elapsed().as_secs(), 7);
}

#[tokio::test(start_paused = true)]
async fn what_an_executor_says_after_a_cancel() {
    for (answer, expect) in [
        (Ok(json!("done all the same")), JobState::Succeeded),
        (Err(ExecuteError::Cancelled), JobState::Cancelled),
        (Err(ExecuteError::Interrupted), JobState::Cancelled),
        (Err(ExecuteError::Failed(failure(true))), JobState::Cancelled),
        (Err(ExecuteError::Failed(failure(false))), JobState::Cancelled),
    ] {
        let given = answer.clone();
        let executor = does(move |_, execution| {
            let answer = given.clone();
            async move {
                execution.cancelled().cancelled().await;
                answer
            }
        });
        let bench = Bench::started(QueueConfig::default(), executor);
        let id = bench.submit(json!(null)).await;
        bench.runs(&id).await;
        bench.queue.cancel(&id).await.unwrap();
        assert_eq!(bench.end(&id).await.state, expect, "after {answer:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_interruption_that_nobody_asked_for_is_a_failed_attempt() {
    let bench = Bench::started(QueueConfig::default(), does(|_, _| async { Err(ExecuteError::Interrupted) }));
    let id = bench.submit(json!(null)).await;
    let job = bench.end(&id).await;
    assert_eq!((job.state, job.attempt), (JobState::Failed, 3));
}

#[tokio::test(start_paused = true)]
async fn a_panic_fails_its_job_and_nothing_else() {
    let executor = does(|job, _| async move {
        assert!(job.payload != json!("panic"), "as it was asked to");
        Ok(json!(null))
    });
    let bench = Bench::started(QueueConfig { max_concurrent_jobs: 1, ..QueueConfig::default() }, executor);
    let (bad, good) = (bench.submit(json!("panic")).await, bench.submit(json!("fine")).await);
    let job = bench.end(&bad).await;
    assert_eq!((job.state, job.attempt), (JobState::Failed, 1));
    assert_eq!(job.error.map(|error| error.code).as_deref(), Some(INTERNAL_ERROR));
    assert_eq!(bench.end(&good).await.state, JobState::Succeeded);
}

#[tokio::test(start_paused = true)]
async fn stopping_gives_jobs_back_and_the_next_start_goes_on() {
    let executor = || {
        does(|job, execution| async move {
            if job.checkpoint == Some(json!("half")) {
                return Ok(json!("whole"));
            }
            execution.checkpoint(json!("half")).await.expect("the lease is good");
            execution.stopping().cancelled().await;
            Err(ExecuteError::Interrupted)
        })
    };
    let mut bench = Bench::started(QueueConfig::default(), executor());
    let id = bench.submit(json!(null)).await;
    while bench.get(&id).await.checkpoint.is_none() {
        tokio::task::yield_now().await;
    }
    bench.stop().await;
    let job = bench.get(&id).await;
    assert_eq!((job.state, job.attempt, job.checkpoint), (JobState::Queued, 0, Some(json!("half"))));
    let late = bench.submit(json!(null)).await;
    assert_eq!(bench.get(&late).await.state, JobState::Queued, "nobody works any more");

    bench.start(executor());
    let job = bench.end(&id).await;
    assert_eq!((job.state, job.attempt, job.result), (JobState::Succeeded, 1, Some(json!("whole"))));
    assert_eq!(bench.notes.of(&id), "queued running queued running succeeded");
}

#[tokio::test(start_paused = true)]
async fn stopping_waits_for_the_grace_and_no_longer() {
    for (takes, stopped_after, state) in [(5, 5, JobState::Succeeded), (100, 10, JobState::Queued)] {
        let config = QueueConfig { grace: seconds(10), ..QueueConfig::default() };
        let mut bench = Bench::started(config, sleeps());
        let id = bench.submit(json!(takes)).await;
        bench.runs(&id).await;
        let start = Instant::now();
        bench.stop().await;
        assert_eq!(start.elapsed().as_secs(), stopped_after);
        assert_eq!(bench.get(&id).await.state, state);
    }
}

#[tokio::test(start_paused = true)]
async fn who_loses_the_lease_is_cancelled_and_its_outcome_dropped() {
    let cancelled = Arc::new(AtomicUsize::new(0));
    let count = cancelled.clone();
    let executor = does(move |_, execution| {
        let count = count.clone();
        async move {
            if execution.attempt() == 1 {
                execution.cancelled().cancelled().await;
                assert_eq!(execution.cancel_reason(), Some(CancelReason::LeaseLost));
                count.fetch_add(1, Ordering::SeqCst);
                return Ok(json!("of the first attempt"));
            }
            Ok(json!("of the second attempt"))
        }
    });
    let bench = Bench::started(QueueConfig::default(), executor);
    let id = bench.submit(json!(null)).await;
    bench.runs(&id).await;
    // What another server does whose clock is far ahead.
    let taken = bench.store.store.reap_expired(bench.now() + seconds(3600)).await.unwrap();
    assert_eq!(taken.len(), 1);
    let job = bench.end(&id).await;
    assert_eq!((job.attempt, &job.result), (2, &Some(json!("of the second attempt"))));
    while cancelled.load(Ordering::SeqCst) == 0 {
        tokio::time::sleep(seconds(1)).await;
    }
    assert_eq!(bench.get(&id).await, job, "the first attempt wrote nothing");
}

#[tokio::test(start_paused = true)]
async fn a_job_of_a_worker_that_vanished_is_taken_back() {
    let mut bench = Bench::started(QueueConfig::default(), hangs());
    let id = bench.submit(json!(null)).await;
    bench.runs(&id).await;
    let (worker, _) = bench.worker.take().expect("it was started");
    worker.abort();
    assert!(worker.await.is_err());

    let start = Instant::now();
    bench.start(sleeps());
    let job = bench.end(&id).await;
    assert_eq!((job.state, job.attempt), (JobState::Succeeded, 2));
    assert!(start.elapsed() <= QueueConfig::default().lease + seconds(6), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_job_that_is_cancelled_between_attempts_is_cleaned_up_at_once() {
    let executor = does(|job, execution| async move {
        if execution.cancel_reason() == Some(CancelReason::User) {
            assert!(execution.cancelled().is_cancelled() && job.checkpoint == Some(json!("elsewhere")));
            tokio::time::sleep(seconds(3)).await;
            return Err(ExecuteError::Cancelled);
        }
        execution.checkpoint(json!("elsewhere")).await.expect("the lease is good");
        Err(ExecuteError::Failed(failure(true)))
    });
    let hour = seconds(3600);
    let config =
        QueueConfig { retry_backoff: Backoff { initial: hour, max: hour }, ..QueueConfig::default() };
    let bench = Bench::started(config, executor);
    let id = bench.submit(json!(null)).await;
    while bench.get(&id).await.error.is_none() {
        tokio::task::yield_now().await;
    }
    let start = Instant::now();
    let asked = bench.queue.cancel(&id).await.unwrap().expect("it is there");
    assert_eq!((asked.state, asked.cancel_requested), (JobState::Queued, true));
    assert_eq!(start.elapsed(), seconds(0), "who cancels doesn't wait");
    let job = bench.end(&id).await;
    assert_eq!((job.state, job.attempt), (JobState::Cancelled, 1));
    assert_eq!(start.elapsed().as_secs(), 3);
    assert_eq!(bench.notes.of(&id), "queued running queued queued running cancelled");
}

#[tokio::test(start_paused = true)]
async fn an_executor_learns_why_it_has_to_end() {
    for (deadline, expect) in [(None, CancelReason::User), (Some(5), CancelReason::Deadline)] {
        let executor = does(move |_, execution| async move {
            assert_eq!(execution.cancel_reason(), None);
            execution.cancelled().cancelled().await;
            assert_eq!(execution.cancel_reason(), Some(expect));
            Ok(json!(null))
        });
        let bench = Bench::started(QueueConfig::default(), executor);
        let deadline = deadline.map(|after| bench.now() + seconds(after));
        let id = bench.submit_job(NewJob { deadline, ..NewJob::new("owner", "test", json!(null)) }).await;
        bench.runs(&id).await;
        if deadline.is_none() {
            bench.queue.cancel(&id).await.unwrap();
        }
        assert_eq!(bench.end(&id).await.state, JobState::Succeeded, "{expect:?}");
    }
}
