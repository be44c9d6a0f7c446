//! A restart of the gateway: nothing is lost, and nothing is done twice.

use anyhow::{Result, ensure};
use futures::FutureExt as _;
use serde_json::json;

use super::target::small;
use super::{Case, Target};
use crate::client::Client;
use crate::gateway::Gateway;
use crate::images;
use crate::wait::{LONG, until};

pub(super) const CASES: &[Case] = &[
    Case::long("restart/killed in the middle of a job", |target| killed(target).boxed()),
    Case::long("restart/stopped in the middle of a job", |target| stopped(target).boxed()),
    Case::slow("restart/the job ends meanwhile", |target| ends_meanwhile(target).boxed()),
    Case::slow("restart/queue and history are kept", |target| kept(target).boxed()),
];

struct Midway {
    gateway: Gateway,
    job: String,
    /// The id of the job's prompt in ComfyUI.
    prompt: String,
}

/// A gateway with a job that ComfyUI works on.
async fn midway(target: &Target) -> Result<Midway> {
    let (gateway, client) = target.gateway().await?;
    let before = target.prompts().await?;
    let job = client.start("generate_image", target.slow().await?).await?;
    client.until_sampling(&job.id).await?;
    let new: Vec<_> = target.prompts().await?.difference(&before).cloned().collect();
    ensure!(new.len() == 1, "{} prompts for one job", new.len());
    Ok(Midway { gateway, job: job.id, prompt: new[0].clone() })
}

/// The job succeeds with the prompt that was submitted before the restart, in its first attempt.
async fn found_again(target: &Target, gateway: &Gateway, job: &str, prompt: &str) -> Result<String> {
    let client = gateway.client().await?;
    let done = client.succeeded(job).await?;
    ensure!(done.attempt == 1, "a restart of ours was counted: attempt {}", done.attempt);
    ensure!(done.artifacts.len() == 1, "{done:?}");
    images::decode(&client.first_file(&done).await?)?;
    let prompts = target.prompts().await?;
    ensure!(prompts.contains(prompt), "ComfyUI has forgotten the prompt");
    gateway.log().wait_for("an earlier prompt is followed on", LONG).await?;
    Ok(format!("found again by its prompt id, attempt {}", done.attempt))
}

async fn killed(target: &Target) -> Result<String> {
    let Midway { gateway, job, prompt } = midway(target).await?;
    let before = target.prompts().await?;
    let setup = gateway.kill().await?;
    ensure!(target.queued().await?.contains(&prompt), "the prompt was over too early for this case");
    let gateway = setup.start().await?;
    let note = found_again(target, &gateway, &job, &prompt).await?;
    ensure!(target.prompts().await? == before, "something was submitted after the restart");
    Ok(note)
}

async fn stopped(target: &Target) -> Result<String> {
    let Midway { gateway, job, prompt } = midway(target).await?;
    let before = target.prompts().await?;
    let setup = gateway.setup().clone();
    let took = gateway.terminate().await?;
    ensure!(took.as_secs() < 5, "stopping took {took:.1?}");
    ensure!(
        target.queued().await?.contains(&prompt),
        "stopping the gateway stopped the prompt, or it was over"
    );
    let gateway = setup.start().await?;
    let note = found_again(target, &gateway, &job, &prompt).await?;
    ensure!(target.prompts().await? == before, "something was submitted after the restart");
    Ok(format!("stopped in {} ms; {note}", took.as_millis()))
}

/// The outputs are collected from ComfyUI's history.
async fn ends_meanwhile(target: &Target) -> Result<String> {
    let Midway { gateway, job, prompt } = midway(target).await?;
    let setup = gateway.kill().await?;
    let over = until("the prompt to be over", LONG * 5, async || {
        Ok((!target.queued().await?.contains(&prompt)).then_some(()))
    });
    over.await?;
    let gateway = setup.start().await?;
    found_again(target, &gateway, &job, &prompt).await
}

/// What was done before is still known, and what was queued is done after.
async fn kept(target: &Target) -> Result<String> {
    let gateway = target.setup()?.flag("--max-concurrent-jobs", 1).start().await?;
    let client = gateway.client().await?;
    let done = client.finish("generate_image", small("before")).await?.job()?;
    let file = client.first_file(&done).await?;
    let running = client.start("generate_image", target.slow().await?).await?;
    client.until_sampling(&running.id).await?;
    let cancelled = client.start("generate_image", small("cancelled")).await?;
    client.call("cancel_job", json!({"job_id": cancelled.id})).await?;
    let queued = client.start("generate_image", small("after")).await?;

    let gateway = gateway.restart().await?;
    let client = gateway.client().await?;
    same(&client, &done, &file).await?;
    let cancelled = client.status(&cancelled.id).await?;
    ensure!(cancelled.state == mcp_client::JobState::Cancelled, "{cancelled:?}");
    client.call("cancel_job", json!({"job_id": running.id})).await?;
    client.succeeded(&queued.id).await?;
    Ok("1 succeeded, 1 cancelled, 1 queued".to_owned())
}

async fn same(client: &Client, before: &mcp_client::Job, file: &[u8]) -> Result<()> {
    let mut after = client.status(&before.id).await?;
    // The port is another one after the restart.
    for (after, before) in after.artifacts.iter_mut().zip(&before.artifacts) {
        after.url.clone_from(&before.url);
    }
    ensure!(after == *before, "before {before:?}, after {after:?}");
    ensure!(client.first_file(&after).await? == file, "the artifact has other bytes");
    Ok(())
}
