//! The HTTP doors: `/mcp`, `/ws`, `/artifacts/{id}` and `/health`.

use std::sync::Arc;

use auth::Principal;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Extension, Json, Router};
use mcp_protocol::Server;
use mcp_protocol::http::{AllowedHosts, HttpConfig};
use serde_json::{Value, json};
use storage::Artifact;

use crate::app::App;
use crate::backend::Health;
use crate::error::ServerError;
use crate::{artifacts, guard};

/// All doors. Only `/health` is open when authentication is on.
pub fn router(app: &Arc<App>, server: Server) -> Router {
    let config = HttpConfig {
        allowed_origins: app.settings.allowed_origins.clone(),
        allowed_hosts: allowed_hosts(app),
        path: guard::MCP_PATH.to_owned(),
        websocket_path: Some(guard::WEBSOCKET_PATH.to_owned()),
        ..HttpConfig::default()
    };
    let artifacts = Router::new()
        .route("/artifacts/{id}", get(artifact))
        .with_state(Arc::clone(app))
        .layer(from_fn_with_state(config.clone(), check_host));
    let locked = artifacts
        .merge(mcp_protocol::http::router(server, config))
        .layer(from_fn_with_state(Arc::clone(app), guard::authenticate));
    Router::new().route("/health", get(health)).with_state(Arc::clone(app)).merge(locked)
}

/// A page of another site must not reach a server on loopback by a name of its own (DNS rebinding).
fn allowed_hosts(app: &App) -> AllowedHosts {
    let public = app.settings.public_url.as_ref().and_then(|url| url.host_str());
    match public {
        Some(host) => AllowedHosts::List(vec![host.to_owned()]),
        None if app.settings.is_loopback() => AllowedHosts::Loopback,
        None => AllowedHosts::Any,
    }
}

/// The check that `/mcp` makes itself.
async fn check_host(State(config): State<HttpConfig>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    if !config.admits(&parts) {
        return (StatusCode::FORBIDDEN, "this host name or origin is not allowed").into_response();
    }
    next.run(Request::from_parts(parts, body)).await
}

/// Whether this server and its ComfyUI answer. Says nothing that needs a key: no URL, no names.
async fn health(State(app): State<Arc<App>>) -> Json<Value> {
    let up =
        app.pool.backends().iter().filter(|backend| matches!(backend.health(), Health::Up { .. })).count();
    Json(json!({
        "status": "ok",
        "version": env!("CARGO_PKG_VERSION"),
        "comfyui": if up > 0 { "up" } else { "down" },
        "sandbox": app.settings.sandbox,
    }))
}

/// The bytes of an artifact, whole or a range.
async fn artifact(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Arc<Principal>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ServerError> {
    guard::admit(&app, &principal, "get_image")?;
    let artifact = artifacts::owned(&app, &principal, &id).await?;
    let etag = format!("\"{}\"", artifact.sha256);
    if header_is(&headers, header::IF_NONE_MATCH, &etag) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, etag)]).into_response());
    }
    let range = headers.get(header::RANGE).and_then(|value| value.to_str().ok());
    let (status, bytes) = match range.map_or(Range::Whole, |text| parse_range(text, artifact.bytes)) {
        Range::Whole => (StatusCode::OK, 0..artifact.bytes),
        Range::Part(bytes) => (StatusCode::PARTIAL_CONTENT, bytes),
        Range::Outside => {
            let all = format!("bytes */{}", artifact.bytes);
            return Ok((StatusCode::RANGE_NOT_SATISFIABLE, [(header::CONTENT_RANGE, all)]).into_response());
        }
    };
    let content =
        app.artifacts.read_range(&artifact.id, bytes.clone()).await.map_err(ServerError::internal)?;
    let content = content.ok_or_else(|| ServerError::NotFound { kind: "artifact", id: id.clone() })?;
    let mut response = Response::new(Body::from_stream(content.stream));
    *response.status_mut() = status;
    describe(response.headers_mut(), &artifact, &etag, bytes.end - bytes.start);
    if status == StatusCode::PARTIAL_CONTENT {
        let range = format!("bytes {}-{}/{}", bytes.start, bytes.end - 1, artifact.bytes);
        set(response.headers_mut(), header::CONTENT_RANGE, &range);
    }
    Ok(response)
}

/// A value with a byte that no header may have is left out.
fn set(headers: &mut HeaderMap, field: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(field, value);
    }
}

fn header_is(headers: &HeaderMap, name: header::HeaderName, expected: &str) -> bool {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.split(',').any(|tag| tag.trim().trim_start_matches("W/") == expected))
}

/// What comes from ComfyUI may be anything; a browser must neither guess its type nor run it.
fn describe(headers: &mut HeaderMap, artifact: &Artifact, etag: &str, length: u64) {
    let safe = ["image/", "video/", "audio/"].iter().any(|kind| artifact.media_type.starts_with(kind))
        && !artifact.media_type.contains("svg");
    let media_type = if safe { artifact.media_type.as_str() } else { "application/octet-stream" };
    let name: String =
        artifact.file_name.chars().filter(|c| c.is_ascii_graphic() && *c != '"' && *c != '\\').collect();
    let disposition = if safe { "inline" } else { "attachment" };
    let fields = [
        (header::CONTENT_TYPE, media_type.to_owned()),
        (header::CONTENT_LENGTH, length.to_string()),
        (header::ETAG, etag.to_owned()),
        (header::ACCEPT_RANGES, "bytes".to_owned()),
        (header::CACHE_CONTROL, "private, max-age=31536000, immutable".to_owned()),
        (header::CONTENT_DISPOSITION, format!("{disposition}; filename=\"{name}\"")),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox".to_owned()),
    ];
    for (field, value) in fields {
        set(headers, field, &value);
    }
}

/// Which bytes a `Range` header asks for.
#[derive(Debug, PartialEq, Eq)]
enum Range {
    /// All: there is no range, or none that is understood (RFC 9110 has such a header ignored).
    Whole,
    /// These.
    Part(std::ops::Range<u64>),
    /// None that the file has.
    Outside,
}

fn parse_range(text: &str, length: u64) -> Range {
    let Some((first, last)) = text.strip_prefix("bytes=").and_then(|range| range.split_once('-')) else {
        return Range::Whole;
    };
    let bytes = match (first.trim().parse::<u64>(), last.trim().parse::<u64>()) {
        (Ok(start), Ok(last)) if start <= last => start..last.saturating_add(1).min(length),
        (Ok(start), Err(_)) if last.trim().is_empty() => start..length,
        (Err(_), Ok(suffix)) if first.trim().is_empty() => length.saturating_sub(suffix)..length,
        _ => return Range::Whole,
    };
    if bytes.is_empty() { Range::Outside } else { Range::Part(bytes) }
}

#[cfg(test)]
mod tests {
    use super::{Range, parse_range};

    #[test]
    fn ranges() {
        let cases = [
            ("bytes=0-9", Range::Part(0..10)),
            ("bytes=90-200", Range::Part(90..100)),
            ("bytes=10-", Range::Part(10..100)),
            ("bytes=-5", Range::Part(95..100)),
            ("bytes=100-", Range::Outside),
            ("bytes=-0", Range::Outside),
            ("bytes=5-1", Range::Whole),
            ("bytes=0-1,4-5", Range::Whole),
            ("lines=1-2", Range::Whole),
            ("bytes=0-18446744073709551615", Range::Part(0..100)),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_range(text, 100), expected, "{text}");
        }
    }
}
