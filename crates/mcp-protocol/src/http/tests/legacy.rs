use std::time::Duration;

use axum::Extension;
use insta::assert_json_snapshot;
use serde_json::json;

use super::{HttpConfig, Web, body, call, initialize, router};
use crate::testing::{Probe, builder, server};
use crate::{Limits, SessionLimits, SessionOwner};

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
          "tools": {}
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

#[tokio::test]
async fn sessions_are_capped_and_expire() {
    let limits = |max_sessions, idle_timeout| Limits {
        sessions: SessionLimits { max_sessions, max_per_client: max_sessions, idle_timeout },
        ..Limits::default()
    };
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    let capped = builder(&Probe::new()).limits(limits(2, Duration::from_mins(1))).build().expect("a server");
    let web = Web::start(capped).await;
    let mut sessions = Vec::new();
    for _ in 0..3 {
        sessions.push(web.initialize("2025-11-25").await);
    }
    let mut alive = Vec::new();
    for session in &sessions {
        alive.push(web.legacy(session, &ping).send().await.expect("an answer").status().as_u16());
    }
    assert_eq!(alive, [404, 200, 200]);

    let short = builder(&Probe::new()).limits(limits(2, Duration::ZERO)).build().expect("a server");
    let web = Web::start(short).await;
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
