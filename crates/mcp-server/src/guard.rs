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
use mcp_protocol::{CallContext, RequestInfo, SessionOwner};
use secrecy::SecretString;

use crate::app::App;
use crate::error::ServerError;
use crate::recheck::OpenedWith;
use crate::resources::Address;
use crate::tools;

/// Where MCP is spoken over HTTP.
pub const MCP_PATH: &str = "/mcp";
/// Where MCP is spoken over WebSocket.
pub const WEBSOCKET_PATH: &str = "/ws";

/// An axum middleware: finds out who calls and puts it into the request's extensions, or answers 401.
pub async fn authenticate(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    match identify(&app, request.headers()).await {
        Ok(principal) => {
            request.extensions_mut().insert(SessionOwner(principal.client_id.clone()));
            request.extensions_mut().insert(principal);
            if app.settings.enable_auth
                && request.uri().path() == WEBSOCKET_PATH
                && let Some(key) = presented(request.headers()).map(SecretString::from)
            {
                request.extensions_mut().insert(OpenedWith(key));
            }
            next.run(request).await
        }
        Err(error) if [MCP_PATH, WEBSOCKET_PATH].contains(&request.uri().path()) => refuse_mcp(error),
        Err(error) => error.into_response(),
    }
}

/// The same refusal as a JSON-RPC error, which is what an MCP client can show. Some clients keep nothing of a 401 but
/// its challenge, so the reason is there too (RFC 6750, 3).
fn refuse_mcp(refused: ServerError) -> Response {
    let challenge = refused.challenge();
    let mut response = mcp_protocol::http::refusal(&refused.into());
    if let Some(challenge) = challenge {
        response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    }
    response
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

const UNKNOWN_CALLER: ServerError = ServerError::Unauthenticated("the caller is not known");

/// The tools that make jobs.
const MAKES_JOBS: [&str; 4] = ["generate_image", "img2img", "inpaint", "run_workflow"];
/// The tools that reach only the caller's own jobs and pictures.
const OWN_JOBS: [&str; 4] = ["get_job_status", "wait_for_job", "cancel_job", "get_image"];

/// Whoever may make jobs may also wait for them, cancel them, and fetch what came out.
pub(crate) fn may(principal: &Principal, permission: &str) -> bool {
    principal.may(permission) || (OWN_JOBS.contains(&permission) && makes_jobs(principal))
}

/// A permission that is for none of the server's own tools is for a workflow's.
fn makes_jobs(principal: &Principal) -> bool {
    let is_for = |pattern: &str, tool: &str| match pattern.strip_suffix('*') {
        Some(prefix) => tool.starts_with(prefix),
        None => pattern == tool,
    };
    let is_workflow = |pattern: &str| !tools::NAMES.iter().any(|tool| is_for(pattern, tool));
    MAKES_JOBS.iter().any(|tool| principal.may(tool)) || principal.permissions.iter().any(is_workflow)
}

/// Whoever calls. The transport's middleware puts the principal there, also where authentication is off; without one
/// nothing is answered.
pub(crate) fn principal(cx: &CallContext) -> Result<Arc<Principal>, ServerError> {
    cx.extension::<Arc<Principal>>().cloned().ok_or(UNKNOWN_CALLER)
}

/// Permission and rate limit of one use of a tool, or of the door of the same name.
pub fn admit(app: &App, principal: &Principal, permission: &str) -> Result<(), ServerError> {
    check_permission(principal, permission)?;
    take_token(app, principal)
}

fn check_permission(principal: &Principal, permission: &str) -> Result<(), ServerError> {
    if may(principal, permission) { Ok(()) } else { Err(ServerError::Forbidden(permission.to_owned())) }
}

fn take_token(app: &App, principal: &Principal) -> Result<(), ServerError> {
    let limited = |error: RateLimited| ServerError::RateLimited { retry_after: error.retry_after() };
    app.limiter.check(principal, 1).map_err(limited)
}

/// What a request needs to be let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Need<'a> {
    permission: Option<&'a str>,
    price: Price,
}

