//! The audit log.

use std::time::Duration;

use super::{Temporary, at};
use crate::{AuditEntry, AuditFilter, AuditOutcome};

fn entry(client_id: &str, second: i64) -> AuditEntry {
    AuditEntry {
        at: at(second),
        client_id: client_id.to_owned(),
        key_id: Some("abcdefgh".to_owned()),
        action: "generate_image".to_owned(),
        outcome: AuditOutcome::Denied,
        code: Some("rate_limited".to_owned()),
        job_id: None,
        elapsed: Duration::from_millis(12),
    }
}

fn all(client_id: Option<&str>, limit: u64) -> AuditFilter {
    AuditFilter { client_id: client_id.map(str::to_owned), limit }
}

#[tokio::test]
async fn entries_come_back_newest_first() {
    let temporary = Temporary::new().await;
    let audit = temporary.storage.audit();
    let (a, b) =
        (entry("alice", 0), AuditEntry { outcome: AuditOutcome::Succeeded, key_id: None, ..entry("bob", 1) });
    audit.record(a.clone());
    audit.record(b.clone());
    audit.flush().await;
    assert_eq!(audit.list(&all(None, 10)).await.unwrap(), [b.clone(), a.clone()]);
    assert_eq!(audit.list(&all(None, 1)).await.unwrap(), [b]);
    assert_eq!(audit.list(&all(Some("alice"), 10)).await.unwrap(), [a]);
}

#[tokio::test]
async fn closing_writes_what_waits() {
    let temporary = Temporary::new().await;
    let audit = temporary.storage.audit();
    for second in 0..250 {
        audit.record(entry("alice", second));
    }
    temporary.storage.close().await.unwrap();
    drop(audit);
    let temporary = temporary.reopened().await;
    assert_eq!(temporary.storage.audit().list(&all(None, 1000)).await.unwrap().len(), 250);
}

#[tokio::test]
async fn old_entries_are_pruned() {
    let temporary = Temporary::new().await;
    let audit = temporary.storage.audit();
    for second in 0..10 {
        audit.record(entry("alice", second));
    }
    audit.flush().await;
    assert_eq!(audit.prune(at(7)).await.unwrap(), 7);
    assert_eq!(audit.list(&all(None, 100)).await.unwrap().len(), 3);
}

#[tokio::test]
async fn a_long_name_is_cut() {
    let temporary = Temporary::new().await;
    let audit = temporary.storage.audit();
    audit.record(AuditEntry { action: "ä".repeat(100_000), ..entry("alice", 0) });
    audit.flush().await;
    assert_eq!(audit.list(&all(None, u64::MAX)).await.unwrap()[0].action, "ä".repeat(128));
}
