//! A gateway without ComfyUI: the real MCP server, with tools that do as each test says.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use mcp_protocol::http::HttpConfig;
use mcp_protocol::wire::{Content, ToolDescription};
use mcp_protocol::{CallContext, DynTool, Server, ServerInfo, ToolError, ToolReply};
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

/// The smallest file that passes for a PNG here.
pub(crate) const PNG: &[u8] = b"\x89PNG\r\n\x1a\nimage";

/// How the job of `generate_image` goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Succeeds,
    Fails,
    IsCancelled,
    /// It is never over.
    Endless,
}

/// A gateway for one test.
pub(crate) struct Gateway {
    pub(crate) url: String,
    pub(crate) state: Arc<Play>,
}

/// What the test says, and what was asked.
pub(crate) struct Play {
    pub(crate) fate: Fate,
    /// The next requests are answered with this status, so many times.
    pub(crate) trouble: Mutex<Option<(StatusCode, u32)>>,
    /// Artifacts are not to be had over HTTP.
    pub(crate) door_is_shut: bool,
    /// So many downloads are answered with 429 and this `Retry-After`.
    pub(crate) limited_downloads: Mutex<(u32, &'static str)>,
    /// So many calls of `wait_for_job` are told that there were too many.
    pub(crate) limited_waits: AtomicU32,
    pub(crate) key: Option<&'static str>,
    pub(crate) waits: AtomicU32,
    pub(crate) calls: Mutex<Vec<(String, Value)>>,
    pub(crate) called: watch::Sender<usize>,
}

impl Play {
    pub(crate) fn new(fate: Fate) -> Play {
        Play {
            fate,
            trouble: Mutex::default(),
            door_is_shut: false,
            limited_downloads: Mutex::new((0, "")),
            limited_waits: AtomicU32::new(0),
            key: None,
            waits: AtomicU32::new(0),
            calls: Mutex::default(),
            called: watch::channel(0).0,
        }
    }

    pub(crate) fn calls_of(&self, tool: &str) -> Vec<Value> {
        let calls = self.calls.lock().unwrap();
        calls.iter().filter(|(name, _)| name == tool).map(|(_, arguments)| arguments.clone()).collect()
    }

    /// Waits until a tool was called so often.
    pub(crate) async fn called(&self, tool: &str, times: usize) {
        let mut called = self.called.subscribe();
        while self.calls_of(tool).len() < times {
            called.changed().await.unwrap();
        }
    }

    fn job(state: &str) -> Value {
        let mut job = json!({
            "id": "job-1", "state": state, "tool": "generate_image", "workflow": "txt2img", "priority": 0,
            "position": null, "progress": null, "message": null, "created_at": "2026-01-02T03:04:05Z",
            "started_at": null, "finished_at": null, "attempt": 0, "seed": u64::MAX, "error": null, "artifacts": [],
        });
        match state {
            "queued" => job["position"] = json!(2),
            "succeeded" => {
                job["warnings"] = json!(["the width 500 becomes 496"]);
                job["started_at"] = json!("2026-01-02T03:04:06Z");
                job["finished_at"] = json!("2026-01-02T03:04:07.5Z");
                job["artifacts"] = json!(["a1", "a2"].map(|id| json!({
                    "id": id, "uri": format!("comfy://artifacts/{id}"), "url": format!("/artifacts/{id}"),
                    "media_type": "image/png", "width": 8, "height": 8, "bytes": PNG.len(),
                    "file_name": format!("{id}.png"),
                })));
            }
            "failed" => {
                job["error"] = json!({"code": "node_failed", "message": "out of memory", "remedy": "use a smaller size"});
            }
            _ => {}
        }
        json!({"job": job, "next": null})
    }

