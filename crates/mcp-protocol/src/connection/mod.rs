//! One client on a stream of messages of its own (stdio, WebSocket), in both eras at once.

mod session;
#[cfg(test)]
pub(crate) mod testing;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use jsonrpsee::Extensions;
use jsonrpsee::types::ErrorObjectOwned;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::context::RequestInfo;
use crate::error::{self, INVALID_PARAMS, INVALID_REQUEST, OVERLOADED};
use crate::server::{Answer, Head, Limits, Server};
use crate::session::SessionOwner;
use crate::wire::{Message, ParseError, Request, RequestId, Response, response};
use session::OwnSession;

/// What a transport reads goes in by [`Connection::receive`]; what it has to write comes out of the queue. Dropped, it
/// cancels what runs.
pub(crate) struct Connection {
    server: Server,
    /// What every request's extensions carry beside the server's own.
    extensions: Extensions,
    /// Whose places its requests take. A client that nobody has named counts as one for each connection, so that none
    /// takes the places of all.
    owner: SessionOwner,
    outgoing: mpsc::Sender<Outgoing>,
    /// Set by `initialize`: from then on, requests without modern `_meta` belong to it.
    session: Option<OwnSession>,
    running: Running,
    tasks: JoinSet<()>,
    stopping: bool,
}

/// A message on its way to the client.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) text: String,
    /// Since when it is in the queue, or waits for a place in it.
    pub(crate) since: Instant,
}

/// What `notifications/cancelled` can reach.
type Running = Arc<Mutex<HashMap<RequestId, Entry>>>;

struct Entry {
    cancelled: CancellationToken,
    /// A subscription: it doesn't end by itself.
    stays_open: bool,
}

impl Outgoing {
    pub(crate) fn now(text: String) -> Outgoing {
        Outgoing { text, since: Instant::now() }
    }
}

impl Connection {
    /// Whoever receives from `outgoing` writes it to the client; when that ends, so should the connection.
    pub(crate) fn new(
        server: Server,
        extensions: Extensions,
        outgoing: mpsc::Sender<Outgoing>,
    ) -> Connection {
        let owner = extensions.get::<SessionOwner>().or_else(|| server.extension()).cloned();
        Connection {
            owner: owner.unwrap_or_else(|| SessionOwner(format!("connection {}", Uuid::new_v4()))),
            server,
            extensions,
            outgoing,
            session: None,
            running: Running::default(),
            tasks: JoinSet::new(),
            stopping: false,
        }
    }

    pub(crate) fn limits(&self) -> &Limits {
        self.server.limits()
    }

    /// Takes one message. Waits only while the queue is full and there is an error to tell.
    pub(crate) async fn receive(&mut self, text: &[u8]) {
        match Message::parse(text) {
            Ok(Message::Request(request)) => {
                let id = request.id.clone();
                if let Err(error) = self.start(request).await {
                    self.send(Some(&id), Err(error)).await;
                }
            }
            Ok(Message::Notification { method, params }) => self.notified(&method, params.as_deref()),
            Ok(Message::Response(response)) => self.answered(response),
            Err(cause) => {
                let id = match &cause {
                    ParseError::Invalid { id, .. } => id.as_ref(),
                    ParseError::Syntax(_) => None,
                };
                self.send(id, Err(error::unparsable(&cause))).await;
            }
        }
        while self.tasks.try_join_next().is_some() {}
    }

    /// Tells the client that a message of it could not be taken.
    pub(crate) async fn refuse(&self, error: ErrorObjectOwned) {
        self.send(None, Err(error)).await;
    }

    /// From now on, new requests are refused.
    pub(crate) fn stop(&mut self) {
        self.stopping = true;
    }

    /// Waits until nothing runs. Cancel-safe.
    pub(crate) async fn idle(&mut self) {
        while self.tasks.join_next().await.is_some() {}
    }

