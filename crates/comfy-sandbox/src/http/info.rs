//! What the server is and has: node classes, models, features.

use std::sync::Arc;

use axum::{
    extract::{Path, State as Shared},
    http::StatusCode,
    response::Response,
};
use serde_json::{Value, json};

use super::answers;
use crate::state::State;

/// What the sandbox claims for memory: ComfyUI's clients show it.
const MEMORY_BYTES: u64 = 8 * 1024 * 1024 * 1024;

/// What both `/features` and the websocket tell of this server.
pub(super) fn features_of(state: &State) -> Value {
    json!({
        "supports_preview_metadata": true,
        "max_upload_size": state.max_body_bytes,
        "extension": {"manager": {"supports_v4": true}},
    })
}

pub(super) async fn object_info(Shared(state): Shared<Arc<State>>) -> Response {
    answers::json(&state.catalog.all(&state.data))
}

pub(super) async fn object_info_of(
    Shared(state): Shared<Arc<State>>,
    Path(class_type): Path<String>,
) -> Response {
    match state.catalog.class(&class_type, &state.data) {
        Some(class) => answers::json(&json!({ class_type: class })),
        None => answers::json(&json!({})),
    }
}

pub(super) async fn model_folders(Shared(state): Shared<Arc<State>>) -> Response {
    answers::json(&json!(state.catalog.folders()))
}

pub(super) async fn models(Shared(state): Shared<Arc<State>>, Path(folder): Path<String>) -> Response {
    match state.catalog.models(&folder) {
        Some(models) => answers::json(&json!(models)),
        None => answers::empty(StatusCode::NOT_FOUND),
    }
}

/// The embeddings without the ends of their file names.
pub(super) async fn embeddings(Shared(state): Shared<Arc<State>>) -> Response {
    let models = state.catalog.models("embeddings").unwrap_or_default();
    let stem = |name: &String| name.rsplit_once('.').map_or(name.clone(), |(stem, _)| stem.to_owned());
    answers::json(&models.iter().map(stem).collect())
}

pub(super) async fn features(Shared(state): Shared<Arc<State>>) -> Response {
    answers::json(&features_of(&state))
}

pub(super) async fn system_stats() -> Response {
    answers::json(&json!({
        "system": {
            "os": std::env::consts::OS,
            "ram_total": MEMORY_BYTES,
            "ram_free": MEMORY_BYTES,
            "comfyui_version": concat!("sandbox-", env!("CARGO_PKG_VERSION")),
            "required_frontend_version": "none",
            "installed_templates_version": null,
            "required_templates_version": null,
            "python_version": "none (comfy-sandbox)",
            "pytorch_version": "none (comfy-sandbox)",
            "embedded_python": false,
            "argv": ["comfy-sandbox"],
        },
        "devices": [{
            "name": "comfy-sandbox (paints, has no models)",
            "type": "cpu",
            "index": null,
            "vram_total": MEMORY_BYTES,
            "vram_free": MEMORY_BYTES,
            "torch_vram_total": MEMORY_BYTES,
            "torch_vram_free": MEMORY_BYTES,
        }],
    }))
}

pub(super) async fn empty_list() -> Response {
    answers::json(&json!([]))
}

pub(super) async fn empty_object() -> Response {
    answers::json(&json!({}))
}
