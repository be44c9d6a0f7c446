//! Sessions of the legacy era, and where they are kept.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::wire::{Implementation, ProtocolVersion};

/// Opened by `initialize` over HTTP and named by `Mcp-Session-Id` from then on.
#[derive(Clone, Debug, PartialEq)]
pub struct Session {
    /// Visible ASCII, impossible to guess.
    pub id: String,
    /// Whoever opened it, from [`SessionOwner`]; nobody else may use it.
    pub owner: Option<String>,
    /// As negotiated; always of the legacy era.
    pub protocol_version: ProtocolVersion,
    /// Who the client says it is.
    pub client_info: Implementation,
    /// What the client can do; an object.
    pub capabilities: Value,
    /// When it was opened.
    pub created_at: Timestamp,
    /// Of the last request, to within [`SessionLimits::TOUCH_EVERY`].
    pub last_seen: Timestamp,
}

/// Put into the extensions of an HTTP request by whatever authenticates it, so that a session belongs to its opener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionOwner(pub String);

/// How many sessions are kept, and how long without a request.
#[derive(Clone, Copy, Debug)]
pub struct SessionLimits {
    /// Above this the session that was idle longest goes; its client gets 404 and opens a new one.
    pub max_sessions: usize,
    /// A session without a request for longer than this is gone.
    pub idle_timeout: Duration,
}

/// A store failed; the request is answered with an internal error.
#[derive(Debug, thiserror::Error)]
#[error("the session store failed")]
pub struct SessionError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// Keeps sessions. Every store passes `contract::run` (feature `contract`).
#[async_trait]
pub trait SessionStore: Send + Sync + 'static {
    /// Adds a session. Removes those that are past `limits` at `session.created_at`, so that the new one fits.
    async fn create(&self, session: Session, limits: SessionLimits) -> Result<(), SessionError>;
    /// The session, whether or not it is idle for too long: the caller decides.
    async fn get(&self, id: &str) -> Result<Option<Session>, SessionError>;
    /// Sets `last_seen`; false if there is no such session.
    async fn touch(&self, id: &str, now: Timestamp) -> Result<bool, SessionError>;
    /// Ends it; false if there is no such session.
    async fn delete(&self, id: &str) -> Result<bool, SessionError>;
}

/// Sessions in memory: gone with the process.
#[derive(Debug, Default)]
pub struct MemorySessionStore {
    sessions: Mutex<HashMap<String, Session>>,
}

impl SessionLimits {
    /// A store is written to at most this often for each session.
    pub const TOUCH_EVERY: Duration = Duration::from_secs(30);

    /// A session last seen before this is gone at `now`.
    pub fn idle_since(&self, now: Timestamp) -> Timestamp {
        SignedDuration::try_from(self.idle_timeout)
            .ok()
            .and_then(|timeout| now.checked_sub(timeout).ok())
            .unwrap_or(Timestamp::MIN)
    }
}

impl Default for SessionLimits {
    fn default() -> Self {
        SessionLimits { max_sessions: 1000, idle_timeout: Duration::from_hours(1) }
    }
}

impl MemorySessionStore {
    fn with<T>(&self, act: impl FnOnce(&mut HashMap<String, Session>) -> T) -> T {
        act(&mut self.sessions.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl SessionStore for MemorySessionStore {
    async fn create(&self, session: Session, limits: SessionLimits) -> Result<(), SessionError> {
        let idle_since = limits.idle_since(session.created_at);
        self.with(|sessions| {
            if sessions.len() >= limits.max_sessions {
                sessions.retain(|_, kept| kept.last_seen >= idle_since);
            }
            while sessions.len() >= limits.max_sessions.max(1) {
                let oldest = sessions.values().min_by_key(|kept| kept.last_seen).map(|kept| kept.id.clone());
                let Some(oldest) = oldest else { break };
                sessions.remove(&oldest);
            }
            sessions.insert(session.id.clone(), session);
        });
        Ok(())
    }

    async fn get(&self, id: &str) -> Result<Option<Session>, SessionError> {
        Ok(self.with(|sessions| sessions.get(id).cloned()))
    }

    async fn touch(&self, id: &str, now: Timestamp) -> Result<bool, SessionError> {
        Ok(self.with(|sessions| sessions.get_mut(id).map(|session| session.last_seen = now).is_some()))
    }

    async fn delete(&self, id: &str) -> Result<bool, SessionError> {
        Ok(self.with(|sessions| sessions.remove(id).is_some()))
    }
}

/// What every [`SessionStore`] has to do; panics where one doesn't.
#[cfg(any(test, feature = "contract"))]
pub mod contract {
    use super::{Duration, Implementation, ProtocolVersion, Session, SessionLimits, SessionStore, Timestamp};

    fn session(id: &str, second: i64) -> Session {
        let at = Timestamp::from_second(second).unwrap_or(Timestamp::UNIX_EPOCH);
        Session {
            id: id.to_owned(),
            owner: Some("alice".to_owned()),
            protocol_version: ProtocolVersion::V2025_11_25,
            client_info: Implementation { name: "client".to_owned(), title: None, version: "1".to_owned() },
            capabilities: serde_json::json!({"roots": {}}),
            created_at: at,
            last_seen: at,
        }
    }

    async fn kept(store: &dyn SessionStore, id: &str) -> Option<Session> {
        store.get(id).await.expect("get")
    }

    /// Runs the suite on an empty store.
    pub async fn run(store: &dyn SessionStore) {
        let limits = SessionLimits { max_sessions: 2, idle_timeout: Duration::from_secs(100) };
        assert_eq!(kept(store, "a").await, None, "an empty store has no session");
        assert!(!store.touch("a", Timestamp::UNIX_EPOCH).await.expect("touch"), "nothing to touch");
        assert!(!store.delete("a").await.expect("delete"), "nothing to delete");

        store.create(session("a", 1000), limits).await.expect("create");
        assert_eq!(kept(store, "a").await, Some(session("a", 1000)), "a session comes back as it was");
        store.create(session("b", 1001), limits).await.expect("create");

        let later = Timestamp::from_second(1050).unwrap_or(Timestamp::UNIX_EPOCH);
        assert!(store.touch("a", later).await.expect("touch"));
        assert_eq!(kept(store, "a").await.map(|session| session.last_seen), Some(later));
        store.create(session("c", 1060), limits).await.expect("create");
        assert_eq!(kept(store, "b").await, None, "over the cap, the one idle longest goes");
        assert!(kept(store, "a").await.is_some() && kept(store, "c").await.is_some());

        store.create(session("d", 5000), limits).await.expect("create");
        assert!(
            kept(store, "a").await.is_none() && kept(store, "c").await.is_none(),
            "idle sessions are removed"
        );
        assert!(store.delete("d").await.expect("delete"));
        assert_eq!(kept(store, "d").await, None);
    }
}

#[cfg(test)]
mod tests {
    use super::{MemorySessionStore, contract};

    #[tokio::test]
    async fn memory_store_keeps_the_contract() {
        contract::run(&MemorySessionStore::default()).await;
    }
}
