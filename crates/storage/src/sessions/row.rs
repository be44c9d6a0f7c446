//! A session and its calls as rows.

use jiff::Timestamp;
use mcp_protocol::{CallOutcome, CallRecord, LogLevel, Session};
use sea_orm::ActiveValue::{NotSet, Set};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::entity::{session, session_call};
use crate::error::StorageError;
use crate::time::{from_millis, to_millis};

const OUTCOMES: [(CallOutcome, &str); 3] = [
    (CallOutcome::Succeeded, "succeeded"),
    (CallOutcome::Failed, "failed"),
    (CallOutcome::Cancelled, "cancelled"),
];

pub(super) fn from_session(session: &Session) -> Result<session::ActiveModel, StorageError> {
    Ok(session::ActiveModel {
        id: Set(session.id.clone()),
        owner: Set(session.owner.clone()),
        protocol_version: Set(to_json(&session.protocol_version)?),
        client_info: Set(to_json(&session.client_info)?),
        capabilities: Set(to_json(&session.capabilities)?),
        created_at: Set(to_millis(session.created_at)),
        last_seen: Set(to_millis(session.last_seen)),
        client: Set(session.client.clone()),
        log_level: Set(session.log_level.map(|level| level.as_str().to_owned())),
        subscriptions: Set(to_json(&session.subscriptions)?),
    })
}

pub(super) fn to_session(row: session::Model) -> Result<Session, StorageError> {
    let log_level =
        |text: String| LogLevel::parse(&text).ok_or_else(|| broken("sessions", "unknown log level"));
    Ok(Session {
        id: row.id,
        owner: row.owner,
        client: row.client,
        protocol_version: from_json(&row.protocol_version)?,
        client_info: from_json(&row.client_info)?,
        capabilities: from_json(&row.capabilities)?,
        created_at: time("sessions", row.created_at)?,
        last_seen: time("sessions", row.last_seen)?,
        log_level: row.log_level.map(log_level).transpose()?,
        subscriptions: from_json(&row.subscriptions)?,
    })
}

pub(super) fn from_call(session_id: String, call: CallRecord) -> session_call::ActiveModel {
    let outcome = OUTCOMES.into_iter().find(|(outcome, _)| *outcome == call.outcome);
    session_call::ActiveModel {
        id: NotSet,
        session_id: Set(session_id),
        tool: Set(call.tool),
        at: Set(to_millis(call.at)),
        duration_ms: Set(i64::try_from(call.duration_ms).unwrap_or(i64::MAX)),
        outcome: Set(outcome.map_or("failed", |(_, name)| name).to_owned()),
        subject: Set(call.subject),
    }
}

pub(super) fn to_call(row: session_call::Model) -> Result<CallRecord, StorageError> {
    let outcome = OUTCOMES.into_iter().find(|(_, name)| *name == row.outcome);
    Ok(CallRecord {
        tool: row.tool,
        at: time("session_calls", row.at)?,
        duration_ms: row.duration_ms.unsigned_abs(),
        outcome: outcome
            .map(|(outcome, _)| outcome)
            .ok_or_else(|| broken("session_calls", "unknown outcome"))?,
        subject: row.subject,
    })
}

pub(super) fn to_json(value: &impl Serialize) -> Result<String, StorageError> {
    serde_json::to_string(value).map_err(|error| broken("sessions", error))
}

pub(super) fn from_json<T: DeserializeOwned>(text: &str) -> Result<T, StorageError> {
    serde_json::from_str(text).map_err(|error| broken("sessions", error))
}

fn time(table: &'static str, millis: i64) -> Result<Timestamp, StorageError> {
    from_millis(millis).map_err(|error| broken(table, error))
}

/// The id of a session lets its bearer in, so it isn't named.
fn broken(table: &'static str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StorageError {
    StorageError::Row { table, id: "…".to_owned(), source: source.into() }
}