    /// For a client that says no more: what runs may still answer for as long as [`crate::Limits::drain`]; what only
    /// the client could end is over.
    pub(crate) async fn finish(mut self) {
        self.session = None;
        for entry in self.running.lock().unwrap_or_else(PoisonError::into_inner).values() {
            if entry.stays_open {
                entry.cancelled.cancel();
            }
        }
        let drain = self.server.limits().drain;
        if tokio::time::timeout(drain, self.idle()).await.is_err() {
            self.tasks.shutdown().await;
        }
    }

    async fn start(&mut self, request: Request) -> Result<(), ErrorObjectOwned> {
        if self.stopping {
            return Err(error::error(OVERLOADED, "the server is stopping; connect again in a moment"));
        }
        let info = self.info(&request).await?;
        let id = request.id.clone();
        if self.running.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&id) {
            return Err(error::error(INVALID_REQUEST, "a request with this id is still running"));
        }
        let admitted = self.server.admit(&request.method, Some(&self.owner))?;
        let stays_open = request.method == "subscriptions/listen";
        let (mut extensions, mut asker) = (self.extensions.clone(), None);
        if let Some(session) = self.session.as_ref().filter(|_| info.session_id.is_some()) {
            extensions.insert(session.handle());
            asker = Some(session.asker());
        }
        let call = self.server.start(request, info, extensions, admitted, asker);
        let entry = Entry { cancelled: call.channel.cancelled.clone(), stays_open };
        self.running.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), entry);
        let (outgoing, running) = (self.outgoing.clone(), Arc::clone(&self.running));
        self.tasks.spawn(async move {
            let answer = call.drive(&outgoing, Outgoing::now).await;
            running.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
            if let Some(answer) = answer {
                // A closed queue means that the writer has failed, and then the connection ends.
                _ = outgoing.send(Outgoing::now(response(Some(&id), &answer))).await;
            }
        });
        Ok(())
    }

    /// The revision a request is in: its own `_meta`, or else what `initialize` has settled.
    async fn info(&mut self, request: &Request) -> Result<RequestInfo, ErrorObjectOwned> {
        let head = Head::read(request)?;
        if head.is_modern() {
            return head.into_modern(request);
        }
        let is_ping = request.method == "ping";
        if request.method == "initialize" {
            self.session = Some(OwnSession::open(&self.server, &self.owner, request).await?);
        } else if let Some(session) = self.session.as_mut().filter(|_| !is_ping) {
            session.tell_news(&self.outgoing);
        }
        match &self.session {
            Some(session) => Ok(head.into_legacy(request, session.now().await?)),
            None if is_ping => Ok(head.into_unopened(request)),
            None => {
                let message =
                    "open with initialize, or say in params._meta which protocol version this request is in";
                Err(error::error(INVALID_PARAMS, message))
            }
        }
    }

    /// Unknown ids and malformed notifications are ignored, as the specification asks.
    fn notified(&mut self, method: &str, params: Option<&RawValue>) {
        match method {
            "notifications/cancelled" => {
                if let Some(id) = cancelled_id(params)
                    && let Some(entry) = self.running.lock().unwrap_or_else(PoisonError::into_inner).get(&id)
                {
                    entry.cancelled.cancel();
                }
            }
            "notifications/initialized" => {
                if let Some(session) = &mut self.session {
                    session.tell_news(&self.outgoing);
                }
            }
            _ => {}
        }
    }

    /// The answer to a question of a tool, if one is open under this id.
    fn answered(&self, response: Response) {
        if let Some(session) = &self.session {
            session.answered(response);
        }
    }

    async fn send(&self, id: Option<&RequestId>, payload: Answer) {
        _ = self.outgoing.send(Outgoing::now(response(id, &payload))).await;
    }
}

/// The request that a `notifications/cancelled` names.
pub(crate) fn cancelled_id(params: Option<&RawValue>) -> Option<RequestId> {
    #[derive(Deserialize)]
    struct Cancelled {
        #[serde(rename = "requestId")]
        request_id: RequestId,
    }
    serde_json::from_str::<Cancelled>(params?.get()).ok().map(|cancelled| cancelled.request_id)
}

#[cfg(test)]
mod tests;
