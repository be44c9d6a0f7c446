//! The store of sessions of MCP clients, which so outlive a restart.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use mcp_protocol::{CallRecord, LogLevel, Opened, Session, SessionError, SessionLimits, SessionStore};
use sea_orm::{ActiveValue::Set, ColumnTrait, DbErr, EntityTrait, PaginatorTrait, QueryFilter};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::database::Database;
use crate::entity::session::{ActiveModel, Column, Entity, Model};
use crate::error::StorageError;
use crate::time::{from_millis, to_millis};

/// Sessions in the database.
pub(crate) struct SqlSessionStore {
    db: Arc<Database>,
}

impl SqlSessionStore {
    pub(crate) fn new(db: Arc<Database>) -> SqlSessionStore {
        SqlSessionStore { db }
    }

    fn failed(&self, error: DbErr) -> SessionError {
        failed(self.db.explain(error))
    }
}

#[async_trait]
impl SessionStore for SqlSessionStore {
    async fn create(&self, session: Session, limits: SessionLimits) -> Result<Opened, SessionError> {
        let transaction = self.db.begin().await.map_err(failed)?;
        let idle_since = to_millis(limits.idle_since(session.created_at));
        let idle = Entity::delete_many().filter(Column::LastSeen.lt(idle_since));
        idle.exec(&transaction).await.map_err(|error| self.failed(error))?;
        let count = Entity::find().count(&transaction).await.map_err(|error| self.failed(error))?;
        if count >= limits.max_sessions as u64 {
            return Ok(Opened::TooMany);
        }
        let row = to_row(&session).map_err(failed)?;
        Entity::insert(row).exec_without_returning(&transaction).await.map_err(|error| self.failed(error))?;
        self.db.commit(transaction).await.map_err(failed)?;
        Ok(Opened::Opened)
    }

    async fn get(&self, id: &str) -> Result<Option<Session>, SessionError> {
        let row = Entity::find_by_id(id).one(&self.db.reader).await.map_err(|error| self.failed(error))?;
        row.map(from_row).transpose().map_err(failed)
    }

    async fn touch(&self, id: &str, now: Timestamp) -> Result<bool, SessionError> {
        let row = ActiveModel { last_seen: Set(to_millis(now)), ..ActiveModel::default() };
        let update = Entity::update_many().set(row).filter(Column::Id.eq(id));
        let done = update.exec(&self.db.writer).await.map_err(|error| self.failed(error))?;
        Ok(done.rows_affected > 0)
    }

    async fn delete(&self, id: &str) -> Result<bool, SessionError> {
        let done =
            Entity::delete_by_id(id).exec(&self.db.writer).await.map_err(|error| self.failed(error))?;
        Ok(done.rows_affected > 0)
    }

    async fn set_log_level(&self, id: &str, _: LogLevel) -> Result<bool, SessionError> {
        Ok(self.get(id).await?.is_some())
    }

    async fn set_subscribed(&self, id: &str, _: &str, _: bool) -> Result<bool, SessionError> {
        Ok(self.get(id).await?.is_some())
    }

    fn record(&self, _: &str, _: CallRecord) {}

    async fn calls(&self, _: &str, _: usize) -> Result<Vec<CallRecord>, SessionError> {
        Ok(Vec::new())
    }
}

fn failed(error: StorageError) -> SessionError {
    SessionError(Box::new(error))
}

/// The id of a session lets its bearer in, so it isn't named.
fn broken(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StorageError {
    StorageError::Row { table: "sessions", id: "…".to_owned(), source: source.into() }
}

fn to_row(session: &Session) -> Result<ActiveModel, StorageError> {
    Ok(ActiveModel {
        id: Set(session.id.clone()),
        owner: Set(session.owner.clone()),
        protocol_version: Set(to_json(&session.protocol_version)?),
        client_info: Set(to_json(&session.client_info)?),
        capabilities: Set(to_json(&session.capabilities)?),
        created_at: Set(to_millis(session.created_at)),
        last_seen: Set(to_millis(session.last_seen)),
    })
}

fn from_row(row: Model) -> Result<Session, StorageError> {
    Ok(Session {
        id: row.id,
        owner: row.owner,
        protocol_version: from_json(&row.protocol_version)?,
        client_info: from_json(&row.client_info)?,
        capabilities: from_json(&row.capabilities)?,
        created_at: from_millis(row.created_at).map_err(broken)?,
        last_seen: from_millis(row.last_seen).map_err(broken)?,
        client: String::new(),
        log_level: None,
        subscriptions: BTreeSet::new(),
    })
}

fn to_json(value: &impl Serialize) -> Result<String, StorageError> {
    serde_json::to_string(value).map_err(broken)
}

fn from_json<T: DeserializeOwned>(text: &str) -> Result<T, StorageError> {
    serde_json::from_str(text).map_err(broken)
}
