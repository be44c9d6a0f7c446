//! Every JSON-RPC error this crate answers with, its code, and the HTTP status that goes with it.

use http::StatusCode;
use jsonrpsee::types::{ErrorObject, ErrorObjectOwned};
use serde_json::{Value, json};

use crate::wire::{Era, ParseError, ProtocolVersion};

/// JSON-RPC: the text is not JSON.
pub const PARSE_ERROR: i32 = -32700;
/// JSON-RPC: JSON, but not a message; also a session or header that a legacy revision asks for.
pub const INVALID_REQUEST: i32 = -32600;
/// JSON-RPC: no such method in this era.
pub const METHOD_NOT_FOUND: i32 = -32601;
/// JSON-RPC: parameters of the wrong shape, an unknown tool, a bad cursor, missing `_meta`.
pub const INVALID_PARAMS: i32 = -32602;
/// JSON-RPC: this server's fault; the cause is in its log.
pub const INTERNAL_ERROR: i32 = -32603;
/// MCP 2025-06-18 and 2025-11-25: no such resource; in 2026-07-28 that is [`INVALID_PARAMS`].
pub const RESOURCE_NOT_FOUND: i32 = -32002;
/// MCP 2026-07-28: headers that are missing or don't say what the body says.
pub const HEADER_MISMATCH: i32 = -32020;
/// MCP 2026-07-28: the request needs something that the client can't do.
pub const MISSING_CLIENT_CAPABILITY: i32 = -32021;
/// MCP 2026-07-28: a revision that isn't served.
pub const UNSUPPORTED_PROTOCOL_VERSION: i32 = -32022;

// MCP keeps -32768..=-32000 for JSON-RPC and itself (2026-07-28, basic: error codes), so ours lie outside;
// their last three digits are the HTTP status.

/// No valid key or token.
pub const UNAUTHENTICATED: i32 = -31401;
/// Known, but not allowed to do this.
pub const FORBIDDEN: i32 = -31403;
/// Too many requests; `data.retryAfterMs` says when to come back.
pub const RATE_LIMITED: i32 = -31429;
/// The server works on as many requests as it takes at once.
pub const OVERLOADED: i32 = -31503;
/// It took longer than a request may take here.
pub const TIMED_OUT: i32 = -31504;

/// An error object without data.
pub fn error(code: i32, message: impl Into<String>) -> ErrorObjectOwned {
    ErrorObject::owned::<()>(code, message.into(), None)
}

/// An error object with data.
pub fn error_with(code: i32, message: impl Into<String>, data: Value) -> ErrorObjectOwned {
    ErrorObject::owned(code, message.into(), Some(data))
}

/// [`FORBIDDEN`] with its message.
pub fn forbidden(message: impl Into<String>) -> ErrorObjectOwned {
    error(FORBIDDEN, message)
}

/// [`UNAUTHENTICATED`] with its message.
pub fn unauthenticated(message: impl Into<String>) -> ErrorObjectOwned {
    error(UNAUTHENTICATED, message)
}

/// [`RATE_LIMITED`] with the time to wait, which HTTP repeats as `Retry-After`.
pub fn rate_limited(message: impl Into<String>, retry_after: std::time::Duration) -> ErrorObjectOwned {
    let retry_after_ms = u64::try_from(retry_after.as_millis()).unwrap_or(u64::MAX);
    error_with(RATE_LIMITED, message, json!({ "retryAfterMs": retry_after_ms }))
}

/// [`INTERNAL_ERROR`]; the cause is logged where it is handled, not sent.
pub fn internal() -> ErrorObjectOwned {
    error(INTERNAL_ERROR, "internal error; the server's log has the cause")
}

/// [`INVALID_PARAMS`] for a cursor that no page has given.
pub fn bad_cursor(cursor: &str) -> ErrorObjectOwned {
    error(INVALID_PARAMS, format!("cursor {} is not valid; list again without one", quoted(cursor)))
}

pub(crate) fn resource_not_found(uri: &str, era: Era) -> ErrorObjectOwned {
    let code = match era {
        Era::Legacy => RESOURCE_NOT_FOUND,
        Era::Modern => INVALID_PARAMS,
    };
    error_with(code, format!("there is no resource {}", quoted(uri)), json!({ "uri": uri }))
}

