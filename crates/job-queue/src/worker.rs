//! Claims jobs and hands them to attempts; takes back what was lost and deletes what is old.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::attempt::{self, Claimed};
use crate::cancel::CancelReason;
use crate::execution::Executor;
use crate::queue::Inner;
use crate::store::StoreError;

/// How long to leave a store alone that failed.
const STORE_PAUSE: Duration = Duration::from_secs(1);
/// How long to sleep at most for a job of a known time: the system's clock may be set meanwhile.
const LONGEST_SLEEP: Duration = Duration::from_mins(1);
const PRUNE_EVERY: Duration = Duration::from_mins(10);

pub(crate) async fn run(inner: Arc<Inner>, executor: Arc<dyn Executor>, stop: CancellationToken) {
    let worker = uuid::Uuid::now_v7().to_string();
    let places = Arc::new(Semaphore::new(inner.config.max_concurrent_jobs.clamp(1, Semaphore::MAX_PERMITS)));
    let mut attempts = JoinSet::new();
    let _upkeep = AbortOnDropHandle::new(tokio::spawn(upkeep(Arc::clone(&inner))));

    while let Some(place) = free_place(&places, &stop).await {
        let Some(claimed) = next_job(&inner, &worker, &stop).await else { break };
        while attempts.try_join_next().is_some() {}
        let (inner, executor, stop) = (Arc::clone(&inner), Arc::clone(&executor), stop.clone());
        attempts.spawn(async move {
            attempt::run(inner, executor, claimed, stop).await;
            drop(place);
        });
    }
    while attempts.join_next().await.is_some() {}
}

async fn free_place(places: &Arc<Semaphore>, stop: &CancellationToken) -> Option<OwnedSemaphorePermit> {
    tokio::select! {
        biased;
        () = stop.cancelled() => None,
        place = Arc::clone(places).acquire_owned() => place.ok(),
    }
}

/// Waits for a job to claim; nothing when the server stops.
async fn next_job(inner: &Inner, worker: &str, stop: &CancellationToken) -> Option<Claimed> {
    while !stop.is_cancelled() {
        let now = inner.now();
        // Not raced with `stop`: a claim that is given up half-way would hold its job until the lease expires.
        let waited = match claim(inner, worker, now).await {
            Ok(Some(claimed)) => return Some(claimed),
            Ok(None) => stop.run_until_cancelled(wait_for_work(inner, now)).await.unwrap_or(Ok(())),
            Err(error) => Err(error),
        };
        if let Err(error) = waited {
            tracing::error!(error = &error as &dyn Error, "could not look for work");
            stop.run_until_cancelled(tokio::time::sleep(STORE_PAUSE)).await;
        }
    }
    None
}

async fn claim(inner: &Inner, worker: &str, now: Timestamp) -> Result<Option<Claimed>, StoreError> {
    inner.running.claiming();
    let claim = inner.store.claim(worker, inner.config.lease, now).await;
    let lease = claim.as_ref().ok().and_then(Option::as_ref).map(|(_, lease)| lease);
    let cancel = inner.running.claimed(lease);
    let Some((job, lease)) = claim? else { return Ok(None) };
    if job.fence == 1 {
        // Its submission may not have been announced yet, and comes first.
        drop(inner.admission.lock().await);
    }
    if job.cancel_requested {
        cancel.ask(CancelReason::User);
    }
    inner.announcer.announce(&job);
    Ok(Some(Claimed { job, lease, cancel }))
}

/// Returns when there may be work, after nothing was found at `looked_at`.
async fn wait_for_work(inner: &Inner, looked_at: Timestamp) -> Result<(), StoreError> {
    let next = inner.store.next_run_after(looked_at).await?;
    let left = next.map(|time| Duration::try_from(time.duration_since(inner.now())).unwrap_or_default());
    // A store may round to whole milliseconds.
    let left = left.map_or(LONGEST_SLEEP, |left| left + Duration::from_millis(1)).min(LONGEST_SLEEP);
    tokio::select! {
        () = inner.store.wait_for_work() => {}
        () = tokio::time::sleep(left) => {}
    }
    Ok(())
}

/// No event tells that a lease or a deadline has passed, so this looks at intervals.
async fn upkeep(inner: Arc<Inner>) {
    let every = (inner.config.lease / 3).clamp(Duration::from_millis(10), Duration::from_secs(5));
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut prune_at = Instant::now();
    loop {
        ticks.tick().await;
        match inner.store.reap_expired(inner.now()).await {
            Ok(changed) => changed.iter().for_each(|job| {
                tracing::warn!(job.id = %job.id, job.state = %job.state, "took back a job that nobody worked on");
                inner.announcer.announce(job);
            }),
            Err(error) => tracing::error!(error = &error as &dyn Error, "could not reap jobs"),
        }
        if Instant::now() >= prune_at {
            prune_at = Instant::now() + PRUNE_EVERY;
            prune(&inner).await;
        }
    }
}

async fn prune(inner: &Inner) {
    let Ok(before) = inner.now().checked_sub(inner.config.retention) else { return };
    match inner.store.prune(before).await {
        Ok(0) => {}
        Ok(jobs) => tracing::info!(jobs, "deleted jobs past their retention"),
        Err(error) => tracing::error!(error = &error as &dyn Error, "could not delete old jobs"),
    }
}
