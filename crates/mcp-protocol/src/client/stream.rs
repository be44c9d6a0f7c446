//! A server at the other end of a stream of messages: lines of a process, frames of a websocket.
//!
//! One task reads and hands answers to the calls that wait for them, one writes; how messages are told apart is theirs.
//! Nothing that comes in can stop the reader but the end of the stream and a message over the limit.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::json;
use serde_json::value::RawValue;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::child::{ChildGuard, ChildWatch};
use super::error::ClientError;
use super::incoming::{self, Incoming, Reply};
use super::options::OnProgress;
use crate::wire::{Message, ParseError, ProgressUpdate, RequestId, notification};

/// Messages that wait to be written.
const OUTGOING: usize = 32;
/// Progress that a call has not looked at yet; more is left out.
const PROGRESS: usize = 64;
/// How long a server may take to end a connection that this side has closed.
pub(super) const FAREWELL: Duration = Duration::from_secs(2);

/// The client's end of the stream.
#[derive(Debug)]
pub(super) struct StreamTransport {
    shared: Arc<Shared>,
    outgoing: mpsc::Sender<String>,
    ending: Ending,
}

/// What the end of a connection waits for.
#[derive(Debug)]
pub(super) enum Ending {
    /// Nothing: the input is closed.
    Silent,
    /// The other side's own farewell.
    Farewell,
    /// The end of a started server.
    Child(ChildWatch, Mutex<Option<ChildGuard>>),
}

/// What the two tasks of a stream work with.
pub(super) struct Ends {
    pub(super) reading: Reading,
    pub(super) outgoing: mpsc::Receiver<String>,
}

#[derive(Debug)]
struct Shared {
    calls: Mutex<Calls>,
    incoming: Arc<Incoming>,
    /// Cancelled when nothing more is read.
    read: CancellationToken,
    limit: usize,
}

#[derive(Debug)]
enum Calls {
    Open(HashMap<i64, Waiting>),
    Closed(Arc<str>),
}

#[derive(Debug)]
struct Waiting {
    answer: oneshot::Sender<Result<Box<RawValue>, Refused>>,
    progress: Option<mpsc::Sender<ProgressUpdate>>,
}

/// An answer that is no result.
#[derive(Debug)]
enum Refused {
    Error(jsonrpsee::types::ErrorObjectOwned),
    Unreadable(&'static str),
}

impl StreamTransport {
    /// The client's end, and what the tasks need that read and write. They have to end with the stream, or soon after
    /// `incoming` is closed.
    pub(super) fn new(incoming: Arc<Incoming>, limit: usize, ending: Ending) -> (StreamTransport, Ends) {
        let shared = Arc::new(Shared {
            calls: Mutex::new(Calls::Open(HashMap::new())),
            incoming,
            read: CancellationToken::new(),
            limit,
        });
        let (outgoing, lines) = mpsc::channel(OUTGOING);
        let child = match &ending {
            Ending::Child(watch, _) => Some(watch.clone()),
            Ending::Silent | Ending::Farewell => None,
        };
        // The reader must not keep the writer alive: dropping the transport closes the server's input.
        let reading = Reading { shared: Arc::clone(&shared), outgoing: outgoing.downgrade(), child };
        (StreamTransport { shared, outgoing, ending }, Ends { reading, outgoing: lines })
    }

    pub(super) fn incoming(&self) -> &Incoming {
        &self.shared.incoming
    }

    /// Sends a request and waits for its answer. Dropping the future sends `notifications/cancelled`.
    pub(super) async fn call(
        &self,
        id: i64,
        method: &str,
        body: String,
        on_progress: &mut Option<OnProgress>,
    ) -> Result<Box<RawValue>, ClientError> {
        let (answer, mut answered) = oneshot::channel();
        let (progress, mut progressed) = match on_progress {
            Some(_) => Some(mpsc::channel(PROGRESS)).unzip(),
            None => (None, None),
        };
        self.shared.register(id, Waiting { answer, progress })?;
        let mut cancel = Cancel { transport: self, id, sent: false };
        if self.outgoing.send(body).await.is_err() {
            return Err(self.shared.closed_error());
        }
        // `initialize` and the probe must not be cancelled (2025-11-25, basic/utilities/cancellation).
        cancel.sent = !matches!(method, "initialize" | "server/discover");
        let answer = loop {
            tokio::select! {
                biased;
                Some(update) = next(&mut progressed) => {
                    if let Some(on_progress) = on_progress { on_progress(update); }
                }
                answer = &mut answered => break answer,
            }
        };
        cancel.sent = false;
        match answer {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(Refused::Error(error))) => Err(error.into()),
            Ok(Err(Refused::Unreadable(reason))) => Err(ClientError::protocol(method, reason)),
            Err(_) => Err(self.shared.closed_error()),
        }
    }

    /// Sends a notification.
    pub(super) async fn notify(&self, body: String) -> Result<(), ClientError> {
        self.outgoing.send(body).await.map_err(|_| self.shared.closed_error())
    }

