//! Tasks: calls that are answered at once, and go on as jobs.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use mcp_protocol::client::{CallOptions, ClientError, HttpOptions, Notice, Peer, PeerOptions, ToolOutcome};
use mcp_protocol::error::{INVALID_PARAMS, MISSING_CLIENT_CAPABILITY};
use mcp_protocol::wire::{CallToolResult, InputResponses, SubscriptionFilter, Task, TaskState};
use serde_json::{Value, json};
use tests::client::{Client, Reply};
use tests::comfy;
use tests::gateway::{Gateway, Setup};
use tests::wait::LONG;

use crate::auth::{ALICE, BOB, locked};

fn with_tasks() -> PeerOptions {
    PeerOptions { tasks: true, ..PeerOptions::default() }
}

fn small(prompt: &str) -> Value {
    json!({"prompt": prompt, "width": 64, "height": 64, "steps": 20})
}

async fn created(peer: &Peer, tool: &str, arguments: Value) -> Result<Task> {
    match peer.call_tool_or_task(tool, arguments, CallOptions::default()).await? {
        ToolOutcome::Task(task) => Ok(task),
        ToolOutcome::Result(result) => bail!("no task: {result:?}"),
    }
}

async fn ended(peer: &Peer, id: &str) -> Result<Task> {
    Ok(tokio::time::timeout(LONG, peer.wait_for_task(id)).await.context("the task doesn't end")??)
}

fn result(task: Task) -> Result<Reply> {
    match task.state {
        TaskState::Completed { result } => {
            ensure!(result["resultType"] == "complete", "{result}");
            Ok(Reply(serde_json::from_value::<CallToolResult>(result)?))
        }
        state => bail!("the task has ended as {state:?}"),
    }
}

#[tokio::test]
async fn a_task_ends_with_what_the_call_would_have_answered() -> Result<()> {
    let gateway = Setup::sandbox(0.5)?.start().await?;
    let client = gateway.client_with(with_tasks()).await?;
    let task = created(&client.peer, "generate_image", small("a fox")).await?;
    ensure!(task.state == TaskState::Working && task.poll_interval_ms.is_some(), "{task:?}");
    ensure!(task.status_message.is_some() && task.ttl_ms.is_none(), "{task:?}");
    // A job of the same id, which the tools see too.
    ensure!(client.status(&task.task_id).await?.id == task.task_id);
    client.peer.update_task(&task.task_id, InputResponses::new()).await?;

    let done = ended(&client.peer, &task.task_id).await?;
    ensure!(done.ttl_ms.is_some_and(|ttl| ttl > 29 * 24 * 3_600_000) && done.created_at == task.created_at);
    let reply = result(done)?;
    let job = reply.job()?;
    ensure!(job.id == task.task_id && reply.images().len() == 1 && reply.links().len() == 1, "{reply:?}");
    client.read(&reply.links()[0]).await?;
    let told = client.call("get_job_status", json!({"job_id": job.id})).await?;
    ensure!(told.structured()? == reply.structured()?, "the task tells something else than the job");

    // All that make jobs do so, and one that knows no tasks waits as before.
    let picture = json!({"prompt": "a wolf", "image": reply.links()[0], "width": 64, "height": 64});
    let mut tasks = vec![created(&client.peer, "img2img", picture).await?];
    let run = json!({"workflow": "txt2img", "parameters": {"prompt": "an owl", "width": 64, "height": 64}});
    tasks.push(created(&client.peer, "run_workflow", run).await?);
    for task in tasks {
        result(ended(&client.peer, &task.task_id).await?)?.job()?;
    }
    let plain = gateway.client().await?;
    plain.finish("generate_image", small("an eagle")).await?;
    Ok(())
}

#[tokio::test]
async fn who_listens_is_told_how_a_task_goes() -> Result<()> {
    let gateway = Setup::sandbox(1.0)?.start().await?;
    let client = gateway.client_with(with_tasks()).await?;
    let task = created(&client.peer, "generate_image", small("a fox")).await?;
    let task_ids = vec![task.task_id.clone()];
    let filter = SubscriptionFilter { task_ids: task_ids.clone(), ..SubscriptionFilter::default() };
    let mut subscription = client.peer.listen(filter).await?;
    ensure!(subscription.agreed().task_ids == task_ids, "{:?}", subscription.agreed());
    let mut messages = Vec::new();
    let done = loop {
        let next = tokio::time::timeout(LONG, subscription.next()).await.context("nothing is told")??;
        let Some(Notice::Task(task)) = next else { bail!("{next:?}") };
        if task.state.is_terminal() {
            break *task;
        }
        messages.extend(task.status_message);
    };
    ensure!(messages.iter().any(|message| message.contains('%')), "{messages:?}");
    result(done)?.job()?;
    Ok(())
}

