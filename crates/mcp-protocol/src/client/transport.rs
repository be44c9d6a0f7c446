//! One call over any transport: its parameters, its `_meta`, its time.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::error::ClientError;
use super::headers::{METHOD, NAME, encode};
use super::http::{HttpTransport, Outgoing};
use super::incoming::Incoming;
use super::options::OnProgress;
use super::stream::StreamTransport;
use crate::wire::{
    Era, Implementation, LogLevel, ProtocolVersion, RequestId, RequestMeta, notification, request,
};

/// Where the messages go.
#[derive(Debug)]
pub(super) enum Transport {
    Http(HttpTransport),
    Stream(StreamTransport),
}

/// Who calls, as requests say it.
#[derive(Debug)]
pub(super) struct Caller {
    pub(super) info: Implementation,
    /// An object.
    pub(super) capabilities: Value,
    /// The lowest level of log message that is wanted, once that was said.
    log_level: Mutex<Option<LogLevel>>,
}

/// A call before it is a message.
pub(super) struct Call<'a> {
    pub(super) method: &'a str,
    pub(super) params: Map<String, Value>,
    /// Headers of a modern HTTP request beside the standard ones.
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) timeout: Duration,
    /// Of a modern call, instead of the caller's.
    pub(super) log_level: Option<LogLevel>,
}

impl<'a> Call<'a> {
    /// A call with no more than method and parameters.
    pub(super) fn new(method: &'a str, params: Map<String, Value>) -> Call<'a> {
        Call { method, params, headers: Vec::new(), timeout: Duration::from_mins(1), log_level: None }
    }
}

impl Caller {
    pub(super) fn new(info: Implementation, capabilities: Value) -> Caller {
        Caller { info, capabilities, log_level: Mutex::default() }
    }

    pub(super) fn log_level(&self) -> Option<LogLevel> {
        *self.log_level.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_log_level(&self, level: LogLevel) {
        *self.log_level.lock().unwrap_or_else(PoisonError::into_inner) = Some(level);
    }

    fn meta(&self, call: &Call<'_>, version: ProtocolVersion, token: Option<RequestId>) -> RequestMeta {
        let modern = version.era() == Era::Modern;
        let log_level = call.log_level.or_else(|| self.log_level()).filter(|_| modern);
        RequestMeta {
            protocol_version: modern.then(|| version.as_str().to_owned()),
            client_info: modern.then(|| self.info.clone()),
            client_capabilities: modern.then(|| self.capabilities.clone()),
            log_level: log_level.map(|level| level.as_str().to_owned()),
            progress_token: token,
        }
    }
}

impl Transport {
    /// Sends the call in the given revision and reads its result.
    pub(super) async fn call(
        &self,
        call: &Call<'_>,
        version: ProtocolVersion,
        caller: &Caller,
        on_progress: &mut Option<OnProgress>,
    ) -> Result<Box<RawValue>, ClientError> {
        self.call_as(next_id(), call, version, caller, on_progress).await
    }

    /// The same under an id that the caller has drawn.
    pub(super) async fn call_as(
        &self,
        id: i64,
        call: &Call<'_>,
        version: ProtocolVersion,
        caller: &Caller,
        on_progress: &mut Option<OnProgress>,
    ) -> Result<Box<RawValue>, ClientError> {
        let token = on_progress.as_ref().map(|_| RequestId::Number(id));
        let body = body(id, call, &caller.meta(call, version, token))?;
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
        in_time(call.method, call.timeout, self.incoming(), answer).await
    }

    /// The result as the type that the method has.
    pub(super) async fn typed<T: DeserializeOwned>(
        &self,
        call: &Call<'_>,
        version: ProtocolVersion,
        caller: &Caller,
    ) -> Result<T, ClientError> {
        let result = self.call(call, version, caller, &mut None).await?;
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

    /// Where all goes that is no answer.
    pub(super) fn incoming(&self) -> &Incoming {
        match self {
            Transport::Http(http) => &http.incoming,
            Transport::Stream(stream) => stream.incoming(),
        }
    }

    /// The legacy session over HTTP.
    pub(super) fn session(&self) -> Option<HeaderValue> {
        match self {
            Transport::Http(http) => http.session(),
            Transport::Stream(_) => None,
        }
    }

    /// Ends the session, and waits for the end of a started server.
    pub(super) async fn close(&self, version: ProtocolVersion) {
        match self {
            Transport::Http(http) => http.close(version).await,
            Transport::Stream(stream) => stream.close().await,
        }
    }
}

/// Waits for an answer as long as it may take. While somebody is busy with a question of the server the answer isn't
/// late.
pub(super) async fn in_time<T>(
    method: &str,
    timeout: Duration,
    incoming: &Incoming,
    answer: impl Future<Output = Result<T, ClientError>>,
) -> Result<T, ClientError> {
    let mut answer = std::pin::pin!(answer);
    loop {
        match tokio::time::timeout(timeout, &mut answer).await {
            Ok(answer) => return answer,
            Err(_) if incoming.is_answering() => {}
            Err(_) => return Err(ClientError::Timeout { method: method.to_owned(), after: timeout }),
        }
    }
}

/// A result as the type that the method has.
pub(super) fn typed<T: DeserializeOwned>(method: &str, result: &RawValue) -> Result<T, ClientError> {
    serde_json::from_str(result.get()).map_err(|error| ClientError::protocol(method, error.to_string()))
}

/// The parameters of a method, whose type is an object.
pub(super) fn object<P: Serialize>(params: &P) -> Map<String, Value> {
    match serde_json::to_value(params) {
        Ok(Value::Object(object)) => object,
        _ => Map::new(),
    }
}

/// Ids are unique in this process, so that one that turns up late is never taken for another's.
pub(super) fn next_id() -> i64 {
    static NEXT: AtomicI64 = AtomicI64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
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

/// 2026-07-28, basic/transports/streamable-http; for tasks the extension's "Routing Headers".
fn standard_headers(call: &Call<'_>) -> Vec<(HeaderName, HeaderValue)> {
    let mut headers = vec![(METHOD, encode(call.method))];
    let name = match call.method {
        "tools/call" | "prompts/get" => call.params.get("name"),
        "resources/read" => call.params.get("uri"),
        "tasks/get" | "tasks/update" | "tasks/cancel" => call.params.get("taskId"),
        _ => None,
    };
    if let Some(name) = name.and_then(Value::as_str) {
        headers.push((NAME, encode(name)));
    }
    headers
}
