//! Tools that are not done with one answer: one asks the person first, one goes on as a task.

use std::time::Duration;

use rmcp::model::{
    CallToolResponse, CreateTaskResult, ElicitRequest, ElicitRequestParams, InputRequest, InputRequests,
    InputRequiredResult, InputResponses, ProtocolVersion,
};
use rmcp::service::RequestContext;
use rmcp::task_manager::{TaskManager, TaskOptions};
use rmcp::{ErrorData, RoleServer};
use serde_json::json;

use crate::notes::said;

/// The key of the question.
const NAME: &str = "name";
const TAKES: Duration = Duration::from_millis(300);

/// Greets whoever the person says to be. A modern client gets the question as a result and calls again with the
/// answer; an older one is asked by a request.
pub(crate) async fn introduce(
    answers: Option<&InputResponses>,
    context: &RequestContext<RoleServer>,
) -> Result<CallToolResponse, ErrorData> {
    let modern = context.protocol_version() == Some(ProtocolVersion::V_2026_07_28);
    let content = match answers.and_then(|answers| answers.get(NAME)) {
        Some(answer) => Some(answer["content"].clone()),
        None if modern => {
            let question = InputRequest::Elicitation(ElicitRequest::new(question()?));
            let questions = InputRequests::from([(NAME.to_owned(), question)]);
            return Ok(InputRequiredResult::new(Some(questions), Some("asked".to_owned())).into());
        }
        None => {
            let answer = context.peer.create_elicitation(question()?).await;
            answer.map_err(|error| ErrorData::internal_error(error.to_string(), None))?.content
        }
    };
    Ok(said(json!({"hello": content.unwrap_or_default()["name"]})).into())
}

fn question() -> Result<ElicitRequestParams, ErrorData> {
    let schema = json!({"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]});
    let requested_schema =
        serde_json::from_value(schema).map_err(|error| ErrorData::internal_error(error.to_string(), None))?;
    Ok(ElicitRequestParams::FormElicitationParams {
        meta: None,
        message: "who are you?".to_owned(),
        requested_schema,
    })
}

/// Is done a moment after it was answered.
pub(crate) fn later(tasks: &TaskManager) -> CreateTaskResult {
    let options = TaskOptions::new().with_poll_interval_ms(50);
    let task = tasks.spawn(options, |_| {
        Box::pin(async {
            tokio::time::sleep(TAKES).await;
            Ok(said(json!({"done": "later"})))
        })
    });
    CreateTaskResult::new(task)
}
