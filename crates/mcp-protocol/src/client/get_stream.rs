//! The stream of a legacy server over HTTP for what belongs to no call: opened with GET, taken up where it broke
//! (2025-11-25, basic/transports: "Listening for Messages from the Server").

use std::sync::Weak;
use std::time::Duration;

use http::HeaderValue;
use reqwest::{Response, StatusCode};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::connection::Connection;
use super::http::HttpTransport;
use super::http_answer::{MediaType, media_type};
use super::incoming::Reply;
use super::sse::SseParser;
use crate::wire::{Message, ProtocolVersion};

/// The wait before the stream is opened again, when the server names none. It doubles with each failure.
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// A server that wants to be asked again at once is asked a little later.
const SHORTEST_WAIT: Duration = Duration::from_millis(20);
/// A stream that has lasted so long has not failed.
const STEADY: Duration = Duration::from_secs(5);

/// The stream; it is closed when this is dropped.
#[derive(Debug)]
pub(super) struct GetStream {
    phase: watch::Receiver<Phase>,
    _task: AbortOnDropHandle<()>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Opening,
    Open,
    /// The server has no such stream, or doesn't give it to this client.
    Refused,
}

impl GetStream {
    pub(super) fn start(
        http: HttpTransport,
        connection: Weak<Connection>,
        version: ProtocolVersion,
    ) -> GetStream {
        let (sender, phase) = watch::channel(Phase::Opening);
        let reader = Reader { parser: SseParser::new(http.limit), http, connection, version, phase: sender };
        GetStream { phase, _task: AbortOnDropHandle::new(tokio::spawn(reader.run())) }
    }

    /// Waits until the server has answered, but not for ever: some answer with the first event. False when it has
    /// refused.
    pub(super) async fn opened(&self, within: Duration) -> bool {
        let mut phase = self.phase.clone();
        let answered = tokio::time::timeout(within, phase.wait_for(|phase| *phase != Phase::Opening)).await;
        !matches!(answered.map(|phase| phase.map(|phase| *phase)), Ok(Ok(Phase::Refused) | Err(_)))
    }
}

struct Reader {
    http: HttpTransport,
    connection: Weak<Connection>,
    version: ProtocolVersion,
    parser: SseParser,
    phase: watch::Sender<Phase>,
}

/// What became of one attempt.
enum Attempt {
    /// It was a stream for a while.
    Lasted,
    Failed,
    Refused,
}

impl Reader {
    async fn run(mut self) {
        let mut session = self.http.session();
        let mut failures = 0;
        // What was told while there was no stream is lost, unless the server can tell where the old one broke.
        let mut gap = false;
        loop {
            let current = self.http.session();
            if current != session {
                session = current;
                self.forget();
                gap = true;
            }
            match self.attempt(session.clone(), &mut gap).await {
                Attempt::Lasted => failures = 0,
                Attempt::Failed => {}
                Attempt::Refused => {
                    self.phase.send_replace(Phase::Refused);
                    return;
                }
            }
            tokio::time::sleep(wait(failures, self.parser.retry())).await;
            failures += 1;
        }
    }

    async fn attempt(&mut self, session: Option<HeaderValue>, gap: &mut bool) -> Attempt {
        let last = self.parser.last_event_id().and_then(|id| HeaderValue::from_str(id).ok());
        let resumes = last.is_some();
        let response = match self.http.get_events(last, session.clone(), self.version).await {
            Ok(response) => response,
            Err(error) => {
                tracing::debug!(error = %error.without_url(), "the server's event stream can't be opened");
                return Attempt::Failed;
            }
        };
        let status = response.status();
        if status.is_success() && matches!(media_type(&response), MediaType::EventStream) {
            self.phase.send_replace(Phase::Open);
            if std::mem::take(gap) {
                self.http.incoming.hub.gap();
            }
            let opened = Instant::now();
            let heard = self.read(response).await;
            *gap = self.parser.last_event_id().is_none();
            return if heard || opened.elapsed() >= STEADY { Attempt::Lasted } else { Attempt::Failed };
        }
        drop(response);
        if status == StatusCode::NOT_FOUND && session.is_some() {
            return self.renew(session).await;
        }
        match status {
            _ if status.is_server_error() => Attempt::Failed,
            // The old stream may still be open there; or it is too busy.
            StatusCode::CONFLICT | StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => {
                Attempt::Failed
            }
            _ if resumes => {
                self.forget();
                *gap = true;
                Attempt::Failed
            }
            _ => Attempt::Refused,
        }
    }

    /// True if any message came.
    async fn read(&mut self, mut response: Response) -> bool {
        self.parser.reconnected();
        let mut events = Vec::new();
        let mut heard = false;
        while let Ok(Some(chunk)) = response.chunk().await {
            let pushed = self.parser.push(&chunk, &mut events);
            for event in events.drain(..) {
                heard = true;
                self.message(event.data.as_bytes());
            }
            if pushed.is_err() {
                tracing::warn!(limit = self.http.limit, "the server sent an event that is too large");
                // Taken up where it was, the stream would bring it again.
                self.forget();
                break;
            }
        }
        heard
    }

    fn message(&self, text: &[u8]) {
        let incoming = &self.http.incoming;
        match Message::parse(text) {
            Ok(Message::Notification { method, params }) => incoming.notification(&method, params.as_deref()),
            Ok(Message::Request(request)) => {
                incoming.request(request, Reply::Http(self.http.clone(), self.version));
            }
            Ok(Message::Response(_)) => tracing::debug!("the server sent an answer where no call waits"),
            Err(error) => {
                tracing::warn!(%error, bytes = text.len(), "the server sent what is no message");
            }
        }
    }

    async fn renew(&self, lost: Option<HeaderValue>) -> Attempt {
        let Some(connection) = self.connection.upgrade() else { return Attempt::Refused };
        match connection.renew(lost.as_ref()).await {
            Ok(()) => Attempt::Failed,
            Err(error) if error.is_transient() => Attempt::Failed,
            Err(error) => {
                tracing::warn!(%error, "the session is lost, and no new one can be opened");
                Attempt::Refused
            }
        }
    }

    fn forget(&mut self) {
        self.parser = SseParser::new(self.http.limit);
    }
}

fn wait(failures: u32, retry: Option<Duration>) -> Duration {
    let first = retry.unwrap_or(FIRST_WAIT).max(SHORTEST_WAIT);
    first.saturating_mul(1 << failures.min(10)).min(LONGEST_WAIT.max(first))
}
