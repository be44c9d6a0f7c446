//! `/history`: what became of the prompts.

use std::{collections::HashMap, sync::Arc};

use axum::{
    extract::{Path, Query, Request, State as Shared},
    http::StatusCode,
    response::Response,
};
use serde_json::{Map, Value, json};

use super::answers;
use crate::{python, state::State};

/// `max_items` takes the last ones, unless `offset` says where to begin.
pub(super) async fn all(
    Shared(state): Shared<Arc<State>>,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    let number = |name: &str| query.get(name).map(|text| text.parse::<i64>()).transpose();
    let (Ok(max_items), Ok(offset)) = (number("max_items"), number("offset")) else {
        return answers::trouble();
    };
    let entries: Vec<(String, Arc<Value>)> = {
        let queue = state.queue();
        let history = queue.history();
        let count = max_items.map_or(history.len(), |items| usize::try_from(items).unwrap_or(0));
        let from = match offset.and_then(|offset| usize::try_from(offset).ok()) {
            Some(offset) => offset,
            None => history.len().saturating_sub(count),
        };
        let entries = history.iter().skip(from).take(count);
        entries.map(|(id, entry)| (id.clone(), entry.clone())).collect()
    };
    let entries: Map<String, Value> =
        entries.into_iter().map(|(id, entry)| (id, Value::clone(&entry))).collect();
    answers::json(&Value::Object(entries))
}

pub(super) async fn one(Shared(state): Shared<Arc<State>>, Path(id): Path<String>) -> Response {
    let entry = state.queue().history().get(&id).cloned();
    match entry {
        Some(entry) => answers::json(&json!({ id: *entry })),
        None => answers::json(&json!({})),
    }
}

pub(super) async fn change(Shared(state): Shared<Arc<State>>, request: Request) -> Response {
    let body = match answers::json_body(request, state.max_body_bytes).await {
        Ok(body) => body,
        Err(answer) => return answer,
    };
    if body.get("clear").is_some_and(python::truthy) {
        state.queue().clear_history();
    }
    if let Some(ids) = body.get("delete") {
        state.queue().delete_history(&answers::texts(ids));
    }
    answers::empty(StatusCode::OK)
}
