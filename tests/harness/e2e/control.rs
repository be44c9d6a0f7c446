//! While a job runs: its progress, and its cancelling.

use anyhow::{Context as _, Result, ensure};
use futures::FutureExt as _;
use mcp_client::JobState;
use mcp_protocol::wire::ProgressUpdate;
use serde_json::{Value, json};

use super::target::{checkpoint, fresh_seed, small};
use super::{Case, Target};
use crate::wait::{LONG, until};

pub(super) const CASES: &[Case] = &[
    Case::slow("control/progress", |target| progress(target).boxed()),
    Case::slow("control/progress over the whole graph", |target| progress_over_graph(target).boxed()),
    Case::slow("control/cancel a queued job", |target| cancel_queued(target).boxed()),
    Case::slow("control/cancel a running job", |target| cancel_running(target).boxed()),
    Case::slow("control/cancel a job that waits in ComfyUI", |target| cancel_pending(target).boxed()),
    Case::slow("control/hang up", |target| hang_up(target).boxed()),
];

/// Strictly increasing, never over the total, and at the total in the end.
fn check(updates: &[ProgressUpdate]) -> Result<()> {
    let shown: Vec<_> = updates.iter().map(|update| update.progress).collect();
    ensure!(updates.len() >= 4, "{} updates: {shown:?}", updates.len());
    ensure!(updates.windows(2).all(|pair| pair[0].progress < pair[1].progress), "not increasing: {shown:?}");
    let totals: Vec<_> = updates.iter().filter_map(|update| update.total).collect();
    let constant = totals.iter().all(|total| total.total_cmp(&totals[0]).is_eq());
    ensure!(constant && totals.len() == updates.len(), "totals {totals:?}");
    ensure!(shown.last() == totals.last(), "it ends at {:?} of {:?}", shown.last(), totals.last());
    Ok(())
}

async fn progress(target: &Target) -> Result<String> {
    let (_gateway, client) = target.gateway().await?;
    let (_, updates) = client.finish_with_progress("generate_image", target.slow().await?).await?;
    check(&updates)?;
    let steps =
        updates.iter().filter_map(|update| update.message.as_deref()).filter(|text| text.contains("step"));
    ensure!(steps.count() > 0, "no update tells of a step: {updates:?}");
    Ok(format!("{} updates to {}", updates.len(), updates[updates.len() - 1].progress))
}

/// Two samplers of the same work: at the end of the first, half is done.
async fn progress_over_graph(target: &Target) -> Result<String> {
    let (_gateway, client) = target.gateway().await?;
    let graph = two_samplers(&checkpoint(&client).await?);
    let (_, updates) = client.finish_with_progress("run_workflow", json!({"graph": graph})).await?;
    check(&updates)?;
    let last_steps: Vec<_> = updates
        .iter()
        .filter(|update| update.message.as_deref() == Some("step 10 of 10"))
        .map(|update| update.progress)
        .collect();
    let middle = last_steps.first().copied().context("the first sampler's end was not told")?;
    ensure!((25.0..75.0).contains(&middle), "{middle} % when one of two samplers is done");
    Ok(format!("{middle:.0} % after the first of two samplers"))
}

fn two_samplers(checkpoint: &str) -> Value {
    let sampler = |latent: &str, denoise: f64| {
        json!({"class_type": "KSampler", "inputs": {"model": ["1", 0], "positive": ["2", 0], "negative": ["3", 0],
            "latent_image": [latent, 0], "seed": fresh_seed(), "steps": 10, "cfg": 5.0, "sampler_name": "euler",
            "scheduler": "normal", "denoise": denoise}})
    };
    let text =
        |text: &str| json!({"class_type": "CLIPTextEncode", "inputs": {"text": text, "clip": ["1", 1]}});
    json!({
        "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": checkpoint}},
        "2": text("a long road"), "3": text("cars"),
        "4": {"class_type": "EmptyLatentImage", "inputs": {"width": 128, "height": 128, "batch_size": 1}},
        "5": sampler("4", 1.0), "6": sampler("5", 0.6),
        "7": {"class_type": "VAEDecode", "inputs": {"samples": ["6", 0], "vae": ["1", 2]}},
        "8": {"class_type": "SaveImage", "inputs": {"images": ["7", 0], "filename_prefix": "two"}},
    })
}

