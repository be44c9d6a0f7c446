//! Answers in the shapes that ComfyUI's web server gives them.

use axum::{
    body::{Body, to_bytes},
    extract::Request,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use serde_json::Value;

/// 200 with JSON.
pub(super) fn json(value: &Value) -> Response {
    json_with(StatusCode::OK, value)
}

/// JSON with this status.
pub(super) fn json_with(status: StatusCode, value: &Value) -> Response {
    let content_type = [(header::CONTENT_TYPE, "application/json; charset=utf-8")];
    (status, content_type, value.to_string()).into_response()
}

/// A status with nothing else.
pub(super) fn empty(status: StatusCode) -> Response {
    status.into_response()
}

/// A text with this status.
pub(super) fn text(status: StatusCode, text: impl Into<String>) -> Response {
    (status, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text.into()).into_response()
}

/// What a handler's exception becomes.
pub(super) fn trouble() -> Response {
    let mut answer =
        text(StatusCode::INTERNAL_SERVER_ERROR, "500 Internal Server Error\n\nServer got itself in trouble");
    answer.headers_mut().insert(header::CONNECTION, header::HeaderValue::from_static("close"));
    answer
}

/// The body of a request, or the answer to one that is too long.
pub(super) async fn body(body: Body, limit: usize) -> Result<Bytes, Response> {
    let too_long = |_| {
        let message = format!("Maximum request body size {limit} exceeded.");
        text(StatusCode::PAYLOAD_TOO_LARGE, message)
    };
    to_bytes(body, limit).await.map_err(too_long)
}

/// A JSON object in a body; an exception for all else.
pub(super) async fn json_body(request: Request, limit: usize) -> Result<Value, Response> {
    let bytes = body(request.into_body(), limit).await?;
    serde_json::from_slice::<Value>(&bytes).ok().filter(Value::is_object).ok_or_else(trouble)
}

/// The texts of a JSON list, such as `delete`.
pub(super) fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(|item| item.as_str().map(str::to_owned)).collect()
}

pub(super) async fn not_found() -> Response {
    empty(StatusCode::NOT_FOUND)
}

/// ComfyUI looks for a file of its pages there, and its empty answer is that of a missing file.
pub(super) async fn unknown_path() -> Response {
    (StatusCode::NOT_FOUND, [(header::CONTENT_TYPE, "application/octet-stream")]).into_response()
}

pub(super) async fn wrong_method() -> Response {
    text(StatusCode::METHOD_NOT_ALLOWED, "405: Method Not Allowed")
}
