//! Questions of the server, and who answers them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use jsonrpsee::types::ErrorObjectOwned;
use serde_json::{Value, json};
use tokio::sync::{Notify, watch};

use super::fake::{Answer, Fake, Seen, asked, event, soon, text_result, told};
use super::over_stream::{legacy, open_with};
use crate::client::{
    CallOptions, ClientError, HttpOptions, InputHandler, Peer, PeerOptions, form_defaults, input_fn,
};
use crate::error::{METHOD_NOT_FOUND, error};
use crate::wire::{Elicitation, InputKind, InputRequest};

/// Answers forms with their defaults, and tells the roots; what it was asked is kept.
fn handler(seen: &Arc<Mutex<Vec<InputRequest>>>) -> Arc<dyn InputHandler> {
    let seen = Arc::clone(seen);
    input_fn([InputKind::ElicitForm, InputKind::Roots], move |question| {
        seen.lock().unwrap().push(question.clone());
        async move { answer(&question) }
    })
}

fn answer(question: &InputRequest) -> Result<Value, ErrorObjectOwned> {
    match question {
        InputRequest::Elicit(Elicitation::Form { message, .. }) if message == "refuse" => {
            Err(error(-1, "the person is not here"))
        }
        InputRequest::Elicit(Elicitation::Form { requested_schema, .. }) => {
            Ok(json!({"action": "accept", "content": form_defaults(requested_schema)}))
        }
        InputRequest::ListRoots(_) => Ok(json!({"roots": [{"uri": "file:///home"}]})),
        other => panic!("{other:?} was not offered"),
    }
}

fn form(message: &str) -> Value {
    let schema = json!({"type": "object", "properties": {
        "name": {"type": "string", "default": "John"}, "age": {"type": "integer"}, "sure": {"type": "boolean", "default": true}
    }});
    json!({"message": message, "requestedSchema": schema})
}

fn with(on_input: Arc<dyn InputHandler>) -> PeerOptions {
    PeerOptions {
        on_input: Some(on_input),
        probe_timeout: Duration::from_millis(100),
        ..PeerOptions::default()
    }
}

async fn connect(fake: &Fake, peer: PeerOptions) -> Peer {
    Peer::connect_http(&fake.url, HttpOptions { peer, ..HttpOptions::default() }).await.unwrap()
}

/// A modern server whose methods ask twice before they answer with `done`.
fn two_rounds(seen: &Seen, done: &Value) -> Answer {
    let params = &seen.body["params"];
    let result = match (params.get("requestState"), params.get("inputResponses")) {
        (None, None) => {
            json!({"resultType": "input_required", "requestState": "{\"opaque\": 1 }", "inputRequests": {
                "who": {"method": "elicitation/create", "params": form("Who?")}, "where": {"method": "roots/list"}
            }})
        }
        (Some(state), Some(answers)) if answers.get("who").is_some() => {
            assert_eq!(state, "{\"opaque\": 1 }");
            assert_eq!(
                answers["who"],
                json!({"action": "accept", "content": {"name": "John", "sure": true}})
            );
            assert_eq!(answers["where"]["roots"][0]["uri"], "file:///home");
            json!({"resultType": "input_required", "inputRequests": {
                "more": {"method": "elicitation/create", "params": form("More?")}
            }})
        }
        (None, Some(answers)) => {
            assert_eq!(answers.as_object().unwrap().keys().collect::<Vec<_>>(), ["more"]);
            done.clone()
        }
        other => panic!("{other:?}"),
    };
    Answer::json(200, &seen.result(&result))
}

#[tokio::test]
async fn a_modern_call_is_made_again_with_the_answers() {
    let fake = Fake::modern(|seen| match seen.method() {
        "tools/call" => two_rounds(seen, &text_result("done")),
        "prompts/get" => two_rounds(
            seen,
            &json!({"messages": [{"role": "user", "content": {"type": "text", "text": "hi"}}]}),
        ),
        "resources/read" => {
            two_rounds(seen, &json!({"contents": [{"uri": "x://1", "text": "t"}], "resultType": "complete"}))
        }
        method => panic!("{method}"),
    })
    .await;
    let questions = Arc::default();
    let peer = connect(&fake, with(handler(&questions))).await;
    let result = peer.call_tool("t", json!({"keep": 1}), CallOptions::default()).await.unwrap();
    assert_eq!(result.content, text_result_content("done"));
    peer.get_prompt("p", serde_json::Map::new(), CallOptions::default()).await.unwrap();
    let read = peer.read_resource("x://1", CallOptions::default()).await.unwrap();
    assert_eq!(read.contents[0].text.as_deref(), Some("t"));
    assert_eq!(questions.lock().unwrap().len(), 9, "three rounds of each method ask three questions");

    let calls: Vec<Seen> = fake.seen().into_iter().filter(|seen| seen.method() == "tools/call").collect();
    assert_eq!(calls.len(), 3);
    assert!(calls[0].id() != calls[1].id() && calls[1].id() != calls[2].id());
    for call in &calls {
        assert_eq!(call.body["params"]["arguments"], json!({"keep": 1}));
        assert_eq!(call.header("mcp-name"), "t");
        let capabilities = &call.body["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"];
        assert_eq!(capabilities, &json!({"elicitation": {"form": {}}, "roots": {}}));
    }
}

