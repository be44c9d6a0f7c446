//! Sessions over HTTP: how they open, whose they are, and how they end.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use axum::extract::ConnectInfo;
use axum::response::{IntoResponse as _, Response};
use http::request::Parts;
use http::{HeaderValue, StatusCode};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::headers::{self, SESSION_ID};
use super::reply::{Refusal, Source, json, reply};
use super::{Endpoint, PeerAddress, not_allowed};
use crate::error::{self, INVALID_PARAMS, INVALID_REQUEST, OVERLOADED};
use crate::server::{Head, negotiated};
use crate::session::{Opened, Session, SessionError, SessionHandle, SessionLimits, SessionOwner};
use crate::wire::{Era, InitializeParams, Request, RequestId};

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
        let info = head.into_legacy(&request, session.clone());
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

    /// DELETE: with a session's id it ends that; the modern era has none.
    pub(super) async fn end_session(&self, parts: &Parts) -> Result<Response, Refusal> {
        if !parts.headers.contains_key(SESSION_ID) {
            return Ok(not_allowed("POST"));
        }
        let session = self.session(parts, None).await?;
        let deleted = self.server.sessions().delete(&session.id).await;
        let deleted = deleted.map_err(|error| store_failed(&error, None))?;
        // In this order: what is asked from here on finds no session.
        self.cancel_calls(&session.id);
        self.pending.forget(&session.id);
        self.streams.end_session(&session.id);
        if deleted { Ok(StatusCode::NO_CONTENT.into_response()) } else { Err(unknown_session(None)) }
    }

    pub(super) fn handle(&self, session: &Session) -> SessionHandle {
        SessionHandle {
            id: session.id.clone(),
            store: Arc::clone(self.server.sessions()),
            notifier: self.server.notifier().clone(),
        }
    }

    /// The session that the header names, if it is alive and belongs to the caller.
    pub(super) async fn session(&self, parts: &Parts, id: Option<&RequestId>) -> Result<Session, Refusal> {
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

/// What is kept of them is kept as long as the session is, by whoever asks, so it can't be of any size.
fn initialize_params(params: Option<&RawValue>) -> Result<InitializeParams, String> {
    const MOST: usize = 64 * 1024;
    const MOST_KEPT: usize = 3 * 1024;
    const MOST_VALUES: usize = 48;
    let text = params.map_or("{}", RawValue::get);
    if text.len() > MOST {
        return Err(format!("the params of initialize are larger than {MOST} bytes"));
    }
    let mut params: InitializeParams =
        serde_json::from_str(text).map_err(|cause| format!("invalid params: {cause}"))?;
    // Pictures, which nobody looks at here.
    params.client_info.icons = Vec::new();
    let kept = serde_json::to_string(&(&params.client_info, &params.capabilities)).unwrap_or_default();
    if kept.len() > MOST_KEPT || count(&params.capabilities) > MOST_VALUES {
        return Err(format!(
            "clientInfo and capabilities are larger than {MOST_KEPT} bytes or {MOST_VALUES} values"
        ));
    }
    Ok(params)
}

/// All values in a value, itself among them.
fn count(value: &Value) -> usize {
    let inner = match value {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(members) => members.values().map(count).sum(),
        _ => 0,
    };
    inner + 1
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

/// Whom the cap on sessions counts: the owner, else the address that the connection comes from.
pub(super) fn client(parts: &Parts) -> String {
    let extensions = &parts.extensions;
    // Whoever puts the former there knows better, for example from a proxy.
    let address = extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0);
    let address = address.or_else(|| extensions.get::<ConnectInfo<PeerAddress>>().map(|info| info.0.0));
    owner(parts).or_else(|| address.map(|address| host(address.ip()))).unwrap_or_default()
}

/// Of an IPv6 address the first half, as whoever has one has the whole of it.
fn host(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("{}/64", Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
    }
}

fn owner(parts: &Parts) -> Option<String> {
    parts.extensions.get::<SessionOwner>().map(|owner| owner.0.clone())
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
