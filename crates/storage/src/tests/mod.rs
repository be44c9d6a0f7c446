//! The stores on real files.

mod artifacts;
mod audit;
mod jobs;
mod opening;
mod sessions;
mod stores;

use jiff::Timestamp;
use tempfile::TempDir;

use crate::{LockMode, Storage, StorageConfig};

/// A storage in a folder of its own, which goes with the value.
struct Temporary {
    folder: TempDir,
    storage: Storage,
}

impl Temporary {
    async fn new() -> Temporary {
        let folder = tempfile::tempdir().unwrap();
        let storage = Storage::open(&StorageConfig::in_folder(folder.path())).await.unwrap();
        Temporary { folder, storage }
    }

    /// Another storage on the same files: another process, as far as the database can tell.
    async fn beside(&self) -> Storage {
        let config = StorageConfig::in_folder(self.folder.path());
        Storage::open(&StorageConfig { lock: LockMode::Shared, ..config }).await.unwrap()
    }

    /// Lets go of everything without closing it, as a killed process does, and opens it again.
    async fn reopened(self) -> Temporary {
        let Temporary { folder, storage } = self;
        drop(storage);
        let storage = Storage::open(&StorageConfig::in_folder(folder.path())).await.unwrap();
        Temporary { folder, storage }
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

/// The message with those of all its causes.
fn full_text(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