#[tokio::test]
async fn a_task_outlives_the_server() -> Result<()> {
    let sandbox = comfy::sandbox(Duration::from_secs(3)).await?;
    let gateway = Setup::comfyui(sandbox.url().as_str())?.start().await?;
    let client = gateway.client_with(with_tasks()).await?;
    let task = created(&client.peer, "generate_image", small("a fox")).await?;
    client.until_sampling(&task.task_id).await?;
    let gateway = gateway.restart().await?;
    let client = gateway.client_with(with_tasks()).await?;
    ensure!(client.peer.get_task(&task.task_id).await?.created_at == task.created_at);
    let job = result(ended(&client.peer, &task.task_id).await?)?.job()?;
    ensure!(job.id == task.task_id && job.attempt == 1, "{job:?}");
    Ok(())
}

#[tokio::test]
async fn a_task_can_be_cancelled() -> Result<()> {
    let gateway = Setup::sandbox(60.0)?.start().await?;
    let client = gateway.client_with(with_tasks()).await?;
    let running = created(&client.peer, "generate_image", small("a fox")).await?;
    client.until_sampling(&running.task_id).await?;
    client.peer.cancel_task(&running.task_id).await?;
    ensure!(ended(&client.peer, &running.task_id).await?.state == TaskState::Cancelled);
    // Again, or too late, is no mistake.
    client.peer.cancel_task(&running.task_id).await?;
    Ok(())
}

/// A job that fails is a tool's failure, and not one of the protocol.
#[tokio::test]
async fn a_task_whose_job_fails_is_completed_with_the_error() -> Result<()> {
    let sandbox = comfy::sandbox(Duration::from_millis(100)).await?;
    let gateway = Setup::comfyui(sandbox.url().as_str())?.start().await?;
    let client = gateway.client_with(with_tasks()).await?;
    sandbox.faults().fail_next_node("KSampler", "Expected all tensors on one device");
    let task = created(&client.peer, "generate_image", small("a fox")).await?;
    let done = ended(&client.peer, &task.task_id).await?;
    ensure!(done.status_message.as_deref().is_some_and(|text| text.contains("KSampler")), "{done:?}");
    let reply = result(done)?;
    ensure!(reply.0.is_error && reply.0.tool_error().is_some_and(|error| error.code == "execution_failed"));
    Ok(())
}

fn check_code<T: std::fmt::Debug>(answer: Result<T, ClientError>, expected: i32) -> Result<()> {
    match answer {
        Err(ClientError::Rpc { code, .. }) if code == expected => Ok(()),
        other => bail!("{other:?} and not {expected}"),
    }
}

async fn keyed(gateway: &Gateway, key: &str) -> Result<Client> {
    Client::connect_with(gateway.base(), Some(key), with_tasks()).await
}

#[tokio::test]
async fn a_task_is_there_for_its_owner_alone() -> Result<()> {
    let gateway = locked().await?;
    let (alice, bob) = (keyed(&gateway, ALICE).await?, keyed(&gateway, BOB).await?);
    let task = created(&alice.peer, "generate_image", small("a secret")).await?;
    for id in [task.task_id.as_str(), "01900000-0000-7000-8000-000000000000", "x"] {
        check_code(bob.peer.get_task(id).await, INVALID_PARAMS)?;
        check_code(bob.peer.cancel_task(id).await, INVALID_PARAMS)?;
        check_code(bob.peer.update_task(id, InputResponses::new()).await, INVALID_PARAMS)?;
    }
    let filter = SubscriptionFilter { task_ids: vec![task.task_id.clone()], ..SubscriptionFilter::default() };
    ensure!(bob.peer.listen(filter).await?.agreed().task_ids.is_empty());
    result(ended(&alice.peer, &task.task_id).await?)?.job()?;

    let options = HttpOptions { bearer: Some(ALICE.into()), ..HttpOptions::default() };
    let without = Peer::connect_http(&gateway.mcp_url(), options).await?;
    check_code(without.get_task(&task.task_id).await, MISSING_CLIENT_CAPABILITY)
}
