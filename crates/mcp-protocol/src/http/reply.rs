//! Answers: one JSON object, or a stream of events; the first thing that a call says decides which.

use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use jsonrpsee::types::ErrorObjectOwned;
use serde::Deserialize;

use super::headers::Accept;
use super::sse::{COMMENT, Events, event_stream, message};
use super::within;
use crate::error::{self, RATE_LIMITED};
use crate::server::{Answer, Call, Frame};
use crate::wire::{Era, RequestId, response};

/// A request that is answered before it becomes a call.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    id: Option<RequestId>,
    error: ErrorObjectOwned,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, id: Option<RequestId>, error: ErrorObjectOwned) -> Refusal {
        Refusal { status, id, error }
    }

    pub(super) fn bad_request(id: Option<&RequestId>, error: ErrorObjectOwned) -> Refusal {
        Refusal::new(StatusCode::BAD_REQUEST, id.cloned(), error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        json(self.status, self.id.as_ref(), &Err(self.error))
    }
}

/// Where the frames of an answer come from.
pub(super) enum Source {
    /// The call runs inside the response: dropping that cancels it.
    Inside(Box<Call>),
    /// The call has ended already.
    Ready(Option<Answer>),
}

impl Source {
    pub(super) fn ready(answer: Answer) -> Source {
        Source::Ready(Some(answer))
    }

    /// Cancel-safe.
    async fn next(&mut self) -> Option<Frame> {
        match self {
            Source::Inside(call) => Some(call.next().await),
            Source::Ready(answer) => answer.take().map(Frame::Answer),
        }
    }
}

/// Whose answer it is, and how it may look.
#[derive(Clone, Debug)]
pub(super) struct Envelope {
    pub(super) id: RequestId,
    pub(super) era: Era,
    pub(super) accept: Accept,
    pub(super) keep_alive: Duration,
}

/// Waits for the first thing that the call says. Silence for as long as a keep-alive also opens a stream.
pub(super) async fn reply(mut source: Source, envelope: Envelope) -> Response {
    if envelope.accept == Accept::Json {
        return whole(source, &envelope).await;
    }
    match within(envelope.keep_alive, source.next()).await {
        Ok(Some(Frame::Answer(answer))) if envelope.accept == Accept::Both => answered(&envelope, &answer),
        Ok(first) => stream(source, first, envelope),
        Err(_) => stream(source, None, envelope),
    }
}

/// For a client that takes no stream: the notifications are lost to it.
async fn whole(mut source: Source, envelope: &Envelope) -> Response {
    loop {
        match source.next().await {
            Some(Frame::Answer(answer)) => return answered(envelope, &answer),
            Some(_) => {}
            None => return StatusCode::NO_CONTENT.into_response(),
        }
    }
}

pub(super) fn answered(envelope: &Envelope, answer: &Answer) -> Response {
    let status = match answer {
        Ok(_) => StatusCode::OK,
        Err(error) => error::http_status(envelope.era, error.code()),
    };
    json(status, Some(&envelope.id), answer)
}

/// One JSON-RPC answer as the whole body, with the headers that go with its status.
pub(super) fn json(status: StatusCode, id: Option<&RequestId>, answer: &Answer) -> Response {
    let mut reply = Response::new(Body::from(response(id, answer)));
    *reply.status_mut() = status;
    let headers = reply.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if let Err(error) = answer {
        set_retry_after(headers, status, error);
    }
    reply
}

/// `Retry-After`, where waiting helps.
pub(super) fn set_retry_after(headers: &mut HeaderMap, status: StatusCode, error: &ErrorObjectOwned) {
    if let Some(seconds) = retry_after(error, status) {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
}

/// In whole seconds, rounded up: a client that waits so long isn't refused for it.
fn retry_after(error: &ErrorObjectOwned, status: StatusCode) -> Option<u64> {
    #[derive(Deserialize)]
    struct Data {
        #[serde(rename = "retryAfterMs")]
        retry_after_ms: u64,
    }
    if status == StatusCode::SERVICE_UNAVAILABLE {
        return Some(1);
    }
    let data = error.data().filter(|_| error.code() == RATE_LIMITED)?;
    let data: Data = serde_json::from_str(data.get()).ok()?;
    Some(data.retry_after_ms.div_ceil(1000))
}

/// The answer to a request that was cancelled before it said anything: none (2025-11-25, cancellation).
pub(super) fn no_events(envelope: &Envelope) -> Response {
    if envelope.accept == Accept::Json {
        return StatusCode::NO_CONTENT.into_response();
    }
    event_stream(
        Frames { source: Source::Ready(None), id: envelope.id.clone(), ended: true },
        None,
        envelope.keep_alive,
    )
}

/// A stream that begins with this frame, or with a comment.
fn stream(source: Source, first: Option<Frame>, envelope: Envelope) -> Response {
    let mut frames = Frames { source, id: envelope.id, ended: false };
    let opening = first.map_or_else(|| COMMENT.to_owned(), |first| frames.piece(&first));
    event_stream(frames, Some(opening), envelope.keep_alive)
}

/// The frames of a call as events without ids.
struct Frames {
    source: Source,
    id: RequestId,
    ended: bool,
}

impl Frames {
    fn piece(&mut self, frame: &Frame) -> String {
        match frame {
            Frame::Note(text) | Frame::Kept(text) => message(text),
            // Only a stream that can be resumed can be closed in the middle.
            Frame::Close(_) => COMMENT.to_owned(),
            Frame::Answer(answer) => {
                self.ended = true;
                message(&response(Some(&self.id), answer))
            }
        }
    }
}

impl Events for Frames {
    async fn next(&mut self) -> Option<String> {
        if self.ended {
            return None;
        }
        let frame = self.source.next().await?;
        Some(self.piece(&frame))
    }
}
