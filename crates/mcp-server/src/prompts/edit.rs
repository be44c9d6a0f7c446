//! `edit_image`.

use std::sync::Arc;

use async_trait::async_trait;
use jsonrpsee::types::ErrorObjectOwned;
use mcp_protocol::wire::{Completion, CompletionContext, Content, PromptDescription, PromptMessage, Role};
use mcp_protocol::{Arguments, CallContext, Prompt, PromptReply};

use super::{AFTERWARDS, MODELS, installed, optional, required};
use crate::app::App;
use crate::artifacts;
use crate::error::ServerError;
use crate::guard::{self, principal};
use crate::inputs;
use crate::resources::{Address, artifact_ids};

/// A change of a picture that is there.
pub(super) struct EditImage(pub(super) Arc<App>);

#[async_trait]
impl Prompt for EditImage {
    fn description(&self) -> PromptDescription {
        PromptDescription {
            name: "edit_image".into(),
            title: Some("Change a picture".into()),
            description: Some("Changes one of your pictures".into()),
            arguments: vec![
                required("image", "The picture's uri (comfy://artifacts/…) or id"),
                required("change", "What shall be different"),
                optional("model", "Which model changes it"),
            ],
            ..PromptDescription::default()
        }
    }

    /// Shows the picture to the model, so that it can see what to keep.
    async fn get(&self, cx: CallContext, arguments: Arguments) -> Result<PromptReply, ErrorObjectOwned> {
        let app = &self.0;
        let principal = principal(&cx)?;
        let given = arguments.get("image").unwrap_or_default();
        let id = inputs::artifact_id(given, app.base_url().as_deref()).ok_or_else(|| {
            let problem =
                "expected the uri or the id of one of your pictures, such as comfy://artifacts/…".into();
            ServerError::InvalidArgument { field: "image".into(), problem }
        })?;
        let artifact = artifacts::owned(app, &principal, id).await?;
        let mut messages = Vec::new();
        if guard::may(&principal, "get_image")
            && let Ok((media_type, bytes)) = artifacts::preview(app, &artifact, "image").await
        {
            messages.push(PromptMessage { role: Role::User, content: Content::image(bytes, media_type) });
        }
        let uri = Address::Artifact(artifact.id.clone()).to_string();
        let model = arguments.get("model").map(|model| format!("\nmodel: {model:?}")).unwrap_or_default();
        let text = format!(
            "Change the picture {uri} with the tool img2img (image: {uri:?}). What shall be different:\n\n{}\n\n\
             The prompt describes the whole picture as it shall be, what stays included. Begin with a strength of 0.5 \
             for a change of light or style, 0.75 for new things; a higher one keeps less. If a part shall stay as it \
             is to the last pixel, that takes inpaint with a mask, white where to paint.{model}\n{AFTERWARDS}",
            arguments.get("change").unwrap_or_default()
        );
        messages.push(PromptMessage { role: Role::User, content: text.into() });
        Ok(PromptReply { description: None, messages })
    }

    async fn complete(
        &self,
        cx: CallContext,
        argument: &str,
        typed: &str,
        _: &CompletionContext,
    ) -> Result<Completion, ErrorObjectOwned> {
        match argument {
            "image" => {
                let ids = artifact_ids(&self.0, &cx).await?;
                let uris: Vec<_> = ids.into_iter().map(|id| Address::Artifact(id).to_string()).collect();
                Ok(Completion::of(uris.iter().map(String::as_str), typed))
            }
            "model" => Ok(installed(&self.0, &cx, &MODELS, typed).await?),
            _ => Ok(Completion::default()),
        }
    }
}
