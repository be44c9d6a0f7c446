//! Bodies that are streams of events, with comments where nothing is said for long.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures::stream;
use http::{HeaderValue, header};

use super::within;

/// Where the events of a body come from.
pub(super) trait Events: Send + 'static {
    /// The next piece of the body, whole events; `None` at its end. Cancel-safe.
    fn next(&mut self) -> impl Future<Output = Option<String>> + Send;
}

/// A stream of events. `opening` goes first; a silence of `keep_alive` is filled with a comment.
pub(super) fn event_stream(events: impl Events, opening: Option<String>, keep_alive: Duration) -> Response {
    let state = (events, opening);
    let body = Body::from_stream(stream::unfold(state, move |(mut events, opening)| async move {
        let piece = match opening {
            Some(opening) => opening,
            None => match within(keep_alive, events.next()).await {
                Ok(piece) => piece?,
                Err(_) => COMMENT.to_owned(),
            },
        };
        Some((Ok::<_, Infallible>(Bytes::from(piece)), (events, None)))
    }));
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (header::HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    (headers, body).into_response()
}

pub(super) const COMMENT: &str = ":\n\n";

/// One message as an event without an id.
pub(super) fn message(text: &str) -> String {
    format!("event: message\ndata: {text}\n\n")
}
