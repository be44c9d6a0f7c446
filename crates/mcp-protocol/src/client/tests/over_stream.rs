//! Over pipes: junk, answers out of order, silence, the end of the stream, servers that are started.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream, ReadHalf, WriteHalf};

use super::fake::{discovered, initialized, text_result};
use crate::client::{CallOptions, ClientError, Peer, PeerOptions, ServerLog};
use crate::wire::ProtocolVersion;

/// The server's end of a pipe.
pub(super) struct Far {
    reader: BufReader<ReadHalf<DuplexStream>>,
    writer: WriteHalf<DuplexStream>,
}

impl Far {
    pub(super) async fn next(&mut self) -> Value {
        let mut line = String::new();
        self.reader.read_line(&mut line).await.unwrap();
        serde_json::from_str(&line).unwrap_or(Value::Null)
    }

    pub(super) async fn say(&mut self, line: &str) {
        self.writer.write_all(format!("{line}\n").as_bytes()).await.unwrap();
    }

    pub(super) async fn answer(&mut self, request: &Value, result: &Value) {
        self.say(&json!({"jsonrpc": "2.0", "id": request["id"], "result": result}).to_string()).await;
    }

    async fn refuse(&mut self, request: &Value, code: i32) {
        let error = json!({"code": code, "message": "no"});
        self.say(&json!({"jsonrpc": "2.0", "id": request["id"], "error": error}).to_string()).await;
    }
}

fn options() -> PeerOptions {
    PeerOptions { probe_timeout: Duration::from_millis(100), ..PeerOptions::default() }
}

/// A peer and its server's end, opened by `opening`.
async fn open<F: Future<Output = Far>>(opening: impl FnOnce(Far) -> F) -> (Result<Peer, ClientError>, Far) {
    open_with(options(), opening).await
}

/// The same with other options.
pub(super) async fn open_with<F: Future<Output = Far>>(
    options: PeerOptions,
    opening: impl FnOnce(Far) -> F,
) -> (Result<Peer, ClientError>, Far) {
    let (near, far) = tokio::io::duplex(4096);
    let (reader, writer) = tokio::io::split(near);
    let (far_reader, far_writer) = tokio::io::split(far);
    let far = Far { reader: BufReader::new(far_reader), writer: far_writer };
    tokio::join!(Peer::connect_stdio(reader, writer, options), opening(far))
}

pub(super) async fn modern(mut far: Far) -> Far {
    let request = far.next().await;
    assert_eq!(request["method"], "server/discover");
    far.answer(&request, &discovered(&["2026-07-28"])).await;
    far
}

pub(super) async fn legacy(mut far: Far) -> Far {
    let probe = far.next().await;
    far.refuse(&probe, -32602).await;
    let request = far.next().await;
    assert_eq!(request["method"], "initialize");
    assert_eq!(request["params"]["protocolVersion"], "2025-11-25");
    far.answer(&request, &initialized("2025-06-18")).await;
    assert_eq!(far.next().await["method"], "notifications/initialized");
    far
}

#[tokio::test]
async fn junk_on_the_line_is_no_answer() {
    let (peer, mut far) = open(modern).await;
    let peer = peer.unwrap();
    let updates = Arc::new(Mutex::new(Vec::new()));
    let taken = Arc::clone(&updates);
    let options = CallOptions::default().progress(move |update| taken.lock().unwrap().push(update.progress));
    let server = async {
        let request = far.next().await;
        assert_eq!(request["params"]["_meta"]["progressToken"], request["id"]);
        let progress = |value: f64| {
            let params = json!({"progressToken": request["id"], "progress": value});
            json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": params}).to_string()
        };
        for line in [
            "Server ready on port 9000!",
            "",
            "[]",
            "{\"jsonrpc\":\"2.0\"",
            "\u{7}",
            &progress(1.0),
            r#"{"jsonrpc":"2.0","error":{"code":-32700,"message":"?"}}"#,
            r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"?"}}"#,
            r#"{"jsonrpc":"2.0","id":99999,"result":{}}"#,
            r#"{"jsonrpc":"2.0","id":7000,"method":"roots/list"}"#,
            &progress(2.0),
        ] {
            far.say(line).await;
        }
        far.answer(&request, &text_result("x")).await;
    };
    let (result, ()) = tokio::join!(peer.call_tool("x", json!({}), options), server);
    assert!(!result.unwrap().is_error);
    assert_eq!(*updates.lock().unwrap(), [1.0, 2.0]);
}

#[tokio::test]
async fn answers_may_come_in_any_order() {
    let (peer, mut far) = open(modern).await;
    let peer = peer.unwrap();
    let server = async {
        let (first, second) = (far.next().await, far.next().await);
        far.answer(&second, &json!({"content": [], "structuredContent": second["params"]["arguments"]}))
            .await;
        far.answer(&first, &json!({"content": [], "structuredContent": first["params"]["arguments"]})).await;
    };
    let (a, b, ()) = tokio::join!(
        peer.call_tool("x", json!({"n": 1}), CallOptions::default()),
        peer.call_tool("x", json!({"n": 2}), CallOptions::default()),
        server
    );
    assert_eq!(a.unwrap().structured_content, Some(json!({"n": 1})));
    assert_eq!(b.unwrap().structured_content, Some(json!({"n": 2})));
}

