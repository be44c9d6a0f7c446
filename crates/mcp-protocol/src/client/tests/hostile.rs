//! Whatever a server sends, in whatever order: the calls after it work.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};

use super::fake::{Answer, Fake, discovered, event, initialized, soon, text_result};
use crate::client::{CallOptions, HttpOptions, InputHandler, Peer, PeerOptions, input_fn};
use crate::wire::{InputKind, ProtocolVersion};

const METHODS: [&str; 16] = [
    "ping",
    "elicitation/create",
    "sampling/createMessage",
    "roots/list",
    "notifications/progress",
    "notifications/message",
    "notifications/cancelled",
    "notifications/tools/list_changed",
    "notifications/resources/updated",
    "notifications/tasks",
    "notifications/elicitation/complete",
    "notifications/subscriptions/acknowledged",
    "initialize",
    "tools/call",
    "",
    "\u{0}",
];

/// Words that the protocol knows, so that much of what is made of them is nearly right.
fn word() -> impl Strategy<Value = String> {
    prop::sample::select(&[
        "method",
        "params",
        "_meta",
        "uri",
        "taskId",
        "status",
        "working",
        "level",
        "info",
        "data",
        "message",
        "mode",
        "url",
        "requestedSchema",
        "requestId",
        "progressToken",
        "progress",
        "notifications",
        "inputRequests",
        "x",
        "io.modelcontextprotocol/subscriptionId",
        "resultType",
        "input_required",
        "task",
    ])
    .prop_map(str::to_owned)
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-9_i64..9).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        word().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((word(), inner), 0..4).prop_map(|members| members.into_iter().collect()),
        ]
    })
}

/// One line: a message, nearly one, or junk.
fn line() -> impl Strategy<Value = String> {
    let method = prop::sample::select(&METHODS[..]);
    let request = (json_value(), method.clone(), json_value()).prop_map(
        |(id, method, params)| json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}),
    );
    let told = (method, json_value())
        .prop_map(|(method, params)| json!({"jsonrpc": "2.0", "method": method, "params": params}));
    let result = (json_value(), json_value())
        .prop_map(|(id, result)| json!({"jsonrpc": "2.0", "id": id, "result": result}));
    let error = (json_value(), json_value())
        .prop_map(|(id, error)| json!({"jsonrpc": "2.0", "id": id, "error": error}));
    prop_oneof![
        3 => request.prop_map(|message| message.to_string()),
        3 => told.prop_map(|message| message.to_string()),
        1 => result.prop_map(|message| message.to_string()),
        1 => error.prop_map(|message| message.to_string()),
        1 => json_value().prop_map(|value| value.to_string()),
        1 => any::<String>().prop_map(|text| text.replace(['\n', '\r'], " ")),
    ]
}

/// Answers some questions, refuses others and loses its head over the rest.
fn handler() -> Arc<dyn InputHandler> {
    let kinds = [InputKind::ElicitForm, InputKind::ElicitUrl, InputKind::Sampling, InputKind::Roots];
    input_fn(kinds, async |question| match question.kind() {
        InputKind::Roots => Ok(json!({"roots": []})),
        InputKind::Sampling => Err(crate::error::internal()),
        InputKind::ElicitForm => std::future::pending().await,
        InputKind::ElicitUrl => panic!("this handler is broken"),
    })
}

fn options(newest: ProtocolVersion) -> PeerOptions {
    PeerOptions { newest, on_input: Some(handler()), tasks: true, ..PeerOptions::default() }
}

fn answer(request: &Value, version: ProtocolVersion) -> Option<Value> {
    let result = match request["method"].as_str()? {
        "server/discover" => discovered(&[version.as_str()]),
        "initialize" => initialized(version.as_str()),
        "tools/call" => text_result("still here"),
        _ => return None,
    };
    Some(json!({"jsonrpc": "2.0", "id": request["id"], "result": result}))
}

async fn over_a_pipe(version: ProtocolVersion, lines: Vec<String>) {
    let (near, far) = tokio::io::duplex(1 << 16);
    let (reader, mut writer) = tokio::io::split(far);
    let (said, mut to_say) = tokio::sync::mpsc::channel::<String>(1_000);
    tokio::spawn(async move {
        while let Some(line) = to_say.recv().await {
            if writer.write_all(format!("{line}\n").as_bytes()).await.is_err() {
                return;
            }
        }
    });
    let answers = said.clone();
    tokio::spawn(async move {
        let mut requests = BufReader::new(reader).lines();
        while let Ok(Some(line)) = requests.next_line().await {
            let request: Value = serde_json::from_str(&line).expect("the client says JSON");
            if let Some(answer) = answer(&request, version) {
                let _ = answers.send(answer.to_string()).await;
            }
        }
    });
    let (reader, writer) = tokio::io::split(near);
    let peer = Peer::connect_stdio(reader, writer, options(version)).await.unwrap();
    let mut notices = peer.notices();
    for line in lines {
        said.send(line).await.unwrap();
    }
    let result = soon(peer.call_tool("x", json!({}), CallOptions::default())).await.unwrap();
    assert_eq!(result.content, [crate::wire::Content::text("still here")]);
    drop(peer);
    while soon(notices.next()).await.is_some() {}
}

async fn over_http(version: ProtocolVersion, lines: Vec<String>) {
    let fake = Fake::start(move |seen| {
        let Some(answer) = answer(&seen.body, version) else { return Answer::accepted() };
        if seen.method() != "tools/call" {
            return Answer::json(200, &answer.to_string());
        }
        let junk: String = lines.iter().map(|line| event(line)).collect();
        Answer::events(&(junk + &event(&answer.to_string())), 97)
    })
    .await;
    let peer = options(version);
    let options = HttpOptions { peer, ..HttpOptions::default() };
    let peer = Peer::connect_http(&fake.url, options).await.unwrap();
    let call = peer.call_tool("x", json!({}), CallOptions::default().within(Duration::from_secs(8)));
    let result = soon(call).await.unwrap();
    assert_eq!(result.content, [crate::wire::Content::text("still here")]);
}

/// An answer to the call itself may be anything; only what has another id is let through.
fn is_aside(line: &str) -> bool {
    let value: Value = serde_json::from_str(line).unwrap_or_default();
    let answers = value.get("method").is_none();
    !(answers && value["id"].as_i64().is_some_and(|id| (0..100_000).contains(&id)))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_call_has_its_answer_whatever_else_is_said(lines in prop::collection::vec(line(), 0..40)) {
        let lines: Vec<String> = lines.into_iter().filter(|line| is_aside(line)).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            for version in [ProtocolVersion::LATEST, ProtocolVersion::LATEST_LEGACY] {
                over_a_pipe(version, lines.clone()).await;
                over_http(version, lines.clone()).await;
            }
        });
    }
}
