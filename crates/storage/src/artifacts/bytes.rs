//! The bytes of artifacts, in an object store.

use std::error::Error;
use std::io;
use std::ops::Range;
use std::path::{self, PathBuf};
use std::pin::pin;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt as _};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt as _};
use sha2::{Digest as _, Sha256};

use crate::artifacts::ArtifactError;

/// What is collected before it is written.
const PART_BYTES: usize = 1024 * 1024;
/// What is read at once.
const PIECE_BYTES: u64 = 256 * 1024;

/// A file lies in a folder named after the last two characters of its id, which are random: 256 folders. Its
/// preview lies beside it.
#[derive(Clone)]
pub(super) struct ByteStore {
    objects: Arc<dyn ObjectStore>,
    folder: PathBuf,
}

/// A file that is written but not visible yet. Dropped, it is gone.
pub(super) struct Written {
    pub(super) length: u64,
    /// In lower-case hex.
    pub(super) sha256: String,
    upload: Box<dyn MultipartUpload>,
}

impl ByteStore {
    pub(super) fn in_folder(folder: &path::Path) -> Result<ByteStore, object_store::Error> {
        let objects = Arc::new(LocalFileSystem::new_with_prefix(folder)?);
        Ok(ByteStore { objects, folder: folder.to_owned() })
    }

    /// Writes and hashes what comes, up to `limit` bytes.
    pub(super) async fn write<S, E>(&self, id: &str, bytes: S, limit: u64) -> Result<Written, ArtifactError>
    where
        S: Stream<Item = Result<Bytes, E>> + Send,
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        let mut bytes = pin!(bytes);
        let upload = self.objects.put_multipart(&file(id)).await.map_err(|error| self.failed(error, id))?;
        let mut written = Written { length: 0, sha256: String::new(), upload };
        let mut hash = Sha256::new();
        let mut part = BytesMut::new();
        while let Some(piece) = bytes.next().await {
            let piece = piece.map_err(|error| ArtifactError::Source(error.into()))?;
            written.length += piece.len() as u64;
            if written.length > limit {
                return Err(ArtifactError::TooLarge { limit });
            }
            hash.update(&piece);
            part.extend_from_slice(&piece);
            if part.len() >= PART_BYTES {
                let full = part.split().freeze();
                written.upload.put_part(full.into()).await.map_err(|error| self.failed(error, id))?;
            }
        }
        if !part.is_empty() {
            let last = part.freeze();
            written.upload.put_part(last.into()).await.map_err(|error| self.failed(error, id))?;
        }
        written.sha256 = format!("{:x}", hash.finalize());
        Ok(written)
    }

    pub(super) async fn write_preview(&self, id: &str, bytes: Bytes) -> Result<(), ArtifactError> {
        let done = self.objects.put(&preview(id), bytes.into()).await;
        done.map(drop).map_err(|error| self.failed(error, id))
    }

    pub(super) async fn read(&self, id: &str) -> Result<Bytes, ArtifactError> {
        self.read_object(&file(id), id).await
    }

    pub(super) async fn read_preview(&self, id: &str) -> Result<Bytes, ArtifactError> {
        self.read_object(&preview(id), id).await
    }

    async fn read_object(&self, path: &Path, id: &str) -> Result<Bytes, ArtifactError> {
        let found = self.objects.get(path).await.map_err(|error| self.failed(error, id))?;
        found.bytes().await.map_err(|error| self.failed(error, id))
    }

    /// The bytes of the range, which lies in the file. After an error nothing more comes.
    pub(super) fn stream(
        &self,
        id: &str,
        range: Range<u64>,
    ) -> BoxStream<'static, Result<Bytes, ArtifactError>> {
        let (store, id) = (self.clone(), id.to_owned());
        let pieces = stream::unfold(range, move |range| {
            let (store, id) = (store.clone(), id.clone());
            async move {
                if range.is_empty() {
                    return None;
                }
                let piece = range.start..range.end.min(range.start + PIECE_BYTES);
                let read = store.objects.get_range(&file(&id), piece.clone()).await;
                let read = read.map_err(|error| store.failed(error, &id));
                let rest = if read.is_ok() { piece.end..range.end } else { range.end..range.end };
                Some((read, rest))
            }
        });
        pieces.boxed()
    }

    /// Deletes the file and its preview, where they are.
    pub(super) async fn delete(&self, id: &str) -> Result<(), ArtifactError> {
        for path in [file(id), preview(id)] {
            match self.objects.delete(&path).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(self.failed(error, id)),
            }
        }
        Ok(())
    }

    fn failed(&self, error: object_store::Error, id: &str) -> ArtifactError {
        if matches!(error, object_store::Error::NotFound { .. }) {
            return ArtifactError::Lost { id: id.to_owned() };
        }
        if is_disk_full(&error) {
            return ArtifactError::DiskFull { folder: self.folder.clone() };
        }
        ArtifactError::Folder { folder: self.folder.clone(), source: error }
    }
}

impl Written {
    /// Makes the file visible, at once and as a whole.
    pub(super) async fn publish(mut self, store: &ByteStore) -> Result<(), ArtifactError> {
        self.upload.complete().await.map(drop).map_err(|error| store.failed(error, "new"))
    }
}

fn file(id: &str) -> Path {
    Path::from_iter([shard(id), id])
}

fn preview(id: &str) -> Path {
    Path::from_iter([shard(id), &format!("{id}.preview")])
}

fn shard(id: &str) -> &str {
    id.get(id.len().saturating_sub(2)..).unwrap_or(id)
}

fn is_disk_full(error: &object_store::Error) -> bool {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        }
        cause = error.source();
    }
    false
}
