//! What is on its way to the caller of one request while it runs: bounded, whatever the caller does.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

/// One thing for the transport.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Parcel {
    /// The text of a notification that the next one may stand for.
    Note(String),
    /// The text of a notification or of a request to the client that has to arrive.
    Kept(String),
    /// Let the client come back for the rest after this time (2025-11-25, transports: a stream that is polled).
    Close(Duration),
}

/// Messages in order. A full box keeps the newest progress, which says everything, and drops log messages; requests
/// to the client are always taken, as few of them are open at once.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    queue: Mutex<VecDeque<(Kind, Parcel)>>,
    ready: Notify,
    drained: Notify,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Progress,
    Log,
    Kept,
}

impl Outbox {
    const CAPACITY: usize = 16;

    pub(crate) fn push_progress(&self, text: String) {
        self.push(Kind::Progress, Parcel::Note(text), |queue| {
            let last = queue.iter().rposition(|(kind, _)| *kind == Kind::Progress);
            if let Some(last) = last {
                queue.remove(last);
            }
            true
        });
    }

    pub(crate) fn push_log(&self, text: String) {
        self.push(Kind::Log, Parcel::Note(text), |_| false);
    }

    /// For what must not be dropped: few of them at once, or [`Outbox::drained`] before the next.
    pub(crate) fn push_kept(&self, text: String) {
        self.push(Kind::Kept, Parcel::Kept(text), |_| true);
    }

    pub(crate) fn push_close(&self, retry: Duration) {
        self.push(Kind::Kept, Parcel::Close(retry), |_| true);
    }

    /// `make_room` says whether a full queue takes one more all the same.
    fn push(
        &self,
        kind: Kind,
        parcel: Parcel,
        make_room: impl FnOnce(&mut VecDeque<(Kind, Parcel)>) -> bool,
    ) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.len() >= Self::CAPACITY && !make_room(&mut queue) {
            return;
        }
        queue.push_back((kind, parcel));
        drop(queue);
        self.ready.notify_one();
    }

    /// The next one if there is one already.
    pub(crate) fn take(&self) -> Option<Parcel> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, parcel) = queue.pop_front()?;
        if queue.is_empty() {
            self.drained.notify_one();
        }
        Some(parcel)
    }

    /// Waits until everything is taken. One waiter.
    pub(crate) async fn drained(&self) {
        loop {
            let drained = self.drained.notified();
            if self.queue.lock().unwrap_or_else(PoisonError::into_inner).is_empty() {
                return;
            }
            drained.await;
        }
    }

    /// The next one. Cancel-safe; one reader.
    pub(crate) async fn next(&self) -> Parcel {
        loop {
            if let Some(parcel) = self.take() {
                return parcel;
            }
            self.ready.notified().await;
        }
    }
}
