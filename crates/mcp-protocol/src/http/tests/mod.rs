mod flood;
mod junk;
mod legacy;
mod listen;
mod modern;
mod puppet;
mod questions;
mod refusals;
mod restart;
mod resume;
mod slow;
mod sse;
mod standalone;
mod streams;

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use reqwest::{RequestBuilder, Response};
use serde_json::{Value, json};

use super::{HttpConfig, Listener, PeerAddress, StreamLimits, router, serve};
use crate::Server;

/// Names and values.
type Headers<'a> = &'a [(&'a str, &'a str)];

/// A server behind a real socket, and a client for it.
struct Web {
    url: String,
    client: reqwest::Client,
}

impl Web {
    async fn start(server: Server) -> Web {
        Web::with(router(server, HttpConfig::default())).await
    }

    async fn with(router: Router) -> Web {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let web = Web::at(listener.local_addr().expect("an address"));
        tokio::spawn(serve(listener, router, std::future::pending()));
        web
    }

    fn at(address: SocketAddr) -> Web {
        _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().timeout(Duration::from_secs(5)).build().expect("a client");
        Web { url: format!("http://{address}/mcp"), client }
    }

    /// For a connection of the test's own.
    fn address(&self) -> &str {
        self.url.trim_start_matches("http://").trim_end_matches("/mcp")
    }

    fn post(&self, body: &Value) -> RequestBuilder {
        self.client
            .post(&self.url)
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream")
            .body(body.to_string())
    }

    /// A modern request with the headers that go with it.
    fn modern(&self, method: &str, params: Value) -> RequestBuilder {
        let name = params["name"].as_str().map(str::to_owned);
        let request = self
            .post(&modern(method, params))
            .header("mcp-protocol-version", "2026-07-28")
            .header("mcp-method", method);
        match name {
            Some(name) => request.header("mcp-name", name),
            None => request,
        }
    }

    /// Opens a legacy session; its id.
    async fn initialize(&self, version: &str) -> String {
        let response = self.post(&initialize(version)).send().await.expect("an answer");
        assert_eq!(response.status(), 200);
        response.headers()["mcp-session-id"].to_str().expect("ASCII").to_owned()
    }

    fn legacy(&self, session: &str, body: &Value) -> RequestBuilder {
        self.post(body).header("mcp-session-id", session).header("mcp-protocol-version", "2025-11-25")
    }

    /// GET of a session's stream, as a client opens it.
    fn get(&self, session: &str) -> RequestBuilder {
        self.client
            .get(&self.url)
            .header("accept", "text/event-stream")
            .header("mcp-session-id", session)
            .header("mcp-protocol-version", "2025-11-25")
    }

    /// GET of the rest of a stream.
    fn get_after(&self, session: &str, event: &str) -> RequestBuilder {
        self.get(session).header("last-event-id", event)
    }

    async fn end(&self, session: &str) {
        let end = self.client.delete(&self.url).header("mcp-session-id", session);
        assert_eq!(end.send().await.expect("an answer").status(), 204);
    }
}

fn modern(method: &str, mut params: Value) -> Value {
    params["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!("2026-07-28");
    params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = json!({});
    params["_meta"]["io.modelcontextprotocol/clientInfo"] = json!({"name": "c", "version": "1"});
    json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
}

fn initialize(version: &str) -> Value {
    let params =
        json!({"protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "c", "version": "1"}});
    json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params})
}

fn call(id: i64, tool: &str, arguments: &Value) -> Value {
    let meta = json!({"progressToken": id});
    let params = json!({"name": tool, "arguments": arguments, "_meta": meta});
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params})
}

async fn body(response: Response) -> Value {
    assert_eq!(response.headers()["content-type"], "application/json");
    response.json().await.expect("JSON")
}

/// The messages of a stream that has ended.
async fn events(response: Response) -> Vec<Value> {
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    assert_eq!(response.headers()["x-accel-buffering"], "no");
    let text = response.text().await.expect("the stream ends");
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    data.map(|data| serde_json::from_str(data).expect("JSON")).collect()
}
