//! `subscriptions/listen` over HTTP, and the headers of the tasks extension.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use jsonrpsee::types::ErrorObjectOwned;
use reqwest::RequestBuilder;
use serde_json::{Value, json};

use super::puppet::with_board;
use super::sse::Sse;
use super::{Web, body, modern};
use crate::testing::{Probe, builder};
use crate::wire::{InputResponses, Task, TaskState};
use crate::{CallContext, Limits, Server, TaskStore};

fn server(limits: Limits) -> Server {
    with_board(builder(&Probe::new())).limits(limits).build().expect("a server")
}

fn listen(web: &Web) -> RequestBuilder {
    let notifications = json!({"toolsListChanged": true, "promptsListChanged": true, "resourceSubscriptions": ["test:a", "x:b"]});
    web.modern("subscriptions/listen", json!({"notifications": notifications}))
}

const SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";

#[tokio::test]
async fn it_is_acknowledged_at_once_and_tells_what_changes() {
    let server = server(Limits::default());
    let web = Web::start(server.clone()).await;
    let mut stream = Sse::of(listen(&web).send().await.expect("a stream"));
    let acknowledged = stream.event().await;
    assert_eq!(acknowledged.id, None, "the modern era resumes nothing");
    let acknowledged = acknowledged.message();
    assert_eq!(acknowledged["method"], "notifications/subscriptions/acknowledged");
    let agreed = json!({"toolsListChanged": true, "resourceSubscriptions": ["test:a"]});
    assert_eq!(acknowledged["params"]["notifications"], agreed, "there are no prompts, and no x:b");
    assert_eq!(acknowledged["params"]["_meta"][SUBSCRIPTION], 1);

    server.notifier().resource_updated("test:a");
    let changed = stream.message().await;
    assert_eq!(
        (&changed["params"]["uri"], &changed["params"]["_meta"][SUBSCRIPTION]),
        (&json!("test:a"), &json!(1))
    );
    assert!(server.remove_tool("count"));
    assert_eq!(stream.message().await["method"], "notifications/tools/list_changed");

    server.close_streams();
    let result = stream.message().await;
    assert_eq!((&result["id"], &result["result"]["resultType"]), (&json!(1), &json!("complete")));
    assert_eq!(result["result"]["_meta"][SUBSCRIPTION], 1);
    assert_eq!(stream.rest().await, []);
}

#[tokio::test]
async fn it_needs_a_client_that_takes_streams() {
    let web = Web::start(server(Limits::default())).await;
    let mut request = listen(&web).build().expect("a request");
    request.headers_mut().insert("accept", "application/json".parse().expect("a value"));
    let response = web.client.execute(request).await.expect("an answer");
    assert_eq!(response.status(), 406);
    let answer = body(response).await;
    assert_eq!(answer["id"], 1);
    assert!(
        answer["error"]["message"].as_str().expect("a message").contains("text/event-stream"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_disconnect_ends_it_and_frees_its_place() {
    let server = server(Limits { max_streams: 1, ..Limits::default() });
    let web = Web::start(server.clone()).await;
    let mut stream = Sse::of(listen(&web).send().await.expect("a stream"));
    stream.event().await;
    let refused = listen(&web).send().await.expect("an answer");
    assert_eq!(
        (refused.status().as_u16(), &refused.headers()["retry-after"]),
        (503, &"1".parse().expect("1"))
    );
    let list = web.modern("tools/list", json!({})).send().await.expect("an answer");
    assert_eq!(list.status(), 200, "requests have places of their own");
    drop(stream);
    let freed = async { while listen(&web).send().await.expect("an answer").status() == 503 {} };
    tokio::time::timeout(Duration::from_secs(5), freed).await.expect("it ends");
}

struct OneTask;

#[async_trait]
impl TaskStore for OneTask {
    async fn get(&self, _: &CallContext, task_id: &str) -> Result<Option<Task>, ErrorObjectOwned> {
        let now = Timestamp::UNIX_EPOCH;
        Ok((task_id == "t1").then(|| Task {
            task_id: task_id.to_owned(),
            state: TaskState::Working,
            status_message: None,
            created_at: now,
            last_updated_at: now,
            ttl_ms: None,
            poll_interval_ms: None,
        }))
    }

    async fn update(
        &self,
        _: &CallContext,
        task_id: &str,
        _: InputResponses,
    ) -> Result<bool, ErrorObjectOwned> {
        Ok(task_id == "t1")
    }

    async fn cancel(&self, _: &CallContext, task_id: &str) -> Result<bool, ErrorObjectOwned> {
        Ok(task_id == "t1")
    }
}

#[tokio::test]
async fn headers_name_the_task() {
    let server = builder(&Probe::new()).tasks(Arc::new(OneTask)).build().expect("a server");
    let web = Web::start(server).await;
    let own = json!({"taskId": "t1", "inputResponses": {}});
    let with_a_name = json!({"taskId": "t1", "inputResponses": {}, "name": "other"});
    for method in ["tasks/get", "tasks/update", "tasks/cancel"] {
        let cases: [(&Value, Option<&str>, u16, Option<i64>); 5] = [
            (&own, Some("t1"), 200, None),
            (&own, Some("=?base64?dDE=?="), 200, None),
            (&own, None, 400, Some(-32020)),
            (&own, Some("t2"), 400, Some(-32020)),
            (&with_a_name, Some("other"), 400, Some(-32020)),
        ];
        for (params, name, status, code) in cases {
            let mut message = modern(method, params.clone());
            message["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"] =
                json!({"extensions": {"io.modelcontextprotocol/tasks": {}}});
            let mut request =
                web.post(&message).header("mcp-protocol-version", "2026-07-28").header("mcp-method", method);
            if let Some(name) = name {
                request = request.header("mcp-name", name);
            }
            let response = request.send().await.expect("an answer");
            assert_eq!(response.status(), status, "{method} {name:?}");
            let answer = body(response).await;
            assert_eq!(answer["error"]["code"].as_i64(), code, "{method} {name:?}: {answer}");
        }
    }
}
