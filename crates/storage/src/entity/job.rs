//! Jobs of the queue. The big columns stand last, so that the small ones are read without them.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
// Not `jobs`: the Python original has a table of that name in the file that `db_path` of its configuration names.
#[sea_orm(table_name = "queue_jobs")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) id: String,
    pub(crate) owner: String,
    pub(crate) kind: String,
    pub(crate) priority: i32,
    pub(crate) state: String,
    pub(crate) attempt: i64,
    pub(crate) max_attempts: i64,
    pub(crate) idempotency_key: Option<String>,
    pub(crate) created_at: i64,
    pub(crate) run_after: i64,
    pub(crate) started_at: Option<i64>,
    pub(crate) finished_at: Option<i64>,
    pub(crate) deadline: Option<i64>,
    pub(crate) cancel_requested: bool,
    pub(crate) lease_expires_at: Option<i64>,
    pub(crate) fence: i64,
    /// Who claimed it last; for people.
    pub(crate) worker: Option<String>,
    #[sea_orm(column_type = "Text")]
    pub(crate) payload: String,
    #[sea_orm(column_type = "Text", nullable)]
    pub(crate) checkpoint: Option<String>,
    #[sea_orm(column_type = "Text", nullable)]
    pub(crate) result: Option<String>,
    #[sea_orm(column_type = "Text", nullable)]
    pub(crate) error: Option<String>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
