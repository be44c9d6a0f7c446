//! What all sessions of the server share.

use std::sync::atomic::{AtomicU64, Ordering};

use rmcp::task_manager::TaskManager;
use tokio::sync::watch;

/// A text that can be rewritten, a count of the calls that were cancelled, and the tasks.
pub(crate) struct Board {
    text: watch::Sender<String>,
    cancelled: AtomicU64,
    /// Calls that go on after they were answered.
    pub(crate) tasks: TaskManager,
}

impl Default for Board {
    fn default() -> Board {
        let text = watch::Sender::new("nothing yet".to_owned());
        Board { text, cancelled: AtomicU64::new(0), tasks: TaskManager::new() }
    }
}

impl Board {
    pub(crate) fn text(&self) -> String {
        self.text.borrow().clone()
    }

    pub(crate) fn write(&self, text: &str) {
        self.text.send_replace(text.to_owned());
    }

    /// Tells when the text has changed.
    pub(crate) fn changes(&self) -> watch::Receiver<String> {
        self.text.subscribe()
    }

    pub(crate) fn count_cancelled(&self) {
        self.cancelled.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn cancelled(&self) -> u64 {
        self.cancelled.load(Ordering::Relaxed)
    }
}
