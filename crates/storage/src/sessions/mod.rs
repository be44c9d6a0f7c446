//! The store of sessions of MCP clients, which so outlive a restart.
//!
//! The id of a session lets its bearer in: no error and no line of the log names one.

mod calls;
mod row;

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use mcp_protocol::{CallRecord, LogLevel, Opened, Session, SessionError, SessionLimits, SessionStore};
use sea_orm::sea_query::{Asterisk, Expr, ExprTrait as _};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QuerySelect, Select,
};

use self::calls::SessionCall;
use crate::batch::{BatchWriter, shortened};
use crate::database::Database;
use crate::entity::session::{ActiveModel, Column, Entity};
use crate::error::StorageError;
use crate::time::to_millis;

/// Sessions in the database.
pub(crate) struct SqlSessionStore {
    db: Arc<Database>,
    calls: BatchWriter<SessionCall>,
}

impl SqlSessionStore {
    /// Must be called on a tokio runtime.
    pub(crate) fn start(db: &Arc<Database>) -> SqlSessionStore {
        SqlSessionStore { db: Arc::clone(db), calls: BatchWriter::start(db) }
    }

    /// Waits until the calls that were recorded before are written.
    pub(crate) async fn flush(&self) {
        self.calls.flush().await;
    }

    /// Sets columns; false if there is no such session.
    async fn update(
        &self,
        id: &str,
        changed: ActiveModel,
        connection: &impl ConnectionTrait,
    ) -> Result<bool, SessionError> {
        let update = Entity::update_many().set(changed).filter(Column::Id.eq(id));
        let done = update.exec(connection).await.map_err(|error| self.failed(error))?;
        Ok(done.rows_affected > 0)
    }

    fn failed(&self, error: DbErr) -> SessionError {
        failed(self.db.explain(error))
    }
}

#[async_trait]
impl SessionStore for SqlSessionStore {
    async fn create(&self, session: Session, limits: SessionLimits) -> Result<Opened, SessionError> {
        let row = row::from_session(&session).map_err(failed)?;
        // Under the write lock, also of other processes, nobody can come in between the count and the insertion.
        let transaction = self.db.begin().await.map_err(failed)?;
        let mut opened =
            room(&session.client, limits, &transaction).await.map_err(|error| self.failed(error))?;
        if opened != Opened::Opened {
            let idle_since = to_millis(limits.idle_since(session.created_at));
            let idle = Entity::delete_many().filter(Column::LastSeen.lt(idle_since));
            idle.exec(&transaction).await.map_err(|error| self.failed(error))?;
            opened = room(&session.client, limits, &transaction).await.map_err(|error| self.failed(error))?;
        }
        if opened == Opened::Opened {
            let insert = Entity::insert(row).exec_without_returning(&transaction);
            insert.await.map_err(|error| self.failed(error))?;
        }
        self.db.commit(transaction).await.map_err(failed)?;
        Ok(opened)
    }

    async fn get(&self, id: &str) -> Result<Option<Session>, SessionError> {
        let row = Entity::find_by_id(id).one(&self.db.reader).await.map_err(|error| self.failed(error))?;
        row.map(row::to_session).transpose().map_err(failed)
    }

    async fn touch(&self, id: &str, now: Timestamp) -> Result<bool, SessionError> {
        let changed = ActiveModel { last_seen: Set(to_millis(now)), ..ActiveModel::default() };
        self.update(id, changed, &self.db.writer).await
    }

    async fn delete(&self, id: &str) -> Result<bool, SessionError> {
        let done =
            Entity::delete_by_id(id).exec(&self.db.writer).await.map_err(|error| self.failed(error))?;
        Ok(done.rows_affected > 0)
    }

    async fn set_log_level(&self, id: &str, level: LogLevel) -> Result<bool, SessionError> {
        let changed =
            ActiveModel { log_level: Set(Some(level.as_str().to_owned())), ..ActiveModel::default() };
        self.update(id, changed, &self.db.writer).await
    }

    async fn set_subscribed(&self, id: &str, uri: &str, subscribed: bool) -> Result<bool, SessionError> {
        // What another has changed is read, and what this changes is there before another reads.
        let transaction = self.db.begin().await.map_err(failed)?;
        let found = Entity::find_by_id(id).select_only().column(Column::Subscriptions);
        let found: Option<String> =
            found.into_tuple().one(&transaction).await.map_err(|error| self.failed(error))?;
        let Some(found) = found else { return Ok(false) };
        let mut subscriptions: BTreeSet<String> = row::from_json(&found).map_err(failed)?;
        let differs =
            if subscribed { subscriptions.insert(uri.to_owned()) } else { subscriptions.remove(uri) };
        if differs {
            let subscriptions = row::to_json(&subscriptions).map_err(failed)?;
            let changed = ActiveModel { subscriptions: Set(subscriptions), ..ActiveModel::default() };
            self.update(id, changed, &transaction).await?;
            self.db.commit(transaction).await.map_err(failed)?;
        }
        Ok(true)
    }

    fn record(&self, id: &str, call: CallRecord) {
        let call = CallRecord { tool: shortened(call.tool), subject: call.subject.map(shortened), ..call };
        self.calls.push(SessionCall { session_id: id.to_owned(), call });
    }

    async fn calls(&self, id: &str, limit: usize) -> Result<Vec<CallRecord>, SessionError> {
        self.flush().await;
        let rows = calls::list(id, limit, &self.db.reader).await.map_err(|error| self.failed(error))?;
        rows.into_iter().map(row::to_call).collect::<Result<_, _>>().map_err(failed)
    }
}

/// Whether one more fits.
async fn room(
    client: &str,
    limits: SessionLimits,
    transaction: &impl ConnectionTrait,
) -> Result<Opened, DbErr> {
    if count(Entity::find(), transaction).await? >= limits.max_sessions {
        return Ok(Opened::TooMany);
    }
    let of_client = count(Entity::find().filter(Column::Client.eq(client)), transaction).await?;
    Ok(if of_client >= limits.max_per_client { Opened::TooManyOfClient } else { Opened::Opened })
}

async fn count(sessions: Select<Entity>, transaction: &impl ConnectionTrait) -> Result<usize, DbErr> {
    let count = sessions.select_only().column_as(Expr::col(Asterisk).count(), "sessions");
    let count: Option<i64> = count.into_tuple().one(transaction).await?;
    Ok(usize::try_from(count.unwrap_or_default()).unwrap_or_default())
}

fn failed(error: StorageError) -> SessionError {
    SessionError(Box::new(error))
}
