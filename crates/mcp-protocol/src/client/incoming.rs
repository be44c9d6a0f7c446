//! What a server sends besides answers: progress, and requests of its own.

use serde_json::Map;
use serde_json::value::{RawValue, to_raw_value};

use crate::error::{METHOD_NOT_FOUND, error, internal};
use crate::wire::{ProgressUpdate, Request, response};

/// The progress in a notification, if it is one and is readable.
pub(super) fn progress(method: &str, params: Option<&RawValue>) -> Option<ProgressUpdate> {
    if method != "notifications/progress" {
        return None;
    }
    serde_json::from_str(params?.get()).ok()
}

/// The answer to a request of the server: `ping` is answered; this side has offered nothing else.
pub(super) fn answer(request: &Request) -> String {
    let payload = if request.method == "ping" {
        to_raw_value(&Map::new()).map_err(|_| internal())
    } else {
        Err(error(METHOD_NOT_FOUND, "this client has no such method"))
    };
    response(Some(&request.id), &payload)
}
