//! Cases of how an attempt and a job end: outcomes, cancels, lost workers, deadlines.

use std::future::Future;

use serde_json::json;

use super::{Store, add, at, claim, error, get, new, result, try_claim, with_priority};
use crate::model::{DEADLINE_EXCEEDED, Job, JobState, Lease, NewJob, Outcome, WORKER_LOST};

pub(super) async fn run<F: Fn() -> M, M: Future<Output = Store>>(make: &F) {
    for (outcome, expect) in outcomes() {
        an_outcome_is_written(make().await, outcome, expect).await;
    }
    a_success_clears_the_error_of_an_attempt_before(make().await).await;
    the_last_attempt_is_not_retried(make().await).await;
    for lost in [Lost::Release, Lost::Retry, Lost::Reap, Lost::Void] {
        a_cancelled_job_is_not_queued_again(make().await, lost).await;
        for asked in [Asked::BeforeIt, Asked::AfterIt] {
            a_cancelled_job_with_a_checkpoint_is_cleaned_up(make().await, lost, asked).await;
        }
    }
    cleaning_up_takes_no_heed_of_the_deadline(make().await).await;
    a_released_attempt_does_not_count(make().await).await;
    a_queued_job_is_cancelled_at_once(make().await).await;
    a_running_job_is_marked(make().await).await;
    a_job_that_ended_is_not_cancelled(make().await).await;
    an_expired_lease_is_reaped_while_attempts_are_left(make().await).await;
    past_its_deadline_a_job_fails(make().await).await;
    voiding_queues_again_without_counting(make().await).await;
}

type Change = fn(Job) -> Job;

fn retry() -> Outcome {
    Outcome::Retry { error: error("busy"), run_after: at(500) }
}

/// What an outcome at second 10 makes of a job that was claimed at second 5.
fn outcomes() -> [(Outcome, Change); 5] {
    [
        (Outcome::Succeeded(result()), |job| Job {
            state: JobState::Succeeded,
            result: Some(result()),
            finished_at: Some(at(10)),
            ..job
        }),
        (Outcome::Failed(error("broken")), |job| Job {
            state: JobState::Failed,
            error: Some(error("broken")),
            finished_at: Some(at(10)),
            ..job
        }),
        (Outcome::Cancelled, |job| Job { state: JobState::Cancelled, finished_at: Some(at(10)), ..job }),
        (retry(), |job| Job {
            state: JobState::Queued,
            error: Some(error("busy")),
            run_after: at(500),
            ..job
        }),
        (Outcome::Released, |job| Job { state: JobState::Queued, attempt: 0, ..job }),
    ]
}

async fn start(store: &Store, job: NewJob) -> (Job, Lease) {
    add(store, "job", job, 0).await;
    let (job, lease) = claim(store, 5).await;
    store.checkpoint(&lease, json!("checkpoint")).await.expect("checkpoint");
    (job, lease)
}

async fn an_outcome_is_written(store: Store, outcome: Outcome, expect: Change) {
    let (job, lease) = start(&store, new("a")).await;
    let job = Job { checkpoint: Some(json!("checkpoint")), lease_expires_at: None, ..job };
    let expected = expect(job);
    let written = store.complete(&lease, outcome.clone(), at(10)).await.expect("complete");
    assert_eq!(written, expected, "{outcome:?}");
    assert_eq!(get(&store, &written.id).await, expected, "{outcome:?}");
}

async fn a_success_clears_the_error_of_an_attempt_before(store: Store) {
    let (job, lease) = start(&store, new("a")).await;
    store.complete(&lease, retry(), at(10)).await.expect("complete");
    let (again, lease) = claim(&store, 500).await;
    assert_eq!((again.attempt, again.fence, again.error), (2, 2, Some(error("busy"))));
    assert_eq!(again.checkpoint, Some(json!("checkpoint")), "the next attempt may find the work again");
    store.complete(&lease, Outcome::Succeeded(result()), at(501)).await.expect("complete");
    let job = get(&store, &job.id).await;
    assert_eq!((job.state, job.error, job.started_at), (JobState::Succeeded, None, Some(at(500))));
}

async fn the_last_attempt_is_not_retried(store: Store) {
    let (_, lease) = start(&store, NewJob { max_attempts: 1, ..new("a") }).await;
    let job = store.complete(&lease, retry(), at(10)).await.expect("complete");
    assert_eq!(
        (job.state, job.error, job.finished_at),
        (JobState::Failed, Some(error("busy")), Some(at(10)))
    );
    assert!(try_claim(&store, 1000).await.is_none());
}

