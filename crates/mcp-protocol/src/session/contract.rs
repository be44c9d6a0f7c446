//! What every [`SessionStore`] has to do; panics where one doesn't.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;

use super::{CALLS_KEPT, CallOutcome, CallRecord, Opened, Session, SessionLimits, SessionStore};
use crate::wire::{Implementation, LogLevel, ProtocolVersion};

const LIMITS: SessionLimits =
    SessionLimits { max_sessions: 3, max_per_client: 2, idle_timeout: Duration::from_secs(100) };

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap_or(Timestamp::UNIX_EPOCH)
}

fn session(id: &str, client: &str, second: i64) -> Session {
    Session {
        id: id.to_owned(),
        owner: Some("alice".to_owned()),
        client: client.to_owned(),
        protocol_version: ProtocolVersion::V2025_11_25,
        client_info: Implementation {
            name: "client".to_owned(),
            version: "1".to_owned(),
            ..Implementation::default()
        },
        capabilities: serde_json::json!({"roots": {}}),
        created_at: at(second),
        last_seen: at(second),
        log_level: None,
        subscriptions: BTreeSet::new(),
    }
}

fn call(number: usize) -> CallRecord {
    CallRecord {
        tool: format!("tool-{number}"),
        at: at(1000 + i64::try_from(number).unwrap_or_default()),
        duration_ms: 12,
        outcome: if number.is_multiple_of(2) { CallOutcome::Succeeded } else { CallOutcome::Failed },
        subject: number.is_multiple_of(3).then(|| format!("job-{number}")),
    }
}

async fn kept(store: &dyn SessionStore, id: &str) -> Option<Session> {
    store.get(id).await.expect("get")
}

/// Runs the suite on an empty store.
pub async fn run(store: &dyn SessionStore) {
    nothing_is_there(store).await;
    caps(store).await;
    changes(store).await;
    calls(store).await;
}

async fn nothing_is_there(store: &dyn SessionStore) {
    assert_eq!(kept(store, "a").await, None, "an empty store has no session");
    assert!(!store.touch("a", at(0)).await.expect("touch"), "nothing to touch");
    assert!(!store.delete("a").await.expect("delete"), "nothing to delete");
    assert!(!store.set_log_level("a", LogLevel::Info).await.expect("set_log_level"));
    assert!(!store.set_subscribed("a", "x:y", true).await.expect("set_subscribed"));
    store.record("a", call(1));
    assert_eq!(store.calls("a", 10).await.expect("calls"), [], "no session, no calls");
}

async fn caps(store: &dyn SessionStore) {
    let create = async |session: Session| store.create(session, LIMITS).await.expect("create");
    assert_eq!(create(session("a", "alice", 1000)).await, Opened::Opened);
    assert_eq!(kept(store, "a").await, Some(session("a", "alice", 1000)), "it comes back as it was");
    assert_eq!(create(session("b", "alice", 1001)).await, Opened::Opened);
    assert_eq!(create(session("c", "alice", 1002)).await, Opened::TooManyOfClient);
    assert_eq!(kept(store, "c").await, None, "a refused session isn't kept");
    assert_eq!(create(session("d", "bob", 1003)).await, Opened::Opened);
    assert_eq!(create(session("e", "carol", 1004)).await, Opened::TooMany);

    assert!(store.touch("a", at(1050)).await.expect("touch"));
    assert_eq!(kept(store, "a").await.map(|session| session.last_seen), Some(at(1050)));
    assert_eq!(create(session("f", "alice", 1110)).await, Opened::Opened, "those that are idle make room");
    assert!(kept(store, "a").await.is_some(), "one that was used stays");
    assert!(kept(store, "b").await.is_none() && kept(store, "d").await.is_none(), "idle ones are gone");

    assert!(store.delete("f").await.expect("delete"));
    assert_eq!(kept(store, "f").await, None);
}

async fn changes(store: &dyn SessionStore) {
    assert!(store.set_log_level("a", LogLevel::Warning).await.expect("set_log_level"));
    for uri in ["x:1", "x:2", "x:1"] {
        assert!(store.set_subscribed("a", uri, true).await.expect("set_subscribed"));
    }
    assert!(store.set_subscribed("a", "x:2", false).await.expect("set_subscribed"));
    let session = kept(store, "a").await.expect("the session");
    assert_eq!(session.log_level, Some(LogLevel::Warning));
    assert_eq!(session.subscriptions.into_iter().collect::<Vec<_>>(), ["x:1"]);
}

async fn calls(store: &dyn SessionStore) {
    for number in 0..CALLS_KEPT + 5 {
        store.record("a", call(number));
    }
    let newest = store.calls("a", 2).await.expect("calls");
    assert_eq!(newest, [call(CALLS_KEPT + 4), call(CALLS_KEPT + 3)], "the newest first");
    let all = store.calls("a", usize::MAX).await.expect("calls");
    assert_eq!(all.len(), CALLS_KEPT, "the oldest go");
    assert!(store.delete("a").await.expect("delete"));
    assert_eq!(store.calls("a", 10).await.expect("calls"), [], "they end with their session");
}
