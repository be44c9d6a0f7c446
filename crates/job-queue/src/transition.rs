//! How jobs change: the rules of [`JobStore`](crate::JobStore), on one job. A store reads a job, applies a rule, and
//! writes it back, all in one transaction.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::model::{Job, JobError, JobId, JobState, Lease, NewJob, Outcome};

/// A new job with a new id.
pub fn queued(new: NewJob, now: Timestamp) -> Job {
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
        deadline: new.deadline,
        cancel_requested: false,
        checkpoint: None,
        result: None,
        error: None,
        lease_expires_at: None,
        fence: 0,
    }
}

/// A worker takes a queued job. One that is to be cancelled is only cleaned up after, which is no attempt.
pub fn start(job: &mut Job, worker: &str, lease: Duration, now: Timestamp) -> Lease {
    let expires_at = expiry(now, lease);
    job.state = JobState::Running;
    if !job.cancel_requested {
        job.attempt += 1;
    }
    job.fence += 1;
    job.started_at = Some(now);
    job.lease_expires_at = Some(expires_at);
    Lease { job_id: job.id.clone(), worker: worker.to_owned(), fence: job.fence, expires_at }
}

/// The attempt of a running job ends.
pub fn complete(job: &mut Job, outcome: Outcome, now: Timestamp) {
    match outcome {
        Outcome::Succeeded(result) => {
            job.result = Some(result);
            job.error = None;
            end(job, JobState::Succeeded, now);
        }
        Outcome::Failed(error) => fail(job, error, now),
        Outcome::Cancelled => end(job, JobState::Cancelled, now),
        Outcome::Retry { .. } | Outcome::Released if job.cancel_requested => cancel(job, now),
        Outcome::Retry { error, .. } if job.attempt >= job.max_attempts => fail(job, error, now),
        Outcome::Retry { error, run_after } => {
            job.error = Some(error);
            job.run_after = run_after;
            queue_again(job);
        }
        Outcome::Released => {
            job.attempt = job.attempt.saturating_sub(1);
            queue_again(job);
        }
    }
}

/// Somebody asks for the end. Whether the job changed.
pub fn request_cancel(job: &mut Job, now: Timestamp) -> bool {
    match job.state {
        JobState::Queued | JobState::Running if job.cancel_requested => return false,
        JobState::Queued => cancel(job, now),
        JobState::Running => job.cancel_requested = true,
        JobState::Succeeded | JobState::Failed | JobState::Cancelled => return false,
    }
    true
}

/// Takes back a running job whose lease ended at or before `now`, and ends a queued one past its deadline. Whether
/// the job changed.
pub fn reap(job: &mut Job, now: Timestamp) -> bool {
    let overdue = job.deadline.is_some_and(|deadline| deadline <= now);
    match job.state {
        JobState::Running if job.lease_expires_at.is_none_or(|end| end <= now) => {
            if job.cancel_requested {
                cancel(job, now);
            } else if overdue {
                fail(job, JobError::deadline_exceeded(), now);
            } else if job.attempt < job.max_attempts {
                queue_again(job);
            } else {
                fail(job, JobError::worker_lost(job.attempt), now);
            }
            true
        }
        JobState::Queued if overdue && !job.cancel_requested => {
            fail(job, JobError::deadline_exceeded(), now);
            true
        }
        _ => false,
    }
}

/// `now + lease`, at most the end of time.
pub fn expiry(now: Timestamp, lease: Duration) -> Timestamp {
    let lease = SignedDuration::try_from(lease).unwrap_or(SignedDuration::MAX);
    now.saturating_add(lease).unwrap_or(Timestamp::MAX)
}

/// Ends a job that nobody works on, unless an attempt left a checkpoint: then its work may go on elsewhere, and a
/// worker has to end that first.
fn cancel(job: &mut Job, now: Timestamp) {
    if job.checkpoint.as_ref().is_none_or(Value::is_null) {
        return end(job, JobState::Cancelled, now);
    }
    job.cancel_requested = true;
    job.run_after = job.run_after.min(now);
    queue_again(job);
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
