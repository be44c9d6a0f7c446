//! `get_image`.

use std::sync::Arc;

use mcp_protocol::wire::Content;
use mcp_protocol::{CallContext, Tool, ToolDefinition, ToolError, ToolReply};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{principal, reads};
use crate::app::App;
use crate::error::ServerError;
use crate::images::{self, PREVIEW_BYTES, PREVIEW_SIDE};
use crate::inputs;
use crate::views::ArtifactView;

/// Gives a stored picture.
pub(super) struct GetImage(pub(super) Arc<App>);

/// A file in full size goes into the answer up to this many bytes; above it the URL has to do.
const MAX_INLINE_BYTES: u64 = 20 << 20;

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
        reads("get_image", "A picture, as a preview or in full size.")
    }

    async fn call(&self, cx: CallContext, args: Self::Args) -> Result<ToolReply<ImageReply>, ToolError> {
        let app = &self.0;
        let id = inputs::artifact_id(&args.artifact_id).unwrap_or(&args.artifact_id);
        let artifact = inputs::owned(app, &*principal(&cx)?, id).await?;
        let view = ArtifactView::new(artifact, app.base_url().as_deref());
        let (media_type, bytes) = match args.size.unwrap_or(Size::Preview) {
            Size::Full => full(app, &view).await?,
            Size::Preview => preview(app, &view).await?,
        };
        let reply = ImageReply { artifact: view, media_type: media_type.clone(), bytes: bytes.len() };
        Ok(ToolReply::with_content(reply, vec![Content::image(bytes, media_type)]))
    }
}

async fn full(app: &App, artifact: &ArtifactView) -> Result<(String, bytes::Bytes), ServerError> {
    if artifact.bytes > MAX_INLINE_BYTES {
        return Err(ServerError::InvalidArgument {
            field: "size".into(),
            problem: format!(
                "the file is {} bytes long and too large for an answer; fetch it from {}",
                artifact.bytes,
                artifact.url.as_deref().unwrap_or("the server over HTTP, at /artifacts/ID")
            ),
        });
    }
    Ok((artifact.media_type.clone(), bytes(app, artifact).await?))
}

async fn preview(app: &App, artifact: &ArtifactView) -> Result<(String, bytes::Bytes), ServerError> {
    if let Some(stored) = app.artifacts.preview(&artifact.id).await.map_err(ServerError::internal)? {
        return Ok(stored);
    }
    let bytes = bytes(app, artifact).await?;
    let made = tokio::task::spawn_blocking(move || images::resize(&bytes, PREVIEW_SIDE, PREVIEW_BYTES)).await;
    let made = made.map_err(ServerError::internal)?;
    let preview = made.map_err(|source| ServerError::InvalidImage { field: "artifact_id", source })?;
    Ok((preview.media_type.to_owned(), preview.bytes))
}

async fn bytes(app: &App, artifact: &ArtifactView) -> Result<bytes::Bytes, ServerError> {
    let found = app.artifacts.read_all(&artifact.id, u64::MAX).await.map_err(ServerError::internal)?;
    found
        .map(|(_, bytes)| bytes)
        .ok_or_else(|| ServerError::NotFound { kind: "artifact", id: artifact.id.clone() })
}
