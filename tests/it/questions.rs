//! Asking the person at the client for the model, in both eras.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result, ensure};
use mcp_client::Job;
use mcp_protocol::client::{PeerOptions, input_fn};
use mcp_protocol::wire::{ElicitAction, ElicitResult, InputKind, ProtocolVersion};
use serde_json::{Map, Value, json};
use tests::client::Client;
use tests::gateway::{Gateway, Setup};

/// What a person was asked, and how often.
#[derive(Clone, Default)]
struct Asked {
    times: Arc<AtomicUsize>,
    last: Arc<Mutex<Value>>,
}

/// A client whose person always answers like this.
async fn person(
    gateway: &Gateway,
    newest: ProtocolVersion,
    action: ElicitAction,
    content: Value,
) -> Result<(Client, Asked)> {
    let asked = Asked::default();
    let noted = asked.clone();
    let on_input = input_fn([InputKind::ElicitForm], move |question| {
        noted.times.fetch_add(1, Ordering::SeqCst);
        *noted.last.lock().unwrap_or_else(PoisonError::into_inner) = json!(question);
        let content = content.as_object().cloned().unwrap_or_default();
        async move { Ok(json!(ElicitResult { action, content })) }
    });
    let options = PeerOptions { newest, on_input: Some(on_input), ..PeerOptions::default() };
    Ok((gateway.client_with(options).await?, asked))
}

fn interactive(change: Value) -> Value {
    let mut arguments = json!({"prompt": "a fox", "width": 64, "height": 64, "interactive": true});
    if let (Value::Object(arguments), Value::Object(change)) = (&mut arguments, change) {
        arguments.extend(change);
    }
    arguments
}

/// Makes a picture; gives its job, and the model that made it.
async fn made(client: &Client, tool: &str, arguments: Value) -> Result<(Job, String)> {
    let reply = client.finish(tool, arguments).await?;
    let model = reply.structured()?["job"]["parameters"]["model"].as_str().context("no model")?.to_owned();
    Ok((reply.job()?, model))
}

const ERAS: [ProtocolVersion; 2] = [ProtocolVersion::LATEST, ProtocolVersion::LATEST_LEGACY];

#[tokio::test]
async fn the_person_chooses_the_model_once() -> Result<()> {
    let gateway = Setup::sandbox(0.0)?.start().await?;
    for newest in ERAS {
        let choice = json!({"model": "sandbox-sketch.safetensors"});
        let (client, asked) = person(&gateway, newest, ElicitAction::Accept, choice).await?;
        let (job, model) = made(&client, "generate_image", interactive(json!({}))).await?;
        ensure!(model == "sandbox-sketch.safetensors", "{newest}: {model}");
        ensure!(
            asked.times.load(Ordering::SeqCst) == 1,
            "{newest}: {} times",
            asked.times.load(Ordering::SeqCst)
        );
        let question = asked.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let model = &question["params"]["requestedSchema"]["properties"]["model"];
        let offered = model["enum"].as_array().with_context(|| question.to_string())?;
        for name in ["choose for me", "sandbox-sd15.safetensors", "sandbox-unet.safetensors"] {
            ensure!(offered.contains(&json!(name)), "{name} is not offered: {question}");
        }
        // One job for one question, whatever the rounds.
        let status = client.call("get_queue_status", json!({})).await?;
        ensure!(status.structured()?["yours"]["queued"] == 0, "{:?}", status.structured()?);
        // The picture is stored when all is known, and the same key finds the job without a question.
        let picture = job.artifacts[0].uri.clone();
        let again = interactive(json!({"image": picture, "idempotency_key": format!("k {newest}")}));
        let (first, model) = made(&client, "img2img", again.clone()).await?;
        ensure!(model == "sandbox-sketch.safetensors", "{newest}: {model}");
        ensure!(client.finish("img2img", again).await?.job()?.id == first.id);
        ensure!(asked.times.load(Ordering::SeqCst) == 2);
    }
    Ok(())
}

#[tokio::test]
async fn nothing_is_made_when_the_person_declines() -> Result<()> {
    let gateway = Setup::sandbox(0.0)?.start().await?;
    for newest in ERAS {
        for action in [ElicitAction::Decline, ElicitAction::Cancel] {
            let (client, asked) = person(&gateway, newest, action, json!({})).await?;
            let refused = client.refused("generate_image", interactive(json!({}))).await?;
            refused.expect("declined", &["name a model"])?;
            ensure!(asked.times.load(Ordering::SeqCst) == 1);
        }
    }
    let status = gateway.client().await?.call("get_queue_status", json!({})).await?;
    let yours = status.structured()?["yours"].clone();
    let made: u64 = yours.as_object().into_iter().flatten().filter_map(|(_, count)| count.as_u64()).sum();
    ensure!(made == 0, "{yours}");
    Ok(())
}

#[tokio::test]
async fn nobody_is_asked_what_is_clear() -> Result<()> {
    let gateway = Setup::sandbox(0.0)?.start().await?;
    for newest in ERAS {
        let any = json!({"model": "choose for me"});
        let (client, asked) = person(&gateway, newest, ElicitAction::Accept, any).await?;
        for (arguments, times) in
            [(json!({"interactive": false}), 0), (json!({"model": "sandbox-sd15"}), 0), (json!({}), 1)]
        {
            asked.times.store(0, Ordering::SeqCst);
            let (_, model) = made(&client, "generate_image", interactive(arguments.clone())).await?;
            ensure!(model == "sandbox-sd15.safetensors", "{newest}: {model}");
            let told = asked.times.load(Ordering::SeqCst);
            ensure!(told == times, "{newest}: {arguments} asks {told} times");
        }
        // Who can't be asked gets what is chosen.
        let silent = gateway.client_with(PeerOptions { newest, ..PeerOptions::default() }).await?;
        silent.finish("generate_image", interactive(json!({}))).await?;
    }
    Ok(())
}

/// With one model there is nothing to choose; an own workflow means its model.
#[tokio::test]
async fn an_own_workflow_is_not_asked_about() -> Result<()> {
    let graph = include_str!("../../workflows/txt2img.json");
    let mut own: Map<String, Value> = serde_json::from_str(graph)?;
    for node in own.values_mut() {
        if let Some(name) = node["inputs"].get_mut("ckpt_name") {
            *name = "sandbox-sketch.safetensors".into();
        }
    }
    let setup = Setup::sandbox(0.0)?.file("workflows/own.json", Value::Object(own).to_string())?;
    let gateway = setup.start().await?;
    let choice = json!({"model": "sandbox-sd15.safetensors"});
    let (client, asked) = person(&gateway, ProtocolVersion::LATEST, ElicitAction::Accept, choice).await?;
    let (_, model) = made(&client, "generate_image", interactive(json!({"workflow": "own"}))).await?;
    ensure!(model == "sandbox-sketch.safetensors", "{model}");
    ensure!(asked.times.load(Ordering::SeqCst) == 0);
    let (_, model) = made(&client, "generate_image", interactive(json!({"workflow": "txt2img"}))).await?;
    ensure!(model == "sandbox-sd15.safetensors", "{model}");
    ensure!(asked.times.load(Ordering::SeqCst) == 1);
    Ok(())
}
