//! The Streamable HTTP transport, both eras on one endpoint.
//!
//! A modern call runs inside its response (`modern`), and ends with it. A legacy call (`legacy`) runs beside, in a
//! session (`session`): what it says first decides between JSON and a stream, and a stream is a log (`event_log`, all of
//! them in `streams`) that connections read, one after the other. GET (`get`) gives the rest of such a stream, or the
//! session's own (`standalone`). `serve` is the way to put all of it on a port.

mod access;
mod bodies;
mod event_log;
mod get;
mod headers;
mod legacy;
mod modern;
mod reply;
mod serve;
mod session;
mod sse;
mod standalone;
mod streams;
mod websocket;

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use futures::FutureExt as _;
use futures::future::poll_immediate;
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode, header};
use jsonrpsee::types::ErrorObjectOwned;
use tokio::time::error::Elapsed;
use tokio::time::timeout;
use tower::service_fn;

pub(crate) use headers::ParamHeader;
pub use serve::{Connection, Listener, PeerAddress, serve};
pub use streams::StreamLimits;

use crate::error::{self, INVALID_REQUEST};
use crate::input::Pending;
use crate::server::{Head, Server};
use crate::wire::{Era, Message, ParseError, ProtocolVersion, Request, RequestId};
use bodies::Bodies;
use reply::Refusal;
use streams::Streams;

/// How the endpoint is offered.
#[derive(Clone, Debug)]
pub struct HttpConfig {
    /// Where it is; `/mcp` by default.
    pub path: String,
    /// Origins of web pages that may call, for example `https://app.example.com`. A loopback origin with the server's
    /// own port may always.
    pub allowed_origins: Vec<String>,
    /// Which `Host` headers are answered.
    pub allowed_hosts: AllowedHosts,
    /// A stream without a message for this long gets a comment, so that nothing between takes it for dead; a WebSocket client
    /// that is silent for this long is pinged.
    pub keep_alive: Duration,
    /// A request body has to arrive within this; over WebSocket, a message or the answer to a ping.
    pub body_timeout: Duration,
    /// Of all request bodies that are arriving, in bytes, small ones apart; above it further ones are answered 503. At least
    /// [`crate::Limits::max_message_bytes`].
    pub max_buffered_bytes: usize,
    /// Where WebSocket connections are opened, for example `/ws`; `None`, the default, offers none.
    pub websocket_path: Option<String>,
    /// A message has to be taken by a WebSocket client within this; one that reads more slowly is cut off.
    pub send_timeout: Duration,
    /// What is kept for legacy clients that lost a connection.
    pub streams: StreamLimits,
}

/// Which `Host` headers are answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AllowedHosts {
    /// All.
    #[default]
    Any,
    /// `localhost` and loopback addresses: right for a server bound to loopback.
    Loopback,
    /// These, without ports, and loopback.
    List(Vec<String>),
}

impl Default for HttpConfig {
    fn default() -> Self {
        HttpConfig {
            path: "/mcp".to_owned(),
            allowed_origins: Vec::new(),
            allowed_hosts: AllowedHosts::Any,
            keep_alive: Duration::from_secs(15),
            body_timeout: Duration::from_mins(2),
            max_buffered_bytes: 256 * 1024 * 1024,
            websocket_path: None,
            send_timeout: Duration::from_mins(1),
            streams: StreamLimits::default(),
        }
    }
}

/// The endpoint as an axum router. The extensions of an HTTP request become those of the MCP request, so a middleware
/// in front can say who calls; [`crate::SessionOwner`] among them ties legacy sessions to their opener.
///
/// With [`HttpConfig::websocket_path`], a WebSocket connection is an HTTP request too, for its opening: the same middleware
/// sees it (layer it over the whole router), and the extensions of that one request become those of every MCP request on
/// the connection, for as long as that lasts. What has to be checked anew for each request, such as a key that may be
/// revoked, belongs in a layer of the server ([`crate::GuardLayer`]). A connection takes a place among the streams of
/// [`crate::Limits::max_streams`], for its [`crate::SessionOwner`] or else its address. For a shutdown, an HTTP server has
/// to be told of the connections: [`Server::close_streams`], then [`Server::connections_closed`].
///
/// [`serve()`] serves it as it has to be. Whoever serves it otherwise sets `TCP_NODELAY`, without which a stream of events
/// crawls; gives `ConnectInfo<SocketAddr>` or `ConnectInfo<PeerAddress>`, by which sessions and streams of clients without
/// a [`crate::SessionOwner`] are counted; and ends connections that take nothing of what is written to them.
pub fn router(server: Server, config: HttpConfig) -> Router {
    let (path, websocket_path) = (config.path.clone(), config.websocket_path.clone());
    let streams = Streams::new(config.streams);
    let bodies =
        Bodies::new(server.limits().max_message_bytes, config.max_buffered_bytes, config.body_timeout);
    let running = legacy::Running::default();
    let endpoint = Arc::new(Endpoint { server, config, running, pending: Arc::default(), streams, bodies });
    let answer = {
        let endpoint = Arc::clone(&endpoint);
        move |request| handle(Arc::clone(&endpoint), request).map(Ok::<_, Infallible>)
    };
    // A service: a handler of axum's would pick its arguments and its method anew for each request.
    let mut router = Router::new().route_service(&path, service_fn(answer));
    if let Some(path) = websocket_path {
        router = router.route(&path, any(websocket::handle));
    }
    router.with_state(endpoint)
}

