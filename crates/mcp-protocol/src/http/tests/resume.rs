//! Streams that outlive their connection.

use std::time::Duration;

use axum::Extension;
use reqwest::Response;
use serde_json::{Value, json};

use super::puppet::{Step, Strings, puppet, text_of};
use super::sse::{Event, Sse};
use super::{HttpConfig, StreamLimits, Web, body, call, router};
use crate::testing::{Probe, builder};
use crate::{Server, SessionOwner};

fn server() -> (Server, Strings) {
    let (builder, strings) = puppet(builder(&Probe::new()), "puppet");
    (builder.build().expect("a server"), strings)
}

async fn web_with(streams: StreamLimits) -> (Web, Strings) {
    let (server, strings) = server();
    (Web::with(router(server, HttpConfig { streams, ..HttpConfig::default() })).await, strings)
}

async fn web() -> (Web, Strings) {
    web_with(StreamLimits::default()).await
}

async fn start(web: &Web, session: &str, id: i64) -> Sse {
    let request = web.legacy(session, &call(id, "puppet", &json!({})));
    Sse::of(request.send().await.expect("a stream"))
}

async fn after(web: &Web, session: &str, event: &Event) -> Response {
    web.get_after(session, event.id()).send().await.expect("an answer")
}

fn progress(event: &Event) -> u64 {
    let message = event.message();
    assert_eq!(message["method"], "notifications/progress");
    message["params"]["progress"].as_f64().expect("a number") as u64
}

#[tokio::test]
async fn a_dropped_connection_loses_nothing() {
    let (web, strings) = web().await;
    let session = web.initialize("2025-11-25").await;
    strings.pull(Step::Progress(1));
    let mut stream = start(&web, &session, 1).await;
    let priming = stream.event().await;
    assert_eq!(priming.data, "", "the first event is there for its id");
    let first = stream.event().await;
    assert_eq!(progress(&first), 1);
    drop(stream);

    strings.pull(Step::Progress(2));
    strings.end("done");
    let rest = Sse::of(after(&web, &session, &first).await).rest().await;
    assert_eq!(rest.len(), 2, "{rest:?}");
    assert_eq!(progress(&rest[0]), 2);
    assert_eq!((rest[1].message()["id"].clone(), text_of(&rest[1].message())), (json!(1), "done"));

    let all = Sse::of(after(&web, &session, &priming).await).rest().await;
    assert_eq!(all, [vec![first], rest.clone()].concat(), "the same events under the same ids");
    assert_eq!(Sse::of(after(&web, &session, &rest[1]).await).rest().await, [], "nothing after the answer");
}

#[tokio::test]
async fn streams_of_2025_06_18_begin_with_a_message_and_can_be_resumed() {
    let (web, strings) = web().await;
    let session = web.initialize("2025-06-18").await;
    strings.pull(Step::Close(Duration::from_millis(1)));
    strings.pull(Step::Progress(1));
    let mut stream = start(&web, &session, 1).await;
    let first = stream.event().await;
    assert_eq!(progress(&first), 1, "no event without data, and nothing closes the stream");
    drop(stream);
    strings.end("done");
    let rest = Sse::of(after(&web, &session, &first).await).rest().await;
    assert_eq!(rest.iter().map(|event| text_of(&event.message()).to_owned()).collect::<Vec<_>>(), ["done"]);
}

#[tokio::test]
async fn ids_are_unique_in_the_session_and_lead_to_their_own_stream() {
    let (builder, one) = puppet(builder(&Probe::new()), "puppet");
    let (builder, other) = puppet(builder, "other");
    let web = Web::start(builder.build().expect("a server")).await;
    let session = web.initialize("2025-11-25").await;
    one.pull(Step::Progress(1));
    other.pull(Step::Progress(1));
    let mut first = start(&web, &session, 1).await;
    let request = web.legacy(&session, &call(2, "other", &json!({})));
    let mut second = Sse::of(request.send().await.expect("a stream"));
    let events = [first.event().await, first.event().await, second.event().await, second.event().await];
    for (at, event) in events.iter().enumerate() {
        assert!(events[..at].iter().all(|before| before.id() != event.id()), "{events:?}");
    }
    drop((first, second));
    one.end("one");
    other.end("other");
    for (event, text) in [(&events[1], "one"), (&events[3], "other")] {
        let rest = Sse::of(after(&web, &session, event).await).rest().await;
        assert_eq!(rest.len(), 1, "nothing of another stream: {rest:?}");
        assert_eq!(text_of(&rest[0].message()), text);
    }
}

