//! The streams of all sessions that a client can come back to: those that go on, and for a while those that have ended.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use super::event_log::EventLog;
use super::standalone::Standalone;

/// How much of what was said on streams is kept for legacy clients that lost a connection and come back.
#[derive(Clone, Copy, Debug)]
pub struct StreamLimits {
    /// How long a stream is kept that has ended, or that belongs to no request and is read by nobody.
    pub kept_for: Duration,
    /// The most messages of one stream that wait to be read, and as many that were read. Above it, progress is told
    /// less often; the answer to a request and what the client is asked come in any case.
    pub max_events: usize,
    /// The same in bytes.
    pub max_bytes: usize,
    /// The most ended streams of one session.
    pub max_ended_per_session: usize,
    /// The most ended streams of all sessions.
    pub max_ended: usize,
    /// The same in bytes. One stream may be larger, so that the largest answer can be fetched too.
    pub max_ended_bytes: usize,
}

impl Default for StreamLimits {
    fn default() -> Self {
        StreamLimits {
            kept_for: Duration::from_mins(1),
            max_events: 64,
            max_bytes: 64 * 1024,
            max_ended_per_session: 32,
            max_ended: 1024,
            max_ended_bytes: 64 * 1024 * 1024,
        }
    }
}

/// The streams of one endpoint.
#[derive(Debug)]
pub(super) struct Streams {
    limits: StreamLimits,
    /// Tells the streams of this process from those of another that serves the same sessions, or did before.
    process: String,
    numbers: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    sessions: HashMap<String, OfSession>,
    /// The oldest first.
    ended: VecDeque<Ended>,
    ended_bytes: usize,
    /// Whether a task removes the ended ones in time.
    removing: bool,
}

#[derive(Debug, Default)]
struct OfSession {
    logs: HashMap<String, Arc<EventLog>>,
    standalone: Option<Arc<Standalone>>,
}

#[derive(Debug)]
struct Ended {
    session: String,
    log: Arc<EventLog>,
    bytes: usize,
    until: Instant,
}

impl Streams {
    pub(super) fn new(limits: StreamLimits) -> Arc<Streams> {
        let process = Uuid::new_v4().simple().to_string();
        Arc::new(Streams {
            limits,
            process: process[..8].to_owned(),
            numbers: AtomicU64::new(1),
            state: Mutex::default(),
        })
    }

    pub(super) fn limits(&self) -> &StreamLimits {
        &self.limits
    }

    /// A new stream for the answer to a request.
    pub(super) fn open(&self, session: &str) -> Arc<EventLog> {
        let log = self.new_log('r');
        let mut state = self.state();
        let logs = &mut state.sessions.entry(session.to_owned()).or_default().logs;
        logs.insert(log.name().to_owned(), Arc::clone(&log));
        log
    }

    /// A log without a place among the session's, for its stand-alone stream.
    pub(super) fn new_log(&self, kind: char) -> Arc<EventLog> {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        EventLog::new(format!("{}.{kind}{number}", self.process), self.limits)
    }

    /// The stream of a request, by its name in an event's id.
    pub(super) fn find(&self, session: &str, name: &str) -> Option<Arc<EventLog>> {
        self.state().sessions.get(session)?.logs.get(name).cloned()
    }

    /// Says that the stream has ended: from now on it is kept for [`StreamLimits::kept_for`].
    pub(super) fn ended(self: &Arc<Self>, session: String, log: Arc<EventLog>) {
        let mut state = self.state();
        let bytes = log.bytes();
        state.ended_bytes += bytes;
        state.ended.push_back(Ended { session, log, bytes, until: Instant::now() + self.limits.kept_for });
        state.keep_within(&self.limits);
        if !std::mem::replace(&mut state.removing, true) {
            tokio::spawn(remove_in_time(Arc::downgrade(self)));
        }
    }

    /// Forgets a stream at once.
    pub(super) fn forget(&self, session: &str, log: &EventLog) {
        self.state().forget(session, log);
    }

    /// The session's stand-alone stream, and whether it is a new one.
    pub(super) fn standalone(
        &self,
        session: &str,
        new: impl FnOnce() -> Standalone,
    ) -> (Arc<Standalone>, bool) {
        let mut state = self.state();
        let of_session = state.sessions.entry(session.to_owned()).or_default();
        if let Some(stream) = of_session.standalone.as_ref().filter(|stream| !stream.has_ended()) {
            return (Arc::clone(stream), false);
        }
        let stream = Arc::new(new());
        of_session.standalone = Some(Arc::clone(&stream));
        (stream, true)
    }

    /// Forgets a stand-alone stream that has ended.
    pub(super) fn forget_standalone(&self, session: &str, stream: &Arc<Standalone>) {
        let mut state = self.state();
        let Some(of_session) = state.sessions.get_mut(session) else { return };
        if of_session.standalone.as_ref().is_some_and(|own| Arc::ptr_eq(own, stream)) {
            of_session.standalone = None;
        }
        state.tidy(session);
    }

    /// Ends all streams of a session.
    pub(super) fn end_session(&self, session: &str) {
        let mut state = self.state();
        let Some(of_session) = state.sessions.remove(session) else { return };
        let (gone, left) =
            std::mem::take(&mut state.ended).into_iter().partition(|one| one.session == session);
        let gone: VecDeque<Ended> = gone;
        state.ended = left;
        state.ended_bytes -= gone.iter().map(|one| one.bytes).sum::<usize>();
        drop(state);
        for log in of_session.logs.values() {
            log.cut();
        }
        if let Some(stream) = of_session.standalone {
            stream.end();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn keep_within(&mut self, limits: &StreamLimits) {
        let newest = self.ended.back().map(|one| one.session.clone()).unwrap_or_default();
        let of_session = |state: &State| state.ended.iter().filter(|one| one.session == newest).count();
        while of_session(self) > limits.max_ended_per_session {
            self.remove_one(|one| one.session == newest);
        }
        while self.ended.len() > limits.max_ended
            || (self.ended_bytes > limits.max_ended_bytes && self.ended.len() > 1)
        {
            self.remove_one(|_| true);
        }
    }

    /// The oldest that was read whole, or else the oldest.
    fn remove_one(&mut self, among: impl Fn(&Ended) -> bool) {
        let read = self.ended.iter().position(|one| among(one) && one.log.is_read_out());
        let oldest = read.or_else(|| self.ended.iter().position(&among));
        if let Some(one) = oldest.and_then(|at| self.ended.remove(at)) {
            self.removed(&one);
        }
    }

    fn removed(&mut self, one: &Ended) {
        self.ended_bytes -= one.bytes;
        self.forget(&one.session, &one.log);
    }

    fn forget(&mut self, session: &str, log: &EventLog) {
        if let Some(of_session) = self.sessions.get_mut(session) {
            of_session.logs.remove(log.name());
        }
        self.tidy(session);
    }

    fn tidy(&mut self, session: &str) {
        let empty = |of: &OfSession| of.logs.is_empty() && of.standalone.is_none();
        if self.sessions.get(session).is_some_and(empty) {
            self.sessions.remove(session);
        }
    }
}

/// Removes ended streams when their time is over; ends when there is none.
async fn remove_in_time(streams: Weak<Streams>) {
    loop {
        let next = {
            let Some(streams) = streams.upgrade() else { return };
            let mut state = streams.state();
            let now = Instant::now();
            while let Some(one) = state.ended.pop_front_if(|one| one.until <= now) {
                state.removed(&one);
            }
            let Some(one) = state.ended.front() else {
                state.removing = false;
                return;
            };
            one.until
        };
        sleep_until(next).await;
    }
}
