//! Requests in rounds: a modern handler asks, and runs again with the answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use jsonrpsee::types::ErrorObjectOwned;
use serde_json::{Map, Value, json};

use super::{builder, form};
use crate::connection::testing::{Client, call};
use crate::server::state::{Seal, State, fingerprint};
use crate::testing::{Caller, FnTool};
use crate::wire::{ElicitAction, ElicitResult, Era, ResourceDescription};
use crate::{
    CacheHints, CallContext, InputRequest, Page, ResourceReply, Resources, Server, ServerInfo, ToolError,
    error,
};

const KEY: [u8; 32] = [7; 32];

/// How often the handler began, and how often it got to its effect.
#[derive(Default)]
struct Counted {
    begun: AtomicUsize,
    done: AtomicUsize,
}

/// Asks for a name, then what that name wants, and serves it.
fn waiter(counted: Arc<Counted>) -> FnTool {
    FnTool::new("serve", move |cx, _| {
        let counted = Arc::clone(&counted);
        async move {
            counted.begun.fetch_add(1, Ordering::Relaxed);
            let guest: ElicitResult = cx.input("guest", form("name")).await?;
            if guest.action != ElicitAction::Accept {
                return Err(ToolError::new("no_guest", "nobody is to be served"));
            }
            let name = guest.content["name"].as_str().unwrap_or_default().to_owned();
            let order: ElicitResult = cx.input(&format!("order of {name}"), form("dish")).await?;
            counted.done.fetch_add(1, Ordering::Relaxed);
            Ok(json!({"name": name, "dish": order.content["dish"]}).into())
        }
    })
}

async fn caller() -> (Caller, Arc<Counted>) {
    let (server, counted) = server();
    (Caller::of(&server).await, counted)
}

fn server() -> (Server, Arc<Counted>) {
    let counted = Arc::new(Counted::default());
    let at_once = FnTool::new("at_once", |cx, _| async move {
        let (name, rest) = futures::try_join!(
            cx.input::<Value>("name", form("name")),
            cx.inputs(vec![
                ("roots".to_owned(), InputRequest::roots()),
                ("haiku".to_owned(), InputRequest::sample("A haiku", 50)),
            ]),
        )?;
        Ok(json!({"name": name["content"], "rest": rest}).into())
    });
    let server = builder().dyn_tool(waiter(Arc::clone(&counted))).dyn_tool(at_once).state_key(KEY).build();
    (server.unwrap(), counted)
}

fn accepted(content: &Value) -> Value {
    json!({"action": "accept", "content": content})
}

/// The parameters of a call of `serve`.
fn serve(state: Option<&Value>, responses: &Value) -> Value {
    let mut params =
        json!({"name": "serve", "arguments": {"table": 4, "seat": 2}, "inputResponses": responses});
    if let Some(state) = state {
        params["requestState"] = state.clone();
    }
    params
}

/// The state of a call that was asked for the name and told it.
async fn named(caller: &Caller) -> Value {
    let responses = json!({"guest": accepted(&json!({"name": "Ann"}))});
    caller.ask("tools/call", serve(None, &responses)).await["requestState"].take()
}

/// The keys of the questions, if it is asked anything.
fn asked(result: &Value) -> Vec<&str> {
    let asks = result["resultType"] == "input_required";
    let questions = result["inputRequests"].as_object().filter(|_| asks);
    questions.expect("questions").keys().map(String::as_str).collect()
}

#[tokio::test]
async fn a_handler_runs_again_until_it_knows_enough() {
    let (caller, counted) = caller().await;
    let first =
        caller.ask("tools/call", json!({"name": "serve", "arguments": {"table": 4, "seat": 2}})).await;
    assert_eq!(asked(&first), ["guest"]);
    let question = &first["inputRequests"]["guest"];
    assert_eq!(
        (&question["method"], &question["params"]["message"]),
        (&json!("elicitation/create"), &json!("name?"))
    );
    assert!(first.get("content").is_none(), "{first}");
    assert!(first["_meta"]["io.modelcontextprotocol/serverInfo"].is_object());

    let guest = json!({"guest": accepted(&json!({"name": "Ann"}))});
    let second = caller.ask("tools/call", serve(Some(&first["requestState"]), &guest)).await;
    assert_eq!(asked(&second), ["order of Ann"]);
    assert_ne!(first["requestState"], second["requestState"]);
    assert_eq!(counted.done.load(Ordering::Relaxed), 0);

    let order = json!({"order of Ann": accepted(&json!({"dish": "soup"}))});
    let third = caller.ask("tools/call", serve(Some(&second["requestState"]), &order)).await;
    assert_eq!(third["resultType"], "complete");
    assert_eq!(third["structuredContent"], json!({"name": "Ann", "dish": "soup"}));
    assert!(third.get("requestState").is_none());
    let counts = (counted.begun.load(Ordering::Relaxed), counted.done.load(Ordering::Relaxed));
    assert_eq!(counts, (3, 1), "from its start each time, and to its effect once");
}

