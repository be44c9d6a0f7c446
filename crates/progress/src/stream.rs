//! One stream of events, shared by its publisher and its subscribers.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::event::{Envelope, Event};

/// A subscriber that lags keeps this many times the log alive, at most.
const MAX_LAG_FACTOR: usize = 16;

#[derive(Default)]
pub(crate) struct Stream {
    kept: Mutex<Kept>,
    changed: Notify,
}

#[derive(Default)]
struct Kept {
    states: VecDeque<Envelope>,
    progress: Option<Envelope>,
    preview: Option<Envelope>,
    closed: bool,
    /// The last sequence number that each subscriber was given.
    cursors: HashMap<u64, u64>,
    next_subscriber: u64,
}

impl Stream {
    pub(crate) fn push(&self, mut envelope: Envelope, max_log: usize) {
        let mut kept = self.lock();
        if kept.closed {
            return;
        }
        match envelope.event {
            Event::State(_) => {
                kept.states.push_back(envelope);
                kept.trim(max_log.max(1));
            }
            Event::Progress(ref mut progress) => {
                progress.fraction = kept.fraction().max(progress.fraction);
                kept.progress = Some(envelope);
            }
            Event::Preview(_) => kept.preview = Some(envelope),
        }
        drop(kept);
        self.changed.notify_waiters();
    }

    pub(crate) fn close(&self) {
        let mut kept = self.lock();
        kept.closed = true;
        // The result is there now, and previews are what weighs.
        kept.preview = None;
        drop(kept);
        self.changed.notify_waiters();
    }

    pub(crate) fn is_empty(&self) -> bool {
        let kept = self.lock();
        kept.states.is_empty() && kept.progress.is_none() && kept.preview.is_none()
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn trim(&mut self, max_log: usize) {
        let all_have = self.cursors.values().copied().min().unwrap_or(u64::MAX);
        while self.states.len() > max_log
            && let Some(oldest) = self.states.front()
        {
            if oldest.seq > all_have {
                if self.states.len() <= max_log.saturating_mul(MAX_LAG_FACTOR) {
                    return;
                }
                tracing::warn!(seq = oldest.seq, "a subscriber lags too far and loses a change of state");
            }
            self.states.pop_front();
        }
    }

    /// The highest that was told.
    fn fraction(&self) -> f64 {
        match self.progress.as_ref().map(|envelope| &envelope.event) {
            Some(Event::Progress(progress)) => progress.fraction,
            _ => 0.0,
        }
    }

    /// The first event after a sequence number.
    fn next_after(&self, cursor: u64) -> Option<Envelope> {
        let state = self.states.get(self.states.partition_point(|envelope| envelope.seq <= cursor));
        [state, self.progress.as_ref(), self.preview.as_ref()]
            .into_iter()
            .flatten()
            .filter(|envelope| envelope.seq > cursor)
            .min_by_key(|envelope| envelope.seq)
            .cloned()
    }
}

/// One reader of a stream, at its own pace.
pub struct Subscription {
    stream: Arc<Stream>,
    id: u64,
    cursor: u64,
}

impl Subscription {
    pub(crate) fn new(stream: Arc<Stream>, after: u64) -> Subscription {
        let mut kept = stream.lock();
        let id = kept.next_subscriber;
        kept.next_subscriber += 1;
        kept.cursors.insert(id, after);
        drop(kept);
        Subscription { stream, id, cursor: after }
    }

    /// The next event, by rising sequence number; `None` once the stream is closed and read to its end.
    ///
    /// Cancel-safe: a future that is dropped has taken no event.
    pub async fn next(&mut self) -> Option<Envelope> {
        let stream = Arc::clone(&self.stream);
        loop {
            // Registered before looking: `notify_waiters` reaches every `Notified` that exists.
            let changed = stream.changed.notified();
            {
                let mut kept = stream.lock();
                if let Some(envelope) = kept.next_after(self.cursor) {
                    self.cursor = envelope.seq;
                    kept.cursors.insert(self.id, envelope.seq);
                    return Some(envelope);
                }
                if kept.closed {
                    return None;
                }
            }
            changed.await;
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.stream.lock().cursors.remove(&self.id);
    }
}
