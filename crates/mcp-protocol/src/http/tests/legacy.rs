use std::time::Duration;

use axum::Extension;
use axum::extract::ConnectInfo;
use insta::assert_json_snapshot;
use serde_json::json;

use super::{HttpConfig, Web, body, call, initialize, router};
use crate::testing::{Probe, builder, server};
use crate::{Limits, Server, SessionLimits, SessionOwner, error};

#[tokio::test]
async fn a_session_from_its_start_to_its_end() {
    let web = Web::start(server(&Probe::new())).await;
    let response = web.post(&initialize("2025-11-25")).send().await.expect("an answer");
    let session = response.headers()["mcp-session-id"].to_str().expect("ASCII").to_owned();
    assert_json_snapshot!(body(response).await, @r##"
    {
      "jsonrpc": "2.0",
      "id": 0,
      "result": {
        "protocolVersion": "2025-11-25",
        "capabilities": {
          "tools": {
            "listChanged": true
          },
          "logging": {}
        },
        "serverInfo": {
          "name": "test",
          "version": "1.2.3"
        },
        "instructions": "Say hello."
      }
    }
    "##);

    let initialized = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    let response = web.legacy(&session, &initialized).send().await.expect("an answer");
    assert_eq!(response.status(), 202);
    assert!(response.bytes().await.expect("a body").is_empty());

    let ping = json!({"jsonrpc": "2.0", "id": "p", "method": "ping"});
    let answer = body(web.legacy(&session, &ping).send().await.expect("an answer")).await;
    assert_eq!(answer, json!({"jsonrpc": "2.0", "id": "p", "result": {}}));

    let list = json!({"jsonrpc": "2.0", "id": -1, "method": "tools/list"});
    let answer = body(web.legacy(&session, &list).send().await.expect("an answer")).await;
    assert_eq!(answer["id"], -1);
    let members: Vec<&String> = answer["result"].as_object().expect("a result").keys().collect();
    assert_eq!(members, ["tools"], "nothing of the modern era");

    let answer =
        body(web.legacy(&session, &call(2, "echo", &json!({"text": "a"}))).send().await.expect("an answer"));
    assert_eq!(answer.await["result"]["structuredContent"], json!({"text": "a"}));
    let unknown = json!({"jsonrpc": "2.0", "id": 3, "method": "server/discover"});
    let response = web.legacy(&session, &unknown).send().await.expect("an answer");
    assert_eq!(response.status(), 200, "a legacy client takes anything else for a broken transport");
    assert_eq!(body(response).await["error"]["code"], -32601);

    let end = || {
        web.client
            .delete(&web.url)
            .header("mcp-session-id", &session)
            .header("mcp-protocol-version", "2025-11-25")
    };
    assert_eq!(end().send().await.expect("an answer").status(), 204);
    assert_eq!(web.legacy(&session, &ping).send().await.expect("an answer").status(), 404);
    assert_eq!(end().send().await.expect("an answer").status(), 404);
}

#[tokio::test]
async fn revisions_are_negotiated() {
    let web = Web::start(server(&Probe::new())).await;
    let cases = [
        ("2025-06-18", "2025-06-18"),
        ("2025-11-25", "2025-11-25"),
        ("2024-11-05", "2025-11-25"),
        ("2026-07-28", "2025-11-25"),
        ("", "2025-11-25"),
    ];
    for (asked, given) in cases {
        let answer = body(web.post(&initialize(asked)).send().await.expect("an answer")).await;
        assert_eq!(answer["result"]["protocolVersion"], given, "{asked}");
    }
}

#[tokio::test]
async fn a_session_keeps_little_of_its_client() {
    let web = Web::start(server(&Probe::new())).await;
    let mut huge = initialize("2025-11-25");
    huge["params"]["capabilities"]["x"] = json!("x".repeat(100_000));
    let response = web.post(&huge).send().await.expect("an answer");
    assert!(!response.headers().contains_key("mcp-session-id"));
    assert_eq!(body(response).await["error"]["code"], -32602);
}

fn with_sessions(max_sessions: usize, max_per_client: usize, idle_timeout: Duration) -> Server {
    let sessions = SessionLimits { max_sessions, max_per_client, idle_timeout };
    let limits = Limits { sessions, ..Limits::default() };
    builder(&Probe::new()).limits(limits).build().expect("a server")
}

#[tokio::test]
async fn sessions_are_capped() {
    let web = Web::start(with_sessions(2, 2, Duration::from_mins(1))).await;
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    let first = web.initialize("2025-11-25").await;
    let second = web.initialize("2025-06-18").await;
    let refused = web.post(&initialize("2025-11-25")).send().await.expect("an answer");
    assert_eq!(refused.status(), 503);
    assert!(!refused.headers().contains_key("mcp-session-id"));
    let refused = body(refused).await;
    assert_eq!((&refused["id"], &refused["error"]["code"]), (&json!(0), &json!(error::OVERLOADED)));
    let message = refused["error"]["message"].as_str().expect("a message");
    assert!(message.contains("2 sessions") && message.contains("60 s"), "{message}");
    for session in [&first, &second] {
        let alive = web.legacy(session, &ping).send().await.expect("an answer");
        assert_eq!(alive.status(), 200, "nobody loses a session to another");
    }
    let end = web.client.delete(&web.url).header("mcp-session-id", &first).send().await.expect("an answer");
    assert_eq!(end.status(), 204);
    web.initialize("2025-11-25").await;
}

#[tokio::test]
async fn one_client_has_fewer_sessions_than_all() {
    let server = with_sessions(3, 1, Duration::from_mins(1));
    let from = |address: [u8; 4]| {
        let address = std::net::SocketAddr::from((address, 1));
        router(server.clone(), HttpConfig::default()).layer(Extension(ConnectInfo(address)))
    };
    let here = Web::with(from([192, 0, 2, 1])).await;
    let there = Web::with(from([192, 0, 2, 2])).await;
    here.initialize("2025-11-25").await;
    let refused = here.post(&initialize("2025-11-25")).send().await.expect("an answer");
    assert_eq!(refused.status(), 503);
    let refused = body(refused).await;
    let message = refused["error"]["message"].as_str().expect("a message");
    assert!(message.contains("1 sessions of yours"), "{message}");
    there.initialize("2025-11-25").await;
}

#[tokio::test]
async fn sessions_expire() {
    let web = Web::start(with_sessions(2, 2, Duration::ZERO)).await;
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    let session = web.initialize("2025-11-25").await;
    assert_eq!(web.legacy(&session, &ping).send().await.expect("an answer").status(), 404);
}

#[tokio::test]
async fn a_session_belongs_to_its_opener() {
    let server = server(&Probe::new());
    let as_owner = |owner: &str| {
        router(server.clone(), HttpConfig::default()).layer(Extension(SessionOwner(owner.to_owned())))
    };
    let alice = Web::with(as_owner("alice")).await;
    let bob = Web::with(as_owner("bob")).await;
    let session = alice.initialize("2025-11-25").await;
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    assert_eq!(alice.legacy(&session, &ping).send().await.expect("an answer").status(), 200);
    assert_eq!(bob.legacy(&session, &ping).send().await.expect("an answer").status(), 404);
    let end = bob.client.delete(&bob.url).header("mcp-session-id", &session).send().await.expect("an answer");
    assert_eq!(end.status(), 404, "nor can another end it");
    assert_eq!(alice.legacy(&session, &ping).send().await.expect("an answer").status(), 200);
}
