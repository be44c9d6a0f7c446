//! What is SQLite's alone: how it is opened, and what its error codes mean.

use std::path::Path;
use std::time::Duration;

use sea_orm::sqlx::ConnectOptions as _;
use sea_orm::sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sea_orm::{ConnectOptions, DatabaseConnection, DbErr, RuntimeErr, sqlx};

use crate::error::StorageError;

const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);
const READERS: u32 = 3;
const READER_IDLE: Duration = Duration::from_mins(1);
/// Of each connection. The operating system caches the file as well; idle memory counts.
const PAGE_CACHE_KIB: u32 = 512;
/// The log is cut back to this when it has been copied into the file.
const LOG_BYTES: u32 = 8 * 1024 * 1024;

/// The connection that writes.
pub(crate) async fn open_writer(path: &Path) -> Result<DatabaseConnection, StorageError> {
    let sqlite = options(path).pragma("journal_size_limit", LOG_BYTES.to_string());
    let mut pool = pool(sqlite);
    // Kept: what it has prepared and cached is used all the time.
    pool.max_connections(1).min_connections(1).idle_timeout(None::<Duration>).max_lifetime(None::<Duration>);
    connect(pool, path).await
}

/// The connections that read.
pub(crate) async fn open_reader(path: &Path) -> Result<DatabaseConnection, StorageError> {
    let mut pool = pool(options(path).pragma("query_only", "ON"));
    pool.max_connections(READERS).min_connections(1).idle_timeout(READER_IDLE).max_lifetime(None::<Duration>);
    connect(pool, path).await
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Normal)
        .busy_timeout(BUSY_TIMEOUT)
        .foreign_keys(true)
        .pragma("cache_size", format!("-{PAGE_CACHE_KIB}"))
        // Statements hold prompts and keys' hashes.
        .disable_statement_logging()
}

fn pool(sqlite: SqliteConnectOptions) -> ConnectOptions {
    let mut pool = ConnectOptions::new("sqlite:");
    pool.sqlx_logging(false)
        .record_stmt_in_spans(false)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .test_before_acquire(false)
        .map_sqlx_sqlite_opts(move |_| sqlite.clone());
    pool
}

async fn connect(pool: ConnectOptions, path: &Path) -> Result<DatabaseConnection, StorageError> {
    sea_orm::Database::connect(pool).await.map_err(|error| explain(error, path))
}

/// What an error means, after <https://www.sqlite.org/rescode.html>.
pub(crate) fn explain(error: DbErr, path: &Path) -> StorageError {
    const BUSY: i32 = 5;
    const LOCKED: i32 = 6;
    const READONLY: i32 = 8;
    const CORRUPT: i32 = 11;
    const FULL: i32 = 13;
    const CANTOPEN: i32 = 14;
    const NOTADB: i32 = 26;
    let path = path.to_owned();
    match primary_code(&error) {
        Some(BUSY | LOCKED) => StorageError::Locked { path, source: error },
        Some(READONLY | CANTOPEN) => StorageError::ReadOnly { path, source: error },
        Some(FULL) => StorageError::DiskFull { path },
        Some(CORRUPT | NOTADB) => StorageError::NotADatabase { path },
        _ => StorageError::Database { path, source: error },
    }
}

/// The lower 8 bits of the extended code.
fn primary_code(error: &DbErr) -> Option<i32> {
    let (DbErr::Conn(RuntimeErr::SqlxError(source))
    | DbErr::Exec(RuntimeErr::SqlxError(source))
    | DbErr::Query(RuntimeErr::SqlxError(source))) = error
    else {
        return None;
    };
    let sqlx::Error::Database(source) = &**source else {
        return None;
    };
    let code: i32 = source.code()?.parse().ok()?;
    Some(code & 0xff)
}
