//! Reads the bodies of requests: each within its size and time, and all of them within what may be held at once.

use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use bytes::Bytes;
use http::StatusCode;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::reply::Refusal;
use super::within;
use crate::error::{self, INVALID_REQUEST};

/// Bodies up to this need no room: as many as there are connections can be held. In bytes.
const SMALL: usize = 64 * 1024;

/// The unit of the room, in bytes: a semaphore counts to 2^29 on small machines.
const UNIT: usize = 1024;

/// The room for bodies that arrive.
#[derive(Debug)]
pub(super) struct Bodies {
    room: Semaphore,
    limit: usize,
    timeout: Duration,
}

/// A body, and the room that it takes until it is dropped.
pub(super) struct Held<'a> {
    pub(super) bytes: Bytes,
    _room: Option<SemaphorePermit<'a>>,
}

impl Bodies {
    /// `limit` is for one body, `room` for all that are larger than [`SMALL`]; both in bytes.
    pub(super) fn new(limit: usize, room: usize, timeout: Duration) -> Bodies {
        // One body of the largest size must fit, or it could never be sent.
        let room = Semaphore::new(units(room.max(limit)));
        Bodies { room, limit, timeout }
    }

    /// The whole body, or what the client is told instead.
    pub(super) async fn read(&self, body: Body) -> Result<Held<'_>, Refusal> {
        let limit = self.limit;
        let announced = body.size_hint().upper();
        // Said before a byte of it is waited for.
        if announced.is_some_and(|length| length > limit as u64) {
            return Err(too_large(limit));
        }
        let size = announced.and_then(|length| usize::try_from(length).ok()).unwrap_or(limit);
        let room = self.room_for(size)?;
        let (status, message) = match within(self.timeout, Limited::new(body, limit).collect()).await {
            Ok(Ok(body)) => return Ok(Held { bytes: body.to_bytes(), _room: room }),
            Ok(Err(error)) if error.is::<LengthLimitError>() => return Err(too_large(limit)),
            Ok(Err(_)) => (StatusCode::BAD_REQUEST, "the body could not be read"),
            Err(_) => (StatusCode::REQUEST_TIMEOUT, "the body took too long to arrive"),
        };
        Err(Refusal::new(status, None, error::error(INVALID_REQUEST, message)))
    }

    fn room_for(&self, size: usize) -> Result<Option<SemaphorePermit<'_>>, Refusal> {
        if size <= SMALL {
            return Ok(None);
        }
        let units = u32::try_from(units(size)).unwrap_or(u32::MAX);
        let refuse = |_| Refusal::new(StatusCode::SERVICE_UNAVAILABLE, None, error::no_room_for_body());
        self.room.try_acquire_many(units).map(Some).map_err(refuse)
    }
}

fn units(bytes: usize) -> usize {
    bytes.div_ceil(UNIT).min(Semaphore::MAX_PERMITS)
}

fn too_large(limit: usize) -> Refusal {
    let message = format!("the message is larger than {limit} bytes");
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, None, error::error(INVALID_REQUEST, message))
}