async fn refused(response: Response) -> (u16, String) {
    let status = response.status().as_u16();
    let answer = body(response).await;
    assert!(answer.get("id").is_none(), "{answer}");
    (status, answer["error"]["message"].as_str().expect("a message").to_owned())
}

#[tokio::test]
async fn a_stream_is_its_sessions_own() {
    let (server, strings) = server();
    let as_owner = |owner: &str| {
        router(server.clone(), HttpConfig::default()).layer(Extension(SessionOwner(owner.to_owned())))
    };
    let alice = Web::with(as_owner("alice")).await;
    let bob = Web::with(as_owner("bob")).await;
    let session = alice.initialize("2025-11-25").await;
    let other = alice.initialize("2025-11-25").await;
    strings.pull(Step::Progress(1));
    let mut stream = start(&alice, &session, 1).await;
    let priming = stream.event().await;

    let (status, message) = refused(after(&alice, &other, &priming).await).await;
    assert_eq!(status, 400, "another session, though of the same owner");
    assert!(message.contains("there is no event"), "{message}");
    assert_eq!(refused(after(&bob, &session, &priming).await).await.0, 404, "another's session");
    let ahead = format!("{}9", priming.id());
    let unknown = ["7", "a.b", "a.b.c", ".", "a.b.-1", "a.b.99999999999999999999999", &ahead];
    for id in unknown {
        let response = alice.get_after(&session, id).send().await.expect("an answer");
        assert_eq!(refused(response).await.0, 400, "{id}");
    }
    strings.end("done");
    assert_eq!(stream.rest().await.len(), 2, "nothing of this has disturbed the stream");
}

