//! Tasks in memory, as a client sees them, and what becomes of their work.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

use super::{MemoryTasks, TaskFailure, TaskHandle, TaskLimits, TaskOptions, TaskStore as _};
use crate::context::{Attached, Channel, RequestInfo};
use crate::testing::{Caller, FnTool};
use crate::wire::{ElicitResult, ProtocolVersion, RequestId, TaskState};
use crate::{CallContext, Content, InputRequest, Notifier, Server, ServerInfo, ToolError, ToolReply, error};

type Outcome = Result<ToolReply<Value>, TaskFailure>;

/// What a test lets the work do, and hears of it.
#[derive(Clone)]
struct Stage {
    released: watch::Sender<bool>,
    told: mpsc::Sender<String>,
}

/// Says so when it is dropped.
struct Dropped(mpsc::Sender<String>);

impl Drop for Dropped {
    fn drop(&mut self) {
        _ = self.0.try_send("dropped".to_owned());
    }
}

async fn work(kind: String, task: TaskHandle, stage: Stage) -> Outcome {
    let form = |field: &str| {
        let schema =
            json!({"type": "object", "properties": {field: {"type": "string"}}, "required": [field]});
        InputRequest::form("?", schema)
    };
    match kind.as_str() {
        "wait" => {
            let _dropped = Dropped(stage.told.clone());
            task.status("waiting");
            _ = stage.released.subscribe().wait_for(|released| *released).await;
            Ok(ToolReply::with_content(json!({"done": true}), vec![Content::text("done")]))
        }
        "ask" => {
            let (first, second) = (task.input("name", form("name")), task.input("name", form("name")));
            let both: Result<(ElicitResult, ElicitResult), _> =
                futures::future::try_join(first, second).await;
            let (first, second) = both?;
            Ok(json!([first.content, second.content]).into())
        }
        "give up" => {
            let asked = task.input::<Value>("name", form("name"));
            let mut released = stage.released.subscribe();
            let given_up = tokio::select! {
                _ = asked => false,
                _ = released.wait_for(|released| *released) => true,
            };
            assert!(given_up, "nobody answers");
            std::future::pending::<Outcome>().await
        }
        "roots" => {
            task.input::<Value>("roots", InputRequest::roots()).await.map(Into::into).map_err(Into::into)
        }
        "tool error" => Err(ToolError::new("no_luck", "it failed").remedy("try again").into()),
        "rpc error" => Err(error::error(-31403, "not you").into()),
        _ => panic!("the work panics"),
    }
}

/// A server with one tool, whose work goes by its argument, and what it tells.
fn server(limits: TaskLimits) -> (Server, Stage, mpsc::Receiver<String>) {
    let notifier = Notifier::new();
    let tasks = MemoryTasks::new(notifier.clone(), limits);
    let (told, hearing) = mpsc::channel(16);
    let stage = Stage { released: watch::Sender::new(false), told };
    let (store, on_stage) = (tasks.clone(), stage.clone());
    let run = FnTool::new("run", move |cx, arguments| {
        let (kind, stage) = (arguments["kind"].as_str().unwrap_or_default().to_owned(), on_stage.clone());
        let task = store.start(&cx, TaskOptions::default(), |task| work(kind, task, stage));
        std::future::ready(task.map(|task| ToolReply::from(Value::Null).as_task(task)))
    });
    let builder = Server::builder(ServerInfo::default()).notifier(notifier).tasks(Arc::new(tasks));
    (builder.dyn_tool(run).build().unwrap(), stage, hearing)
}

async fn caller() -> (Caller, Stage, mpsc::Receiver<String>) {
    let (server, stage, hearing) = server(TaskLimits::default());
    (Caller::of(&server).await, stage, hearing)
}

impl Caller {
    /// The id of a new task.
    async fn start(&self, kind: &str) -> String {
        let created = self.call("run", json!({"kind": kind})).await;
        assert_eq!(created["resultType"], "task", "{created}");
        created["taskId"].as_str().expect("an id").to_owned()
    }

    async fn task(&self, id: &str) -> Value {
        self.ask("tasks/get", json!({"taskId": id})).await
    }

    async fn answer(&self, id: &str, responses: Value) -> Value {
        self.ask("tasks/update", json!({"taskId": id, "inputResponses": responses})).await
    }

