//! Over HTTP: opening in both eras, odd streams, refusals, broken connections, cancelling.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use secrecy::SecretString;
use serde_json::{Value, json};

use super::fake::{Answer, Fake, Seen, discovered, event, initialized, text_result};
use crate::client::{CallOptions, ClientError, HttpOptions, Peer, PeerOptions};
use crate::wire::{CallToolResult, Content, ProtocolVersion};

fn text(result: &CallToolResult) -> &str {
    match &result.content[..] {
        [Content::Text { text }] => text,
        other => panic!("{other:?}"),
    }
}

/// A modern server whose `tools/call` is answered by `call`.
async fn modern(call: impl Fn(&Seen) -> Answer + Send + Sync + 'static) -> Fake {
    Fake::start(move |seen| match seen.method() {
        "server/discover" => Answer::json(200, &seen.result(&discovered(&["2026-07-28"]))),
        "tools/call" => call(seen),
        _ => Answer::json(404, &seen.error(-32601, &Value::Null)),
    })
    .await
}

/// A legacy server that answers the probe with `probe`, and `tools/call` with `call`.
async fn legacy(
    probe: impl Fn(&Seen) -> Answer + Send + Sync + 'static,
    call: impl Fn(&Seen) -> Answer + Send + Sync + 'static,
) -> Fake {
    let sessions = AtomicU32::new(0);
    Fake::start(move |seen| match (seen.verb.as_str(), seen.method()) {
        (_, "server/discover") => probe(seen),
        (_, "initialize") => {
            let session = sessions.fetch_add(1, Ordering::Relaxed);
            let headers = format!("content-type: application/json\r\nmcp-session-id: s{session}\r\n");
            Answer::new(200, &headers, &seen.result(&initialized("2025-11-25")))
        }
        (_, "tools/call") | ("GET", _) => call(seen),
        _ => Answer::accepted(),
    })
    .await
}

async fn open(fake: &Fake) -> Peer {
    Peer::connect_http(&fake.url, HttpOptions::default()).await.unwrap()
}

#[tokio::test]
async fn a_modern_call_has_its_headers_and_meta() {
    let fake = modern(|seen| Answer::json(200, &seen.result(&text_result("done")))).await;
    let options = HttpOptions {
        bearer: Some(SecretString::from("ck_secret")),
        headers: vec![("x-extra".to_owned(), "1".to_owned())],
        ..HttpOptions::default()
    };
    let peer = Peer::connect_http(&fake.url, options).await.unwrap();
    assert_eq!(peer.server().version, ProtocolVersion::V2026_07_28);
    assert_eq!(peer.server().info.name, "fake");
    let result = peer.call_tool("grüße", json!({"a": u64::MAX}), CallOptions::default()).await.unwrap();
    assert_eq!(text(&result), "done");

    let [discover, call] = &fake.seen()[..] else { panic!("two requests") };
    for seen in [discover, call] {
        assert_eq!(seen.header("mcp-protocol-version"), "2026-07-28");
        assert_eq!(seen.header("mcp-method"), seen.method());
        assert_eq!(seen.header("authorization"), "Bearer ck_secret");
        assert_eq!(seen.header("x-extra"), "1");
        assert_eq!(seen.header("accept"), "application/json, text/event-stream");
        let meta = &seen.body["params"]["_meta"];
        assert_eq!(meta["io.modelcontextprotocol/protocolVersion"], "2026-07-28");
        assert_eq!(meta["io.modelcontextprotocol/clientCapabilities"], json!({}));
        assert_eq!(meta["io.modelcontextprotocol/clientInfo"]["name"], "mcp-protocol");
        assert_eq!(meta.get("progressToken"), None);
    }
    assert_eq!(call.header("mcp-name"), "=?base64?Z3LDvMOfZQ==?=");
    assert_eq!(call.body["params"]["arguments"]["a"], u64::MAX);
}

