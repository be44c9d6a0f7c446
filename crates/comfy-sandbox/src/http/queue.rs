//! `/queue`, `/interrupt` and `/free`.

use std::sync::{Arc, atomic::Ordering};

use axum::{
    extract::{Request, State as Shared},
    http::StatusCode,
    response::Response,
};
use serde_json::{Value, json};

use super::answers;
use crate::{python, state::State};

pub(super) async fn show(Shared(state): Shared<Arc<State>>) -> Response {
    let (running, pending): (Vec<_>, Vec<_>) = {
        let queue = state.queue();
        (queue.running().into_iter().cloned().collect(), queue.pending().cloned().collect())
    };
    let shown = |prompts: Vec<Arc<crate::queue::Prompt>>| -> Value {
        prompts.iter().map(|prompt| prompt.to_json()).collect()
    };
    answers::json(&json!({"queue_running": shown(running), "queue_pending": shown(pending)}))
}

/// Clears the queue or deletes from it; everyone hears of a change, and of a clearing in any case.
pub(super) async fn change(Shared(state): Shared<Arc<State>>, request: Request) -> Response {
    let body = match answers::json_body(request, state.max_body_bytes).await {
        Ok(body) => body,
        Err(answer) => return answer,
    };
    if body.get("clear").is_some_and(python::truthy) {
        state.queue().clear();
        state.send_status().await;
    }
    if let Some(ids) = body.get("delete") {
        let changed = state.queue().delete(&answers::texts(ids));
        if changed {
            state.send_status().await;
        }
    }
    answers::empty(StatusCode::OK)
}

/// The body may name a prompt; without one, or with a body that isn't JSON, it is the running one.
pub(super) async fn interrupt(Shared(state): Shared<Arc<State>>, request: Request) -> Response {
    let bytes = match answers::body(request.into_body(), state.max_body_bytes).await {
        Ok(bytes) => bytes,
        Err(answer) => return answer,
    };
    let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let prompt_id = body.get("prompt_id").filter(|prompt_id| python::truthy(prompt_id)).map(python::text);
    state.queue().interrupt(prompt_id.as_deref());
    answers::empty(StatusCode::OK)
}

/// Empties the cache, at once if nothing runs.
pub(super) async fn free(Shared(state): Shared<Arc<State>>, request: Request) -> Response {
    let body = match answers::json_body(request, state.max_body_bytes).await {
        Ok(body) => body,
        Err(answer) => return answer,
    };
    if body.get("free_memory").is_some_and(python::truthy) {
        state.free_memory.store(true, Ordering::Relaxed);
        state.work.notify_one();
    }
    answers::empty(StatusCode::OK)
}
