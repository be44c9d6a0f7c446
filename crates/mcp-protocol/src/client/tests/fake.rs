//! An HTTP server that says exactly what a test wants, byte by byte.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};

/// A request as it came.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) verb: String,
    pub(super) headers: HashMap<String, String>,
    pub(super) body: Value,
}

impl Seen {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    pub(super) fn method(&self) -> &str {
        self.body["method"].as_str().unwrap_or("")
    }

    pub(super) fn id(&self) -> &Value {
        &self.body["id"]
    }

    /// The answer with this result.
    pub(super) fn result(&self, result: &Value) -> String {
        json!({"jsonrpc": "2.0", "id": self.id(), "result": result}).to_string()
    }

    /// The answer with this error.
    pub(super) fn error(&self, code: i32, data: &Value) -> String {
        json!({"jsonrpc": "2.0", "id": self.id(), "error": {"code": code, "message": "no", "data": data}})
            .to_string()
    }
}

/// What is sent back; the connection is closed after it.
pub(super) struct Answer {
    head: String,
    chunks: Vec<Vec<u8>>,
    /// Keeps the connection open until the client closes it.
    hold: Hold,
    /// More of the body, as it comes.
    feed: Option<mpsc::Receiver<String>>,
}

/// Says more on an open event stream; dropped, the connection ends.
pub(super) type Feed = mpsc::Sender<String>;

#[derive(PartialEq)]
enum Hold {
    No,
    UntilClosed,
}

impl Answer {
    /// A status, headers as lines, and a body with its length.
    pub(super) fn new(status: u16, headers: &str, body: &str) -> Answer {
        let length = body.len();
        let head =
            format!("HTTP/1.1 {status} X\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n");
        Answer { head, chunks: vec![body.as_bytes().to_vec()], hold: Hold::No, feed: None }
    }

    pub(super) fn json(status: u16, body: &str) -> Answer {
        Answer::new(status, "content-type: application/json; charset=utf-8\r\n", body)
    }

    pub(super) fn accepted() -> Answer {
        Answer::new(202, "", "")
    }

    /// An event stream of these bytes, cut after every `at` bytes into writes of their own.
    pub(super) fn events(text: &str, at: usize) -> Answer {
        let head =
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n".to_owned();
        let chunks = text.as_bytes().chunks(at).map(<[u8]>::to_vec).collect();
        Answer { head, chunks, hold: Hold::No, feed: None }
    }

    /// An event stream that begins with these bytes and goes on with what is fed.
    pub(super) fn live(text: &str) -> (Answer, Feed) {
        let (feed, more) = mpsc::channel(64);
        let answer = Answer { feed: Some(more), ..Answer::events(text, 1_000) };
        (answer, feed)
    }

    /// The connection stays open after the last byte.
    pub(super) fn held(mut self) -> Answer {
        self.hold = Hold::UntilClosed;
        self
    }

    /// The connection breaks before the end of the body.
    pub(super) fn cut_to(mut self, bytes: usize) -> Answer {
        self.chunks[0].truncate(bytes);
        self
    }
}

/// The running server. It stops with the test's runtime.
pub(super) struct Fake {
    pub(super) url: String,
    state: Arc<State>,
    events: watch::Receiver<u64>,
}

struct State {
    seen: Mutex<Vec<Seen>>,
    closed_by_client: Mutex<u64>,
    changed: watch::Sender<u64>,
}

impl Fake {
    pub(super) async fn start(script: impl Fn(&Seen) -> Answer + Send + Sync + 'static) -> Fake {
        // Every test of the process may come first; the second install is refused, which is fine.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/mcp", listener.local_addr().unwrap());
        let (changed, events) = watch::channel(0);
        let state = Arc::new(State { seen: Mutex::default(), closed_by_client: Mutex::default(), changed });
        let script = Arc::new(script);
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&script), Arc::clone(&shared)));
            }
        });
        Fake { url, state, events }
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.state.seen.lock().unwrap().clone()
    }

    /// Waits for a request that `wanted` says yes to.
    pub(super) async fn wait_for(&self, wanted: impl Fn(&Seen) -> bool) -> Seen {
        let mut events = self.events.clone();
        loop {
            if let Some(found) = self.seen().into_iter().find(|seen| wanted(seen)) {
                return found;
            }
            events.changed().await.unwrap();
        }
    }

    /// Waits until the client has closed a connection that was held open.
    pub(super) async fn wait_for_close(&self) {
        let mut events = self.events.clone();
        while *self.state.closed_by_client.lock().unwrap() == 0 {
            events.changed().await.unwrap();
        }
    }
}

