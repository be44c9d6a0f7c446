//! What a session of the 2025 revisions remembers.

use anyhow::{Context as _, Result, bail, ensure};
use mcp_protocol::client::{CallOptions, ClientError};
use serde_json::{Value, json};
use tests::gateway::Setup;
use tests::raw::Raw;

async fn calls(raw: &Raw, session: &str) -> Result<Vec<Value>> {
    let answer = raw.legacy(session, "resources/read", json!({"uri": "comfy://session"})).await?;
    let text = answer.result()?["contents"][0]["text"].as_str().context("no text")?.to_owned();
    let read: Value = serde_json::from_str(&text)?;
    Ok(read["calls"].as_array().context("no calls")?.clone())
}

async fn call(raw: &Raw, session: &str, tool: &str, arguments: Value) -> Result<Value> {
    let params = json!({"name": tool, "arguments": arguments});
    Ok(raw.legacy(session, "tools/call", params).await?.result()?.clone())
}

#[tokio::test]
async fn a_session_remembers_its_calls_and_their_jobs() -> Result<()> {
    let gateway = Setup::sandbox(0.0)?.start().await?;
    let raw = Raw::new(&gateway.mcp_url())?;
    let (_, session) = raw.initialize().await?;
    let made =
        call(&raw, &session, "generate_image", json!({"prompt": "a fox", "width": 64, "height": 64})).await?;
    let job = made["structuredContent"]["job"]["id"].clone();
    call(&raw, &session, "get_job_status", json!({"job_id": job})).await?;
    call(&raw, &session, "get_job_status", json!({"job_id": "nothing"})).await?;
    call(
        &raw,
        &session,
        "get_image",
        json!({"artifact_id": made["structuredContent"]["job"]["artifacts"][0]["id"]}),
    )
    .await?;
    call(&raw, &session, "list_models", json!({})).await?;
    let expected = [
        ("list_models", "succeeded", Value::Null),
        ("get_image", "succeeded", job.clone()),
        ("get_job_status", "failed", Value::Null),
        ("get_job_status", "succeeded", job.clone()),
        ("generate_image", "succeeded", job.clone()),
    ];
    let check = |told: &[Value]| {
        for (call, (tool, outcome, job)) in told.iter().zip(&expected) {
            ensure!(call["tool"] == *tool && call["outcome"] == *outcome && call["job_id"] == *job, "{call}");
            ensure!(call["at"].is_string() && call["duration_ms"].is_u64(), "{call}");
        }
        ensure!(told.len() == expected.len(), "{told:?}");
        Ok(())
    };
    check(&calls(&raw, &session).await?)?;
    let (_, other) = raw.initialize().await?;
    ensure!(calls(&raw, &other).await?.is_empty(), "another session's calls are told");

    // It goes on after the server was stopped.
    let setup = gateway.setup().clone();
    gateway.terminate().await?;
    let gateway = setup.start().await?;
    let raw = Raw::new(&gateway.mcp_url())?;
    check(&calls(&raw, &session).await?)
}

#[tokio::test]
async fn where_there_is_no_session_there_is_nothing_to_remember() -> Result<()> {
    let gateway = Setup::sandbox(0.0)?.start().await?;
    let client = gateway.client().await?;
    let listed = client.peer.list_resources().await?;
    ensure!(listed.iter().all(|resource| resource.uri != "comfy://session"), "{listed:?}");
    match client.peer.read_resource("comfy://session", CallOptions::default()).await {
        Err(ClientError::Rpc { message, .. }) => ensure!(message.contains("no session"), "{message}"),
        other => bail!("{other:?}"),
    }
    Ok(())
}

#[tokio::test]
async fn a_client_has_only_so_many_sessions() -> Result<()> {
    let gateway = Setup::sandbox(0.0)?.variable("MAX_SESSIONS_PER_CLIENT", "2").start().await?;
    let raw = Raw::new(&gateway.mcp_url())?;
    let (_, first) = raw.initialize().await?;
    raw.initialize().await?;
    ensure!(raw.initialize().await.is_err(), "a third session is opened");
    ensure!(raw.legacy(&first, "ping", json!({})).await?.status == 200, "the first is gone");
    Ok(())
}