fn text_result_content(text: &str) -> Vec<crate::wire::Content> {
    vec![crate::wire::Content::text(text)]
}

#[tokio::test]
async fn what_cant_be_answered_is_an_error_that_says_so() {
    let fake = Fake::modern(|seen| {
        let question = match seen.body["params"]["name"].as_str().unwrap() {
            "form" => json!({"method": "elicitation/create", "params": form("refuse")}),
            "url" => json!({"method": "elicitation/create", "params": {"mode": "url", "message": "m", "url": "https://x"}}),
            "sample" => json!({"method": "sampling/createMessage", "params": {"messages": [], "maxTokens": 1}}),
            "unknown" => json!({"method": "secrets/list"}),
            "shapeless" => json!({"method": "elicitation/create", "params": {"message": 7}}),
            "state" => return Answer::json(200, &seen.result(&json!({"resultType": "input_required", "requestState": "s"}))),
            "empty" => return Answer::json(200, &seen.result(&json!({"resultType": "input_required"}))),
            "crowd" => {
                let crowd: Value = (0..100).map(|n| (n.to_string(), json!({"method": "roots/list"}))).collect();
                return Answer::json(200, &seen.result(&json!({"resultType": "input_required", "inputRequests": crowd})));
            }
            "other" => return Answer::json(200, &seen.result(&json!({"resultType": "\u{1b}[2J"}))),
            name => panic!("{name}"),
        };
        let result = json!({"resultType": "input_required", "inputRequests": {"q": question}});
        Answer::json(200, &seen.result(&result))
    })
    .await;
    let peer = connect(&fake, with(handler(&Arc::default()))).await;
    let deaf = connect(&fake, PeerOptions::default()).await;
    let call =
        async |peer: &Peer, name| peer.call_tool(name, json!({}), CallOptions::default()).await.unwrap_err();
    assert!(
        matches!(call(&peer, "form").await, ClientError::InputRefused { message, .. } if message == "the person is not here")
    );
    for (peer, name, method) in [
        (&peer, "url", "elicitation/create"),
        (&peer, "sample", "sampling/createMessage"),
        (&deaf, "form", "elicitation/create"),
    ] {
        let error = call(peer, name).await;
        assert!(
            matches!(&error, ClientError::InputNeeded { asked, .. } if asked == method),
            "{name}: {error:?}"
        );
        assert!(error.remedy().unwrap().contains("input handler"), "{name}");
    }
    for name in ["unknown", "shapeless", "empty", "crowd", "other"] {
        let error = call(&peer, name).await;
        assert!(matches!(error, ClientError::Protocol { .. }), "{name}: {error:?}");
        assert!(!error.to_string().contains('\u{1b}'), "{name}");
    }
    let before = fake.seen().len();
    assert!(call(&deaf, "state").await.to_string().contains("again and again"));
    assert!(fake.seen().len() - before < 50, "it is given up");
}

