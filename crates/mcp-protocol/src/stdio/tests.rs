use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream, Lines};
use tokio::task::JoinHandle;

use crate::testing::{Probe, builder, server};
use crate::{Limits, Server};

struct Client {
    input: DuplexStream,
    output: Lines<BufReader<DuplexStream>>,
    serving: JoinHandle<std::io::Result<()>>,
}

impl Client {
    fn start(server: Server) -> Client {
        let (input, reader) = tokio::io::duplex(1 << 16);
        let (writer, output) = tokio::io::duplex(1 << 16);
        let serving = tokio::spawn(async move { server.serve_stdio(reader, writer).await });
        Client { input, output: BufReader::new(output).lines(), serving }
    }

    async fn send(&mut self, text: &str) {
        self.input.write_all(text.as_bytes()).await.expect("the server reads");
        self.input.write_all(b"\n").await.expect("the server reads");
    }

    /// The next message; panics on anything else.
    async fn receive(&mut self) -> Value {
        let line = tokio::time::timeout(Duration::from_secs(5), self.output.next_line()).await;
        let line = line.expect("an answer in time").expect("a line").expect("the server writes");
        serde_json::from_str(&line).expect("stdout carries messages alone")
    }

    async fn ask(&mut self, message: &Value) -> Value {
        self.send(&message.to_string()).await;
        self.receive().await
    }

    /// Closes the input; what the server had still to say.
    async fn end(mut self) -> Vec<String> {
        drop(self.input);
        let mut rest = Vec::new();
        while let Some(line) = self.output.next_line().await.expect("the server writes") {
            rest.push(line);
        }
        self.serving.await.expect("no panic").expect("no error");
        rest
    }
}

fn modern(id: i64, method: &str, mut params: Value) -> Value {
    params["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!("2026-07-28");
    params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = json!({});
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
}

fn initialize(version: &str) -> Value {
    let params =
        json!({"protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "c", "version": "1"}});
    json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params})
}

fn call(id: i64, tool: &str, arguments: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": tool, "arguments": arguments}})
}

#[tokio::test]
async fn both_eras_on_one_stream() {
    let mut client = Client::start(server(&Probe::new()));
    let early = client.ask(&json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"})).await;
    assert_eq!(early["error"]["code"], -32602, "{early}");
    let ping = client.ask(&json!({"jsonrpc": "2.0", "id": 1, "method": "ping"})).await;
    assert_eq!(ping, json!({"jsonrpc": "2.0", "id": 1, "result": {}}));

    let opened = client.ask(&initialize("2025-06-18")).await;
    assert_eq!(opened["result"]["protocolVersion"], "2025-06-18");
    client.send(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#).await;
    let legacy = client.ask(&call(2, "echo", &json!({"text": "a"}))).await;
    let expected = json!({"content": [{"type": "text", "text": "{\"text\":\"a\"}"}], "structuredContent": {"text": "a"}});
    assert_eq!(legacy["result"], expected);

    let modern_call = modern(3, "tools/call", json!({"name": "echo", "arguments": {"text": "b"}}));
    let answer = client.ask(&modern_call).await;
    assert_eq!(answer["result"]["resultType"], "complete");
    assert_eq!(answer["result"]["structuredContent"], json!({"text": "b"}));
    let both = client.ask(&modern(4, "initialize", json!({}))).await;
    assert_eq!(both["error"]["code"], -32601, "the modern era has no initialize");
    let discover = client.ask(&modern(5, "server/discover", json!({}))).await;
    assert_eq!(discover["result"]["supportedVersions"], json!(["2026-07-28"]));
    assert!(client.end().await.is_empty());
}

#[tokio::test]
async fn junk_is_answered_and_does_no_harm() {
    let limits = Limits { max_message_bytes: 1000, ..Limits::default() };
    let mut client = Client::start(builder(&Probe::new()).limits(limits).build().expect("a server"));
    let long = "x".repeat(5000);
    let cases = [
        ("nonsense", json!(null), -32700),
        (r#"{"jsonrpc":"2.0","id":7}"#, json!(7), -32600),
        (r#"[{"jsonrpc":"2.0","id":7,"method":"ping"}]"#, json!(null), -32600),
        (long.as_str(), json!(null), -32600),
        (r#"{"jsonrpc":"2.0","id":8,"method":"tools/list","params":{"_meta":7}}"#, json!(8), -32602),
        ("\u{0}\u{1}", json!(null), -32700),
    ];
    for (text, id, code) in cases {
        client.send(text).await;
        let answer = client.receive().await;
        assert_eq!((&answer["id"], &answer["error"]["code"]), (&id, &json!(code)), "{text}: {answer}");
        assert_eq!(answer.get("id").is_some(), !id.is_null(), "an id that isn't known is left out");
    }
    client.send("").await;
    client.send(r#"{"jsonrpc":"2.0","id":9,"result":{}}"#).await;
    client.send(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":{}}}"#).await;
    assert_eq!(client.ask(&json!({"jsonrpc": "2.0", "id": 1, "method": "ping"})).await["result"], json!({}));
}

#[tokio::test]
async fn requests_run_side_by_side_and_can_be_cancelled() {
    let probe = Probe::new();
    let mut client = Client::start(server(&probe));
    client.ask(&initialize("2025-11-25")).await;
    client.send(&call(1, "hang", &json!({})).to_string()).await;
    probe.until(|seen| seen.started == 1).await;
    let twin = client.ask(&call(1, "echo", &json!({"text": ""}))).await;
    assert_eq!(twin["error"]["code"], -32600, "an id that is in use: {twin}");
    let quick = client.ask(&call(2, "echo", &json!({"text": "quick"}))).await;
    assert_eq!(quick["id"], 2);
    client.send(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#).await;
    probe.until(|seen| seen.dropped == 1 && seen.cancelled == 1).await;
    assert_eq!(client.ask(&json!({"jsonrpc": "2.0", "id": 3, "method": "ping"})).await["id"], 3);
    assert!(client.end().await.is_empty(), "nothing more is said of a cancelled request");
}

#[tokio::test]
async fn progress_comes_before_the_answer() {
    let mut client = Client::start(server(&Probe::new()));
    let params = json!({"name": "count", "arguments": {"to": 5}, "_meta": {"progressToken": "p"}});
    client.send(&modern(1, "tools/call", params).to_string()).await;
    let mut last = 0.0;
    loop {
        let message = client.receive().await;
        if message["id"] == 1 {
            assert_eq!(message["result"]["structuredContent"], json!({"text": "5"}));
            break;
        }
        assert_eq!(message["method"], "notifications/progress");
        assert_eq!(message["params"]["progressToken"], "p");
        let progress = message["params"]["progress"].as_f64().expect("a number");
        assert!(progress > last, "{progress} after {last}");
        last = progress;
    }
    assert!((last - 5.0).abs() < f64::EPSILON);
}

#[tokio::test]
async fn the_end_of_stdin_ends_the_server() {
    let probe = Probe::new();
    let mut client = Client::start(server(&probe));
    client.ask(&initialize("2025-11-25")).await;
    client.send(&call(1, "hang", &json!({})).to_string()).await;
    probe.until(|seen| seen.started == 1).await;
    client.send(&call(2, "echo", &json!({"text": "last"})).to_string()).await;
    let rest = client.end().await;
    assert_eq!(rest.len(), 1, "what is quick is still answered: {rest:?}");
    probe.until(|seen| seen.dropped == 1).await;
}
