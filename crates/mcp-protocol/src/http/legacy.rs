//! Requests of the legacy era: sessions, and calls that a disconnect doesn't cancel.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::ConnectInfo;
use axum::response::{IntoResponse as _, Response};
use http::request::Parts;
use http::{HeaderValue, StatusCode};
use jiff::{SignedDuration, Timestamp};
use serde_json::value::RawValue;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::headers::{self, SESSION_ID};
use super::reply::{Envelope, Refusal, Source, json, reply};
use super::{Endpoint, not_allowed};
use crate::connection::cancelled_id;
use crate::context::RequestInfo;
use crate::error::{self, INVALID_PARAMS, INVALID_REQUEST, OVERLOADED};
use crate::input::Asker;
use crate::server::{Call, Frame, Head, negotiated};
use crate::session::{Opened, Session, SessionError, SessionHandle, SessionLimits, SessionOwner};
use crate::wire::{Era, InitializeParams, LogLevel, Request, RequestId};

/// What `notifications/cancelled` can reach: a session's id and a request's.
pub(super) type Running = Arc<Mutex<HashMap<(String, RequestId), CancellationToken>>>;

/// Frames between a call and its response; above it, the call's outbox takes them.
const FRAMES: usize = 16;

impl Endpoint {
    /// Opens a session when `initialize` succeeds.
    pub(super) async fn initialize(
        &self,
        parts: Parts,
        request: Request,
        head: Head,
    ) -> Result<Response, Refusal> {
        let id = request.id.clone();
        let params = initialize_params(request.params.as_deref())
            .map_err(|message| Refusal::bad_request(Some(&id), error::error(INVALID_PARAMS, message)))?;
        let session = new_session(&parts, params, Timestamp::now());
        let envelope = self.envelope(&parts, &id, Era::Legacy)?;
        let admitted = self.admit(&parts, &request)?;
        let info = legacy_info(&request, head, &session);
        let call = self.server.start(request, info, parts.extensions, admitted, None);
        let answer = call.answer.await;
        if answer.is_err() {
            let status = answer.as_ref().err().map(|error| error::http_status(Era::Legacy, error.code()));
            return Ok(json(status.unwrap_or(StatusCode::OK), Some(&id), &answer));
        }
        let header = HeaderValue::from_str(&session.id).map_err(|_| {
            Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, Some(id.clone()), error::internal())
        })?;
        let limits = self.server.limits().sessions;
        let opened = self.server.sessions().create(session, limits).await;
        match opened.map_err(|error| store_failed(&error, Some(&id)))? {
            Opened::Opened => {}
            full => return Err(too_many(full, limits, &id)),
        }
        let mut response = reply(Source::ready(answer), envelope).await;
        response.headers_mut().insert(SESSION_ID_NAME, header);
        Ok(response)
    }

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
        let info = legacy_info(&request, head, &session);
        let mut extensions = parts.extensions;
        extensions.insert(self.handle(&session));
        let asker = Asker { pending: Arc::clone(&self.pending), client: session.id.clone() };
        let call = self.server.start(request, info, extensions, admitted, Some(asker));
        let place = Place::take(&self.running, (session.id, id.clone()), &call).ok_or_else(|| {
            Refusal::bad_request(
                Some(&id),
                error::error(INVALID_REQUEST, "a request with this id is still running"),
            )
        })?;
        Ok(self.beside(call, place, envelope).await)
    }

    /// Runs the call in a task, so that it outlives the connection.
    async fn beside(&self, call: Call, place: Place, envelope: Envelope) -> Response {
        let (sender, frames) = mpsc::channel(FRAMES);
        tokio::spawn(async move {
            let answer = call.drive(&sender, Frame::Note).await;
            drop(place);
            if let Some(answer) = answer {
                // A closed channel means that the client is gone.
                _ = sender.send(Frame::Answer(answer)).await;
            }
        });
        reply(Source::Beside(frames), envelope).await
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

    /// DELETE: with a session's id it ends that; the modern era has none.
    pub(super) async fn end_session(&self, parts: &Parts) -> Result<Response, Refusal> {
        if !parts.headers.contains_key(SESSION_ID) {
            return Ok(not_allowed());
        }
        let session = self.session(parts, None).await?;
        let deleted = self.server.sessions().delete(&session.id).await;
        if deleted.map_err(|error| store_failed(&error, None))? {
            Ok(StatusCode::NO_CONTENT.into_response())
        } else {
            Err(unknown_session(None))
        }
    }

    fn handle(&self, session: &Session) -> SessionHandle {
        SessionHandle {
            id: session.id.clone(),
            store: Arc::clone(self.server.sessions()),
            notifier: self.server.notifier().clone(),
        }
    }

    /// The session that the header names, if it is alive and belongs to the caller.
    async fn session(&self, parts: &Parts, id: Option<&RequestId>) -> Result<Session, Refusal> {
        let header =
            headers::single(&parts.headers, SESSION_ID).map_err(|error| Refusal::bad_request(id, error))?;
        let Some(header) = header else {
            let message = "header Mcp-Session-Id is missing; open a session with initialize";
            return Err(Refusal::bad_request(id, error::error(INVALID_REQUEST, message)));
        };
        let now = Timestamp::now();
        let store = self.server.sessions();
        let found = store.get(header).await.map_err(|error| store_failed(&error, id))?;
        let session = found
            .filter(|session| session.owner == owner(parts))
            .filter(|session| session.last_seen >= self.server.limits().sessions.idle_since(now))
            .ok_or_else(|| unknown_session(id))?;
        let touch_every = SignedDuration::try_from(SessionLimits::TOUCH_EVERY).unwrap_or_default();
        if now.duration_since(session.last_seen) >= touch_every {
            store.touch(&session.id, now).await.map_err(|error| store_failed(&error, id))?;
        }
        Ok(session)
    }
}

