//! Images and other files: a row for what is known of each, and its bytes in an object store.

mod bytes;
mod row;

use std::error::Error;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::bytes::Bytes;
use futures::Stream;
use futures::stream::BoxStream;
use jiff::Timestamp;
use sea_orm::{
    ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, TryInsertResult,
};
use uuid::Uuid;

use self::bytes::ByteStore;
use crate::database::Database;
use crate::entity::artifact::{ActiveModel, Column, Entity, Model};
use crate::error::StorageError;
use crate::time::{as_stored, to_millis};

/// Largest preview, in bytes.
const MAX_PREVIEW_BYTES: usize = 1024 * 1024;

/// Most rows that are read at once.
const MAX_ROWS: u64 = 1000;

/// What is known of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    /// UUIDv7: the order of ids is the order of creation.
    pub id: String,
    /// The job that made it; `None` for an upload.
    pub job_id: Option<String>,
    /// The client that it belongs to.
    pub owner: String,
    /// E.g. `image/png`.
    pub media_type: String,
    /// A name for people; not a path.
    pub file_name: String,
    /// Length.
    pub bytes: u64,
    /// Of the bytes, in lower-case hex.
    pub sha256: String,
    /// In pixels, once it is known.
    pub width: Option<u32>,
    /// In pixels, once it is known.
    pub height: Option<u32>,
    /// When it was stored.
    pub created_at: Timestamp,
    /// The small picture that is kept beside it, if there is one.
    pub preview: Option<PreviewInfo>,
}

/// What is known of a preview.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreviewInfo {
    /// E.g. `image/webp`.
    pub media_type: String,
    /// Length.
    pub bytes: u64,
}

/// A file to be stored.
#[derive(Clone, Debug)]
pub struct NewArtifact {
    /// The job that made it.
    pub job_id: Option<String>,
    /// The client that it belongs to.
    pub owner: String,
    /// E.g. `image/png`.
    pub media_type: String,
    /// A name for people.
    pub file_name: String,
    /// Where in the job it comes from: a second one from there is the first one.
    pub source: Option<String>,
}

/// The bytes of a file, or of a part of it.
pub struct Content {
    /// What is known of the file.
    pub artifact: Artifact,
    /// Which bytes come.
    pub range: Range<u64>,
    /// The bytes, in pieces of at most 256 KiB.
    pub stream: BoxStream<'static, Result<Bytes, ArtifactError>>,
}

/// Why a file can't be stored or read.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// It is larger than allowed.
    #[error("the file is larger than {limit} bytes")]
    TooLarge {
        /// The most that is allowed.
        limit: u64,
    },
    /// The bytes stopped coming.
    #[error("the bytes of the file could not be received")]
    Source(#[source] Box<dyn Error + Send + Sync>),
    /// No byte of the file is in the range.
    #[error("the file has only {bytes} bytes")]
    Range {
        /// Its length.
        bytes: u64,
    },
    /// There is a row, but no bytes.
    #[error("the bytes of artifact {id} are gone from the artifacts folder")]
    Lost {
        /// The artifact.
        id: String,
    },
    /// No space is left.
    #[error("the disk of the artifacts folder {} is full; free some space", folder.display())]
    DiskFull {
        /// The folder.
        folder: PathBuf,
    },
    /// The folder failed.
    #[error("the artifacts folder {} can't be read or written; check its permissions", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// Why.
        #[source]
        source: object_store::Error,
    },
    /// The database failed.
    #[error("the database of artifacts failed")]
    Database(#[source] StorageError),
}

/// Keeps files. Cheap to clone.
#[derive(Clone)]
pub struct ArtifactStore {
    db: Arc<Database>,
    bytes: ByteStore,
    max_bytes: u64,
}

impl ArtifactStore {
    pub(crate) fn new(
        db: Arc<Database>,
        folder: &Path,
        max_bytes: u64,
    ) -> Result<ArtifactStore, StorageError> {
        let bytes = ByteStore::in_folder(folder).map_err(|error| StorageError::Folder {
            path: folder.to_owned(),
            source: std::io::Error::other(error),
        })?;
        Ok(ArtifactStore { db, bytes, max_bytes })
    }

