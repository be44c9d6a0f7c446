//! A server behind Streamable HTTP: each message is a POST, the answer is JSON or an event stream.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, LOCATION, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use jsonrpsee::types::ErrorObjectOwned;
use reqwest::Response;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use serde_json::value::RawValue;
use tokio::sync::Semaphore;
use url::Url;

use super::error::{ClientError, shortened};
use super::headers::{LAST_EVENT_ID, PROTOCOL_VERSION, SESSION_ID};
use super::http_answer::{Answer, MediaType, chain, media_type, read_bounded};
use super::incoming::Incoming;
use super::options::{HttpOptions, OnProgress};
use crate::error::METHOD_NOT_FOUND;
use crate::wire::{Era, Message, ProtocolVersion, notification};

/// For messages that nobody waits for: cancellations, answers, the end of a session.
const ASIDE_TIMEOUT: Duration = Duration::from_secs(5);
/// How many of them may be under way.
const MAX_ASIDE: usize = 8;
/// How long a connection may be silent before the system asks whether the other side is still there.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// The most that is read of a refusal's body.
const MAX_REFUSAL_BYTES: usize = 64 * 1024;

/// The client's end; clones share connections and session.
#[derive(Debug, Clone)]
pub(super) struct HttpTransport {
    client: reqwest::Client,
    url: Url,
    pub(super) limit: usize,
    pub(super) incoming: Arc<Incoming>,
    session: Arc<Mutex<Option<HeaderValue>>>,
    aside: Arc<Semaphore>,
}

/// One request, ready to be sent.
pub(super) struct Outgoing<'a> {
    pub(super) id: i64,
    pub(super) method: &'a str,
    pub(super) version: ProtocolVersion,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) body: String,
}

impl HttpTransport {
    pub(super) fn new(
        url: &str,
        options: &HttpOptions,
        incoming: Arc<Incoming>,
    ) -> Result<HttpTransport, ClientError> {
        let url = parse_url(url, &["http", "https"])?;
        require_tls()?;
        let client = reqwest::Client::builder()
            .default_headers(default_headers(&options.headers, options.bearer.as_ref())?)
            .user_agent(format!("{}/{}", options.peer.client_info.name, options.peer.client_info.version))
            .connect_timeout(options.connect_timeout)
            .tcp_nodelay(true)
            .tcp_keepalive(KEEPALIVE)
            // A redirected POST would carry the key to an address that nobody has checked.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| ClientError::Setup { reason: error.to_string() })?;
        Ok(HttpTransport {
            client,
            url,
            limit: options.peer.max_message_bytes,
            incoming,
            session: Arc::default(),
            aside: Arc::new(Semaphore::new(MAX_ASIDE)),
        })
    }

    /// Sends a request and reads its answer. Dropping the future closes the stream, which cancels a modern
    /// call; for a legacy one `notifications/cancelled` is sent.
    pub(super) async fn call(
        &self,
        outgoing: Outgoing<'_>,
        on_progress: &mut Option<OnProgress>,
    ) -> Result<Box<RawValue>, ClientError> {
        let Outgoing { id, method, version, headers, body } = outgoing;
        let armed = version.era() == Era::Legacy && method != "initialize";
        let mut cancel = Cancel { transport: self, id, version, armed };
        let answer = async {
            let session = if method == "initialize" { None } else { self.session() };
            let had_session = session.is_some();
            let response = self.post(body, version, method, session, headers).await?;
            if !response.status().is_success() {
                return Err(self.refusal(response, had_session).await);
            }
            if method == "initialize" {
                self.keep_session(response.headers().get(SESSION_ID).cloned());
            }
            let answer = Answer::new(self, id, method, version, on_progress);
            match media_type(&response) {
                MediaType::EventStream => answer.read_events(response).await,
                MediaType::Json => answer.read_body(response).await,
                MediaType::Other(name) => Err(ClientError::protocol(
                    method,
                    format!("it is {name}, neither JSON nor an event stream"),
                )),
            }
        }
        .await;
        cancel.armed = false;
        answer
    }

