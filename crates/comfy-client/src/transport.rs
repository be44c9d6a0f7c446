//! The HTTP connection to one ComfyUI: addresses, credentials, limits, and errors that say what to do.

use std::{error::Error, future::Future, io, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::{Bytes, BytesMut};
use reqwest::{
    Method, RequestBuilder, Response, StatusCode,
    header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue},
    redirect::Policy,
};
use secrecy::{ExposeSecret, SecretString};
use serde::{Serialize, de::DeserializeOwned};
use url::Url;

use crate::{ComfyAuth, ComfyConfig, ComfyError, UnreachableReason, json};

/// Shorter than aiohttp's keep-alive of 75 s, so that a request rarely meets a connection that is just being closed.
const IDLE_CONNECTION: Duration = Duration::from_secs(30);
/// The slowest upload that is worth waiting for.
const UPLOAD_BYTES_PER_SECOND: u64 = 250_000;
/// What an answer announces is not always what comes.
pub(crate) const FIRST_CAPACITY: usize = 1 << 20;
const ERROR_BODY_BYTES: usize = 1024;

/// One ComfyUI's address with the connections to it.
#[derive(Debug)]
pub(crate) struct Http {
    client: reqwest::Client,
    base: Url,
    socket: Url,
    /// `base` for messages.
    pub(crate) shown: String,
    pub(crate) request_timeout: Duration,
    pub(crate) max_response_bytes: usize,
}

impl Http {
    pub(crate) fn new(config: &ComfyConfig) -> Result<Self, ComfyError> {
        let mut base = http_url(config.base_url.clone(), "the address of comfyui")?;
        base.set_query(None);
        base.set_fragment(None);
        let auth = config.auth.clone().or_else(|| take_credentials(&base));
        strip_credentials(&mut base);
        let socket = match &config.ws_url {
            Some(url) => {
                let mut url = http_url(url.clone(), "the websocket address of comfyui")?;
                strip_credentials(&mut url);
                if url.path() == "/" { join(&url, &["ws"]) } else { url }
            }
            None => join(&base, &["ws"]),
        };
        let client = client(config, headers(config, auth.as_ref())?, [&base, &socket])?;
        Ok(Self {
            client,
            shown: base.as_str().trim_end_matches('/').to_owned(),
            base,
            socket,
            request_timeout: config.request_timeout,
            max_response_bytes: config.max_response_bytes,
        })
    }

    /// A request to the base URL followed by `path`; each segment is percent-encoded.
    pub(crate) fn request(&self, method: Method, path: &[&str]) -> RequestBuilder {
        self.client.request(method, join(&self.base, path))
    }

    /// The request that asks for the websocket of `client_id`.
    pub(crate) fn socket_request(&self, client_id: &str) -> RequestBuilder {
        let mut url = self.socket.clone();
        url.query_pairs_mut().append_pair("clientId", client_id);
        self.client.get(url)
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &[&str]) -> Result<T, ComfyError> {
        self.fetch(self.request(Method::GET, path), path, self.request_timeout).await
    }

    /// Posts `body` and drops the answer: ComfyUI's is empty.
    pub(crate) async fn post(&self, path: &[&str], body: &impl Serialize) -> Result<(), ComfyError> {
        let request = self.request(Method::POST, path).json(body);
        self.within(path, self.request_timeout, async {
            let response = success(self.send(request, path).await?, path).await?;
            self.body(response, path).await.map(drop)
        })
        .await
    }

    /// Sends, checks the status, and parses the answer, all `within` the time.
    pub(crate) async fn fetch<T: DeserializeOwned>(
        &self,
        request: RequestBuilder,
        path: &[&str],
        within: Duration,
    ) -> Result<T, ComfyError> {
        let bytes = self
            .within(path, within, async {
                let response = success(self.send(request, path).await?, path).await?;
                self.body(response, path).await
            })
            .await?;
        parse(&bytes, path)
    }

    pub(crate) async fn send(&self, request: RequestBuilder, path: &[&str]) -> Result<Response, ComfyError> {
        request.send().await.map_err(|error| self.failure(error, path))
    }