async fn serve(mut stream: TcpStream, script: Arc<impl Fn(&Seen) -> Answer>, state: Arc<State>) {
    stream.set_nodelay(true).unwrap();
    let Some(seen) = read_request(&mut stream).await else { return };
    let mut answer = script(&seen);
    state.seen.lock().unwrap().push(seen);
    state.changed.send_modify(|count| *count += 1);
    if stream.write_all(answer.head.as_bytes()).await.is_err() {
        return;
    }
    for chunk in &answer.chunks {
        if stream.write_all(chunk).await.is_err() {
            return;
        }
        tokio::task::yield_now().await;
    }
    let mut rest = [0; 16];
    let closed = match answer.feed.as_mut() {
        Some(more) => loop {
            tokio::select! {
                text = more.recv() => match text {
                    Some(text) => drop(stream.write_all(text.as_bytes()).await),
                    None => break false,
                },
                _ = stream.read(&mut rest) => break true,
            }
        },
        None if answer.hold == Hold::UntilClosed => {
            while matches!(stream.read(&mut rest).await, Ok(1..)) {}
            true
        }
        None => false,
    };
    if closed {
        *state.closed_by_client.lock().unwrap() += 1;
        state.changed.send_modify(|count| *count += 1);
    }
    let _ = stream.shutdown().await;
}

async fn read_request(stream: &mut TcpStream) -> Option<Seen> {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8_lossy(&bytes[..head_end]).into_owned();
    let mut lines = head.lines();
    let verb = lines.next()?.split(' ').next()?.to_owned();
    let headers: HashMap<String, String> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let length: usize = headers.get("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    while bytes.len() < head_end + length {
        stream.read_buf(&mut bytes).await.ok()?;
    }
    let body = serde_json::from_slice(&bytes[head_end..]).unwrap_or(Value::Null);
    Some(Seen { verb, headers, body })
}

/// The result of `server/discover` of a server that speaks these revisions.
pub(super) fn discovered(versions: &[&str]) -> Value {
    json!({
        "resultType": "complete", "supportedVersions": versions, "capabilities": {"tools": {}},
        "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "fake", "version": "1"}},
        "ttlMs": 0, "cacheScope": "public"
    })
}

/// The result of `initialize`.
pub(super) fn initialized(version: &str) -> Value {
    let capabilities = json!({
        "tools": {"listChanged": true}, "prompts": {}, "resources": {"subscribe": true}, "logging": {}
    });
    json!({"protocolVersion": version, "capabilities": capabilities, "serverInfo": {"name": "fake", "version": "1"}})
}

/// A tool's result with one text.
pub(super) fn text_result(text: &str) -> Value {
    json!({"resultType": "complete", "content": [{"type": "text", "text": text}]})
}

/// One event.
pub(super) fn event(data: &str) -> String {
    let mut text = String::new();
    for line in data.lines() {
        let _ = writeln!(text, "data: {line}");
    }
    text + "\n"
}

/// Waits for what has to come soon.
pub(super) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(std::time::Duration::from_secs(10), future).await.expect("it comes soon")
}

/// A notification.
pub(super) fn told(method: &str, params: &Value) -> String {
    json!({"jsonrpc": "2.0", "method": method, "params": params}).to_string()
}

/// A request of the server.
pub(super) fn asked(id: &str, method: &str, params: &Value) -> String {
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string()
}

/// The `_meta` of what belongs to a subscription.
pub(super) fn tagged(id: &Value, mut params: Value) -> Value {
    params["_meta"] = json!({"io.modelcontextprotocol/subscriptionId": id});
    params
}

/// That a modern server agrees to a subscription with this filter.
pub(super) fn agreed(id: &Value, filter: &Value) -> String {
    told("notifications/subscriptions/acknowledged", &tagged(id, json!({"notifications": filter})))
}

impl Fake {
    /// A modern server; `script` answers all but `server/discover`.
    pub(super) async fn modern(script: impl Fn(&Seen) -> Answer + Send + Sync + 'static) -> Fake {
        Fake::start(move |seen| match seen.method() {
            "server/discover" => Answer::json(200, &seen.result(&discovered(&["2026-07-28"]))),
            _ => script(seen),
        })
        .await
    }

    /// A legacy server with sessions `s0`, `s1`, …; `script` answers what comes after the opening.
    pub(super) async fn legacy(script: impl Fn(&Seen) -> Answer + Send + Sync + 'static) -> Fake {
        let sessions = AtomicU32::new(0);
        Fake::start(move |seen| match seen.method() {
            "server/discover" => Answer::new(400, "", ""),
            "initialize" => {
                let session = sessions.fetch_add(1, Ordering::Relaxed);
                let headers = format!("content-type: application/json\r\nmcp-session-id: s{session}\r\n");
                Answer::new(200, &headers, &seen.result(&initialized("2025-11-25")))
            }
            "notifications/initialized" => Answer::accepted(),
            _ => script(seen),
        })
        .await
    }

    /// How many requests there were that `wanted` says yes to.
    pub(super) fn count(&self, wanted: impl Fn(&Seen) -> bool) -> usize {
        self.seen().iter().filter(|seen| wanted(seen)).count()
    }
}
