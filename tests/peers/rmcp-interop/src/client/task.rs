//! A call that goes on as a task.

use std::time::Duration;

use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, GetTaskParams, TaskPayload,
};
use serde_json::{Map, Value, json};

use crate::Client;
use crate::report::{Outcome, check};

/// Where the server names no time between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Makes a picture as a task, and looks at it until it is over.
pub(crate) async fn follow(client: Client) -> Outcome<String> {
    let arguments = Map::from_iter([("prompt".to_owned(), json!("a fox in the snow"))]);
    let call = CallToolRequestParams::new("generate_image").with_arguments(arguments);
    let task = match client.call_tool_once(call).await? {
        CallToolResponse::Task(created) => created.task,
        other => return Err(format!("it is no task: {other:?}").into()),
    };
    let pause = task.poll_interval_ms.map_or(LOOK_AGAIN, Duration::from_millis);
    let mut looks = 1;
    let ended = loop {
        let now = client.get_task(GetTaskParams::new(&task.task_id)).await?.task;
        if now.status().is_terminal() {
            break now;
        }
        tokio::time::sleep(pause).await;
        looks += 1;
    };
    client.cancel().await?;
    let TaskPayload::Completed { result } = ended.payload else {
        return Err(format!("it ended as {:?}", ended.payload).into());
    };
    let result: CallToolResult = serde_json::from_value(Value::Object(result))?;
    let picture = result.content.iter().any(|content| matches!(content, ContentBlock::Image(_)));
    check(picture, "its result has no picture")?;
    Ok(format!("done at look {looks}"))
}