#[tokio::test]
async fn a_legacy_server_is_served_its_answers() {
    let (peer, mut far) = open(legacy).await;
    let peer = peer.unwrap();
    assert_eq!(peer.server().version, ProtocolVersion::V2025_06_18);
    far.say(r#"{"jsonrpc":"2.0","id":-1,"method":"ping"}"#).await;
    assert_eq!(far.next().await, json!({"jsonrpc": "2.0", "id": -1, "result": {}}));
    far.say(r#"{"jsonrpc":"2.0","id":"r","method":"sampling/createMessage","params":{}}"#).await;
    assert_eq!(far.next().await["error"]["code"], -32601);
}

#[tokio::test]
async fn a_server_that_keeps_silent_about_the_probe_is_legacy() {
    let (peer, _far) = open(|mut far| async move {
        assert_eq!(far.next().await["method"], "server/discover");
        let request = far.next().await;
        assert_eq!(request["method"], "initialize");
        far.answer(&request, &initialized("2025-11-25")).await;
        far
    })
    .await;
    assert_eq!(peer.unwrap().server().version, ProtocolVersion::V2025_11_25);
}

#[tokio::test]
async fn a_modern_server_that_wants_another_revision_is_not_asked_to_initialize() {
    let (peer, mut far) = open(|mut far| async move {
        let request = far.next().await;
        let error = json!({"code": -32022, "message": "no", "data": {"supported": ["2030-01-01"]}});
        far.say(&json!({"jsonrpc": "2.0", "id": request["id"], "error": error}).to_string()).await;
        far
    })
    .await;
    assert!(matches!(peer.unwrap_err(), ClientError::NoCommonVersion { .. }));
    assert_eq!(far.next().await, Value::Null, "the stream is closed without a further word");
}

#[tokio::test]
async fn dropping_a_call_tells_the_server() {
    let (peer, mut far) = open(modern).await;
    let peer = peer.unwrap();
    let request = tokio::select! {
        _ = peer.call_tool("x", json!({}), CallOptions::default()) => panic!("it has no answer"),
        request = far.next() => request,
    };
    let cancelled = far.next().await;
    assert_eq!(cancelled["method"], "notifications/cancelled");
    assert_eq!(cancelled["params"]["requestId"], request["id"]);
    // An answer that comes too late disturbs nobody.
    far.answer(&request, &text_result("late")).await;
    let (result, ()) = tokio::join!(peer.call_tool("y", json!({}), CallOptions::default()), async {
        let request = far.next().await;
        far.answer(&request, &text_result("y")).await;
    });
    assert!(result.is_ok());
}

#[tokio::test]
async fn the_end_of_the_stream_ends_all_calls() {
    let (peer, mut far) = open(modern).await;
    let peer = peer.unwrap();
    let (first, second, ()) = tokio::join!(
        peer.call_tool("x", json!({}), CallOptions::default()),
        peer.call_tool("y", json!({}), CallOptions::default()),
        async {
            far.next().await;
            drop(far);
        }
    );
    for result in [first, second, peer.call_tool("z", json!({}), CallOptions::default()).await] {
        assert!(matches!(result, Err(ClientError::Closed { .. })), "{result:?}");
    }
}

#[tokio::test]
async fn a_line_without_end_ends_the_connection() {
    let (near, mut far) = tokio::io::duplex(4096);
    let (reader, writer) = tokio::io::split(near);
    let options = PeerOptions { max_message_bytes: 10_000, ..options() };
    let line = vec![b'x'; 20_000];
    let (peer, _) = tokio::join!(Peer::connect_stdio(reader, writer, options), far.write_all(&line));
    assert!(peer.unwrap_err().to_string().contains("more than 10000 bytes"));
}

#[tokio::test]
async fn a_started_server_that_dies_is_told_with_its_last_words() {
    let mut command = tokio::process::Command::new("sh");
    command.args(["-c", "echo 'port 9000 is in use' >&2; exit 3"]);
    let error = Peer::spawn_stdio(command, ServerLog::Keep, options()).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("exit status: 3") && text.contains("port 9000 is in use"), "{text}");
    let command = tokio::process::Command::new("/nowhere/server");
    let error = Peer::spawn_stdio(command, ServerLog::Keep, options()).await.unwrap_err();
    assert!(
        matches!(&error, ClientError::Spawn { program, .. } if program == "/nowhere/server"),
        "{error:?}"
    );
    assert!(error.is_unreachable());
}

#[tokio::test]
async fn a_started_server_ends_when_the_peer_is_closed() {
    let answer = json!({"jsonrpc": "2.0", "id": "ID", "result": discovered(&["2026-07-28"])}).to_string();
    let script = format!(
        r#"read line; id=$(printf %s "$line" | sed 's/.*"id":\([0-9]*\).*/\1/'); printf '%s\n' '{answer}' | sed "s/\"ID\"/$id/"; cat > /dev/null"#
    );
    let mut command = tokio::process::Command::new("sh");
    command.args(["-c", &script]);
    let peer = Peer::spawn_stdio(command, ServerLog::Keep, PeerOptions::default()).await.unwrap();
    let closed = tokio::time::timeout(Duration::from_secs(4), peer.close()).await;
    assert!(closed.is_ok(), "its input was closed, so it ends at once");
}
