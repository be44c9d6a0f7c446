//! ComfyUI misbehaves, dies, or the line to it breaks: nothing is lost, and what happens is said.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use comfy_sandbox::Sandbox;
use mcp_client::JobState;
use serde_json::{Value, json};
use tests::client::Client;
use tests::comfy::{self, ComfyProcess};
use tests::gateway::{Gateway, Setup};
use tests::images;
use tests::proxy::Proxy;
use tests::wait::{LONG, until};

async fn with_sandbox(sampling_ms: u64) -> Result<(Sandbox, Gateway, Client)> {
    let sandbox = comfy::sandbox(Duration::from_millis(sampling_ms)).await?;
    let gateway = Setup::comfyui(sandbox.url().as_str())?.start().await?;
    let client = gateway.client().await?;
    Ok((sandbox, gateway, client))
}

fn address(sandbox: &Sandbox) -> Result<SocketAddr> {
    let url = sandbox.url();
    url.socket_addrs(|| None)?.into_iter().next().context("the sandbox has no address")
}

fn small(prompt: &str) -> Value {
    json!({"prompt": prompt, "width": 64, "height": 64, "steps": 10})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_prompt_is_tried_again() -> Result<()> {
    let (sandbox, gateway, client) = with_sandbox(20).await?;
    client.finish("generate_image", small("the first")).await?;
    sandbox.faults().refuse_prompts();
    let job = client.start("generate_image", small("the second")).await?;
    gateway.log().wait_for("the job can't begin yet", LONG).await?;
    let waiting = client.status(&job.id).await?;
    ensure!(!waiting.state.is_terminal(), "{waiting:?}");
    ensure!(waiting.message.as_deref() == Some("waiting for ComfyUI"), "it isn't said: {waiting:?}");
    sandbox.faults().accept_prompts();
    let done = client.succeeded(&job.id).await?;
    ensure!(done.attempt == 1, "a short refusal cost an attempt: {}", done.attempt);
    Ok(())
}

/// ComfyUI's plain text, as it is sent for what it can't read itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_few_500_texts_are_outlived() -> Result<()> {
    let (sandbox, _gateway, client) = with_sandbox(20).await?;
    client.finish("generate_image", small("warm")).await?;
    sandbox.faults().fail_endpoint("/prompt", 1);
    let job = client.start("generate_image", small("after one 500")).await?;
    client.succeeded(&job.id).await?;
    sandbox.faults().fail_endpoint("/history", 2);
    sandbox.faults().fail_endpoint("/view", 1);
    let job = client.start("generate_image", small("after more")).await?;
    client.succeeded(&job.id).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_500_text_for_ever_is_an_error_that_says_so() -> Result<()> {
    let (sandbox, _gateway, client) = with_sandbox(20).await?;
    client.finish("generate_image", small("warm")).await?;
    sandbox.faults().fail_endpoint("/prompt", 1000);
    let job = client.start("generate_image", small("never")).await?;
    let failed = client.wait(&job.id).await?;
    ensure!(failed.state == JobState::Failed, "{failed:?}");
    let error = failed.error.context("no error")?;
    ensure!(error.message.contains("500"), "{error:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_fails_is_named() -> Result<()> {
    let (sandbox, _gateway, client) = with_sandbox(20).await?;
    let text = "Expected all tensors on one device";
    sandbox.faults().fail_next_node("KSampler", text);
    let job = client.start("generate_image", small("fails")).await?;
    let failed = client.wait(&job.id).await?;
    ensure!(failed.state == JobState::Failed && failed.attempt == 1, "{failed:?}");
    let error = failed.error.context("no error")?;
    ensure!(error.code == "execution_failed" && error.message.contains("KSampler"), "{error:?}");
    ensure!(error.message.contains(text), "{error:?}");
    client.finish("generate_image", small("it goes on")).await?;
    Ok(())
}

/// Another program may have had the memory, so it is worth another attempt.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn out_of_memory_is_tried_again() -> Result<()> {
    let (sandbox, _gateway, client) = with_sandbox(20).await?;
    sandbox.faults().fail_next_node("KSampler", "CUDA out of memory");
    let job = client.start("generate_image", small("too large for now")).await?;
    let done = client.succeeded(&job.id).await?;
    ensure!(done.attempt == 2, "attempt {}", done.attempt);
    Ok(())
}

/// The websocket drops in the middle: the run is followed by polling, or by a new socket.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_socket_loses_nothing() -> Result<()> {
    let (sandbox, _gateway, client) = with_sandbox(1000).await?;
    let job = client.start("generate_image", small("dropped")).await?;
    client.until_sampling(&job.id).await?;
    sandbox.faults().drop_sockets();
    let done = client.succeeded(&job.id).await?;
    ensure!(done.attempt == 1, "attempt {}", done.attempt);
    images::decode(&client.first_file(&done).await?)?;
    Ok(())
}

/// A socket that stays open and says nothing is not believed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_socket_loses_nothing() -> Result<()> {
    let (sandbox, _gateway, client) = with_sandbox(300).await?;
    sandbox.faults().silence_sockets();
    let job = client.start("generate_image", small("silent")).await?;
    let done = client.succeeded(&job.id).await?;
    ensure!(done.attempt == 1, "attempt {}", done.attempt);
    Ok(())
}

