//! What is told to those who subscribe to a job.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use mcp_protocol::client::{Notice, PeerOptions, Subscription};
use mcp_protocol::wire::{ProtocolVersion, SubscriptionFilter};
use serde_json::json;
use tests::client::Client;
use tests::comfy;
use tests::gateway::Setup;
use tests::wait::LONG;

/// The next thing that is told.
async fn told(subscription: &mut Subscription) -> Result<Notice> {
    let next = tokio::time::timeout(LONG, subscription.next()).await.context("nothing is told")??;
    next.context("the subscription has ended")
}

/// Listens to a job until it has ended; gives how often it was told of, and the states that were read.
async fn followed(client: &Client) -> Result<(usize, Vec<String>)> {
    let job =
        client.start("generate_image", json!({"prompt": "a fox", "width": 64, "height": 64, "steps": 200}));
    let uri = format!("comfy://jobs/{}", job.await?.id);
    let mut subscription = client.peer.subscribe(&uri).await?;
    ensure!(subscription.agreed().resource_subscriptions == [uri.clone()], "{:?}", subscription.agreed());
    let (mut times, mut states) = (0, Vec::new());
    loop {
        let state = client.read_json(&uri).await?["job"]["state"].as_str().context("no state")?.to_owned();
        let ended = state == "succeeded";
        if states.last() != Some(&state) {
            states.push(state);
        }
        if ended {
            return Ok((times, states));
        }
        match told(&mut subscription).await? {
            Notice::ResourceUpdated { uri: changed } => ensure!(changed == uri, "{changed}"),
            other => bail!("{other:?}"),
        }
        times += 1;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_is_told_of_until_its_end_and_not_for_every_step() -> Result<()> {
    let gateway = Setup::sandbox(1.5)?.start().await?;
    for newest in [ProtocolVersion::LATEST, ProtocolVersion::LATEST_LEGACY] {
        let options = PeerOptions { newest, ..PeerOptions::default() };
        let overs = [
            ("HTTP", gateway.client_with(options.clone()).await?),
            ("WebSocket", Client::over_websocket(gateway.base(), None, options).await?),
        ];
        for (over, client) in overs {
            let began = Instant::now();
            let (times, states) = followed(&client).await.with_context(|| format!("{newest} over {over}"))?;
            ensure!(states.last().is_some_and(|state| state == "succeeded"), "{states:?}");
            ensure!(times >= 3, "{newest} over {over}: it was told {times} times");
            // Four times a second, and the changes of state.
            let most = began.elapsed().as_millis() / 250 + 4;
            ensure!(
                times as u128 <= most,
                "{newest} over {over}: it was told {times} times, and {most} are allowed"
            );
        }
    }
    Ok(())
}

/// A process on the same data announces nothing here; what it does is found out all the same.
#[tokio::test]
async fn the_end_of_a_job_that_another_process_runs_is_told() -> Result<()> {
    let sandbox = comfy::sandbox(Duration::from_millis(500)).await?;
    let setup = Setup::comfyui(sandbox.url().as_str())?.variable("MAX_CONCURRENT_JOBS", "1");
    let gateway = setup.start().await?;
    let client = gateway.client().await?;
    // The server has its hands full, so that the other process takes the second job.
    client.start("generate_image", json!({"prompt": "first", "width": 64, "height": 64})).await?;
    let beside = Client::over_stdio(gateway.setup().command(&["stdio"])?).await?;
    let job = beside.start("generate_image", json!({"prompt": "second", "width": 64, "height": 64})).await?;
    let uri = format!("comfy://jobs/{}", job.id);
    let mut subscription = client.peer.subscribe(&uri).await?;
    told(&mut subscription).await?;
    while client.read_json(&uri).await?["job"]["state"] != "succeeded" {
        told(&mut subscription).await?;
    }
    beside.peer.close().await;
    Ok(())
}

/// Streams that stay open don't hold up the end.
#[tokio::test]
async fn open_streams_end_with_the_server() -> Result<()> {
    let gateway = Setup::sandbox(0.0)?.start().await?;
    let filter = SubscriptionFilter { resources_list_changed: true, ..SubscriptionFilter::default() };
    let modern = gateway.client().await?;
    let mut listening = modern.peer.listen(filter.clone()).await?;
    let legacy = PeerOptions { newest: ProtocolVersion::LATEST_LEGACY, ..PeerOptions::default() };
    let session = gateway.client_with(legacy.clone()).await?;
    let _session_stream = session.peer.listen(filter.clone()).await?;
    let socket = Client::over_websocket(gateway.base(), None, legacy).await?;
    let _socket_stream = socket.peer.listen(filter).await?;
    let took = gateway.terminate().await?;
    ensure!(took < Duration::from_secs(5), "it took {took:.1?} to stop");
    // It says so itself.
    ensure!(tokio::time::timeout(LONG, listening.next()).await??.is_none());
    Ok(())
}
