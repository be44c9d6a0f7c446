//! The jobs that this process runs, so that a cancel reaches them at once.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::cancel::{Cancel, CancelReason};
use crate::model::{JobId, Lease};

#[derive(Default)]
pub(crate) struct Running {
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    /// By job, with the fence of its attempt.
    attempts: HashMap<JobId, (u64, Cancel)>,
    claims: usize,
    /// Cancelled while a claim was under way: it may be the job that the claim is about to give.
    early: HashSet<JobId>,
}

impl Running {
    /// A claim is under way until [`Running::claimed`] is called.
    pub(crate) fn claiming(&self) {
        self.lock().claims += 1;
    }

    /// What the claim gave; its attempt is asked to end when a user cancels the job.
    pub(crate) fn claimed(&self, lease: Option<&Lease>) -> Cancel {
        let mut kept = self.lock();
        let cancel = Cancel::default();
        if let Some(Lease { job_id, fence, .. }) = lease {
            // An attempt that is still there has lost its lease, and this process is the first to know.
            if let Some((_, lost)) = kept.attempts.insert(job_id.clone(), (*fence, cancel.clone())) {
                lost.ask(CancelReason::LeaseLost);
            }
            if kept.early.contains(job_id) {
                cancel.ask(CancelReason::User);
            }
        }
        kept.claims -= 1;
        if kept.claims == 0 {
            kept.early.clear();
        }
        cancel
    }

    pub(crate) fn cancel(&self, id: &JobId) {
        let mut kept = self.lock();
        if let Some((_, cancel)) = kept.attempts.get(id) {
            cancel.ask(CancelReason::User);
        } else if kept.claims > 0 {
            kept.early.insert(id.clone());
        }
    }

    /// The attempt is over; a later one of the same job may be under way already.
    pub(crate) fn ended(&self, lease: &Lease) {
        let mut kept = self.lock();
        if kept.attempts.get(&lease.job_id).is_some_and(|(fence, _)| *fence == lease.fence) {
            kept.attempts.remove(&lease.job_id);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::Running;
    use crate::cancel::CancelReason;
    use crate::model::{JobId, Lease};

    fn lease(id: &JobId, fence: u64) -> Lease {
        Lease { job_id: id.clone(), worker: "worker".into(), fence, expires_at: Timestamp::UNIX_EPOCH }
    }

    #[test]
    fn a_cancel_during_the_claim_reaches_the_job() {
        let (running, id, other) = (Running::default(), JobId::new(), JobId::new());
        running.claiming();
        running.cancel(&id);
        assert_eq!(running.claimed(Some(&lease(&id, 1))).reason(), Some(CancelReason::User));

        running.claiming();
        running.cancel(&id);
        assert_eq!(running.claimed(Some(&lease(&other, 1))).reason(), None);
        running.cancel(&JobId::new());
        running.claiming();
        assert_eq!(running.claimed(Some(&lease(&id, 2))).reason(), None, "the cancel is spent");
    }

    #[test]
    fn an_attempt_that_ends_leaves_the_next_one_alone() {
        let (running, id) = (Running::default(), JobId::new());
        running.claiming();
        let first = running.claimed(Some(&lease(&id, 1)));
        running.claiming();
        let second = running.claimed(Some(&lease(&id, 2)));
        assert_eq!((first.reason(), second.reason()), (Some(CancelReason::LeaseLost), None));
        running.ended(&lease(&id, 1));
        running.cancel(&id);
        assert_eq!(second.reason(), Some(CancelReason::User));
        running.ended(&lease(&id, 2));
        running.cancel(&id);
    }
}