    /// The task once it is in a state where this is so.
    async fn until(&self, id: &str, so: impl Fn(&Value) -> bool) -> Value {
        let mut listening = self.listen(json!({"taskIds": [id]})).await;
        loop {
            let message = listening.next().await;
            if message["method"] == "notifications/tasks" && so(&message["params"]) {
                return self.task(id).await;
            }
        }
    }
}

fn is(status: &'static str) -> impl Fn(&Value) -> bool {
    move |task| task["status"] == status
}

#[tokio::test]
async fn a_task_goes_on_and_keeps_its_result() {
    let (caller, stage, _) = caller().await;
    let created = caller.call("run", json!({"kind": "wait"})).await;
    assert_eq!(created["status"], "working");
    assert_eq!((&created["ttlMs"], &created["pollIntervalMs"]), (&json!(600_000), &json!(1000)));
    assert!(created.get("content").is_none(), "the reply is for clients without tasks: {created}");
    let id = created["taskId"].as_str().unwrap();
    let working = caller.until(id, |task| task["statusMessage"] == "waiting").await;
    assert_eq!((&working["resultType"], &working["status"]), (&json!("complete"), &json!("working")));
    assert_eq!(working["createdAt"], created["createdAt"]);

    stage.released.send_replace(true);
    let completed = caller.until(id, is("completed")).await;
    assert_eq!(completed["result"]["structuredContent"], json!({"done": true}));
    assert_eq!(completed["result"]["content"], json!([{"type": "text", "text": "done"}]));
    assert_eq!(completed["result"]["resultType"], "complete");
    assert!(completed.get("statusMessage").is_none(), "it isn't waiting any more: {completed}");

    let acknowledged = caller.ask("tasks/cancel", json!({"taskId": id})).await;
    assert_eq!(acknowledged["resultType"], "complete");
    assert_eq!(caller.task(id).await, completed, "what has ended stays as it is");
}

#[tokio::test]
async fn questions_are_answered_one_by_one() {
    let (caller, ..) = caller().await;
    let id = caller.start("ask").await;
    let keys = |task: &Value| task["inputRequests"].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let both =
        caller.until(&id, |task| task["inputRequests"].as_object().is_some_and(|open| open.len() == 2));
    let both = both.await;
    assert_eq!(both["status"], "input_required");
    assert_eq!(keys(&both), ["name", "name-2"], "a key means one question");
    assert_eq!(both["inputRequests"]["name"]["method"], "elicitation/create");

    let accepted = |content: Value| json!({"action": "accept", "content": content});
    let nothing_fits = [
        json!({}),
        json!({"other": accepted(json!({"name": "x"}))}),
        json!({"name": 12}),
        json!({"name": {"action": "accept"}}),
        json!({"name": accepted(json!({"name": 12}))}),
    ];
    for responses in nothing_fits {
        assert_eq!(caller.answer(&id, responses.clone()).await["resultType"], "complete");
        assert_eq!(keys(&caller.task(&id).await), ["name", "name-2"], "{responses}");
    }
    caller.answer(&id, json!({"name": accepted(json!({"name": "Ann"}))})).await;
    let one = caller.task(&id).await;
    assert_eq!((&one["status"], keys(&one)), (&json!("input_required"), vec!["name-2".to_owned()]));
    caller
        .answer(&id, json!({"name": accepted(json!({"name": "Eve"})), "name-2": {"action": "decline"}}))
        .await;
    let completed = caller.until(&id, is("completed")).await;
    assert_eq!(completed["result"]["structuredContent"], json!([{"name": "Ann"}, {}]));
    assert!(completed.get("inputRequests").is_none());
}

#[tokio::test]
async fn a_question_that_nobody_waits_for_is_taken_back() {
    let (caller, stage, _) = caller().await;
    let id = caller.start("give up").await;
    caller.until(&id, is("input_required")).await;
    stage.released.send_replace(true);
    let working = caller.until(&id, is("working")).await;
    assert!(working.get("inputRequests").is_none(), "{working}");
}

