//! The ComfyUI that the cases run against.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Map, Value, json};
use tokio::sync::OnceCell;

use crate::client::Client;
use crate::comfy;
use crate::gateway::{Gateway, Setup};

/// What a slow job should take on a real ComfyUI, in seconds.
const SLOW_SECONDS: f64 = 5.0;

/// A ComfyUI, and what was learned of it.
#[derive(Debug)]
pub struct Target {
    /// Its base URL.
    pub url: String,
    /// What it is.
    pub engine: Engine,
    /// What it says of its version.
    pub version: String,
    slow_steps: OnceCell<u64>,
}

/// What stands behind ComfyUI's API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// Our own stand-in.
    Sandbox,
    /// ComfyUI itself.
    Real,
}

impl Target {
    /// Asks a running ComfyUI what it is.
    pub async fn connect(url: &str) -> Result<Target> {
        let stats = comfy::get(url, "/system_stats").await.context("there is no ComfyUI to test against")?;
        let version = stats["system"]["comfyui_version"].as_str().unwrap_or("unknown").to_owned();
        let sandbox = stats.to_string().to_lowercase().contains("sandbox");
        let engine = if sandbox { Engine::Sandbox } else { Engine::Real };
        let url = url.trim_end_matches('/').to_owned();
        Ok(Target { url, engine, version, slow_steps: OnceCell::new() })
    }

    /// A gateway in front of it, not started yet.
    pub fn setup(&self) -> Result<Setup> {
        Setup::comfyui(&self.url)
    }

    /// A gateway in front of it, and a client.
    pub async fn gateway(&self) -> Result<(Gateway, Client)> {
        let gateway = self.setup()?.start().await?;
        let client = gateway.client().await?;
        Ok((gateway, client))
    }

    /// The ids of all prompts that it knows.
    pub async fn prompts(&self) -> Result<BTreeSet<String>> {
        comfy::prompts(&self.url).await
    }

    /// The ids of the prompts that are pending or running.
    pub async fn queued(&self) -> Result<BTreeSet<String>> {
        comfy::queued(&self.url).await
    }

    /// The arguments of a job that is under way for some seconds.
    pub async fn slow(&self) -> Result<Value> {
        let steps = match self.engine {
            Engine::Sandbox => 20,
            Engine::Real => *self.slow_steps.get_or_try_init(|| self.measure()).await?,
        };
        let mut arguments = small("a long walk");
        arguments["steps"] = steps.into();
        Ok(arguments)
    }

    /// How many steps take long enough on this machine, as it is now.
    async fn measure(&self) -> Result<u64> {
        let (_gateway, client) = self.gateway().await?;
        let mut seconds = [0.0; 2];
        for (at, steps) in [(0, 1), (0, 2), (1, 22)] {
            let mut arguments = small("a short walk");
            arguments["steps"] = steps.into();
            let job = client.finish("generate_image", arguments).await?.job()?;
            let (Some(started), Some(finished)) = (job.started_at, job.finished_at) else { continue };
            seconds[at] = finished.duration_since(started).as_secs_f64();
        }
        let step = ((seconds[1] - seconds[0]) / 20.0).max(0.001);
        Ok((SLOW_SECONDS / step).clamp(20.0, 1000.0) as u64)
    }
}

/// The arguments of a small picture of something, from a seed of its own.
pub(super) fn small(prompt: &str) -> Value {
    json!({"prompt": prompt, "width": 128, "height": 128, "steps": 3, "seed": fresh_seed()})
}

/// The same with changes.
pub(super) fn with(mut arguments: Value, changes: Value) -> Value {
    if let (Some(arguments), Value::Object(changes)) = (arguments.as_object_mut(), changes) {
        arguments.extend(changes);
    }
    arguments
}

/// A seed that no run before has used, so that ComfyUI has nothing in its cache; exact in a double.
pub(super) fn fresh_seed() -> u64 {
    let now = jiff::Timestamp::now().as_nanosecond();
    u64::try_from(now).unwrap_or_default() >> 11
}

/// The names of one kind of model, which must not be none.
pub(super) async fn installed(client: &Client, kind: &str) -> Result<Vec<String>> {
    let reply = client.call("list_models", json!({"kind": kind})).await?;
    let models: Map<String, Value> = serde_json::from_value(reply.structured()?["models"].clone())?;
    let names: Vec<String> = serde_json::from_value(models.get(kind).cloned().unwrap_or_default())
        .with_context(|| format!("no list of {kind}"))?;
    ensure!(!names.is_empty(), "this ComfyUI has no {kind}; the case needs one");
    Ok(names)
}

/// A checkpoint that can be loaded: a real ComfyUI has one among them that can't, for what happens then.
pub(super) async fn checkpoint(client: &Client) -> Result<String> {
    let names = installed(client, "checkpoints").await?;
    names.into_iter().find(|name| !name.contains("corrupt")).context("no checkpoint can be loaded")
}
