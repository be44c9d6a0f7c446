//! Stored pictures and other files, for their owner alone.

use auth::Principal;
use bytes::Bytes;
use storage::Artifact;

use crate::app::App;
use crate::error::ServerError;
use crate::images::{self, PREVIEW_BYTES, PREVIEW_SIDE};

/// A file goes into a message up to this many bytes: as base64 it has a third more, and clients on stdio read lines of
/// 10 MiB.
pub const MAX_INLINE_BYTES: u64 = 7 << 20;

/// A small picture is made of a file of at most this many bytes.
const MAX_PREVIEWED: u64 = 64 << 20;

/// The artifact, if it is the caller's.
pub async fn owned(app: &App, principal: &Principal, id: &str) -> Result<Artifact, ServerError> {
    let artifact = app.artifacts.get(id).await.map_err(ServerError::internal)?.ok_or_else(|| missing(id))?;
    if artifact.owner == principal.client_id { Ok(artifact) } else { Err(missing(id)) }
}

/// All its bytes, at most `limit`.
pub async fn bytes(app: &App, id: &str, limit: u64) -> Result<Bytes, ServerError> {
    let found = app.artifacts.read_all(id, limit).await.map_err(ServerError::internal)?;
    found.map(|(_, bytes)| bytes).ok_or_else(|| missing(id))
}

/// The small picture of it, with its media type; made now where none is stored. `field` is the argument that named it.
pub async fn preview(app: &App, artifact: &Artifact, field: &str) -> Result<(String, Bytes), ServerError> {
    if let Some(stored) = app.artifacts.preview(&artifact.id).await.map_err(ServerError::internal)? {
        return Ok(stored);
    }
    if artifact.bytes > MAX_PREVIEWED {
        let problem = format!("the file is {} bytes long, too much to make a preview of", artifact.bytes);
        return Err(ServerError::InvalidArgument { field: field.to_owned(), problem });
    }
    let bytes = bytes(app, &artifact.id, MAX_PREVIEWED).await?;
    let made = images::resize(bytes, PREVIEW_SIDE, PREVIEW_BYTES).await;
    let preview = made.map_err(|source| ServerError::InvalidImage { field: field.to_owned(), source })?;
    Ok((preview.media_type.to_owned(), preview.bytes))
}

fn missing(id: &str) -> ServerError {
    ServerError::NotFound { kind: "artifact", id: id.to_owned() }
}
