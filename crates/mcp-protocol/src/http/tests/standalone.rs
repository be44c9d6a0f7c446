//! The stream of a session that belongs to no request.

use std::time::Duration;

use serde_json::{Value, json};

use super::puppet::{puppet, with_board};
use super::sse::{Event, Sse};
use super::{HttpConfig, StreamLimits, Web, body, call, router};
use crate::testing::{Probe, builder};
use crate::{Limits, Server, SessionLimits};

fn server(limits: Limits) -> Server {
    with_board(builder(&Probe::new())).limits(limits).build().expect("a server")
}

async fn web() -> (Web, Server) {
    let server = server(Limits::default());
    (Web::start(server.clone()).await, server)
}

async fn listen(web: &Web, session: &str) -> Sse {
    Sse::of(web.get(session).send().await.expect("a stream"))
}

/// Reads the first event, so that what comes next comes while it listens.
async fn listening(web: &Web, session: &str) -> Sse {
    let mut stream = listen(web, session).await;
    assert_eq!(stream.event().await.data, "", "the first event is there for its id");
    stream
}

async fn subscribe(web: &Web, session: &str, method: &str, uri: &str) {
    let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": {"uri": uri}});
    let answer = body(web.legacy(session, &request).send().await.expect("an answer")).await;
    assert_eq!(answer["result"], json!({}), "{answer}");
}

fn updated(uri: &str) -> Value {
    json!({"jsonrpc": "2.0", "method": "notifications/resources/updated", "params": {"uri": uri}})
}

#[tokio::test]
async fn it_tells_what_has_changed() {
    let (web, server) = web().await;
    let session = web.initialize("2025-11-25").await;
    subscribe(&web, &session, "resources/subscribe", "test:a").await;
    subscribe(&web, &session, "resources/subscribe", "test:b").await;
    let mut stream = listening(&web, &session).await;
    server.notifier().resource_updated("test:a");
    assert_eq!(stream.message().await, updated("test:a"));

    subscribe(&web, &session, "resources/unsubscribe", "test:a").await;
    subscribe(&web, &session, "resources/subscribe", "test:c").await;
    for uri in ["test:a", "test:unheard", "test:c"] {
        server.notifier().resource_updated(uri);
    }
    assert_eq!(stream.message().await, updated("test:c"), "what it subscribes to, and nothing else");

    assert!(server.remove_tool("count"));
    assert_eq!(stream.message().await["method"], "notifications/tools/list_changed");
}

#[tokio::test]
async fn the_stream_of_a_request_has_nothing_of_it() {
    let (builder, strings) = puppet(with_board(builder(&Probe::new())), "puppet");
    let server = builder.build().expect("a server");
    let web = Web::start(server.clone()).await;
    let session = web.initialize("2025-11-25").await;
    let mut stream = listening(&web, &session).await;
    strings.pull(super::puppet::Step::Progress(1));
    let request = web.legacy(&session, &call(1, "puppet", &json!({})));
    let answering = Sse::of(request.send().await.expect("a stream"));
    server.notifier().tools_changed();
    assert_eq!(stream.message().await["method"], "notifications/tools/list_changed");
    strings.end("done");
    let events = answering.rest().await;
    assert!(events.iter().all(|event| !event.data.contains("list_changed")), "{events:?}");
}

#[tokio::test]
async fn what_changes_between_two_connections_comes_on_the_second() {
    let (web, server) = web().await;
    let session = web.initialize("2025-11-25").await;
    subscribe(&web, &session, "resources/subscribe", "test:a").await;
    let mut stream = listening(&web, &session).await;
    server.notifier().tools_changed();
    let first = stream.event().await;
    drop(stream);
    for _ in 0..3 {
        server.notifier().resource_updated("test:a");
    }
    let again = web.get_after(&session, first.id()).send().await.expect("a stream");
    let mut again = Sse::of(again);
    assert_eq!(again.message().await, updated("test:a"));
    server.notifier().resources_changed();
    assert_eq!(again.message().await["method"], "notifications/resources/list_changed", "and once only");
}

#[tokio::test]
async fn what_was_lost_on_the_way_comes_again() {
    let (web, server) = web().await;
    let session = web.initialize("2025-11-25").await;
    let mut stream = listen(&web, &session).await;
    let priming = stream.event().await;
    server.notifier().tools_changed();
    let lost = stream.event().await;
    drop(stream);
    let mut again = Sse::of(web.get_after(&session, priming.id()).send().await.expect("a stream"));
    assert_eq!(again.event().await, lost);
}

#[tokio::test]
async fn a_second_connection_takes_over() {
    let (web, server) = web().await;
    let session = web.initialize("2025-11-25").await;
    let first = listening(&web, &session).await;
    let mut second = listening(&web, &session).await;
    assert_eq!(first.rest().await, [], "a message goes out on one stream");
    server.notifier().tools_changed();
    assert_eq!(second.message().await["method"], "notifications/tools/list_changed");
}

#[tokio::test]
async fn sessions_have_one_each() {
    let (web, server) = web().await;
    let (one, other) = (web.initialize("2025-11-25").await, web.initialize("2025-06-18").await);
    subscribe(&web, &one, "resources/subscribe", "test:a").await;
    let mut ones = listening(&web, &one).await;
    let mut others = listen(&web, &other).await;
    server.notifier().resource_updated("test:a");
    server.notifier().tools_changed();
    let mut seen = vec![ones.message().await["method"].clone(), ones.message().await["method"].clone()];
    seen.sort_by_key(Value::to_string);
    assert_eq!(seen, ["notifications/resources/updated", "notifications/tools/list_changed"]);
    let event = others.event().await;
    assert_eq!(
        event.message()["method"],
        "notifications/tools/list_changed",
        "nothing of the other's, and no event without data in 2025-06-18"
    );
}

