//! Talking to the server, over a connection and over HTTP, and checking every message that comes back.

use std::collections::HashMap;
use std::time::Duration;

use axum::body::Body;
use http::{HeaderName, HeaderValue, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use mcp_protocol::http::{HttpConfig, router};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::checker::{Asked, Revision, finding};
use crate::server::server;

/// Far above what any of it takes; a hang is what is meant.
const HANG: Duration = Duration::from_secs(20);

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// What a line asks, if it is a request whose answer can be told by its id. A request that doesn't say its revision is in
/// the one that its connection has settled last, so either will do.
fn asked(line: &[u8]) -> Option<(String, Vec<Asked>)> {
    let message: Value = serde_json::from_slice(line).ok()?;
    let id = message.get("id")?.to_string();
    let method = message.get("method")?.as_str()?;
    let meta = message.pointer("/params/_meta/io.modelcontextprotocol~1protocolVersion");
    let revisions: &[Revision] = if meta.is_some_and(Value::is_string) {
        &[Revision::July2026]
    } else {
        &[Revision::November2025, Revision::June2025]
    };
    let asked = revisions.iter().map(|revision| Asked { revision: *revision, method: method.to_owned() });
    Some((id, asked.collect()))
}

fn opening(revision: Revision) -> Vec<u8> {
    let capabilities = json!({"elicitation": {}, "roots": {}});
    let params = json!({
        "protocolVersion": revision.date(), "capabilities": capabilities, "clientInfo": {"name": "x", "version": "1"},
    });
    json!({"jsonrpc": "2.0", "id": "opening", "method": "initialize", "params": params})
        .to_string()
        .into_bytes()
}

/// Sends the lines over one connection and checks every message that comes back.
pub fn converse(lines: &[Vec<u8>], legacy: Option<Revision>) -> Result<Vec<Value>, String> {
    let mut sent: Vec<Vec<u8>> = legacy.map(opening).into_iter().collect();
    sent.extend(lines.iter().cloned());
    let mut output = Vec::new();
    let input = sent.join(&b'\n');
    let served = runtime()
        .block_on(async { tokio::time::timeout(HANG, server().serve_stdio(&input[..], &mut output)).await });
    if !matches!(served, Ok(Ok(()))) {
        return Err(format!("the server hangs or fails: {served:?}"));
    }
    let revision = legacy.unwrap_or(Revision::July2026);
    let mut answers = Vec::new();
    let mut asks: HashMap<String, Vec<Asked>> = HashMap::new();
    for (id, asked) in sent.iter().filter_map(|line| asked(line)) {
        asks.entry(id).or_default().extend(asked);
    }
    for answer in output.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let answer: Value = serde_json::from_slice(answer).map_err(|error| error.to_string())?;
        let candidates = answer.get("id").and_then(|id| asks.get(&id.to_string()));
        check(&answer, revision, candidates.map(Vec::as_slice).unwrap_or_default())?;
        answers.push(answer);
    }
    Ok(answers)
}

/// Ids may be used twice; the answer has to fit one of the requests that had this one.
fn check(answer: &Value, revision: Revision, asks: &[Asked]) -> Result<(), String> {
    // On a connection of both eras a notification may belong to either.
    let eras = [revision, Revision::July2026, Revision::November2025];
    let findings: Vec<_> = if asks.is_empty() {
        eras.iter().filter_map(|era| finding(answer, *era, None)).collect()
    } else {
        asks.iter().filter_map(|asked| finding(answer, asked.revision, Some(asked))).collect()
    };
    let tried = if asks.is_empty() { eras.len() } else { asks.len() };
    if findings.len() < tried { Ok(()) } else { Err(format!("{answer} is forbidden: {findings:?}")) }
}

/// One POST, and the check of what comes back.
pub fn exchange(headers: &[(String, String)], body: &[u8]) -> Result<StatusCode, String> {
    let answered = runtime().block_on(async { tokio::time::timeout(HANG, post(headers, body)).await });
    let (status, messages) = answered.map_err(|_| "the server hangs".to_owned())?;
    if status.is_server_error() && status != StatusCode::SERVICE_UNAVAILABLE {
        return Err(format!("the answer has status {status}"));
    }
    let asked = asked(body);
    for message in messages {
        let own = message.get("id").map(Value::to_string);
        let asks = asked.as_ref().filter(|(id, _)| own.as_ref() == Some(id));
        check(&message, Revision::July2026, asks.map(|(_, asks)| asks.as_slice()).unwrap_or_default())?;
    }
    Ok(status)
}

/// One POST; its status, and the messages of its body as far as they come at once.
async fn post(headers: &[(String, String)], body: &[u8]) -> (StatusCode, Vec<Value>) {
    let mut request = Request::post("/mcp").header(header::HOST, "localhost");
    for (name, value) in headers {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_bytes(value.as_bytes()))
        {
            request = request.header(name, value);
        }
    }
    let request = request.body(Body::from(body.to_vec())).unwrap();
    let response = router(server(), HttpConfig::default()).oneshot(request).await.unwrap();
    let status = response.status();
    let is_stream =
        response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == "text/event-stream");
    if !is_stream {
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let messages =
            if body.is_empty() { Vec::new() } else { vec![serde_json::from_slice(&body).unwrap()] };
        return (status, messages);
    }
    // A subscription stays open: what comes first is enough.
    let mut body = response.into_body();
    let mut text = String::new();
    while text.len() < 4096
        && let Ok(Some(Ok(frame))) = tokio::time::timeout(Duration::from_millis(5), body.frame()).await
    {
        text.push_str(&String::from_utf8_lossy(frame.data_ref().unwrap()));
    }
    let data = text.lines().filter_map(|line| line.strip_prefix("data: ")).filter(|data| !data.is_empty());
    (status, data.map(|data| serde_json::from_str(data).unwrap()).collect())
}
