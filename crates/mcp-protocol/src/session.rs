//! Sessions of the legacy era, and where they are kept.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::notify::Notifier;
use crate::wire::{Implementation, LogLevel, ProtocolVersion};

/// Opened by `initialize` over HTTP and named by `Mcp-Session-Id` from then on.
///
/// Its `Debug` leaves out the id, which lets its bearer in.
#[derive(Clone, PartialEq)]
pub struct Session {
    /// Visible ASCII, impossible to guess.
    pub id: String,
    /// Whoever opened it, from [`SessionOwner`]; nobody else may use it.
    pub owner: Option<String>,
    /// Whom [`SessionLimits::max_per_client`] counts it for: the owner, else the address it was opened from.
    pub client: String,
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
    /// As `logging/setLevel` has set it.
    pub log_level: Option<LogLevel>,
    /// The resources of `resources/subscribe`, by URI.
    pub subscriptions: BTreeSet<String>,
}

/// A tool call of a session, when it has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CallRecord {
    /// Which tool.
    pub tool: String,
    /// When it was called.
    pub at: Timestamp,
    /// How long it took.
    pub duration_ms: u64,
    /// How it ended.
    pub outcome: CallOutcome,
    /// What it was about, for example the id of a job ([`crate::CallContext::set_subject`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
}

/// How a call has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CallOutcome {
    /// With a result.
    Succeeded,
    /// With an error, of the tool or of the protocol.
    Failed,
    /// The client cancelled it, or went away.
    Cancelled,
}

/// Whether a session was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opened {
    /// It is kept.
    Opened,
    /// There are [`SessionLimits::max_sessions`] already.
    TooMany,
    /// This client has [`SessionLimits::max_per_client`] already.
    TooManyOfClient,
}

/// Put into the extensions of an HTTP request by whatever authenticates it, so that a session belongs to its opener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionOwner(pub String);

/// How many sessions are kept, and how long without a request.
#[derive(Clone, Copy, Debug)]
pub struct SessionLimits {
    /// In all. Above it, `initialize` is refused: taking another's session away would let anybody end them all.
    pub max_sessions: usize,
    /// Of one [`Session::client`].
    pub max_per_client: usize,
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
    /// Removes the sessions that are past `limits` at `session.created_at`, and adds this one if there is room.
    async fn create(&self, session: Session, limits: SessionLimits) -> Result<Opened, SessionError>;
    /// The session, whether or not it is idle for too long: the caller decides.
    async fn get(&self, id: &str) -> Result<Option<Session>, SessionError>;
    /// Sets `last_seen`; false if there is no such session.
    async fn touch(&self, id: &str, now: Timestamp) -> Result<bool, SessionError>;
    /// Ends it, with its calls; false if there is no such session.
    async fn delete(&self, id: &str) -> Result<bool, SessionError>;
    /// Sets `log_level`; false if there is no such session.
    async fn set_log_level(&self, id: &str, level: LogLevel) -> Result<bool, SessionError>;
    /// Adds to `subscriptions`, or takes from them; false if there is no such session.
    async fn set_subscribed(&self, id: &str, uri: &str, subscribed: bool) -> Result<bool, SessionError>;
    /// Keeps a call, [`CALLS_KEPT`] of each session. Doesn't wait: a store that has to takes it to a queue, and may drop
    /// it when that is full. A session that is gone has no calls.
    fn record(&self, id: &str, call: CallRecord);
    /// The session's calls, the newest first, with those that were recorded just now.
    async fn calls(&self, id: &str, limit: usize) -> Result<Vec<CallRecord>, SessionError>;
}

/// The calls of a session that are kept; older ones go.
pub const CALLS_KEPT: usize = 200;

/// The session of a request, for whoever answers it.
#[derive(Clone)]
pub struct SessionHandle {
    pub(crate) id: String,
    pub(crate) store: Arc<dyn SessionStore>,
    pub(crate) notifier: Notifier,
}

impl SessionHandle {
    /// As in `Mcp-Session-Id`; on a connection of its own (stdio, WebSocket) nobody else knows it.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The tool calls of this session, the newest first.
    pub async fn calls(&self, limit: usize) -> Result<Vec<CallRecord>, SessionError> {
        self.store.calls(&self.id, limit).await
    }

    /// The resources that it subscribes to.
    pub(crate) async fn subscriptions(&self) -> Result<BTreeSet<String>, SessionError> {
        Ok(self.store.get(&self.id).await?.map(|session| session.subscriptions).unwrap_or_default())
    }

    pub(crate) fn record(&self, call: CallRecord) {
        self.store.record(&self.id, call);
    }

