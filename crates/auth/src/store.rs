//! Where keys are kept: the trait, and the store in memory.

use std::error::Error;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use jiff::Timestamp;

use crate::key::{ApiKey, KeySource};

/// Why a store of keys could not answer.
#[derive(Debug, thiserror::Error)]
pub enum KeyStoreError {
    /// There is a key with this id.
    #[error("a key with the id `{id}` exists already")]
    Duplicate {
        /// The id of the refused key.
        id: String,
    },
    /// The database failed.
    #[error("the store of api keys failed")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
}

/// Keeps keys. The suite that every store passes is `auth::contract` (feature `contract`).
#[async_trait]
pub trait KeyStore: Send + Sync + 'static {
    /// Adds a key; [`KeyStoreError::Duplicate`] if its id is taken.
    async fn insert(&self, key: &ApiKey) -> Result<(), KeyStoreError>;

    /// The keys with this lookup, revoked and expired ones too, in order of id.
    async fn find_by_lookup(&self, lookup: &str) -> Result<Vec<ApiKey>, KeyStoreError>;

    /// All keys, the oldest first, then in order of id.
    async fn list(&self) -> Result<Vec<ApiKey>, KeyStoreError>;

    /// Revokes a key; `false` if there is none with this id. One that is revoked already keeps its time.
    async fn revoke(&self, id: &str, now: Timestamp) -> Result<bool, KeyStoreError>;

    /// Replaces all keys whose source is [`KeySource::ConfigFile`], in one transaction.
    async fn replace_config_keys(&self, keys: Vec<ApiKey>) -> Result<(), KeyStoreError>;
}

/// Keys in memory, for tests.
#[derive(Debug, Default)]
pub struct MemoryKeyStore {
    keys: Mutex<Vec<ApiKey>>,
}

impl MemoryKeyStore {
    fn keys(&self) -> MutexGuard<'_, Vec<ApiKey>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl KeyStore for MemoryKeyStore {
    async fn insert(&self, key: &ApiKey) -> Result<(), KeyStoreError> {
        let mut keys = self.keys();
        if keys.iter().any(|other| other.id == key.id) {
            return Err(KeyStoreError::Duplicate { id: key.id.clone() });
        }
        keys.push(key.clone());
        Ok(())
    }

    async fn find_by_lookup(&self, lookup: &str) -> Result<Vec<ApiKey>, KeyStoreError> {
        let mut found: Vec<ApiKey> = self.keys().iter().filter(|key| key.lookup == lookup).cloned().collect();
        found.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(found)
    }

    async fn list(&self) -> Result<Vec<ApiKey>, KeyStoreError> {
        let mut all = self.keys().clone();
        all.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        Ok(all)
    }

    async fn revoke(&self, id: &str, now: Timestamp) -> Result<bool, KeyStoreError> {
        let mut keys = self.keys();
        let Some(key) = keys.iter_mut().find(|key| key.id == id) else {
            return Ok(false);
        };
        key.revoked_at.get_or_insert(now);
        Ok(true)
    }

    async fn replace_config_keys(&self, new: Vec<ApiKey>) -> Result<(), KeyStoreError> {
        let mut keys = self.keys();
        let mut next: Vec<ApiKey> =
            keys.iter().filter(|key| key.source != KeySource::ConfigFile).cloned().collect();
        for key in new {
            if next.iter().any(|other| other.id == key.id) {
                return Err(KeyStoreError::Duplicate { id: key.id });
            }
            next.push(key);
        }
        *keys = next;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn the_store_in_memory_passes_the_suite() {
        crate::contract::run(async || Arc::new(MemoryKeyStore::default()) as Arc<dyn KeyStore>).await;
    }
}