#[tokio::test]
async fn questions_that_come_together_are_asked_together() {
    let (caller, _) = caller().await;
    let call = json!({"name": "at_once", "arguments": {}});
    let first = caller.ask("tools/call", call.clone()).await;
    assert_eq!(asked(&first), ["name", "roots", "haiku"]);
    let methods: Vec<_> =
        first["inputRequests"].as_object().unwrap().values().map(|open| &open["method"]).collect();
    assert_eq!(methods, ["elicitation/create", "roots/list", "sampling/createMessage"]);

    let answers = json!({
        "name": accepted(&json!({"name": "Ann"})),
        "haiku": {"role": "assistant", "content": {"type": "text", "text": "…"}, "model": "m"},
        "roots": {"roots": []},
    });
    let mut partly = call.clone();
    partly["inputResponses"] = json!({"name": answers["name"], "haiku": answers["haiku"], "more": 12});
    partly["requestState"] = first["requestState"].clone();
    let second = caller.ask("tools/call", partly).await;
    assert_eq!(asked(&second), ["roots"], "what is missing is asked again");
    let mut rest = call;
    rest["inputResponses"] = json!({"roots": answers["roots"]});
    rest["requestState"] = second["requestState"].clone();
    let done = caller.ask("tools/call", rest).await;
    let expected = json!({"name": {"name": "Ann"}, "rest": [answers["roots"], answers["haiku"]]});
    assert_eq!(done["structuredContent"], expected, "in the order of the questions");
}

#[tokio::test]
async fn an_answer_that_is_none_is_asked_for_again() {
    let (caller, _) = caller().await;
    let misfits = [
        json!({}),
        json!({"name": accepted(&json!({"name": "Ann"}))}),
        json!({"guest": 12}),
        json!({"guest": {"action": "perhaps"}}),
        json!({"guest": {"action": "accept"}}),
        json!({"guest": accepted(&json!({"name": 12}))}),
        json!({"guest": {"content": {"name": "Ann"}}}),
    ];
    for responses in misfits {
        let again = caller.ask("tools/call", serve(None, &responses)).await;
        assert_eq!(asked(&again), ["guest"], "{responses}");
    }
    for action in ["decline", "cancel"] {
        let told = caller.ask("tools/call", serve(None, &json!({"guest": {"action": action}}))).await;
        assert_eq!(
            (&told["resultType"], &told["isError"]),
            (&json!("complete"), &json!(true)),
            "a no is an answer"
        );
    }
    let call =
        json!({"name": "at_once", "inputResponses": {"roots": {"roots": "none"}, "haiku": {"text": "…"}}});
    assert_eq!(asked(&caller.ask("tools/call", call).await), ["name", "roots", "haiku"]);
    for not_an_object in [json!([]), json!("guest")] {
        assert_eq!(caller.code("tools/call", serve(None, &not_an_object)).await, -32602);
    }
}

#[tokio::test]
async fn what_a_handler_went_by_stays_as_it_was() {
    let (caller, _) = caller().await;
    let state = named(&caller).await;
    let responses = json!({
        "guest": accepted(&json!({"name": "Eve"})),
        "order of Ann": accepted(&json!({"dish": "soup"})),
        "order of Eve": accepted(&json!({"dish": "cake"})),
    });
    let done = caller.ask("tools/call", serve(Some(&state), &responses)).await;
    assert_eq!(done["structuredContent"], json!({"name": "Ann", "dish": "soup"}));

    let junk = json!({"guest": accepted(&json!({"name": "Ann"})), "junk": "x".repeat(1000), "name": 12});
    let with_junk = caller.ask("tools/call", serve(None, &junk)).await;
    let lengths = [&with_junk["requestState"], &state].map(|state| state.as_str().unwrap().len());
    assert_eq!(lengths[0], lengths[1], "what nobody has asked for isn't carried along");
}

