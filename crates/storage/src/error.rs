//! What can go wrong with the database and the folders.

use std::io;
use std::path::PathBuf;

use sea_orm::DbErr;

/// Why the storage can't be opened or used.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// Not a database that is supported.
    #[error("`{url}` is not a database that is supported; set db_path to a path or to sqlite:// and a path")]
    Url {
        /// As configured, without a password.
        url: String,
    },
    /// A folder can't be created or written to.
    #[error("the folder {} can't be written to; correct its permissions or choose another", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another server has the folder.
    #[error(
        "the data folder {} is in use by another server{}; stop that one, or set db_path to another folder",
        folder.display(), process.as_deref().map(|id| format!(" (process {id})")).unwrap_or_default()
    )]
    InUse {
        /// The folder.
        folder: PathBuf,
        /// The id of its process, if it could be read.
        process: Option<String>,
    },
    /// The file is something else.
    #[error("{} is not an SQLite database; move it away, or set db_path to another file", path.display())]
    NotADatabase {
        /// The file.
        path: PathBuf,
    },
    /// The file was written by a newer version of this program.
    #[error(
        "the database {} was written by a newer version (its schema has `{migration}`); update this program or \
         set db_path to another file",
        path.display()
    )]
    NewerSchema {
        /// The file.
        path: PathBuf,
        /// The first migration that isn't known.
        migration: String,
    },
    /// No space is left.
    #[error("the disk of the database {} is full; free some space", path.display())]
    DiskFull {
        /// The file.
        path: PathBuf,
    },
    /// The file can't be written to.
    #[error("the database {} can't be written to; correct its permissions and its folder's", path.display())]
    ReadOnly {
        /// The file.
        path: PathBuf,
        /// What the database says.
        #[source]
        source: DbErr,
    },
    /// Another process holds the file for too long.
    #[error("the database {} is locked by another process; end that one", path.display())]
    Locked {
        /// The file.
        path: PathBuf,
        /// What the database says.
        #[source]
        source: DbErr,
    },
    /// A row can't be understood.
    #[error("the {table} row `{id}` in the database is broken")]
    Row {
        /// The table.
        table: &'static str,
        /// The row.
        id: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Anything else.
    #[error("the database {} failed", path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// What the database says.
        #[source]
        source: DbErr,
    },
}
