//! Everything that is kept, behind one handle.

use std::sync::Arc;

use auth::KeyStore;
use job_queue::JobStore;
use mcp_protocol::SessionStore;

use crate::artifacts::ArtifactStore;
use crate::audit::Audit;
use crate::config::StorageConfig;
use crate::database::Database;
use crate::error::StorageError;
use crate::jobs::SqlJobStore;
use crate::keys::SqlKeyStore;
use crate::sessions::SqlSessionStore;
use crate::{folder, migration, sqlite};

/// The stores of a server, on one database and one folder of bytes. Cheap to clone.
///
/// The lock on the data folder is held until the last clone and the last store taken from one are dropped.
#[derive(Clone)]
pub struct Storage {
    pub(crate) db: Arc<Database>,
    jobs: Arc<SqlJobStore>,
    sessions: Arc<SqlSessionStore>,
    artifacts: ArtifactStore,
    audit: Audit,
}

impl Storage {
    /// Creates what is missing (folders with mode 700, files with mode 600), takes the lock, and brings the
    /// schema up to date. Must be called on a tokio runtime.
    pub async fn open(config: &StorageConfig) -> Result<Storage, StorageError> {
        let prepared = {
            let config = config.clone();
            tokio::task::spawn_blocking(move || folder::prepare(&config)).await
        };
        let prepared = prepared.map_err(|error| StorageError::Folder {
            path: config.artifacts_dir.clone(),
            source: error.into(),
        })??;
        // First the writer: it creates the log that readers need, and the tables.
        let writer = sqlite::open_writer(&prepared.database).await?;
        migration::run(&writer, &prepared.database).await?;
        let reader = sqlite::open_reader(&prepared.database).await?;
        drop(prepared.opening);
        let db = Arc::new(Database { reader, writer, path: prepared.database, _lock: prepared.lock });
        Ok(Storage {
            jobs: Arc::new(SqlJobStore::new(Arc::clone(&db))),
            sessions: Arc::new(SqlSessionStore::start(&db)),
            artifacts: ArtifactStore::new(Arc::clone(&db), &config.artifacts_dir, config.max_artifact_bytes)?,
            audit: Audit::start(&db),
            db,
        })
    }

    /// Jobs. All handles share one notification of new work.
    pub fn jobs(&self) -> Arc<dyn JobStore> {
        Arc::clone(&self.jobs) as Arc<dyn JobStore>
    }

    /// API keys.
    pub fn keys(&self) -> Arc<dyn KeyStore> {
        Arc::new(SqlKeyStore::new(Arc::clone(&self.db)))
    }

    /// Sessions of MCP clients. All handles share one queue of calls to be written.
    pub fn sessions(&self) -> Arc<dyn SessionStore> {
        Arc::clone(&self.sessions) as Arc<dyn SessionStore>
    }

    /// Images and other files.
    pub fn artifacts(&self) -> ArtifactStore {
        self.artifacts.clone()
    }

    /// Who did what.
    pub fn audit(&self) -> Audit {
        self.audit.clone()
    }

    /// Writes what waits to be written and closes the connections; every store fails afterwards. Without it,
    /// only audit entries and calls of sessions can be lost, those of the last moment.
    pub async fn close(&self) -> Result<(), StorageError> {
        self.sessions.flush().await;
        self.audit.flush().await;
        self.db.close().await
    }
}
