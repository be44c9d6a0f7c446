//! MCP over WebSocket: behind the same locks as over HTTP.

use anyhow::{Context as _, Result, bail, ensure};
use mcp_protocol::client::{CallOptions, ClientError, PeerOptions};
use mcp_protocol::wire::ProtocolVersion;
use serde_json::json;
use tests::client::Client;
use tests::gateway::Setup;

use crate::auth::{ALICE, LISTER, locked};

#[tokio::test]
async fn a_picture_is_made_over_a_websocket_in_both_eras() -> Result<()> {
    let gateway = Setup::sandbox(0.2)?.start().await?;
    for newest in [ProtocolVersion::LATEST, ProtocolVersion::LATEST_LEGACY] {
        let options = PeerOptions { newest, ..PeerOptions::default() };
        let client = Client::over_websocket(gateway.base(), None, options).await?;
        let arguments = json!({"prompt": "a fox", "width": 64, "height": 64});
        let (reply, progress) = client.finish_with_progress("generate_image", arguments).await?;
        ensure!(!progress.is_empty(), "{newest}: no progress");
        client.read(&reply.links()[0]).await?;
        if newest == ProtocolVersion::LATEST_LEGACY {
            let session = client.read_json("comfy://session").await?;
            ensure!(session["calls"][0]["job_id"] == reply.job()?.id, "{session}");
        }
        client.peer.close().await;
    }
    Ok(())
}

#[tokio::test]
async fn a_websocket_needs_a_key_and_what_the_key_allows() -> Result<()> {
    let gateway = locked().await?;
    for key in [None, Some("wrong")] {
        match Client::over_websocket(gateway.base(), key, PeerOptions::default()).await {
            Err(error) => {
                let error = error.downcast::<ClientError>()?;
                ensure!(matches!(error, ClientError::Unauthorized { .. }), "{error:?}");
            }
            Ok(_) => bail!("the key {key:?} opens"),
        }
    }
    let alice = Client::over_websocket(gateway.base(), Some(ALICE), PeerOptions::default()).await?;
    alice.call("get_queue_status", json!({})).await?;
    let lister = Client::over_websocket(gateway.base(), Some(LISTER), PeerOptions::default()).await?;
    lister.call("list_models", json!({})).await?;
    match lister.raw_call("generate_image", json!({"prompt": "x"})).await {
        Err(ClientError::Forbidden { .. }) => Ok(()),
        other => bail!("{other:?}"),
    }
}

/// The connection stays open, and is of no use any more.
#[tokio::test]
async fn a_revoked_key_ends_what_a_connection_may_do() -> Result<()> {
    let gateway = Setup::sandbox(0.0)?.switch("--enable-auth").start().await?;
    let made = gateway.setup().run(&["keys", "create", "alice"]).await?;
    let key = made.stdout.trim().to_owned();
    let client = Client::over_websocket(gateway.base(), Some(&key), PeerOptions::default()).await?;
    client.call("get_queue_status", json!({})).await?;
    let keys = gateway.setup().run(&["keys", "list", "--json"]).await?;
    let keys: serde_json::Value = serde_json::from_str(&keys.stdout)?;
    let id = keys[0]["id"].as_str().context("no id")?;
    let revoked = gateway.setup().run(&["keys", "revoke", id]).await?;
    ensure!(revoked.code == Some(0), "{revoked:?}");
    for method in ["tools/list", "resources/list"] {
        match client.peer.request(method, serde_json::Map::new(), CallOptions::default()).await {
            Err(ClientError::Unauthorized { .. }) => {}
            other => bail!("{method} is answered with {other:?}"),
        }
    }
    Ok(())
}