/// All connections are cut in the middle, and come back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_line_is_mended() -> Result<()> {
    let sandbox = comfy::sandbox(Duration::from_millis(1500)).await?;
    let proxy = Proxy::start(address(&sandbox)?).await?;
    let gateway = Setup::comfyui(&proxy.url())?.start().await?;
    let client = gateway.client().await?;
    let job = client.start("generate_image", small("cut once")).await?;
    client.until_sampling(&job.id).await?;
    proxy.cut();
    let done = client.succeeded(&job.id).await?;
    ensure!(done.attempt == 1, "attempt {}", done.attempt);

    // Away for longer than the prompt takes: it is found in the history afterwards.
    let job = client.start("generate_image", small("cut for long")).await?;
    client.until_sampling(&job.id).await?;
    proxy.close();
    let base = sandbox.url();
    let over = until("the prompt to be over", LONG, async || {
        Ok(comfy::queued(base.as_str()).await?.is_empty().then_some(()))
    });
    over.await?;
    proxy.open();
    client.succeeded(&job.id).await?;
    let prompts = comfy::prompts(base.as_str()).await?;
    ensure!(prompts.len() == 2, "{} prompts for two jobs", prompts.len());
    Ok(())
}

/// ComfyUI forgets everything in the middle of a job and drops its sockets, as a restart does: it is begun again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_queue_is_a_new_attempt() -> Result<()> {
    let (sandbox, _gateway, client) = with_sandbox(800).await?;
    let job = client.start("generate_image", small("forgotten")).await?;
    client.until_sampling(&job.id).await?;
    sandbox.faults().forget();
    sandbox.faults().drop_sockets();
    let done = client.succeeded(&job.id).await?;
    ensure!(done.attempt == 2, "attempt {}", done.attempt);
    Ok(())
}

/// Somebody took the prompt out of ComfyUI's queue, and meant it: it isn't begun again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prompt_that_somebody_removed_is_told() -> Result<()> {
    let (sandbox, _gateway, client) = with_sandbox(1500).await?;
    let running = client.start("generate_image", small("in front")).await?;
    client.until_sampling(&running.id).await?;
    let before = comfy::queued(sandbox.url().as_str()).await?;
    let job = client.start("generate_image", small("removed")).await?;
    let prompt = until("the prompt to be pending", LONG, async || {
        Ok(comfy::queued(sandbox.url().as_str()).await?.difference(&before).next().cloned())
    })
    .await?;
    let url = sandbox.url().join("queue")?;
    tests::client::http()?.post(url).json(&json!({"delete": [prompt]})).send().await?;
    let failed = client.wait(&job.id).await?;
    ensure!(failed.state == JobState::Failed && failed.attempt == 1, "{failed:?}");
    let error = failed.error.context("no error")?;
    ensure!(error.message.contains("removed"), "{error:?}");
    client.succeeded(&running.id).await?;
    Ok(())
}

#[tokio::test]
async fn a_job_is_retried_when_comfyui_died_and_is_back() -> Result<()> {
    let address = comfy::free_address().await?;
    let comfyui = ComfyProcess::start(address, 1.0).await?;
    let gateway = Setup::comfyui(&comfyui.url())?.start().await?;
    let client = gateway.client().await?;
    let job = client.start("generate_image", small("dies")).await?;
    client.until_sampling(&job.id).await?;
    let dead = comfyui.kill().await?;
    // The server itself is well: it answers, and takes further jobs for what it knew.
    let other = client.start("generate_image", small("waits for it")).await?;
    gateway.log().wait_for("ComfyUI can't be reached", LONG).await?;
    let waiting = client.status(&job.id).await?;
    ensure!(!waiting.state.is_terminal(), "the job is given up while ComfyUI is away: {waiting:?}");
    let status = client.call("get_queue_status", json!({})).await?;
    ensure!(status.structured()?["backends"][0]["state"] == "down", "{:?}", status.structured()?);

    let _comfyui = dead.revive().await?;
    let done = client.succeeded(&job.id).await?;
    ensure!(done.attempt >= 2, "attempt {}", done.attempt);
    client.succeeded(&other.id).await?;
    Ok(())
}

/// A prompt that somebody else interrupts in ComfyUI is told as such.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupt_from_outside_is_told() -> Result<()> {
    let (sandbox, _gateway, client) = with_sandbox(20_000).await?;
    let job = client.start("generate_image", small("interrupted")).await?;
    client.until_sampling(&job.id).await?;
    let url = sandbox.url().join("interrupt")?;
    let answer = tests::client::http()?.post(url).json(&json!({})).send().await?;
    ensure!(answer.status() == 200, "{}", answer.status());
    let ended = client.wait(&job.id).await?;
    ensure!(ended.state == JobState::Failed, "{ended:?}");
    ensure!(ended.error.context("no error")?.code == "interrupted");
    Ok(())
}

/// Slow answers hold up nobody who doesn't need them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_comfyui_holds_up_nothing_else() -> Result<()> {
    let (sandbox, _gateway, client) = with_sandbox(20).await?;
    let done = client.finish("generate_image", small("before")).await?.job()?;
    sandbox.faults().delay_answers(Duration::from_secs(30));
    let _waiting = client.start("generate_image", small("slow")).await?;
    let started = std::time::Instant::now();
    client.status(&done.id).await?;
    client.call("get_queue_status", json!({})).await?;
    client.file(&done.artifacts[0]).await?;
    ensure!(started.elapsed() < Duration::from_secs(5), "it took {:.1?}", started.elapsed());
    sandbox.faults().reset();
    Ok(())
}
