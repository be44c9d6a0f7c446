//! ComfyUI's HTTP API: every endpoint at the root and again under `/api`.

mod answers;
mod faults;
mod history;
mod info;
mod jobs;
mod origin;
mod prompt;
mod queue;
mod upload;
mod view;
mod ws;

use std::sync::Arc;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware,
    routing::{get, post},
};

use crate::state::State;

/// Everything that the sandbox answers to.
pub(crate) fn router(state: Arc<State>) -> Router {
    let api = endpoints().route("/jobs", get(jobs::list)).route("/jobs/{id}", get(jobs::one));
    endpoints()
        .nest("/api", api)
        .route("/sandbox/faults", post(faults::set))
        .fallback(answers::unknown_path)
        .method_not_allowed_fallback(answers::wrong_method)
        .layer(middleware::from_fn(origin::check))
        .layer(middleware::from_fn_with_state(state.clone(), faults::apply))
        .layer(DefaultBodyLimit::max(state.max_body_bytes))
        .with_state(state)
}

fn endpoints() -> Router<Arc<State>> {
    Router::new()
        .route("/ws", get(ws::open))
        .route("/prompt", get(prompt::remaining).post(prompt::submit))
        .route("/queue", get(queue::show).post(queue::change))
        .route("/interrupt", post(queue::interrupt))
        .route("/free", post(queue::free))
        .route("/history", get(history::all).post(history::change))
        .route("/history/{id}", get(history::one))
        .route("/object_info", get(info::object_info))
        .route("/object_info/{class}", get(info::object_info_of))
        .route("/models", get(info::model_folders))
        .route("/models/{folder}", get(info::models))
        .route("/embeddings", get(info::embeddings))
        .route("/extensions", get(info::empty_list))
        .route("/features", get(info::features))
        .route("/system_stats", get(info::system_stats))
        .route("/workflow_templates", get(info::empty_object))
        .route("/global_subgraphs", get(info::empty_object))
        .route("/view_metadata/{folder}", get(answers::not_found))
        .route("/upload/image", post(upload::image))
        .route("/upload/mask", post(upload::mask))
        .route("/view", get(view::view))
}
