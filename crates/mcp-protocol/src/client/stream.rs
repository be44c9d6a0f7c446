//! A server behind a byte stream, one message a line: its process's standard streams, a socket, a pipe.
//!
//! One task reads and hands answers to the calls that wait for them, one writes. Nothing that comes in can
//! stop the reader but the end of the stream and a line over the limit.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::json;
use serde_json::value::RawValue;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::sync::{mpsc, oneshot};

use super::child::{ChildGuard, ChildWatch};
use super::error::ClientError;
use super::incoming;
use super::options::OnProgress;
use crate::wire::{Message, ParseError, ProgressUpdate, RequestId, notification};

/// Lines that wait to be written.
const OUTGOING: usize = 32;
/// Progress that a call has not looked at yet; more is left out.
const PROGRESS: usize = 64;

/// The client's end of the stream.
#[derive(Debug)]
pub(super) struct StreamTransport {
    shared: Arc<Shared>,
    outgoing: mpsc::Sender<String>,
    child: Option<(ChildWatch, ChildGuard)>,
}

#[derive(Debug)]
struct Shared {
    calls: Mutex<Calls>,
    /// Requests of the server are answered: only legacy revisions have them.
    answers: AtomicBool,
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
    /// Starts the tasks; they end with the stream, or soon after this value is dropped.
    pub(super) fn start(
        reader: impl AsyncRead + Unpin + Send + 'static,
        writer: impl AsyncWrite + Unpin + Send + 'static,
        limit: usize,
        child: Option<(ChildWatch, ChildGuard)>,
    ) -> StreamTransport {
        let shared = Arc::new(Shared {
            calls: Mutex::new(Calls::Open(HashMap::new())),
            answers: AtomicBool::new(false),
            limit,
        });
        let (outgoing, lines) = mpsc::channel(OUTGOING);
        tokio::spawn(write_lines(writer, lines));
        // The reader must not keep the writer alive: dropping the transport closes the server's input.
        let reading = Reading {
            shared: Arc::clone(&shared),
            outgoing: outgoing.downgrade(),
            child: child.as_ref().map(|(watch, _)| watch.clone()),
        };
        tokio::spawn(reading.run(BufReader::new(reader)));
        StreamTransport { shared, outgoing, child }
    }

    /// From now on requests of the server get an answer.
    pub(super) fn answer_requests(&self) {
        self.shared.answers.store(true, Ordering::Relaxed);
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

    /// Closes the server's input, and waits until a started server has ended.
    pub(super) async fn close(self) {
        let StreamTransport { outgoing, child, .. } = self;
        drop(outgoing);
        if let Some((watch, guard)) = child {
            drop(guard);
            watch.ended().await;
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
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        *calls = Calls::Closed(reason.into());
    }

    fn closed_error(&self) -> ClientError {
        let reason = match &*self.calls.lock().unwrap_or_else(PoisonError::into_inner) {
            Calls::Closed(reason) => reason.to_string(),
            Calls::Open(_) => "it takes no more input".to_owned(),
        };
        ClientError::Closed { reason }
    }
}

struct Reading {
    shared: Arc<Shared>,
    outgoing: mpsc::WeakSender<String>,
    child: Option<ChildWatch>,
}

impl Reading {
    async fn run(self, mut reader: impl AsyncBufRead + Unpin) {
        let mut line = Vec::new();
        let reason = loop {
            line.clear();
            match read_line(&mut reader, &mut line, self.shared.limit).await {
                Ok(LineRead::Line) => self.message(&line),
                Ok(LineRead::End) => break "it closed the stream".to_owned(),
                Ok(LineRead::TooLong) => {
                    break ClientError::TooLarge { limit: self.shared.limit }.to_string();
                }
                Err(error) => break error.to_string(),
            }
        };
        let reason = match &self.child {
            Some(child) => child.last_words(reason).await,
            None => reason,
        };
        self.shared.close(&reason);
    }

    fn message(&self, line: &[u8]) {
        if line.iter().all(u8::is_ascii_whitespace) {
            return;
        }
        match Message::parse(line) {
            Ok(Message::Response(response)) => match response.id {
                Some(RequestId::Number(id)) => {
                    self.answer(id, response.payload.map_err(Refused::Error));
                }
                id => tracing::warn!(rpc.id = ?id, "the server sent an answer to no call of this client"),
            },
            Ok(Message::Notification { method, params }) => {
                if let Some(update) = incoming::progress(&method, params.as_deref())
                    && let RequestId::Number(id) = update.progress_token
                    && let Some(progress) = self.shared.progress_of(id)
                {
                    // Whoever doesn't keep up misses some.
                    let _ = progress.try_send(update);
                }
            }
            Ok(Message::Request(request)) => {
                if self.shared.answers.load(Ordering::Relaxed)
                    && let Some(outgoing) = self.outgoing.upgrade()
                    && outgoing.try_send(incoming::answer(&request)).is_err()
                {
                    tracing::warn!(rpc.method = %request.method, "a request of the server is left unanswered");
                }
            }
            Err(ParseError::Invalid { id: Some(RequestId::Number(id)), reason }) => {
                self.answer(id, Err(Refused::Unreadable(reason)));
            }
            Err(error) => {
                tracing::warn!(%error, line.bytes = line.len(), "the server sent a line that is no message");
            }
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

enum LineRead {
    Line,
    TooLong,
    End,
}

/// Like `read_until`, but never holds more than `limit` bytes.
async fn read_line(
    reader: &mut (impl AsyncBufRead + Unpin),
    line: &mut Vec<u8>,
    limit: usize,
) -> std::io::Result<LineRead> {
    loop {
        let available = reader.fill_buf().await?;
        if available.is_empty() {
            // A last line without its end is a message cut short.
            return Ok(LineRead::End);
        }
        let end = available.iter().position(|byte| *byte == b'\n');
        let part = &available[..end.unwrap_or(available.len())];
        if line.len() + part.len() > limit {
            return Ok(LineRead::TooLong);
        }
        line.extend_from_slice(part);
        let used = end.map_or(available.len(), |end| end + 1);
        reader.consume(used);
        if end.is_some() {
            return Ok(LineRead::Line);
        }
    }
}

async fn write_lines(mut writer: impl AsyncWrite + Unpin, mut lines: mpsc::Receiver<String>) {
    while let Some(mut line) = lines.recv().await {
        line.push('\n');
        let written = async {
            writer.write_all(line.as_bytes()).await?;
            writer.flush().await
        };
        if let Err(error) = written.await {
            // The reader sees the end of the stream and tells the calls; here nobody waits.
            tracing::debug!(%error, "the server's input is closed");
            return;
        }
    }
    let _ = writer.shutdown().await;
}
