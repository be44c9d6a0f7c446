//! What the client is asked in the middle of a legacy request, and its answers.

use serde_json::{Value, json};

use super::puppet::{Step, Strings, puppet, text_of};
use super::sse::Sse;
use super::{Web, body, call, initialize};
use crate::testing::{Probe, builder};

async fn web() -> (Web, Strings) {
    let (builder, strings) = puppet(builder(&Probe::new()), "puppet");
    (Web::start(builder.build().expect("a server")).await, strings)
}

/// A session of a client that can be asked.
async fn open(web: &Web) -> String {
    let mut opening = initialize("2025-11-25");
    opening["params"]["capabilities"] = json!({"elicitation": {}});
    let response = web.post(&opening).send().await.expect("an answer");
    response.headers()["mcp-session-id"].to_str().expect("ASCII").to_owned()
}

async fn ask(web: &Web, session: &str) -> Sse {
    let request = web.legacy(session, &call(1, "puppet", &json!({})));
    let mut stream = Sse::of(request.send().await.expect("a stream"));
    assert_eq!(stream.event().await.data, "");
    stream
}

fn accepted(question: &Value) -> Value {
    assert_eq!(question["method"], "elicitation/create");
    assert_eq!(question["params"]["message"], "who?");
    json!({"jsonrpc": "2.0", "id": question["id"], "result": {"action": "accept", "content": {}}})
}

async fn status(web: &Web, session: &str, answer: &Value) -> u16 {
    web.legacy(session, answer).send().await.expect("an answer").status().as_u16()
}

#[tokio::test]
async fn a_question_comes_on_the_stream_of_its_request_and_its_answer_by_post() {
    let (web, strings) = web().await;
    let session = open(&web).await;
    strings.pull(Step::Ask);
    let mut stream = ask(&web, &session).await;
    let answer = accepted(&stream.message().await);

    let other = open(&web).await;
    assert_eq!(status(&web, &other, &answer).await, 400, "only the client that was asked can answer");
    assert_eq!(status(&web, &session, &answer).await, 202);
    assert_eq!(text_of(&stream.message().await), "Accept");
    let again = web.legacy(&session, &answer).send().await.expect("an answer");
    assert_eq!(again.status(), 400);
    let again = body(again).await;
    assert!(again.get("id").is_none(), "{again}");
    assert!(again["error"]["message"].as_str().expect("a message").contains("waits"), "{again}");
}

#[tokio::test]
async fn a_refusal_of_the_client_is_the_tools_to_deal_with() {
    let (web, strings) = web().await;
    let session = open(&web).await;
    strings.pull(Step::Ask);
    let mut stream = ask(&web, &session).await;
    let question = stream.message().await;
    let error = json!({"code": -1, "message": "not now"});
    let answer = json!({"jsonrpc": "2.0", "id": question["id"], "error": error});
    assert_eq!(status(&web, &session, &answer).await, 202);
    let result = stream.message().await;
    assert_eq!(result["result"]["isError"], true);
    assert!(text_of(&result).contains("not now"), "{result}");
}

#[tokio::test]
async fn a_question_that_was_lost_with_the_connection_comes_again() {
    let (web, strings) = web().await;
    let session = open(&web).await;
    strings.pull(Step::Progress(1));
    let request = web.legacy(&session, &call(1, "puppet", &json!({})));
    let mut stream = Sse::of(request.send().await.expect("a stream"));
    let priming = stream.event().await;
    drop(stream);
    strings.pull(Step::Ask);
    let mut stream = Sse::of(web.get_after(&session, priming.id()).send().await.expect("a stream"));
    assert_eq!(stream.message().await["method"], "notifications/progress");
    let answer = accepted(&stream.message().await);
    assert_eq!(status(&web, &session, &answer).await, 202);
    assert_eq!(text_of(&stream.message().await), "Accept");
}

#[tokio::test]
async fn who_cannot_be_asked_is_not_waited_for() {
    let (web, strings) = web().await;
    let session = open(&web).await;
    strings.pull(Step::Ask);
    let request = web.legacy(&session, &call(1, "puppet", &json!({})));
    let mut request = request.build().expect("a request");
    request.headers_mut().insert("accept", "application/json".parse().expect("a value"));
    let answer = body(web.client.execute(request).await.expect("an answer")).await;
    assert_eq!(answer["error"]["code"], -32021, "it takes no stream to be asked on: {answer}");

    let incapable = web.initialize("2025-11-25").await;
    strings.pull(Step::Ask);
    let answer = web.legacy(&incapable, &call(2, "puppet", &json!({}))).send().await.expect("an answer");
    assert_eq!(answer.json::<Value>().await.expect("JSON")["error"]["code"], -32021);
}

#[tokio::test]
async fn the_end_of_the_session_ends_the_wait() {
    let (web, strings) = web().await;
    let session = open(&web).await;
    strings.pull(Step::Ask);
    let mut stream = ask(&web, &session).await;
    let answer = accepted(&stream.message().await);
    web.end(&session).await;
    assert_eq!(stream.rest().await, []);
    assert_eq!(status(&web, &session, &answer).await, 404);
}