/// One runs, two wait here; the first of the waiting is cancelled, the others are done.
async fn cancel_queued(target: &Target) -> Result<String> {
    let gateway = target.setup()?.flag("--max-concurrent-jobs", 1).start().await?;
    let client = gateway.client().await?;
    let running = client.start("generate_image", target.slow().await?).await?;
    client.until_sampling(&running.id).await?;
    let cancelled = client.start("generate_image", small("never")).await?;
    let next = client.start("generate_image", small("next")).await?;
    ensure!(client.status(&next.id).await?.position == Some(1), "the third is not the second in the queue");

    let answer = client.call("cancel_job", json!({"job_id": cancelled.id})).await?.job()?;
    ensure!(answer.state == JobState::Cancelled && answer.attempt == 0, "{answer:?}");
    ensure!(client.status(&next.id).await?.position == Some(0), "the third has not moved up");
    client.succeeded(&running.id).await?;
    client.succeeded(&next.id).await?;
    let again = client.call("cancel_job", json!({"job_id": running.id})).await?.job()?;
    ensure!(again.state == JobState::Succeeded, "cancelling a job that is done makes it {:?}", again.state);
    Ok("the running one and the next one were done".to_owned())
}

/// Two are in ComfyUI: the one that runs is cancelled, and the other one goes on.
async fn cancel_running(target: &Target) -> Result<String> {
    let (_gateway, client) = target.gateway().await?;
    let running = client.start("generate_image", target.slow().await?).await?;
    client.until_sampling(&running.id).await?;
    let other = client.start("generate_image", small("goes on")).await?;
    until("both to be in ComfyUI", LONG, async || Ok((target.queued().await?.len() == 2).then_some(())))
        .await?;

    let answer = client.call("cancel_job", json!({"job_id": running.id})).await?.job()?;
    let cancelled = if answer.state.is_terminal() { answer } else { client.wait(&running.id).await? };
    ensure!(cancelled.state == JobState::Cancelled, "{cancelled:?}");
    ensure!(cancelled.artifacts.is_empty(), "a cancelled job has artifacts: {cancelled:?}");
    client.succeeded(&other.id).await?;
    Ok("the pending one was done".to_owned())
}

/// Two are in ComfyUI: the one that is pending there is cancelled, and the running one goes on.
async fn cancel_pending(target: &Target) -> Result<String> {
    let (_gateway, client) = target.gateway().await?;
    let running = client.start("generate_image", target.slow().await?).await?;
    client.until_sampling(&running.id).await?;
    let pending = client.start("generate_image", small("is pending")).await?;
    until("both to be in ComfyUI", LONG, async || Ok((target.queued().await?.len() == 2).then_some(())))
        .await?;

    client.call("cancel_job", json!({"job_id": pending.id})).await?;
    let cancelled = client.wait(&pending.id).await?;
    ensure!(cancelled.state == JobState::Cancelled, "{cancelled:?}");
    let still = client.status(&running.id).await?;
    ensure!(still.state != JobState::Cancelled, "the wrong one was cancelled too");
    client.succeeded(&running.id).await?;
    Ok("the running one was done".to_owned())
}

/// A caller that goes away before it knows the job's id leaves nothing behind that it could never ask for.
async fn hang_up(target: &Target) -> Result<String> {
    let (_gateway, client) = target.gateway().await?;
    let before = target.prompts().await?;
    let arguments = target.slow().await?;
    let call = client.finish("generate_image", arguments);
    let submitted = until("the prompt to be in ComfyUI", LONG, async || {
        Ok((!target.queued().await?.is_empty()).then_some(()))
    });
    tokio::select! {
        ended = call => anyhow::bail!("the call ended too early: {ended:?}"),
        submitted = submitted => submitted?,
    }
    let gone =
        until("the prompt to be gone", LONG, async || Ok(target.queued().await?.is_empty().then_some(())));
    gone.await?;
    let status = client.call("get_queue_status", json!({})).await?;
    let cancelled = until("the job to be cancelled", LONG, async || {
        let status = client.call("get_queue_status", json!({})).await?;
        Ok((status.structured()?["yours"]["cancelled"] == 1).then_some(()))
    });
    cancelled.await.with_context(|| format!("{status:?}"))?;
    ensure!(target.prompts().await?.len() <= before.len() + 1, "it was submitted more than once");
    Ok("cancelled".to_owned())
}
