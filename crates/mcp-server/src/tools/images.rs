//! `get_image`.

use std::sync::Arc;

use mcp_protocol::wire::{Content, ResourceContents};
use mcp_protocol::{CallContext, Tool, ToolDefinition, ToolError, ToolReply};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{principal, tells};
use crate::app::App;
use crate::artifacts::{self, MAX_INLINE_BYTES};
use crate::error::ServerError;
use crate::images;
use crate::inputs;
use crate::views::ArtifactView;

/// Gives a stored picture.
pub(super) struct GetImage(pub(super) Arc<App>);

#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct GetImageArgs {
    /// Id or URI
    artifact_id: String,
    /// preview (512 px) if absent
    size: Option<Size>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Size {
    Preview,
    Full,
}

/// The picture that is in the content.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ImageReply {
    #[schemars(with = "Map<String, Value>")]
    artifact: ArtifactView,
    /// Of the picture in the content, which may be smaller than the artifact.
    media_type: String,
    #[schemars(skip)]
    bytes: usize,
}

impl Tool for GetImage {
    type Args = GetImageArgs;
    type Output = ImageReply;

    fn definition(&self) -> ToolDefinition {
        tells("get_image", "A picture, as a preview or in full size; any other file that a job made, whole.")
    }

    async fn call(&self, cx: CallContext, args: Self::Args) -> Result<ToolReply<ImageReply>, ToolError> {
        let app = &self.0;
        let base_url = app.base_url();
        let id = inputs::artifact_id(&args.artifact_id, base_url.as_deref()).unwrap_or(&args.artifact_id);
        let artifact = artifacts::owned(app, &*principal(&cx)?, id).await?;
        if let Some(job) = &artifact.job_id {
            cx.set_subject(job);
        }
        let view = ArtifactView::new(artifact.clone(), base_url.as_deref());
        // Of what moves, and of anything but a picture, there is nothing smaller.
        let is_picture = images::extension(&artifact.media_type).is_some();
        let (media_type, bytes) = match args.size.unwrap_or(Size::Preview) {
            Size::Preview if is_picture => artifacts::preview(app, &artifact, "artifact_id").await?,
            Size::Full | Size::Preview => full(app, &view).await?,
        };
        let content = content(&view.uri, &media_type, bytes.clone());
        let reply = ImageReply { artifact: view, media_type, bytes: bytes.len() };
        Ok(ToolReply::with_content(reply, vec![content]))
    }
}

/// The bytes as the kind of content that they are.
fn content(uri: &str, media_type: &str, bytes: bytes::Bytes) -> Content {
    if media_type.starts_with("image/") {
        return Content::image(bytes, media_type);
    }
    if media_type.starts_with("audio/") {
        return Content::Audio { data: bytes, mime_type: media_type.to_owned() };
    }
    let contents = match std::str::from_utf8(&bytes) {
        Ok(text) if media_type.starts_with("text/") => ResourceContents::text(uri, media_type, text),
        _ => ResourceContents::blob(uri, media_type, &bytes),
    };
    let resource = serde_json::to_value(contents).ok().and_then(|contents| match contents {
        Value::Object(members) => Some(members),
        _ => None,
    });
    Content::Resource { resource: resource.unwrap_or_default() }
}

async fn full(app: &App, artifact: &ArtifactView) -> Result<(String, bytes::Bytes), ServerError> {
    if artifact.bytes > MAX_INLINE_BYTES {
        return Err(ServerError::InvalidArgument { field: "size".into(), problem: too_large(artifact) });
    }
    Ok((artifact.media_type.clone(), artifacts::bytes(app, &artifact.id, MAX_INLINE_BYTES).await?))
}

fn too_large(artifact: &ArtifactView) -> String {
    let size =
        format!("the file is {} bytes long, and an answer has room for {MAX_INLINE_BYTES}", artifact.bytes);
    match &artifact.url {
        Some(url) => format!("{size}; fetch it from {url}, or ask for size=preview"),
        None => format!("{size}; ask for size=preview"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_large_is_refused_with_a_way_to_get_it() {
        let mut artifact = ArtifactView {
            id: "1".into(),
            uri: "comfy://artifacts/1".into(),
            url: Some("http://127.0.0.1:9000/artifacts/1".into()),
            media_type: "image/png".into(),
            width: None,
            height: None,
            bytes: MAX_INLINE_BYTES + 1,
            file_name: "x.png".into(),
        };
        let text = too_large(&artifact);
        assert!(
            text.contains("http://127.0.0.1:9000/artifacts/1") && text.contains("size=preview"),
            "{text}"
        );
        artifact.url = None;
        let text = too_large(&artifact);
        assert!(!text.contains("http") && text.contains("size=preview"), "{text}");
        assert!(MAX_INLINE_BYTES.div_ceil(3) * 4 < (10 << 20) - (64 << 10), "no room in a line of 10 MiB");
    }
}
