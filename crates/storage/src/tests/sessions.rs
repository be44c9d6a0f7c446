//! What the suite doesn't ask of the store of sessions: restarts, several servers, floods, and discretion.

use std::collections::BTreeSet;
use std::time::Duration;

use mcp_protocol::session::CALLS_KEPT;
use mcp_protocol::wire::{Implementation, ProtocolVersion};
use mcp_protocol::{CallOutcome, CallRecord, LogLevel, Opened, Session, SessionLimits};
use sea_orm::ConnectionTrait as _;
use sea_orm_migration::MigratorTrait as _;
use serde_json::json;

use super::{Temporary, at, full_text};
use crate::migration::Migrator;
use crate::{Storage, StorageConfig};

const LIMITS: SessionLimits =
    SessionLimits { max_sessions: 100, max_per_client: 100, idle_timeout: Duration::from_hours(1) };

fn session(id: &str, client: &str) -> Session {
    Session {
        id: id.to_owned(),
        owner: Some(client.to_owned()),
        client: client.to_owned(),
        protocol_version: ProtocolVersion::V2025_06_18,
        client_info: Implementation {
            name: "agent".to_owned(),
            version: "1".to_owned(),
            ..Implementation::default()
        },
        capabilities: json!({"sampling": {}}),
        created_at: at(0),
        last_seen: at(0),
        log_level: None,
        subscriptions: BTreeSet::new(),
    }
}

fn call(number: u64) -> CallRecord {
    CallRecord {
        tool: "generate_image".to_owned(),
        at: at(1),
        duration_ms: number,
        outcome: CallOutcome::Cancelled,
        subject: Some(format!("job-{number}")),
    }
}

async fn open(storage: &Storage, session: Session) {
    assert_eq!(storage.sessions().create(session, LIMITS).await.unwrap(), Opened::Opened);
}

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    let temporary = Temporary::new().await;
    let sessions = temporary.storage.sessions();
    open(&temporary.storage, session("a", "alice")).await;
    assert!(sessions.set_log_level("a", LogLevel::Emergency).await.unwrap());
    assert!(sessions.set_subscribed("a", "comfy://jobs/1", true).await.unwrap());
    for number in 0..150 {
        sessions.record("a", call(number));
    }
    drop(sessions);
    temporary.storage.close().await.unwrap();

    let temporary = temporary.reopened().await;
    let sessions = temporary.storage.sessions();
    let expect = Session {
        log_level: Some(LogLevel::Emergency),
        subscriptions: BTreeSet::from(["comfy://jobs/1".to_owned()]),
        ..session("a", "alice")
    };
    assert_eq!(sessions.get("a").await.unwrap(), Some(expect));
    let calls: Vec<_> = (0..150).rev().map(call).collect();
    assert_eq!(sessions.calls("a", usize::MAX).await.unwrap(), calls);
}

