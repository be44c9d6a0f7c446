//! What a modern request repeats in HTTP headers: names, and parameters that a tool marks with
//! `x-mcp-header`.
//!
//! 2026-07-28, basic/transports/streamable-http: "Request Metadata" and "Custom Headers from Tool
//! Parameters".

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderName, HeaderValue};
use serde_json::Value;

/// `Mcp-Method`
pub(super) const METHOD: HeaderName = HeaderName::from_static("mcp-method");
/// `Mcp-Name`
pub(super) const NAME: HeaderName = HeaderName::from_static("mcp-name");
/// `MCP-Protocol-Version`
pub(super) const PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
/// `Mcp-Session-Id`; legacy only.
pub(super) const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
/// `Last-Event-ID`; legacy only.
pub(super) const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

const MARK: &str = "x-mcp-header";
/// Schemas nest only so deep; deeper marks are not looked for.
const MAX_DEPTH: usize = 16;

/// Any text as a header value: plain where it can be, `=?base64?...?=` where it can't.
pub(super) fn encode(text: &str) -> HeaderValue {
    let plain = text.bytes().all(|byte| matches!(byte, b'\t' | 0x20..=0x7e))
        && text.trim_matches([' ', '\t']).len() == text.len()
        && !(text.starts_with("=?base64?") && text.ends_with("?="));
    let encoded = if plain { text.to_owned() } else { format!("=?base64?{}?=", STANDARD.encode(text)) };
    // Both forms are visible ASCII by construction.
    HeaderValue::from_str(&encoded).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// A parameter of a tool that goes into a header too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ParamHeader {
    header: HeaderName,
    /// The chain of property names from the root of the arguments.
    path: Vec<String>,
}

impl ParamHeader {
    /// The header for these arguments; none when the value isn't there or is null.
    pub(super) fn of(&self, arguments: &Value) -> Option<(HeaderName, HeaderValue)> {
        let value = self.path.iter().try_fold(arguments, |value, name| value.get(name))?;
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Bool(flag) => flag.to_string(),
            Value::Number(number) if !number.is_f64() => number.to_string(),
            _ => return None,
        };
        Some((self.header.clone(), encode(&text)))
    }
}

/// The marked parameters of a tool's input schema, or why the tool's definition is invalid.
pub(super) fn param_headers(input_schema: &Value) -> Result<Vec<ParamHeader>, String> {
    let mut found = Vec::new();
    collect(input_schema, &mut Vec::new(), &mut found)?;
    let marks = count_marks(input_schema, 0);
    if marks != found.len() {
        return Err(format!("{MARK} stands where only conditions lead"));
    }
    Ok(found)
}

fn collect(schema: &Value, path: &mut Vec<String>, found: &mut Vec<ParamHeader>) -> Result<(), String> {
    if path.len() > MAX_DEPTH {
        return Ok(());
    }
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return Ok(()) };
    for (name, property) in properties {
        path.push(name.clone());
        if let Some(mark) = property.get(MARK) {
            let header =
                header_name(mark, property).map_err(|reason| format!("{}: {reason}", path.join(".")))?;
            if found.iter().any(|other: &ParamHeader| other.header == header) {
                return Err(format!("{}: {MARK} {mark} is used twice", path.join(".")));
            }
            found.push(ParamHeader { header, path: path.clone() });
        }
        collect(property, path, found)?;
        path.pop();
    }
    Ok(())
}

fn header_name(mark: &Value, property: &Value) -> Result<HeaderName, String> {
    let name = mark.as_str().filter(|name| !name.is_empty()).ok_or(format!("{MARK} has to be a name"))?;
    if !matches!(property.get("type").and_then(Value::as_str), Some("string" | "integer" | "boolean")) {
        return Err(format!("{MARK} needs the type string, integer or boolean"));
    }
    HeaderName::try_from(format!("mcp-param-{name}"))
        .map_err(|_| format!("{MARK} {name:?} can't be a header's name"))
}

/// Marks anywhere in the schema. A property whose own name is the mark doesn't count: there it is a key of
/// `properties`, not of a schema.
fn count_marks(schema: &Value, depth: usize) -> usize {
    if depth > MAX_DEPTH * 2 {
        return 0;
    }
    match schema {
        Value::Object(members) => {
            let own = usize::from(members.contains_key(MARK));
            let inner = members.iter().filter(|(name, _)| *name != MARK).map(|(name, value)| {
                match (name.as_str(), value) {
                    ("properties" | "$defs" | "definitions" | "patternProperties", Value::Object(named)) => {
                        named.values().map(|value| count_marks(value, depth + 2)).sum()
                    }
                    ("const" | "enum" | "default" | "examples", _) => 0,
                    _ => count_marks(value, depth + 1),
                }
            });
            own + inner.sum::<usize>()
        }
        Value::Array(items) => items.iter().map(|item| count_marks(item, depth + 1)).sum(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_encoded_as_the_specification_shows() {
        let cases = [
            ("us-west1", "us-west1"),
            ("Hello, 世界", "=?base64?SGVsbG8sIOS4lueVjA==?="),
            (" padded ", "=?base64?IHBhZGRlZCA=?="),
            ("line1\nline2", "=?base64?bGluZTEKbGluZTI=?="),
            ("=?base64?literal?=", "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?="),
        ];
        for (text, expected) in cases {
            assert_eq!(encode(text).to_str().unwrap(), expected);
        }
    }

    #[test]
    fn marked_parameters_become_headers() {
        let schema = json!({"type": "object", "properties": {
            "region": {"type": "string", "x-mcp-header": "Region"},
            "deep": {"type": "object", "properties": {
                "count": {"type": "integer", "x-mcp-header": "Count"},
                "flag": {"type": "boolean", "x-mcp-header": "Flag"}}},
            "x-mcp-header": {"type": "string"},
            "plain": {"type": "string"}}});
        let headers = param_headers(&schema).unwrap();
        let arguments = json!({"region": "us", "deep": {"count": -7, "flag": null}, "plain": "x"});
        let got: Vec<(String, String)> = headers
            .iter()
            .filter_map(|header| header.of(&arguments))
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
            .collect();
        let expected = [("mcp-param-region", "us"), ("mcp-param-count", "-7")];
        assert_eq!(got, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn a_mark_that_breaks_the_rules_makes_the_tool_invalid() {
        let cases = [
            json!({"properties": {"a": {"type": "string", "x-mcp-header": ""}}}),
            json!({"properties": {"a": {"type": "string", "x-mcp-header": 1}}}),
            json!({"properties": {"a": {"type": "string", "x-mcp-header": "a b"}}}),
            json!({"properties": {"a": {"type": "number", "x-mcp-header": "A"}}}),
            json!({"properties": {"a": {"type": "string", "x-mcp-header": "A"},
                                  "b": {"type": "string", "x-mcp-header": "a"}}}),
            json!({"properties": {"a": {"items": {"type": "string", "x-mcp-header": "A"}}}}),
            json!({"anyOf": [{"properties": {"a": {"type": "string", "x-mcp-header": "A"}}}]}),
            json!({"$defs": {"t": {"type": "string", "x-mcp-header": "A"}}}),
        ];
        for schema in cases {
            assert!(param_headers(&schema).is_err(), "{schema}");
        }
    }
}