pub(crate) fn missing_capability(required: &Value) -> ErrorObjectOwned {
    let message = format!("the client has to declare the capability {required}");
    error_with(MISSING_CLIENT_CAPABILITY, message, json!({ "requiredCapabilities": required }))
}

pub(crate) fn answer_too_large(limit: usize) -> ErrorObjectOwned {
    error(INTERNAL_ERROR, format!("the answer is larger than {limit} bytes; ask for less at once"))
}

pub(crate) fn overloaded(limit: usize) -> ErrorObjectOwned {
    error(OVERLOADED, format!("the server is busy with {limit} requests already; try again in a moment"))
}

pub(crate) fn no_room_for_body() -> ErrorObjectOwned {
    error(OVERLOADED, "the server is reading as many large messages as it can hold; try again in a moment")
}

pub(crate) fn owner_overloaded(limit: usize) -> ErrorObjectOwned {
    error(
        OVERLOADED,
        format!("{limit} requests of yours are being worked on already; try again when one has ended"),
    )
}

pub(crate) fn timed_out(time: std::time::Duration) -> ErrorObjectOwned {
    error(TIMED_OUT, format!("the request was cancelled: this server works on one for at most {time:?}"))
}

pub(crate) fn method_not_found(method: &str, era: Era) -> ErrorObjectOwned {
    let message = match (method, era) {
        ("initialize" | "ping", Era::Modern) => "has no place in 2026-07-28, which is stateless",
        ("server/discover", Era::Legacy) => {
            "is of 2026-07-28; a client of the 2025 revisions opens with `initialize`"
        }
        _ => "is not offered by this server",
    };
    error(METHOD_NOT_FOUND, format!("method {} {message}", quoted(method)))
}

/// `era` is that of the request as far as it is known: a modern one is told what `server/discover` says too.
pub(crate) fn unsupported_version(requested: &str, era: Option<Era>) -> ErrorObjectOwned {
    let supported =
        ProtocolVersion::SUPPORTED.into_iter().filter(|version| era.is_none_or(|era| era == version.era()));
    let supported: Vec<&str> = supported.map(ProtocolVersion::as_str).collect();
    let message = format!(
        "protocol version {} is not supported; use one of {}",
        quoted(requested),
        supported.join(", ")
    );
    error_with(
        UNSUPPORTED_PROTOCOL_VERSION,
        message,
        json!({ "supported": supported, "requested": shortened(requested) }),
    )
}

pub(crate) fn unparsable(cause: &ParseError) -> ErrorObjectOwned {
    match cause {
        ParseError::Syntax(source) => {
            error(PARSE_ERROR, format!("{cause} (line {}, column {})", source.line(), source.column()))
        }
        ParseError::Invalid { reason, .. } => error(INVALID_REQUEST, *reason),
    }
}

/// The HTTP status of an answer whose payload is this error. A legacy client takes anything but 200 for a broken
/// transport, so there only what stands outside the protocol has a status of its own.
pub fn http_status(era: Era, code: i32) -> StatusCode {
    match (code, era) {
        (UNAUTHENTICATED, _) => StatusCode::UNAUTHORIZED,
        (FORBIDDEN, _) => StatusCode::FORBIDDEN,
        (RATE_LIMITED, _) => StatusCode::TOO_MANY_REQUESTS,
        (OVERLOADED, _) => StatusCode::SERVICE_UNAVAILABLE,
        (TIMED_OUT, _) => StatusCode::GATEWAY_TIMEOUT,
        (PARSE_ERROR | INVALID_REQUEST, _) => StatusCode::BAD_REQUEST,
        (METHOD_NOT_FOUND, Era::Modern) => StatusCode::NOT_FOUND,
        (MISSING_CLIENT_CAPABILITY, Era::Modern) | (HEADER_MISMATCH | UNSUPPORTED_PROTOCOL_VERSION, _) => {
            StatusCode::BAD_REQUEST
        }
        _ => StatusCode::OK,
    }
}

/// A text from outside, quoted and cut to what helps in a message.
pub(crate) fn quoted(text: &str) -> String {
    format!("{:?}", shortened(text))
}

pub(crate) fn shortened(text: &str) -> &str {
    const LONGEST: usize = 80;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => &text[..end],
        None => text,
    }
}
