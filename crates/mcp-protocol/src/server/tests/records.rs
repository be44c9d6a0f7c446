//! What a session keeps of its calls, and the levels of log messages over HTTP.

use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::builder;
use crate::connection::testing::{Client, call};
use crate::testing::{Caller, FnTool};
use crate::{CallOutcome, CallRecord, LogLevel, Server, ToolError};

/// A server with a tool that ends as it is told, and the records that its tool `tell` has seen.
fn server() -> (Server, mpsc::Receiver<Vec<CallRecord>>) {
    let (sender, records) = mpsc::channel(1);
    let end = FnTool::new("end", |cx, arguments| async move {
        cx.set_subject("job-0");
        if let Some(subject) = arguments.get("subject").and_then(Value::as_str) {
            cx.set_subject(subject);
        }
        cx.progress(1.0, None, None);
        match arguments.get("how").and_then(Value::as_str) {
            Some("never") => std::future::pending().await,
            Some("badly") => Err(ToolError::new("no_luck", "it failed")),
            Some("panic") => panic!("a tool panics"),
            _ => Ok(json!({}).into()),
        }
    });
    let tell = FnTool::new("tell", move |cx, arguments| {
        let sender = sender.clone();
        async move {
            let most = arguments["most"].as_u64().unwrap_or_default() as usize;
            let calls = cx.session().expect("a session").calls(most).await.expect("a store");
            sender.send(calls).await.expect("the test listens");
            Ok(Value::Null.into())
        }
    });
    (builder().dyn_tool(end).dyn_tool(tell).build().unwrap(), records)
}

#[tokio::test]
async fn calls_are_kept_with_their_outcome_and_subject() {
    let (server, mut records) = server();
    let mut client = Client::stdio(server);
    client.initialize(&json!({})).await;
    client.ask(&call(1, "end", json!({"subject": "job-1"}))).await;
    client.ask(&call(2, "end", json!({"how": "badly"}))).await;
    client.ask(&call(3, "end", json!({"how": "panic"}))).await;
    client.ask(&call(4, "none", json!({}))).await;
    let mut never = call(5, "end", json!({"how": "never", "subject": "job-5"}));
    never["params"]["_meta"] = json!({"progressToken": 5});
    assert_eq!(client.ask(&never).await["method"], "notifications/progress", "it runs");
    client.notify("notifications/cancelled", json!({"requestId": 5})).await;
    client.ask(&call(6, "tell", json!({"most": 10}))).await;

    let all = records.recv().await.unwrap();
    let seen: Vec<_> =
        all.iter().map(|call| (call.tool.as_str(), call.outcome, call.subject.as_deref())).collect();
    let expected = [
        ("end", CallOutcome::Cancelled, Some("job-5")),
        ("none", CallOutcome::Failed, None),
        ("end", CallOutcome::Failed, Some("job-0")),
        ("end", CallOutcome::Failed, Some("job-0")),
        ("end", CallOutcome::Succeeded, Some("job-1")),
    ];
    assert_eq!(seen, expected);
    assert!(all.iter().all(|call| call.duration_ms < 5000), "{all:?}");
    assert!(all.windows(2).all(|pair| pair[0].at >= pair[1].at), "the newest first: {all:?}");

    client.ask(&call(7, "tell", json!({"most": 2}))).await;
    let two = records.recv().await.unwrap();
    let tools: Vec<_> = two.iter().map(|call| call.tool.as_str()).collect();
    assert_eq!(tools, ["tell", "end"]);
}

#[tokio::test]
async fn a_modern_request_says_which_log_messages_it_wants() {
    let log = FnTool::new("log", |cx, _| async move {
        for level in LogLevel::ALL {
            cx.log(level, Some("test"), json!({"at": level}));
        }
        Ok(Value::Null.into())
    });
    let caller = Caller::of(&builder().dyn_tool(log).build().unwrap()).await;
    let levels = async |caller: &Caller| -> Vec<Value> {
        let mut messages = caller.messages("tools/call", json!({"name": "log"})).await;
        assert!(messages.pop().unwrap().get("result").is_some());
        for message in &messages {
            assert_eq!(
                (&message["method"], &message["params"]["logger"]),
                (&json!("notifications/message"), &json!("test"))
            );
        }
        messages.into_iter().map(|mut message| message["params"]["data"]["at"].take()).collect()
    };
    let key = "io.modelcontextprotocol/logLevel";
    assert!(levels(&caller).await.is_empty());
    assert_eq!(levels(&caller.saying(key, "alert")).await, ["alert", "emergency"]);
    assert_eq!(levels(&caller.saying(key, "debug")).await.len(), 8);
    for bad in [json!("loud"), json!("INFO"), json!("")] {
        let refused = caller.saying(key, bad).refused("tools/call", json!({"name": "log"})).await;
        assert_eq!(refused["code"], -32602);
    }
}