#[tokio::test]
async fn a_legacy_server_asks_on_any_stream() {
    let (answer, feed) = Answer::live(": open\n\n");
    let answer = Mutex::new(Some(answer));
    let call = Mutex::new(None);
    let fake = Fake::legacy(move |seen| match (seen.verb.as_str(), seen.method()) {
        ("GET", _) => answer.lock().unwrap().take().unwrap_or_else(|| Answer::new(405, "", "")),
        (_, "tools/call") => {
            let questions = [
                event(&asked("ping", "ping", &json!({}))),
                event(&asked("form", "elicitation/create", &form("Who?"))),
                event(&asked(
                    "url",
                    "elicitation/create",
                    &json!({"mode": "url", "message": "m", "url": "https://x"}),
                )),
                event(&asked("sample", "sampling/createMessage", &json!({"messages": [], "maxTokens": 1}))),
                event(&asked("odd", "secrets/list", &json!({}))),
            ];
            let (answer, feed) = Answer::live(&questions.concat());
            *call.lock().unwrap() = Some((seen.clone(), feed));
            answer
        }
        _ if seen.id() == "form" => {
            // The tool goes on with the answer.
            let (call, feed) = call.lock().unwrap().take().unwrap();
            feed.try_send(event(&call.result(&text_result("done")))).unwrap();
            Answer::accepted()
        }
        _ => Answer::accepted(),
    })
    .await;
    let peer = connect(&fake, with(handler(&Arc::default()))).await;
    assert_eq!(fake.count(|seen| seen.verb == "GET"), 1, "questions may come before the first call");
    let initialize = fake.wait_for(|seen| seen.method() == "initialize").await;
    assert_eq!(initialize.body["params"]["capabilities"], json!({"elicitation": {"form": {}}, "roots": {}}));

    soon(peer.call_tool("x", json!({}), CallOptions::default())).await.unwrap();
    feed.send(event(&asked("roots", "roots/list", &json!({})))).await.unwrap();
    let said = async |id: &str| soon(fake.wait_for(|seen| seen.id() == id)).await;
    assert_eq!(said("ping").await.body["result"], json!({}));
    assert_eq!(said("form").await.body["result"]["content"], json!({"name": "John", "sure": true}));
    assert_eq!(said("url").await.body["error"]["code"], -32602);
    assert_eq!(said("sample").await.body["error"]["code"], METHOD_NOT_FOUND);
    assert_eq!(said("odd").await.body["error"]["code"], METHOD_NOT_FOUND);
    let roots = said("roots").await;
    assert_eq!(roots.body["result"]["roots"][0]["uri"], "file:///home");
    assert_eq!(roots.header("mcp-session-id"), "s0");
    assert_eq!(roots.header("mcp-protocol-version"), "2025-11-25");
}

#[tokio::test]
async fn a_call_is_not_late_while_a_person_thinks() {
    let (asked_now, think) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (tell, thought) = (Arc::clone(&asked_now), Arc::clone(&think));
    let on_input = input_fn([InputKind::ElicitForm], move |_| {
        let (tell, thought) = (Arc::clone(&tell), Arc::clone(&thought));
        async move {
            tell.notify_one();
            thought.notified().await;
            Ok(json!({"action": "decline"}))
        }
    });
    let (peer, mut far) = open_with(with(on_input), legacy).await;
    let peer = peer.unwrap();
    let timeout = Duration::from_millis(300);
    let call = peer.call_tool("x", json!({}), CallOptions::default().within(timeout));
    let server = async {
        let call = far.next().await;
        far.say(&asked("q", "elicitation/create", &form("Who?"))).await;
        asked_now.notified().await;
        tokio::time::sleep(timeout * 3 / 2).await;
        think.notify_one();
        let answer = far.next().await;
        assert_eq!((&answer["id"], &answer["result"]), (&json!("q"), &json!({"action": "decline"})));
        far.answer(&call, &text_result("done")).await;
    };
    let (result, ()) = soon(async { tokio::join!(call, server) }).await;
    result.unwrap();
}

/// Counts the questions that the handler has taken, and those that were dropped.
struct Taken(watch::Sender<(u32, u32)>);

impl Taken {
    fn new(counts: &watch::Sender<(u32, u32)>) -> Taken {
        counts.send_modify(|counts| counts.0 += 1);
        Taken(counts.clone())
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.0.send_modify(|counts| counts.1 += 1);
    }
}

#[tokio::test]
async fn a_question_is_dropped_when_it_is_taken_back_or_the_server_is_gone() {
    let counts = watch::Sender::new((0, 0));
    let shared = counts.clone();
    let on_input = input_fn([InputKind::Sampling], move |_| {
        let taken = Taken::new(&shared);
        async move {
            let _taken = taken;
            std::future::pending().await
        }
    });
    let mut counted = counts.subscribe();
    let mut until = async |taken, dropped| {
        soon(counted.wait_for(|counts| *counts == (taken, dropped))).await.unwrap();
    };
    let (peer, mut far) = open_with(with(on_input), legacy).await;
    let peer = peer.unwrap();
    let sample = json!({"messages": [], "maxTokens": 1});
    far.say(&asked("one", "sampling/createMessage", &sample)).await;
    until(1, 0).await;
    far.say(&told("notifications/cancelled", &json!({"requestId": "unheard of"}))).await;
    far.say(&told("notifications/cancelled", &json!({"requestId": "one"}))).await;
    until(1, 1).await;

    // Many at once are not all taken.
    for id in 0..20 {
        far.say(&asked(&id.to_string(), "sampling/createMessage", &sample)).await;
    }
    for _ in 0..4 {
        assert_eq!(soon(far.next()).await["error"]["code"], crate::error::OVERLOADED);
    }
    until(17, 1).await;
    drop(far);
    until(17, 17).await;
    assert!(peer.ping().await.is_err());
}
