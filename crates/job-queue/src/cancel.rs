//! The request to end an attempt, and who makes it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

/// Why an attempt has to end. A later one outweighs those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CancelReason {
    /// The job's deadline has passed: its work is to end, wherever it runs.
    Deadline,
    /// A user cancelled the job: likewise.
    User,
    /// The job is another worker's now, and so is its work: leave it running.
    LeaseLost,
}

/// Tells one attempt to end. The clones are one request.
#[derive(Clone, Default)]
pub(crate) struct Cancel {
    token: CancellationToken,
    reason: Arc<Mutex<Option<CancelReason>>>,
}

impl Cancel {
    /// The reason is there before anybody hears of the request.
    pub(crate) fn ask(&self, reason: CancelReason) {
        {
            let mut kept = self.lock();
            *kept = (*kept).max(Some(reason));
        }
        self.token.cancel();
    }

    pub(crate) fn reason(&self) -> Option<CancelReason> {
        *self.lock()
    }

    pub(crate) fn token(&self) -> &CancellationToken {
        &self.token
    }

    fn lock(&self) -> MutexGuard<'_, Option<CancelReason>> {
        self.reason.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
