//! Tools that ask the client, in either era: forms, its model, its folders.

use mcp_protocol::wire::{ElicitAction, ElicitResult};
use mcp_protocol::{CallContext, InputRequest, ToolError};
use serde_json::{Value, json};

use crate::fixture::{Arguments, Fixture, Reply, argument, object, text};

pub(crate) fn tools() -> Vec<Fixture> {
    vec![
        Fixture::with("test_sampling", object(&json!({"prompt": {"type": "string"}})), sampling),
        Fixture::with("test_elicitation", object(&json!({"message": {"type": "string"}})), elicitation),
        Fixture::new("test_elicitation_sep1034_defaults", |cx| fill(cx, defaults())),
        Fixture::new("test_elicitation_sep1330_enums", |cx| fill(cx, choices())),
        Fixture::new("test_input_required_result_elicitation", |cx| async move {
            let name = ask_text(&cx, "user_name", "What is your name?", "name").await?;
            Ok(text(format!("Hello, {name}!")))
        }),
        Fixture::new("test_input_required_result_sampling", |cx| async move {
            let question = InputRequest::sample("What is the capital of France?", 100);
            let answer: Value = cx.input("capital_question", question).await?;
            Ok(text(said(&answer)))
        }),
        Fixture::new("test_input_required_result_list_roots", |cx| async move {
            let answer: Value = cx.input("client_roots", InputRequest::roots()).await?;
            Ok(text(format!("The client works in {}", answer["roots"])))
        }),
        Fixture::new("test_input_required_result_request_state", |cx| async move {
            confirm(&cx).await?;
            Ok(text("state-ok"))
        }),
        Fixture::new("test_input_required_result_tampered_state", |cx| async move {
            confirm(&cx).await?;
            Ok(text("state-ok"))
        }),
        Fixture::new("test_input_required_result_multiple_inputs", |cx| async move {
            let answers = cx.inputs(questions()).await?;
            Ok(text(format!("The client gave {} answers.", answers.len())))
        }),
        Fixture::new("test_input_required_result_multi_round", |cx| async move {
            let name = ask_text(&cx, "step1", "Step 1: What is your name?", "name").await?;
            let color = ask_text(&cx, "step2", "Step 2: What is your favorite color?", "color").await?;
            Ok(text(format!("{name} likes {color}.")))
        }),
        Fixture::new("test_input_required_result_capabilities", |cx| async move {
            let possible = questions().into_iter().filter(|(_, question)| cx.can_ask(question.kind()));
            let answers = cx.inputs(possible.collect()).await?;
            Ok(text(format!("The client gave {} answers.", answers.len())))
        }),
    ]
}

/// Asks for one text; a person who doesn't want to say it is an error.
pub(crate) async fn ask_text(
    cx: &CallContext,
    key: &str,
    message: &str,
    field: &str,
) -> Result<String, ToolError> {
    let form = InputRequest::form(message, object(&json!({field: {"type": "string"}})));
    let answer: ElicitResult = cx.input(key, form).await?;
    if answer.action != ElicitAction::Accept {
        return Err(ToolError::new("not_told", "the person has not answered"));
    }
    Ok(argument(&answer.content, field).to_owned())
}

async fn confirm(cx: &CallContext) -> Result<(), ToolError> {
    let form = InputRequest::form("Please confirm", object(&json!({"ok": {"type": "boolean"}})));
    let _: ElicitResult = cx.input("confirm", form).await?;
    Ok(())
}

fn questions() -> Vec<(String, InputRequest)> {
    let form = InputRequest::form("What is your name?", object(&json!({"name": {"type": "string"}})));
    vec![
        ("user_name".to_owned(), form),
        ("greeting".to_owned(), InputRequest::sample("Generate a greeting", 50)),
        ("client_roots".to_owned(), InputRequest::roots()),
    ]
}

async fn sampling(cx: CallContext, arguments: Arguments) -> Reply {
    let question = InputRequest::sample(argument(&arguments, "prompt"), 100);
    let answer: Value = cx.input("sample", question).await?;
    Ok(text(format!("LLM response: {}", said(&answer))))
}

async fn elicitation(cx: CallContext, arguments: Arguments) -> Reply {
    let fields = json!({
        "username": {"type": "string", "description": "User's response"},
        "email": {"type": "string", "description": "User's email address"},
    });
    let form = InputRequest::form(argument(&arguments, "message"), object(&fields));
    let answer: Value = cx.input("user", form).await?;
    Ok(text(format!("User response: {answer}")))
}

/// Shows a form and repeats what came back.
async fn fill(cx: CallContext, schema: Value) -> Reply {
    let form = InputRequest::form("Please review and update the form", schema);
    let answer: Value = cx.input("form", form).await?;
    Ok(text(format!("Elicitation completed: action={}, content={}", answer["action"], answer["content"])))
}

/// What the client's model said.
fn said(answer: &Value) -> &str {
    answer["content"]["text"].as_str().unwrap_or_default()
}

fn defaults() -> Value {
    json!({
        "type": "object",
        "properties": {
            "name": {"type": "string", "default": "John Doe"},
            "age": {"type": "integer", "default": 30},
            "score": {"type": "number", "default": 95.5},
            "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
            "verified": {"type": "boolean", "default": true},
        },
    })
}

fn choices() -> Value {
    let titled = |names: [&str; 3]| {
        let values = ["value1", "value2", "value3"].into_iter().zip(names);
        values.map(|(value, name)| json!({"const": value, "title": name})).collect::<Vec<_>>()
    };
    let options = ["option1", "option2", "option3"];
    json!({
        "type": "object",
        "properties": {
            "untitledSingle": {"type": "string", "enum": options},
            "titledSingle": {
                "type": "string",
                "oneOf": titled(["First Option", "Second Option", "Third Option"]),
            },
            "legacyEnum": {
                "type": "string",
                "enum": ["opt1", "opt2", "opt3"],
                "enumNames": ["Option One", "Option Two", "Option Three"],
            },
            "untitledMulti": {"type": "array", "items": {"type": "string", "enum": options}},
            "titledMulti": {
                "type": "array",
                "items": {"anyOf": titled(["First Choice", "Second Choice", "Third Choice"])},
            },
        },
    })
}
