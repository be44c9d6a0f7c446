//! Tools whose work goes on as a task, where the client takes tasks.

use std::time::Duration;

use mcp_protocol::error::{self, INTERNAL_ERROR};
use mcp_protocol::wire::{ElicitAction, ElicitResult, Task};
use mcp_protocol::{
    CallContext, InputError, InputRequest, MemoryTasks, TaskFailure, TaskHandle, TaskOptions, ToolError,
    ToolReply,
};
use serde_json::{Value, json};

use crate::asking::ask_text;
use crate::fixture::{Arguments, Fixture, Reply, argument, object, text};

type Outcome = Result<ToolReply<Value>, TaskFailure>;

pub(crate) fn tools(tasks: &MemoryTasks) -> Vec<Fixture> {
    let store = || tasks.clone();
    let seconds = json!({
        "type": "object",
        "properties": {"seconds": {"type": "number", "minimum": 0, "maximum": 60}, "label": {"type": "string"}},
        "required": ["seconds"],
    });
    let (slow, failing, broken) = (store(), store(), store());
    let (confirming, asking, late) = (store(), store(), store());
    vec![
        Fixture::with("greet", object(&json!({"name": {"type": "string"}})), |_, arguments| async move {
            Ok(text(format!("Hello, {}!", argument(&arguments, "name"))))
        }),
        Fixture::with("slow_compute", seconds, move |cx, arguments| compute(slow.clone(), cx, arguments)),
        Fixture::new("failing_job", move |cx| {
            start(&failing, &cx, |_| async {
                Err(ToolError::new("on_purpose", "this job fails on purpose").into())
            })
        }),
        Fixture::new("protocol_error_job", move |cx| {
            start(&broken, &cx, |_| async {
                Err(error::error(INTERNAL_ERROR, "this job breaks on purpose").into())
            })
        }),
        Fixture::with(
            "confirm_delete",
            object(&json!({"filename": {"type": "string"}})),
            move |cx, arguments| start(&confirming, &cx, |task| delete(task, arguments)),
        ),
        Fixture::new("multi_input", move |cx| start(&asking, &cx, two_questions)),
        Fixture::new("test_tool_with_task", move |cx| greet_later(late.clone(), cx)),
    ]
}

/// Answers with a task that does the work.
fn start<F, W>(tasks: &MemoryTasks, cx: &CallContext, work: F) -> std::future::Ready<Reply>
where
    F: FnOnce(TaskHandle) -> W + Send + 'static,
    W: Future<Output = Outcome> + Send + 'static,
{
    let options = TaskOptions { poll_interval: Duration::from_millis(100), ..TaskOptions::default() };
    std::future::ready(tasks.start(cx, options, work).map(reply))
}

/// Only a client that takes tasks gets this far.
fn reply(task: Task) -> ToolReply<Value> {
    text("The work goes on.").as_task(task)
}

async fn compute(tasks: MemoryTasks, cx: CallContext, arguments: Arguments) -> Reply {
    let seconds = arguments.get("seconds").and_then(Value::as_f64).unwrap_or_default();
    let work = async move {
        tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
        text(format!("Computed {} for {seconds} s.", argument(&arguments, "label")))
    };
    if !cx.supports_tasks() {
        return Ok(work.await);
    }
    start(&tasks, &cx, |task| async move {
        task.status("computing");
        Ok(work.await)
    })
    .await
}

async fn delete(task: TaskHandle, arguments: Arguments) -> Outcome {
    let file = argument(&arguments, "filename");
    let form =
        InputRequest::form(format!("Delete {file}?"), object(&json!({"confirm": {"type": "boolean"}})));
    let answer: ElicitResult = task.input("confirm", form).await?;
    let confirmed = answer.action == ElicitAction::Accept && answer.content["confirm"] == true;
    Ok(text(if confirmed { format!("Deleted {file}.") } else { format!("Kept {file}.") }))
}

async fn two_questions(task: TaskHandle) -> Outcome {
    let form = |message: &str| InputRequest::form(message, object(&json!({"name": {"type": "string"}})));
    let first = task.input("first", form("Who is first?"));
    let second = task.input("second", form("Who is second?"));
    let answers: Result<(ElicitResult, ElicitResult), InputError> =
        futures::future::try_join(first, second).await;
    let (first, second) = answers?;
    Ok(text(format!("{} before {}.", argument(&first.content, "name"), argument(&second.content, "name"))))
}

/// Asks before there is a task, which then has the answer.
async fn greet_later(tasks: MemoryTasks, cx: CallContext) -> Reply {
    let name = ask_text(&cx, "user_name", "What is your name?", "name").await?;
    start(&tasks, &cx, |_| async move { Ok(text(format!("Hello, {name}!"))) }).await
}
