//! Messages of the legacy era: calls that a disconnect doesn't cancel, and answers of the client.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use http::request::Parts;
use serde_json::value::RawValue;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::event_log::{Connection, EventLog};
use super::headers::Accept;
use super::reply::{Envelope, Refusal, answered, no_events};
use super::streams::Streams;
use super::{Endpoint, within};
use crate::connection::cancelled_id;
use crate::error::{self, INVALID_REQUEST};
use crate::input::Asker;
use crate::server::{Answer, Call, Frame, Head};
use crate::wire::{self, Era, ProtocolVersion, Request, RequestId};

/// What `notifications/cancelled` can reach: a session's id and a request's.
pub(super) type Running = Arc<Mutex<HashMap<(String, RequestId), CancellationToken>>>;

/// A call that takes longer is answered with a stream: from its first event on, nothing is lost with the connection.
const SHORT: Duration = Duration::from_secs(1);

impl Endpoint {
    pub(super) async fn legacy_request(
        &self,
        parts: Parts,
        request: Request,
        head: Head,
    ) -> Result<Response, Refusal> {
        let id = request.id.clone();
        let session = self.session(&parts, Some(&id)).await?;
        let envelope = self.envelope(&parts, &id, Era::Legacy)?;
        let admitted = self.admit(&parts, &request)?;
        let primes = session.protocol_version >= ProtocolVersion::V2025_11_25;
        let session_id = session.id.clone();
        let mut extensions = parts.extensions;
        extensions.insert(self.handle(&session));
        // Whoever takes no stream can't be asked on it.
        let asker = (envelope.accept != Accept::Json)
            .then(|| Asker { pending: Arc::clone(&self.pending), client: session_id.clone() });
        let info = head.into_legacy(&request, session);
        let call = self.server.start(request, info, extensions, admitted, asker);
        let place = Place::take(&self.running, (session_id.clone(), id.clone()), &call).ok_or_else(|| {
            Refusal::bad_request(
                Some(&id),
                error::error(INVALID_REQUEST, "a request with this id is still running"),
            )
        })?;
        let conversation = Conversation {
            session: session_id,
            primes,
            envelope: envelope.clone(),
            streams: Arc::clone(&self.streams),
        };
        let (word, first) = oneshot::channel();
        // In a task, so that it outlives the connection.
        tokio::spawn(conversation.run(call, place, word));
        Ok(match first.await {
            Ok(FirstWord::Answer(answer)) => answered(&envelope, &answer),
            Ok(FirstWord::Stream { connection, priming }) => self.events(connection, priming),
            Err(_) => no_events(&envelope),
        })
    }

    pub(super) async fn legacy_notification(
        &self,
        parts: &Parts,
        method: &str,
        params: Option<&RawValue>,
    ) -> Result<(), Refusal> {
        let session = self.session(parts, None).await?;
        if method == "notifications/cancelled"
            && let Some(id) = cancelled_id(params)
            && let Some(cancelled) =
                self.running.lock().unwrap_or_else(PoisonError::into_inner).get(&(session.id, id))
        {
            cancelled.cancel();
        }
        Ok(())
    }

    /// The client's answer to a question of this server.
    pub(super) async fn client_response(
        &self,
        parts: &Parts,
        response: wire::Response,
    ) -> Result<Response, Refusal> {
        let session = self.session(parts, None).await?;
        if self.pending.answer(&session.id, response) {
            return Ok(StatusCode::ACCEPTED.into_response());
        }
        Err(nothing_asked())
    }

    /// Cancels what runs for a session that has ended: nobody can receive the answers.
    pub(super) fn cancel_calls(&self, session: &str) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, cancelled) in running.iter().filter(|((owner, _), _)| owner == session) {
            cancelled.cancel();
        }
    }
}

pub(super) fn nothing_asked() -> Refusal {
    let message = "nothing that this server has asked waits for this answer (any more)";
    Refusal::bad_request(None, error::error(INVALID_REQUEST, message))
}

