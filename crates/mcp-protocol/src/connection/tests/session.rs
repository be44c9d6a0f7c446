//! What a connection keeps for its legacy session, and what it asks of the client.

use async_trait::async_trait;
use serde_json::{Map, Value, json};

use crate::connection::testing::{Client, call, clients, modern, request};
use crate::testing::{Probe, builder};
use crate::wire::{ElicitResult, ToolDescription};
use crate::{CallContext, DynTool, InputRequest, LogLevel, Server, ToolError, ToolReply};

/// Logs, asks, or tells what its session knows of it.
struct Chatty;

#[async_trait]
impl DynTool for Chatty {
    fn description(&self) -> ToolDescription {
        let input_schema = json!({"type": "object", "properties": {"do": {"enum": ["log", "ask", "tell"]}}});
        ToolDescription { name: "chatty".to_owned(), input_schema, ..ToolDescription::default() }
    }

    async fn call(
        &self,
        cx: CallContext,
        arguments: Map<String, Value>,
    ) -> Result<ToolReply<Value>, ToolError> {
        match arguments["do"].as_str() {
            Some("log") => {
                for level in [LogLevel::Debug, LogLevel::Info, LogLevel::Error] {
                    cx.log(level, Some("chatty"), json!("hello"));
                }
                Ok(json!({}).into())
            }
            Some("ask") => {
                let question = InputRequest::form("Who are you?", json!({"type": "object"}));
                let answer: ElicitResult = cx.input("who", question).await?;
                Ok(json!({"name": answer.content["name"]}).into())
            }
            _ => {
                let Some(session) = cx.session() else { return Ok(json!({"session": null}).into()) };
                let calls = session.calls(10).await.expect("a store");
                let told = calls.iter().map(|call| json!([call.tool, call.outcome]));
                let is_same = cx.session_id() == Some(session.id());
                Ok(json!({"calls": told.collect::<Vec<_>>(), "isSame": is_same}).into())
            }
        }
    }
}

fn server() -> Server {
    builder(&Probe::new()).dyn_tool(Chatty).build().expect("a server")
}

/// The levels of what is logged before the answer.
async fn logged(client: &mut Client, request: &Value) -> Vec<Value> {
    let mut message = client.ask(request).await;
    let mut levels = Vec::new();
    while message["id"] != request["id"] {
        assert_eq!(message["method"], "notifications/message");
        assert_eq!(message["params"]["data"], "hello");
        levels.push(message["params"]["level"].clone());
        message = client.receive().await;
    }
    levels
}

#[tokio::test]
async fn each_era_says_what_it_wants_logged() {
    for mut client in clients(&server()).await {
        client.initialize(&json!({})).await;
        let log = call(1, "chatty", json!({"do": "log"}));
        assert_eq!(logged(&mut client, &log).await, ["info", "error"], "{}", client.kind());
        let set = client.ask(&request(2, "logging/setLevel", json!({"level": "error"}))).await;
        assert_eq!(set["result"], json!({}));
        assert_eq!(logged(&mut client, &log).await, ["error"], "{}", client.kind());
        let bad = client.ask(&request(3, "logging/setLevel", json!({"level": "loud"}))).await;
        assert_eq!(bad["error"]["code"], -32602);
        assert_eq!(logged(&mut client, &log).await, ["error"], "{}", client.kind());

        let mut params = json!({"name": "chatty", "arguments": {"do": "log"}});
        let none = modern(4, "tools/call", params.clone());
        assert!(logged(&mut client, &none).await.is_empty(), "{}", client.kind());
        params["_meta"]["io.modelcontextprotocol/logLevel"] = json!("debug");
        let all = modern(5, "tools/call", params);
        assert_eq!(logged(&mut client, &all).await, ["debug", "info", "error"], "{}", client.kind());
    }
}

