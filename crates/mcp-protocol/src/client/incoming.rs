//! What a server sends besides answers: progress, notices, and requests of its own.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use jsonrpsee::types::ErrorObjectOwned;
use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::http::HttpTransport;
use super::input::{self, InputHandler};
use super::mailbox::Hub;
use super::notices::{self, Told};
use crate::error::{OVERLOADED, error, internal};
use crate::wire::{InputKind, InputRequest, ProgressUpdate, ProtocolVersion, Request, RequestId, response};

/// Questions of the server that are being answered; more are refused.
const MAX_QUESTIONS: usize = 16;

/// How long it may take to bring an answer to the server.
const DELIVERY: Duration = Duration::from_secs(30);

/// Where all that comes from one server goes.
pub(super) struct Incoming {
    handler: Option<Arc<dyn InputHandler>>,
    pub(super) kinds: Vec<InputKind>,
    pub(super) hub: Hub,
    /// Cancelled when the peer is closed.
    pub(super) closing: CancellationToken,
    /// Requests of the server are answered: only legacy revisions have them.
    legacy: AtomicBool,
    /// The server's requests that are being answered.
    questions: Mutex<HashMap<RequestId, CancellationToken>>,
    answering: AtomicUsize,
}

/// Where the answer to a request of the server goes.
#[derive(Clone)]
pub(super) enum Reply {
    Http(HttpTransport, ProtocolVersion),
    Stream(mpsc::WeakSender<String>),
}

/// The progress in a notification, if it is one and is readable.
pub(super) fn progress(method: &str, params: Option<&RawValue>) -> Option<ProgressUpdate> {
    if method != "notifications/progress" {
        return None;
    }
    serde_json::from_str(params?.get()).ok()
}

impl Incoming {
    pub(super) fn new(handler: Option<Arc<dyn InputHandler>>) -> Incoming {
        Incoming {
            kinds: handler.as_ref().map(|handler| handler.kinds()).unwrap_or_default(),
            handler,
            hub: Hub::default(),
            closing: CancellationToken::new(),
            legacy: AtomicBool::new(false),
            questions: Mutex::default(),
            answering: AtomicUsize::new(0),
        }
    }

    /// From now on requests of the server get an answer.
    pub(super) fn answer_requests(&self) {
        self.legacy.store(true, Ordering::Relaxed);
    }

    /// Whether somebody is busy with a question of the server.
    pub(super) fn is_answering(&self) -> bool {
        self.answering.load(Ordering::Relaxed) > 0
    }

    /// Takes a notification that isn't progress.
    pub(super) fn notification(&self, method: &str, params: Option<&RawValue>) {
        let bytes = params.map_or(0, |params| params.get().len());
        match notices::read(method, params) {
            Some(Told::Notice(notice, tag)) => self.hub.tell(&notice, tag, bytes),
            Some(Told::Agreed(tag, filter)) => self.hub.agreed(tag, &filter),
            None if method == "notifications/cancelled" => self.take_back(params),
            None => tracing::debug!(rpc.method = method, "a notification of the server is left aside"),
        }
    }

    /// Answers a request of the server, at once or when its question has an answer.
    pub(super) fn request(self: &Arc<Self>, request: Request, reply: Reply) {
        if !self.legacy.load(Ordering::Relaxed) {
            tracing::warn!(rpc.method = %request.method, "the server sent a request in a revision without any");
            return;
        }
        let Request { id, method, params } = request;
        if method == "ping" {
            return reply.at_once(&id, &to_raw_value(&Map::new()).map_err(|_| internal()));
        }
        let params = params.and_then(|params| serde_json::from_str(params.get()).ok());
        match input::question(&method, params).and_then(|question| self.accept(question)) {
            Ok(question) => self.answer_later(id, question, reply),
            Err(refusal) => reply.at_once(&id, &Err(refusal)),
        }
    }

