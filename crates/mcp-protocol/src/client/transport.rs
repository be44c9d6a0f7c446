//! One call over either transport: its parameters, its `_meta`, its time.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::error::ClientError;
use super::headers::{METHOD, NAME, encode};
use super::http::{HttpTransport, Outgoing};
use super::options::OnProgress;
use super::stream::StreamTransport;
use crate::wire::{Era, Implementation, ProtocolVersion, RequestId, RequestMeta, notification, request};

/// Where the messages go.
#[derive(Debug)]
pub(super) enum Transport {
    Http(HttpTransport),
    Stream(StreamTransport),
}

/// A call before it is a message.
pub(super) struct Call<'a> {
    pub(super) method: &'a str,
    pub(super) params: Map<String, Value>,
    /// Headers of a modern HTTP request beside the standard ones.
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) timeout: Duration,
}

impl<'a> Call<'a> {
    /// A call with no more than method and parameters.
    pub(super) fn new(method: &'a str, params: Map<String, Value>) -> Call<'a> {
        Call { method, params, headers: Vec::new(), timeout: Duration::from_mins(1) }
    }
}

impl Transport {
    /// Sends the call in the given revision and reads its result.
    pub(super) async fn call(
        &self,
        call: &Call<'_>,
        version: ProtocolVersion,
        client_info: &Implementation,
        on_progress: &mut Option<OnProgress>,
    ) -> Result<Box<RawValue>, ClientError> {
        let id = next_id();
        let token = on_progress.as_ref().map(|_| RequestId::Number(id));
        let meta = meta(version, client_info, token);
        let body = body(id, call, &meta)?;
        let answer = async {
            match self {
                Transport::Http(http) => {
                    let mut headers = call.headers.clone();
                    if version.era() == Era::Modern {
                        headers.extend(standard_headers(call));
                    }
                    http.call(Outgoing { id, method: call.method, version, headers, body }, on_progress).await
                }
                Transport::Stream(stream) => stream.call(id, call.method, body, on_progress).await,
            }
        };
        tokio::time::timeout(call.timeout, answer)
            .await
            .map_err(|_| ClientError::Timeout { method: call.method.to_owned(), after: call.timeout })?
    }

    /// The result as the type that the method has.
    pub(super) async fn typed<T: DeserializeOwned>(
        &self,
        call: &Call<'_>,
        version: ProtocolVersion,
        client_info: &Implementation,
    ) -> Result<T, ClientError> {
        let result = self.call(call, version, client_info, &mut None).await?;
        typed(call.method, &result)
    }

    /// Sends a notification.
    pub(super) async fn notify(
        &self,
        method: &str,
        params: &Value,
        version: ProtocolVersion,
    ) -> Result<(), ClientError> {
        let body =
            notification(method, params).map_err(|error| ClientError::protocol(method, error.to_string()))?;
        match self {
            Transport::Http(http) => http.notify(body, version).await,
            Transport::Stream(stream) => stream.notify(body).await,
        }
    }

    /// The server is legacy: its requests get an answer.
    pub(super) fn answer_requests(&self) {
        if let Transport::Stream(stream) = self {
            stream.answer_requests();
        }
    }
}

/// A result as the type that the method has.
pub(super) fn typed<T: DeserializeOwned>(method: &str, result: &RawValue) -> Result<T, ClientError> {
    serde_json::from_str(result.get()).map_err(|error| ClientError::protocol(method, error.to_string()))
}

/// Ids are unique in this process, so that one that turns up late is never taken for another's.
fn next_id() -> i64 {
    static NEXT: AtomicI64 = AtomicI64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

fn meta(version: ProtocolVersion, client_info: &Implementation, token: Option<RequestId>) -> RequestMeta {
    let modern = version.era() == Era::Modern;
    RequestMeta {
        protocol_version: modern.then(|| version.as_str().to_owned()),
        client_info: modern.then(|| client_info.clone()),
        client_capabilities: modern.then(|| Value::Object(Map::new())),
        log_level: None,
        progress_token: token,
    }
}

#[derive(Serialize)]
struct Params<'a> {
    #[serde(flatten)]
    own: &'a Map<String, Value>,
    #[serde(rename = "_meta", skip_serializing_if = "Option::is_none")]
    meta: Option<&'a RequestMeta>,
}

fn body(id: i64, call: &Call<'_>, meta: &RequestMeta) -> Result<String, ClientError> {
    let given = meta.protocol_version.is_some() || meta.progress_token.is_some();
    let params = Params { own: &call.params, meta: given.then_some(meta) };
    request(&RequestId::Number(id), call.method, &params)
        .map_err(|error| ClientError::protocol(call.method, error.to_string()))
}

fn standard_headers(call: &Call<'_>) -> Vec<(HeaderName, HeaderValue)> {
    let mut headers = vec![(METHOD, encode(call.method))];
    let name = match call.method {
        "tools/call" | "prompts/get" => call.params.get("name"),
        "resources/read" => call.params.get("uri"),
        _ => None,
    };
    if let Some(name) = name.and_then(Value::as_str) {
        headers.push((NAME, encode(name)));
    }
    headers
}
