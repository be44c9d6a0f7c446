//! Arguments that several tools share.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use workflow_analyzer::edit::Lora;

use crate::error::ServerError;
use crate::jobs::Delivery;

// Three tools carry these fields into every agent's context: what they mean stands once, in the description of
// `generate_image`, and not in doc comments here, which would become part of each schema.

/// How a picture is sampled.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub(super) struct Sampling {
    pub(super) negative_prompt: Option<String>,
    pub(super) model: Option<String>,
    #[schemars(range(min = 0))]
    pub(super) seed: Option<u64>,
    #[schemars(range(min = 1, max = 1000))]
    pub(super) steps: Option<u64>,
    #[schemars(range(min = 0, max = 100))]
    pub(super) cfg: Option<f64>,
    pub(super) sampler: Option<String>,
    pub(super) scheduler: Option<String>,
    pub(super) loras: Option<Vec<LoraArgs>>,
    pub(super) workflow: Option<String>,
    // How the call is made and not what it asks for: under one idempotency key it may differ.
    #[serde(skip_serializing_if = "is_no_part")]
    pub(super) interactive: Option<bool>,
}

#[expect(clippy::ref_option, clippy::trivially_copy_pass_by_ref, reason = "serde passes it like that")]
fn is_no_part(_: &Option<bool>) -> bool {
    true
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LoraArgs {
    pub(super) name: String,
    pub(super) strength: Option<f64>,
    pub(super) strength_clip: Option<f64>,
}

/// How the job is queued, and how long the call waits.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub(super) struct Queueing {
    #[schemars(range(min = -100, max = 100))]
    pub(super) priority: Option<i64>,
    #[schemars(range(min = 0, max = 3600))]
    pub(super) wait_seconds: Option<f64>,
    pub(super) idempotency_key: Option<String>,
    pub(super) strip_metadata: Option<bool>,
}

/// How a job is to be delivered. `what` is the rest of the arguments: under one key they have to stay the same.
pub(super) async fn delivery(
    tool: &str,
    queueing: Queueing,
    what: &impl Serialize,
) -> Result<Delivery, ServerError> {
    let fingerprint = match &queueing.idempotency_key {
        Some(_) => {
            let what = serde_json::to_value(what).map_err(ServerError::internal)?;
            let tool = tool.to_owned();
            let hashing = tokio::task::spawn_blocking(move || fingerprint(&tool, &what));
            Some(hashing.await.map_err(ServerError::internal)?)
        }
        None => None,
    };
    Ok(Delivery {
        priority: queueing.priority,
        wait: seconds(queueing.wait_seconds),
        idempotency_key: queueing.idempotency_key,
        fingerprint,
        strip_metadata: queueing.strip_metadata.unwrap_or(false),
    })
}

/// The same for the same arguments, in whatever order their members are.
fn fingerprint(tool: &str, what: &Value) -> String {
    let mut hash = Sha256::new();
    hash.update(tool);
    add(&mut hash, what);
    format!("{:x}", hash.finalize())
}

fn add(hash: &mut Sha256, value: &Value) {
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by_key(|(name, _)| *name);
            hash.update(b"{");
            for (name, value) in members {
                hash.update(Value::from(name.as_str()).to_string());
                hash.update(b":");
                add(hash, value);
                hash.update(b",");
            }
            hash.update(b"}");
        }
        Value::Array(items) => {
            hash.update(b"[");
            for item in items {
                add(hash, item);
                hash.update(b",");
            }
            hash.update(b"]");
        }
        Value::String(text) => {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text);
        }
        plain => hash.update(plain.to_string()),
    }
}

/// Seconds as a duration; the schema has checked the bounds.
pub(super) fn seconds(seconds: Option<f64>) -> Option<Duration> {
    seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
}

impl Sampling {
    /// What of it is a parameter of the graph, under the analyser's names.
    pub(super) fn parameters(&self, prompt: &str) -> Map<String, Value> {
        let mut values = Map::new();
        values.insert("prompt".into(), prompt.into());
        let optional = [
            ("negative_prompt", self.negative_prompt.clone().map(Value::from)),
            ("seed", self.seed.map(Value::from)),
            ("steps", self.steps.map(Value::from)),
            ("cfg", self.cfg.map(Value::from)),
            ("sampler", self.sampler.clone().map(Value::from)),
            ("scheduler", self.scheduler.clone().map(Value::from)),
        ];
        values.extend(optional.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
        values
    }

    /// The LoRAs; the text encoder's strength is the model's unless it is given.
    pub(super) fn loras(&self) -> Vec<Lora> {
        let loras = self.loras.iter().flatten();
        loras
            .map(|lora| {
                let strength = lora.strength.unwrap_or(1.0);
                Lora {
                    name: lora.name.clone(),
                    strength_model: strength,
                    strength_clip: lora.strength_clip.unwrap_or(strength),
                }
            })
            .collect()
    }
}
