//! The faults of HTTP answers, and the door to the switches: `POST /sandbox/faults`.

use std::sync::Arc;

use axum::{
    extract::{Request, State as Shared},
    http::{Method, StatusCode},
    middleware::Next,
    response::Response,
};

use super::answers;
use crate::{faults::FaultRequest, state::State};

/// The largest set of switches, in bytes.
const MAX_BODY_BYTES: usize = 1024 * 1024;

/// Sets the switches that the body names; 400 with the reason for a body that is wrong.
pub(super) async fn set(Shared(state): Shared<Arc<State>>, request: Request) -> Response {
    let bytes = match answers::body(request.into_body(), MAX_BODY_BYTES).await {
        Ok(bytes) => bytes,
        Err(answer) => return answer,
    };
    let refused = |reason: String| answers::text(StatusCode::BAD_REQUEST, reason);
    match serde_json::from_slice::<FaultRequest>(&bytes) {
        Err(error) => refused(error.to_string()),
        Ok(faults) => match state.faults.apply(&faults) {
            Err(error) => refused(error.to_string()),
            Ok(()) => answers::empty(StatusCode::OK),
        },
    }
}

/// Delays or spoils an answer, if a fault says so.
pub(super) async fn apply(Shared(state): Shared<Arc<State>>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if path == "/sandbox/faults" {
        return next.run(request).await;
    }
    let path = path.strip_prefix("/api").unwrap_or(path);
    let is_failing = state.faults.takes_request(path);
    let is_refused =
        path == "/prompt" && request.method() == Method::POST && state.faults.prompts_are_refused();
    let delay = state.faults.delay();
    if !delay.is_zero() {
        state.stop.run_until_cancelled(tokio::time::sleep(delay)).await;
    }
    if is_failing {
        return answers::trouble();
    }
    if is_refused {
        return answers::text(StatusCode::SERVICE_UNAVAILABLE, "503: Service Unavailable");
    }
    next.run(request).await
}
