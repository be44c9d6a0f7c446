//! Artifacts: a row and a file, or neither.

use std::io;
use std::path::Path;

use bytes::Bytes;
use futures::stream::{self, Stream, StreamExt as _};
use futures::{FutureExt as _, TryStreamExt as _};

use super::{Temporary, at};
use crate::{Artifact, ArtifactError, ArtifactStore, NewArtifact, PreviewInfo, Storage, StorageConfig};

fn new(owner: &str) -> NewArtifact {
    NewArtifact {
        job_id: Some("job 1".to_owned()),
        owner: owner.to_owned(),
        media_type: "image/png".to_owned(),
        file_name: "cat.png".to_owned(),
        source: None,
    }
}

fn pieces(bytes: &[u8], piece: usize) -> impl Stream<Item = Result<Bytes, io::Error>> + Send + use<> {
    stream::iter(bytes.chunks(piece).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect::<Vec<_>>())
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n % 251) as u8).collect()
}

async fn store(artifacts: &ArtifactStore, owner: &str, bytes: &[u8]) -> Artifact {
    artifacts.create(new(owner), pieces(bytes, 1000), at(0)).await.unwrap()
}

/// All files under a folder.
fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path.display().to_string());
        }
    }
    found
}

async fn collect(stream: impl Stream<Item = Result<Bytes, ArtifactError>>) -> Vec<u8> {
    stream.map_ok(|piece| piece.to_vec()).try_concat().await.unwrap()
}

#[tokio::test]
async fn what_was_stored_comes_back_also_after_a_kill() {
    let temporary = Temporary::new().await;
    for length in [0, 1, 1_000_000, 3 * 1024 * 1024 + 17] {
        let bytes = pattern(length);
        let artifact = store(&temporary.storage.artifacts(), "alice", &bytes).await;
        assert_eq!(artifact.bytes, length as u64);
        let content = temporary.storage.artifacts().read(&artifact.id).await.unwrap().unwrap();
        assert_eq!(content.artifact, artifact);
        assert!(collect(content.stream).await == bytes, "{length} bytes");
    }
    let cat = store(&temporary.storage.artifacts(), "alice", b"cat").await;
    assert_eq!(cat.sha256, "77af778b51abd4a3c51c5ddd97204a9c3ae614ebccb75a606c3b6865aed6744e");
    let temporary = temporary.reopened().await;
    let (found, bytes) = temporary.storage.artifacts().read_all(&cat.id, 3).await.unwrap().unwrap();
    assert_eq!((found, &bytes[..]), (cat, &b"cat"[..]));
}

#[tokio::test]
async fn ranges_are_cut_at_the_end() {
    let temporary = Temporary::new().await;
    let artifacts = temporary.storage.artifacts();
    let bytes = pattern(600_000);
    let artifact = store(&artifacts, "alice", &bytes).await;
    let check = async |range: std::ops::Range<u64>, expect: std::ops::Range<usize>| {
        let content = artifacts.read_range(&artifact.id, range).await.unwrap().unwrap();
        assert_eq!(content.range, expect.start as u64..expect.end as u64);
        assert!(collect(content.stream).await == bytes[expect]);
    };
    check(0..1, 0..1).await;
    check(100..300_000, 100..300_000).await;
    check(599_999..u64::MAX, 599_999..600_000).await;
    for range in [600_000..600_001, 5..5] {
        let error = artifacts.read_range(&artifact.id, range).await.map(drop).unwrap_err();
        assert!(matches!(error, ArtifactError::Range { bytes: 600_000 }), "{error:?}");
    }
    assert!(artifacts.read("unknown").await.unwrap().is_none());
    assert!(artifacts.read_range("../../comfy.db", 0..1).await.unwrap().is_none());
    assert!(artifacts.read_all(&artifact.id, 599_999).await.is_err());
}

#[tokio::test]
async fn a_failed_write_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let config = StorageConfig { max_artifact_bytes: 2_000_000, ..StorageConfig::in_folder(folder.path()) };
    let storage = Storage::open(&config).await.unwrap();
    let artifacts = storage.artifacts();

    let big = pattern(2_000_001);
    let error = artifacts.create(new("alice"), pieces(&big, 100_000), at(0)).await.unwrap_err();
    assert!(matches!(error, ArtifactError::TooLarge { limit: 2_000_000 }), "{error:?}");

    let broken =
        pieces(&pattern(1_500_000), 100_000).chain(stream::once(async { Err(io::Error::other("cut")) }));
    let error = artifacts.create(new("alice"), broken, at(0)).await.unwrap_err();
    assert!(matches!(&error, ArtifactError::Source(cause) if cause.to_string() == "cut"), "{error:?}");

    let endless = pieces(&pattern(1_500_000), 100_000).chain(stream::pending());
    let mut given_up = Box::pin(artifacts.create(new("alice"), endless, at(0)));
    while files(&config.artifacts_dir).is_empty() {
        assert!((&mut given_up).now_or_never().is_none());
        tokio::task::yield_now().await;
    }
    drop(given_up);

    // Leftovers are removed in the background.
    let gone = async {
        while !files(&config.artifacts_dir).is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(5), gone).await.unwrap();
    assert_eq!(artifacts.list_for_owner("alice", 10, None).await.unwrap(), []);

    artifacts.create(new("alice"), pieces(&big[1..], 100_000), at(0)).await.unwrap();
}

