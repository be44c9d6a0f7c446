//! MCP over HTTP without a client library, in both eras: what is on the wire is what is looked at.

use anyhow::{Context as _, Result};
use reqwest::header::HeaderMap;
use serde_json::{Value, json};

use crate::client::http;
use crate::wait::LONG;

/// The stateless revision.
pub const MODERN: &str = "2026-07-28";
/// The newest revision with sessions.
pub const LEGACY: &str = "2025-11-25";

/// A client that writes its requests itself.
#[derive(Clone, Debug)]
pub struct Raw {
    http: reqwest::Client,
    url: String,
    headers: Vec<(String, String)>,
}

/// An answer with what HTTP says of it.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The messages: one for a JSON body, all events of a stream.
    pub messages: Vec<Value>,
}

impl Answer {
    /// The last message, which is the response.
    pub fn response(&self) -> Result<&Value> {
        self.messages.last().with_context(|| format!("HTTP {} has no message", self.status))
    }

    /// The result of the response.
    pub fn result(&self) -> Result<&Value> {
        let response = self.response()?;
        response.get("result").with_context(|| format!("no result: {response}"))
    }

    /// A header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

impl Raw {
    /// Talks to this MCP endpoint.
    pub fn new(url: &str) -> Result<Raw> {
        Ok(Raw { http: http()?, url: url.to_owned(), headers: Vec::new() })
    }

    /// With this header on every request.
    pub fn header(mut self, name: &str, value: &str) -> Raw {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A modern request, with its headers and `_meta`.
    pub async fn modern(&self, method: &str, mut params: Value) -> Result<Answer> {
        params["_meta"]["io.modelcontextprotocol/protocolVersion"] = MODERN.into();
        params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = json!({});
        params["_meta"]["io.modelcontextprotocol/clientInfo"] = json!({"name": "raw", "version": "1"});
        let mut headers =
            vec![("MCP-Protocol-Version", MODERN.to_owned()), ("Mcp-Method", method.to_owned())];
        if let Some(name) = ["name", "uri", "taskId"].iter().find_map(|member| params[*member].as_str()) {
            headers.push(("Mcp-Name", name.to_owned()));
        }
        self.post(&json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}), &headers).await
    }

    /// Opens a session of the legacy era and gives its id.
    pub async fn initialize(&self) -> Result<(Answer, String)> {
        let params = json!({
            "protocolVersion": LEGACY, "capabilities": {}, "clientInfo": {"name": "raw", "version": "1"},
        });
        let request = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params});
        let answer = self.post(&request, &[]).await?;
        let session = answer.header("mcp-session-id").context("initialize gives no session")?.to_owned();
        let ready = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        self.post(&ready, &session_headers(&session)).await?;
        Ok((answer, session))
    }

    /// A request in a session of the legacy era.
    pub async fn legacy(&self, session: &str, method: &str, params: Value) -> Result<Answer> {
        let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        self.post(&request, &session_headers(session)).await
    }

    /// Any message.
    pub async fn post(&self, message: &Value, headers: &[(&str, String)]) -> Result<Answer> {
        let mut request = self.http.post(&self.url).timeout(LONG);
        request = request.header("Accept", "application/json, text/event-stream").json(message);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response.text().await?;
        let stream =
            headers.get("content-type").is_some_and(|kind| kind.as_bytes().starts_with(b"text/event"));
        let messages = if stream { events(&body)? } else { whole(&body)? };
        Ok(Answer { status, headers, messages })
    }
}

fn session_headers(session: &str) -> [(&'static str, String); 2] {
    [("MCP-Protocol-Version", LEGACY.to_owned()), ("Mcp-Session-Id", session.to_owned())]
}

fn whole(body: &str) -> Result<Vec<Value>> {
    if body.is_empty() {
        return Ok(Vec::new());
    }
    Ok(vec![serde_json::from_str(body).with_context(|| format!("not JSON: {body}"))?])
}

fn events(body: &str) -> Result<Vec<Value>> {
    let data = body.lines().filter_map(|line| line.strip_prefix("data:")).map(str::trim);
    let filled = data.filter(|data| !data.is_empty());
    filled.map(|data| serde_json::from_str(data).with_context(|| format!("not JSON: {data}"))).collect()
}
