//! Both eras of MCP over HTTP, as they are on the wire.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tests::gateway::Setup;
use tests::raw::{LEGACY, MODERN, Raw};

fn generate(token: &str) -> Value {
    json!({
        "name": "generate_image",
        "arguments": {"prompt": "a fox", "width": 64, "height": 64, "steps": 5, "wait_seconds": 60},
        "_meta": {"progressToken": token},
    })
}

/// Progress first, then the result; all of one request.
fn check_stream(messages: &[Value], token: &str) -> Result<Value> {
    let (result, notifications) = messages.split_last().context("no message")?;
    ensure!(!notifications.is_empty(), "no progress was told");
    let mut last = -1.0;
    for message in notifications {
        ensure!(message["method"] == "notifications/progress", "{message}");
        ensure!(message["params"]["progressToken"] == token, "{message}");
        let progress = message["params"]["progress"].as_f64().context("no number")?;
        ensure!(progress > last, "progress {progress} after {last}");
        last = progress;
    }
    ensure!(result["id"] == 1 && result["result"]["isError"].as_bool() != Some(true), "{result}");
    ensure!(result["result"]["structuredContent"]["job"]["state"] == "succeeded", "{result}");
    Ok(result["result"].clone())
}

#[tokio::test]
async fn the_modern_era_needs_no_session() -> Result<()> {
    let gateway = Setup::sandbox(0.2)?.start().await?;
    let raw = Raw::new(&gateway.mcp_url())?;
    let about = raw.modern("server/discover", json!({})).await?;
    ensure!(about.result()?["supportedVersions"].as_array().is_some_and(|all| all.contains(&json!(MODERN))));
    let list = raw.modern("tools/list", json!({})).await?;
    ensure!(list.result()?["resultType"] == "complete", "{}", list.result()?);
    ensure!(list.header("mcp-session-id").is_none(), "a session in the modern era");

    let answer = raw.modern("tools/call", generate("t-1")).await?;
    ensure!(answer.header("content-type").is_some_and(|kind| kind.starts_with("text/event-stream")));
    let result = check_stream(&answer.messages, "t-1")?;
    ensure!(result["resultType"] == "complete", "{result}");
    let server = &result["_meta"]["io.modelcontextprotocol/serverInfo"];
    ensure!(server["name"] == "comfyui-mcp-server", "{result}");
    Ok(())
}

#[tokio::test]
async fn the_legacy_era_has_sessions() -> Result<()> {
    let gateway = Setup::sandbox(0.2)?.start().await?;
    let raw = Raw::new(&gateway.mcp_url())?;
    let (opened, session) = raw.initialize().await?;
    let about = opened.result()?;
    ensure!(about["protocolVersion"] == LEGACY && about["capabilities"]["tools"].is_object(), "{about}");
    ensure!(raw.legacy(&session, "ping", json!({})).await?.result()? == &json!({}));
    let answer = raw.legacy(&session, "tools/call", generate("t-2")).await?;
    let result = check_stream(&answer.messages, "t-2")?;
    ensure!(result.get("resultType").is_none(), "modern members in a legacy result: {result}");
    let kinds: Vec<_> =
        result["content"].as_array().into_iter().flatten().map(|block| &block["type"]).collect();
    ensure!(kinds == ["text", "image", "resource_link"], "{kinds:?}");

    let stranger = raw.legacy("01900000-0000-7000-8000-000000000000", "ping", json!({})).await?;
    ensure!(stranger.status == 404, "an unknown session answers {}", stranger.status);
    Ok(())
}

#[tokio::test]
async fn a_session_outlives_the_server() -> Result<()> {
    let gateway = Setup::sandbox(0.0)?.start().await?;
    let (_, session) = Raw::new(&gateway.mcp_url())?.initialize().await?;
    let gateway = gateway.restart().await?;
    let pong = Raw::new(&gateway.mcp_url())?.legacy(&session, "ping", json!({})).await?;
    ensure!(pong.status == 200, "after a restart the session answers {}", pong.status);
    Ok(())
}

#[tokio::test]
async fn what_is_wrong_on_the_wire_is_said() -> Result<()> {
    let gateway = Setup::sandbox(0.0)?.start().await?;
    let raw = Raw::new(&gateway.mcp_url())?;
    let message = |method: &str| json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": {}});

    let unversioned = raw.post(&message("tools/list"), &[]).await?;
    ensure!(unversioned.status == 400, "no version answers {}", unversioned.status);
    let old = raw.post(&message("tools/list"), &[("MCP-Protocol-Version", "2024-11-05".to_owned())]).await?;
    ensure!(old.status == 400 && old.response()?["error"]["code"] == -32022, "{old:?}");
    let unknown = raw.modern("tools/lust", json!({})).await?;
    ensure!(unknown.status == 404 && unknown.response()?["error"]["code"] == -32601, "{unknown:?}");

    let page = raw.clone().header("Origin", "https://evil.example").modern("tools/list", json!({})).await?;
    ensure!(page.status == 403, "a page of another site is answered {}", page.status);
    let own = raw.clone().header("Origin", gateway.base()).modern("tools/list", json!({})).await?;
    ensure!(own.status == 200, "an own page is answered {}", own.status);
    let renamed = raw.clone().header("Host", "evil.example").modern("tools/list", json!({})).await?;
    ensure!(renamed.status == 403, "another name for this machine is answered {}", renamed.status);
    Ok(())
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused() -> Result<()> {
    let gateway = Setup::sandbox(0.0)?.variable("MAX_BODY_BYTES", "4096").start().await?;
    let raw = Raw::new(&gateway.mcp_url())?;
    let large = json!({"name": "generate_image", "arguments": {"prompt": "x".repeat(8192)}});
    let answer = raw.modern("tools/call", large).await?;
    ensure!(answer.status == 413, "{answer:?}");
    ensure!(raw.modern("tools/list", json!({})).await?.status == 200, "the server is unwell afterwards");
    Ok(())
}
