//! What a session gains: whom it counts for, a log level, subscriptions, and a record of its calls.

use sea_orm_migration::schema::{big_integer, text, text_null};
use sea_orm_migration::sea_query::{
    ColumnDef, Expr, ExprTrait as _, ForeignKey, ForeignKeyAction, Query, Table, TableCreateStatement,
};
use sea_orm_migration::{DbErr, MigrationName, MigrationTrait, SchemaManager, async_trait};

use super::statement::{index, table};

pub(crate) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m0002_session_state"
    }
}

#[expect(elided_lifetimes_in_paths, reason = "with `<'_>` the method would no longer be the trait's")]
#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for mut column in columns() {
            manager.alter_table(Table::alter().table("sessions").add_column(&mut column).take()).await?;
        }
        // Of whom nobody owns, the address was never stored; such a session counts only among all.
        let mut client = Query::update();
        client
            .table("sessions")
            .value("client", Expr::col("owner"))
            .and_where(Expr::col("owner").is_not_null());
        manager.execute(client).await?;
        manager.create_table(session_calls()).await?;
        manager.create_index(index("sessions_client", "sessions", &["client"])).await?;
        manager.create_index(index("session_calls_session", "session_calls", &["session_id", "id"])).await
    }
}

fn columns() -> [ColumnDef; 3] {
    [text("client").default("").take(), text_null("log_level"), text("subscriptions").default("[]").take()]
}

fn session_calls() -> TableCreateStatement {
    let mut calls = table(
        "session_calls",
        [
            big_integer("id").primary_key().auto_increment().take(),
            text("session_id"),
            text("tool"),
            big_integer("at"),
            big_integer("duration_ms"),
            text("outcome"),
            text_null("subject"),
        ],
    );
    let mut session = ForeignKey::create();
    session.from("session_calls", "session_id").to("sessions", "id").on_delete(ForeignKeyAction::Cascade);
    calls.foreign_key(&mut session);
    calls
}
