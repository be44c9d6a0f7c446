//! The store of API keys.

use std::sync::Arc;

use async_trait::async_trait;
use auth::{ApiKey, KeySource, KeyStore, KeyStoreError};
use jiff::Timestamp;
use sea_orm::sea_query::{Expr, ExprTrait as _};
use sea_orm::{ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, SqlErr};

use crate::database::Database;
use crate::entity::key::{ActiveModel, Column, Entity, Model};
use crate::error::StorageError;
use crate::time::{from_millis, to_millis};

const CREATED: &str = "created";
const CONFIG_FILE: &str = "config_file";

/// Keys in the database.
pub(crate) struct SqlKeyStore {
    db: Arc<Database>,
}

impl SqlKeyStore {
    pub(crate) fn new(db: Arc<Database>) -> SqlKeyStore {
        SqlKeyStore { db }
    }

    async fn add(&self, key: &ApiKey, connection: &impl ConnectionTrait) -> Result<(), KeyStoreError> {
        let row = to_row(key).map_err(unavailable)?;
        match Entity::insert(row).exec_without_returning(connection).await {
            Ok(_) => Ok(()),
            Err(error) if matches!(error.sql_err(), Some(SqlErr::UniqueConstraintViolation(_))) => {
                Err(KeyStoreError::Duplicate { id: key.id.clone() })
            }
            Err(error) => Err(unavailable(self.db.explain(error))),
        }
    }
}

#[async_trait]
impl KeyStore for SqlKeyStore {
    async fn insert(&self, key: &ApiKey) -> Result<(), KeyStoreError> {
        self.add(key, &self.db.writer).await
    }

    async fn find_by_lookup(&self, lookup: &str) -> Result<Vec<ApiKey>, KeyStoreError> {
        let found = Entity::find().filter(Column::Lookup.eq(lookup)).order_by_asc(Column::Id);
        let rows = found.all(&self.db.reader).await.map_err(|error| unavailable(self.db.explain(error)))?;
        rows.into_iter().map(|row| from_row(row).map_err(unavailable)).collect()
    }

    async fn list(&self) -> Result<Vec<ApiKey>, KeyStoreError> {
        let all = Entity::find().order_by_asc(Column::CreatedAt).order_by_asc(Column::Id);
        let rows = all.all(&self.db.reader).await.map_err(|error| unavailable(self.db.explain(error)))?;
        rows.into_iter().map(|row| from_row(row).map_err(unavailable)).collect()
    }

    async fn revoke(&self, id: &str, now: Timestamp) -> Result<bool, KeyStoreError> {
        let first_time = Expr::col(Column::RevokedAt).if_null(to_millis(now));
        let update = Entity::update_many().col_expr(Column::RevokedAt, first_time).filter(Column::Id.eq(id));
        let done = update.exec(&self.db.writer).await.map_err(|error| unavailable(self.db.explain(error)))?;
        Ok(done.rows_affected > 0)
    }

    async fn replace_config_keys(&self, keys: Vec<ApiKey>) -> Result<(), KeyStoreError> {
        let transaction = self.db.begin().await.map_err(unavailable)?;
        Entity::delete_many()
            .filter(Column::Source.eq(CONFIG_FILE))
            .exec(&transaction)
            .await
            .map_err(|error| unavailable(self.db.explain(error)))?;
        for key in &keys {
            self.add(key, &transaction).await?;
        }
        self.db.commit(transaction).await.map_err(unavailable)
    }
}

fn unavailable(error: StorageError) -> KeyStoreError {
    KeyStoreError::Unavailable(Box::new(error))
}

fn broken(id: &str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StorageError {
    StorageError::Row { table: "api_keys", id: id.to_owned(), source: source.into() }
}

fn to_row(key: &ApiKey) -> Result<ActiveModel, StorageError> {
    let broken = |error| broken(&key.id, error);
    Ok(ActiveModel {
        id: Set(key.id.clone()),
        client_id: Set(key.client_id.clone()),
        lookup: Set(key.lookup.clone()),
        hash: Set(key.hash.clone()),
        permissions: Set(serde_json::to_string(&key.permissions).map_err(broken)?),
        rate_limit: Set(key
            .rate_limit
            .map(|limit| serde_json::to_string(&limit))
            .transpose()
            .map_err(broken)?),
        created_at: Set(to_millis(key.created_at)),
        expires_at: Set(key.expires_at.map(to_millis)),
        revoked_at: Set(key.revoked_at.map(to_millis)),
        source: Set(match key.source {
            KeySource::Created => CREATED.to_owned(),
            KeySource::ConfigFile => CONFIG_FILE.to_owned(),
        }),
    })
}

fn from_row(row: Model) -> Result<ApiKey, StorageError> {
    let id = row.id.clone();
    let time = |millis| from_millis(millis).map_err(|error| broken(&id, error));
    let source = match row.source.as_str() {
        CREATED => KeySource::Created,
        CONFIG_FILE => KeySource::ConfigFile,
        other => return Err(broken(&id, format!("unknown source {other:?}"))),
    };
    let rate_limit = row.rate_limit.as_deref().map(serde_json::from_str).transpose();
    Ok(ApiKey {
        client_id: row.client_id,
        lookup: row.lookup,
        hash: row.hash,
        permissions: serde_json::from_str(&row.permissions).map_err(|error| broken(&id, error))?,
        rate_limit: rate_limit.map_err(|error| broken(&id, error))?,
        created_at: time(row.created_at)?,
        expires_at: row.expires_at.map(time).transpose()?,
        revoked_at: row.revoked_at.map(time).transpose()?,
        source,
        id: row.id,
    })
}
