//! The locks on the doors: who calls, what they may do, and how often.

use std::sync::Arc;

use auth::{AuthError, Principal, RateLimited};
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use jiff::Timestamp;
use jsonrpsee::core::middleware::Request as RpcRequest;
use jsonrpsee::types::ErrorObjectOwned;
use mcp_protocol::{RequestInfo, SessionOwner, error};

use crate::app::App;
use crate::error::ServerError;

/// Where MCP is spoken.
pub const MCP_PATH: &str = "/mcp";

/// An axum middleware: finds out who calls and puts it into the request's extensions, or answers 401.
pub async fn authenticate(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    match identify(&app, request.headers()).await {
        Ok(principal) => {
            request.extensions_mut().insert(SessionOwner(principal.client_id.clone()));
            request.extensions_mut().insert(principal);
            next.run(request).await
        }
        Err(error) if request.uri().path() == MCP_PATH => refuse_mcp(&error),
        Err(error) => error.into_response(),
    }
}

/// The same refusal as a JSON-RPC error, which is what an MCP client can show. Some clients keep nothing of a 401 but
/// its challenge, so the reason is there too (RFC 6750, 3).
fn refuse_mcp(refused: &ServerError) -> Response {
    let text = rpc_text(refused);
    let error = match refused {
        ServerError::Unauthenticated(_) => error::unauthenticated(text),
        ServerError::Busy => error::error(error::OVERLOADED, text),
        _ => error::internal(),
    };
    let mut response = mcp_protocol::http::refusal(&error);
    if let Some(challenge) = refused.challenge() {
        response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    }
    response
}

fn rpc_text(refused: &ServerError) -> String {
    match refused.remedy() {
        Some(remedy) => format!("{refused}; {remedy}"),
        None => refused.to_string(),
    }
}

async fn identify(app: &App, headers: &HeaderMap) -> Result<Arc<Principal>, ServerError> {
    if !app.settings.enable_auth {
        return Ok(Arc::new(Principal::local()));
    }
    let key = presented(headers).ok_or(ServerError::Unauthenticated("this server needs an API key"))?;
    verify(app, key).await
}

/// Who a key belongs to.
pub async fn verify(app: &App, key: &str) -> Result<Arc<Principal>, ServerError> {
    match app.authenticator.authenticate(key, Timestamp::now()).await {
        Ok(principal) => Ok(Arc::new(principal)),
        Err(AuthError::Missing) => Err(ServerError::Unauthenticated("this server needs an API key")),
        Err(AuthError::Invalid | AuthError::Revoked) => {
            Err(ServerError::Unauthenticated("the API key is not valid"))
        }
        Err(AuthError::Expired) => Err(ServerError::Unauthenticated("the API key has expired")),
        Err(AuthError::Busy) => Err(ServerError::Busy),
        Err(other) => Err(ServerError::internal(other)),
    }
}

fn presented(headers: &HeaderMap) -> Option<&str> {
    let bearer = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
    });
    bearer.or_else(|| headers.get("x-api-key").and_then(|value| value.to_str().ok()).map(str::trim))
}

/// The tools that make jobs.
const MAKES_JOBS: [&str; 4] = ["generate_image", "img2img", "inpaint", "run_workflow"];
/// The tools that reach only the caller's own jobs and pictures.
const OWN_JOBS: [&str; 4] = ["get_job_status", "wait_for_job", "cancel_job", "get_image"];

/// Whoever may make jobs may also wait for them, cancel them, and fetch what came out.
fn may(principal: &Principal, permission: &str) -> bool {
    principal.may(permission)
        || (OWN_JOBS.contains(&permission) && MAKES_JOBS.iter().any(|tool| principal.may(tool)))
}

/// Permission and rate limit of one use of a tool, or of the door of the same name.
pub fn admit(app: &App, principal: &Principal, permission: &str) -> Result<(), ServerError> {
    if !may(principal, permission) {
        return Err(ServerError::Forbidden(permission.to_owned()));
    }
    let limited = |error: RateLimited| ServerError::RateLimited { retry_after: error.retry_after() };
    app.limiter.check(principal, 1).map_err(limited)
}

/// The check of the MCP guard layer: the same for a tool call over any transport.
pub fn check_call(app: &App, request: &RpcRequest<'_>) -> Result<(), ErrorObjectOwned> {
    let Some(tool) = RequestInfo::called_tool(request) else { return Ok(()) };
    let Some(principal) = request.extensions.get::<Arc<Principal>>() else {
        return Err(error::unauthenticated("the caller is not known"));
    };
    admit(app, principal, tool).map_err(|refused| {
        let text = rpc_text(&refused);
        match refused {
            ServerError::RateLimited { retry_after } => {
                error::rate_limited(text, retry_after.unwrap_or_default())
            }
            _ => error::forbidden(text),
        }
    })
}

#[cfg(test)]
mod tests {
    use auth::{Permissions, Principal};

    use super::may;

    #[test]
    fn whoever_makes_jobs_may_follow_them() {
        let cases = [
            (&["generate_image"][..], "wait_for_job", true),
            (&["run_*"][..], "get_image", true),
            (&["generate_image"][..], "img2img", false),
            (&["generate_image"][..], "list_models", false),
            (&["list_*"][..], "get_image", false),
            (&["get_job_status"][..], "cancel_job", false),
            (&["*"][..], "img2img", true),
        ];
        for (granted, asked, expected) in cases {
            let permissions = Permissions::new(granted.iter().copied()).unwrap();
            let principal = Principal { permissions, ..Principal::local() };
            assert_eq!(may(&principal, asked), expected, "{granted:?} for {asked}");
        }
    }
}
