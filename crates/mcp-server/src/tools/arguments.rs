//! Arguments that several tools share.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use workflow_analyzer::edit::Lora;

use crate::jobs::Delivery;

// Three tools carry these fields into every agent's context: what they mean stands once, in the description of
// `generate_image`, and not in doc comments here, which would become part of each schema.

/// How a picture is sampled.
#[derive(Debug, Default, Deserialize, JsonSchema)]
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
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LoraArgs {
    pub(super) name: String,
    pub(super) strength: Option<f64>,
    pub(super) strength_clip: Option<f64>,
}

/// How the job is queued, and how long the call waits.
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub(super) struct Queueing {
    #[schemars(range(min = -100, max = 100))]
    pub(super) priority: Option<i64>,
    #[schemars(range(min = 0, max = 3600))]
    pub(super) wait_seconds: Option<f64>,
    pub(super) idempotency_key: Option<String>,
}

impl From<Queueing> for Delivery {
    fn from(args: Queueing) -> Self {
        Self {
            priority: args.priority,
            wait: seconds(args.wait_seconds),
            idempotency_key: args.idempotency_key,
        }
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
