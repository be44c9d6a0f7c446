//! Calls that go on as tasks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::fake::{Answer, Fake, Seen, agreed, event, soon, tagged, text_result, told};
use crate::client::{
    CallOptions, ClientError, HttpOptions, InputHandler, Peer, PeerOptions, ToolOutcome, input_fn,
};
use crate::wire::{Content, InputKind, TaskState};

fn task(status: &str, more: &Value) -> Value {
    let mut task = json!({
        "resultType": "complete", "taskId": "t1", "status": status, "ttlMs": null, "pollIntervalMs": 1,
        "createdAt": "2026-07-28T10:00:00Z", "lastUpdatedAt": "2026-07-28T10:00:01Z"
    });
    task.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    task
}

fn created() -> Value {
    task("working", &json!({"resultType": "task"}))
}

fn completed() -> Value {
    task("completed", &json!({"result": text_result("done")}))
}

fn asks() -> Value {
    task("input_required", &json!({"inputRequests": {"k1": {"method": "roots/list"}}}))
}

/// A server without subscriptions, whose task stands as `states` says, look by look; the last state stays.
async fn server(states: Vec<Value>) -> Fake {
    let look = AtomicU32::new(0);
    Fake::modern(move |seen| match seen.method() {
        "tools/call" => Answer::json(200, &seen.result(&created())),
        "tasks/get" => {
            let look = look.fetch_add(1, Ordering::Relaxed) as usize;
            Answer::json(200, &seen.result(&states[look.min(states.len() - 1)]))
        }
        "tasks/update" | "tasks/cancel" => {
            Answer::json(200, &seen.result(&json!({"resultType": "complete"})))
        }
        _ => Answer::json(404, &seen.error(-32601, &Value::Null)),
    })
    .await
}

async fn connect(fake: &Fake, on_input: Option<Arc<dyn InputHandler>>) -> Peer {
    let peer = PeerOptions { tasks: true, on_input, ..PeerOptions::default() };
    Peer::connect_http(&fake.url, HttpOptions { peer, ..HttpOptions::default() }).await.unwrap()
}

fn roots() -> Arc<dyn InputHandler> {
    input_fn([InputKind::Roots], async |_| Ok(json!({"roots": []})))
}

fn is(method: &'static str) -> impl Fn(&Seen) -> bool {
    move |seen| seen.method() == method
}

#[tokio::test]
async fn a_call_is_followed_to_its_end() {
    let working = task("working", &json!({}));
    let fake = server(vec![working.clone(), working.clone(), asks(), asks(), working, completed()]).await;
    let peer = connect(&fake, Some(roots())).await;
    let result = soon(peer.call_tool("x", json!({}), CallOptions::default())).await.unwrap();
    assert_eq!(result.content, [Content::text("done")]);

    let call = fake.wait_for(is("tools/call")).await;
    let capabilities = &call.body["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"];
    assert_eq!(capabilities["extensions"], json!({"io.modelcontextprotocol/tasks": {}}));
    assert_eq!(fake.count(is("tasks/get")), 6);
    assert_eq!(fake.count(is("tasks/update")), 1, "a question that is shown again is not answered again");
    let update = fake.wait_for(is("tasks/update")).await;
    assert_eq!(update.body["params"]["inputResponses"], json!({"k1": {"roots": []}}));
    for seen in fake.seen().iter().filter(|seen| seen.method().starts_with("tasks/")) {
        assert_eq!(seen.header("mcp-name"), "t1", "{}", seen.method());
        assert_eq!(seen.body["params"]["taskId"], "t1");
    }
    assert_eq!(fake.count(is("tasks/cancel")), 0);
}

#[tokio::test]
async fn a_server_that_tells_is_not_asked() {
    let fake = Fake::modern(|seen| match seen.method() {
        "tools/call" => Answer::json(200, &seen.result(&created())),
        "subscriptions/listen" => {
            assert_eq!(seen.body["params"]["notifications"], json!({"taskIds": ["t1"]}));
            let of = |id: &str| {
                let mut state = completed();
                state["taskId"] = json!(id);
                event(&told("notifications/tasks", &tagged(seen.id(), state)))
            };
            let ack = event(&agreed(seen.id(), &json!({"taskIds": ["t1"]})));
            Answer::events(&[ack, of("another"), of("t1")].concat(), 64).held()
        }
        "tasks/get" => Answer::json(200, &seen.result(&task("working", &json!({"pollIntervalMs": 600_000})))),
        _ => panic!("{}", seen.method()),
    })
    .await;
    let peer = connect(&fake, None).await;
    let result = soon(peer.call_tool("x", json!({}), CallOptions::default())).await.unwrap();
    assert_eq!(result.content, [Content::text("done")]);
    assert!(fake.count(is("tasks/get")) <= 2);
    soon(fake.wait_for_close()).await;
}

