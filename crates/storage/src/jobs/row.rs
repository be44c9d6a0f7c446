//! A job as a row.

use jiff::Timestamp;
use job_queue::{Job, JobSummary, Priority};
use sea_orm::ActiveValue::{NotSet, Set};
use serde_json::Value;

use crate::entity::job::{ActiveModel, Model};
use crate::error::StorageError;
use crate::time::{from_millis, to_millis};

/// A new row.
pub(super) fn from_job(job: &Job) -> Result<ActiveModel, StorageError> {
    Ok(ActiveModel {
        id: Set(job.id.to_string()),
        owner: Set(job.owner.clone()),
        kind: Set(job.kind.clone()),
        priority: Set(job.priority.get().into()),
        max_attempts: Set(job.max_attempts.into()),
        idempotency_key: Set(job.idempotency_key.clone()),
        created_at: Set(to_millis(job.created_at)),
        deadline: Set(job.deadline.map(to_millis)),
        payload: Set(job.payload.to_string()),
        worker: Set(None),
        ..changeable(job)?
    })
}

/// The columns that change in a job's life.
pub(super) fn changeable(job: &Job) -> Result<ActiveModel, StorageError> {
    let error = job.error.as_ref().map(serde_json::to_string).transpose();
    Ok(ActiveModel {
        state: Set(job.state.as_str().to_owned()),
        attempt: Set(job.attempt.into()),
        run_after: Set(to_millis(job.run_after)),
        started_at: Set(job.started_at.map(to_millis)),
        finished_at: Set(job.finished_at.map(to_millis)),
        cancel_requested: Set(job.cancel_requested),
        lease_expires_at: Set(job.lease_expires_at.map(to_millis)),
        fence: Set(fence(job.fence)),
        checkpoint: Set(job.checkpoint.as_ref().map(Value::to_string)),
        result: Set(job.result.as_ref().map(Value::to_string)),
        error: Set(error.map_err(|error| broken(job.id.as_str(), error))?),
        worker: NotSet,
        ..ActiveModel::default()
    })
}

/// The counter as the database holds it.
pub(super) fn fence(fence: u64) -> i64 {
    i64::try_from(fence).unwrap_or(i64::MAX)
}

pub(super) fn to_job(row: Model) -> Result<Job, StorageError> {
    let id = row.id.as_str();
    let time = |millis: i64| from_millis(millis).map_err(|error| broken(id, error));
    let optional_time =
        |millis: Option<i64>| -> Result<Option<Timestamp>, StorageError> { millis.map(time).transpose() };
    let json = |text: &str| -> Result<Value, StorageError> {
        serde_json::from_str(text).map_err(|error| broken(id, error))
    };
    let error = row.error.as_deref().map(serde_json::from_str).transpose();
    Ok(Job {
        id: id.parse().map_err(|error| broken(id, error))?,
        priority: Priority::new(row.priority.into()).map_err(|error| broken(id, error))?,
        state: row.state.parse().map_err(|error| broken(id, error))?,
        attempt: u32::try_from(row.attempt).map_err(|error| broken(id, error))?,
        max_attempts: u32::try_from(row.max_attempts).map_err(|error| broken(id, error))?,
        created_at: time(row.created_at)?,
        run_after: time(row.run_after)?,
        started_at: optional_time(row.started_at)?,
        finished_at: optional_time(row.finished_at)?,
        deadline: optional_time(row.deadline)?,
        lease_expires_at: optional_time(row.lease_expires_at)?,
        fence: u64::try_from(row.fence).map_err(|error| broken(id, error))?,
        payload: json(&row.payload)?,
        checkpoint: row.checkpoint.as_deref().map(json).transpose()?,
        result: row.result.as_deref().map(json).transpose()?,
        error: error.map_err(|error| broken(id, error))?,
        cancel_requested: row.cancel_requested,
        owner: row.owner,
        kind: row.kind,
        idempotency_key: row.idempotency_key,
    })
}

/// Id, kind, state, and when it was created and finished.
pub(super) type SummaryRow = (String, String, String, i64, Option<i64>);

pub(super) fn to_summary(row: SummaryRow) -> Result<JobSummary, StorageError> {
    let (id, kind, state, created_at, finished_at) = row;
    let time = |millis: i64| from_millis(millis).map_err(|error| broken(&id, error));
    Ok(JobSummary {
        state: state.parse().map_err(|error| broken(&id, error))?,
        created_at: time(created_at)?,
        finished_at: finished_at.map(time).transpose()?,
        kind,
        id: id.parse().map_err(|error| broken(&id, error))?,
    })
}

fn broken(id: &str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StorageError {
    StorageError::Row { table: "queue_jobs", id: id.to_owned(), source: source.into() }
}
