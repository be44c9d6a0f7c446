//! Who called what.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "audit_log")]
pub(crate) struct Model {
    #[sea_orm(primary_key)]
    pub(crate) id: i64,
    pub(crate) at: i64,
    pub(crate) client_id: String,
    pub(crate) key_id: Option<String>,
    pub(crate) action: String,
    pub(crate) outcome: String,
    pub(crate) code: Option<String>,
    pub(crate) job_id: Option<String>,
    pub(crate) elapsed_ms: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
