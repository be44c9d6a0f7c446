//! Starting and stopping the server.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tests::comfy::{self, ComfyProcess};
use tests::gateway::Setup;
use tests::wait::{LONG, until};

/// A debug build on a busy machine; the benchmark holds a release build to 100 ms.
const SOON: Duration = Duration::from_secs(5);

async fn health(base: &str) -> Result<Value> {
    let answer = tests::client::http()?.get(format!("{base}/health")).send().await?;
    ensure!(answer.status() == 200, "{}", answer.status());
    Ok(answer.json().await?)
}

#[tokio::test]
async fn it_starts_without_comfyui_and_goes_on_when_there_is_one() -> Result<()> {
    let address = comfy::free_address().await?;
    let gateway = Setup::comfyui(&format!("http://{address}"))?.start().await?;
    ensure!(gateway.startup < SOON, "it took {:.1?} to listen", gateway.startup);
    let client = gateway.client().await?;
    let failure = client.refused("generate_image", json!({"prompt": "x"})).await?;
    failure
        .expect("comfyui_unavailable", &["can't be reached", "start ComfyUI", &address.port().to_string()])?;
    let status = client.call("get_queue_status", json!({})).await?;
    ensure!(status.structured()?["backends"][0]["state"] == "down", "{:?}", status.structured()?);
    ensure!(health(gateway.base()).await?["comfyui"] == "down");
    // What is shipped can be listed all the same.
    let list = client.call("list_workflows", json!({})).await?;
    ensure!(list.structured()?["workflows"].as_array().is_some_and(|all| all.len() >= 7));
    gateway.log().wait_for("ComfyUI can't be reached", LONG).await?;
    ensure!(gateway.log().count("ComfyUI can't be reached") == 1, "it is told again and again");

    let _comfyui = ComfyProcess::start(address, 0.05).await?;
    gateway.log().wait_for("ComfyUI is connected", LONG).await?;
    ensure!(health(gateway.base()).await?["comfyui"] == "up");
    client.finish("generate_image", json!({"prompt": "x", "width": 64, "height": 64})).await?;
    Ok(())
}

#[tokio::test]
async fn it_stops_at_once_when_asked() -> Result<()> {
    let gateway = Setup::sandbox(0.0)?.start().await?;
    let client = gateway.client().await?;
    client.finish("generate_image", json!({"prompt": "x", "width": 64, "height": 64})).await?;
    let took = gateway.terminate().await?;
    ensure!(took < SOON, "an idle server took {took:.1?} to stop");
    Ok(())
}

/// A call that waits is answered with the job's id before the server is gone.
#[tokio::test]
async fn a_call_that_waits_is_answered_when_it_stops() -> Result<()> {
    let sandbox = comfy::sandbox(Duration::from_secs(20)).await?;
    let gateway = Setup::comfyui(sandbox.url().as_str())?.start().await?;
    let client = gateway.client().await?;
    let waiting = tokio::spawn(async move {
        let call = client.raw_call("generate_image", json!({"prompt": "x", "wait_seconds": 600}));
        call.await.map(|reply| reply.job())
    });
    gateway.log().wait_for("job.state=\"running\"", LONG).await?;
    let setup = gateway.setup().clone();
    gateway.terminate().await?;
    let job = waiting.await?.context("the call was not answered")??;
    ensure!(!job.state.is_terminal(), "{job:?}");
    let gateway = setup.start().await?;
    let client = gateway.client().await?;
    client.until_sampling(&job.id).await?;
    client.call("cancel_job", json!({"job_id": job.id})).await?;
    Ok(())
}

#[tokio::test]
async fn a_port_in_use_is_named() -> Result<()> {
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let port = taken.local_addr()?.port();
    let ended = Setup::sandbox(0.0)?.flag("--port", port).run(&["serve"]).await?;
    ensure!(ended.code == Some(1), "{ended:?}");
    ensure!(
        ended.stderr.contains(&format!("port {port}")) && ended.stderr.contains("in use"),
        "{}",
        ended.stderr
    );
    ensure!(ended.stderr.contains("--port"), "no remedy: {}", ended.stderr);
    Ok(())
}

