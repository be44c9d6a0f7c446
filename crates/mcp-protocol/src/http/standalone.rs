//! The stream of a session that belongs to no request: what has changed in the lists, and in the resources that the
//! session subscribes to (2025-11-25, transports: listening for messages from the server).

use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

use super::event_log::{Connection, EventLog};
use super::reply::Refusal;
use super::sse::Events;
use super::streams::Streams;
use crate::notify::Listener;
use crate::server::Admitted;

/// It outlives its connections: what changes between two of them comes on the second.
#[derive(Debug)]
pub(super) struct Standalone {
    pub(super) log: Arc<EventLog>,
    listener: Listener,
    /// Held while there is a connection; one that takes over takes this too.
    place: Mutex<Option<Admitted>>,
    ended: CancellationToken,
}

impl Standalone {
    /// How the names of these streams begin, after the process; those of requests begin with another letter.
    const KIND: char = 's';

    pub(super) fn new(streams: &Streams, listener: Listener) -> Standalone {
        let log = streams.new_log(Self::KIND);
        Standalone { log, listener, place: Mutex::default(), ended: CancellationToken::new() }
    }

    /// Whether a stream of this name is or was one of these, on whichever server.
    pub(super) fn is_name(name: &str) -> bool {
        name.rsplit_once('.').is_some_and(|(_, name)| name.starts_with(Self::KIND))
    }

    /// A connection that reads from after this position on, or where the one before it ends.
    pub(super) fn connect(
        self: &Arc<Self>,
        after: Option<u64>,
        admit: impl FnOnce() -> Result<Admitted, Refusal>,
    ) -> Result<Attached, Refusal> {
        let mut place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        if place.is_none() {
            *place = Some(admit()?);
        }
        // A position that isn't one of this stream can only be that of one before it: nothing of that is left.
        let connection = after.and_then(|after| self.log.connect_after(after));
        let connection = connection.unwrap_or_else(|| self.log.connect());
        Ok(Attached { stream: Arc::clone(self), connection })
    }

    pub(super) fn end(&self) {
        self.ended.cancel();
        self.log.cut();
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended.is_cancelled()
    }

    pub(super) fn ended(&self) -> &CancellationToken {
        &self.ended
    }
}

/// The connection that reads the stream.
#[derive(Debug)]
pub(super) struct Attached {
    stream: Arc<Standalone>,
    pub(super) connection: Connection,
}

impl Events for Attached {
    async fn next(&mut self) -> Option<String> {
        loop {
            tokio::select! {
                // What is in the log goes first. The listener is asked only by a connection that reads on, so that a slow
                // one makes it tell each change once, and not fill the log.
                biased;
                piece = self.connection.next() => return piece,
                change = self.stream.listener.next() => {
                    if let Some(text) = change.notification(None) {
                        self.stream.log.push(text, false);
                    }
                }
            }
        }
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        let mut place = self.stream.place.lock().unwrap_or_else(PoisonError::into_inner);
        if self.connection.leave() {
            *place = None;
        }
    }
}
