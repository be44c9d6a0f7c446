//! Tools that answer by themselves: kinds of content, errors, progress, log messages, headers, closed streams.

use std::time::Duration;

use mcp_protocol::wire::{InputKind, ResourceContents};
use mcp_protocol::{CallContext, Content, InputRequest, LogLevel, ToolError};
use serde_json::{Value, json};

use crate::fixture::{Fixture, Reply, content, object, text};

/// A transparent PNG of one pixel.
pub(crate) const PNG: &[u8] =
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89\0\0\0\rIDATx\x9cc\
\0\x01\0\0\x05\0\x01\r\n-\xb4\0\0\0\0IEND\xaeB`\x82";
/// A WAV header without samples.
const WAV: &[u8] =
    b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0\x02\0\x10\0data\0\0\0\0";

const STEP: Duration = Duration::from_millis(50);

pub(crate) fn tools() -> Vec<Fixture> {
    vec![
        Fixture::new("test_simple_text", |_| async {
            Ok(text("This is a simple text response for testing."))
        }),
        Fixture::new("test_image_content", |_| async { Ok(content(vec![Content::image(PNG, "image/png")])) }),
        Fixture::new("test_audio_content", |_| async {
            Ok(content(vec![Content::Audio { data: WAV.into(), mime_type: "audio/wav".to_owned() }]))
        }),
        Fixture::new("test_embedded_resource", |_| async {
            Ok(content(vec![embedded("test://embedded-resource", "text/plain", "An embedded resource.")]))
        }),
        Fixture::new("test_multiple_content_types", |_| async {
            let resource = embedded(
                "test://mixed-content-resource",
                "application/json",
                r#"{"test":"data","value":123}"#,
            );
            let words = Content::text("Multiple content types test:");
            Ok(content(vec![words, Content::image(PNG, "image/png"), resource]))
        }),
        Fixture::new("test_error_handling", |_| async {
            Err(ToolError::new("on_purpose", "this tool returns an error on purpose"))
        }),
        Fixture::new("test_tool_with_progress", progress),
        Fixture::new("test_tool_with_logging", logging),
        Fixture::new("test_logging_tool", logging),
        Fixture::new("test_missing_capability", missing_capability),
        Fixture::new("test_streaming_elicitation", streaming),
        Fixture::new("test_reconnection", reconnection),
        Fixture::with("test_headers", headers(), |_, _| async { Ok(text("The headers fit.")) }),
        Fixture::with("json_schema_2020_12_tool", schema_2020_12(), |_, _| async {
            Ok(text("The arguments fit."))
        }),
    ]
}

pub(crate) fn embedded(uri: &str, mime_type: &str, text: &str) -> Content {
    Content::Resource { resource: ResourceContents::text(uri, mime_type, text).into_object() }
}

async fn progress(cx: CallContext) -> Reply {
    for step in [0.0, 50.0, 100.0] {
        cx.progress(step, Some(100.0), Some("working"));
        tokio::time::sleep(STEP).await;
    }
    Ok(text("Done."))
}

async fn logging(cx: CallContext) -> Reply {
    for message in ["Tool execution started", "Tool processing data", "Tool execution completed"] {
        cx.log(LogLevel::Info, None, Value::from(message));
        tokio::time::sleep(STEP).await;
    }
    Ok(text("Said it all."))
}

async fn missing_capability(cx: CallContext) -> Reply {
    if !cx.can_ask(InputKind::Sampling) {
        return Err(ToolError::missing_capability(InputKind::Sampling.required()));
    }
    Ok(text("The client can sample."))
}

async fn streaming(cx: CallContext) -> Reply {
    let form = InputRequest::form("Go on?", object(&json!({"ok": {"type": "boolean"}})));
    let _: Value = cx.input("ok", form).await?;
    Ok(text("Went on."))
}

async fn reconnection(cx: CallContext) -> Reply {
    cx.close_stream(2 * STEP);
    tokio::time::sleep(STEP).await;
    Ok(text("This came over another connection."))
}

fn headers() -> Value {
    json!({
        "type": "object",
        "properties": {
            "region": {"type": "string", "x-mcp-header": "Region"},
            "priority": {"type": "integer", "x-mcp-header": "Priority"},
        },
    })
}

fn schema_2020_12() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": {
            "address": {
                "$anchor": "addressDef",
                "type": "object",
                "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
            },
        },
        "properties": {
            "name": {"type": "string"},
            "address": {"$ref": "#/$defs/address"},
            "contactMethod": {"type": "string", "enum": ["phone", "email"]},
            "phone": {"type": "string"},
            "email": {"type": "string"},
        },
        "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
        "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
        "then": {"required": ["phone"]},
        "else": {"required": ["email"]},
        "additionalProperties": false,
    })
}
