//! A scripted ComfyUI: it replays a recorded run over real sockets, and misbehaves on request.

use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, Mutex, MutexGuard},
};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{
        Query, Request, State, WebSocketUpgrade,
        ws::{Message, WebSocket},
    },
    http::{HeaderMap, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::any,
};
use futures::stream;
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    sync::{Notify, mpsc, watch},
    task::AbortHandle,
};
use url::Url;
use workflow_analyzer::Graph;

use super::link::Link;
use crate::{ComfyClient, ComfyConfig};

/// What happens to a prompt, in order.
#[derive(Clone)]
pub(super) enum Step {
    /// It leaves the pending ones, unless it was deleted: then the script is over.
    Start,
    /// `$PROMPT` is its id.
    Text(Value),
    Binary(Bytes),
    /// It leaves the running ones, and the history has it.
    History,
    /// Until the test says go on.
    Hold(Arc<Notify>),
    /// Until somebody interrupts it.
    UntilInterrupted,
    /// The sockets stay open, and nothing more is sent.
    Mute,
    /// The sockets are closed.
    DropSockets,
    /// The sockets stay open, and only those that are opened from now on are heard of.
    Deafen,
    /// Until this many sockets have been opened in all.
    UntilSockets(usize),
}

/// A recorded run.
#[derive(Clone)]
pub(super) struct Recording {
    pub(super) graph: Graph,
    history: Value,
    pub(super) steps: Vec<Step>,
}

impl Recording {
    /// The history comes as late as it was ever seen to: just before `executing null`.
    pub(super) fn read(name: &str) -> Self {
        let recording: Value = serde_json::from_slice(&fixture(&format!("runs/{name}.json"))).unwrap();
        let mut steps = Vec::new();
        for event in recording["events"].as_array().unwrap() {
            if let Some(file) = event["binary"].as_str() {
                steps.push(Step::Binary(fixture(&format!("binary/{file}")).into()));
                continue;
            }
            let text = &event["text"];
            match text["type"].as_str() {
                Some("execution_start") => steps.push(Step::Start),
                Some("execution_interrupted") => steps.push(Step::UntilInterrupted),
                Some("executing") if text["data"]["node"].is_null() => steps.push(Step::History),
                _ => {}
            }
            steps.push(Step::Text(text.clone()));
        }
        let graph = Graph::from_json(&recording["graph"]).unwrap();
        Self { graph, history: recording["history"].clone(), steps }
    }

    /// Where the first message of a kind is.
    pub(super) fn position(&self, kind: &str) -> usize {
        let is_it = |step: &Step| matches!(step, Step::Text(text) if text["type"] == kind);
        self.steps.iter().position(is_it).unwrap()
    }

    pub(super) fn insert(mut self, at: usize, step: Step) -> Self {
        self.steps.insert(at, step);
        self
    }
}

/// What becomes of the next `POST /prompt`.
#[derive(Clone, Copy, Default, PartialEq)]
pub(super) enum Submission {
    #[default]
    Normal,
    /// Taken; the answer breaks off.
    AnswerLost,
    /// Taken; the answer never comes.
    AnswerStuck,
    /// Not taken; the answer breaks off.
    Dropped,
}

#[derive(Default)]
pub(super) struct Inner {
    script: Option<Recording>,
    sockets: HashMap<String, mpsc::UnboundedSender<Message>>,
    deaf: Vec<mpsc::UnboundedSender<Message>>,
    players: Vec<AbortHandle>,
    pub(super) running: Vec<Value>,
    pub(super) pending: Vec<Value>,
    pub(super) history: HashMap<String, Value>,
    pub(super) submission: Submission,
    /// Instead of what would be answered: status, media type, body, by method and path.
    pub(super) answers: HashMap<String, (u16, &'static str, Vec<u8>)>,
    /// This many interrupts do nothing.
    pub(super) lost_interrupts: usize,
    /// Method and path, headers, and body of every request.
    pub(super) requests: Vec<(String, HeaderMap, Bytes)>,
    /// The first message of every socket.
    pub(super) greetings: Vec<String>,
}

pub(super) struct Fake {
    inner: Arc<Mutex<Inner>>,
    interrupted: Arc<Notify>,
    /// How many sockets were opened, and how many are open.
    pub(super) sockets: watch::Sender<(usize, usize)>,
    pub(super) link: Link,
    prefix: &'static str,
}

type Shared = Arc<Fake>;

impl Fake {
    pub(super) async fn start(recording: &str) -> Shared {
        Self::with(Recording::read(recording)).await
    }

