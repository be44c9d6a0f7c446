//! A modern client of a server behind a real socket, and tools made of a function.

use std::future::Future;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::serve::ListenerExt as _;
use futures::future::BoxFuture;
use reqwest::Response;
use serde_json::{Map, Value, json};

use crate::http::{HttpConfig, router};
use crate::wire::ToolDescription;
use crate::{CallContext, DynTool, Server, SessionOwner, ToolError, ToolReply};

/// Far above what an answer takes.
const SOON: Duration = Duration::from_secs(10);

/// Sends modern requests, and takes each answer as JSON or as a stream.
#[derive(Clone)]
pub(crate) struct Caller {
    url: String,
    client: reqwest::Client,
    user: Option<String>,
    capabilities: Value,
    meta: Map<String, Value>,
}

impl Caller {
    /// A client that can everything, of nobody in particular.
    pub(crate) async fn of(server: &Server) -> Caller {
        let router = router(server.clone(), HttpConfig::default()).layer(from_fn(identify));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/mcp", listener.local_addr().expect("an address"));
        let listener = listener.tap_io(|stream| _ = stream.set_nodelay(true));
        tokio::spawn(async move { axum::serve(listener, router).await });
        _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().timeout(SOON).build().expect("a client");
        let capabilities = json!({
            "elicitation": {"form": {}, "url": {}},
            "sampling": {},
            "roots": {},
            "extensions": {"io.modelcontextprotocol/tasks": {}},
        });
        Caller { url, client, user: None, capabilities, meta: Map::new() }
    }

    /// The same client as somebody ([`SessionOwner`]).
    pub(crate) fn user(&self, name: &str) -> Caller {
        Caller { user: Some(name.to_owned()), ..self.clone() }
    }

    /// The same client with other capabilities.
    pub(crate) fn can(&self, capabilities: Value) -> Caller {
        Caller { capabilities, ..self.clone() }
    }

    /// The same client with a member more in each `_meta`.
    pub(crate) fn saying(&self, key: &str, value: impl Into<Value>) -> Caller {
        let mut caller = self.clone();
        caller.meta.insert(key.to_owned(), value.into());
        caller
    }

    async fn send(&self, method: &str, mut params: Value) -> Response {
        static NEXT: AtomicI64 = AtomicI64::new(1);
        for (key, value) in &self.meta {
            params["_meta"][key] = value.clone();
        }
        params["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!("2026-07-28");
        params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = self.capabilities.clone();
        let name = ["name", "uri", "taskId"].into_iter().find_map(|member| params[member].as_str());
        let mut request = self
            .client
            .post(&self.url)
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream")
            .header("mcp-protocol-version", "2026-07-28")
            .header("mcp-method", method);
        if let Some(name) = name {
            request = request.header("mcp-name", name);
        }
        if let Some(user) = &self.user {
            request = request.header("x-user", user);
        }
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let message = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        request.body(message.to_string()).send().await.expect("an answer")
    }

    /// The messages of the answer; the last one is the answer itself.
    pub(crate) async fn messages(&self, method: &str, params: Value) -> Vec<Value> {
        messages(self.send(method, params).await).await
    }

    /// The result, where there is one.
    pub(crate) async fn ask(&self, method: &str, params: Value) -> Value {
        result(self.messages(method, params).await)
    }

    /// The error, where there is one.
    pub(crate) async fn refused(&self, method: &str, params: Value) -> Value {
        error(self.messages(method, params).await)
    }

    /// The code of the error, where there is one.
    pub(crate) async fn code(&self, method: &str, params: Value) -> i64 {
        self.refused(method, params).await["code"].as_i64().expect("a code")
    }

    /// The result of a tool.
    pub(crate) async fn call(&self, tool: &str, arguments: Value) -> Value {
        self.ask("tools/call", json!({"name": tool, "arguments": arguments})).await
    }

    /// Opens `subscriptions/listen`.
    pub(crate) async fn listen(&self, notifications: Value) -> Listening {
        let response = self.send("subscriptions/listen", json!({"notifications": notifications})).await;
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Listening { response, text: String::new() }
    }
}

/// An open subscription.
pub(crate) struct Listening {
    response: Response,
    text: String,
}

impl Listening {
    /// The next message; panics when none comes.
    pub(crate) async fn next(&mut self) -> Value {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let data = event.lines().find_map(|line| line.strip_prefix("data: "));
                let message = data.map(|data| serde_json::from_str(data).expect("JSON"));
                self.text = rest.to_owned();
                match message {
                    Some(message) => return message,
                    None => continue,
                }
            }
            let chunk = self.response.chunk().await.expect("a message in time").expect("an open stream");
            self.text.push_str(std::str::from_utf8(&chunk).expect("text"));
        }
    }
}

/// Who calls is what they say: enough for a test.
async fn identify(mut request: Request, next: Next) -> axum::response::Response {
    if let Some(user) = request.headers().get("x-user") {
        let owner = SessionOwner(user.to_str().expect("ASCII").to_owned());
        request.extensions_mut().insert(owner);
    }
    next.run(request).await
}

async fn messages(response: Response) -> Vec<Value> {
    if response.headers()["content-type"] == "application/json" {
        return vec![response.json().await.expect("JSON")];
    }
    let text = response.text().await.expect("the stream ends");
    let data = text.lines().filter_map(|line| line.strip_prefix("data: ")).filter(|data| !data.is_empty());
    data.map(|data| serde_json::from_str(data).expect("JSON")).collect()
}

fn result(mut messages: Vec<Value>) -> Value {
    let mut answer = messages.pop().expect("an answer");
    assert!(answer.get("result").is_some(), "no result: {answer}");
    answer["result"].take()
}

fn error(mut messages: Vec<Value>) -> Value {
    let mut answer = messages.pop().expect("an answer");
    assert!(answer.get("error").is_some(), "no error: {answer}");
    answer["error"].take()
}

/// A tool made of a function; it takes any arguments.
pub(crate) struct FnTool {
    name: &'static str,
    run: Box<Run>,
}

type Reply = Result<ToolReply<Value>, ToolError>;
type Run = dyn Fn(CallContext, Map<String, Value>) -> BoxFuture<'static, Reply> + Send + Sync;

impl FnTool {
    pub(crate) fn new<F, R>(name: &'static str, run: F) -> FnTool
    where
        F: Fn(CallContext, Map<String, Value>) -> R + Send + Sync + 'static,
        R: Future<Output = Reply> + Send + 'static,
    {
        FnTool { name, run: Box::new(move |cx, arguments| Box::pin(run(cx, arguments))) }
    }
}

#[async_trait]
impl DynTool for FnTool {
    fn description(&self) -> ToolDescription {
        ToolDescription {
            name: self.name.to_owned(),
            input_schema: json!({"type": "object"}),
            ..ToolDescription::default()
        }
    }

    async fn call(&self, cx: CallContext, arguments: Map<String, Value>) -> Reply {
        (self.run)(cx, arguments).await
    }
}
