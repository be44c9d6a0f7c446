//! The connections: a few that read, and one that writes.

use std::path::PathBuf;

use sea_orm::{
    DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, SqliteTransactionMode, TransactionOptions,
    TransactionTrait as _,
};

use crate::error::StorageError;
use crate::folder::FileLock;
use crate::sqlite;

/// A database that is open. All that is written goes through one connection, so writers wait for each other
/// in order and not for locks.
pub(crate) struct Database {
    pub(crate) reader: DatabaseConnection,
    pub(crate) writer: DatabaseConnection,
    pub(crate) path: PathBuf,
    /// Held as long as anything may still be written.
    pub(crate) _lock: Option<FileLock>,
}

impl Database {
    /// Starts a transaction that may write. Dropped, it is rolled back.
    pub(crate) async fn begin(&self) -> Result<DatabaseTransaction, StorageError> {
        self.writer.begin_with_options(write_options(&self.writer)).await.map_err(|error| self.explain(error))
    }

    pub(crate) async fn commit(&self, transaction: DatabaseTransaction) -> Result<(), StorageError> {
        transaction.commit().await.map_err(|error| self.explain(error))
    }

    /// Turns an error of the database into one that says what to do.
    pub(crate) fn explain(&self, error: DbErr) -> StorageError {
        sqlite::explain(error, &self.path)
    }

    pub(crate) async fn close(&self) -> Result<(), StorageError> {
        self.reader.close_by_ref().await.map_err(|error| self.explain(error))?;
        self.writer.close_by_ref().await.map_err(|error| self.explain(error))
    }
}

/// SQLite: the write lock is taken at the start. Taken later, on the first write after a read, another
/// process could have written in between, and that fails at once instead of waiting.
pub(crate) fn write_options(connection: &DatabaseConnection) -> TransactionOptions {
    let is_sqlite = connection.get_database_backend() == DbBackend::Sqlite;
    TransactionOptions {
        sqlite_transaction_mode: is_sqlite.then_some(SqliteTransactionMode::Immediate),
        ..TransactionOptions::default()
    }
}
