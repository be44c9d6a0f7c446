//! The fixtures of the MCP conformance suite, for what the crate serves: `conformance server --url
//! http://127.0.0.1:9101/mcp` runs it. The port is the first argument.

use async_trait::async_trait;
use axum::serve::ListenerExt as _;
use jsonrpsee::core::middleware::RpcServiceBuilder;
use mcp_protocol::wire::ToolDescription;
use mcp_protocol::{
    CallContext, Content, DynTool, GuardLayer, RequestInfo, Server, ServerInfo, ToolError, ToolReply, error,
    http,
};
use serde_json::{Map, Value, json};

/// A transparent PNG of one pixel.
const PNG: &[u8] =
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89\0\0\0\rIDATx\x9cc\
\0\x01\0\0\x05\0\x01\r\n-\xb4\0\0\0\0IEND\xaeB`\x82";
/// A WAV header without samples.
const WAV: &[u8] =
    b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0\x02\0\x10\0data\0\0\0\0";

const FIXTURES: [&str; 10] = [
    "test_simple_text",
    "test_image_content",
    "test_audio_content",
    "test_embedded_resource",
    "test_multiple_content_types",
    "test_error_handling",
    "test_tool_with_progress",
    "test_missing_capability",
    "test_headers",
    "json_schema_2020_12_tool",
];

struct Fixture(&'static str);

#[async_trait]
impl DynTool for Fixture {
    fn description(&self) -> ToolDescription {
        ToolDescription {
            name: self.0.to_owned(),
            description: Some("A fixture of the conformance suite.".to_owned()),
            input_schema: input_schema(self.0),
            ..ToolDescription::default()
        }
    }

    async fn call(&self, cx: CallContext, _: Map<String, Value>) -> Result<ToolReply<Value>, ToolError> {
        let text = Content::text("This is a simple text response for testing.");
        let content = match self.0 {
            "test_image_content" => vec![Content::image(PNG, "image/png")],
            "test_audio_content" => {
                vec![Content::Audio { data: WAV.into(), mime_type: "audio/wav".to_owned() }]
            }
            "test_embedded_resource" => vec![resource()],
            "test_multiple_content_types" => vec![text, Content::image(PNG, "image/png"), resource()],
            "test_error_handling" => {
                return Err(ToolError::new("on_purpose", "this tool returns an error on purpose"));
            }
            "test_tool_with_progress" => {
                for step in [0.0, 50.0, 100.0] {
                    cx.progress(step, Some(100.0), Some("working"));
                    tokio::task::yield_now().await;
                }
                vec![text]
            }
            _ => vec![text],
        };
        Ok(ToolReply::with_content(Value::Null, content))
    }
}

fn input_schema(fixture: &str) -> Value {
    match fixture {
        "test_headers" => json!({
            "type": "object",
            "properties": {
                "region": {"type": "string", "x-mcp-header": "Region"},
                "priority": {"type": "integer", "x-mcp-header": "Priority"},
            },
        }),
        "json_schema_2020_12_tool" => json!({
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
        }),
        _ => json!({"type": "object", "additionalProperties": false}),
    }
}

fn resource() -> Content {
    let contents =
        json!({"uri": "test://embedded", "mimeType": "text/plain", "text": "An embedded resource."});
    Content::Resource { resource: contents.as_object().cloned().unwrap_or_default() }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let capability = GuardLayer::new(|request| {
        let info = RequestInfo::of(request);
        let lacks_sampling = info.is_some_and(|info| info.client_capabilities.get("sampling").is_none());
        if RequestInfo::called_tool(request) == Some("test_missing_capability") && lacks_sampling {
            let data = json!({"requiredCapabilities": {"sampling": {}}});
            let message = "the client has to be able to sample";
            return Err(error::error_with(error::MISSING_CLIENT_CAPABILITY, message, data));
        }
        Ok(())
    });
    let info =
        ServerInfo { name: "conformance".to_owned(), version: "1.0.0".to_owned(), ..ServerInfo::default() };
    let mut builder = Server::builder(info);
    for fixture in FIXTURES {
        builder = builder.dyn_tool(Fixture(fixture));
    }
    let server = builder.layers(RpcServiceBuilder::new().layer(capability)).build()?;
    let port: u16 = std::env::args().nth(1).as_deref().unwrap_or("9101").parse()?;
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    let listener = listener.tap_io(|stream| _ = stream.set_nodelay(true));
    let config =
        http::HttpConfig { allowed_hosts: http::AllowedHosts::Loopback, ..http::HttpConfig::default() };
    axum::serve(listener, http::router(server, config)).await?;
    Ok(())
}
