//! Images that a call brings or names: checked, and kept as artifacts of the caller.

use auth::Principal;
use futures::stream;
use storage::{Artifact, NewArtifact};

use crate::app::App;
use crate::artifacts;
use crate::error::ServerError;
use crate::images::{self, Picture, PictureError};
use crate::plan::InputPicture;

/// The folder of ComfyUI's input folder that uploads go to.
pub(crate) const FOLDER: &str = "mcp-server";
/// The largest input image, in bytes.
const MAX_INPUT_BYTES: u64 = 50 << 20;

/// The image that `text` is or names: an artifact's id or URI, a data URI, or base64. `field` is where it stood.
pub async fn picture(
    app: &App,
    principal: &Principal,
    field: &str,
    text: &str,
) -> Result<InputPicture, ServerError> {
    if let Some(id) = artifact_id(text, app.base_url().as_deref()) {
        let artifact = artifacts::owned(app, principal, id).await?;
        return stored(app, field, artifact).await;
    }
    let picture = images::from_text(text.to_owned()).await.map_err(invalid(field))?;
    let artifact = keep(app, principal, &picture).await?;
    Ok(InputPicture {
        artifact: artifact.id,
        reference: reference(&artifact.sha256, picture.extension),
        width: picture.width,
        height: picture.height,
    })
}

/// Whether any part of the image is transparent.
pub async fn has_transparency(app: &App, field: &str, image: &InputPicture) -> Result<bool, ServerError> {
    let bytes = artifacts::bytes(app, &image.artifact, MAX_INPUT_BYTES).await?;
    images::has_transparency(bytes).await.map_err(invalid(field))
}

/// The id in an artifact's URI or in its URL at this server, or the id itself.
pub fn artifact_id<'a>(text: &'a str, base_url: Option<&str>) -> Option<&'a str> {
    let text = text.trim();
    let of_url = || text.strip_prefix(base_url?)?.strip_prefix("/artifacts/");
    let id = text.strip_prefix("comfy://artifacts/").or_else(of_url).unwrap_or(text);
    uuid::Uuid::try_parse(id).is_ok().then_some(id)
}

/// A picture whose size is known has been decoded before, and is not decoded again.
async fn stored(app: &App, field: &str, artifact: Artifact) -> Result<InputPicture, ServerError> {
    if artifact.bytes > MAX_INPUT_BYTES {
        return Err(ServerError::InvalidArgument {
            field: field.to_owned(),
            problem: format!(
                "the artifact is {} bytes long, and at most {MAX_INPUT_BYTES} are taken",
                artifact.bytes
            ),
        });
    }
    let known = (images::extension(&artifact.media_type), artifact.width, artifact.height);
    let (extension, width, height) = if let (Some(extension), Some(width), Some(height)) = known {
        (extension, width, height)
    } else {
        let bytes = artifacts::bytes(app, &artifact.id, MAX_INPUT_BYTES).await?;
        let picture = images::inspect(bytes).await.map_err(invalid(field))?;
        (picture.extension, picture.width, picture.height)
    };
    let reference = reference(&artifact.sha256, extension);
    Ok(InputPicture { artifact: artifact.id, reference, width, height })
}

fn invalid(field: &str) -> impl Fn(PictureError) -> ServerError {
    move |source| ServerError::InvalidImage { field: field.to_owned(), source }
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
    fn ids_are_found_in_every_spelling_and_in_no_other() {
        let id = "0192f0c4-7c1e-7b6e-9d3c-0a1b2c3d4e5f";
        let base = Some("http://127.0.0.1:9000");
        for text in [
            id.to_owned(),
            format!("comfy://artifacts/{id}"),
            format!("http://127.0.0.1:9000/artifacts/{id}"),
            format!(" {id} "),
        ] {
            assert_eq!(artifact_id(&text, base), Some(id), "{text}");
        }
        for text in [
            "iVBORw0KGgo",
            "comfy://artifacts/../x",
            "https://example.com/a.png",
            "",
            &format!("https://example.com/artifacts/{id}"),
            &format!("http://127.0.0.1:9000.example.com/artifacts/{id}"),
            &format!("http://127.0.0.1:9000/x/artifacts/{id}"),
        ] {
            assert_eq!(artifact_id(text, base), None, "{text}");
        }
        assert_eq!(artifact_id(&format!("http://127.0.0.1:9000/artifacts/{id}"), None), None);
    }
}