    pub(super) async fn with(recording: Recording) -> Shared {
        Self::at("", recording).await
    }

    pub(super) async fn at(prefix: &'static str, recording: Recording) -> Shared {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let link = Link::to(listener.local_addr().unwrap().port()).await;
        let inner = Inner { script: Some(recording), ..Inner::default() };
        let (ready, server) = tokio::sync::oneshot::channel::<Shared>();
        tokio::spawn(async move {
            let fake = server.await.unwrap();
            let router = Router::new().route(&format!("{prefix}/ws"), any(websocket)).fallback(answer);
            axum::serve(listener, router.with_state(fake)).await.unwrap();
        });
        let fake = Arc::new(Self {
            inner: Arc::new(Mutex::new(inner)),
            interrupted: Arc::default(),
            sockets: watch::Sender::default(),
            link,
            prefix,
        });
        assert!(ready.send(Arc::clone(&fake)).is_ok());
        fake
    }

    pub(super) fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    /// A patience that suits tests, at the address of the link.
    pub(super) fn config(&self) -> ComfyConfig {
        let mut config = ComfyConfig::new(self.url());
        config.follow.poll_min = std::time::Duration::from_millis(5);
        config.follow.poll_max = std::time::Duration::from_millis(20);
        config
    }

    /// It looks rarely: what a test asserts comes over the socket.
    pub(super) fn trusting_client(&self) -> ComfyClient {
        let mut config = self.config();
        config.follow.poll_max = config.follow.quiet;
        ComfyClient::new(&config).unwrap()
    }

    pub(super) fn client(&self) -> ComfyClient {
        ComfyClient::new(&self.config()).unwrap()
    }

    pub(super) fn url(&self) -> Url {
        format!("http://127.0.0.1:{}{}", self.link.port, self.prefix).parse().unwrap()
    }

    pub(super) fn answer(
        &self,
        request: &str,
        status: u16,
        media_type: &'static str,
        body: impl Into<Vec<u8>>,
    ) {
        self.inner().answers.insert(request.to_owned(), (status, media_type, body.into()));
    }

    /// Answers `request` as recorded.
    pub(super) fn answer_as(&self, request: &str, name: &str) {
        let recorded: Value = serde_json::from_slice(&fixture(&format!("http/{name}.json"))).unwrap();
        let status = recorded["status"].as_u64().unwrap() as u16;
        match &recorded["body"] {
            Value::String(text) => self.answer(request, status, "text/plain; charset=utf-8", text.as_bytes()),
            json => self.answer(request, status, "application/json; charset=utf-8", json.to_string()),
        }
    }

    /// As after a restart.
    pub(super) fn forget(&self) {
        let mut inner = self.inner();
        inner.players.drain(..).for_each(|player| player.abort());
        inner.running.clear();
        inner.pending.clear();
        inner.history.clear();
        inner.sockets.clear();
    }

    /// Puts a prompt of somebody else into the queue.
    pub(super) fn enqueue(&self, prompt_id: &str, client_id: &str) -> Value {
        let mut inner = self.inner();
        let number = inner.requests.len();
        let item = json!([number, prompt_id, {}, { "client_id": client_id }, ["9"]]);
        inner.pending.push(item.clone());
        item
    }

