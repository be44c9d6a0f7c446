//! The streams by name, and how many of them are kept for how long.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::event::{Envelope, Event};
use crate::stream::{Stream, Subscription};

/// How much a hub keeps.
#[derive(Clone, Debug)]
pub struct HubConfig {
    /// Streams at once. Over that, one that nobody needs goes first: unused, then closed, then the longest untouched.
    pub max_streams: usize,
    /// Changes of state kept per stream for late subscribers. One that is subscribed and lags gets older ones too,
    /// up to sixteen times as many.
    pub max_log: usize,
    /// How long a closed stream is kept for late subscribers.
    pub retention: Duration,
    /// A larger preview is dropped.
    pub max_preview_bytes: usize,
}

impl Default for HubConfig {
    fn default() -> HubConfig {
        HubConfig {
            max_streams: 4096,
            max_log: 256,
            retention: Duration::from_mins(5),
            max_preview_bytes: 1 << 20,
        }
    }
}

/// A hub of event streams, one per name (a job's id). Cheap to clone; the clones are one hub.
///
/// Changes of state are lossless, progress and previews coalesce to the latest. Publishing never waits: subscribers
/// read from the stream at their own pace, so that a slow one costs no memory and holds up nobody.
#[derive(Clone)]
pub struct Hub {
    inner: Arc<Inner>,
}

struct Inner {
    config: HubConfig,
    streams: Mutex<Streams>,
}

#[derive(Default)]
struct Streams {
    by_name: HashMap<String, Entry>,
    // One count for all streams: a stream that was evicted and made anew goes on above its old numbers.
    last_seq: u64,
}

struct Entry {
    stream: Arc<Stream>,
    touched: Instant,
    closed_at: Option<Instant>,
}

impl Hub {
    /// An empty hub.
    pub fn new(config: HubConfig) -> Hub {
        Hub { inner: Arc::new(Inner { config, streams: Mutex::default() }) }
    }

    /// Adds an event to a stream, which is made if need be. To a closed stream nothing is added.
    pub fn publish(&self, stream: &str, event: Event) {
        if let Event::Preview(preview) = &event
            && preview.bytes.len() > self.inner.config.max_preview_bytes
        {
            tracing::debug!(stream, bytes = preview.bytes.len(), "dropped a preview over the limit");
            return;
        }
        // Under the lock of the map, so that a stream isn't evicted between finding it and writing to it.
        let mut streams = self.lock();
        let seq = streams.last_seq + 1;
        streams.last_seq = seq;
        let entry = streams.entry(stream, &self.inner.config);
        entry.stream.push(Envelope { seq, event }, self.inner.config.max_log);
    }

    /// Replays the kept events with a sequence number above `after` (all with `None`), then gives the live ones.
    ///
    /// A stream that isn't there is made, in the expectation of its first event; so learn from the owner of the job
    /// whether there will be one. An `after` that this hub hasn't reached (it is from before a restart) counts as
    /// `None`.
    pub fn subscribe(&self, stream: &str, after: Option<u64>) -> Subscription {
        let mut streams = self.lock();
        let after = after.filter(|seq| *seq <= streams.last_seq).unwrap_or(0);
        let entry = streams.entry(stream, &self.inner.config);
        Subscription::new(Arc::clone(&entry.stream), after)
    }

    /// Ends a stream after its last event: subscribers get what is left, then `None`. It is kept for the retention.
    pub fn close(&self, stream: &str) {
        let mut streams = self.lock();
        if let Some(entry) = streams.by_name.get_mut(stream) {
            entry.stream.close();
            entry.closed_at.get_or_insert_with(Instant::now);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Streams> {
        self.inner.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Streams {
    fn entry(&mut self, name: &str, config: &HubConfig) -> &mut Entry {
        let now = Instant::now();
        if self.by_name.get(name).is_none_or(|entry| entry.expired(config, now)) {
            self.make_room(config, now);
        }
        let entry = self.by_name.entry(name.to_owned()).or_insert_with(|| Entry {
            stream: Arc::default(),
            touched: now,
            closed_at: None,
        });
        entry.touched = now;
        entry
    }

    /// Drops what has expired and what nobody uses; then, while there are too many, the closed stream that was
    /// touched the longest ago, or else the open one, whose subscribers end.
    fn make_room(&mut self, config: &HubConfig, now: Instant) {
        self.by_name.retain(|_, entry| !entry.expired(config, now) && !entry.is_unused());
        while self.by_name.len() >= config.max_streams.max(1) {
            let oldest =
                self.by_name.iter().min_by_key(|(_, entry)| (entry.closed_at.is_none(), entry.touched));
            let Some(name) = oldest.map(|(name, _)| name.clone()) else { return };
            if let Some(entry) = self.by_name.remove(&name) {
                entry.stream.close();
            }
        }
    }
}

impl Entry {
    fn expired(&self, config: &HubConfig, now: Instant) -> bool {
        self.closed_at.is_some_and(|at| now.duration_since(at) >= config.retention)
    }

    /// Somebody subscribed in vain and left.
    fn is_unused(&self) -> bool {
        Arc::strong_count(&self.stream) == 1 && self.stream.is_empty()
    }
}

#[cfg(test)]
mod tests;
