//! What was said on one stream, kept so that a client that lost its connection gets the rest (2025-11-25, transports:
//! resumability and redelivery).

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::StreamLimits;
use super::sse::Events;

/// One stream. It has one writer, and one connection at a time that reads it.
#[derive(Debug)]
pub(super) struct EventLog {
    name: String,
    limits: StreamLimits,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    events: VecDeque<Event>,
    bytes: usize,
    /// The position of the newest event; the first one's is 1.
    newest: u64,
    /// The connection has been given the events up to here.
    given: u64,
    /// How many connections there were; the last one of them reads.
    connections: u64,
    connected: bool,
    /// The connection closes when it has what there is, and the client comes back after this time.
    closing: Option<Duration>,
    /// Nothing comes any more.
    ended: bool,
}

#[derive(Debug)]
struct Event {
    position: u64,
    text: String,
    /// Not to be given up for newer ones while there are others.
    kept: bool,
}

/// A place in a stream, as `Last-Event-ID` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EventId<'a> {
    pub(super) stream: &'a str,
    pub(super) position: u64,
}

impl<'a> EventId<'a> {
    pub(super) fn parse(text: &'a str) -> Option<EventId<'a>> {
        let (stream, position) = text.rsplit_once('.')?;
        Some(EventId { stream, position: position.parse().ok()? })
    }
}

impl EventLog {
    /// `name` is unique among the streams of a session, whichever server they are on.
    pub(super) fn new(name: String, limits: StreamLimits) -> Arc<EventLog> {
        Arc::new(EventLog { name, limits, state: Mutex::default(), changed: Notify::new() })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// What it takes of memory.
    pub(super) fn bytes(&self) -> usize {
        self.state().bytes
    }

    /// Whether a connection was given all that there ever is.
    pub(super) fn is_read_out(&self) -> bool {
        let state = self.state();
        state.ended && state.given == state.newest
    }

    /// Adds a message; without [`EventLog::room`] it is there all the same. `kept` is for what a client that comes back
    /// can't do without.
    pub(super) fn push(&self, text: String, kept: bool) {
        let mut state = self.state();
        if state.ended {
            return;
        }
        state.push(text, kept);
        state.forget_read(&self.limits);
        drop(state);
        self.changed.notify_waiters();
    }

    /// Adds the last message, which is never given up.
    pub(super) fn end(&self, text: String) {
        let mut state = self.state();
        if !state.ended {
            state.push(text, true);
            state.ended = true;
        }
        drop(state);
        self.changed.notify_waiters();
    }

    /// Ends the stream as it is, and its connection at once.
    pub(super) fn cut(&self) {
        let mut state = self.state();
        state.events.clear();
        state.bytes = 0;
        state.given = state.newest;
        state.ended = true;
        drop(state);
        self.changed.notify_waiters();
    }

    /// Closes the connection, if there is one, when it has what there is; the stream goes on.
    pub(super) fn close(&self, retry: Duration) {
        let mut state = self.state();
        state.closing = state.connected.then_some(retry);
        drop(state);
        self.changed.notify_waiters();
    }

    /// Waits until one more message that isn't read is within the limits.
    pub(super) async fn room(&self) {
        self.until(|state| state.has_room(&self.limits)).await;
    }

    /// Waits until no connection has read for so long.
    pub(super) async fn abandoned(&self, time: Duration) {
        loop {
            self.until(|state| !state.connected).await;
            if tokio::time::timeout(time, self.until(|state| state.connected)).await.is_err() {
                return;
            }
        }
    }

    /// A connection that reads on where the one before it ends.
    pub(super) fn connect(self: &Arc<Self>) -> Connection {
        let state = self.state();
        let given = state.given;
        self.read_on(state, given)
    }

    /// A connection that reads from after this position on; the one before it ends. `None` if the stream hasn't come to
    /// that position.
    pub(super) fn connect_after(self: &Arc<Self>, position: u64) -> Option<Connection> {
        let state = self.state();
        (position <= state.newest).then(|| self.read_on(state, position))
    }

    fn read_on(self: &Arc<Self>, mut state: MutexGuard<'_, State>, after: u64) -> Connection {
        state.given = after;
        state.closing = None;
        state.connected = true;
        state.connections += 1;
        let number = state.connections;
        drop(state);
        self.changed.notify_waiters();
        Connection { log: Arc::clone(self), number }
    }

    async fn until(&self, so: impl Fn(&State) -> bool) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // From here on no change is missed.
            changed.as_mut().enable();
            if so(&self.state()) {
                return;
            }
            changed.await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn push(&mut self, text: String, kept: bool) {
        self.newest += 1;
        self.bytes += text.len();
        self.events.push_back(Event { position: self.newest, text, kept });
    }

    fn has_room(&self, limits: &StreamLimits) -> bool {
        let (mut events, mut bytes) = (0, 0);
        for event in self.events.iter().rev().take_while(|event| event.position > self.given) {
            events += 1;
            bytes += event.text.len();
        }
        self.ended || (events < limits.max_events && bytes < limits.max_bytes)
    }

    /// Gives up the oldest of what was read, above the limits: it has most likely arrived.
    fn forget_read(&mut self, limits: &StreamLimits) {
        while self.events.len() > limits.max_events || self.bytes > limits.max_bytes {
            let read = self.events.iter().take_while(|event| event.position <= self.given).count();
            let Some(last) = read.checked_sub(1) else { return };
            let oldest = self.events.range(..=last).position(|event| !event.kept).unwrap_or(0);
            if let Some(event) = self.events.remove(oldest) {
                self.bytes -= event.text.len();
            }
        }
    }
}

/// A connection that reads a stream. Dropped, the stream waits for another.
#[derive(Debug)]
pub(super) struct Connection {
    log: Arc<EventLog>,
    number: u64,
}

enum Given {
    Piece(String),
    Nothing,
    End,
}

impl Connection {
    /// What a client needs to come back before the first message: an event without data (2025-11-25, transports: sending
    /// messages). Earlier revisions know none.
    pub(super) fn priming(&self) -> String {
        format!("id: {}.{}\ndata:\n\n", self.log.name, self.log.state().given)
    }

    /// What there is to read now, as events of the body.
    fn give(&self) -> Given {
        let mut state = self.log.state();
        if state.connections != self.number || !state.connected {
            return Given::End;
        }
        let name = &self.log.name;
        let at = state.events.partition_point(|event| event.position <= state.given);
        if let Some(event) = state.events.get(at) {
            let position = event.position;
            let piece = format!("id: {name}.{position}\nevent: message\ndata: {}\n\n", event.text);
            state.given = position;
            return Given::Piece(piece);
        }
        if let Some(retry) = state.closing.take() {
            state.connected = false;
            let (given, retry) = (state.given, retry.as_millis());
            return Given::Piece(format!("id: {name}.{given}\nretry: {retry}\ndata:\n\n"));
        }
        if state.ended { Given::End } else { Given::Nothing }
    }

    /// Leaves the stream; true if no other connection has taken it over.
    pub(super) fn leave(&self) -> bool {
        let mut state = self.log.state();
        let last = state.connections == self.number;
        if last {
            state.connected = false;
        }
        drop(state);
        self.log.changed.notify_waiters();
        last
    }
}

impl Events for Connection {
    async fn next(&mut self) -> Option<String> {
        loop {
            let changed = self.log.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            match self.give() {
                Given::Piece(piece) => {
                    self.log.changed.notify_waiters();
                    return Some(piece);
                }
                Given::End => return None,
                Given::Nothing => changed.await,
            }
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.leave();
    }
}