    /// Plays the script for a prompt that is pending.
    pub(super) fn play(self: &Arc<Self>, prompt_id: &str) {
        let player = tokio::spawn(play(Arc::clone(self), prompt_id.to_owned()));
        self.inner().players.push(player.abort_handle());
    }

    pub(super) fn requested(&self, what: &str) -> usize {
        self.inner().requests.iter().filter(|(request, ..)| request == what).count()
    }
}

async fn play(fake: Shared, prompt_id: String) {
    let Recording { steps, history, .. } = fake.inner().script.clone().unwrap();
    let mut is_mute = false;
    for step in steps {
        match step {
            Step::Start => {
                let mut inner = fake.inner();
                let Some(at) = inner.pending.iter().position(|item| item[1] == *prompt_id) else { return };
                let item = inner.pending.remove(at);
                inner.running.push(item);
            }
            Step::Text(text) if !is_mute => {
                let text = text.to_string().replace("$PROMPT", &prompt_id);
                send(&fake, &prompt_id, &Message::text(text));
            }
            Step::Binary(bytes) if !is_mute => {
                send(&fake, &prompt_id, &Message::Binary(addressed(&bytes, &prompt_id)));
            }
            Step::Text(_) | Step::Binary(_) => {}
            Step::History => {
                let mut inner = fake.inner();
                inner.running.retain(|item| item[1] != *prompt_id);
                let entry = history.to_string().replace("$PROMPT", &prompt_id);
                inner.history.insert(prompt_id.clone(), serde_json::from_str(&entry).unwrap());
            }
            Step::Hold(go_on) => go_on.notified().await,
            Step::UntilInterrupted => fake.interrupted.notified().await,
            Step::Mute => is_mute = true,
            Step::DropSockets => fake.inner().sockets.clear(),
            Step::Deafen => {
                let mut inner = fake.inner();
                let deaf: Vec<_> = inner.sockets.drain().map(|(_, socket)| socket).collect();
                inner.deaf.extend(deaf);
            }
            Step::UntilSockets(count) => {
                let mut sockets = fake.sockets.subscribe();
                let _ = sockets.wait_for(|(opened, _)| *opened >= count).await;
            }
        }
    }
}

/// `status` goes to everyone, all else to the client of the prompt.
fn send(fake: &Fake, prompt_id: &str, message: &Message) {
    let is_status = matches!(message, Message::Text(text) if text.contains(r#""type":"status""#));
    let inner = fake.inner();
    let of_prompt = inner.running.iter().chain(&inner.pending).find(|item| item[1] == *prompt_id);
    let client_id = of_prompt.and_then(|item| item[3]["client_id"].as_str()).unwrap_or(prompt_id);
    for (id, socket) in &inner.sockets {
        if is_status || id == client_id {
            let _ = socket.send(message.clone());
        }
    }
}

/// The recorded preview, as one of this prompt.
fn addressed(frame: &Bytes, prompt_id: &str) -> Bytes {
    const RECORDED: &[u8] = b"c1f2a621-3082-478b-b813-487fb3098d97";
    match frame.windows(RECORDED.len()).position(|window| window == RECORDED) {
        Some(at) => {
            assert_eq!(prompt_id.len(), RECORDED.len(), "the length in the frame would be wrong");
            [&frame[..at], prompt_id.as_bytes(), &frame[at + RECORDED.len()..]].concat().into()
        }
        None => frame.clone(),
    }
}

async fn websocket(
    State(fake): State<Shared>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    fake.inner().requests.push(("GET /ws".to_owned(), headers, Bytes::new()));
    let overridden = fake.inner().answers.get("GET /ws").cloned();
    if let Some((status, media_type, body)) = overridden {
        return plain(status, media_type, body);
    }
    let client_id = query.get("clientId").cloned().unwrap_or_default();
    upgrade.on_upgrade(move |socket| async move {
        serve_socket(&fake, &client_id, socket).await;
        fake.sockets.send_modify(|(_, open)| *open -= 1);
    })
}

async fn serve_socket(fake: &Shared, client_id: &str, mut socket: WebSocket) {
    let (sender, mut outgoing) = mpsc::unbounded_channel();
    fake.inner().sockets.insert(client_id.to_owned(), sender);
    fake.sockets.send_modify(|(opened, open)| {
        *opened += 1;
        *open += 1;
    });
    let hello = json!({ "type": "status", "data": { "status": {}, "sid": client_id } });
    let _ = socket.send(Message::text(hello.to_string())).await;
    let mut is_first = true;
    loop {
        tokio::select! {
            message = outgoing.recv() => match message {
                Some(message) => if socket.send(message).await.is_err() { return },
                None => return,
            },
            message = socket.recv() => match message {
                Some(Ok(Message::Text(text))) => if std::mem::take(&mut is_first) {
                    fake.inner().greetings.push(text.to_string());
                },
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return,
            },
        }
    }
}

async fn answer(State(fake): State<Shared>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Some(path) = parts.uri.path().strip_prefix(fake.prefix).map(str::to_owned) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let body = to_bytes(body, 64 << 20).await.unwrap_or_default();
    let request = format!("{} {path}", parts.method);
    fake.inner().requests.push((request.clone(), parts.headers, body.clone()));
    let overridden = fake.inner().answers.get(&request).cloned();
    if let Some((status, media_type, body)) = overridden {
        return plain(status, media_type, body);
    }
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    match (request.as_str(), path.strip_prefix("/history/")) {
        ("POST /prompt", _) => prompt(&fake, &body).await,
        ("GET /queue", _) => {
            let inner = fake.inner();
            // The newest first: a heap has no order.
            let pending: Vec<_> = inner.pending.iter().rev().collect();
            json_of(&json!({ "queue_running": inner.running, "queue_pending": pending }))
        }
        ("POST /queue", _) => {
            let delete = body["delete"].as_array().cloned().unwrap_or_default();
            fake.inner().pending.retain(|item| !delete.contains(&item[1]));
            StatusCode::OK.into_response()
        }
        ("POST /interrupt", _) => {
            let mut inner = fake.inner();
            if inner.running.iter().any(|item| item[1] == body["prompt_id"]) {
                match inner.lost_interrupts.checked_sub(1) {
                    Some(left) => inner.lost_interrupts = left,
                    None => fake.interrupted.notify_one(),
                }
            }
            StatusCode::OK.into_response()
        }
        (_, Some(id)) => match fake.inner().history.get(id) {
            Some(entry) => json_of(&json!({ id: entry })),
            None => json_of(&json!({})),
        },
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn prompt(fake: &Shared, body: &Value) -> Response {
    let submission = std::mem::take(&mut fake.inner().submission);
    let prompt_id = body["prompt_id"].as_str().unwrap().to_owned();
    if submission != Submission::Dropped {
        let mut extra_data = body["extra_data"].as_object().cloned().unwrap_or_default();
        extra_data.insert("client_id".to_owned(), body["client_id"].clone());
        let item = json!([7, prompt_id, body["prompt"], extra_data, ["9"]]);
        fake.inner().pending.push(item);
        fake.play(&prompt_id);
    }
    match submission {
        Submission::Normal => json_of(&json!({ "prompt_id": prompt_id, "number": 7, "node_errors": {} })),
        Submission::AnswerStuck => std::future::pending().await,
        Submission::AnswerLost | Submission::Dropped => {
            let broken = stream::once(async { Err::<Bytes, _>(std::io::Error::other("broken off")) });
            Response::new(Body::from_stream(broken))
        }
    }
}

fn json_of(value: &Value) -> Response {
    plain(200, "application/json; charset=utf-8", value.to_string().into_bytes())
}

fn plain(status: u16, media_type: &'static str, body: Vec<u8>) -> Response {
    (StatusCode::from_u16(status).unwrap(), [(CONTENT_TYPE, media_type)], body).into_response()
}

pub(super) fn fixture(path: &str) -> Vec<u8> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(path);
    std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}
