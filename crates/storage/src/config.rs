//! Where the data lives and how it is opened.

use std::path::{Path, PathBuf};

use crate::error::StorageError;

/// How to open a [`Storage`](crate::Storage).
#[derive(Clone, Debug)]
pub struct StorageConfig {
    /// The database: a path, or `sqlite://` and a path (taken literally, relative to the working folder).
    /// What follows a `?`, such as `mode=rwc`, is ignored: the file is always created where it is missing.
    pub db_url: String,
    /// The folder of the bytes of artifacts.
    pub artifacts_dir: PathBuf,
    /// Largest artifact, in bytes.
    pub max_artifact_bytes: u64,
    /// Whether others are kept out.
    pub lock: LockMode,
}

/// Whether a process has the data folder to itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LockMode {
    /// For a server: a second one on the same folder is refused.
    #[default]
    Exclusive,
    /// For a command that runs beside a server, e.g. to make a key: no lock is taken or respected.
    Shared,
}

impl StorageConfig {
    /// 256 MiB.
    pub const DEFAULT_MAX_ARTIFACT_BYTES: u64 = 256 * 1024 * 1024;

    /// Everything under one folder: `comfy.db` and `artifacts/`.
    pub fn in_folder(folder: &Path) -> StorageConfig {
        StorageConfig {
            db_url: folder.join("comfy.db").to_string_lossy().into_owned(),
            artifacts_dir: folder.join("artifacts"),
            max_artifact_bytes: StorageConfig::DEFAULT_MAX_ARTIFACT_BYTES,
            lock: LockMode::Exclusive,
        }
    }
}

/// The file of the database that a URL or a path names.
pub(crate) fn database_file(url: &str) -> Result<PathBuf, StorageError> {
    let unsupported = || StorageError::Url { url: without_password(url) };
    let path = match url.split_once(':') {
        Some(("sqlite", rest)) => rest.strip_prefix("//").unwrap_or(rest).split('?').next().unwrap_or(""),
        Some((scheme, _)) if url.contains("://") || scheme == "sqlite" => return Err(unsupported()),
        _ => url,
    };
    // `:memory:` would be another, empty database for each connection.
    if path.is_empty() || path.contains(":memory:") || path.contains('\0') {
        return Err(unsupported());
    }
    Ok(PathBuf::from(path))
}

/// For an error message: what stands between `://` and `@` may hold a password.
fn without_password(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://…@{host}"),
        _ => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_and_paths_name_a_file() {
        let check = |url: &str, expect: &str| {
            assert_eq!(database_file(url).unwrap(), PathBuf::from(expect), "{url}");
        };
        check("data/comfy.db", "data/comfy.db");
        check("/var/lib/comfy.db", "/var/lib/comfy.db");
        check("sqlite://data/comfy.db?mode=rwc", "data/comfy.db");
        check("sqlite:///var/lib/comfy.db", "/var/lib/comfy.db");
        check("sqlite:data/comfy.db", "data/comfy.db");
        check(r"C:\data\comfy.db", r"C:\data\comfy.db");
    }

    #[test]
    fn what_is_not_supported_is_refused_without_its_password() {
        for url in ["", "sqlite://", "sqlite::memory:", "mysql://localhost/x"] {
            assert!(matches!(database_file(url), Err(StorageError::Url { .. })), "{url}");
        }
        let error = database_file("postgres://me:hunter2@localhost/comfy").unwrap_err().to_string();
        assert!(error.contains("postgres://…@localhost/comfy") && !error.contains("hunter2"), "{error}");
    }
}