#[tokio::test]
async fn a_state_is_good_for_its_own_request_alone() {
    let (caller, counted) = caller().await;
    let ann = caller.user("ann");
    let state = named(&ann).await;
    let order = json!({"order of Ann": accepted(&json!({"dish": "soup"}))});
    let own = serve(Some(&state), &order);
    let refused = async |caller: &Caller, method: &str, params: Value| {
        let error = caller.refused(method, params).await;
        assert_eq!(error["code"], -32602, "{error}");
        assert!(error["message"].as_str().unwrap().contains("requestState"), "{error}");
    };
    refused(&caller.user("eve"), "tools/call", own.clone()).await;
    refused(&caller, "tools/call", own.clone()).await;
    let mut elsewhere = own.clone();
    elsewhere["arguments"]["table"] = json!(5);
    refused(&ann, "tools/call", elsewhere.clone()).await;
    elsewhere["name"] = json!("at_once");
    elsewhere["arguments"] = own["arguments"].clone();
    refused(&ann, "tools/call", elsewhere).await;
    refused(&ann, "resources/read", json!({"uri": "test://asking", "requestState": state})).await;
    refused(
        &ann,
        "prompts/get",
        json!({"name": "greeting", "arguments": {"name": "x"}, "requestState": state}),
    )
    .await;

    let text = state.as_str().unwrap();
    let (payload, tag) = text.split_once('.').unwrap();
    let forged = String::from_utf8(URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap().replace("Ann", "Eve");
    let forged = format!("{}.{tag}", URL_SAFE_NO_PAD.encode(forged));
    for tampered in [forged.as_str(), &format!("{text}-"), &text[1..], payload, "", "x"] {
        refused(&ann, "tools/call", serve(Some(&json!(tampered)), &order)).await;
    }
    let request = fingerprint("tools/call", "serve", &own["arguments"]);
    let minted = |key: [u8; 32], expires_in: i64| {
        let state = State {
            expires: Timestamp::now().as_second() + expires_in,
            ..State::new(Some("ann".to_owned()), request.clone(), Map::new())
        };
        json!(Seal::new(key).seal(&state))
    };
    refused(&ann, "tools/call", serve(Some(&minted(KEY, -1)), &order)).await;
    refused(&ann, "tools/call", serve(Some(&minted([8; 32], 60)), &order)).await;
    assert_eq!(counted.done.load(Ordering::Relaxed), 0);

    let fresh = ann.ask("tools/call", serve(Some(&minted(KEY, 60)), &json!({}))).await;
    assert_eq!(asked(&fresh), ["guest"], "a server with the same key knows it");
    let mut reordered = own;
    reordered["arguments"] = json!({"seat": 2, "table": 4});
    assert_eq!(ann.ask("tools/call", reordered).await["structuredContent"]["dish"], "soup");
}

#[tokio::test]
async fn a_client_is_asked_only_what_it_can_answer() {
    let (caller, _) = caller().await;
    let cases = [
        (json!({}), json!({"elicitation": {"form": {}}})),
        (json!({"sampling": {}, "roots": {}}), json!({"elicitation": {"form": {}}})),
        (json!({"elicitation": {"url": {}}}), json!({"elicitation": {"form": {}}})),
    ];
    for (capabilities, required) in cases {
        let refused = caller.can(capabilities).refused("tools/call", json!({"name": "serve"})).await;
        assert_eq!((&refused["code"], &refused["data"]["requiredCapabilities"]), (&json!(-32021), &required));
    }
    let forms_alone = caller.can(json!({"elicitation": {}}));
    assert_eq!(asked(&forms_alone.ask("tools/call", json!({"name": "serve"})).await), ["guest"]);
    let refused = forms_alone.refused("tools/call", json!({"name": "at_once"})).await;
    assert_eq!(refused["data"]["requiredCapabilities"], json!({"roots": {}}), "none of them is asked then");
    let plain = caller.can(json!({}));
    let unread = plain.refused("resources/read", json!({"uri": "test://asking"})).await;
    assert_eq!(unread["code"], -32021);
}

#[tokio::test]
async fn reading_may_ask_too() {
    let (caller, _) = caller().await;
    let first = caller.ask("resources/read", json!({"uri": "test://asking"})).await;
    assert_eq!(asked(&first), ["who"]);
    assert!(first.get("ttlMs").is_none(), "a question isn't kept: {first}");
    let answer = json!({
        "uri": "test://asking",
        "requestState": first["requestState"],
        "inputResponses": {"who": accepted(&json!({"name": "Ann"}))},
    });
    let read = caller.ask("resources/read", answer).await;
    assert_eq!(read["contents"][0]["text"], r#"{"name":"Ann"}"#);
}

/// Asks where nobody may.
struct Nosy;

#[async_trait]
impl Resources for Nosy {
    async fn list(
        &self,
        cx: &CallContext,
        _: Option<&str>,
    ) -> Result<Page<ResourceDescription>, ErrorObjectOwned> {
        cx.input::<Value>("who", form("name")).await?;
        Ok(Page::whole(Vec::new()))
    }

    async fn read(&self, _: &CallContext, _: &str) -> Result<Option<ResourceReply>, ErrorObjectOwned> {
        Ok(None)
    }
}

#[tokio::test]
async fn no_other_method_asks() {
    let server = Server::builder(ServerInfo::default()).resources(Nosy, CacheHints::NONE).build().unwrap();
    let caller = Caller::of(&server).await;
    assert_eq!(caller.code("resources/list", json!({})).await, -32021);
}

#[tokio::test]
async fn a_legacy_client_that_cannot_answer_is_told_so() {
    let (server, _) = server();
    let mut client = Client::stdio(server.clone());
    client.initialize(&json!({})).await;
    let refused = client.ask(&call(1, "serve", json!({}))).await;
    assert_eq!(refused["error"]["code"], -32021);
    let status = error::http_status(Era::Legacy, error::MISSING_CLIENT_CAPABILITY);
    assert_eq!(status, 200, "anything else is a broken transport to it");

    let mut client = Client::stdio(server);
    client.initialize(&json!({"elicitation": {}})).await;
    let question = client.ask(&call(1, "serve", json!({}))).await;
    let misfit = accepted(&json!({"name": 12}));
    let told = client.ask(&json!({"jsonrpc": "2.0", "id": question["id"], "result": misfit})).await;
    assert_eq!(told["result"]["isError"], true);
    assert_eq!(told["result"]["_meta"]["error"]["code"], "input_invalid", "{told}");
}