#[tokio::test]
async fn an_event_stream_is_read_whatever_is_in_it() {
    let fake = modern(|seen| {
        let progress = |value: f64| {
            let params = json!({"progressToken": seen.id(), "progress": value, "total": 10, "message": "wörk"});
            event(&json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": params}).to_string())
        };
        let stream = [
            ": keep-alive\r\n\r\n".to_owned(),
            progress(1.0),
            event("not json"),
            event(r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"?"}}"#),
            event(r#"{"jsonrpc":"2.0","id":7000,"method":"roots/list"}"#),
            event(r#"{"jsonrpc":"2.0","id":"other","result":{}}"#),
            event(r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":-1,"progress":5}}"#),
            progress(2.5),
            event(&seen.result(&text_result("a\nb"))),
        ]
        .concat();
        Answer::events(&stream, 7)
    })
    .await;
    let peer = open(&fake).await;
    let updates = Arc::new(Mutex::new(Vec::new()));
    let taken = Arc::clone(&updates);
    let options = CallOptions::default()
        .progress(move |update| taken.lock().unwrap().push((update.progress, update.message.unwrap())));
    let result = peer.call_tool("x", json!({}), options).await.unwrap();
    assert_eq!(text(&result), "a\nb");
    assert_eq!(*updates.lock().unwrap(), [(1.0, "wörk".to_owned()), (2.5, "wörk".to_owned())]);
    // A modern client answers no requests of a server.
    assert_eq!(fake.seen().len(), 2);
}

#[tokio::test]
async fn a_legacy_server_is_found_by_whatever_it_says_to_the_probe() {
    type Probe = fn(&Seen) -> Answer;
    let probes: [(&str, Probe); 7] = [
        ("plain 400", |_| Answer::new(400, "content-type: text/plain\r\n", "Bad Request: no session")),
        ("empty 404", |_| Answer::new(404, "", "")),
        ("empty 405", |_| Answer::new(405, "", "")),
        ("400 with -32600", |seen| Answer::json(400, &seen.error(-32600, &Value::Null))),
        ("400 without an id", |_| {
            Answer::json(400, r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"no session"}}"#)
        }),
        ("200 with -32601", |seen| Answer::json(200, &seen.error(-32601, &Value::Null))),
        ("unsupported version", |seen| {
            Answer::json(400, &seen.error(-32022, &json!({"supported": ["2025-11-25"]})))
        }),
    ];
    for (name, probe) in probes {
        let fake = legacy(probe, |seen| Answer::json(200, &seen.result(&text_result("old")))).await;
        let peer = Peer::connect_http(&fake.url, HttpOptions::default())
            .await
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(peer.server().version, ProtocolVersion::V2025_11_25, "{name}");
        assert_eq!(
            text(&peer.call_tool("x", json!({}), CallOptions::default()).await.unwrap()),
            "old",
            "{name}"
        );
        let seen = fake.seen();
        let methods: Vec<&str> = seen.iter().map(Seen::method).collect();
        assert_eq!(
            methods,
            ["server/discover", "initialize", "notifications/initialized", "tools/call"],
            "{name}"
        );
        assert_eq!(seen[1].header("mcp-protocol-version"), "");
        for seen in &seen[2..] {
            assert_eq!(seen.header("mcp-session-id"), "s0");
            assert_eq!(seen.header("mcp-protocol-version"), "2025-11-25");
            assert_eq!(seen.header("mcp-method"), "");
        }
        assert_eq!(seen[3].body["params"].get("_meta"), None);
        peer.close().await;
        assert_eq!(fake.wait_for(|seen| seen.verb == "DELETE").await.header("mcp-session-id"), "s0");
    }
}

#[tokio::test]
async fn refusals_say_what_they_are() {
    type Script = fn(&Seen) -> Answer;
    type Check = fn(&ClientError) -> bool;
    let cases: [(&str, Script, Check); 9] = [
        (
            "401 without a body",
            |_| Answer::new(401, "www-authenticate: Bearer\r\n", ""),
            |error| matches!(error, ClientError::Unauthorized { message } if message == "no valid key was given"),
        ),
        (
            "401 of the gateway",
            |seen| Answer::json(401, &seen.error(-31401, &Value::Null)),
            |error| matches!(error, ClientError::Unauthorized { message } if message == "no"),
        ),
        (
            "403",
            |_| Answer::new(403, "content-type: text/plain\r\n", "no \u{1b}[31mentry"),
            |error| matches!(error, ClientError::Forbidden { message } if message == "no  [31mentry"),
        ),
        (
            "429 with a header",
            |_| Answer::new(429, "retry-after: 7\r\n", ""),
            |error| matches!(error, ClientError::RateLimited { retry_after: Some(wait), .. } if wait.as_secs() == 7),
        ),
        (
            "429 of the gateway",
            |seen| {
                let body = seen.error(-31429, &json!({"retryAfterMs": 1500}));
                Answer::new(429, "content-type: application/json\r\nretry-after: 2\r\n", &body)
            },
            |error| matches!(error, ClientError::RateLimited { retry_after: Some(wait), .. } if wait.as_millis() == 1500),
        ),
        (
            "500",
            |_| Answer::new(500, "content-type: text/html\r\n", "<h1>oops</h1>"),
            |error| matches!(error, ClientError::HttpStatus { status: 500, body } if body == "<h1>oops</h1>"),
        ),
        (
            "a redirection",
            |_| Answer::new(307, "location: http://elsewhere/mcp\r\n", ""),
            |error| matches!(error, ClientError::HttpStatus { status: 307, body } if body == "moved to http://elsewhere/mcp"),
        ),
        (
            "a modern error",
            |seen| Answer::json(400, &seen.error(-32020, &Value::Null)),
            |error| matches!(error, ClientError::Rpc { code: -32020, .. }),
        ),
        (
            "no revision in common",
            |seen| Answer::json(400, &seen.error(-32022, &json!({"supported": ["2031-01-01"]}))),
            |error| matches!(error, ClientError::NoCommonVersion { supported } if supported == &["2031-01-01"]),
        ),
    ];
    for (name, script, check) in cases {
        let fake = Fake::start(script).await;
        let error = Peer::connect_http(&fake.url, HttpOptions::default()).await.unwrap_err();
        assert!(check(&error), "{name}: {error:?}");
        assert_eq!(fake.seen().len(), 1, "{name}: nothing is tried after a clear answer");
    }
}

#[tokio::test]
async fn nobody_there_is_told_with_the_address_and_what_to_do() {
    let fake = modern(|seen| Answer::json(200, &seen.result(&text_result("x")))).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    drop(listener);
    let error = Peer::connect_http(&url, HttpOptions::default()).await.unwrap_err();
    assert!(error.is_unreachable() && error.is_transient(), "{error:?}");
    assert_eq!(error.to_string(), format!("can't reach the server at {url}"));
    assert!(error.remedy().unwrap().contains(&url));
    for url in ["localhost:9000", "ftp://x/mcp", "/mcp", "http://user:pw@x/mcp"] {
        let error = Peer::connect_http(url, HttpOptions::default()).await.unwrap_err();
        assert!(matches!(error, ClientError::InvalidUrl { .. }), "{url}: {error:?}");
    }
    drop(fake);
}

#[tokio::test]
async fn a_connection_that_breaks_is_an_error_that_may_be_tried_again() {
    type Call = fn(&Seen) -> Answer;
    let calls: [(&str, Call); 3] = [
        ("in the body", |seen| Answer::json(200, &seen.result(&text_result("long"))).cut_to(20)),
        ("in an event", |seen| {
            let event = event(&seen.result(&text_result("x")));
            Answer::events(&event[..event.len() - 1], 1_000)
        }),
        ("before an event", |_| Answer::events(": hello\n\n", 1_000)),
    ];
    for (name, call) in calls {
        let fake = modern(call).await;
        let error = open(&fake).await.call_tool("x", json!({}), CallOptions::default()).await.unwrap_err();
        assert!(
            matches!(error, ClientError::Interrupted { .. }) && error.is_transient(),
            "{name}: {error:?}"
        );
    }
}

#[tokio::test]
async fn a_legacy_stream_is_taken_up_where_it_broke() {
    let call_id = Mutex::new(Value::Null);
    let fake = legacy(
        |_| Answer::new(400, "", ""),
        move |seen| {
            if seen.verb == "POST" {
                *call_id.lock().unwrap() = seen.id().clone();
                return Answer::events("id: e0\ndata:\n\nid: e1\nretry: 1\n\ndata: {\"half\"", 9);
            }
            let id = call_id.lock().unwrap().clone();
            let answer = json!({"jsonrpc": "2.0", "id": id, "result": text_result("resumed")});
            Answer::events(&event(&answer.to_string()), 5)
        },
    )
    .await;
    let result = open(&fake).await.call_tool("x", json!({}), CallOptions::default()).await.unwrap();
    assert_eq!(text(&result), "resumed");
    let get = fake.wait_for(|seen| seen.verb == "GET").await;
    assert_eq!(get.header("last-event-id"), "e1");
    assert_eq!(get.header("mcp-session-id"), "s0");
}

#[tokio::test]
async fn a_legacy_servers_requests_are_answered() {
    let fake = legacy(
        |_| Answer::new(400, "", ""),
        |seen| {
            let stream = [
                event(r#"{"jsonrpc":"2.0","id":"p","method":"ping"}"#),
                event(r#"{"jsonrpc":"2.0","id":"r","method":"roots/list"}"#),
                event(&seen.result(&text_result("x"))),
            ];
            Answer::events(&stream.concat(), 100)
        },
    )
    .await;
    let peer = open(&fake).await;
    peer.call_tool("x", json!({}), CallOptions::default()).await.unwrap();
    let pong = fake.wait_for(|seen| seen.id() == "p").await;
    assert_eq!(pong.body["result"], json!({}));
    let refused = fake.wait_for(|seen| seen.id() == "r").await;
    assert_eq!(refused.body["error"]["code"], -32601);
}

#[tokio::test]
async fn a_lost_session_is_opened_again() {
    let fake = legacy(
        |_| Answer::new(400, "", ""),
        |seen| match seen.header("mcp-session-id") {
            "s0" => Answer::new(404, "", ""),
            _ => Answer::json(200, &seen.result(&text_result("again"))),
        },
    )
    .await;
    let result = open(&fake).await.call_tool("x", json!({}), CallOptions::default()).await.unwrap();
    assert_eq!(text(&result), "again");
}

#[tokio::test]
async fn dropping_a_modern_call_closes_its_stream() {
    let fake = modern(|_| Answer::events(": working\n\n", 100).held()).await;
    let peer = open(&fake).await;
    {
        let call = peer.call_tool("x", json!({}), CallOptions::default());
        tokio::select! {
            _ = call => panic!("it has no answer"),
            _ = fake.wait_for(|seen| seen.method() == "tools/call") => {}
        }
    }
    fake.wait_for_close().await;
    let error = peer
        .call_tool("x", json!({}), CallOptions::default().within(Duration::from_millis(50)))
        .await
        .unwrap_err();
    assert!(matches!(error, ClientError::Timeout { .. }), "{error:?}");
    assert!(fake.seen().iter().all(|seen| seen.method() != "notifications/cancelled"));
}

#[tokio::test]
async fn dropping_a_legacy_call_tells_the_server() {
    let fake = legacy(|_| Answer::new(400, "", ""), |_| Answer::events(": working\n\n", 100).held()).await;
    let peer = open(&fake).await;
    let error = peer
        .call_tool("x", json!({}), CallOptions::default().within(Duration::from_millis(50)))
        .await
        .unwrap_err();
    assert!(matches!(error, ClientError::Timeout { .. }), "{error:?}");
    let cancelled = fake.wait_for(|seen| seen.method() == "notifications/cancelled").await;
    let call = fake.wait_for(|seen| seen.method() == "tools/call").await;
    assert_eq!(&cancelled.body["params"]["requestId"], call.id());
    assert_eq!(cancelled.header("mcp-session-id"), "s0");
}

#[tokio::test]
async fn what_is_too_large_is_not_read() {
    type Call = fn(&Seen) -> Answer;
    let calls: [Call; 2] = [
        |seen| Answer::json(200, &seen.result(&text_result(&"x".repeat(5_000)))),
        |seen| Answer::events(&event(&seen.result(&text_result(&"x".repeat(5_000)))), 512),
    ];
    for call in calls {
        let fake = modern(call).await;
        let peer = PeerOptions { max_message_bytes: 2_000, ..PeerOptions::default() };
        let options = HttpOptions { peer, ..HttpOptions::default() };
        let peer = Peer::connect_http(&fake.url, options).await.unwrap();
        let error = peer.call_tool("x", json!({}), CallOptions::default()).await.unwrap_err();
        assert!(matches!(error, ClientError::TooLarge { limit: 2_000 }), "{error:?}");
    }
}

#[tokio::test]
async fn marked_parameters_are_learnt_from_a_header_mismatch() {
    let fake = Fake::start(|seen| match seen.method() {
        "server/discover" => Answer::json(200, &seen.result(&discovered(&["2026-07-28", "2025-11-25"]))),
        "tools/list" => {
            let good =
                json!({"type": "object", "properties": {"r": {"type": "string", "x-mcp-header": "Region"}}});
            let bad =
                json!({"type": "object", "properties": {"r": {"type": "number", "x-mcp-header": "Region"}}});
            let tools = json!([{"name": "x", "inputSchema": good}, {"name": "bad", "inputSchema": bad}]);
            Answer::json(
                200,
                &seen.result(&json!({"resultType": "complete", "tools": tools, "nextCursor": "same"})),
            )
        }
        _ if seen.header("mcp-param-region") == "eu" => Answer::json(200, &seen.result(&text_result("eu"))),
        _ => Answer::json(400, &seen.error(-32020, &Value::Null)),
    })
    .await;
    let peer = open(&fake).await;
    let result = peer.call_tool("x", json!({"r": "eu"}), CallOptions::default()).await.unwrap();
    assert_eq!(text(&result), "eu");
    let names: Vec<String> = peer.list_tools().await.unwrap().into_iter().map(|tool| tool.name).collect();
    // The fake gives the same cursor for ever: it is followed once.
    assert_eq!(names, ["x", "x"]);
    let error = peer.call_tool("x", json!({"r": "us"}), CallOptions::default()).await.unwrap_err();
    assert!(matches!(error, ClientError::Rpc { code: -32020, .. }), "{error:?}");
}

#[tokio::test]
async fn a_modern_server_may_want_the_same_revision_again_and_an_old_one_an_older() {
    let asked = AtomicU32::new(0);
    let fake = Fake::start(move |seen| match asked.fetch_add(1, Ordering::Relaxed) {
        0 => Answer::json(400, &seen.error(-32022, &json!({"supported": ["2026-07-28"]}))),
        _ => Answer::json(200, &seen.result(&discovered(&["2026-07-28"]))),
    })
    .await;
    assert_eq!(open(&fake).await.server().version, ProtocolVersion::V2026_07_28);
    let fake = Fake::start(|seen| match seen.method() {
        "initialize" => Answer::json(200, &seen.result(&initialized("2025-03-26"))),
        "tools/call" => Answer::json(200, &seen.result(&text_result("old"))),
        "notifications/initialized" => Answer::accepted(),
        _ => Answer::new(400, "", ""),
    })
    .await;
    let peer = open(&fake).await;
    assert_eq!(peer.server().version, ProtocolVersion::V2025_03_26);
    assert_eq!(text(&peer.call_tool("x", json!({}), CallOptions::default()).await.unwrap()), "old");
}
