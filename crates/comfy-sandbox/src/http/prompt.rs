//! `/prompt`: into the queue.

use std::sync::Arc;

use axum::{
    extract::{Request, State as Shared},
    http::StatusCode,
    response::Response,
};
use jiff::Timestamp;
use serde_json::{Map, Number, Value, json};
use uuid::Uuid;

use super::answers;
use crate::{
    python,
    queue::{Place, Prompt},
    state::State,
    validation::{self, Verdict},
};

/// What ComfyUI takes out of `extra_data` before anyone can see it.
const SECRETS: [&str; 2] = ["auth_token_comfy_org", "api_key_comfy_org"];

pub(super) async fn remaining(Shared(state): Shared<Arc<State>>) -> Response {
    let remaining = state.queue().remaining();
    answers::json(&json!({"exec_info": {"queue_remaining": remaining}}))
}

pub(super) async fn submit(Shared(state): Shared<Arc<State>>, request: Request) -> Response {
    match answers::json_body(request, state.max_body_bytes).await {
        Ok(body) => accept(&state, body).await.unwrap_or_else(|answer| answer),
        Err(answer) => answer,
    }
}

async fn accept(state: &Arc<State>, mut body: Value) -> Result<Response, Response> {
    let number = number(state, &body).ok_or_else(answers::trouble)?;
    let Some(graph) = body.get_mut("prompt").map(Value::take) else {
        let message = "No prompt provided";
        let error = validation::error("no_prompt", message, message);
        return Err(refused(&error, &json!({})));
    };
    let id = body.get("prompt_id").map_or_else(|| Uuid::new_v4().to_string(), python::text);
    let targets = body.get("partial_execution_targets").filter(|targets| !targets.is_null());
    let targets = targets.map(answers::texts);
    let mut extra_data = match body.get_mut("extra_data").map(Value::take) {
        None => Map::new(),
        Some(Value::Object(extra_data)) => extra_data,
        Some(_) => return Err(answers::trouble()),
    };
    if let Some(client_id) = body.get("client_id") {
        extra_data.insert("client_id".to_owned(), client_id.clone());
    }
    let (graph, outputs, node_errors) = match check(state, graph, targets).await {
        Verdict::Accepted { graph, outputs, node_errors } => (graph, outputs, node_errors),
        Verdict::Refused { error, node_errors } => return Err(refused(&error, &node_errors)),
        Verdict::Broken => return Err(answers::trouble()),
    };
    extra_data.retain(|name, _| !SECRETS.contains(&name.as_str()));
    extra_data.insert("create_time".to_owned(), json!(Timestamp::now().as_millisecond()));
    let answer = answers::json(&json!({"prompt_id": id, "number": number, "node_errors": node_errors}));
    let prompt = Prompt { number, id, graph, extra_data: Value::Object(extra_data), outputs };
    state.queue().put(prompt).map_err(|_| answers::trouble())?;
    state.send_status().await;
    state.work.notify_one();
    Ok(answer)
}

/// The number that orders the queue: the caller's, or the next.
fn number(state: &State, body: &Value) -> Option<Number> {
    if let Some(number) = body.get("number") {
        return python::float(number).ok()?.as_number().cloned();
    }
    let is_front = body.get("front").is_some_and(python::truthy);
    Some(state.queue().take_number(if is_front { Place::Front } else { Place::Back }))
}

async fn check(state: &Arc<State>, graph: Value, targets: Option<Vec<String>>) -> Verdict {
    let state = state.clone();
    let check = move || validation::validate(&state.catalog, &state.data, &graph, targets.as_deref());
    tokio::task::spawn_blocking(check).await.unwrap_or(Verdict::Broken)
}

fn refused(error: &Value, node_errors: &Value) -> Response {
    answers::json_with(StatusCode::BAD_REQUEST, &json!({"error": error, "node_errors": node_errors}))
}
