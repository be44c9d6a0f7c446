//! Tells the observer and those who wait of each change, in the order of a job's life.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::execution::Observer;
use crate::model::{Job, JobId, JobState};

/// Jobs whose last change is remembered. Changes overtake each other by moments, so this is plenty.
const REMEMBERED: usize = 4096;

pub(crate) struct Announcer {
    observer: Arc<dyn Observer>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    latest: HashMap<JobId, Step>,
    remembered: VecDeque<JobId>,
    waiters: HashMap<JobId, Waiters>,
}

/// How far in its life a job is: a claim raises the fence, and within one fence it runs before it is queued or ends,
/// and a cancel is asked for once.
type Step = (u64, u8);

struct Waiters {
    sender: watch::Sender<Option<Arc<Job>>>,
    count: usize,
}

impl Announcer {
    pub(crate) fn new(observer: Arc<dyn Observer>) -> Announcer {
        Announcer { observer, known: Mutex::default() }
    }

    /// Two tasks may commit changes of one job and come here in the other order; the older one is dropped then. The
    /// observer is called under the lock, for otherwise they could still overtake each other on the way to it.
    pub(crate) fn announce(&self, job: &Job) {
        let mut known = self.lock();
        if !known.is_news(job) {
            return;
        }
        self.observer.job_changed(job);
        if let Some(waiters) = known.waiters.get(&job.id) {
            waiters.sender.send_replace(Some(Arc::new(job.clone())));
        }
    }

    /// From now on no end of this job is missed.
    pub(crate) fn watch(self: &Arc<Self>, id: &JobId) -> Watch {
        let mut known = self.lock();
        let waiters = known
            .waiters
            .entry(id.clone())
            .or_insert_with(|| Waiters { sender: watch::Sender::new(None), count: 0 });
        waiters.count += 1;
        let receiver = waiters.sender.subscribe();
        Watch { announcer: Arc::clone(self), id: id.clone(), receiver }
    }

    /// How many jobs somebody waits for.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.lock().waiters.len()
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn is_news(&mut self, job: &Job) -> bool {
        let step = step(job);
        if let Some(latest) = self.latest.get_mut(&job.id) {
            let news = step > *latest;
            *latest = step.max(*latest);
            return news;
        }
        if self.remembered.len() >= REMEMBERED
            && let Some(oldest) = self.remembered.pop_front()
        {
            self.latest.remove(&oldest);
        }
        self.remembered.push_back(job.id.clone());
        self.latest.insert(job.id.clone(), step);
        true
    }
}

fn step(job: &Job) -> Step {
    let phase = match job.state {
        JobState::Running if !job.cancel_requested => 0,
        JobState::Running => 1,
        JobState::Queued if !job.cancel_requested => 2,
        JobState::Queued => 3,
        JobState::Succeeded | JobState::Failed | JobState::Cancelled => 4,
    };
    (job.fence, phase)
}

/// Somebody who waits for the end of a job.
pub(crate) struct Watch {
    announcer: Arc<Announcer>,
    id: JobId,
    receiver: watch::Receiver<Option<Arc<Job>>>,
}

impl Watch {
    /// The job, once it has ended.
    pub(crate) async fn end(&mut self) -> Job {
        let ended = |job: &Option<Arc<Job>>| job.as_ref().is_some_and(|job| job.state.is_terminal());
        let job = self.receiver.wait_for(ended).await.ok().and_then(|job| job.clone());
        match job {
            Some(job) => Job::clone(&job),
            // The sender lives as long as this watch is counted.
            None => std::future::pending().await,
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut known = self.announcer.lock();
        if let Some(waiters) = known.waiters.get_mut(&self.id) {
            waiters.count -= 1;
            if waiters.count == 0 {
                known.waiters.remove(&self.id);
            }
        }
    }
}

#[cfg(test)]
mod tests;
