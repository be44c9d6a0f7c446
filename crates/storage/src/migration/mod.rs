//! The schema: which migrations there are, and when they run.

mod m0001_initial;
mod m0002_session_state;
mod statement;

use std::path::Path;

use sea_orm::{DatabaseConnection, TransactionTrait as _};
use sea_orm_migration::{MigrationTrait, MigratorTrait, async_trait};

use crate::database::write_options;
use crate::error::StorageError;
use crate::sqlite::explain;

pub(crate) struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(m0001_initial::Migration), Box::new(m0002_session_state::Migration)]
    }
}

/// Brings the schema up to date, all or nothing; a process that opens the same file meanwhile waits for the
/// end.
pub(crate) async fn run(writer: &DatabaseConnection, path: &Path) -> Result<(), StorageError> {
    let explain = |error| explain(error, path);
    let transaction = writer.begin_with_options(write_options(writer)).await.map_err(explain)?;
    let applied: Vec<String> = Migrator::get_migration_models(&transaction)
        .await
        .map_err(explain)?
        .into_iter()
        .map(|row| row.version)
        .collect();
    let known: Vec<String> = Migrator::migrations().iter().map(|known| known.name().to_owned()).collect();
    if let Some(migration) = applied.iter().find(|version| !known.contains(version)) {
        return Err(StorageError::NewerSchema { path: path.to_owned(), migration: migration.clone() });
    }
    if applied.len() < known.len() {
        let (from, to) = (applied.len(), known.len());
        tracing::info!(db.path = %path.display(), from, to, "migrating the database");
        Migrator::up(&transaction, None).await.map_err(explain)?;
    }
    transaction.commit().await.map_err(explain)
}