    /// Closes the server's input, and waits until a started server has ended, or a distant one has said farewell.
    pub(super) async fn close(&self) {
        self.shared.incoming.closing.cancel();
        match &self.ending {
            Ending::Silent => {}
            Ending::Farewell => {
                let _ = tokio::time::timeout(FAREWELL, self.shared.read.cancelled()).await;
            }
            Ending::Child(watch, guard) => {
                drop(guard.lock().unwrap_or_else(PoisonError::into_inner).take());
                watch.ended().await;
            }
        }
    }
}

async fn next(progressed: &mut Option<mpsc::Receiver<ProgressUpdate>>) -> Option<ProgressUpdate> {
    match progressed {
        Some(progressed) => progressed.recv().await,
        None => None,
    }
}

/// Takes a call out of the list when its future ends, in whichever way, and tells the server if it was
/// dropped.
struct Cancel<'a> {
    transport: &'a StreamTransport,
    id: i64,
    sent: bool,
}

impl Drop for Cancel<'_> {
    fn drop(&mut self) {
        self.transport.shared.take(self.id);
        if !self.sent {
            return;
        }
        let Ok(body) = notification("notifications/cancelled", &json!({"requestId": self.id})) else {
            return;
        };
        if let Err(mpsc::error::TrySendError::Full(body)) = self.transport.outgoing.try_send(body) {
            let outgoing = self.transport.outgoing.clone();
            if let Ok(runtime) = tokio::runtime::Handle::try_current() {
                runtime.spawn(async move { outgoing.send(body).await });
            }
        }
    }
}

impl Shared {
    fn register(&self, id: i64, waiting: Waiting) -> Result<(), ClientError> {
        match &mut *self.calls.lock().unwrap_or_else(PoisonError::into_inner) {
            Calls::Open(calls) => {
                calls.insert(id, waiting);
                Ok(())
            }
            Calls::Closed(reason) => Err(ClientError::Closed { reason: reason.to_string() }),
        }
    }

    fn take(&self, id: i64) -> Option<Waiting> {
        match &mut *self.calls.lock().unwrap_or_else(PoisonError::into_inner) {
            Calls::Open(calls) => calls.remove(&id),
            Calls::Closed(_) => None,
        }
    }

    fn progress_of(&self, id: i64) -> Option<mpsc::Sender<ProgressUpdate>> {
        match &*self.calls.lock().unwrap_or_else(PoisonError::into_inner) {
            Calls::Open(calls) => calls.get(&id)?.progress.clone(),
            Calls::Closed(_) => None,
        }
    }

    /// Ends every call that waits.
    fn close(&self, reason: &str) {
        *self.calls.lock().unwrap_or_else(PoisonError::into_inner) = Calls::Closed(reason.into());
        self.incoming.ended(reason);
        self.read.cancel();
    }

    fn closed_error(&self) -> ClientError {
        let reason = match &*self.calls.lock().unwrap_or_else(PoisonError::into_inner) {
            Calls::Closed(reason) => reason.to_string(),
            Calls::Open(_) => "it takes no more input".to_owned(),
        };
        ClientError::Closed { reason }
    }
}

/// The reader's side of a stream.
pub(super) struct Reading {
    shared: Arc<Shared>,
    outgoing: mpsc::WeakSender<String>,
    child: Option<ChildWatch>,
}

impl Reading {
    /// The most bytes that one message may have.
    pub(super) fn limit(&self) -> usize {
        self.shared.limit
    }

    /// Cancelled when this side closes the connection.
    pub(super) fn closing(&self) -> CancellationToken {
        self.shared.incoming.closing.clone()
    }

    /// Nothing more comes.
    pub(super) async fn end(self, reason: String) {
        let reason = match &self.child {
            Some(child) => child.last_words(reason).await,
            None => reason,
        };
        self.shared.close(&reason);
    }

    /// Takes one message, whatever it is.
    pub(super) fn message(&self, text: &[u8]) {
        match Message::parse(text) {
            Ok(Message::Response(response)) => match response.id {
                Some(RequestId::Number(id)) => {
                    self.answer(id, response.payload.map_err(Refused::Error));
                }
                id => tracing::warn!(rpc.id = ?id, "the server sent an answer to no call of this client"),
            },
            Ok(Message::Notification { method, params }) => {
                match incoming::progress(&method, params.as_deref()) {
                    Some(update) => self.progress(update),
                    None => self.shared.incoming.notification(&method, params.as_deref()),
                }
            }
            Ok(Message::Request(request)) => {
                self.shared.incoming.request(request, Reply::Stream(self.outgoing.clone()));
            }
            Err(ParseError::Invalid { id: Some(RequestId::Number(id)), reason }) => {
                self.answer(id, Err(Refused::Unreadable(reason)));
            }
            Err(error) => {
                tracing::warn!(%error, bytes = text.len(), "the server sent what is no message");
            }
        }
    }

    fn progress(&self, update: ProgressUpdate) {
        if let RequestId::Number(id) = update.progress_token
            && let Some(progress) = self.shared.progress_of(id)
        {
            // Whoever doesn't keep up misses some.
            let _ = progress.try_send(update);
        }
    }

    fn answer(&self, id: i64, payload: Result<Box<RawValue>, Refused>) {
        if let Some(waiting) = self.shared.take(id) {
            // The caller may be gone by now; its answer is not missed.
            drop(waiting.answer.send(payload));
        } else {
            tracing::debug!(rpc.id = id, "the server answered a call that nobody waits for");
        }
    }
}