impl HttpConfig {
    /// Whether `Host` and `Origin` of a request are allowed. The endpoint asks this itself; it is for routes beside it.
    pub fn admits(&self, parts: &Parts) -> bool {
        access::check(self, parts).is_ok()
    }
}

/// What a middleware in front of the endpoint answers in its place, in a form that clients can show: a JSON-RPC error
/// with the HTTP status of its code. The request's id isn't known there, so it is null (JSON-RPC 2.0, 5).
pub fn refusal(error: &ErrorObjectOwned) -> Response {
    let status = error::http_status(Era::Legacy, error.code());
    let body = serde_json::json!({"jsonrpc": "2.0", "id": null, "error": error});
    let mut response = (status, axum::Json(body)).into_response();
    reply::set_retry_after(response.headers_mut(), status, error);
    response
}

struct Endpoint {
    server: Server,
    config: HttpConfig,
    running: legacy::Running,
    /// The questions to legacy clients.
    pending: Arc<Pending>,
    streams: Arc<Streams>,
    bodies: Bodies,
}

async fn handle(endpoint: Arc<Endpoint>, request: axum::extract::Request) -> Response {
    let (parts, body) = request.into_parts();
    let answered = match access::check(&endpoint.config, &parts) {
        Err(refusal) => Err(refusal),
        Ok(()) => match parts.method {
            Method::POST => endpoint.post(parts, body).await,
            Method::DELETE => endpoint.end_session(&parts).await,
            Method::GET => endpoint.get(&parts).await,
            _ => Ok(not_allowed("GET, POST, DELETE")),
        },
    };
    answered.unwrap_or_else(IntoResponse::into_response)
}

/// `allow` is what the client could send in its place.
fn not_allowed(allow: &'static str) -> Response {
    let message = "this endpoint takes POST; the revisions with sessions also GET for a stream and DELETE for the end, \
                   with header Mcp-Session-Id";
    let error = error::error(INVALID_REQUEST, message);
    let mut response = Refusal::new(StatusCode::METHOD_NOT_ALLOWED, None, error).into_response();
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
    response
}

impl Endpoint {
    async fn post(&self, parts: Parts, body: Body) -> Result<Response, Refusal> {
        if !is_json(&parts) {
            let error = error::error(INVALID_REQUEST, "the content type has to be application/json");
            return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, None, error));
        }
        let text = self.bodies.read(body).await?;
        let message = Message::parse(&text.bytes).map_err(|cause| {
            let id = match &cause {
                ParseError::Invalid { id, .. } => id.as_ref(),
                ParseError::Syntax(_) => None,
            };
            Refusal::bad_request(id, error::unparsable(&cause))
        })?;
        drop(text);
        match message {
            Message::Request(request) => self.request(parts, request).await,
            Message::Notification { method, params } => {
                if era_of(&parts, None)? == Era::Legacy {
                    self.legacy_notification(&parts, &method, params.as_deref()).await?;
                }
                Ok(StatusCode::ACCEPTED.into_response())
            }
            Message::Response(response) => match era_of(&parts, None)? {
                Era::Legacy => self.client_response(&parts, response).await,
                Era::Modern => Err(legacy::nothing_asked()),
            },
        }
    }

    async fn request(&self, parts: Parts, request: Request) -> Result<Response, Refusal> {
        let head = Head::read(&request).map_err(|error| Refusal::bad_request(Some(&request.id), error))?;
        if head.is_modern() {
            return self.modern_request(parts, request, head).await;
        }
        if request.method == "initialize" {
            return self.initialize(parts, request, head).await;
        }
        match era_of(&parts, Some(&request.id))? {
            Era::Modern => self.modern_request(parts, request, head).await,
            Era::Legacy => self.legacy_request(parts, request, head).await,
        }
    }
}

/// As [`tokio::time::timeout`]; what is there already, as most bodies and answers are, costs no timer.
async fn within<F: Future>(time: Duration, future: F) -> Result<F::Output, Elapsed> {
    let mut future = pin!(future);
    match poll_immediate(future.as_mut()).await {
        Some(output) => Ok(output),
        None => timeout(time, future).await,
    }
}

/// What the header says of a message without modern `_meta`.
fn era_of(parts: &Parts, id: Option<&RequestId>) -> Result<Era, Refusal> {
    let refuse = |error| Refusal::bad_request(id, error);
    let Some(version) = headers::single(&parts.headers, headers::PROTOCOL_VERSION).map_err(refuse)? else {
        // Revision 2025-03-26 is what an absent header means, and that isn't served.
        let message =
            "header MCP-Protocol-Version is missing; every message after initialize has to carry it";
        return Err(refuse(error::error(INVALID_REQUEST, message)));
    };
    let version: ProtocolVersion =
        version.parse().map_err(|_| refuse(error::unsupported_version(version, None)))?;
    Ok(version.era())
}

fn is_json(parts: &Parts) -> bool {
    let kind = parts.headers.get(header::CONTENT_TYPE).map(|value| headers::essence(value.as_bytes()));
    kind.is_some_and(|kind| kind.eq_ignore_ascii_case(b"application/json"))
}

#[cfg(test)]
mod tests;
