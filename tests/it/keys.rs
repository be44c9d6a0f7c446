//! `mcp-server keys`, beside a server that runs.

use anyhow::{Context as _, Result, bail, ensure};
use mcp_protocol::client::ClientError;
use serde_json::{Value, json};
use tests::client::Client;
use tests::gateway::{Gateway, Setup};

async fn locked() -> Result<Gateway> {
    Setup::sandbox(0.0)?.switch("--enable-auth").start().await
}

async fn create(setup: &Setup, words: &[&str]) -> Result<String> {
    let ended = setup.run(&[&["keys", "create"], words].concat()).await?;
    ensure!(ended.code == Some(0), "{ended:?}");
    let key = ended.stdout.trim().to_owned();
    ensure!(key.starts_with("ck_") && !ended.stderr.contains(&key), "{ended:?}");
    Ok(key)
}

async fn list(setup: &Setup) -> Result<Vec<Value>> {
    let ended = setup.run(&["keys", "list", "--json"]).await?;
    ensure!(ended.code == Some(0), "{ended:?}");
    Ok(serde_json::from_str(&ended.stdout)?)
}

#[tokio::test]
async fn a_key_is_good_from_its_making_to_its_revocation() -> Result<()> {
    let gateway = locked().await?;
    let setup = gateway.setup();
    let key = create(setup, &["alice", "--allow", "get_queue_status", "--allow", "list_*"]).await?;
    let client = gateway.client_with_key(&key).await?;
    client.call("get_queue_status", json!({})).await?;
    client.call("list_workflows", json!({})).await?;
    let refused = client.raw_call("generate_image", json!({"prompt": "x"})).await;
    ensure!(matches!(refused, Err(ClientError::Forbidden { .. })), "{refused:?}");

    let keys = list(setup).await?;
    ensure!(keys.len() == 1 && keys[0]["client"] == "alice" && keys[0]["state"] == "good", "{keys:?}");
    let id = keys[0]["id"].as_str().context("no id")?;
    let table = setup.run(&["keys", "list"]).await?;
    ensure!(table.stdout.contains(id) && table.stdout.contains("alice"), "{table:?}");
    ensure!(!table.stdout.contains(&key), "the secret is listed");
    let revoked = setup.run(&["keys", "revoke", id]).await?;
    ensure!(revoked.code == Some(0), "{revoked:?}");
    ensure!(list(setup).await?[0]["state"] == "revoked");
    let unknown = setup.run(&["keys", "revoke", "no-such-id"]).await?;
    ensure!(unknown.code == Some(1) && unknown.stderr.contains("no-such-id"), "{unknown:?}");

    // The running server may know it for up to a minute more; one that starts now does not.
    let gateway = gateway.restart().await?;
    match Client::connect(gateway.base(), Some(&key)).await.map_err(anyhow::Error::downcast::<ClientError>) {
        Err(Ok(ClientError::Unauthorized { .. })) => Ok(()),
        other => bail!("a revoked key opens: {other:?}"),
    }
}

#[tokio::test]
async fn a_limit_can_be_given_with_the_key() -> Result<()> {
    let gateway = locked().await?;
    let key = create(gateway.setup(), &["bob", "--rate", "1", "--per", "60", "--burst", "2"]).await?;
    let client = gateway.client_with_key(&key).await?;
    for _ in 0..2 {
        client.call("get_queue_status", json!({})).await?;
    }
    let third = client.raw_call("get_queue_status", json!({})).await;
    ensure!(matches!(third, Err(ClientError::RateLimited { .. })), "{third:?}");
    for words in [&["eve", "--rate", "0", "--per", "1", "--burst", "1"][..], &["eve", "--rate", "1"], &[""]] {
        let ended = gateway.setup().run(&[&["keys", "create"], words].concat()).await?;
        ensure!(ended.code != Some(0), "{words:?}: {ended:?}");
    }
    Ok(())
}