/// What a request takes from the client's bucket. A task is looked at as often as this server says itself, and what
/// lists and completes is cheap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Price {
    Free,
    Token,
}

/// `target` is what the request names: a tool or a URI.
fn need<'a>(method: &str, target: Option<&'a str>) -> Need<'a> {
    let free = |permission| Need { permission, price: Price::Free };
    let token = |permission| Need { permission, price: Price::Token };
    match method {
        "tools/call" => token(target),
        "resources/read" => token(of_resource(target)),
        "prompts/get" => token(None),
        "resources/subscribe" => free(of_resource(target)),
        "tasks/get" | "tasks/update" => free(Some("get_job_status")),
        "tasks/cancel" => token(Some("cancel_job")),
        _ => free(None),
    }
}

/// The permission of the tool that gives the same.
fn of_resource(uri: Option<&str>) -> Option<&'static str> {
    Address::parse(uri?)?.permission()
}

/// The check of the MCP guard layer: the same for a request over any transport.
pub fn check_request(app: &App, request: &RpcRequest<'_>) -> Result<(), ErrorObjectOwned> {
    let target = RequestInfo::of(request).and_then(|info| info.target.as_deref());
    let need = need(request.method_name(), target);
    if need == (Need { permission: None, price: Price::Free }) {
        return Ok(());
    }
    let principal = request.extensions.get::<Arc<Principal>>().ok_or(UNKNOWN_CALLER)?;
    if let Some(permission) = need.permission {
        check_permission(principal, permission)?;
    }
    if need.price == Price::Token {
        take_token(app, principal)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use auth::{Permissions, Principal};

    use super::{Need, Price, may, need};

    #[test]
    fn whoever_makes_jobs_may_follow_them() {
        let cases = [
            (&["generate_image"][..], "wait_for_job", true),
            (&["run_*"][..], "get_image", true),
            (&["generate_image"][..], "img2img", false),
            (&["generate_image"][..], "list_models", false),
            (&["list_*"][..], "get_image", false),
            (&["get_job_status"][..], "cancel_job", false),
            (&["portrait"][..], "wait_for_job", true),
            (&["portrait"][..], "run_workflow", false),
            (&["portrait"][..], "save_workflow", false),
            (&["*"][..], "img2img", true),
        ];
        for (granted, asked, expected) in cases {
            let permissions = Permissions::new(granted.iter().copied()).unwrap();
            let principal = Principal { permissions, ..Principal::local() };
            assert_eq!(may(&principal, asked), expected, "{granted:?} for {asked}");
        }
    }

    #[test]
    fn what_is_read_needs_what_the_tool_needs() {
        let cases = [
            ("tools/call", Some("img2img"), Some("img2img"), Price::Token),
            ("resources/read", Some("comfy://jobs/1"), Some("get_job_status"), Price::Token),
            ("resources/read", Some("comfy://artifacts/1/preview"), Some("get_image"), Price::Token),
            ("resources/read", Some("comfy://models/loras"), Some("list_models"), Price::Token),
            ("resources/read", Some("comfy://workflows/txt2img"), Some("list_workflows"), Price::Token),
            ("resources/read", Some("comfy://session"), None, Price::Token),
            ("resources/read", Some("comfy://elsewhere"), None, Price::Token),
            ("resources/subscribe", Some("comfy://jobs/1"), Some("get_job_status"), Price::Free),
            ("tasks/get", None, Some("get_job_status"), Price::Free),
            ("tasks/cancel", None, Some("cancel_job"), Price::Token),
            ("prompts/get", Some("edit_image"), None, Price::Token),
            ("resources/list", None, None, Price::Free),
        ];
        for (method, target, permission, price) in cases {
            assert_eq!(need(method, target), Need { permission, price }, "{method} {target:?}");
        }
    }
}