#[tokio::test]
async fn a_task_may_end_otherwise() {
    type Check = fn(&ClientError) -> bool;
    let cases: [(Value, Check); 4] = [
        (task("failed", &json!({"error": {"code": -31429, "message": "slow down"}})), |error| {
            matches!(error, ClientError::RateLimited { .. })
        }),
        (task("failed", &json!({"error": "?"})), |error| matches!(error, ClientError::Protocol { .. })),
        (
            task("cancelled", &json!({})),
            |error| matches!(error, ClientError::TaskCancelled { id } if id == "t1"),
        ),
        (asks(), |error| matches!(error, ClientError::InputNeeded { asked, .. } if asked == "roots/list")),
    ];
    for (state, check) in cases {
        let fake = server(vec![state.clone()]).await;
        let peer = connect(&fake, None).await;
        let error = soon(peer.call_tool("x", json!({}), CallOptions::default())).await.unwrap_err();
        assert!(check(&error), "{state}: {error:?}");
        if state["status"] == "input_required" {
            soon(fake.wait_for(is("tasks/cancel"))).await;
        }
    }
}

#[tokio::test]
async fn a_call_that_nobody_waits_for_cancels_its_task() {
    let fake = server(vec![task("working", &json!({}))]).await;
    let peer = connect(&fake, None).await;
    let options = CallOptions::default().within(Duration::from_millis(500));
    let error = soon(peer.call_tool("x", json!({}), options)).await.unwrap_err();
    assert!(matches!(error, ClientError::Timeout { .. }), "{error:?}");
    let cancel = soon(fake.wait_for(is("tasks/cancel"))).await;
    assert_eq!(cancel.body["params"], json!({"taskId": "t1", "_meta": cancel.body["params"]["_meta"]}));

    let fake = server(vec![task("working", &json!({}))]).await;
    let peer = connect(&fake, None).await;
    tokio::select! {
        result = peer.call_tool("x", json!({}), CallOptions::default()) => panic!("{result:?}"),
        _ = fake.wait_for(is("tasks/get")) => {}
    }
    soon(fake.wait_for(is("tasks/cancel"))).await;
}

#[tokio::test]
async fn a_task_can_be_had_as_it_is() {
    let fake = server(vec![asks(), completed()]).await;
    let peer = connect(&fake, None).await;
    let outcome = peer.call_tool_or_task("x", json!({}), CallOptions::default()).await.unwrap();
    let ToolOutcome::Task(task) = outcome else { panic!("a task") };
    assert_eq!((task.task_id.as_str(), &task.state), ("t1", &TaskState::Working));
    let task = soon(peer.wait_for_task("t1")).await.unwrap();
    let TaskState::InputRequired { input_requests } = task.state else { panic!("{task:?}") };
    let answers = input_requests.into_iter().map(|(key, _)| (key, json!({"roots": []}))).collect();
    peer.update_task("t1", answers).await.unwrap();
    let task = soon(peer.wait_for_task("t1")).await.unwrap();
    assert!(task.state.is_terminal());
    peer.cancel_task("t1").await.unwrap();
    assert_eq!(fake.count(is("tasks/cancel")), 1);

    // Nobody who hasn't said that he takes tasks is given one.
    let plain = Peer::connect_http(&fake.url, HttpOptions::default()).await.unwrap();
    let error = plain.call_tool("x", json!({}), CallOptions::default()).await.unwrap_err();
    assert!(matches!(error, ClientError::Protocol { .. }), "{error:?}");
}

#[tokio::test]
async fn a_new_task_may_be_told_without_what_belongs_to_its_state() {
    let fake = Fake::modern(|seen| match seen.method() {
        "tools/call" => Answer::json(200, &seen.result(&task("completed", &json!({"resultType": "task"})))),
        "tasks/get" => Answer::json(200, &seen.result(&completed())),
        _ => Answer::json(404, &seen.error(-32601, &Value::Null)),
    })
    .await;
    let peer = connect(&fake, None).await;
    let result = soon(peer.call_tool("x", json!({}), CallOptions::default())).await.unwrap();
    assert_eq!(result.content, [Content::text("done")]);
}
