//! Asking the person who sits at the client, where a call leaves a real choice open.

use mcp_protocol::wire::{ElicitAction, ElicitResult, InputKind, InputRequest};
use mcp_protocol::{CallContext, ToolError};
use serde_json::{Value, json};

use super::arguments::Sampling;
use crate::app::App;
use crate::error::ServerError;
use crate::plan;

/// The answer of somebody who doesn't mind.
const ANY: &str = "choose for me";
/// Names in one question.
const MAX_OFFERED: usize = 100;

/// Asks which model to take, if the call wants that, the client can be asked, several models could be meant and none is
/// named. A modern call comes again with the answer, so nothing may have been done before this.
pub(super) async fn model(app: &App, cx: &CallContext, sampling: &mut Sampling) -> Result<(), ToolError> {
    let wanted = sampling.interactive == Some(true) && sampling.model.is_none();
    if !wanted || !cx.can_ask(InputKind::ElicitForm) {
        return Ok(());
    }
    let (catalog, workflow) = (app.catalog.current(), sampling.workflow.clone());
    let choices = app.planned(move |info| plan::model_choices(info, &catalog, workflow.as_deref())).await?;
    if choices.len() < 2 {
        return Ok(());
    }
    let answer = tokio::select! {
        answer = cx.input::<ElicitResult>("model", question(&choices)) => answer?,
        () = app.stopping.cancelled() => return Err(ServerError::Stopping.into()),
    };
    sampling.model = chosen(&answer)?;
    Ok(())
}

fn question(choices: &[String]) -> InputRequest {
    let offered = [ANY].into_iter().chain(choices.iter().take(MAX_OFFERED).map(String::as_str));
    let text = match choices.len().checked_sub(MAX_OFFERED) {
        Some(more @ 1..) => format!("Which model should make the picture? ({more} more are installed.)"),
        _ => "Which model should make the picture?".to_owned(),
    };
    let schema = json!({
        "type": "object",
        "properties": {
            "model": {"type": "string", "title": "Model", "enum": offered.collect::<Vec<_>>()},
        },
        "required": ["model"],
    });
    InputRequest::form(text, schema)
}

/// The name of the model; `None` for any. That it is installed is found out by the plan.
fn chosen(answer: &ElicitResult) -> Result<Option<String>, ToolError> {
    if answer.action != ElicitAction::Accept {
        let error = ToolError::new("declined", "the person was asked for a model and did not choose one");
        return Err(error.remedy("nothing was made; name a model, or call without `interactive`"));
    }
    match answer.content.get("model").and_then(Value::as_str) {
        Some(ANY) => Ok(None),
        Some(name) => Ok(Some(name.to_owned())),
        None => Err(ToolError::new("input_invalid", "the answer to the question names no model")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(action: ElicitAction, content: Value) -> ElicitResult {
        let Value::Object(content) = content else { panic!("{content}") };
        ElicitResult { action, content }
    }

    #[test]
    fn an_answer_is_a_name_or_any() {
        let accept = |content| chosen(&answered(ElicitAction::Accept, content));
        assert_eq!(accept(json!({"model": "a.pt"})), Ok(Some("a.pt".into())));
        assert_eq!(accept(json!({"model": ANY})), Ok(None));
        assert_eq!(accept(json!({"model": 1})).unwrap_err().code, "input_invalid");
        for action in [ElicitAction::Decline, ElicitAction::Cancel] {
            assert_eq!(chosen(&answered(action, json!({}))).unwrap_err().code, "declined");
        }
    }

    #[test]
    fn a_question_says_what_it_leaves_out() {
        let names: Vec<_> = (0..103).map(|number| format!("{number}.pt")).collect();
        let question = serde_json::to_value(question(&names)).unwrap();
        assert!(question["params"]["message"].as_str().unwrap().contains("(3 more"), "{question}");
        let offered = &question["params"]["requestedSchema"]["properties"]["model"]["enum"];
        assert_eq!(offered.as_array().map(Vec::len), Some(MAX_OFFERED + 1), "{offered}");
    }
}