#[tokio::test]
async fn a_database_of_the_first_schema_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let config = StorageConfig::in_folder(folder.path());
    let old = sea_orm::Database::connect(format!("sqlite://{}?mode=rwc", config.db_url)).await.unwrap();
    Migrator::up(&old, Some(1)).await.unwrap();
    for (id, owner) in [("owned", "'alice'"), ("unowned", "NULL")] {
        let row = format!(
            r#"INSERT INTO sessions
            (id, owner, protocol_version, client_info, capabilities, created_at, last_seen) VALUES
            ('{id}', {owner}, '"2025-06-18"', '{{"name":"agent","version":"1"}}', '{{"sampling":{{}}}}', {time}, {time})"#,
            time = at(0).as_millisecond()
        );
        old.execute_unprepared(&row).await.unwrap();
    }
    old.close().await.unwrap();

    let storage = Storage::open(&config).await.unwrap();
    let sessions = storage.sessions();
    assert_eq!(sessions.get("owned").await.unwrap(), Some(session("owned", "alice")));
    let unowned = Session { owner: None, ..session("unowned", "") };
    assert_eq!(sessions.get("unowned").await.unwrap(), Some(unowned));

    let limits = SessionLimits { max_per_client: 1, ..LIMITS };
    assert_eq!(sessions.create(session("b", "alice"), limits).await.unwrap(), Opened::TooManyOfClient);
    assert!(sessions.set_log_level("owned", LogLevel::Debug).await.unwrap());
    assert!(sessions.set_subscribed("owned", "x:y", true).await.unwrap());
    sessions.record("owned", call(1));
    assert_eq!(sessions.calls("owned", 10).await.unwrap(), [call(1)]);
    assert!(sessions.delete("owned").await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_caps_hold_when_many_come_at_once_to_two_servers() {
    let temporary = Temporary::new().await;
    let beside = temporary.beside().await;
    let limits = SessionLimits { max_sessions: 20, max_per_client: 8, ..LIMITS };
    let tasks = (0..60).map(|n| {
        let sessions = if n % 2 == 0 { temporary.storage.sessions() } else { beside.sessions() };
        // The first client alone has more than it may, all together more than there may be.
        let client = if n < 30 { "greedy".to_owned() } else { format!("client {n}") };
        tokio::spawn(async move {
            let id = format!("session {n}");
            let opened = sessions.create(session(&id, &client), limits).await.unwrap();
            let is_kept = sessions.get(&id).await.unwrap().is_some();
            assert_eq!(is_kept, opened == Opened::Opened, "{opened:?}");
            (client, opened)
        })
    });
    let mut opened = Vec::new();
    for task in tasks.collect::<Vec<_>>() {
        let (client, outcome) = task.await.unwrap();
        if outcome == Opened::Opened {
            opened.push(client);
        }
    }
    let greedy = opened.iter().filter(|client| *client == "greedy").count();
    assert_eq!(opened.len(), 20);
    assert!(greedy <= 8, "{greedy}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_servers_change_one_session_and_nothing_is_lost() {
    let temporary = Temporary::new().await;
    let beside = temporary.beside().await;
    open(&temporary.storage, session("a", "alice")).await;
    let tasks = (0..40).map(|n| {
        let sessions = if n % 2 == 0 { temporary.storage.sessions() } else { beside.sessions() };
        tokio::spawn(async move {
            let (kept, dropped) = (format!("x:{n:02}"), format!("y:{n}"));
            assert!(sessions.set_subscribed("a", &dropped, true).await.unwrap());
            assert!(sessions.set_subscribed("a", &kept, true).await.unwrap());
            assert!(sessions.set_subscribed("a", &dropped, false).await.unwrap());
            sessions.record("a", call(n));
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    let (sessions, beside) = (temporary.storage.sessions(), beside.sessions());
    let found = beside.get("a").await.unwrap().unwrap().subscriptions;
    assert_eq!(found, (0..40).map(|n| format!("x:{n:02}")).collect());
    // Each writes its own first.
    beside.calls("a", 1).await.unwrap();
    let calls = sessions.calls("a", 100).await.unwrap();
    let numbers: BTreeSet<u64> = calls.iter().map(|call| call.duration_ms).collect();
    assert_eq!(numbers, (0..40).collect());
}

#[tokio::test]
async fn a_call_of_a_session_that_is_gone_takes_no_other_with_it() {
    let temporary = Temporary::new().await;
    let sessions = temporary.storage.sessions();
    for id in ["a", "b", "gone"] {
        open(&temporary.storage, session(id, "alice")).await;
    }
    for number in 0..CALLS_KEPT as u64 + 20 {
        sessions.record("a", call(number));
    }
    sessions.record("gone", call(1));
    sessions.record("b", call(1));
    sessions.delete("gone").await.unwrap();
    assert_eq!(sessions.calls("a", usize::MAX).await.unwrap().len(), CALLS_KEPT);
    assert_eq!(sessions.calls("b", 10).await.unwrap(), [call(1)], "what one has doesn't count for another");
    open(&temporary.storage, session("gone", "bob")).await;
    assert_eq!(sessions.calls("gone", 10).await.unwrap(), []);
}

#[tokio::test]
async fn a_flood_of_calls_is_dropped_and_not_waited_for() {
    let temporary = Temporary::new().await;
    let sessions = temporary.storage.sessions();
    open(&temporary.storage, session("a", "alice")).await;
    // Nothing else runs on this thread meanwhile, so nothing is written either.
    for number in 0..5000 {
        sessions.record("a", call(number));
    }
    let newest = sessions.calls("a", 1).await.unwrap();
    assert!(newest[0].duration_ms < 4999, "the queue has an end");
    sessions.record("a", call(5000));
    assert_eq!(sessions.calls("a", 1).await.unwrap(), [call(5000)], "and goes on");
}

#[tokio::test]
async fn long_texts_are_cut() {
    let temporary = Temporary::new().await;
    let sessions = temporary.storage.sessions();
    open(&temporary.storage, session("a", "alice")).await;
    let (tool, subject) = ("ä".repeat(100_000), Some("x".repeat(100_000)));
    sessions.record("a", CallRecord { tool, subject, ..call(1) });
    let found = sessions.calls("a", 1).await.unwrap().remove(0);
    assert_eq!((found.tool, found.subject), ("ä".repeat(128), Some("x".repeat(256))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn calls_that_are_written_do_not_hold_the_folder() {
    let mut temporary = Temporary::new().await;
    open(&temporary.storage, session("a", "alice")).await;
    for number in 0..8 {
        let sessions = temporary.storage.sessions();
        sessions.record("a", call(number));
        assert_eq!(sessions.calls("a", 1).await.unwrap(), [call(number)]);
        drop(sessions);
        temporary = temporary.reopened().await;
    }
}

#[tokio::test]
async fn calls_that_wait_do_not_hold_the_folder() {
    let temporary = Temporary::new().await;
    open(&temporary.storage, session("a", "alice")).await;
    temporary.storage.sessions().record("a", call(1));
    temporary.reopened().await;
}

#[tokio::test]
async fn no_error_tells_the_id_of_a_session() {
    let temporary = Temporary::new().await;
    let sessions = temporary.storage.sessions();
    open(&temporary.storage, session("secret", "alice")).await;
    let twice = sessions.create(session("secret", "alice"), LIMITS).await.unwrap_err();
    sessions.record("secret", call(1));
    sessions.calls("secret", 1).await.unwrap();
    let break_it = "UPDATE sessions SET subscriptions = '['; UPDATE session_calls SET outcome = 'x'";
    temporary.storage.db.writer.execute_unprepared(break_it).await.unwrap();
    let read = sessions.get("secret").await.unwrap_err();
    let changed = sessions.set_subscribed("secret", "x:y", true).await.unwrap_err();
    let listed = sessions.calls("secret", 1).await.unwrap_err();
    temporary.storage.close().await.unwrap();
    let closed = sessions.get("secret").await.unwrap_err();
    for error in [twice, read, changed, listed, closed] {
        let text = format!("{} {error:?}", full_text(&error));
        assert!(!text.contains("secret"), "{text}");
    }
}
