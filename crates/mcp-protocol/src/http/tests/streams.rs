//! Progress, keep-alives, disconnects and cancellation.

use std::time::Duration;

use serde_json::{Value, json};

use super::{HttpConfig, Web, body, call, events, router};
use crate::testing::{Probe, server};

fn counting() -> Value {
    json!({"name": "count", "arguments": {"to": 5}, "_meta": {"progressToken": 1}})
}

fn assert_counted(messages: &[Value]) {
    let (answer, progress) = messages.split_last().expect("an answer");
    assert_eq!(answer["result"]["structuredContent"], json!({"text": "5"}));
    assert!(!progress.is_empty());
    let steps: Vec<f64> = progress
        .iter()
        .map(|message| {
            assert_eq!(message["method"], "notifications/progress");
            assert_eq!(message["params"]["progressToken"], 1);
            message["params"]["progress"].as_f64().expect("a number")
        })
        .collect();
    assert!(steps.windows(2).all(|pair| pair[0] < pair[1]), "{steps:?}");
    assert_eq!(progress.last().map(|message| &message["params"]["total"]), Some(&json!(5.0)));
}

#[tokio::test]
async fn progress_makes_the_answer_a_stream() {
    let web = Web::start(server(&Probe::new())).await;
    assert_counted(&events(web.modern("tools/call", counting()).send().await.expect("an answer")).await);
    let session = web.initialize("2025-11-25").await;
    let request = web.legacy(&session, &call(1, "count", &json!({"to": 5})));
    assert_counted(&events(request.send().await.expect("an answer")).await);
}

#[tokio::test]
async fn without_a_token_or_a_taste_for_streams_the_answer_is_json() {
    let web = Web::start(server(&Probe::new())).await;
    let silent = json!({"name": "count", "arguments": {"to": 5}});
    let answer = body(web.modern("tools/call", silent).send().await.expect("an answer")).await;
    assert_eq!(answer["result"]["structuredContent"], json!({"text": "5"}));
    let mut request = web.modern("tools/call", counting()).build().expect("a request");
    request.headers_mut().insert("accept", "application/json".parse().expect("a value"));
    let answer = body(web.client.execute(request).await.expect("an answer")).await;
    assert_eq!(answer["result"]["structuredContent"], json!({"text": "5"}));
}

#[tokio::test]
async fn silence_is_filled_with_comments() {
    let probe = Probe::new();
    let config = HttpConfig { keep_alive: Duration::from_millis(10), ..HttpConfig::default() };
    let web = Web::with(router(server(&probe), config)).await;
    let hang = web.modern("tools/call", json!({"name": "hang", "arguments": {}}));
    let mut response = hang.send().await.expect("a stream opens before the answer is there");
    assert_eq!(response.chunk().await.expect("a chunk").as_deref(), Some(&b":\n\n"[..]));
    probe.release();
    assert!(response.text().await.expect("the rest").contains("released"));
}

#[tokio::test]
async fn a_modern_disconnect_cancels() {
    let probe = Probe::new();
    let web = Web::start(server(&probe)).await;
    let before_the_stream = web.modern("tools/call", json!({"name": "hang", "arguments": {}}));
    let waiting = tokio::spawn(before_the_stream.send());
    probe.until(|seen| seen.started == 1).await;
    waiting.abort();
    probe.until(|seen| seen.dropped == 1 && seen.cancelled == 1).await;

    let params = json!({"name": "hang", "arguments": {}, "_meta": {"progressToken": 1}});
    let mut stream = web.modern("tools/call", params).send().await.expect("a stream");
    assert!(stream.chunk().await.expect("a chunk").is_some());
    drop(stream);
    probe.until(|seen| seen.dropped == 2 && seen.cancelled == 2).await;
    assert_eq!(probe.seen().finished, 0);
}

#[tokio::test]
async fn a_legacy_disconnect_does_not_cancel() {
    let probe = Probe::new();
    let web = Web::start(server(&probe)).await;
    let session = web.initialize("2025-11-25").await;
    let waiting = tokio::spawn(web.legacy(&session, &call(1, "hang", &json!({}))).send());
    probe.until(|seen| seen.started == 1).await;
    waiting.abort();
    _ = waiting.await;
    let ping = json!({"jsonrpc": "2.0", "id": 2, "method": "ping"});
    assert_eq!(web.legacy(&session, &ping).send().await.expect("an answer").status(), 200);
    assert_eq!(probe.seen().dropped, 0);
    probe.release();
    probe.until(|seen| seen.finished == 1).await;
    assert_eq!(probe.seen().cancelled, 0);
}

#[tokio::test]
async fn a_legacy_notification_cancels() {
    let probe = Probe::new();
    let web = Web::start(server(&probe)).await;
    let session = web.initialize("2025-11-25").await;
    let other = web.initialize("2025-11-25").await;
    let waiting = tokio::spawn(web.legacy(&session, &call(7, "hang", &json!({}))).send());
    probe.until(|seen| seen.started == 1).await;
    let twin = web.legacy(&session, &call(7, "echo", &json!({"text": ""}))).send().await.expect("an answer");
    assert_eq!(twin.status(), 400, "an id that is in use");

    let params = json!({"requestId": 7, "reason": "enough"});
    let cancel = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params});
    assert_eq!(web.legacy(&other, &cancel).send().await.expect("an answer").status(), 202);
    assert_eq!(probe.seen().dropped, 0, "ids belong to a session");
    assert_eq!(web.legacy(&session, &cancel).send().await.expect("an answer").status(), 202);
    probe.until(|seen| seen.dropped == 1 && seen.cancelled == 1).await;
    let messages = events(waiting.await.expect("no panic").expect("the stream ends")).await;
    assert!(messages.iter().all(|message| message.get("id").is_none()), "no answer: {messages:?}");
    let again = web.legacy(&session, &call(7, "echo", &json!({"text": ""}))).send().await.expect("an answer");
    assert_eq!(again.status(), 200, "the id is free again");
}
