//! What can be asked of the gateway: the arguments of its image tools.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::image_input::ImageInput;

/// Arguments of `generate_image`. All but the prompt are optional: what is left out is chosen by the server
/// from what its ComfyUI has installed.
///
/// ```
/// let request = mcp_client::GenerateImage { seed: Some(7), ..mcp_client::GenerateImage::new("a red fox") };
/// assert_eq!(request.prompt, "a red fox");
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct GenerateImage {
    /// What to paint.
    pub prompt: String,
    /// What not to paint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub negative_prompt: Option<String>,
    /// A model file as `list_models` names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// In pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    /// In pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
    /// How many images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch_size: Option<u32>,
    /// Same seed, same image. Chosen at random when left out; the job tells which.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Sampling steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<u32>,
    /// How closely the prompt is followed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cfg: Option<f64>,
    /// A sampler of ComfyUI, such as `euler`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sampler: Option<String>,
    /// A scheduler of ComfyUI, such as `karras`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheduler: Option<String>,
    /// LoRAs, applied in this order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub loras: Vec<Lora>,
    /// An image that guides the composition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub controlnet: Option<ControlNet>,
    /// A workflow as `list_workflows` names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workflow: Option<String>,
    /// -100 to 100, higher first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<i64>,
    /// How long the call itself waits for the job. Left out, this library sends 0: the call returns as soon
    /// as the job is stored, and [`GatewayClient::subscribe_to_job`](crate::GatewayClient::subscribe_to_job)
    /// follows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wait_seconds: Option<u32>,
    /// A second call with the same key answers with the job of the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// Whether the image is kept without the workflow that ComfyUI writes into PNG files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strip_metadata: Option<bool>,
}

impl GenerateImage {
    /// An image of `prompt`, everything else left to the server.
    pub fn new(prompt: impl Into<String>) -> GenerateImage {
        GenerateImage { prompt: prompt.into(), ..GenerateImage::default() }
    }
}

/// Arguments of `img2img`: an image is painted over.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Img2Img {
    /// The image to start from.
    pub image: ImageInput,
    /// 0 keeps the image, 1 forgets it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strength: Option<f64>,
    /// What to paint, and how.
    #[serde(flatten)]
    pub generate: GenerateImage,
}

/// Arguments of `inpaint`: the part of an image under a mask is painted anew.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Inpaint {
    /// The image to start from.
    pub image: ImageInput,
    /// White is painted anew, black is kept. Left out, it is what is transparent in the image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mask: Option<ImageInput>,
    /// 0 keeps what is under the mask, 1 forgets it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strength: Option<f64>,
    /// What to paint, and how.
    #[serde(flatten)]
    pub generate: GenerateImage,
}

/// A LoRA and how strongly it is applied.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Lora {
    /// The file as `list_models` names it.
    pub name: String,
    /// On the model; 1 is its full strength.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strength: Option<f64>,
    /// On the text encoder; the same as `strength` when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strength_clip: Option<f64>,
}

/// An image that guides the composition.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ControlNet {
    /// The guide, such as edges, depth or a pose.
    pub image: ImageInput,
    /// A ControlNet model as `list_models` names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// 1 is its full strength.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strength: Option<f64>,
    /// Where in the sampling it sets in, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<f64>,
    /// Where in the sampling it ends, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<f64>,
}

/// Arguments of `run_workflow`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunWorkflow {
    /// What to run.
    #[serde(flatten)]
    pub source: WorkflowSource,
    /// Values for its parameters, by the names that `list_workflows` tells.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub parameters: Map<String, Value>,
    /// -100 to 100, higher first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<i64>,
    /// As in [`GenerateImage::wait_seconds`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wait_seconds: Option<u32>,
    /// As in [`GenerateImage::idempotency_key`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// As in [`GenerateImage::strip_metadata`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strip_metadata: Option<bool>,
}

impl RunWorkflow {
    /// Runs `source` with its own values.
    pub fn new(source: WorkflowSource) -> RunWorkflow {
        RunWorkflow {
            source,
            parameters: Map::new(),
            priority: None,
            wait_seconds: None,
            idempotency_key: None,
            strip_metadata: None,
        }
    }
}

/// A workflow by its name on the server, or as a graph of one's own.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub enum WorkflowSource {
    /// A name of `list_workflows`.
    #[serde(rename = "workflow")]
    Stored(String),
    /// A graph in ComfyUI's API format.
    #[serde(rename = "graph")]
    Graph(Value),
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_was_set_is_sent() {
        assert_eq!(serde_json::to_value(GenerateImage::new("x")).unwrap(), json!({"prompt": "x"}));
        let request = Inpaint {
            image: ImageInput::artifact("a1"),
            mask: Some(ImageInput::artifact("a2")),
            strength: Some(0.5),
            generate: GenerateImage { seed: Some(u64::MAX), ..GenerateImage::new("x") },
        };
        assert_eq!(
            serde_json::to_value(request).unwrap(),
            json!({"image": "a1", "mask": "a2", "strength": 0.5, "prompt": "x", "seed": u64::MAX})
        );
        let request = RunWorkflow::new(WorkflowSource::Stored("flux".to_owned()));
        assert_eq!(serde_json::to_value(request).unwrap(), json!({"workflow": "flux"}));
        let request = RunWorkflow::new(WorkflowSource::Graph(json!({"1": {}})));
        assert_eq!(serde_json::to_value(request).unwrap(), json!({"graph": {"1": {}}}));
    }
}
