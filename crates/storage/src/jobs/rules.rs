//! How jobs change: the rules of [`JobStore`](job_queue::JobStore), on one job.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use job_queue::{Job, JobError, JobId, JobState, Lease, NewJob, Outcome};

use crate::time::as_stored;

/// A new job with a new id.
pub(super) fn queued(new: NewJob, now: Timestamp) -> Job {
    Job {
        id: JobId::new(),
        owner: new.owner,
        kind: new.kind,
        payload: new.payload,
        priority: new.priority,
        state: JobState::Queued,
        attempt: 0,
        max_attempts: new.max_attempts,
        idempotency_key: new.idempotency_key,
        created_at: now,
        run_after: now,
        started_at: None,
        finished_at: None,
        deadline: new.deadline.map(as_stored),
        cancel_requested: false,
        checkpoint: None,
        result: None,
        error: None,
        lease_expires_at: None,
        fence: 0,
    }
}

/// A worker takes a queued job.
pub(super) fn start(job: &mut Job, worker: &str, lease: Duration, now: Timestamp) -> Lease {
    let expires_at = after(now, lease);
    job.state = JobState::Running;
    job.attempt += 1;
    job.fence += 1;
    job.started_at = Some(now);
    job.lease_expires_at = Some(expires_at);
    Lease { job_id: job.id.clone(), worker: worker.to_owned(), fence: job.fence, expires_at }
}

/// The attempt of a running job ends.
pub(super) fn complete(job: &mut Job, outcome: Outcome, now: Timestamp) {
    match outcome {
        Outcome::Succeeded(result) => {
            job.result = Some(result);
            job.error = None;
            end(job, JobState::Succeeded, now);
        }
        Outcome::Failed(error) => fail(job, error, now),
        Outcome::Cancelled => end(job, JobState::Cancelled, now),
        Outcome::Retry { .. } | Outcome::Released if job.cancel_requested => {
            end(job, JobState::Cancelled, now);
        }
        Outcome::Retry { error, .. } if job.attempt >= job.max_attempts => fail(job, error, now),
        Outcome::Retry { error, run_after } => {
            job.error = Some(error);
            job.run_after = as_stored(run_after);
            queue_again(job);
        }
        Outcome::Released => {
            job.attempt = job.attempt.saturating_sub(1);
            queue_again(job);
        }
    }
}

/// Somebody asks for the end. Whether the job changed.
pub(super) fn request_cancel(job: &mut Job, now: Timestamp) -> bool {
    match job.state {
        JobState::Queued => end(job, JobState::Cancelled, now),
        JobState::Running => job.cancel_requested = true,
        JobState::Succeeded | JobState::Failed | JobState::Cancelled => return false,
    }
    true
}

/// Nobody works on a running job any more, or a queued one is past its deadline.
pub(super) fn reap(job: &mut Job, now: Timestamp) {
    if job.state == JobState::Running && job.cancel_requested {
        end(job, JobState::Cancelled, now);
    } else if job.deadline.is_some_and(|deadline| deadline <= now) {
        fail(job, JobError::deadline_exceeded(), now);
    } else if job.attempt < job.max_attempts {
        queue_again(job);
    } else {
        fail(job, JobError::worker_lost(job.attempt), now);
    }
}

/// `now + duration`, at most the end of time.
pub(super) fn after(now: Timestamp, duration: Duration) -> Timestamp {
    let duration = SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX);
    as_stored(now.saturating_add(duration).unwrap_or(Timestamp::MAX))
}

fn end(job: &mut Job, state: JobState, now: Timestamp) {
    job.state = state;
    job.finished_at = Some(now);
    job.lease_expires_at = None;
}

fn fail(job: &mut Job, error: JobError, now: Timestamp) {
    job.error = Some(error);
    end(job, JobState::Failed, now);
}

fn queue_again(job: &mut Job) {
    job.state = JobState::Queued;
    job.lease_expires_at = None;
}