/// How a job comes back from a worker at second 100, without an end.
#[derive(Clone, Copy, Debug)]
enum Lost {
    Release,
    Retry,
    Reap,
    Void,
}

async fn lose(store: &Store, lease: &Lease, lost: Lost) {
    match lost {
        Lost::Release => drop(store.complete(lease, Outcome::Released, at(100)).await.expect("complete")),
        Lost::Retry => drop(store.complete(lease, retry(), at(100)).await.expect("complete")),
        Lost::Reap => assert_eq!(store.reap_expired(at(100)).await.expect("reap").len(), 1),
        Lost::Void => assert_eq!(store.void_leases(at(100)).await.expect("void"), 1),
    }
}

async fn a_cancelled_job_is_not_queued_again(store: Store, lost: Lost) {
    let job = add(&store, "job", new("a"), 0).await;
    let (_, lease) = claim(&store, 5).await;
    store.request_cancel(&job.id, at(6)).await.expect("cancel");
    lose(&store, &lease, lost).await;
    let job = get(&store, &job.id).await;
    assert_eq!((job.state, job.finished_at), (JobState::Cancelled, Some(at(100))), "{lost:?}");
}

/// Whether the cancel comes before the job is lost or after.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Asked {
    BeforeIt,
    AfterIt,
}

async fn a_cancelled_job_with_a_checkpoint_is_cleaned_up(store: Store, lost: Lost, asked: Asked) {
    let (job, lease) = start(&store, new("a")).await;
    add(&store, "other", with_priority("a", 100), 6).await;
    if asked == Asked::BeforeIt {
        store.request_cancel(&job.id, at(7)).await.expect("cancel");
    }
    lose(&store, &lease, lost).await;
    if asked == Asked::AfterIt {
        store.request_cancel(&job.id, at(101)).await.expect("cancel");
    }
    let marked = get(&store, &job.id).await;
    assert_eq!((marked.state, marked.cancel_requested), (JobState::Queued, true), "{lost:?} {asked:?}");
    assert_eq!((&marked.checkpoint, marked.finished_at), (&Some(json!("checkpoint")), None));
    let again = store.request_cancel(&job.id, at(102)).await.expect("cancel");
    assert_eq!(again, Some(marked.clone()), "once is enough");

    let (cleaned, lease) = claim(&store, 103).await;
    assert_eq!((&cleaned.id, cleaned.fence), (&job.id, 2), "before all others: {lost:?} {asked:?}");
    assert_eq!((cleaned.attempt, cleaned.cancel_requested), (marked.attempt, true), "it is no attempt");
    assert!(store.heartbeat(&lease, super::LEASE, at(104)).await.expect("heartbeat").cancel_requested);
    lose(&store, &lease, Lost::Release).await;
    let (cleaned, lease) = claim(&store, 105).await;
    assert_eq!((cleaned.id, cleaned.attempt), (job.id, marked.attempt), "until it is done");
    let job = store.complete(&lease, Outcome::Cancelled, at(106)).await.expect("complete");
    assert_eq!((job.state, job.finished_at), (JobState::Cancelled, Some(at(106))));
}

async fn cleaning_up_takes_no_heed_of_the_deadline(store: Store) {
    let (job, lease) = start(&store, NewJob { deadline: Some(at(50)), ..new("a") }).await;
    store.complete(&lease, Outcome::Released, at(10)).await.expect("complete");
    store.request_cancel(&job.id, at(11)).await.expect("cancel");
    assert_eq!(store.reap_expired(at(60)).await.expect("reap"), []);
    assert_eq!(claim(&store, 61).await.0.id, job.id);
}

async fn a_released_attempt_does_not_count(store: Store) {
    add(&store, "job", NewJob { max_attempts: 1, ..new("a") }, 0).await;
    for number in 1..=3 {
        let (job, lease) = claim(&store, number).await;
        assert_eq!((job.attempt, job.fence), (1, number as u64));
        store.complete(&lease, Outcome::Released, at(number)).await.expect("complete");
    }
}

async fn a_queued_job_is_cancelled_at_once(store: Store) {
    let job = add(&store, "job", new("a"), 0).await;
    let cancelled = store.request_cancel(&job.id, at(7)).await.expect("cancel").expect("it is there");
    assert_eq!((cancelled.state, cancelled.finished_at), (JobState::Cancelled, Some(at(7))));
    assert_eq!(get(&store, &job.id).await, cancelled);
    assert!(try_claim(&store, 8).await.is_none());
}