    async fn answer(
        &self,
        tool: &str,
        cx: &CallContext,
        arguments: &Map<String, Value>,
    ) -> Result<Value, ToolError> {
        match tool {
            "generate_image" if arguments["prompt"] == "forbidden" => {
                let data = json!({"field": "model", "nearest": ["b.safetensors"]});
                Err(ToolError::new("unknown_name", "model: there is no `a` here")
                    .remedy("call list_models")
                    .data(data))
            }
            "run_workflow" if arguments["parameters"]["name"] == 42 => {
                let text = "name takes a string, not a number";
                Err(ToolError::new("invalid_arguments", text).data(json!({"field": "name"})))
            }
            "generate_image" => Ok(Play::job("queued")),
            "cancel_job" => Ok(Play::job("cancelled")),
            "wait_for_job" if take_one(&self.limited_waits) => {
                Err(ToolError::new("rate_limited", "too many requests").data(json!({"retryAfterMs": 1})))
            }
            "wait_for_job" if arguments["wait_seconds"] == 0 => Ok(Play::job("queued")),
            "wait_for_job" => match (self.waits.fetch_add(1, Ordering::Relaxed), self.fate) {
                (0, _) => {
                    for percent in [25.0, 50.0] {
                        cx.progress(percent, Some(100.0), Some("sampling"));
                        tokio::task::yield_now().await;
                    }
                    Ok(Play::job("running"))
                }
                (_, Fate::Succeeds) => Ok(Play::job("succeeded")),
                (_, Fate::Fails) => Ok(Play::job("failed")),
                (_, Fate::IsCancelled) => Ok(Play::job("cancelled")),
                (_, Fate::Endless) => std::future::pending().await,
            },
            "list_models" => Ok(json!({"models": {"checkpoints": ["m.safetensors"], "loras": []}})),
            _ => Ok(json!({"asked": arguments})),
        }
    }
}

impl Gateway {
    pub(crate) async fn start(play: Play) -> Gateway {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let state = Arc::new(play);
        let mut server = Server::builder(ServerInfo {
            name: "play".to_owned(),
            version: "1".to_owned(),
            ..ServerInfo::default()
        });
        for name in [
            "generate_image",
            "img2img",
            "inpaint",
            "wait_for_job",
            "get_job_status",
            "cancel_job",
            "list_models",
            "get_image",
            "run_workflow",
        ] {
            server = server.dyn_tool(PlayTool { name, play: Arc::clone(&state) });
        }
        let config = HttpConfig { websocket_path: Some("/ws".to_owned()), ..HttpConfig::default() };
        let app = mcp_protocol::http::router(server.build().unwrap(), config)
            .merge(
                Router::new()
                    .route("/artifacts/{id}", axum::routing::get(artifact))
                    .with_state(Arc::clone(&state)),
            )
            .layer(axum::middleware::from_fn_with_state(Arc::clone(&state), at_the_door));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/mcp", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Gateway { url, state }
    }
}

async fn at_the_door(State(play): State<Arc<Play>>, request: Request, next: Next) -> Response {
    if let Some(key) = play.key
        && bearer(request.headers()) != Some(key)
    {
        return (StatusCode::UNAUTHORIZED, "who are you?").into_response();
    }
    let trouble = *play.trouble.lock().unwrap();
    if let Some((status, left @ 1..)) = trouble {
        *play.trouble.lock().unwrap() = Some((status, left - 1));
        return (status, [("retry-after", "3")], "trouble").into_response();
    }
    next.run(request).await
}

fn take_one(left: &AtomicU32) -> bool {
    left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get("authorization")?.to_str().ok()?.strip_prefix("Bearer ")
}

async fn artifact(State(play): State<Arc<Play>>, Path(id): Path<String>) -> Response {
    {
        let mut limited = play.limited_downloads.lock().unwrap();
        if let (left @ 1.., retry_after) = *limited {
            limited.0 = left - 1;
            return (StatusCode::TOO_MANY_REQUESTS, [("retry-after", retry_after)]).into_response();
        }
    }
    let known: HashMap<&str, &[u8]> = HashMap::from([("a1", PNG), ("a2", PNG), ("cut", &PNG[..3])]);
    match known.get(id.as_str()) {
        Some(bytes) if !play.door_is_shut => bytes.to_vec().into_response(),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

struct PlayTool {
    name: &'static str,
    play: Arc<Play>,
}

#[async_trait]
impl DynTool for PlayTool {
    fn description(&self) -> ToolDescription {
        ToolDescription {
            name: self.name.to_owned(),
            input_schema: json!({"type": "object"}),
            // Where there is one, errors stand in another place of the result than without.
            output_schema: (self.name == "generate_image")
                .then(|| json!({"type": "object", "required": ["job"]})),
            ..ToolDescription::default()
        }
    }

    async fn call(
        &self,
        cx: CallContext,
        arguments: Map<String, Value>,
    ) -> Result<ToolReply<Value>, ToolError> {
        self.play.calls.lock().unwrap().push((self.name.to_owned(), Value::Object(arguments.clone())));
        self.play.called.send_modify(|count| *count += 1);
        if self.name == "get_image" {
            let content = vec![Content::image(PNG, "image/png")];
            return Ok(ToolReply::with_content(json!({"media_type": "image/png"}), content));
        }
        self.play.answer(self.name, &cx, &arguments).await.map(ToolReply::from)
    }
}