    /// Sends a notification or an answer.
    pub(super) async fn notify(&self, body: String, version: ProtocolVersion) -> Result<(), ClientError> {
        let session = self.session();
        let had_session = session.is_some();
        let response = self.post(body, version, "a notification", session, Vec::new()).await?;
        if response.status().is_success() { Ok(()) } else { Err(self.refusal(response, had_session).await) }
    }

    /// Ends the session, if there is one.
    pub(super) async fn close(&self, version: ProtocolVersion) {
        let session = self.session.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(session) = session else { return };
        let request = self
            .client
            .request(Method::DELETE, self.url.clone())
            .header(SESSION_ID, session)
            .header(PROTOCOL_VERSION, version.as_str())
            .timeout(ASIDE_TIMEOUT);
        // A server may refuse to let clients end sessions; it forgets them by itself then.
        if let Err(error) = request.send().await {
            tracing::debug!(%error, "the session was not ended");
        }
    }

    pub(super) fn session(&self) -> Option<HeaderValue> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn keep_session(&self, session: Option<HeaderValue>) {
        *self.session.lock().unwrap_or_else(PoisonError::into_inner) = session.map(|mut session| {
            session.set_sensitive(true);
            session
        });
    }

    async fn post(
        &self,
        body: String,
        version: ProtocolVersion,
        method: &str,
        session: Option<HeaderValue>,
        headers: Vec<(HeaderName, HeaderValue)>,
    ) -> Result<Response, ClientError> {
        let mut request = self
            .client
            .post(self.url.clone())
            .header(ACCEPT, "application/json, text/event-stream")
            .header(CONTENT_TYPE, "application/json");
        if method != "initialize" {
            request = request.header(PROTOCOL_VERSION, version.as_str());
        }
        if let Some(session) = session {
            request = request.header(SESSION_ID, session);
        }
        request = request.headers(HeaderMap::from_iter(headers));
        request.body(body).send().await.map_err(|error| self.send_error(error, method))
    }

    fn send_error(&self, error: reqwest::Error, method: &str) -> ClientError {
        if error.is_connect() {
            ClientError::Unreachable { url: self.url.to_string(), source: Box::new(error.without_url()) }
        } else {
            ClientError::Interrupted { method: method.to_owned(), reason: chain(&error.without_url()) }
        }
    }

    /// Opens a legacy event stream with GET: the session's own, or with `last` what came after that event on the
    /// stream that had it.
    pub(super) async fn get_events(
        &self,
        last: Option<HeaderValue>,
        session: Option<HeaderValue>,
        version: ProtocolVersion,
    ) -> Result<Response, reqwest::Error> {
        let mut request = self
            .client
            .get(self.url.clone())
            .header(ACCEPT, "text/event-stream")
            .header(PROTOCOL_VERSION, version.as_str());
        if let Some(last) = last {
            request = request.header(LAST_EVENT_ID, last);
        }
        if let Some(session) = session {
            request = request.header(SESSION_ID, session);
        }
        request.send().await
    }

    async fn refusal(&self, response: Response, had_session: bool) -> ClientError {
        let status = response.status();
        let headers = response.headers().clone();
        // What can't be read of a refusal doesn't make it less of one.
        let body = read_bounded(response, MAX_REFUSAL_BYTES).await.unwrap_or_default();
        if status == StatusCode::NOT_FOUND
            && had_session
            && rpc_error(&body).is_none_or(|error| error.code() != METHOD_NOT_FOUND)
        {
            return ClientError::SessionExpired;
        }
        status_error(status, &headers, &body)
    }

    /// Sends what nobody waits for, detached and bounded in time and number.
    pub(super) fn send_aside(&self, body: String, version: ProtocolVersion) {
        let Ok(permit) = Arc::clone(&self.aside).try_acquire_owned() else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let transport = self.clone();
        runtime.spawn(async move {
            let sent = tokio::time::timeout(ASIDE_TIMEOUT, transport.notify(body, version)).await;
            if !matches!(sent, Ok(Ok(()))) {
                tracing::debug!("a notification did not reach the server");
            }
            drop(permit);
        });
    }
}