    pub(crate) async fn set_log_level(&self, level: LogLevel) -> Result<(), SessionError> {
        self.store.set_log_level(&self.id, level).await.map(drop)
    }

    pub(crate) async fn set_subscribed(&self, uri: &str, subscribed: bool) -> Result<(), SessionError> {
        self.store.set_subscribed(&self.id, uri, subscribed).await?;
        self.notifier.set_subscribed(&self.id, uri, subscribed);
        Ok(())
    }
}

impl std::fmt::Debug for SessionHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionHandle").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("owner", &self.owner)
            .field("client", &self.client)
            .field("protocol_version", &self.protocol_version)
            .field("client_info", &self.client_info)
            .field("capabilities", &self.capabilities)
            .field("created_at", &self.created_at)
            .field("last_seen", &self.last_seen)
            .field("log_level", &self.log_level)
            .field("subscriptions", &self.subscriptions)
            .finish_non_exhaustive()
    }
}

/// Sessions in memory: gone with the process.
#[derive(Debug, Default)]
pub struct MemorySessionStore {
    sessions: Mutex<HashMap<String, Kept>>,
}

#[derive(Debug)]
struct Kept {
    session: Session,
    calls: VecDeque<CallRecord>,
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
        SessionLimits { max_sessions: 1000, max_per_client: 100, idle_timeout: Duration::from_hours(1) }
    }
}

impl MemorySessionStore {
    fn with<T>(&self, act: impl FnOnce(&mut HashMap<String, Kept>) -> T) -> T {
        act(&mut self.sessions.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// False if there is no such session.
    fn change(&self, id: &str, act: impl FnOnce(&mut Kept)) -> bool {
        self.with(|sessions| sessions.get_mut(id).map(act).is_some())
    }
}

#[async_trait]
impl SessionStore for MemorySessionStore {
    async fn create(&self, session: Session, limits: SessionLimits) -> Result<Opened, SessionError> {
        let idle_since = limits.idle_since(session.created_at);
        Ok(self.with(|sessions| {
            let of_client = |sessions: &HashMap<String, Kept>| {
                sessions.values().filter(|kept| kept.session.client == session.client).count()
            };
            let full = |sessions: &HashMap<String, Kept>| {
                if sessions.len() >= limits.max_sessions {
                    Opened::TooMany
                } else if of_client(sessions) >= limits.max_per_client {
                    Opened::TooManyOfClient
                } else {
                    Opened::Opened
                }
            };
            if full(sessions) != Opened::Opened {
                sessions.retain(|_, kept| kept.session.last_seen >= idle_since);
            }
            let opened = full(sessions);
            if opened == Opened::Opened {
                sessions.insert(session.id.clone(), Kept { session, calls: VecDeque::new() });
            }
            opened
        }))
    }

    async fn get(&self, id: &str) -> Result<Option<Session>, SessionError> {
        Ok(self.with(|sessions| sessions.get(id).map(|kept| kept.session.clone())))
    }

    async fn touch(&self, id: &str, now: Timestamp) -> Result<bool, SessionError> {
        Ok(self.change(id, |kept| kept.session.last_seen = now))
    }

    async fn delete(&self, id: &str) -> Result<bool, SessionError> {
        Ok(self.with(|sessions| sessions.remove(id).is_some()))
    }

    async fn set_log_level(&self, id: &str, level: LogLevel) -> Result<bool, SessionError> {
        Ok(self.change(id, |kept| kept.session.log_level = Some(level)))
    }

    async fn set_subscribed(&self, id: &str, uri: &str, subscribed: bool) -> Result<bool, SessionError> {
        Ok(self.change(id, |kept| {
            if subscribed {
                kept.session.subscriptions.insert(uri.to_owned());
            } else {
                kept.session.subscriptions.remove(uri);
            }
        }))
    }

    fn record(&self, id: &str, call: CallRecord) {
        self.change(id, |kept| {
            kept.calls.truncate(CALLS_KEPT - 1);
            kept.calls.push_front(call);
        });
    }

    async fn calls(&self, id: &str, limit: usize) -> Result<Vec<CallRecord>, SessionError> {
        Ok(self.with(|sessions| {
            sessions.get(id).map(|kept| kept.calls.iter().take(limit).cloned().collect()).unwrap_or_default()
        }))
    }
}

#[cfg(any(test, feature = "contract"))]
pub mod contract;

#[cfg(test)]
mod tests {
    use super::{MemorySessionStore, contract};

    #[tokio::test]
    async fn memory_store_keeps_the_contract() {
        contract::run(&MemorySessionStore::default()).await;
    }
}
