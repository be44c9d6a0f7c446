//! Images that a call brings or names: checked, and kept as artifacts of the caller.

use auth::Principal;
use bytes::Bytes;
use futures::stream;
use storage::{Artifact, NewArtifact};

use crate::app::App;
use crate::error::ServerError;
use crate::images::{self, Picture, PictureError};
use crate::plan::InputPicture;

/// The folder of ComfyUI's input folder that uploads go to.
const FOLDER: &str = "mcp-server";
/// The largest input image, in bytes.
const MAX_INPUT_BYTES: u64 = 50 << 20;

/// The image that `text` is or names: an artifact's id or URI, a data URI, or base64.
pub async fn picture(
    app: &App,
    principal: &Principal,
    field: &'static str,
    text: &str,
) -> Result<InputPicture, ServerError> {
    if let Some(id) = artifact_id(text) {
        let artifact = owned(app, principal, id).await?;
        return stored(app, field, artifact).await;
    }
    let invalid = |source| ServerError::InvalidImage { field, source };
    let bytes = images::decode_text(text).map_err(invalid)?;
    let picture = inspect(bytes).await?.map_err(invalid)?;
    let artifact = keep(app, principal, &picture).await?;
    Ok(InputPicture {
        artifact: artifact.id,
        reference: reference(&artifact.sha256, picture.extension),
        width: picture.width,
        height: picture.height,
    })
}

/// The artifact, if it is the caller's.
pub async fn owned(app: &App, principal: &Principal, id: &str) -> Result<Artifact, ServerError> {
    let missing = || ServerError::NotFound { kind: "artifact", id: id.to_owned() };
    let artifact = app.artifacts.get(id).await.map_err(ServerError::internal)?.ok_or_else(missing)?;
    if artifact.owner == principal.client_id { Ok(artifact) } else { Err(missing()) }
}

/// The id in an artifact's URI or URL path, or the id itself.
pub fn artifact_id(text: &str) -> Option<&str> {
    let text = text.trim();
    let id = text
        .strip_prefix("comfy://artifacts/")
        .or_else(|| text.strip_prefix("http").and_then(|_| text.split_once("/artifacts/").map(|(_, id)| id)))
        .unwrap_or(text);
    uuid::Uuid::try_parse(id).is_ok().then_some(id)
}

async fn stored(app: &App, field: &'static str, artifact: Artifact) -> Result<InputPicture, ServerError> {
    if artifact.bytes > MAX_INPUT_BYTES {
        return Err(ServerError::InvalidArgument {
            field: field.into(),
            problem: format!(
                "the artifact is {} bytes long, and at most {MAX_INPUT_BYTES} are taken",
                artifact.bytes
            ),
        });
    }
    let (_, bytes) = app
        .artifacts
        .read_all(&artifact.id, MAX_INPUT_BYTES)
        .await
        .map_err(ServerError::internal)?
        .ok_or_else(|| ServerError::NotFound { kind: "artifact", id: artifact.id.clone() })?;
    let picture = inspect(bytes).await?.map_err(|source| ServerError::InvalidImage { field, source })?;
    Ok(InputPicture {
        reference: reference(&artifact.sha256, picture.extension),
        artifact: artifact.id,
        width: picture.width,
        height: picture.height,
    })
}

async fn inspect(bytes: Bytes) -> Result<Result<Picture, PictureError>, ServerError> {
    tokio::task::spawn_blocking(move || images::inspect(bytes)).await.map_err(ServerError::internal)
}

async fn keep(app: &App, principal: &Principal, picture: &Picture) -> Result<Artifact, ServerError> {
    let new = NewArtifact {
        job_id: None,
        owner: principal.client_id.clone(),
        media_type: picture.media_type.to_owned(),
        file_name: format!("input.{}", picture.extension),
        source: None,
    };
    let bytes = stream::iter([Ok::<_, std::io::Error>(picture.bytes.clone())]);
    let artifact =
        app.artifacts.create(new, bytes, jiff::Timestamp::now()).await.map_err(ServerError::internal)?;
    app.artifacts
        .set_image_info(&artifact.id, picture.width, picture.height, None)
        .await
        .map_err(ServerError::internal)?;
    Ok(artifact)
}

/// A name that only this content has, so that uploading it twice does no harm.
fn reference(sha256: &str, extension: &str) -> String {
    let short = sha256.get(..32).unwrap_or(sha256);
    format!("{FOLDER}/{short}.{extension}")
}

#[cfg(test)]
mod tests {
    use super::artifact_id;

    #[test]
    fn ids_are_found_in_every_spelling() {
        let id = "0192f0c4-7c1e-7b6e-9d3c-0a1b2c3d4e5f";
        for text in [
            id.to_owned(),
            format!("comfy://artifacts/{id}"),
            format!("http://127.0.0.1:9000/artifacts/{id}"),
            format!(" {id} "),
        ] {
            assert_eq!(artifact_id(&text), Some(id), "{text}");
        }
        for text in ["iVBORw0KGgo", "comfy://artifacts/../x", "https://example.com/a.png", ""] {
            assert_eq!(artifact_id(text), None, "{text}");
        }
    }
}