#[tokio::test]
async fn one_source_is_stored_once() {
    let temporary = Temporary::new().await;
    let artifacts = temporary.storage.artifacts();
    let sourced = || NewArtifact { source: Some("9/images/0".to_owned()), ..new("alice") };
    let first = artifacts.create(sourced(), pieces(b"first", 10), at(0)).await.unwrap();
    let second = artifacts.create(sourced(), pieces(b"second", 10), at(1)).await.unwrap();
    assert_eq!(first, second);
    let other = NewArtifact { job_id: Some("job 2".to_owned()), ..sourced() };
    let other = artifacts.create(other, pieces(b"other", 10), at(2)).await.unwrap();
    assert_ne!(first.id, other.id);
    let tasks = (0..8).map(|n| {
        let artifacts = artifacts.clone();
        let new = NewArtifact { source: Some("race".to_owned()), ..new("alice") };
        tokio::spawn(async move { artifacts.create(new, pieces(&[n], 1), at(3)).await.unwrap().id })
    });
    let mut ids = Vec::new();
    for task in tasks.collect::<Vec<_>>() {
        ids.push(task.await.unwrap());
    }
    ids.dedup();
    assert_eq!(ids.len(), 1);
    assert_eq!(files(&temporary.folder.path().join("artifacts")).len(), 3, "and leaves one file");
}

#[tokio::test]
async fn listings_are_by_job_and_by_owner() {
    let temporary = Temporary::new().await;
    let artifacts = temporary.storage.artifacts();
    let a = store(&artifacts, "alice", b"a").await;
    let b = store(&artifacts, "bob", b"b").await;
    let c = store(&artifacts, "alice", b"c").await;
    let upload = NewArtifact { job_id: None, ..new("alice") };
    let upload = artifacts.create(upload, pieces(b"u", 1), at(0)).await.unwrap();
    assert_eq!(artifacts.list_for_job("job 1").await.unwrap(), [a.clone(), b.clone(), c.clone()]);
    let page = artifacts.list_for_owner("alice", 2, None).await.unwrap();
    assert_eq!(page, [upload, c.clone()], "newest first");
    assert_eq!(artifacts.list_for_owner("alice", 2, Some(&c.id)).await.unwrap(), [a]);
    assert_eq!(artifacts.list_for_owner("carol", 2, None).await.unwrap(), []);
}

#[tokio::test]
async fn a_preview_lies_beside_its_image() {
    let temporary = Temporary::new().await;
    let artifacts = temporary.storage.artifacts();
    let image = store(&artifacts, "alice", b"image").await;
    assert_eq!(artifacts.preview(&image.id).await.unwrap(), None);
    assert!(artifacts.set_image_info(&image.id, 512, 768, None).await.unwrap());
    let preview = ("image/webp".to_owned(), Bytes::from_static(b"small"));
    assert!(artifacts.set_image_info(&image.id, 512, 768, Some(preview.clone())).await.unwrap());
    assert_eq!(artifacts.preview(&image.id).await.unwrap(), Some(preview.clone()));
    let found = artifacts.get(&image.id).await.unwrap().unwrap();
    assert_eq!((found.width, found.height), (Some(512), Some(768)));
    assert_eq!(found.preview, Some(PreviewInfo { media_type: "image/webp".to_owned(), bytes: 5 }));
    assert!(!artifacts.set_image_info("unknown", 1, 1, Some(preview)).await.unwrap());
    let huge = ("image/png".to_owned(), Bytes::from(vec![0; 2_000_000]));
    assert!(artifacts.set_image_info(&image.id, 1, 1, Some(huge)).await.is_err());
    assert_eq!(files(&temporary.folder.path().join("artifacts")).len(), 2);

    assert!(artifacts.delete(&image.id).await.unwrap());
    assert!(!artifacts.delete(&image.id).await.unwrap());
    assert_eq!(artifacts.get(&image.id).await.unwrap(), None);
    assert_eq!(files(&temporary.folder.path().join("artifacts")), Vec::<String>::new());
}

#[tokio::test]
async fn old_artifacts_are_pruned() {
    let temporary = Temporary::new().await;
    let artifacts = temporary.storage.artifacts();
    for second in 0..5 {
        artifacts.create(new("alice"), pieces(b"x", 1), at(second)).await.unwrap();
    }
    assert_eq!(artifacts.prune(at(3), 2).await.unwrap(), 2);
    assert_eq!(artifacts.prune(at(3), 100).await.unwrap(), 1);
    assert_eq!(artifacts.list_for_owner("alice", 10, None).await.unwrap().len(), 2);
    assert_eq!(files(&temporary.folder.path().join("artifacts")).len(), 2);
}

#[tokio::test]
async fn bytes_that_somebody_deleted_are_reported_as_lost() {
    let temporary = Temporary::new().await;
    let artifacts = temporary.storage.artifacts();
    let image = store(&artifacts, "alice", b"image").await;
    std::fs::remove_dir_all(temporary.folder.path().join("artifacts")).unwrap();
    let error = artifacts.read_all(&image.id, 100).await.unwrap_err();
    assert!(matches!(&error, ArtifactError::Lost { id } if *id == image.id), "{error:?}");
    let mut content = artifacts.read(&image.id).await.unwrap().unwrap();
    assert!(matches!(content.stream.next().await, Some(Err(ArtifactError::Lost { .. }))));
    assert!(content.stream.next().await.is_none());
    assert!(artifacts.delete(&image.id).await.unwrap(), "it can be cleared away");
}
