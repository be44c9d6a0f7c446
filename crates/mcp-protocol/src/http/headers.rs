//! Headers that repeat the body, which has to agree with them (2026-07-28, streamable HTTP: request metadata).

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, header};
use jsonrpsee::types::ErrorObjectOwned;
use serde_json::Value;

use crate::error::{self, HEADER_MISMATCH, quoted};
use crate::wire::Request;

pub(super) const PROTOCOL_VERSION: &str = "MCP-Protocol-Version";
pub(super) const SESSION_ID: &str = "Mcp-Session-Id";
pub(super) const LAST_EVENT_ID: &str = "Last-Event-ID";
const METHOD: &str = "Mcp-Method";
const NAME: &str = "Mcp-Name";

/// An argument of a tool that a header repeats, from `x-mcp-header` in its input schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ParamHeader {
    /// With its prefix `Mcp-Param-`.
    pub(crate) header: String,
    /// The names of the properties that lead to the argument.
    pub(crate) path: Vec<String>,
}

/// What a client takes as an answer, from `Accept`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Accept {
    Both,
    Json,
    EventStream,
}

impl Accept {
    /// `None` if it takes neither.
    pub(super) fn of(headers: &HeaderMap) -> Option<Accept> {
        if !headers.contains_key(header::ACCEPT) {
            return Some(Accept::Both);
        }
        let (mut json, mut events) = (false, false);
        let values = headers.get_all(header::ACCEPT).iter();
        for range in values.flat_map(|value| value.as_bytes().split(|byte| *byte == b',')) {
            let kind = essence(range);
            let is = |kinds: [&str; 3]| kinds.iter().any(|known| kind.eq_ignore_ascii_case(known.as_bytes()));
            json |= is(["application/json", "application/*", "*/*"]);
            events |= is(["text/event-stream", "text/*", "*/*"]);
        }
        match (json, events) {
            (true, true) => Some(Accept::Both),
            (true, false) => Some(Accept::Json),
            (false, true) => Some(Accept::EventStream),
            (false, false) => None,
        }
    }
}

/// A media type or range without its parameters.
pub(super) fn essence(kind: &[u8]) -> &[u8] {
    kind.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii()
}

/// The value of a header that may stand there once.
pub(super) fn single<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, ErrorObjectOwned> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(mismatch(&format!("header {name} is there more than once")));
    }
    let value =
        value.to_str().map_err(|_| mismatch(&format!("header {name} has characters that can't be in it")))?;
    Ok(Some(value.trim_matches([' ', '\t'])))
}

/// The revision that the header says, which the modern era wants on every request, equal to that of `_meta`.
pub(super) fn check_version(headers: &HeaderMap, meta: Option<&str>) -> Result<(), ErrorObjectOwned> {
    let version = single(headers, PROTOCOL_VERSION)?.ok_or_else(|| missing(PROTOCOL_VERSION))?;
    match meta {
        Some(meta) if meta != version => Err(differs(PROTOCOL_VERSION, version, meta)),
        _ => Ok(()),
    }
}

/// `Mcp-Method`, and `Mcp-Name` for the methods that have it.
pub(super) fn check_standard(
    headers: &HeaderMap,
    request: &Request,
    target: Option<&str>,
) -> Result<(), ErrorObjectOwned> {
    let method = single(headers, METHOD)?.ok_or_else(|| missing(METHOD))?;
    if method != request.method {
        return Err(differs(METHOD, method, &request.method));
    }
    // The tasks extension adds its own (tasks, streamable HTTP: routing headers).
    let named = ["tools/call", "prompts/get", "resources/read", "tasks/get", "tasks/update", "tasks/cancel"];
    if !named.contains(&request.method.as_str()) {
        return Ok(());
    }
    match (single(headers, NAME)?, target) {
        (Some(name), Some(target)) => {
            let name = decoded(NAME, name)?;
            if name == target { Ok(()) } else { Err(differs(NAME, &name, target)) }
        }
        (None, Some(_)) => Err(missing(NAME)),
        (Some(name), None) => Err(differs(NAME, name, "")),
        // The method itself answers that its parameter is missing.
        (None, None) => Ok(()),
    }
}

/// `Mcp-Param-*` of the called tool.
pub(super) fn check_params(
    headers: &HeaderMap,
    wanted: &[ParamHeader],
    arguments: &Value,
) -> Result<(), ErrorObjectOwned> {
    for ParamHeader { header, path } in wanted {
        let value = path.iter().try_fold(arguments, |at, name| at.get(name)).filter(|value| !value.is_null());
        let sent = single(headers, header)?.map(|sent| decoded(header, sent)).transpose()?;
        match (value, sent) {
            (Some(value), Some(sent)) if !same(value, &sent) => {
                return Err(differs(header, &sent, &value.to_string()));
            }
            (Some(_), None) => return Err(missing(header)),
            (None, Some(sent)) => return Err(differs(header, &sent, "")),
            _ => {}
        }
    }
    Ok(())
}

fn same(value: &Value, sent: &str) -> bool {
    match value {
        Value::String(text) => text == sent,
        Value::Bool(flag) => sent == if *flag { "true" } else { "false" },
        // 42.0 and 42 are the same; without a fraction the text decides, as a float can't hold every integer.
        Value::Number(number) => {
            number.to_string() == sent || (sent.contains('.') && number.as_f64() == sent.parse().ok())
        }
        _ => false,
    }
}

/// Undoes `=?base64?…?=`, the form for what can't stand in a header.
fn decoded<'a>(name: &str, value: &'a str) -> Result<Cow<'a, str>, ErrorObjectOwned> {
    let Some(encoded) = value.strip_prefix("=?base64?").and_then(|rest| rest.strip_suffix("?=")) else {
        return Ok(Cow::Borrowed(value));
    };
    let bytes = STANDARD.decode(encoded).ok();
    bytes
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .map(Cow::Owned)
        .ok_or_else(|| mismatch(&format!("header {name} is not base64 of UTF-8 text")))
}

fn missing(name: &str) -> ErrorObjectOwned {
    mismatch(&format!("header {name} is missing"))
}

fn differs(name: &str, header: &str, body: &str) -> ErrorObjectOwned {
    mismatch(&format!("header {name} says {}, but the body {}", quoted(header), quoted(body)))
}

fn mismatch(message: &str) -> ErrorObjectOwned {
    error::error(HEADER_MISMATCH, format!("Header mismatch: {message}"))
}