const SESSION_ID_NAME: http::HeaderName = http::HeaderName::from_static("mcp-session-id");

fn initialize_params(params: Option<&RawValue>) -> Result<InitializeParams, String> {
    // They are kept as long as the session is, by whoever asks, so they can't be of any size.
    const MOST: usize = 16 * 1024;
    let text = params.map_or("{}", RawValue::get);
    if text.len() > MOST {
        return Err(format!("the params of initialize are larger than {MOST} bytes"));
    }
    serde_json::from_str(text).map_err(|cause| format!("invalid params: {cause}"))
}

fn new_session(parts: &Parts, params: InitializeParams, now: Timestamp) -> Session {
    Session {
        // Version 4: 122 random bits.
        id: Uuid::new_v4().to_string(),
        owner: owner(parts),
        client: client(parts),
        protocol_version: negotiated(&params.protocol_version),
        client_info: params.client_info,
        capabilities: params.capabilities,
        created_at: now,
        last_seen: now,
        log_level: None,
        subscriptions: BTreeSet::new(),
    }
}

/// Whom the cap on sessions counts: the owner, else the address.
pub(super) fn client(parts: &Parts) -> String {
    let address = || parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip().to_string());
    owner(parts).or_else(address).unwrap_or_default()
}

fn owner(parts: &Parts) -> Option<String> {
    parts.extensions.get::<SessionOwner>().map(|owner| owner.0.clone())
}

fn legacy_info(request: &Request, head: Head, session: &Session) -> RequestInfo {
    RequestInfo {
        request_id: request.id.clone(),
        version: session.protocol_version,
        session_id: Some(session.id.clone()),
        client_info: Some(session.client_info.clone()),
        client_capabilities: session.capabilities.clone(),
        progress_token: head.meta.progress_token,
        // What a client gets that has set none is up to the server (2025-11-25, logging).
        log_level: Some(session.log_level.unwrap_or(LogLevel::Info)),
        target: head.target,
    }
}

fn too_many(full: Opened, limits: SessionLimits, id: &RequestId) -> Refusal {
    let (max, whose) = match full {
        Opened::TooManyOfClient => (limits.max_per_client, "of yours "),
        Opened::TooMany | Opened::Opened => (limits.max_sessions, ""),
    };
    let message = format!(
        "{max} sessions {whose}are open already; end one with DELETE, or wait: one without a request goes after {} s",
        limits.idle_timeout.as_secs()
    );
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, Some(id.clone()), error::error(OVERLOADED, message))
}

fn unknown_session(id: Option<&RequestId>) -> Refusal {
    let error =
        error::error(INVALID_REQUEST, "there is no such session (any more); open one with initialize");
    Refusal::new(StatusCode::NOT_FOUND, id.cloned(), error)
}

fn store_failed(error: &SessionError, id: Option<&RequestId>) -> Refusal {
    tracing::error!(error = error as &dyn std::error::Error, "a session could not be read or written");
    Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, id.cloned(), error::internal())
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
