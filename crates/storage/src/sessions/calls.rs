//! The tool calls of sessions: written in batches, the newest of each session kept.

use std::collections::BTreeSet;

use mcp_protocol::CallRecord;
use mcp_protocol::session::CALLS_KEPT;
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::row;
use crate::batch::Batched;
use crate::database::Database;
use crate::entity::session;
use crate::entity::session_call::{Column, Entity, Model};
use crate::error::StorageError;

/// A call that waits to be written.
pub(super) struct SessionCall {
    pub(super) session_id: String,
    pub(super) call: CallRecord,
}

impl Batched for SessionCall {
    const NAME: &'static str = "calls of sessions";

    async fn write(batch: Vec<SessionCall>, db: &Database) -> Result<(), StorageError> {
        let transaction = db.begin().await?;
        write(batch, &transaction).await.map_err(|error| db.explain(error))?;
        db.commit(transaction).await
    }
}

async fn write(batch: Vec<SessionCall>, transaction: &impl ConnectionTrait) -> Result<(), DbErr> {
    let mut sessions: BTreeSet<String> = batch.iter().map(|call| call.session_id.clone()).collect();
    // A session may have ended since; one that is there now stays until the commit.
    for id in sessions.clone() {
        if !is_there(&id, transaction).await? {
            sessions.remove(&id);
        }
    }
    let rows = batch.into_iter().filter(|call| sessions.contains(&call.session_id));
    let rows = rows.map(|call| row::from_call(call.session_id, call.call));
    Entity::insert_many(rows).exec_without_returning(transaction).await?;
    for id in &sessions {
        forget_old(id, transaction).await?;
    }
    Ok(())
}

async fn is_there(session_id: &str, transaction: &impl ConnectionTrait) -> Result<bool, DbErr> {
    let found = session::Entity::find_by_id(session_id).select_only().column(session::Column::Id);
    let found: Option<String> = found.into_tuple().one(transaction).await?;
    Ok(found.is_some())
}

async fn forget_old(session_id: &str, transaction: &impl ConnectionTrait) -> Result<(), DbErr> {
    let newest_old = newest(session_id).select_only().column(Column::Id).offset(CALLS_KEPT as u64);
    let newest_old: Option<i64> = newest_old.into_tuple().one(transaction).await?;
    let Some(newest_old) = newest_old else { return Ok(()) };
    let old =
        Entity::delete_many().filter(Column::SessionId.eq(session_id)).filter(Column::Id.lte(newest_old));
    old.exec(transaction).await.map(drop)
}

/// The newest first.
pub(super) async fn list(
    session_id: &str,
    limit: usize,
    reader: &impl ConnectionTrait,
) -> Result<Vec<Model>, DbErr> {
    newest(session_id).limit(limit.min(CALLS_KEPT) as u64).all(reader).await
}

fn newest(session_id: &str) -> sea_orm::Select<Entity> {
    Entity::find().filter(Column::SessionId.eq(session_id)).order_by_desc(Column::Id)
}
