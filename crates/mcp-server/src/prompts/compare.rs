//! `compare_models`.

use std::sync::Arc;

use async_trait::async_trait;
use jsonrpsee::types::ErrorObjectOwned;
use mcp_protocol::wire::{Completion, CompletionContext, PromptDescription};
use mcp_protocol::{Arguments, CallContext, Prompt, PromptReply};

use super::{MODELS, installed, optional, required};
use crate::app::App;

/// The same picture by several models.
pub(super) struct CompareModels(pub(super) Arc<App>);

#[async_trait]
impl Prompt for CompareModels {
    fn description(&self) -> PromptDescription {
        PromptDescription {
            name: "compare_models".into(),
            title: Some("Compare models".into()),
            description: Some("Has several models make the same picture".into()),
            arguments: vec![
                required("description", "What the picture shows"),
                optional("models", "Names separated by commas; four of the installed if absent"),
            ],
            ..PromptDescription::default()
        }
    }

    async fn get(&self, _: CallContext, arguments: Arguments) -> Result<PromptReply, ErrorObjectOwned> {
        let which = match arguments.get("models").map(str::trim).filter(|models| !models.is_empty()) {
            Some(models) => format!("each of these models: {models}"),
            None => "each of up to four checkpoints that list_models has, as different from each other as they are".into(),
        };
        let text = format!(
            "Compare models: make the same picture with the tool generate_image and {which}. What it shows:\n\n{}\n\n\
             Write one prompt, choose one seed and one size, and use them in every call; only model differs. Start all \
             calls with wait_seconds 0, so that they are queued together, then go on with wait_for_job for each. At the \
             end show the pictures side by side with their models, and say in a sentence for each what it did well and \
             what not.",
            arguments.get("description").unwrap_or_default()
        );
        Ok(PromptReply::user(text))
    }

    /// Completes the last name of the list.
    async fn complete(
        &self,
        cx: CallContext,
        argument: &str,
        typed: &str,
        _: &CompletionContext,
    ) -> Result<Completion, ErrorObjectOwned> {
        if argument != "models" {
            return Ok(Completion::default());
        }
        let start = typed.rfind(',').map_or(0, |comma| comma + 1);
        let (before, last) = typed.split_at(start);
        let mut completion = installed(&self.0, &cx, &MODELS, last.trim_start()).await?;
        let listed: Vec<_> = before.split(',').map(str::trim).collect();
        completion.total = None;
        completion.values.retain(|name| !listed.contains(&name.as_str()));
        if !before.is_empty() {
            for name in &mut completion.values {
                *name = format!("{before} {name}");
            }
        }
        Ok(completion)
    }
}
