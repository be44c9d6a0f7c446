//! Sessions of MCP clients.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "sessions")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) id: String,
    pub(crate) owner: Option<String>,
    pub(crate) protocol_version: String,
    #[sea_orm(column_type = "Text")]
    pub(crate) client_info: String,
    #[sea_orm(column_type = "Text")]
    pub(crate) capabilities: String,
    pub(crate) created_at: i64,
    pub(crate) last_seen: i64,
    /// Whom it counts for.
    pub(crate) client: String,
    pub(crate) log_level: Option<String>,
    /// A JSON array: it is read with every request, and seldom written.
    #[sea_orm(column_type = "Text")]
    pub(crate) subscriptions: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