/// What a call says first decides how it is answered.
enum FirstWord {
    Answer(Answer),
    Stream { connection: Connection, priming: Option<String> },
}

/// Where a call speaks to.
enum Speech {
    Silent(oneshot::Sender<FirstWord>),
    Stream(Arc<EventLog>),
}

/// What is said on one call, from its first word to its answer, whether or not anybody listens.
struct Conversation {
    session: String,
    /// Whether the revision has streams that begin with an event without data, and that are polled.
    primes: bool,
    envelope: Envelope,
    streams: Arc<Streams>,
}

impl Conversation {
    async fn run(self, mut call: Call, place: Place, word: oneshot::Sender<FirstWord>) {
        let mut speech = Speech::Silent(word);
        let cancelled = call.channel.cancelled.clone();
        let answer = tokio::select! {
            () = cancelled.cancelled() => None,
            answer = self.speak(&mut call, &mut speech) => Some(answer),
        };
        if answer.is_some() && self.envelope.accept == Accept::EventStream {
            self.open(&mut speech);
        }
        // The id is free, and what the call held, when the client hears of its end.
        drop((call, place));
        match (speech, answer) {
            // A closed channel means that the client is gone.
            (Speech::Silent(word), Some(answer)) => _ = word.send(FirstWord::Answer(answer)),
            (Speech::Silent(_), None) => {}
            (Speech::Stream(log), Some(answer)) => {
                log.end(wire::response(Some(&self.envelope.id), &answer));
                self.streams.ended(self.session, log);
            }
            (Speech::Stream(log), None) => {
                log.cut();
                self.streams.forget(&self.session, &log);
            }
        }
    }

    async fn speak(&self, call: &mut Call, speech: &mut Speech) -> Answer {
        if self.envelope.accept == Accept::Json {
            loop {
                // The rest is lost to a client that takes no stream.
                if let Frame::Answer(answer) = call.next().await {
                    return answer;
                }
            }
        }
        let short = if self.primes { SHORT.min(self.envelope.keep_alive) } else { self.envelope.keep_alive };
        let mut first = within(short, call.next()).await.ok();
        if let Some(Frame::Answer(answer)) = first {
            return answer;
        }
        let log = self.open(speech);
        loop {
            let frame = match first.take() {
                Some(frame) => frame,
                None => call.next().await,
            };
            match frame {
                Frame::Answer(answer) => return answer,
                Frame::Kept(text) => log.push(text, true),
                Frame::Note(text) => {
                    // Until there is, the call's outbox keeps the newest progress alone.
                    call.unless_ended(log.room()).await;
                    log.push(text, false);
                }
                Frame::Close(retry) if self.primes => log.close(retry),
                Frame::Close(_) => {}
            }
        }
    }

    /// Answers with a stream, unless that was done.
    fn open(&self, speech: &mut Speech) -> Arc<EventLog> {
        if let Speech::Stream(log) = speech {
            return Arc::clone(log);
        }
        let log = self.streams.open(&self.session);
        if let Speech::Silent(word) = std::mem::replace(speech, Speech::Stream(Arc::clone(&log))) {
            let connection = log.connect();
            let priming = self.primes.then(|| connection.priming());
            // A client that is gone leaves a stream that nobody reads.
            _ = word.send(FirstWord::Stream { connection, priming });
        }
        log
    }
}

/// A call's entry among those that can be cancelled, for as long as it runs.
struct Place {
    running: Running,
    key: (String, RequestId),
}

impl Place {
    /// `None` if a request with this id is running in the session already.
    fn take(running: &Running, key: (String, RequestId), call: &Call) -> Option<Place> {
        let mut entries = running.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.contains_key(&key) {
            return None;
        }
        entries.insert(key.clone(), call.channel.cancelled.clone());
        Some(Place { running: Arc::clone(running), key })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}