#[tokio::test]
async fn it_ends_with_the_session_and_with_the_server() {
    let (web, server) = web().await;
    let session = web.initialize("2025-11-25").await;
    let stream = listening(&web, &session).await;
    web.end(&session).await;
    assert_eq!(stream.rest().await, []);
    assert_eq!(web.get(&session).send().await.expect("an answer").status(), 404);

    let session = web.initialize("2025-11-25").await;
    let stream = listening(&web, &session).await;
    server.close_streams();
    assert_eq!(stream.rest().await, []);
}

#[tokio::test]
async fn it_ends_when_the_session_expires() {
    let sessions = SessionLimits { idle_timeout: Duration::from_millis(100), ..SessionLimits::default() };
    let web = Web::start(server(Limits { sessions, ..Limits::default() })).await;
    let session = web.initialize("2025-11-25").await;
    let stream = listening(&web, &session).await;
    assert_eq!(stream.rest().await, []);
    assert_eq!(web.get(&session).send().await.expect("an answer").status(), 404);
}

#[tokio::test]
async fn streams_are_few() {
    let web = Web::start(server(Limits { max_streams: 1, ..Limits::default() })).await;
    let (one, other) = (web.initialize("2025-11-25").await, web.initialize("2025-11-25").await);
    let mut stream = listen(&web, &one).await;
    let priming = stream.event().await;
    let refused = web.get(&other).send().await.expect("an answer");
    assert_eq!(
        (refused.status().as_u16(), &refused.headers()["retry-after"]),
        (503, &"1".parse().expect("1"))
    );
    assert!(body(refused).await["error"]["message"].as_str().expect("a message").contains("try again"));
    let over = Sse::of(web.get_after(&one, priming.id()).send().await.expect("a stream"));
    assert_eq!(stream.rest().await, [], "a place is taken over with the stream");
    drop(over);
    let freed = async { while web.get(&other).send().await.expect("an answer").status() == 503 {} };
    tokio::time::timeout(Duration::from_secs(5), freed).await.expect("a disconnect frees the place");
}

#[tokio::test]
async fn silence_is_filled_with_comments() {
    let config = HttpConfig { keep_alive: Duration::from_millis(10), ..HttpConfig::default() };
    let web = Web::with(router(server(Limits::default()), config)).await;
    let session = web.initialize("2025-11-25").await;
    let mut stream = listening(&web, &session).await;
    for _ in 0..2 {
        assert_eq!(stream.any().await, Some(Event { comment: true, ..Event::default() }));
    }
}

#[tokio::test]
async fn nothing_is_kept_for_a_client_that_does_not_come_back() {
    let server = server(Limits::default());
    let streams = StreamLimits { kept_for: Duration::from_millis(20), ..StreamLimits::default() };
    let web = Web::with(router(server.clone(), HttpConfig { streams, ..HttpConfig::default() })).await;
    let session = web.initialize("2025-11-25").await;
    subscribe(&web, &session, "resources/subscribe", "test:a").await;
    let stream = listening(&web, &session).await;
    assert!(server.notifier().has_listeners("test:a"));
    drop(stream);
    let gone = async {
        while server.notifier().has_listeners("test:a") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), gone).await.expect("it is given up");
    let mut stream = listening(&web, &session).await;
    server.notifier().resource_updated("test:a");
    assert_eq!(stream.message().await, updated("test:a"), "and made anew when it does");
}

#[tokio::test]
async fn what_is_refused() {
    let (web, _) = web().await;
    let session = web.initialize("2025-11-25").await;
    let get = |headers: &[(&'static str, &str)]| {
        let mut request = web.client.get(&web.url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send()
    };
    let accept = ("accept", "text/event-stream");
    let own = ("mcp-session-id", session.as_str());
    let legacy = ("mcp-protocol-version", "2025-11-25");
    let modern = ("mcp-protocol-version", "2026-07-28");
    let cases = [
        ("no session", vec![accept, legacy], 400),
        ("no such session", vec![accept, legacy, ("mcp-session-id", "nope")], 404),
        ("a revision that isn't served", vec![accept, own, ("mcp-protocol-version", "2024-11-05")], 400),
        ("takes JSON alone", vec![("accept", "application/json"), own, legacy], 406),
        ("the modern era", vec![accept, modern], 405),
        ("the modern era with a session", vec![accept, own, modern], 405),
        ("a browser", vec![("accept", "text/html,*/*")], 405),
    ];
    for (what, headers, status) in cases {
        let response = get(&headers).await.expect("an answer");
        assert_eq!(response.status(), status, "{what}");
        let allow = response.headers().get("allow").map(|allow| allow.to_str().expect("ASCII").to_owned());
        assert_eq!(allow.as_deref(), (status == 405).then_some("POST"), "{what}");
        assert!(body(response).await["error"]["message"].is_string(), "{what}");
    }
    let by_the_session = get(&[accept, own]).await.expect("a stream");
    assert_eq!(by_the_session.status(), 200, "the session knows its revision");
}
