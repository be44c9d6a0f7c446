//! GET, in the legacy era: the rest of a stream that was cut off, or the stream that belongs to no request.

use std::sync::Arc;
use std::time::Duration;

use axum::response::Response;
use http::request::Parts;
use jiff::Timestamp;

use super::event_log::EventId;
use super::headers::{self, Accept, LAST_EVENT_ID, PROTOCOL_VERSION, SESSION_ID};
use super::modern::not_acceptable;
use super::reply::Refusal;
use super::sse::{Events, event_stream};
use super::standalone::Standalone;
use super::{Endpoint, era_of, not_allowed};
use crate::error::{self, INVALID_REQUEST};
use crate::session::Session;
use crate::wire::{Era, ProtocolVersion};

impl Endpoint {
    pub(super) async fn get(self: &Arc<Self>, parts: &Parts) -> Result<Response, Refusal> {
        let says_version = parts.headers.contains_key(PROTOCOL_VERSION);
        let legacy = if says_version {
            era_of(parts, None)? == Era::Legacy
        } else {
            parts.headers.contains_key(SESSION_ID)
        };
        if !legacy {
            return Ok(not_allowed("POST"));
        }
        let session = self.session(parts, None).await?;
        if !matches!(Accept::of(&parts.headers), Some(Accept::Both | Accept::EventStream)) {
            return Err(not_acceptable(None, "the client has to accept text/event-stream"));
        }
        let last = headers::single(&parts.headers, LAST_EVENT_ID)
            .map_err(|error| Refusal::bad_request(None, error))?
            .filter(|last| !last.is_empty());
        let Some(last) = last else { return self.listen(parts, session, None).await };
        let id = EventId::parse(last).ok_or_else(|| unknown_event(last))?;
        if Standalone::is_name(id.stream) {
            return self.listen(parts, session, Some(id)).await;
        }
        let log = self.streams.find(&session.id, id.stream).ok_or_else(|| unknown_event(last))?;
        let connection = log.connect_after(id.position).ok_or_else(|| unknown_event(last))?;
        Ok(self.events(connection, None))
    }

    /// The stand-alone stream; `last` is the last event that the client has seen of it.
    async fn listen(
        self: &Arc<Self>,
        parts: &Parts,
        session: Session,
        last: Option<EventId<'_>>,
    ) -> Result<Response, Refusal> {
        let notifier = self.server.notifier();
        let subscribed = session.subscriptions;
        let (stream, is_new) = self.streams.standalone(&session.id, || {
            Standalone::new(&self.streams, notifier.listen_for_session(&session.id, subscribed))
        });
        if is_new {
            let keeping = Arc::clone(self).keep(session.id.clone(), Arc::clone(&stream));
            tokio::spawn(keeping);
            // What was subscribed to between the reading of the session and now.
            for uri in self.session(parts, None).await?.subscriptions {
                notifier.set_subscribed(&session.id, &uri, true);
            }
        }
        let after = last.filter(|last| last.stream == stream.log.name()).map(|last| last.position);
        let attached = stream.connect(after, || self.place(parts, None))?;
        let primes = after.is_none() && session.protocol_version >= ProtocolVersion::V2025_11_25;
        let priming = primes.then(|| attached.connection.priming());
        Ok(self.events(attached, priming))
    }

    pub(super) fn events(&self, events: impl Events, opening: Option<String>) -> Response {
        event_stream(events, opening, self.config.keep_alive)
    }

    /// Ends the stream with the server, with the session, or when no client comes back for it.
    async fn keep(self: Arc<Self>, session: String, stream: Arc<Standalone>) {
        tokio::select! {
            () = self.server.closing().cancelled() => {}
            () = stream.ended().cancelled() => {}
            () = self.expiry(&session) => {}
            () = stream.log.abandoned(self.streams.limits().kept_for) => {}
        }
        stream.end();
        self.streams.forget_standalone(&session, &stream);
    }

    /// Waits until there is no such session any more. A stream alone doesn't keep it alive.
    async fn expiry(&self, session: &str) {
        let limits = self.server.limits().sessions;
        loop {
            let found = self.server.sessions().get(session).await;
            let now = Timestamp::now();
            let last_seen = match found {
                Ok(Some(session)) if session.last_seen >= limits.idle_since(now) => session.last_seen,
                Ok(_) => return,
                Err(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "a session could not be read");
                    return;
                }
            };
            let idle = Duration::try_from(now.duration_since(last_seen)).unwrap_or_default();
            // A little more: at this very moment it is still alive.
            tokio::time::sleep(
                limits.idle_timeout.saturating_sub(idle).saturating_add(Duration::from_millis(1)),
            )
            .await;
        }
    }
}

/// Not 404, which would say that the session is gone.
fn unknown_event(id: &str) -> Refusal {
    let message = format!(
        "there is no event {} (any more) in a stream of this session; the request, if it has no answer yet, has to be \
         sent again",
        error::quoted(id)
    );
    Refusal::bad_request(None, error::error(INVALID_REQUEST, message))
}