#[tokio::test]
async fn failures_end_in_the_state_that_is_theirs() {
    let (caller, ..) = caller().await;
    let id = caller.start("tool error").await;
    let result = &caller.until(&id, is("completed")).await["result"];
    assert_eq!(result["isError"], true);
    assert_eq!(result["content"][0]["text"], "it failed; try again");
    assert_eq!(result["_meta"]["error"]["code"], "no_luck");

    let id = caller.start("rpc error").await;
    let failed = caller.until(&id, is("failed")).await;
    assert_eq!(failed["error"], json!({"code": -31403, "message": "not you"}));
    assert_eq!(failed["statusMessage"], "not you");

    let id = caller.start("panic").await;
    assert_eq!(caller.until(&id, is("failed")).await["error"]["code"], -32603);

    let without_roots = caller.can(json!({"extensions": {"io.modelcontextprotocol/tasks": {}}}));
    let id = without_roots.start("roots").await;
    let error = &without_roots.until(&id, is("failed")).await["error"];
    assert_eq!(error["code"], -32021);
    assert_eq!(error["data"], json!({"requiredCapabilities": {"roots": {}}}));
}

#[tokio::test]
async fn a_cancelled_task_lets_go_of_its_work() {
    let (caller, stage, mut hearing) = caller().await;
    let id = caller.start("wait").await;
    caller.until(&id, |task| task["statusMessage"] == "waiting").await;
    caller.ask("tasks/cancel", json!({"taskId": id})).await;
    assert_eq!(hearing.recv().await.as_deref(), Some("dropped"));
    stage.released.send_replace(true);
    let cancelled = caller.task(&id).await;
    assert_eq!(cancelled["status"], "cancelled");
    assert!(cancelled.get("result").is_none() && cancelled.get("error").is_none(), "{cancelled}");
}

#[tokio::test]
async fn anothers_task_does_not_exist() {
    let (caller, ..) = caller().await;
    let (ann, eve) = (caller.user("ann"), caller.user("eve"));
    let id = ann.start("ask").await;
    for stranger in [&eve, &caller] {
        for method in ["tasks/get", "tasks/cancel", "tasks/update"] {
            let params = |id: &str| json!({"taskId": id, "inputResponses": {}});
            let refused = stranger.refused(method, params(&id)).await;
            let unknown = stranger.refused(method, params("none")).await;
            assert_eq!(refused["code"], -32602, "{method}");
            let text = |error: &Value| error["message"].as_str().unwrap().replace(&id, "none");
            assert_eq!(text(&refused), text(&unknown), "nothing tells it from one that there isn't");
        }
        let acknowledged = stranger.listen(json!({"taskIds": [id]})).await.next().await;
        assert_eq!(acknowledged["params"]["notifications"], json!({}), "{acknowledged}");
    }
    assert_eq!(ann.until(&id, is("input_required")).await["taskId"], *id);
}

#[tokio::test]
async fn a_client_that_takes_no_tasks_gets_none() {
    let (caller, ..) = caller().await;
    let plain = caller.can(json!({}));
    let id = caller.start("wait").await;
    let refusals = [
        plain.refused("tools/call", json!({"name": "run", "arguments": {"kind": "wait"}})).await,
        plain.refused("tasks/get", json!({"taskId": id})).await,
        plain.refused("tasks/update", json!({"taskId": id, "inputResponses": {}})).await,
        plain.refused("tasks/cancel", json!({"taskId": id})).await,
        plain.refused("subscriptions/listen", json!({"notifications": {"taskIds": [id]}})).await,
    ];
    for refused in refusals {
        assert_eq!(refused["code"], -32021, "{refused}");
        let required = &refused["data"]["requiredCapabilities"];
        assert_eq!(*required, json!({"extensions": {"io.modelcontextprotocol/tasks": {}}}));
    }
    assert_eq!(caller.task(&id).await["status"], "working");
}