#[tokio::test]
async fn an_ended_stream_is_kept_for_a_time() {
    let (web, strings) =
        web_with(StreamLimits { kept_for: Duration::from_millis(50), ..StreamLimits::default() }).await;
    let session = web.initialize("2025-11-25").await;
    for id in 1..3 {
        strings.pull(Step::Progress(1));
        strings.end("done");
        let events = start(&web, &session, id).await.rest().await;
        tokio::time::timeout(Duration::from_secs(5), async {
            while after(&web, &session, &events[0]).await.status() == 200 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await
        .expect("it goes");
        assert_eq!(after(&web, &session, &events[0]).await.status(), 400);
    }
}

#[tokio::test]
async fn ended_streams_are_few_and_those_that_were_read_go_first() {
    let limits = StreamLimits { max_ended_per_session: 2, ..StreamLimits::default() };
    let (web, strings) = web_with(limits).await;
    let session = web.initialize("2025-11-25").await;
    strings.pull(Step::Close(Duration::ZERO));
    let mut primings = vec![start(&web, &session, 1).await.rest().await.remove(0)];
    strings.end("done");
    for id in 2..4 {
        strings.pull(Step::Progress(1));
        strings.end("done");
        primings.push(start(&web, &session, id).await.rest().await.remove(0));
    }
    let mut statuses = Vec::new();
    for priming in &primings {
        statuses.push(after(&web, &session, priming).await.status().as_u16());
    }
    assert_eq!(statuses, [200, 400, 200]);
}

#[tokio::test]
async fn a_stream_that_nobody_reads_stays_small_and_keeps_its_answer() {
    let (web, strings) = web_with(StreamLimits { max_events: 4, ..StreamLimits::default() }).await;
    let session = web.initialize("2025-11-25").await;
    strings.pull(Step::Progress(1));
    let mut stream = start(&web, &session, 1).await;
    let priming = stream.event().await;
    drop(stream);
    for step in 2..=1000 {
        strings.pull(Step::Progress(step));
    }
    strings.end("done");
    // The place of the request is free when it has ended.
    let again = || web.legacy(&session, &call(1, "echo", &json!({"text": ""}))).send();
    while again().await.expect("an answer").status() == 400 {}
    let mut rest = Sse::of(after(&web, &session, &priming).await).rest().await;
    let answer = rest.pop().expect("an answer").message();
    assert_eq!(text_of(&answer), "done");
    let steps: Vec<u64> = rest.iter().map(progress).collect();
    assert!(steps.len() < 40, "{} of 1000", steps.len());
    assert!(steps.windows(2).all(|pair| pair[0] < pair[1]), "{steps:?}");
    assert_eq!(steps.last(), Some(&1000), "the newest is what counts");
}

#[tokio::test]
async fn a_stream_can_be_polled() {
    let (web, strings) = web().await;
    let session = web.initialize("2025-11-25").await;
    strings.pull(Step::Close(Duration::from_millis(70)));
    let closed = start(&web, &session, 1).await.rest().await;
    assert_eq!(closed.len(), 2, "{closed:?}");
    assert!(closed.iter().all(|event| event.data.is_empty()));
    assert_eq!(closed.iter().map(|event| event.retry).collect::<Vec<_>>(), [None, Some(70)]);

    let stream = Sse::of(after(&web, &session, &closed[1]).await);
    strings.pull(Step::Progress(1));
    strings.pull(Step::Close(Duration::from_millis(80)));
    let closed = stream.rest().await;
    assert_eq!(progress(&closed[0]), 1, "what is there comes before the end");
    assert_eq!(closed[1].retry, Some(80));

    strings.end("done");
    let rest = Sse::of(after(&web, &session, &closed[1]).await).rest().await;
    assert_eq!(rest.iter().map(|event| text_of(&event.message()).to_owned()).collect::<Vec<_>>(), ["done"]);
}

#[tokio::test]
async fn other_streams_are_not_closed_in_the_middle() {
    let (web, strings) = web().await;
    strings.pull(Step::Close(Duration::from_millis(1)));
    strings.end("done");
    let request = web.modern("tools/call", json!({"name": "puppet", "arguments": {}}));
    let events = Sse::of(request.send().await.expect("a stream")).rest().await;
    assert_eq!(events.len(), 1);
    assert_eq!((&events[0].id, events[0].retry), (&None, None), "the modern era has neither");
    assert_eq!(text_of(&events[0].message()), "done");
}

#[tokio::test]
async fn a_client_that_comes_back_takes_the_stream_over() {
    let (web, strings) = web().await;
    let session = web.initialize("2025-11-25").await;
    strings.pull(Step::Progress(1));
    let mut stale = start(&web, &session, 1).await;
    let priming = stale.event().await;
    let first = stale.event().await;
    let mut fresh = Sse::of(after(&web, &session, &priming).await);
    assert_eq!(fresh.event().await, first);
    strings.pull(Step::Progress(2));
    strings.end("done");
    assert_eq!(fresh.rest().await.len(), 2);
    assert_eq!(stale.rest().await, [], "it ended when the other came");
}

#[tokio::test]
async fn a_cancelled_request_leaves_no_stream() {
    let (web, strings) = web().await;
    let session = web.initialize("2025-11-25").await;
    strings.pull(Step::Progress(1));
    let mut stream = start(&web, &session, 7).await;
    let priming = stream.event().await;
    let cancel = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 7}});
    assert_eq!(web.legacy(&session, &cancel).send().await.expect("an answer").status(), 202);
    assert!(stream.rest().await.iter().all(|event| event.message().get("id").is_none()), "no answer");
    assert_eq!(after(&web, &session, &priming).await.status(), 400);
}

#[tokio::test]
async fn a_silent_call_becomes_a_stream_before_its_connection_is_lost() {
    let (server, strings) = server();
    let config = HttpConfig { keep_alive: Duration::from_millis(10), ..HttpConfig::default() };
    let web = Web::with(router(server, config)).await;
    let session = web.initialize("2025-11-25").await;
    let mut stream = start(&web, &session, 1).await;
    let priming = stream.event().await;
    assert_eq!(priming.data, "");
    assert!(stream.any().await.expect("a comment").comment, "silence is filled");
    drop(stream);
    strings.end("done");
    let rest = Sse::of(after(&web, &session, &priming).await).rest().await;
    assert_eq!(text_of(&rest[0].message()), "done");
}

#[tokio::test]
async fn the_end_of_a_session_ends_its_streams_and_calls() {
    let probe = Probe::new();
    let web = Web::start(builder(&probe).build().expect("a server")).await;
    let session = web.initialize("2025-11-25").await;
    let mut stream =
        Sse::of(web.legacy(&session, &call(1, "hang", &json!({}))).send().await.expect("a stream"));
    let _priming = stream.event().await;
    web.end(&session).await;
    probe.until(|seen| seen.dropped == 1 && seen.cancelled == 1).await;
    let left: Vec<Value> = stream.rest().await.iter().map(Event::message).collect();
    assert!(left.iter().all(|message| message.get("id").is_none()), "{left:?}");
}
