//! Tool calls of sessions. They end with their session.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "session_calls")]
pub(crate) struct Model {
    /// In the order in which they were recorded.
    #[sea_orm(primary_key)]
    pub(crate) id: i64,
    pub(crate) session_id: String,
    pub(crate) tool: String,
    pub(crate) at: i64,
    pub(crate) duration_ms: i64,
    pub(crate) outcome: String,
    pub(crate) subject: Option<String>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
