//! A store in memory: for tests, and for a server that may forget its jobs.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::Notify;

use crate::model::{
    Counts, Enqueued, Heartbeat, Job, JobFilter, JobId, JobState, JobSummary, Lease, NewJob, Outcome,
};
use crate::store::{JobStore, StoreError};
use crate::transition;

/// Keeps jobs in memory until they are pruned. One process; nothing survives it.
#[derive(Default)]
pub struct MemoryStore {
    kept: Mutex<Kept>,
    work: Notify,
}

#[derive(Default)]
struct Kept {
    jobs: BTreeMap<JobId, Job>,
    queued: BTreeSet<JobId>,
    running: BTreeSet<JobId>,
    keys: HashMap<(String, String), JobId>,
    last_start: HashMap<String, Timestamp>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> MemoryStore {
        MemoryStore::default()
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl JobStore for MemoryStore {
    async fn enqueue(&self, new: NewJob, now: Timestamp) -> Result<Enqueued, StoreError> {
        let mut kept = self.lock();
        if let Some(key) = &new.idempotency_key
            && let Some(job) = kept.by_key(&new.owner, key)
        {
            return Ok(Enqueued::Existing(job.clone()));
        }
        let job = transition::queued(new, now);
        if let Some(key) = &job.idempotency_key {
            kept.keys.insert((job.owner.clone(), key.clone()), job.id.clone());
        }
        kept.queued.insert(job.id.clone());
        kept.jobs.insert(job.id.clone(), job.clone());
        drop(kept);
        self.work.notify_one();
        Ok(Enqueued::Created(job))
    }

    async fn get(&self, id: &JobId) -> Result<Option<Job>, StoreError> {
        Ok(self.lock().jobs.get(id).cloned())
    }

    async fn find(&self, owner: &str, idempotency_key: &str) -> Result<Option<Job>, StoreError> {
        Ok(self.lock().by_key(owner, idempotency_key).cloned())
    }

    async fn list(&self, filter: &JobFilter) -> Result<Vec<Job>, StoreError> {
        Ok(self.lock().matching(filter).cloned().collect())
    }

    async fn summaries(&self, filter: &JobFilter) -> Result<Vec<JobSummary>, StoreError> {
        Ok(self.lock().matching(filter).map(JobSummary::from).collect())
    }

    async fn claim(
        &self,
        worker: &str,
        lease: Duration,
        now: Timestamp,
    ) -> Result<Option<(Job, Lease)>, StoreError> {
        let mut kept = self.lock();
        let Some(id) = kept.next_to_claim(now) else { return Ok(None) };
        let Some(job) = kept.jobs.get_mut(&id) else { return Ok(None) };
        let lease = transition::start(job, worker, lease, now);
        let job = job.clone();
        kept.last_start.insert(job.owner.clone(), now);
        kept.queued.remove(&id);
        kept.running.insert(id);
        let more = !kept.queued.is_empty();
        drop(kept);
        if more {
            // One kept wake-up may stand for many jobs, and this worker may have no place for another.
            self.work.notify_one();
        }
        Ok(Some((job, lease)))
    }

    async fn heartbeat(
        &self,
        lease: &Lease,
        extend: Duration,
        now: Timestamp,
    ) -> Result<Heartbeat, StoreError> {
        let mut kept = self.lock();
        let job = kept.held(lease)?;
        let expires_at = transition::expiry(now, extend);
        job.lease_expires_at = Some(expires_at);
        Ok(Heartbeat { lease: Lease { expires_at, ..lease.clone() }, cancel_requested: job.cancel_requested })
    }

    async fn checkpoint(&self, lease: &Lease, value: Value) -> Result<(), StoreError> {
        self.lock().held(lease)?.checkpoint = Some(value);
        Ok(())
    }

    async fn complete(&self, lease: &Lease, outcome: Outcome, now: Timestamp) -> Result<Job, StoreError> {
        let mut kept = self.lock();
        let job = kept.held(lease)?;
        transition::complete(job, outcome, now);
        let job = job.clone();
        kept.moved(&job);
        drop(kept);
        if job.state == JobState::Queued {
            self.work.notify_one();
        }
        Ok(job)
    }

    async fn request_cancel(&self, id: &JobId, now: Timestamp) -> Result<Option<Job>, StoreError> {
        let mut kept = self.lock();
        let Some(job) = kept.jobs.get_mut(id) else { return Ok(None) };
        transition::request_cancel(job, now);
        let job = job.clone();
        kept.moved(&job);
        drop(kept);
        if job.state == JobState::Queued {
            self.work.notify_one();
        }
        Ok(Some(job))
    }

    async fn reap_expired(&self, now: Timestamp) -> Result<Vec<Job>, StoreError> {
        let mut kept = self.lock();
        let candidates: Vec<JobId> = kept.running.iter().chain(&kept.queued).cloned().collect();
        let mut changed = Vec::new();
        for id in candidates {
            if let Some(job) = kept.jobs.get_mut(&id)
                && transition::reap(job, now)
            {
                changed.push(job.clone());
            }
        }
        for job in &changed {
            kept.moved(job);
        }
        drop(kept);
        if changed.iter().any(|job| job.state == JobState::Queued) {
            self.work.notify_one();
        }
        Ok(changed)
    }

    async fn void_leases(&self, now: Timestamp) -> Result<u64, StoreError> {
        let mut kept = self.lock();
        let running: Vec<JobId> = kept.running.iter().cloned().collect();
        let mut changed = 0;
        for id in running {
            if let Some(job) = kept.jobs.get_mut(&id) {
                transition::complete(job, Outcome::Released, now);
                let job = job.clone();
                kept.moved(&job);
                changed += 1;
            }
        }
        drop(kept);
        self.work.notify_one();
        Ok(changed)
    }

    async fn counts(&self, owner: Option<&str>) -> Result<Counts, StoreError> {
        let kept = self.lock();
        let mut counts = Counts::default();
        for job in kept.jobs.values().filter(|job| owner.is_none_or(|owner| job.owner == owner)) {
            match job.state {
                JobState::Queued => counts.queued += 1,
                JobState::Running => counts.running += 1,
                JobState::Succeeded => counts.succeeded += 1,
                JobState::Failed => counts.failed += 1,
                JobState::Cancelled => counts.cancelled += 1,
            }
        }
        Ok(counts)
    }

    async fn position(&self, id: &JobId) -> Result<Option<u64>, StoreError> {
        let kept = self.lock();
        let mut turns: HashMap<(i8, &str), u64> = HashMap::new();
        let mut order = Vec::new();
        for job in kept.queued_jobs() {
            let turn = turns.entry((job.priority.get(), &job.owner)).or_default();
            order.push((-i16::from(job.priority.get()), *turn, &job.id));
            *turn += 1;
        }
        let Some(own) = order.iter().find(|(_, _, other)| *other == id) else { return Ok(None) };
        Ok(Some(order.iter().filter(|other| *other < own).count() as u64))
    }

    async fn next_run_after(&self, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        let kept = self.lock();
        Ok(kept.queued_jobs().map(|job| job.run_after).filter(|time| *time > now).min())
    }

    async fn prune(&self, finished_before: Timestamp) -> Result<u64, StoreError> {
        let mut kept = self.lock();
        let before = kept.jobs.len();
        kept.jobs.retain(|_, job| job.finished_at.is_none_or(|at| at >= finished_before));
        let Kept { jobs, keys, last_start, .. } = &mut *kept;
        keys.retain(|_, id| jobs.contains_key(id));
        let owners: BTreeSet<&String> = jobs.values().map(|job| &job.owner).collect();
        last_start.retain(|owner, _| owners.contains(owner));
        Ok((before - kept.jobs.len()) as u64)
    }

    async fn wait_for_work(&self) {
        self.work.notified().await;
    }
}

impl Kept {
    /// Newest first.
    fn matching<'a>(&'a self, filter: &'a JobFilter) -> impl Iterator<Item = &'a Job> {
        let matching = self.jobs.values().rev().filter(|job| {
            filter.before.as_ref().is_none_or(|before| job.id < *before)
                && filter.owner.as_ref().is_none_or(|owner| job.owner == *owner)
                && (filter.states.is_empty() || filter.states.contains(&job.state))
        });
        matching.take(filter.limit)
    }

    fn by_key(&self, owner: &str, key: &str) -> Option<&Job> {
        self.jobs.get(self.keys.get(&(owner.to_owned(), key.to_owned()))?)
    }

    fn queued_jobs(&self) -> impl Iterator<Item = &Job> {
        self.queued.iter().filter_map(|id| self.jobs.get(id))
    }

    fn next_to_claim(&self, now: Timestamp) -> Option<JobId> {
        if let Some(job) = self.queued_jobs().find(|job| job.cancel_requested) {
            return Some(job.id.clone());
        }
        let claimable: Vec<&Job> = self
            .queued_jobs()
            .filter(|job| job.run_after <= now && job.deadline.is_none_or(|deadline| deadline > now))
            .collect();
        let mut waiting_since: BTreeMap<i8, Timestamp> = BTreeMap::new();
        for job in &claimable {
            let since = waiting_since.entry(job.priority.get()).or_insert(job.run_after);
            *since = job.run_after.min(*since);
        }
        let (priority, _) = waiting_since.into_iter().max_by_key(|(priority, since)| {
            let minutes = now.duration_since(*since).as_secs() / 60;
            (i64::from(*priority).saturating_add(minutes), *priority)
        })?;
        let mut running: HashMap<&str, usize> = HashMap::new();
        for job in self.running.iter().filter_map(|id| self.jobs.get(id)) {
            *running.entry(&job.owner).or_default() += 1;
        }
        claimable
            .into_iter()
            .filter(|job| job.priority.get() == priority)
            .min_by_key(|job| {
                let runs = running.get(job.owner.as_str()).copied().unwrap_or(0);
                (runs, self.last_start.get(&job.owner), &job.id)
            })
            .map(|job| job.id.clone())
    }

    fn held(&mut self, lease: &Lease) -> Result<&mut Job, StoreError> {
        self.jobs
            .get_mut(&lease.job_id)
            .filter(|job| job.state == JobState::Running && job.fence == lease.fence)
            .ok_or(StoreError::LeaseLost)
    }

    /// Keeps the sets of queued and of running jobs in step with a job's state.
    fn moved(&mut self, job: &Job) {
        for (set, state) in [(&mut self.queued, JobState::Queued), (&mut self.running, JobState::Running)] {
            if job.state == state {
                set.insert(job.id.clone());
            } else {
                set.remove(&job.id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::MemoryStore;
    use crate::contract;
    use crate::store::JobStore;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn keeps_the_contract() {
        contract::run(async || Arc::new(MemoryStore::new()) as Arc<dyn JobStore>).await;
    }
}
