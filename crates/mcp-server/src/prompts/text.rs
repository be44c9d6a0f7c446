//! `text_to_image`.

use std::fmt::Write as _;
use std::sync::Arc;

use async_trait::async_trait;
use jsonrpsee::types::ErrorObjectOwned;
use mcp_protocol::wire::{Completion, CompletionContext, PromptDescription};
use mcp_protocol::{Arguments, CallContext, Prompt, PromptReply};

use super::{AFTERWARDS, MODELS, installed, optional, required};
use crate::app::App;

/// A picture from a description.
pub(super) struct TextToImage(pub(super) Arc<App>);

#[async_trait]
impl Prompt for TextToImage {
    fn description(&self) -> PromptDescription {
        PromptDescription {
            name: "text_to_image".into(),
            title: Some("Make a picture".into()),
            description: Some("Makes a picture from a description".into()),
            arguments: vec![
                required("description", "What the picture shows"),
                optional("model", "Which model makes it"),
                optional("lora", "A LoRA to apply"),
                optional("sampler", "How it samples"),
                optional("scheduler", "How it spreads the noise over the steps"),
            ],
            ..PromptDescription::default()
        }
    }

    async fn get(&self, _: CallContext, arguments: Arguments) -> Result<PromptReply, ErrorObjectOwned> {
        let mut text = format!(
            "Make a picture with the tool generate_image. What it shows:\n\n{}\n\n\
             Write its prompt yourself: the subject first, then surroundings, light, and style or medium, in the way \
             that the model was trained on (tags or sentences). Give a negative_prompt only against what is likely to \
             spoil this picture.",
            arguments.get("description").unwrap_or_default()
        );
        for name in ["model", "sampler", "scheduler"] {
            if let Some(value) = arguments.get(name) {
                let _ = write!(text, "\n{name}: {value:?}");
            }
        }
        if let Some(lora) = arguments.get("lora") {
            let _ = write!(text, "\nloras: [{{\"name\": {lora:?}}}]");
        }
        let _ = write!(text, "\nLeave out every argument that the picture doesn't need. {AFTERWARDS}");
        Ok(PromptReply::user(text))
    }

    async fn complete(
        &self,
        cx: CallContext,
        argument: &str,
        typed: &str,
        _: &CompletionContext,
    ) -> Result<Completion, ErrorObjectOwned> {
        let kinds: &[&str] = match argument {
            "model" => &MODELS,
            "lora" => &["loras"],
            "sampler" => &["samplers"],
            "scheduler" => &["schedulers"],
            _ => return Ok(Completion::default()),
        };
        Ok(installed(&self.0, &cx, kinds, typed).await?)
    }
}
