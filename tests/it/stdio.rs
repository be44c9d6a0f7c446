//! `mcp-server stdio`: the whole way over standard input and output.

use anyhow::{Context as _, Result, ensure};
use mcp_protocol::client::ClientError;
use serde_json::{Value, json};
use tests::client::Client;
use tests::gateway::{Setup, cli};
use tests::process;
use tests::wait::LONG;
use tokio::io::AsyncWriteExt as _;

#[tokio::test]
async fn a_client_makes_a_picture_through_a_server_that_it_starts() -> Result<()> {
    let setup = Setup::sandbox(0.1)?;
    let client = Client::over_stdio(setup.command(&["stdio"])?).await?;
    let arguments = json!({"prompt": "a fox over a pipe", "width": 64, "height": 64, "seed": u64::MAX});
    let (reply, progress) = client.finish_with_progress("generate_image", arguments).await?;
    let job = reply.job()?;
    ensure!(job.seed == Some(u64::MAX), "{job:?}");
    ensure!(progress.last().is_some_and(|update| Some(update.progress) == update.total), "{progress:?}");
    let artifact = job.artifacts.first().context("no artifact")?;
    ensure!(artifact.url.is_none(), "a server on stdio has no URL: {:?}", artifact.url);
    let full = client.call("get_image", json!({"artifact_id": artifact.id, "size": "full"})).await?;
    let picture = tests::images::decode(&full.images()[0].0)?;
    ensure!((picture.width(), picture.height()) == (64, 64));
    client.peer.close().await;
    Ok(())
}

#[tokio::test]
async fn standard_output_carries_messages_alone_and_the_end_of_input_ends_it() -> Result<()> {
    let setup = Setup::sandbox(0.1)?;
    let (mut server, mut input) = setup.stdio()?;
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
        "progressToken": "p",
    });
    let arguments = json!({"prompt": "a fox", "width": 64, "height": 64, "wait_seconds": 60});
    let requests = [
        json!({"jsonrpc": "2.0", "id": "a", "method": "tools/list", "params": {"_meta": meta}}),
        json!({"jsonrpc": "2.0", "id": "b", "method": "tools/call",
            "params": {"name": "generate_image", "arguments": arguments, "_meta": meta}}),
    ];
    for request in requests {
        input.write_all(format!("{request}\n").as_bytes()).await?;
    }
    input.write_all(b"this is no message\n").await?;
    input.flush().await?;
    server.stdout.wait_for("structuredContent", LONG).await.with_context(|| server.stderr.tail())?;
    drop(input);
    let status = server.ended(LONG).await?;
    ensure!(status.success(), "{status}\n{}", server.stderr.tail());

    let mut answered = Vec::new();
    for line in server.stdout.to_end(LONG).await?.lines() {
        let message: Value = serde_json::from_str(line).with_context(|| format!("not a message: {line}"))?;
        ensure!(message["jsonrpc"] == "2.0", "{message}");
        if message.get("result").is_some() {
            answered.push(message["id"].clone());
        }
    }
    answered.sort_by_key(Value::to_string);
    ensure!(answered == ["a", "b"], "{answered:?}");
    Ok(())
}

#[tokio::test]
async fn sigterm_ends_it_too() -> Result<()> {
    let setup = Setup::sandbox(0.0)?;
    let (mut server, mut input) = setup.stdio()?;
    input.write_all(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n").await?;
    server.stdout.wait_for("jsonrpc", LONG).await?;
    let (status, took) = server.terminate(LONG).await?;
    ensure!(status.success(), "{status} after {took:.1?}\n{}", server.stderr.tail());
    Ok(())
}

#[tokio::test]
async fn the_command_line_client_starts_a_server_of_its_own() -> Result<()> {
    let setup = Setup::sandbox(0.1)?;
    let server = format!(
        "{} stdio --sandbox --sandbox-sampling-seconds 0.1",
        tests::binaries::path("mcp-server")?.display()
    );
    let mut command =
        cli(&["--stdio", &server, "generate", "a fox", "--width", "64", "--height", "64", "-o", "fox.png"])?;
    command.current_dir(setup.home());
    let ended = process::run(command, LONG).await?;
    ensure!(ended.code == Some(0), "{ended:?}");
    tests::images::decode(&std::fs::read(setup.home().join("fox.png"))?)?;
    Ok(())
}

/// With authentication on, the key of the process's client comes from its environment.
#[tokio::test]
async fn a_key_is_asked_for_on_stdio_too() -> Result<()> {
    let setup = Setup::sandbox(0.0)?.switch("--enable-auth");
    let created = setup.run(&["keys", "create", "alice", "--allow", "list_*"]).await?;
    let none = setup.run(&["stdio"]).await?;
    ensure!(none.code == Some(1) && none.stderr.contains("MCP_API_KEY"), "{none:?}");
    let wrong = setup.clone().variable("MCP_API_KEY", "ck_wrong").run(&["stdio"]).await?;
    ensure!(wrong.code == Some(1) && wrong.stderr.contains("refused"), "{wrong:?}");
    let right = setup.variable("MCP_API_KEY", created.stdout.trim());
    let client = Client::over_stdio(right.command(&["stdio"])?).await?;
    client.call("list_models", json!({})).await?;
    let refused = client.raw_call("generate_image", json!({"prompt": "x"})).await;
    ensure!(
        matches!(refused, Err(ClientError::Forbidden { .. })),
        "a permission is not asked for: {refused:?}"
    );
    client.peer.close().await;
    Ok(())
}
