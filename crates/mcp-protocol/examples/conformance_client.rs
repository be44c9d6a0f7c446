//! A client for the client scenarios of the MCP conformance suite: `conformance client --command
//! target/debug/examples/conformance_client --requirements 2025-11-25`.
//!
//! The suite appends the address of its server, and names the scenario, the revision and what to call in the
//! environment. The client uses all that the server offers.

use std::env;

use mcp_protocol::client::{CallOptions, HttpOptions, Peer, PeerOptions, form_defaults, input_fn};
use mcp_protocol::error;
use mcp_protocol::wire::{
    ElicitAction, ElicitResult, Elicitation, InputKind, InputRequest, ProtocolVersion, ToolDescription,
};
use serde_json::{Map, Value, json};

type Failure = Box<dyn std::error::Error>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let url =
        env::args().next_back().filter(|_| env::args().len() > 1).ok_or("the server's address is missing")?;
    let peer = Peer::connect_http(&url, options()?).await?;
    let tools = peer.list_tools().await?;
    eprintln!("{} tools in {}", tools.len(), peer.server().version);
    // Its server has nothing but the list.
    if env::var("MCP_CONFORMANCE_SCENARIO").as_deref() != Ok("json-schema-ref-no-deref") {
        call_tools(&peer, &tools).await?;
    }
    let offers = |feature: &str| peer.server().capabilities.contains_key(feature);
    if offers("resources") {
        for resource in peer.list_resources().await? {
            peer.read_resource(&resource.uri, CallOptions::default()).await?;
        }
    }
    if offers("prompts") {
        for prompt in peer.list_prompts().await? {
            peer.get_prompt(&prompt.name, Map::new(), CallOptions::default()).await?;
        }
    }
    peer.close().await;
    Ok(())
}

fn options() -> Result<HttpOptions, Failure> {
    let newest = match env::var("MCP_CONFORMANCE_PROTOCOL_VERSION") {
        Ok(version) => version.parse()?,
        Err(_) => ProtocolVersion::LATEST,
    };
    // Forms are answered with what they propose themselves.
    let on_input = input_fn([InputKind::ElicitForm], async |question| {
        let InputRequest::Elicit(Elicitation::Form { requested_schema, .. }) = question else {
            return Err(error::internal());
        };
        let content = form_defaults(&requested_schema);
        Ok(json!(ElicitResult { action: ElicitAction::Accept, content }))
    });
    let peer = PeerOptions { newest, on_input: Some(on_input), ..PeerOptions::default() };
    Ok(HttpOptions { peer, ..HttpOptions::default() })
}

/// Calls what the suite names, or every tool with arguments that fit.
async fn call_tools(peer: &Peer, tools: &[ToolDescription]) -> Result<(), Failure> {
    let context = env::var("MCP_CONFORMANCE_CONTEXT").unwrap_or_default();
    let context: Value = serde_json::from_str(&context).unwrap_or_default();
    let calls: Vec<(String, Value)> = match context.get("toolCalls").and_then(Value::as_array) {
        Some(calls) => calls
            .iter()
            .map(|call| (call["name"].as_str().unwrap_or_default().to_owned(), call["arguments"].clone()))
            .collect(),
        None => tools.iter().map(|tool| (tool.name.clone(), arguments(&tool.input_schema))).collect(),
    };
    // All at once: what belongs to one call must not turn up in another.
    let calls = calls.into_iter().map(|(name, arguments)| async move {
        peer.call_tool(&name, arguments, CallOptions::default())
            .await
            .map_err(|cause| format!("{name}: {cause}"))
    });
    futures::future::try_join_all(calls).await?;
    Ok(())
}

fn arguments(schema: &Value) -> Value {
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    let argument = |name: &Value| {
        let name = name.as_str()?;
        let value = match schema["properties"][name]["type"].as_str() {
            Some("number" | "integer") => json!(2),
            Some("boolean") => json!(true),
            _ => json!("text"),
        };
        Some((name.to_owned(), value))
    };
    Value::Object(required.iter().filter_map(argument).collect())
}