    /// Answers a question, if the handler is for such.
    pub(super) async fn answer(&self, question: InputRequest) -> Result<Value, ErrorObjectOwned> {
        let question = self.accept(question)?;
        let Some(handler) = &self.handler else { return Err(input::undeclared(&question)) };
        let _answering = Answering::new(&self.answering);
        handler.answer(question).await
    }

    /// The connection has ended.
    pub(super) fn ended(&self, reason: &str) {
        self.hub.end(reason);
        for (_, question) in self.questions().drain() {
            question.cancel();
        }
    }

    fn accept(&self, question: InputRequest) -> Result<InputRequest, ErrorObjectOwned> {
        if self.kinds.contains(&question.kind()) { Ok(question) } else { Err(input::undeclared(&question)) }
    }

    fn answer_later(self: &Arc<Self>, id: RequestId, question: InputRequest, reply: Reply) {
        let taken_back = self.closing.child_token();
        {
            let mut questions = self.questions();
            if questions.contains_key(&id) {
                // A stream that was taken up again may repeat what is under way.
                return;
            }
            if questions.len() >= MAX_QUESTIONS {
                drop(questions);
                let refusal = error(OVERLOADED, "too many questions at once; ask again later");
                return reply.at_once(&id, &Err(refusal));
            }
            questions.insert(id.clone(), taken_back.clone());
        }
        let open = Open { incoming: Arc::clone(self), id };
        tokio::spawn(async move {
            // A handler that panics leaves the server waiting no more than one that fails.
            let answering = AssertUnwindSafe(open.incoming.answer(question)).catch_unwind();
            let answer = tokio::select! {
                answer = answering => answer.unwrap_or_else(|_| Err(internal())),
                () = taken_back.cancelled() => return,
            };
            let payload = answer.and_then(|answer| to_raw_value(&answer).map_err(|_| internal()));
            reply.send(response(Some(&open.id), &payload)).await;
        });
    }

    fn take_back(&self, params: Option<&RawValue>) {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Cancelled {
            request_id: RequestId,
        }
        let cancelled = params.and_then(|params| serde_json::from_str::<Cancelled>(params.get()).ok());
        let question = cancelled.and_then(|cancelled| self.questions().remove(&cancelled.request_id));
        if let Some(question) = question {
            question.cancel();
        }
    }

    fn questions(&self) -> MutexGuard<'_, HashMap<RequestId, CancellationToken>> {
        self.questions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Incoming {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Incoming").field("kinds", &self.kinds).finish_non_exhaustive()
    }
}

/// A request of the server until it has its answer.
struct Open {
    incoming: Arc<Incoming>,
    id: RequestId,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.incoming.questions().remove(&self.id);
    }
}

/// Counts the questions that somebody is busy with.
struct Answering<'a>(&'a AtomicUsize);

impl<'a> Answering<'a> {
    fn new(count: &'a AtomicUsize) -> Answering<'a> {
        count.fetch_add(1, Ordering::Relaxed);
        Answering(count)
    }
}

impl Drop for Answering<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Reply {
    /// For answers that cost nothing; where nobody takes them in time they are left out, so that a server that floods
    /// this side doesn't fill its memory.
    fn at_once(&self, id: &RequestId, payload: &Result<Box<RawValue>, ErrorObjectOwned>) {
        let body = response(Some(id), payload);
        match self {
            Reply::Http(http, version) => http.send_aside(body, *version),
            Reply::Stream(outgoing) => {
                let sent = outgoing.upgrade().is_none_or(|outgoing| outgoing.try_send(body).is_ok());
                if !sent {
                    tracing::warn!("a request of the server is left unanswered");
                }
            }
        }
    }

    async fn send(&self, body: String) {
        let sending = async {
            match self {
                Reply::Http(http, version) => http.notify(body, *version).await.is_ok(),
                Reply::Stream(outgoing) => match outgoing.upgrade() {
                    Some(outgoing) => outgoing.send(body).await.is_ok(),
                    None => false,
                },
            }
        };
        if !tokio::time::timeout(DELIVERY, sending).await.unwrap_or(false) {
            tracing::warn!("the answer to a question of the server did not reach it");
        }
    }
}
