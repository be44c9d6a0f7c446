//! `tools/list`: what every agent pays for with its context, and relies on to stay as it is.

use anyhow::{Result, ensure};
use serde_json::json;
use tests::gateway::Setup;
use tests::raw::Raw;

/// The bytes that the list may have as JSON.
const LIMIT: usize = 10_000;

#[tokio::test]
async fn the_list_is_small_and_stable() -> Result<()> {
    let gateway = Setup::sandbox(0.0)?.start().await?;
    let raw = Raw::new(&gateway.mcp_url())?;
    let (_, session) = raw.initialize().await?;
    let legacy = raw.legacy(&session, "tools/list", json!({})).await?;
    let modern = raw.modern("tools/list", json!({})).await?;
    let tools = legacy.result()?["tools"].clone();
    ensure!(tools == modern.result()?["tools"], "the eras differ");
    for answer in [&legacy, &modern] {
        let bytes = answer.response()?.to_string().len();
        ensure!(bytes < LIMIT, "{bytes} bytes");
    }
    let again = Raw::new(&gateway.mcp_url())?.modern("tools/list", json!({})).await?;
    // As texts, so that the order of members counts.
    let (first, second) = (tools.to_string(), again.result()?["tools"].to_string());
    ensure!(first == second, "a second list differs");

    let lines = tools.as_array().into_iter().flatten().map(|tool| {
        let properties = tool["inputSchema"]["properties"].as_object();
        let names: Vec<_> = properties.into_iter().flatten().map(|(name, _)| name.as_str()).collect();
        let required = &tool["inputSchema"]["required"];
        format!("{}({}) required {required}", tool["name"].as_str().unwrap_or("?"), names.join(", "))
    });
    insta::assert_snapshot!(lines.collect::<Vec<_>>().join("\n"));
    Ok(())
}

#[tokio::test]
async fn every_tool_describes_itself() -> Result<()> {
    let gateway = Setup::sandbox(0.0)?.start().await?;
    for tool in gateway.client().await?.peer.list_tools().await? {
        let name = &tool.name;
        ensure!(tool.description.is_some_and(|text| !text.is_empty()), "{name} has no description");
        ensure!(tool.annotations.is_some(), "{name} has no annotations");
        ensure!(tool.input_schema["type"] == "object", "{name}: {}", tool.input_schema);
        ensure!(tool.input_schema["additionalProperties"] == false, "{name} takes what it doesn't know");
    }
    Ok(())
}
