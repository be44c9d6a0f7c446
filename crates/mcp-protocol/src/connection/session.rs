//! The legacy session of a connection: its level of log messages, its subscriptions, its calls, and the questions to it.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use jsonrpsee::types::ErrorObjectOwned;
use serde_json::value::RawValue;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use super::Outgoing;
use crate::error::{self, INVALID_PARAMS};
use crate::input::{Asker, Pending};
use crate::notify::Listener;
use crate::server::{Server, negotiated};
use crate::session::{
    MemorySessionStore, Session, SessionHandle, SessionLimits, SessionOwner, SessionStore as _,
};
use crate::wire::{InitializeParams, Request, Response};

/// Opened by `initialize`; nobody but its connection reaches it, and it goes with that.
pub(super) struct OwnSession {
    handle: SessionHandle,
    asker: Asker,
    news: News,
}

/// What has changed in the lists and in the resources that the session subscribes to.
enum News {
    /// Kept until the client is ready for them (2025-11-25, lifecycle: initialization).
    Kept(Listener),
    /// A task writes them.
    Told { _writer: AbortOnDropHandle<()> },
}

impl OwnSession {
    pub(super) async fn open(
        server: &Server,
        owner: &SessionOwner,
        request: &Request,
    ) -> Result<OwnSession, ErrorObjectOwned> {
        let params = initialize_params(request.params.as_deref())?;
        let session = new_session(params, owner, Timestamp::now());
        let store = Arc::new(MemorySessionStore::default());
        let handle = SessionHandle {
            id: session.id.clone(),
            store: Arc::clone(&store) as _,
            notifier: server.notifier().clone(),
        };
        let listener = server.notifier().listen_for_session(&session.id, []);
        let asker = Asker { pending: Arc::new(Pending::default()), client: session.id.clone() };
        store.create(session, SessionLimits::default()).await.map_err(|_| error::internal())?;
        Ok(OwnSession { handle, asker, news: News::Kept(listener) })
    }

    /// As `logging/setLevel` and the like have left it.
    pub(super) async fn now(&self) -> Result<Session, ErrorObjectOwned> {
        let session = self.handle.store.get(&self.handle.id).await.ok().flatten();
        session.ok_or_else(error::internal)
    }

    pub(super) fn handle(&self) -> SessionHandle {
        self.handle.clone()
    }

    pub(super) fn asker(&self) -> Asker {
        self.asker.clone()
    }

    pub(super) fn answered(&self, response: Response) {
        self.asker.pending.answer(&self.asker.client, response);
    }

    /// From now on, changes are written to the client: as fast as it reads, the rest is kept once by the listener.
    pub(super) fn tell_news(&mut self, outgoing: &mpsc::Sender<Outgoing>) {
        let News::Kept(listener) = &self.news else { return };
        let writer = tokio::spawn(write_news(listener.clone(), outgoing.clone()));
        self.news = News::Told { _writer: AbortOnDropHandle::new(writer) };
    }
}

impl Drop for OwnSession {
    fn drop(&mut self) {
        self.asker.pending.forget(&self.asker.client);
    }
}

async fn write_news(listener: Listener, outgoing: mpsc::Sender<Outgoing>) {
    loop {
        let Some(text) = listener.next().await.notification(None) else { continue };
        if outgoing.send(Outgoing::now(text)).await.is_err() {
            return;
        }
    }
}

fn initialize_params(params: Option<&RawValue>) -> Result<InitializeParams, ErrorObjectOwned> {
    // They are kept as long as the connection is, so they can't be of any size.
    const MOST: usize = 16 * 1024;
    let text = params.map_or("{}", RawValue::get);
    if text.len() > MOST {
        let message = format!("the params of initialize are larger than {MOST} bytes");
        return Err(error::error(INVALID_PARAMS, message));
    }
    serde_json::from_str(text)
        .map_err(|cause| error::error(INVALID_PARAMS, format!("invalid params: {cause}")))
}

fn new_session(params: InitializeParams, owner: &SessionOwner, now: Timestamp) -> Session {
    Session {
        id: Uuid::new_v4().to_string(),
        owner: Some(owner.0.clone()),
        client: owner.0.clone(),
        protocol_version: negotiated(&params.protocol_version),
        client_info: params.client_info,
        capabilities: params.capabilities,
        created_at: now,
        last_seen: now,
        log_level: None,
        subscriptions: BTreeSet::new(),
    }
}