#[tokio::test]
async fn an_unwritable_data_folder_is_named() -> Result<()> {
    let setup = Setup::sandbox(0.0)?;
    let folder = setup.home().join("locked");
    std::fs::create_dir(&folder)?;
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o555))?;
    // Whoever may write everywhere is stopped by a file in the folder's place.
    let data = if std::fs::write(folder.join("probe"), "").is_ok() {
        std::fs::write(setup.home().join("file"), "")?;
        setup.home().join("file").join("data")
    } else {
        folder.join("data")
    };
    let ended = setup.flag("--port", 0).flag("--data-dir", data.display()).run(&["serve"]).await?;
    ensure!(ended.code == Some(1), "{ended:?}");
    ensure!(ended.stderr.contains(&data.display().to_string()), "the folder isn't named: {}", ended.stderr);
    ensure!(ended.took < SOON, "it took {:.1?} to say so", ended.took);
    Ok(())
}

#[tokio::test]
async fn a_second_server_on_the_same_data_is_refused() -> Result<()> {
    let gateway = Setup::sandbox(0.0)?.start().await?;
    let second = gateway.setup().clone().flag("--port", 0).run(&["serve"]).await?;
    ensure!(second.code == Some(1), "{second:?}");
    ensure!(second.stderr.contains("data"), "the folder isn't named: {}", second.stderr);
    // The first one is none the worse for it, and one on stdio may share the data.
    gateway.client().await?.call("get_queue_status", json!({})).await?;
    let setup = gateway.setup().clone();
    gateway.terminate().await?;
    setup.start().await?;
    Ok(())
}

/// Several may share the data on stdio, beside a server too.
#[tokio::test]
async fn a_server_on_stdio_shares_the_data() -> Result<()> {
    let gateway = Setup::sandbox(0.05)?.start().await?;
    let made = gateway.client().await?;
    let job =
        made.finish("generate_image", json!({"prompt": "x", "width": 64, "height": 64})).await?.job()?;
    let beside = tests::client::Client::over_stdio(gateway.setup().command(&["stdio"])?).await?;
    ensure!(beside.status(&job.id).await?.id == job.id);
    beside.peer.close().await;
    Ok(())
}

#[tokio::test]
async fn a_broken_workflow_file_is_named_and_the_others_load() -> Result<()> {
    let good = json!({
        "1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 0}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "own"}},
    });
    let gateway = Setup::sandbox(0.0)?
        .file("workflows/own.json", good.to_string())?
        .file("workflows/torn.json", "{\"1\": {\"class_type\":")?
        .file("workflows/no graph.json", "[1]")?
        .start()
        .await?;
    for name in ["no graph", "torn"] {
        ensure!(
            gateway.log().lines().iter().any(|line| line.contains("WARN") && line.contains(name)),
            "{name}"
        );
    }
    let client = gateway.client().await?;
    let list = client.call("list_workflows", json!({})).await?;
    let names = |part: &str| -> Vec<String> {
        let entries =
            list.0.structured_content.as_ref().and_then(|content| content[part].as_array().cloned());
        entries.into_iter().flatten().filter_map(|entry| entry["name"].as_str().map(str::to_owned)).collect()
    };
    ensure!(names("broken") == ["no graph", "torn"], "{:?}", names("broken"));
    ensure!(names("workflows").contains(&"own".to_owned()) && names("workflows").len() > 8);
    client.finish("run_workflow", json!({"workflow": "own"})).await?;
    let failure = client.refused("run_workflow", json!({"workflow": "torn"})).await?;
    failure.expect("broken_workflow", &["torn", "JSON"])
}

#[tokio::test]
async fn the_log_goes_to_a_file_too() -> Result<()> {
    let gateway = Setup::sandbox(0.0)?.flag("--log-file", "logs/server.log").start().await?;
    let setup = gateway.setup().clone();
    let folder = setup.home().join("logs");
    gateway.terminate().await?;
    until("the log file to be written", LONG, async || {
        let mut text = String::new();
        for entry in std::fs::read_dir(&folder)? {
            text += &std::fs::read_to_string(entry?.path())?;
        }
        Ok((text.contains("listening on") && text.contains("stopped")).then_some(()))
    })
    .await
}
