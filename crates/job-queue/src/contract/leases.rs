//! Cases of who may write to a running job.

use std::future::Future;
use std::time::Duration;

use serde_json::json;

use super::{LEASE, Store, add, at, claim, error, get, new, result};
use crate::model::{Job, JobId, JobState, Lease, Outcome};
use crate::store::StoreError;

pub(super) async fn run<F: Fn() -> M, M: Future<Output = Store>>(make: &F) {
    a_claim_starts_an_attempt(make().await).await;
    a_heartbeat_extends_the_lease(make().await).await;
    a_heartbeat_tells_of_a_cancel(make().await).await;
    a_checkpoint_is_kept(make().await).await;
    an_expired_lease_is_good_until_it_is_reaped(make().await).await;
    for taken in [Taken::Ended, Taken::Released, Taken::Reaped, Taken::ReapedAndClaimed, Taken::Voided] {
        a_stale_lease_writes_nothing(make().await, taken).await;
    }
    a_lease_on_an_unknown_job_is_lost(make().await).await;
}

async fn a_claim_starts_an_attempt(store: Store) {
    let queued = add(&store, "job", new("a"), 0).await;
    let (job, lease) = store.claim("worker 7", LEASE, at(5)).await.expect("claim").expect("a job");
    let expected = Job {
        state: JobState::Running,
        attempt: 1,
        fence: 1,
        started_at: Some(at(5)),
        lease_expires_at: Some(at(65)),
        ..queued
    };
    assert_eq!(job, expected);
    assert_eq!(get(&store, &job.id).await, expected);
    assert_eq!(lease, Lease { job_id: job.id, worker: "worker 7".into(), fence: 1, expires_at: at(65) });
}

async fn a_heartbeat_extends_the_lease(store: Store) {
    add(&store, "job", new("a"), 0).await;
    let (job, lease) = claim(&store, 0).await;
    let beat = store.heartbeat(&lease, Duration::from_secs(90), at(30)).await.expect("heartbeat");
    assert_eq!((beat.lease.expires_at, beat.cancel_requested), (at(120), false));
    assert_eq!(Lease { expires_at: lease.expires_at, ..beat.lease.clone() }, lease);
    assert_eq!(get(&store, &job.id).await.lease_expires_at, Some(at(120)));
    assert_eq!(store.reap_expired(at(119)).await.expect("reap"), []);
    assert_eq!(store.reap_expired(at(120)).await.expect("reap").len(), 1);
}

async fn a_heartbeat_tells_of_a_cancel(store: Store) {
    add(&store, "job", new("a"), 0).await;
    let (job, lease) = claim(&store, 0).await;
    store.request_cancel(&job.id, at(1)).await.expect("cancel");
    assert!(store.heartbeat(&lease, LEASE, at(2)).await.expect("heartbeat").cancel_requested);
}

async fn a_checkpoint_is_kept(store: Store) {
    add(&store, "job", new("a"), 0).await;
    let (job, lease) = claim(&store, 0).await;
    for value in [json!({"backend": "one", "prompt": 1}), json!("later"), json!(null)] {
        store.checkpoint(&lease, value.clone()).await.expect("checkpoint");
        // A stored null may come back as nothing: neither says where the work runs.
        assert_eq!(get(&store, &job.id).await.checkpoint.unwrap_or_default(), value);
    }
    store.checkpoint(&lease, json!("last")).await.expect("checkpoint");
    let job = store.complete(&lease, Outcome::Succeeded(result()), at(1)).await.expect("complete");
    assert_eq!(job.checkpoint, Some(json!("last")));
}

async fn an_expired_lease_is_good_until_it_is_reaped(store: Store) {
    add(&store, "job", new("a"), 0).await;
    let (_, lease) = claim(&store, 0).await;
    let beat = store.heartbeat(&lease, LEASE, at(1000)).await.expect("heartbeat");
    assert_eq!(beat.lease.expires_at, at(1060));
    store.checkpoint(&lease, json!(1)).await.expect("checkpoint");
    let job = store.complete(&lease, Outcome::Succeeded(result()), at(2000)).await.expect("complete");
    assert_eq!(job.state, JobState::Succeeded);
}

/// How a lease was lost.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Taken {
    Ended,
    Released,
    Reaped,
    ReapedAndClaimed,
    Voided,
}

async fn a_stale_lease_writes_nothing(store: Store, taken: Taken) {
    add(&store, "job", new("a"), 0).await;
    let (job, lease) = claim(&store, 0).await;
    store.checkpoint(&lease, json!("kept")).await.expect("checkpoint");
    match taken {
        Taken::Ended => drop(store.complete(&lease, Outcome::Cancelled, at(100)).await.expect("complete")),
        Taken::Released => drop(store.complete(&lease, Outcome::Released, at(100)).await.expect("complete")),
        Taken::Reaped | Taken::ReapedAndClaimed => drop(store.reap_expired(at(100)).await.expect("reap")),
        Taken::Voided => assert_eq!(store.void_leases(at(100)).await.expect("void"), 1),
    }
    let newer = if taken == Taken::ReapedAndClaimed { Some(claim(&store, 100).await.1) } else { None };
    let before = get(&store, &job.id).await;

    assert!(lost(&store.heartbeat(&lease, LEASE, at(101)).await), "heartbeat, {taken:?}");
    assert!(lost(&store.checkpoint(&lease, json!("stale")).await), "checkpoint, {taken:?}");
    for outcome in [
        Outcome::Succeeded(result()),
        Outcome::Failed(error("stale")),
        Outcome::Cancelled,
        Outcome::Retry { error: error("stale"), run_after: at(500) },
        Outcome::Released,
    ] {
        assert!(lost(&store.complete(&lease, outcome.clone(), at(101)).await), "{outcome:?}, {taken:?}");
    }
    assert_eq!(get(&store, &job.id).await, before, "{taken:?}");

    if let Some(newer) = newer {
        assert_eq!(newer.fence, lease.fence + 1);
        store.heartbeat(&newer, LEASE, at(102)).await.expect("the newer lease is good");
        store.complete(&newer, Outcome::Succeeded(result()), at(103)).await.expect("and completes the job");
    }
}

async fn a_lease_on_an_unknown_job_is_lost(store: Store) {
    let lease = Lease { job_id: JobId::new(), worker: "worker".into(), fence: 0, expires_at: at(60) };
    assert!(lost(&store.heartbeat(&lease, LEASE, at(0)).await));
    assert!(lost(&store.checkpoint(&lease, json!(1)).await));
    assert!(lost(&store.complete(&lease, Outcome::Cancelled, at(0)).await));
}

fn lost<T>(answer: &Result<T, StoreError>) -> bool {
    matches!(answer, Err(StoreError::LeaseLost))
}
