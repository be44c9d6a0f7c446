//! The first schema. Names are spelled out: the entities go on changing, this doesn't.

use sea_orm_migration::schema::{big_integer, big_integer_null, boolean, integer, text, text_null};
use sea_orm_migration::sea_query::{IndexCreateStatement, TableCreateStatement};
use sea_orm_migration::{DbErr, MigrationName, MigrationTrait, SchemaManager, async_trait};

use super::statement::{index, table, unique};

pub(crate) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m0001_initial"
    }
}

#[expect(elided_lifetimes_in_paths, reason = "with `<'_>` the method would no longer be the trait's")]
#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in [jobs(), api_keys(), sessions(), artifacts(), audit_log()] {
            manager.create_table(table).await?;
        }
        for index in indexes() {
            manager.create_index(index).await?;
        }
        Ok(())
    }
}

fn jobs() -> TableCreateStatement {
    table(
        "queue_jobs",
        [
            text("id").primary_key().take(),
            text("owner"),
            text("kind"),
            integer("priority"),
            text("state"),
            big_integer("attempt"),
            big_integer("max_attempts"),
            text_null("idempotency_key"),
            big_integer("created_at"),
            big_integer("run_after"),
            big_integer_null("started_at"),
            big_integer_null("finished_at"),
            big_integer_null("deadline"),
            boolean("cancel_requested"),
            big_integer_null("lease_expires_at"),
            big_integer("fence"),
            text_null("worker"),
            text("payload"),
            text_null("checkpoint"),
            text_null("result"),
            text_null("error"),
        ],
    )
}

fn api_keys() -> TableCreateStatement {
    table(
        "api_keys",
        [
            text("id").primary_key().take(),
            text("client_id"),
            text("lookup"),
            text("hash"),
            text("permissions"),
            text_null("rate_limit"),
            big_integer("created_at"),
            big_integer_null("expires_at"),
            big_integer_null("revoked_at"),
            text("source"),
        ],
    )
}

fn sessions() -> TableCreateStatement {
    table(
        "sessions",
        [
            text("id").primary_key().take(),
            text_null("owner"),
            text("protocol_version"),
            text("client_info"),
            text("capabilities"),
            big_integer("created_at"),
            big_integer("last_seen"),
        ],
    )
}

fn artifacts() -> TableCreateStatement {
    table(
        "artifacts",
        [
            text("id").primary_key().take(),
            text_null("job_id"),
            text_null("source"),
            text("owner"),
            text("media_type"),
            text("file_name"),
            big_integer("bytes"),
            text("sha256"),
            big_integer_null("width"),
            big_integer_null("height"),
            text_null("preview_media_type"),
            big_integer_null("preview_bytes"),
            big_integer("created_at"),
        ],
    )
}

fn audit_log() -> TableCreateStatement {
    table(
        "audit_log",
        [
            big_integer("id").primary_key().auto_increment().take(),
            big_integer("at"),
            text("client_id"),
            text_null("key_id"),
            text("action"),
            text("outcome"),
            text_null("code"),
            text_null("job_id"),
            big_integer("elapsed_ms"),
        ],
    )
}

fn indexes() -> Vec<IndexCreateStatement> {
    vec![
        unique("jobs_idempotency", "queue_jobs", &["owner", "idempotency_key"]),
        // The choice of the next job reads this index alone.
        index("jobs_claim", "queue_jobs", &["state", "priority", "run_after", "deadline"]),
        // When an owner's last job started.
        index("jobs_owner_start", "queue_jobs", &["owner", "started_at"]),
        index("jobs_owner_state", "queue_jobs", &["owner", "state"]),
        index("jobs_owner_id", "queue_jobs", &["owner", "id"]),
        index("jobs_finished", "queue_jobs", &["finished_at"]),
        index("api_keys_lookup", "api_keys", &["lookup"]),
        index("sessions_last_seen", "sessions", &["last_seen"]),
        unique("artifacts_source", "artifacts", &["job_id", "source"]),
        index("artifacts_owner_id", "artifacts", &["owner", "id"]),
        index("artifacts_created", "artifacts", &["created_at"]),
        index("audit_at", "audit_log", &["at"]),
        index("audit_client", "audit_log", &["client_id", "id"]),
    ]
}
