//! An artifact as a row.

use sea_orm::ActiveValue::Set;

use crate::artifacts::{Artifact, PreviewInfo};
use crate::entity::artifact::{ActiveModel, Model};
use crate::error::StorageError;
use crate::time::{from_millis, to_millis};

pub(super) fn from_artifact(artifact: &Artifact, source: Option<String>) -> ActiveModel {
    ActiveModel {
        id: Set(artifact.id.clone()),
        job_id: Set(artifact.job_id.clone()),
        source: Set(source),
        owner: Set(artifact.owner.clone()),
        media_type: Set(artifact.media_type.clone()),
        file_name: Set(artifact.file_name.clone()),
        bytes: Set(i64::try_from(artifact.bytes).unwrap_or(i64::MAX)),
        sha256: Set(artifact.sha256.clone()),
        width: Set(artifact.width.map(i64::from)),
        height: Set(artifact.height.map(i64::from)),
        preview_media_type: Set(artifact.preview.as_ref().map(|preview| preview.media_type.clone())),
        preview_bytes: Set(artifact.preview.as_ref().map(|preview| preview.bytes as i64)),
        created_at: Set(to_millis(artifact.created_at)),
    }
}

pub(super) fn to_artifact(row: Model) -> Result<Artifact, StorageError> {
    let id = row.id.as_str();
    let pixels = |count: i64| u32::try_from(count).map_err(|error| broken(id, error));
    let preview = row.preview_media_type.zip(row.preview_bytes);
    Ok(Artifact {
        bytes: u64::try_from(row.bytes).map_err(|error| broken(id, error))?,
        width: row.width.map(pixels).transpose()?,
        height: row.height.map(pixels).transpose()?,
        created_at: from_millis(row.created_at).map_err(|error| broken(id, error))?,
        preview: preview.map(|(media_type, bytes)| PreviewInfo { media_type, bytes: bytes.unsigned_abs() }),
        job_id: row.job_id,
        owner: row.owner,
        media_type: row.media_type,
        file_name: row.file_name,
        sha256: row.sha256,
        id: row.id,
    })
}

fn broken(id: &str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StorageError {
    StorageError::Row { table: "artifacts", id: id.to_owned(), source: source.into() }
}