/// Tells the server of a legacy call that was dropped.
struct Cancel<'a> {
    transport: &'a HttpTransport,
    id: i64,
    version: ProtocolVersion,
    armed: bool,
}

impl Drop for Cancel<'_> {
    fn drop(&mut self) {
        if self.armed
            && let Ok(body) = notification("notifications/cancelled", &json!({"requestId": self.id}))
        {
            self.transport.send_aside(body, self.version);
        }
    }
}

/// What a refusal with this status means.
pub(super) fn status_error(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> ClientError {
    let header = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let retry_after = header(RETRY_AFTER).and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
    let rpc = rpc_error(body);
    let text = match &rpc {
        Some(error) => shortened(error.message()),
        None => shortened(&String::from_utf8_lossy(body)),
    };
    match status {
        StatusCode::UNAUTHORIZED => ClientError::Unauthorized { message: or(text, "no valid key was given") },
        StatusCode::FORBIDDEN => ClientError::Forbidden { message: or(text, "HTTP 403") },
        StatusCode::TOO_MANY_REQUESTS => {
            let exact = rpc.map(ClientError::from).and_then(|error| match error {
                ClientError::RateLimited { retry_after, .. } => retry_after,
                _ => None,
            });
            ClientError::RateLimited { message: or(text, "HTTP 429"), retry_after: exact.or(retry_after) }
        }
        _ => match (rpc, header(LOCATION)) {
            (Some(error), _) => error.into(),
            (None, Some(location)) if status.is_redirection() => ClientError::HttpStatus {
                status: status.as_u16(),
                body: format!("moved to {}", shortened(location)),
            },
            (None, _) => ClientError::HttpStatus { status: status.as_u16(), body: text },
        },
    }
}

fn rpc_error(body: &[u8]) -> Option<ErrorObjectOwned> {
    match Message::parse(body) {
        Ok(Message::Response(answer)) => answer.payload.err(),
        _ => None,
    }
}

/// TLS needs a provider, which the program has to choose.
pub(super) fn require_tls() -> Result<(), ClientError> {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        let reason = "no rustls crypto provider is installed in this process".to_owned();
        return Err(ClientError::Setup { reason });
    }
    Ok(())
}

/// An address with one of these schemes.
pub(super) fn parse_url(text: &str, schemes: &[&str]) -> Result<Url, ClientError> {
    let invalid = |reason: String| ClientError::InvalidUrl { url: text.to_owned(), reason };
    let url = Url::parse(text).map_err(|error| invalid(error.to_string()))?;
    if !schemes.contains(&url.scheme()) || !url.has_host() {
        return Err(invalid(format!("it has to begin with {}://", schemes.join(":// or "))));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(invalid("it may not have a user name or password in it".to_owned()));
    }
    Ok(url)
}

/// The headers of every request.
pub(super) fn default_headers(
    given: &[(String, String)],
    bearer: Option<&SecretString>,
) -> Result<HeaderMap, ClientError> {
    let setup = |reason: String| ClientError::Setup { reason };
    let mut headers = HeaderMap::new();
    for (name, value) in given {
        let header =
            HeaderName::try_from(name).map_err(|_| setup(format!("{name:?} can't be a header's name")))?;
        let value = HeaderValue::try_from(value)
            .map_err(|_| setup(format!("the value of {name} can't be a header")))?;
        headers.append(header, value);
    }
    if let Some(bearer) = bearer {
        let mut value = HeaderValue::try_from(format!("Bearer {}", bearer.expose_secret()))
            .map_err(|_| setup("the API key has characters that no key has".to_owned()))?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    Ok(headers)
}

fn or(text: String, default: &str) -> String {
    if text.is_empty() { default.to_owned() } else { text }
}
