//! What is known of the files; their bytes are in the object store.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "artifacts")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) id: String,
    pub(crate) job_id: Option<String>,
    /// Where in the job it comes from.
    pub(crate) source: Option<String>,
    pub(crate) owner: String,
    pub(crate) media_type: String,
    pub(crate) file_name: String,
    pub(crate) bytes: i64,
    pub(crate) sha256: String,
    pub(crate) width: Option<i64>,
    pub(crate) height: Option<i64>,
    pub(crate) preview_media_type: Option<String>,
    pub(crate) preview_bytes: Option<i64>,
    pub(crate) created_at: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