#[tokio::test]
async fn a_session_has_a_record_of_its_own_calls() {
    for mut client in clients(&server()).await {
        client.initialize(&json!({})).await;
        client.ask(&call(1, "echo", json!({"text": "a"}))).await;
        client.ask(&call(2, "fault", json!({"kind": "error"}))).await;
        client.ask(&modern(3, "tools/call", json!({"name": "count", "arguments": {"to": 1}}))).await;
        let told = client.ask(&call(4, "chatty", json!({"do": "tell"}))).await;
        let expected = json!({"calls": [["fault", "failed"], ["echo", "succeeded"]], "isSame": true});
        assert_eq!(told["result"]["structuredContent"], expected, "{}", client.kind());

        let stateless = modern(5, "tools/call", json!({"name": "chatty", "arguments": {"do": "tell"}}));
        let told = client.ask(&stateless).await;
        assert_eq!(told["result"]["structuredContent"], json!({"session": null}), "{}", client.kind());
        client.initialize(&json!({})).await;
        let told = client.ask(&call(6, "chatty", json!({"do": "tell"}))).await;
        assert_eq!(told["result"]["structuredContent"]["calls"], json!([]), "a new session starts anew");
    }
}

#[tokio::test]
async fn a_tool_asks_the_client_in_both_eras() {
    for mut client in clients(&server()).await {
        client.initialize(&json!({"elicitation": {}})).await;
        let question = client.ask(&call(1, "chatty", json!({"do": "ask"}))).await;
        assert_eq!(question["method"], "elicitation/create", "{}: {question}", client.kind());
        assert_eq!(question["params"]["message"], "Who are you?");
        let other = client.ask(&call(2, "echo", json!({"text": "meanwhile"}))).await;
        assert_eq!(other["id"], 2, "a question holds nothing up");
        let content = json!({"action": "accept", "content": {"name": "Ann"}});
        client.send(r#"{"jsonrpc":"2.0","id":"server-none","result":{}}"#).await;
        let answer = json!({"jsonrpc": "2.0", "id": question["id"], "result": content});
        let answered = client.ask(&answer).await;
        assert_eq!(answered["id"], 1);
        assert_eq!(answered["result"]["structuredContent"], json!({"name": "Ann"}), "{answered}");

        let capabilities = json!({"io.modelcontextprotocol/clientCapabilities": {"elicitation": {}}});
        let params = json!({"name": "chatty", "arguments": {"do": "ask"}, "_meta": capabilities});
        let asked = client.ask(&modern(3, "tools/call", params.clone())).await;
        assert_eq!(asked["result"]["resultType"], "input_required", "{asked}");
        let mut second = params;
        second["requestState"] = asked["result"]["requestState"].clone();
        second["inputResponses"] = json!({"who": content});
        let answered = client.ask(&modern(4, "tools/call", second)).await;
        assert_eq!(answered["result"]["structuredContent"], json!({"name": "Ann"}), "{answered}");
    }
}

#[tokio::test]
async fn a_question_ends_with_a_refusal_or_with_the_client() {
    for mut client in clients(&server()).await {
        client.initialize(&json!({"elicitation": {}})).await;
        let question = client.ask(&call(1, "chatty", json!({"do": "ask"}))).await;
        let error = json!({"code": -1, "message": "not now"});
        let refused = json!({"jsonrpc": "2.0", "id": question["id"], "error": error});
        let answer = client.ask(&refused).await;
        assert_eq!(answer["result"]["isError"], true, "{answer}");
        assert!(answer["result"]["content"][0]["text"].as_str().is_some_and(|text| text.contains("not now")));
    }
    let mut client = Client::stdio(server());
    client.initialize(&json!({"elicitation": {}})).await;
    client.ask(&call(1, "chatty", json!({"do": "ask"}))).await;
    let rest = client.end().await;
    assert_eq!(rest.len(), 1, "the call ends at once, as nobody will answer: {rest:?}");
    assert!(rest[0].contains("the client is gone"), "{rest:?}");
}
