//! The audit log: who called what, when, and how it ended.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use sea_orm::{
    ActiveValue::{NotSet, Set},
    ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
};

use crate::batch::{BatchWriter, Batched, shortened};
use crate::database::Database;
use crate::entity::audit::{ActiveModel, Column, Entity, Model};
use crate::error::StorageError;
use crate::time::{from_millis, to_millis};

/// One call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// When it ended.
    pub at: Timestamp,
    /// Who called.
    pub client_id: String,
    /// With which key.
    pub key_id: Option<String>,
    /// What was called, e.g. the name of a tool.
    pub action: String,
    /// How it ended.
    pub outcome: AuditOutcome,
    /// The stable code of the error, if there was one.
    pub code: Option<String>,
    /// The job that it made or concerned.
    pub job_id: Option<String>,
    /// How long it took.
    pub elapsed: Duration,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditOutcome {
    /// With a result.
    Succeeded,
    /// With an error.
    Failed,
    /// It wasn't allowed: no key, no permission, or too often.
    Denied,
}

/// Which entries to list; newest first.
#[derive(Clone, Debug)]
pub struct AuditFilter {
    /// Of this client alone.
    pub client_id: Option<String>,
    /// At most so many.
    pub limit: u64,
}

/// Writes and reads the log. Cheap to clone.
#[derive(Clone)]
pub struct Audit {
    db: Arc<Database>,
    writer: BatchWriter<AuditEntry>,
}

impl Audit {
    pub(crate) fn start(db: &Arc<Database>) -> Audit {
        Audit { db: Arc::clone(db), writer: BatchWriter::start(db) }
    }

    /// Notes a call. Returns at once; the entry is written soon after, together with others.
    pub fn record(&self, entry: AuditEntry) {
        self.writer.push(AuditEntry { action: shortened(entry.action), ..entry });
    }

    /// Waits until all that was recorded before is written.
    pub async fn flush(&self) {
        self.writer.flush().await;
    }

    /// The newest entries.
    pub async fn list(&self, filter: &AuditFilter) -> Result<Vec<AuditEntry>, StorageError> {
        let mut found =
            Entity::find().order_by_desc(Column::Id).limit(filter.limit.min(i64::MAX.unsigned_abs()));
        if let Some(client_id) = &filter.client_id {
            found = found.filter(Column::ClientId.eq(client_id.as_str()));
        }
        let rows = found.all(&self.db.reader).await.map_err(|error| self.db.explain(error))?;
        rows.into_iter().map(from_row).collect()
    }

    /// Deletes entries from before a time and gives their number.
    pub async fn prune(&self, before: Timestamp) -> Result<u64, StorageError> {
        let old = Entity::delete_many().filter(Column::At.lt(to_millis(before)));
        let done = old.exec(&self.db.writer).await.map_err(|error| self.db.explain(error))?;
        Ok(done.rows_affected)
    }
}

impl Batched for AuditEntry {
    const NAME: &'static str = "audit entries";

    async fn write(batch: Vec<AuditEntry>, db: &Database) -> Result<(), StorageError> {
        let rows = batch.into_iter().map(to_row);
        let insert = Entity::insert_many(rows).exec_without_returning(&db.writer).await;
        insert.map(drop).map_err(|error| db.explain(error))
    }
}

fn to_row(entry: AuditEntry) -> ActiveModel {
    ActiveModel {
        id: NotSet,
        at: Set(to_millis(entry.at)),
        client_id: Set(entry.client_id),
        key_id: Set(entry.key_id),
        action: Set(entry.action),
        outcome: Set(entry.outcome.as_str().to_owned()),
        code: Set(entry.code),
        job_id: Set(entry.job_id),
        elapsed_ms: Set(i64::try_from(entry.elapsed.as_millis()).unwrap_or(i64::MAX)),
    }
}

fn from_row(row: Model) -> Result<AuditEntry, StorageError> {
    let broken = |source| StorageError::Row { table: "audit_log", id: row.id.to_string(), source };
    let outcome = AuditOutcome::ALL.into_iter().find(|outcome| outcome.as_str() == row.outcome);
    Ok(AuditEntry {
        at: from_millis(row.at).map_err(|error| broken(error.into()))?,
        client_id: row.client_id,
        key_id: row.key_id,
        action: row.action,
        outcome: outcome.ok_or_else(|| broken("unknown outcome".into()))?,
        code: row.code,
        job_id: row.job_id,
        elapsed: Duration::from_millis(row.elapsed_ms.unsigned_abs()),
    })
}

impl AuditOutcome {
    /// Every outcome.
    pub const ALL: [AuditOutcome; 3] = [AuditOutcome::Succeeded, AuditOutcome::Failed, AuditOutcome::Denied];

    /// The name in snake case.
    pub fn as_str(self) -> &'static str {
        match self {
            AuditOutcome::Succeeded => "succeeded",
            AuditOutcome::Failed => "failed",
            AuditOutcome::Denied => "denied",
        }
    }
}
