//! News of jobs for those who subscribe to them: `comfy://jobs/{id}` has changed, and so has the task of the same id.
//!
//! A change of state is told at once, progress at most four times a second: who reads the job finds the newest state of it
//! anyway. Where nobody listens, nothing is done.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use job_queue::{Job, JobId, JobState};
use mcp_protocol::Notifier;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::app::App;
use crate::error::ServerError;
use crate::resources::Address;
use crate::tasks;

/// Between two words of a job's progress.
const PROGRESS_EVERY: Duration = Duration::from_millis(250);
/// Jobs of other processes on the same data announce nothing here: how often they are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Jobs that are looked at; more can't be subscribed to by chance.
const MAX_WATCHED: usize = 10_000;

/// Collects what has changed, and tells it. Cheap to clone; the clones are one.
#[derive(Clone, Default)]
pub struct Updates {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    notifier: Notifier,
    pending: Mutex<Pending>,
    wake: Notify,
}

#[derive(Default)]
struct Pending {
    /// Jobs whose state has changed.
    changed: BTreeSet<JobId>,
    /// Jobs that got further.
    moved: BTreeSet<JobId>,
    /// Unfinished jobs that somebody subscribed to, each as it was told last.
    watched: BTreeMap<JobId, Seen>,
}

/// What of a job another process may change.
type Seen = (JobState, u64);

impl Pending {
    /// What is told of a change covers the progress before it.
    fn take_changed(&mut self) -> BTreeSet<JobId> {
        self.moved.retain(|id| !self.changed.contains(id));
        std::mem::take(&mut self.changed)
    }
}

impl Updates {
    /// Through which the changes are told; for the MCP server.
    pub fn notifier(&self) -> &Notifier {
        &self.inner.notifier
    }

    /// The state of a job has changed.
    pub fn changed(&self, job: &JobId) {
        if self.is_heard(job) {
            self.lock().changed.insert(job.clone());
            self.inner.wake.notify_one();
        }
    }

    /// A job got further.
    pub fn moved(&self, job: &JobId) {
        if self.is_heard(job) {
            self.lock().moved.insert(job.clone());
            self.inner.wake.notify_one();
        }
    }

    /// Somebody is about to subscribe to this job, or asks for its task.
    pub fn watch(&self, job: &Job) {
        let mut pending = self.lock();
        if !job.state.is_terminal() && pending.watched.len() < MAX_WATCHED {
            pending.watched.entry(job.id.clone()).or_insert((job.state, job.fence));
            self.inner.wake.notify_one();
        }
    }

    /// Tells what changes, until the server stops.
    pub async fn run(self, app: Arc<App>) {
        let mut next_progress = Instant::now();
        let mut next_look = next_progress;
        let mut watching = false;
        loop {
            let (moved, watched) = {
                let pending = self.lock();
                (!pending.moved.is_empty(), !pending.watched.is_empty())
            };
            if watched && !watching {
                next_look = Instant::now() + LOOK_EVERY;
            }
            watching = watched;
            tokio::select! {
                () = app.stopping.cancelled() => return,
                () = self.inner.wake.notified() => {}
                () = sleep_until(next_progress), if moved => {}
                () = sleep_until(next_look), if watched => {
                    self.look(&app).await;
                    next_look = Instant::now() + LOOK_EVERY;
                }
            }
            let mut due = self.lock().take_changed();
            if Instant::now() >= next_progress {
                due.append(&mut std::mem::take(&mut self.lock().moved));
                next_progress = Instant::now() + PROGRESS_EVERY;
            }
            for id in due {
                if let Err(error) = self.tell(&app, &id).await {
                    tracing::debug!(job.id = %id, %error, "a change can't be told");
                }
            }
        }
    }

    /// Finds out what other processes have changed, and forgets what nobody listens to any more.
    async fn look(&self, app: &App) {
        let watched = self.lock().watched.clone();
        for (id, seen) in watched {
            let now = match app.queue.get(&id).await {
                Ok(Some(job)) if self.is_heard(&id) => (job.state, job.fence),
                Ok(_) => {
                    self.lock().watched.remove(&id);
                    continue;
                }
                Err(_) => continue,
            };
            if now != seen {
                self.lock().changed.insert(id);
            }
        }
    }

    async fn tell(&self, app: &App, id: &JobId) -> Result<(), ServerError> {
        let notifier = &self.inner.notifier;
        let Some(job) = app.queue.get(id).await? else { return Ok(()) };
        {
            let mut pending = self.lock();
            if job.state.is_terminal() {
                pending.watched.remove(id);
            } else if let Some(seen) = pending.watched.get_mut(id) {
                *seen = (job.state, job.fence);
            }
        }
        notifier.resource_updated(&uri(id));
        if notifier.has_listeners(id.as_str()) {
            let task = tasks::task(app, &job).await?;
            notifier.task_changed(id.as_str(), || task.clone());
        }
        Ok(())
    }

    fn is_heard(&self, job: &JobId) -> bool {
        self.inner.notifier.has_listeners(job.as_str()) || self.inner.notifier.has_listeners(&uri(job))
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.inner.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn uri(job: &JobId) -> String {
    Address::Job(job.to_string()).to_string()
}