#[tokio::test]
async fn listeners_hear_of_every_state_and_of_the_end_once() {
    let (caller, ..) = caller().await;
    let id = caller.start("ask").await;
    caller.until(&id, is("input_required")).await;
    let mut listening = caller.listen(json!({"taskIds": [id]})).await;
    let acknowledged = listening.next().await;
    assert_eq!(acknowledged["method"], "notifications/subscriptions/acknowledged");
    assert_eq!(acknowledged["params"]["notifications"], json!({"taskIds": [id]}));
    let now = listening.next().await;
    assert_eq!(now["params"]["status"], "input_required", "the state as it is when the stream opens");
    let tag = &now["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"];
    assert_eq!(tag, &acknowledged["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"]);
    let declined = json!({"action": "decline"});
    caller.answer(&id, json!({"name": declined, "name-2": declined})).await;
    let mut statuses = Vec::new();
    while statuses.last() != Some(&json!("completed")) {
        statuses.push(listening.next().await["params"]["status"].take());
    }
    // Slower listeners get only the latest state, so `working` may be left out.
    assert!(statuses == ["completed"] || statuses == ["working", "completed"], "{statuses:?}");
    assert_eq!(caller.until(&id, is("completed")).await["status"], "completed");
}

#[tokio::test]
async fn there_are_only_so_many() {
    let (server, ..) = server(TaskLimits { max_tasks: 3, max_per_owner: 2 });
    let caller = Caller::of(&server).await;
    let (ann, eve) = (caller.user("ann"), caller.user("eve"));
    let one_more = json!({"kind": "wait"});
    ann.start("wait").await;
    ann.start("wait").await;
    let refused = ann.call("run", one_more.clone()).await;
    assert_eq!(refused["isError"], true);
    assert!(refused["content"][0]["text"].as_str().unwrap().contains("2 tasks of yours"), "{refused}");
    eve.start("wait").await;
    let refused = eve.call("run", one_more).await;
    assert!(refused["content"][0]["text"].as_str().unwrap().contains("3 tasks are"), "{refused}");
}

/// A context of a client that takes tasks, with no server behind it.
fn context() -> CallContext {
    let info = RequestInfo {
        request_id: RequestId::Number(1),
        version: ProtocolVersion::LATEST,
        session_id: None,
        client_info: None,
        client_capabilities: json!({"extensions": {"io.modelcontextprotocol/tasks": {}}}),
        progress_token: None,
        log_level: None,
        target: None,
    };
    let mut extensions = jsonrpsee::Extensions::new();
    extensions.insert(Attached { info: Arc::new(info), channel: Arc::new(Channel::new(None)) });
    CallContext::from_extensions(extensions).unwrap()
}

fn store() -> MemoryTasks {
    MemoryTasks::new(Notifier::new(), TaskLimits { max_tasks: 1, ..TaskLimits::default() })
}

#[tokio::test(start_paused = true)]
async fn a_task_is_kept_for_its_time_and_no_longer() {
    let (tasks, cx) = (store(), context());
    let options = TaskOptions { ttl: Duration::from_secs(10), ..TaskOptions::default() };
    let task = tasks.start(&cx, options, |_| async { Ok(ToolReply::from(json!(1))) }).unwrap();
    tokio::time::sleep(Duration::from_secs(9)).await;
    let kept = tasks.get(&cx, &task.task_id).await.unwrap().unwrap();
    assert!(matches!(kept.state, TaskState::Completed { .. }), "{kept:?}");
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(tasks.get(&cx, &task.task_id).await.unwrap(), None);
    assert!(!tasks.cancel(&cx, &task.task_id).await.unwrap());

    let (told, mut hearing) = mpsc::channel(1);
    let endless = tasks.start(&cx, options, |task| async move {
        let cancelled = task.cancelled();
        tokio::spawn(async move {
            cancelled.cancelled().await;
            _ = told.send(()).await;
        });
        std::future::pending::<Outcome>().await
    });
    let endless = endless.expect("there is room again");
    assert_eq!(hearing.recv().await, Some(()), "work that takes longer is cancelled");
    assert_eq!(tasks.get(&cx, &endless.task_id).await.unwrap(), None);
}

#[tokio::test]
async fn work_goes_with_its_store() {
    let tasks = store();
    let (told, mut hearing) = mpsc::channel(2);
    let work = |_| async move {
        _ = told.send("started".to_owned()).await;
        let _dropped = Dropped(told);
        std::future::pending::<Outcome>().await
    };
    tasks.start(&context(), TaskOptions::default(), work).unwrap();
    assert_eq!(hearing.recv().await.as_deref(), Some("started"));
    drop(tasks);
    assert_eq!(hearing.recv().await.as_deref(), Some("dropped"));
}
