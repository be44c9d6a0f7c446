//! Cases of many workers at once, and of waking them.

use std::collections::HashSet;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::{LEASE, Store, add, at, claim, error, new, result};
use crate::model::{JobState, Outcome};

pub(super) async fn run<F: Fn() -> M, M: Future<Output = Store>>(make: &F) {
    no_job_is_claimed_twice(make().await).await;
    a_cancel_and_a_claim_at_once_agree(make().await).await;
    one_of_two_ends_counts(make().await).await;
    for wake in [Wake::Enqueue, Wake::Release, Wake::Retry, Wake::Reap, Wake::Void] {
        work_wakes_a_worker(make().await, wake).await;
    }
}

async fn no_job_is_claimed_twice(store: Store) {
    const JOBS: usize = 60;
    for number in 0..JOBS {
        add(&store, "job", new(&format!("owner {}", number % 7)), 0).await;
    }
    let workers: Vec<_> = (0..6)
        .map(|number| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let mut ids = Vec::new();
                let worker = format!("worker {number}");
                while let Some((job, lease)) = store.claim(&worker, LEASE, at(1)).await.expect("claim") {
                    assert_eq!((job.attempt, lease.worker.as_str()), (1, worker.as_str()));
                    ids.push(job.id);
                }
                ids
            })
        })
        .collect();
    let mut ids = Vec::new();
    for worker in workers {
        ids.extend(worker.await.expect("the worker ends"));
    }
    let different: HashSet<_> = ids.iter().collect();
    assert_eq!((ids.len(), different.len()), (JOBS, JOBS), "each job once");
}

/// Either the cancel comes first, and there is nothing to claim, or the job runs and knows of the cancel.
async fn a_cancel_and_a_claim_at_once_agree(store: Store) {
    for _ in 0..10 {
        let id = add(&store, "job", new("a"), 0).await.id;
        let claiming = tokio::spawn({
            let store = Arc::clone(&store);
            async move { store.claim("worker", LEASE, at(1)).await.expect("claim") }
        });
        let cancelled = store.request_cancel(&id, at(1)).await.expect("cancel").expect("it is there");
        match claiming.await.expect("the task ends") {
            Some((_, lease)) => {
                assert_eq!((cancelled.state, cancelled.cancel_requested), (JobState::Running, true));
                let beat = store.heartbeat(&lease, LEASE, at(2)).await.expect("heartbeat");
                assert!(beat.cancel_requested);
                store.complete(&lease, Outcome::Cancelled, at(3)).await.expect("complete");
            }
            None => assert_eq!(cancelled.state, JobState::Cancelled),
        }
    }
}

async fn one_of_two_ends_counts(store: Store) {
    for _ in 0..10 {
        add(&store, "job", new("a"), 0).await;
        let (_, lease) = claim(&store, 1).await;
        let ends = [Outcome::Succeeded(result()), Outcome::Failed(error("broken"))].map(|outcome| {
            let (store, lease) = (Arc::clone(&store), lease.clone());
            tokio::spawn(async move { store.complete(&lease, outcome, at(2)).await.is_ok() })
        });
        let mut written = 0;
        for end in ends {
            written += usize::from(end.await.expect("the task ends"));
        }
        assert_eq!(written, 1, "the second finds the lease lost");
    }
}

/// What there is to claim, all of a sudden.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Wake {
    Enqueue,
    Release,
    Retry,
    Reap,
    Void,
}

async fn work_wakes_a_worker(store: Store, wake: Wake) {
    for waits_already in [true, false] {
        let lease = if wake == Wake::Enqueue {
            None
        } else {
            add(&store, "job", new("a"), 0).await;
            Some(claim(&store, 1).await.1)
        };
        settle(&store).await;
        let waiter = || {
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.wait_for_work().await })
        };
        let early = waits_already.then(waiter);
        // The task is on its way to wait; one that comes late finds the wake-up kept.
        tokio::task::yield_now().await;
        match (wake, lease) {
            (Wake::Release, Some(lease)) => {
                drop(store.complete(&lease, Outcome::Released, at(2)).await.expect("complete"));
            }
            (Wake::Retry, Some(lease)) => {
                let retry = Outcome::Retry { error: error("busy"), run_after: at(2) };
                drop(store.complete(&lease, retry, at(2)).await.expect("complete"));
            }
            (Wake::Reap, _) => drop(store.reap_expired(at(100)).await.expect("reap")),
            (Wake::Void, _) => drop(store.void_leases(at(2)).await.expect("void")),
            _ => drop(add(&store, "job", new("a"), 0).await),
        }
        let woken = timeout(Duration::from_secs(10), early.unwrap_or_else(waiter)).await;
        woken
            .unwrap_or_else(|_| panic!("{wake:?} woke nobody, waiting already: {waits_already}"))
            .expect("it ends");
        let (_, lease) = claim(&store, 100).await;
        store.complete(&lease, Outcome::Cancelled, at(101)).await.expect("complete");
    }
}

/// Takes the wake-ups that were kept.
async fn settle(store: &Store) {
    for _ in 0..100 {
        if timeout(Duration::from_millis(10), store.wait_for_work()).await.is_err() {
            return;
        }
    }
    panic!("without any work a worker is woken again and again");
}