async fn a_running_job_is_marked(store: Store) {
    let (_, lease) = start(&store, new("a")).await;
    let job = store.request_cancel(&lease.job_id, at(7)).await.expect("cancel").expect("it is there");
    assert_eq!((job.state, job.cancel_requested, job.finished_at), (JobState::Running, true, None));
    // The work may be done before the word comes.
    let job = store.complete(&lease, Outcome::Succeeded(result()), at(8)).await.expect("complete");
    assert_eq!((job.state, job.result), (JobState::Succeeded, Some(result())));
}

async fn a_job_that_ended_is_not_cancelled(store: Store) {
    for outcome in [Outcome::Succeeded(result()), Outcome::Failed(error("broken")), Outcome::Cancelled] {
        let (_, lease) = start(&store, new("a")).await;
        let ended = store.complete(&lease, outcome, at(10)).await.expect("complete");
        assert_eq!(store.request_cancel(&ended.id, at(20)).await.expect("cancel"), Some(ended.clone()));
        assert_eq!(get(&store, &ended.id).await, ended);
    }
}

async fn an_expired_lease_is_reaped_while_attempts_are_left(store: Store) {
    let (job, _) = start(&store, NewJob { max_attempts: 2, ..new("a") }).await;
    assert_eq!(store.reap_expired(at(64)).await.expect("reap"), [], "it is leased until 65");
    let queued = Job {
        state: JobState::Queued,
        checkpoint: Some(json!("checkpoint")),
        lease_expires_at: None,
        ..job.clone()
    };
    assert_eq!(store.reap_expired(at(65)).await.expect("reap"), std::slice::from_ref(&queued));
    assert_eq!(get(&store, &job.id).await, queued);
    assert_eq!(store.reap_expired(at(65)).await.expect("reap"), [], "once");

    let (again, _) = claim(&store, 66).await;
    assert_eq!((again.attempt, again.checkpoint), (2, Some(json!("checkpoint"))));
    let reaped = store.reap_expired(at(1000)).await.expect("reap");
    assert_eq!(reaped, [get(&store, &job.id).await]);
    let error = reaped[0].error.clone().expect("it says why");
    assert_eq!((reaped[0].state, error.code.as_str()), (JobState::Failed, WORKER_LOST));
    assert_eq!(reaped[0].finished_at, Some(at(1000)));
}

async fn past_its_deadline_a_job_fails(store: Store) {
    let due = NewJob { deadline: Some(at(100)), ..new("a") };
    let (running, _) = start(&store, due.clone()).await;
    let queued = add(&store, "queued", due, 1).await;
    let other = add(&store, "other", new("a"), 1).await;

    assert_eq!(store.reap_expired(at(50)).await.expect("reap"), []);
    let mut reaped = store.reap_expired(at(100)).await.expect("reap");
    reaped.sort_by(|one, two| one.id.cmp(&two.id));
    assert_eq!(reaped.iter().map(|job| &job.id).collect::<Vec<_>>(), [&running.id, &queued.id]);
    for job in reaped {
        assert_eq!((job.state, job.finished_at), (JobState::Failed, Some(at(100))));
        assert_eq!(job.error.map(|error| error.code).as_deref(), Some(DEADLINE_EXCEEDED));
    }
    assert_eq!(get(&store, &other.id).await, other);
}

async fn voiding_queues_again_without_counting(store: Store) {
    let (first, _) = start(&store, NewJob { max_attempts: 1, ..new("a") }).await;
    let cancelled = add(&store, "cancelled", new("a"), 0).await;
    claim(&store, 5).await;
    store.request_cancel(&cancelled.id, at(6)).await.expect("cancel");
    let (_, lease) = start(&store, new("a")).await;
    let ended = store.complete(&lease, Outcome::Succeeded(result()), at(7)).await.expect("complete");
    let queued = add(&store, "queued", new("a"), 8).await;

    assert_eq!(store.void_leases(at(10)).await.expect("void"), 2);
    let voided = Job {
        state: JobState::Queued,
        attempt: 0,
        checkpoint: Some(json!("checkpoint")),
        lease_expires_at: None,
        ..first.clone()
    };
    assert_eq!(get(&store, &first.id).await, voided);
    let cancelled = get(&store, &cancelled.id).await;
    assert_eq!((cancelled.state, cancelled.finished_at), (JobState::Cancelled, Some(at(10))));
    assert_eq!(get(&store, &ended.id).await, ended);
    assert_eq!(get(&store, &queued.id).await, queued);
    assert_eq!(store.void_leases(at(11)).await.expect("void"), 0);

    let (again, lease) = claim(&store, 12).await;
    assert_eq!((again.id, again.attempt, again.fence), (first.id, 1, 2));
    store.complete(&lease, Outcome::Succeeded(result()), at(13)).await.expect("complete");
}
