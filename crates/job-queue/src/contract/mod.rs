//! The suite that every store of jobs passes.

mod endings;
mod leases;
mod order;
mod records;
mod work;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::model::{Enqueued, Job, JobError, JobId, Lease, NewJob, Priority};
use crate::store::JobStore;

type Store = Arc<dyn JobStore>;

/// How long the suite's claims are leased.
const LEASE: Duration = Duration::from_mins(1);

/// Runs every case, each on a fresh store from `make`. Panics at the first that fails.
pub async fn run<F, M>(make: F)
where
    F: Fn() -> M,
    M: Future<Output = Arc<dyn JobStore>>,
{
    records::run(&make).await;
    order::run(&make).await;
    leases::run(&make).await;
    endings::run(&make).await;
    work::run(&make).await;
}

/// So many seconds after the start of a case.
fn at(seconds: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs(1_800_000_000 + seconds)
}

fn new(owner: &str) -> NewJob {
    NewJob::new(owner, "test", json!({}))
}

fn with_priority(owner: &str, priority: i64) -> NewJob {
    NewJob { priority: Priority::new(priority).expect("in range"), ..new(owner) }
}

/// Queues a job with this name as its payload.
async fn add(store: &Store, name: &str, job: NewJob, seconds: i64) -> Job {
    let job = NewJob { payload: json!(name), ..job };
    match store.enqueue(job, at(seconds)).await.expect("enqueue") {
        Enqueued::Created(job) => job,
        Enqueued::Existing(job) => panic!("{name} should be new, but is {job:?}"),
    }
}

async fn get(store: &Store, id: &JobId) -> Job {
    store.get(id).await.expect("get").expect("the job is there")
}

async fn try_claim(store: &Store, seconds: i64) -> Option<(Job, Lease)> {
    store.claim("worker", LEASE, at(seconds)).await.expect("claim")
}

async fn claim(store: &Store, seconds: i64) -> (Job, Lease) {
    try_claim(store, seconds).await.expect("there is a job to claim")
}

/// The name of the job that a claim gives, or "-".
async fn claim_name(store: &Store, seconds: i64) -> String {
    match try_claim(store, seconds).await {
        Some((job, _)) => name(&job),
        None => "-".into(),
    }
}

fn name(job: &Job) -> String {
    job.payload.as_str().unwrap_or("?").to_owned()
}

fn error(code: &str) -> JobError {
    JobError {
        code: code.into(),
        message: "something went wrong".into(),
        remedy: Some("try again".into()),
        retryable: true,
    }
}

fn result() -> Value {
    json!({"images": [1, 2, 3], "text": "é\n\"", "seed": u64::MAX})
}
