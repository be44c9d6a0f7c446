//! The folders of the data: private, writable, and one server's at a time.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use crate::config::{LockMode, StorageConfig, database_file};
use crate::error::StorageError;

const LOCK_FILE: &str = ".lock";
/// Locked only while a process opens the database.
const OPENING_FILE: &str = ".opening";
const SQLITE_MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// What is ready for the database to be opened.
pub(crate) struct Prepared {
    /// The file of the database; it exists.
    pub(crate) database: PathBuf,
    /// Locked as long as it is open.
    pub(crate) lock: Option<FileLock>,
    /// Held until the database is open. SQLite does not wait for its own locks while a new file is switched to
    /// write-ahead logging: of two processes that do so at once, one is told that the database is locked.
    pub(crate) opening: FileLock,
}

/// A file that is locked until this is dropped. Closing it isn't enough: a child process that is just being started
/// has the open file too, until it is another program.
pub(crate) struct FileLock(File);

impl Drop for FileLock {
    fn drop(&mut self) {
        // If it fails, closing is what is left.
        let _ = self.0.unlock();
    }
}

/// Creates what is missing and takes the locks. Blocks, also while another process opens the same database.
pub(crate) fn prepare(config: &StorageConfig) -> Result<Prepared, StorageError> {
    let database = database_file(&config.db_url)?;
    let folder = match database.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    create_private(folder)?;
    create_private(&config.artifacts_dir)?;
    let lock = match config.lock {
        LockMode::Exclusive => Some(take_lock(folder)?),
        LockMode::Shared => None,
    };
    let opening = wait_for_others(folder)?;
    check_file(&database)?;
    Ok(Prepared { database, lock, opening })
}

fn create_private(folder: &Path) -> Result<(), StorageError> {
    let unwritable = |source| StorageError::Folder { path: folder.to_owned(), source };
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder).map_err(unwritable)?;
    // A folder that exists says nothing; a file in it does.
    let probe = folder.join(format!(".write-test-{}", std::process::id()));
    private_file().create(true).truncate(true).open(&probe).map_err(unwritable)?;
    match std::fs::remove_file(&probe) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(unwritable(error)),
        _ => Ok(()),
    }
}

fn take_lock(folder: &Path) -> Result<FileLock, StorageError> {
    let unwritable = |source| StorageError::Folder { path: folder.to_owned(), source };
    let path = folder.join(LOCK_FILE);
    let mut file = private_file().read(true).create(true).truncate(false).open(path).map_err(unwritable)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(StorageError::InUse { folder: folder.to_owned(), process: read_process(&mut file) });
        }
        Err(TryLockError::Error(source)) => return Err(unwritable(source)),
    }
    // Only for the message to the next one.
    file.set_len(0).and_then(|()| write!(file, "{}", std::process::id())).map_err(unwritable)?;
    Ok(FileLock(file))
}

fn wait_for_others(folder: &Path) -> Result<FileLock, StorageError> {
    let unwritable = |source| StorageError::Folder { path: folder.to_owned(), source };
    let path = folder.join(OPENING_FILE);
    let file = private_file().create(true).truncate(false).open(path).map_err(unwritable)?;
    file.lock().map_err(unwritable)?;
    Ok(FileLock(file))
}

fn read_process(file: &mut File) -> Option<String> {
    let mut text = String::new();
    file.take(20).read_to_string(&mut text).ok()?;
    (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())).then_some(text)
}

/// Creates the file of the database, so that it is private from the first byte, or looks whether it is one.
fn check_file(path: &Path) -> Result<(), StorageError> {
    let unwritable = |source| StorageError::Folder { path: path.to_owned(), source };
    let mut file = private_file().read(true).create(true).truncate(false).open(path).map_err(unwritable)?;
    let mut start = [0u8; SQLITE_MAGIC.len()];
    match file.read_exact(&mut start) {
        Ok(()) if start == *SQLITE_MAGIC => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && is_empty(&file) => Ok(()),
        _ => Err(StorageError::NotADatabase { path: path.to_owned() }),
    }
}

fn is_empty(file: &File) -> bool {
    file.metadata().is_ok_and(|metadata| metadata.len() == 0)
}

fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_process_that_is_being_started_does_not_hold_the_lock() {
        let folder = tempfile::tempdir().unwrap();
        let lock = take_lock(folder.path()).unwrap();
        // What a child has until it is another program.
        let inherited = lock.0.try_clone().unwrap();
        assert!(matches!(take_lock(folder.path()), Err(StorageError::InUse { .. })));
        drop(lock);
        take_lock(folder.path()).map(drop).unwrap();
        drop(inherited);
    }
}