    /// Reads the whole answer, up to the limit.
    pub(crate) async fn body(&self, mut response: Response, path: &[&str]) -> Result<Bytes, ComfyError> {
        let limit = self.max_response_bytes;
        let too_large = || ComfyError::TooLarge { path: shown_path(path), limit };
        let announced = response.content_length().unwrap_or_default();
        if announced > limit as u64 {
            return Err(too_large());
        }
        let mut body = BytesMut::with_capacity((announced as usize).min(FIRST_CAPACITY));
        while let Some(chunk) = response.chunk().await.map_err(|error| self.failure(error, path))? {
            if body.len() + chunk.len() > limit {
                return Err(too_large());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    }

    pub(crate) async fn within<T>(
        &self,
        path: &[&str],
        after: Duration,
        work: impl Future<Output = Result<T, ComfyError>>,
    ) -> Result<T, ComfyError> {
        match tokio::time::timeout(after, work).await {
            Ok(result) => result,
            Err(_) => Err(ComfyError::Timeout { url: self.shown.clone(), path: shown_path(path), after }),
        }
    }

    /// The time for an upload of `bytes`.
    pub(crate) fn upload_timeout(&self, bytes: usize) -> Duration {
        self.request_timeout + Duration::from_secs(bytes as u64 / UPLOAD_BYTES_PER_SECOND)
    }

    /// Names what broke.
    pub(crate) fn failure(&self, error: reqwest::Error, path: &[&str]) -> ComfyError {
        let error = error.without_url();
        if error.is_builder() {
            return ComfyError::InvalidArgument(format!(
                "the request to {} can't be built",
                shown_path(path)
            ));
        }
        if error.is_timeout() && !error.is_connect() {
            let (url, path) = (self.shown.clone(), shown_path(path));
            return ComfyError::Timeout { url, path, after: self.request_timeout };
        }
        self.unreachable(reason(&error), error)
    }

    pub(crate) fn unreachable(
        &self,
        reason: UnreachableReason,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> ComfyError {
        ComfyError::Unreachable { url: self.shown.clone(), reason, source: source.into() }
    }
}

/// Any status but 2xx is an error that carries the beginning of the body.
pub(crate) async fn success(response: Response, path: &[&str]) -> Result<Response, ComfyError> {
    if response.status().is_success() {
        return Ok(response);
    }
    Err(status_error(response, path).await)
}

pub(crate) async fn status_error(mut response: Response, path: &[&str]) -> ComfyError {
    let status = response.status();
    let mut body = Vec::new();
    while body.len() < ERROR_BODY_BYTES
        && let Ok(Some(chunk)) = response.chunk().await
    {
        body.extend_from_slice(&chunk[..chunk.len().min(ERROR_BODY_BYTES - body.len())]);
    }
    status_error_with(status, &body, path)
}

pub(crate) fn status_error_with(status: StatusCode, body: &[u8], path: &[&str]) -> ComfyError {
    let text = String::from_utf8_lossy(&body[..body.len().min(ERROR_BODY_BYTES)]);
    let body = text.chars().filter(|c| *c == '\n' || !c.is_control()).collect::<String>().trim().to_owned();
    ComfyError::Status { status: status.as_u16(), path: shown_path(path), body }
}

pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8], path: &[&str]) -> Result<T, ComfyError> {
    json::parse(bytes)
        .map_err(|error| ComfyError::InvalidBody { path: shown_path(path), source: error.into() })
}

pub(crate) fn shown_path(path: &[&str]) -> String {
    format!("/{}", path.join("/"))
}

/// Dots are resolved away in an address, and would ask for something else.
pub(crate) fn path_segment<'a>(name: &'a str, what: &str) -> Result<&'a str, ComfyError> {
    if name.is_empty() || name == "." || name == ".." {
        return Err(ComfyError::InvalidArgument(format!("{name:?} is not the name of a {what}")));
    }
    Ok(name)
}

fn join(base: &Url, path: &[&str]) -> Url {
    let mut url = base.clone();
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend(path);
    }
    url
}

/// The same address with the scheme that the HTTP library knows.
fn http_url(mut url: Url, what: &str) -> Result<Url, ComfyError> {
    let scheme = match url.scheme() {
        "http" | "ws" => "http",
        "https" | "wss" => "https",
        other => {
            let message =
                format!("{what} begins with {other}:, it must be an http, https, ws or wss address");
            return Err(ComfyError::InvalidArgument(message));
        }
    };
    // The URL standard lets these schemes change into each other by way of parsing only.
    if url.scheme() != scheme {
        let text = format!("{scheme}{}", &url.as_str()[url.scheme().len()..]);
        url = Url::parse(&text).map_err(|error| ComfyError::InvalidArgument(format!("{what}: {error}")))?;
    }
    Ok(url)
}

fn take_credentials(url: &Url) -> Option<ComfyAuth> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let decode = |text: &str| {
        // The query parser is the decoder at hand; a plus sign is itself in user info.
        let pair = text.replace('+', "%2B");
        url::form_urlencoded::parse(pair.as_bytes())
            .next()
            .map(|(name, _)| name.into_owned())
            .unwrap_or_default()
    };
    Some(ComfyAuth::Basic {
        username: decode(url.username()),
        password: decode(url.password().unwrap_or_default()).into(),
    })
}