    /// Stores what the stream brings; on any failure nothing is left. With a job and a source that are stored
    /// already, the stream isn't read and the first artifact is given back.
    pub async fn create<S, E>(
        &self,
        new: NewArtifact,
        bytes: S,
        now: Timestamp,
    ) -> Result<Artifact, ArtifactError>
    where
        S: Stream<Item = Result<Bytes, E>> + Send,
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        if let Some(existing) = self.find_source(&new).await? {
            return Ok(existing);
        }
        let id = Uuid::now_v7().to_string();
        let written = self.bytes.write(&id, bytes, self.max_bytes).await?;
        let artifact = Artifact {
            id,
            job_id: new.job_id.clone(),
            owner: new.owner.clone(),
            media_type: new.media_type.clone(),
            file_name: new.file_name.clone(),
            bytes: written.length,
            sha256: written.sha256.clone(),
            width: None,
            height: None,
            created_at: as_stored(now),
            preview: None,
        };
        // Not on this task: if it is dropped now, either both the file and the row come into being or none
        // does.
        let store = self.clone();
        let keep = tokio::spawn(async move { store.keep(new, artifact, written).await });
        keep.await.map_err(|error| ArtifactError::Source(error.into()))?
    }

    /// The artifact, or nothing.
    pub async fn get(&self, id: &str) -> Result<Option<Artifact>, ArtifactError> {
        let found = Entity::find_by_id(id).one(&self.db.reader).await.map_err(|error| self.failed(error))?;
        found.map(row::to_artifact).transpose().map_err(ArtifactError::Database)
    }

    /// The artifacts of a job, the oldest first.
    pub async fn list_for_job(&self, job_id: &str) -> Result<Vec<Artifact>, ArtifactError> {
        let found = Entity::find().filter(Column::JobId.eq(job_id)).order_by_asc(Column::Id);
        self.all(found.all(&self.db.reader).await)
    }

    /// The artifacts of an owner, the newest first, at most 1000; `before` is the last of the page before.
    pub async fn list_for_owner(
        &self,
        owner: &str,
        limit: u64,
        before: Option<&str>,
    ) -> Result<Vec<Artifact>, ArtifactError> {
        let mut found = Entity::find()
            .filter(Column::Owner.eq(owner))
            .order_by_desc(Column::Id)
            .limit(limit.min(MAX_ROWS));
        if let Some(before) = before {
            found = found.filter(Column::Id.lt(before));
        }
        self.all(found.all(&self.db.reader).await)
    }

    /// The whole file as a stream.
    pub async fn read(&self, id: &str) -> Result<Option<Content>, ArtifactError> {
        let Some(artifact) = self.get(id).await? else { return Ok(None) };
        let range = 0..artifact.bytes;
        Ok(Some(self.content(artifact, range)))
    }

    /// A part of the file as a stream; the range is cut at the end of the file.
    pub async fn read_range(&self, id: &str, range: Range<u64>) -> Result<Option<Content>, ArtifactError> {
        let Some(artifact) = self.get(id).await? else { return Ok(None) };
        let range = range.start..range.end.min(artifact.bytes);
        if range.is_empty() {
            return Err(ArtifactError::Range { bytes: artifact.bytes });
        }
        Ok(Some(self.content(artifact, range)))
    }

    /// The whole file at once, if it has at most `limit` bytes.
    pub async fn read_all(&self, id: &str, limit: u64) -> Result<Option<(Artifact, Bytes)>, ArtifactError> {
        let Some(artifact) = self.get(id).await? else { return Ok(None) };
        if artifact.bytes > limit {
            return Err(ArtifactError::TooLarge { limit });
        }
        let bytes = self.bytes.read(&artifact.id).await?;
        Ok(Some((artifact, bytes)))
    }

    /// Notes the size in pixels, and stores a preview (media type and at most 1 MiB) beside the file. `false`
    /// if there is no such artifact.
    pub async fn set_image_info(
        &self,
        id: &str,
        width: u32,
        height: u32,
        preview: Option<(String, Bytes)>,
    ) -> Result<bool, ArtifactError> {
        let Some(artifact) = self.get(id).await? else { return Ok(false) };
        let mut changed = ActiveModel {
            width: Set(Some(width.into())),
            height: Set(Some(height.into())),
            ..ActiveModel::default()
        };
        if let Some((media_type, bytes)) = preview {
            if bytes.len() > MAX_PREVIEW_BYTES {
                return Err(ArtifactError::TooLarge { limit: MAX_PREVIEW_BYTES as u64 });
            }
            changed.preview_media_type = Set(Some(media_type));
            changed.preview_bytes = Set(Some(bytes.len() as i64));
            self.bytes.write_preview(&artifact.id, bytes).await?;
        }
        let update = Entity::update_many().set(changed).filter(Column::Id.eq(id));
        let done = update.exec(&self.db.writer).await.map_err(|error| self.failed(error))?;
        Ok(done.rows_affected > 0)
    }

    /// The preview: its media type and bytes; nothing if there is no artifact or it has none.
    pub async fn preview(&self, id: &str) -> Result<Option<(String, Bytes)>, ArtifactError> {
        let Some(artifact) = self.get(id).await? else { return Ok(None) };
        let Some(preview) = artifact.preview else { return Ok(None) };
        let bytes = self.bytes.read_preview(&artifact.id).await?;
        Ok(Some((preview.media_type, bytes)))
    }

    /// Deletes the artifact, its bytes and its preview; `false` if there is none.
    pub async fn delete(&self, id: &str) -> Result<bool, ArtifactError> {
        // First the row: a file without a row is waste, a row without a file is an error for somebody.
        let done =
            Entity::delete_by_id(id).exec(&self.db.writer).await.map_err(|error| self.failed(error))?;
        if done.rows_affected == 0 {
            return Ok(false);
        }
        self.bytes.delete(id).await?;
        Ok(true)
    }

    /// Deletes up to `limit` artifacts (at most 1000) from before a time, the oldest first, and gives their
    /// number.
    pub async fn prune(&self, created_before: Timestamp, limit: u64) -> Result<u64, ArtifactError> {
        let old = Entity::find()
            .select_only()
            .column(Column::Id)
            .filter(Column::CreatedAt.lt(to_millis(created_before)))
            .order_by_asc(Column::CreatedAt)
            .limit(limit.min(MAX_ROWS));
        let old: Vec<String> =
            old.into_tuple().all(&self.db.reader).await.map_err(|error| self.failed(error))?;
        let mut deleted = 0;
        for id in old {
            deleted += u64::from(self.delete(&id).await?);
        }
        Ok(deleted)
    }

    /// Publishes the file and adds the row; if that fails, or the source is stored already, the file goes
    /// again.
    async fn keep(
        &self,
        new: NewArtifact,
        artifact: Artifact,
        written: bytes::Written,
    ) -> Result<Artifact, ArtifactError> {
        written.publish(&self.bytes).await?;
        let insert = Entity::insert(row::from_artifact(&artifact, new.source.clone()))
            .on_conflict_do_nothing_on([Column::JobId, Column::Source]);
        let inserted = insert.exec_without_returning(&self.db.writer).await;
        if matches!(inserted, Ok(TryInsertResult::Inserted(1..))) {
            return Ok(artifact);
        }
        let removed = self.bytes.delete(&artifact.id).await;
        inserted.map_err(|error| self.failed(error))?;
        removed?;
        let existing = self.find_source(&new).await?;
        existing.ok_or_else(|| ArtifactError::Lost { id: artifact.id })
    }

    async fn find_source(&self, new: &NewArtifact) -> Result<Option<Artifact>, ArtifactError> {
        let (Some(job_id), Some(source)) = (&new.job_id, &new.source) else { return Ok(None) };
        let found = Entity::find()
            .filter(Column::JobId.eq(job_id.as_str()))
            .filter(Column::Source.eq(source.as_str()))
            .one(&self.db.reader)
            .await
            .map_err(|error| self.failed(error))?;
        found.map(row::to_artifact).transpose().map_err(ArtifactError::Database)
    }

    fn content(&self, artifact: Artifact, range: Range<u64>) -> Content {
        let stream = self.bytes.stream(&artifact.id, range.clone());
        Content { artifact, range, stream }
    }

    fn all(&self, rows: Result<Vec<Model>, sea_orm::DbErr>) -> Result<Vec<Artifact>, ArtifactError> {
        let rows = rows.map_err(|error| self.failed(error))?;
        rows.into_iter().map(row::to_artifact).collect::<Result<_, _>>().map_err(ArtifactError::Database)
    }

    fn failed(&self, error: sea_orm::DbErr) -> ArtifactError {
        ArtifactError::Database(self.db.explain(error))
    }
}
