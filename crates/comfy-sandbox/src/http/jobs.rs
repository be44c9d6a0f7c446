//! `/api/jobs`: queue and history in one list, as ComfyUI 0.8 has it.

use std::{collections::HashMap, sync::Arc};

use axum::{
    extract::{Path, Query, State as Shared},
    http::StatusCode,
    response::Response,
};
use serde_json::{Value, json};

use super::answers;
use crate::{queue::Prompt, state::State};

const STATUSES: [&str; 4] = ["pending", "in_progress", "completed", "failed"];

/// Filters by `status` and `workflow_id`, sorts by `sort_by` and `sort_order`, and pages by `limit` and `offset`.
pub(super) async fn list(
    Shared(state): Shared<Arc<State>>,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    let wanted: Vec<String> = query
        .get("status")
        .map(|text| text.split(',').map(|status| status.trim().to_lowercase()).collect())
        .unwrap_or_default();
    let unknown: Vec<&str> =
        wanted.iter().map(String::as_str).filter(|status| !STATUSES.contains(status)).collect();
    if !unknown.is_empty() {
        return bad_request(&format!(
            "Invalid status value(s): {}. Valid values: {}",
            unknown.join(", "),
            STATUSES.join(", ")
        ));
    }
    let number = |name: &str| query.get(name).map(|text| text.parse::<usize>()).transpose();
    let (Ok(limit), Ok(offset)) = (number("limit"), number("offset")) else {
        return bad_request("limit and offset must be integers");
    };
    let mut jobs = all(&state);
    jobs.retain(|job| wanted.is_empty() || wanted.iter().any(|status| job["status"] == status.as_str()));
    if let Some(workflow_id) = query.get("workflow_id") {
        jobs.retain(|job| job["workflow_id"] == workflow_id.as_str());
    }
    let by_duration = query.get("sort_by").is_some_and(|key| key == "execution_duration");
    jobs.sort_by_key(
        |job| if by_duration { duration(job) } else { job["create_time"].as_i64().unwrap_or(0) },
    );
    if query.get("sort_order").is_none_or(|order| order != "asc") {
        jobs.reverse();
    }
    let (total, offset) = (jobs.len(), offset.unwrap_or(0));
    let page: Vec<Value> = jobs.into_iter().skip(offset).take(limit.unwrap_or(usize::MAX)).collect();
    let has_more = offset + page.len() < total;
    let pagination = json!({"offset": offset, "limit": limit, "total": total, "has_more": has_more});
    answers::json(&json!({"jobs": page, "pagination": pagination}))
}

/// One job, with its graph and outputs once it has ended.
pub(super) async fn one(Shared(state): Shared<Arc<State>>, Path(id): Path<String>) -> Response {
    let (waiting, entry) = {
        let queue = state.queue();
        let running =
            queue.running().filter(|prompt| prompt.id == id).map(|prompt| waiting(prompt, "in_progress"));
        let pending =
            || queue.pending().find(|prompt| prompt.id == id).map(|prompt| waiting(prompt, "pending"));
        (running.or_else(pending), queue.history().get(&id).cloned())
    };
    match (waiting, entry) {
        (Some(job), _) => answers::json(&job),
        (None, Some(entry)) => answers::json(&details(&id, &entry)),
        (None, None) => answers::json_with(StatusCode::NOT_FOUND, &json!({"error": "Job not found"})),
    }
}

fn bad_request(message: &str) -> Response {
    answers::json_with(StatusCode::BAD_REQUEST, &json!({"error": message}))
}

fn all(state: &State) -> Vec<Value> {
    let (mut jobs, history) = {
        let queue = state.queue();
        let running = queue.running().into_iter().map(|prompt| waiting(prompt, "in_progress"));
        let jobs: Vec<Value> =
            running.chain(queue.pending().map(|prompt| waiting(prompt, "pending"))).collect();
        (jobs, queue.history().clone())
    };
    jobs.extend(history.iter().map(|(id, entry)| ended(id, entry)));
    jobs
}

fn waiting(prompt: &Arc<Prompt>, status: &str) -> Value {
    let mut job = json!({
        "id": prompt.id, "status": status, "priority": prompt.number, "create_time": prompt.create_time(),
        "outputs_count": 0,
    });
    add_workflow_id(&mut job, &prompt.extra_data);
    job
}

fn ended(id: &str, entry: &Value) -> Value {
    let succeeded = entry["status"]["status_str"] == "success";
    let messages = entry["status"]["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let time =
        |message: Option<&Value>| message.map(|message| message[1]["timestamp"].clone()).unwrap_or_default();
    let mut job = json!({
        "id": id,
        "status": if succeeded { "completed" } else { "failed" },
        "priority": entry["prompt"][0],
        "create_time": entry["prompt"][3]["create_time"],
        "execution_start_time": time(messages.first()),
        "execution_end_time": time(messages.last()),
    });
    if let Some(error) = messages.iter().find(|message| message[0] == "execution_error") {
        job["execution_error"] = error[1].clone();
    }
    let files = files(&entry["outputs"]);
    job["outputs_count"] = json!(files.len());
    if let Some(first) = files.into_iter().next() {
        job["preview_output"] = first;
    }
    add_workflow_id(&mut job, &entry["prompt"][3]);
    job
}

fn details(id: &str, entry: &Value) -> Value {
    let mut job = ended(id, entry);
    job["outputs"] = entry["outputs"].clone();
    job["execution_status"] = entry["status"].clone();
    job["workflow"] = json!({"prompt": entry["prompt"][2], "extra_data": entry["prompt"][3]});
    job
}

/// Every file among the outputs, with its node.
fn files(outputs: &Value) -> Vec<Value> {
    let mut files = Vec::new();
    for (node, shown) in outputs.as_object().into_iter().flatten() {
        for (media, items) in shown.as_object().into_iter().flatten() {
            for item in items.as_array().into_iter().flatten().filter(|item| item.is_object()) {
                let mut file = item.clone();
                file["nodeId"] = json!(node);
                file["mediaType"] = json!(media);
                files.push(file);
            }
        }
    }
    files
}

fn duration(job: &Value) -> i64 {
    let time = |name: &str| job[name].as_i64().unwrap_or(0);
    time("execution_end_time") - time("execution_start_time")
}

fn add_workflow_id(job: &mut Value, extra_data: &Value) {
    let workflow_id = &extra_data["extra_pnginfo"]["workflow"]["id"];
    if !workflow_id.is_null() {
        job["workflow_id"] = workflow_id.clone();
    }
}