fn strip_credentials(url: &mut Url) {
    // Both fail only for addresses without a host, and http ones have it.
    let _ = url.set_username("");
    let _ = url.set_password(None);
}

fn headers(config: &ComfyConfig, auth: Option<&ComfyAuth>) -> Result<HeaderMap, ComfyError> {
    let mut headers = HeaderMap::new();
    for (name, value) in &config.headers {
        let parsed = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| ComfyError::InvalidArgument(format!("{name:?} is not a header name")))?;
        if is_ours(&parsed) {
            let message = format!("the header {name} can't be set for comfyui: the client decides it");
            return Err(ComfyError::InvalidArgument(message));
        }
        headers.append(parsed, secret(value, name)?);
    }
    if let Some(auth) = auth {
        let text = match auth {
            ComfyAuth::Bearer(token) => format!("Bearer {}", token.expose_secret()),
            ComfyAuth::Basic { username, password } => {
                format!("Basic {}", STANDARD.encode(format!("{username}:{}", password.expose_secret())))
            }
        };
        headers.insert(AUTHORIZATION, secret(&text.into(), "Authorization")?);
    }
    Ok(headers)
}

fn is_ours(name: &HeaderName) -> bool {
    const OURS: [&str; 7] =
        ["connection", "content-length", "host", "origin", "te", "transfer-encoding", "upgrade"];
    OURS.contains(&name.as_str()) || name.as_str().starts_with("sec-websocket-")
}

fn secret(value: &SecretString, name: &str) -> Result<HeaderValue, ComfyError> {
    let mut value = HeaderValue::from_str(value.expose_secret()).map_err(|_| {
        ComfyError::InvalidArgument(format!(
            "the value of the header {name} has characters that don't fit there"
        ))
    })?;
    value.set_sensitive(true);
    Ok(value)
}

fn client(config: &ComfyConfig, headers: HeaderMap, urls: [&Url; 2]) -> Result<reqwest::Client, ComfyError> {
    let mut builder = reqwest::Client::builder()
        .default_headers(headers)
        .connect_timeout(config.connect_timeout)
        .pool_idle_timeout(IDLE_CONNECTION)
        .redirect(Policy::none())
        .referer(false)
        .http1_only()
        .tcp_nodelay(true)
        .user_agent(concat!("comfy-client/", env!("CARGO_PKG_VERSION")));
    if urls.iter().all(|url| is_loopback(url)) {
        builder = builder.no_proxy();
    }
    if urls.iter().all(|url| url.scheme() == "http") {
        // Reading the machine's certificates takes longer than the whole start; nothing here needs them.
        builder = builder.tls_backend_preconfigured(no_tls()?);
    } else if rustls::crypto::CryptoProvider::get_default().is_none() {
        return Err(ComfyError::InvalidArgument("no TLS provider is installed in this program".to_owned()));
    }
    builder.build().map_err(|error| {
        ComfyError::InvalidArgument(format!("the HTTP client can't be set up: {}", root(&error)))
    })
}

fn no_tls() -> Result<rustls::ClientConfig, ComfyError> {
    let config =
        rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| {
                ComfyError::InvalidArgument(format!("the TLS library can't be set up: {error}"))
            })?;
    Ok(config.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth())
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn reason(error: &reqwest::Error) -> UnreachableReason {
    if !error.is_connect() {
        return UnreachableReason::ConnectionLost;
    }
    if error.is_timeout() {
        return UnreachableReason::ConnectTimeout;
    }
    if error.is_dns() {
        return UnreachableReason::Dns;
    }
    let causes = || std::iter::successors(error.source(), |&cause| cause.source());
    let refused = |cause: &(dyn Error + 'static)| {
        cause.downcast_ref::<io::Error>().is_some_and(|io| io.kind() == io::ErrorKind::ConnectionRefused)
    };
    let tls = |cause: &(dyn Error + 'static)| {
        cause.is::<rustls::Error>() || cause.downcast_ref::<io::Error>().is_some_and(wraps_tls)
    };
    if causes().any(refused) {
        UnreachableReason::Refused
    } else if causes().any(tls) {
        UnreachableReason::Tls
    } else {
        UnreachableReason::Other
    }
}

/// `io::Error::source` skips the error that it wraps.
fn wraps_tls(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| {
        inner.is::<rustls::Error>() || inner.downcast_ref::<io::Error>().is_some_and(wraps_tls)
    })
}

fn root(error: &dyn Error) -> String {
    std::iter::successors(Some(error), |&cause| cause.source())
        .last()
        .map(ToString::to_string)
        .unwrap_or_default()
}
