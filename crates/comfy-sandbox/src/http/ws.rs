//! `/ws`: one websocket.

use std::{collections::HashMap, sync::Arc};

use axum::{
    extract::{
        Query, State as Shared,
        ws::{Message, WebSocket, WebSocketUpgrade},
    },
    response::Response,
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::info;
use crate::{
    events::{self, Seat},
    state::State,
};

/// The longest message that a client may send, in bytes.
const MAX_MESSAGE_BYTES: usize = 4 * 1024 * 1024;

pub(super) async fn open(
    Shared(state): Shared<Arc<State>>,
    Query(query): Query<HashMap<String, String>>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let sid = query.get("clientId").filter(|sid| !sid.is_empty());
    let sid = sid.cloned().unwrap_or_else(|| Uuid::new_v4().simple().to_string());
    upgrade.max_message_size(MAX_MESSAGE_BYTES).on_upgrade(move |socket| serve(socket, state, sid))
}

/// What is left to do when a socket ends.
enum End {
    /// The client went.
    Left,
    /// It was dropped from here.
    Dropped,
}

async fn serve(socket: WebSocket, state: Arc<State>, sid: String) {
    let seat = state.hub.join(&sid, greeting(&state, &sid));
    match talk(socket, seat, &state, &sid).await {
        End::Left => state.hub.leave(&sid),
        End::Dropped => state.hub.leave_dropped(),
    }
}

/// The status with the socket's id; and to a client whose prompt runs, the node that runs, without a prompt id.
fn greeting(state: &State, sid: &str) -> Vec<Message> {
    let mut status = events::status(state.queue().remaining());
    status["sid"] = json!(sid);
    let mut greeting = vec![events::event("status", &status)];
    if let Some(current) = state.current().as_ref()
        && current.client_id.as_deref() == Some(sid)
    {
        greeting.push(events::event("executing", &json!({"node": current.node})));
    }
    greeting
}

async fn talk(mut socket: WebSocket, mut seat: Seat, state: &State, sid: &str) -> End {
    let mut is_first = true;
    loop {
        tokio::select! {
            biased;
            () = seat.dropped.cancelled() => return End::Dropped,
            message = seat.messages.recv() => {
                // Without a sender, another socket has taken this one's place: it stays open and hears nothing.
                let Some(message) = message else { return deaf(socket, &seat).await };
                if state.faults.sockets_are_silent() {
                    continue;
                }
                tokio::select! {
                    biased;
                    () = seat.dropped.cancelled() => return End::Dropped,
                    result = socket.send(message) => if result.is_err() {
                        return End::Left;
                    }
                }
            }
            received = socket.recv() => match received {
                Some(Ok(Message::Text(text))) => {
                    if let Some(answer) = first_message(&text, &mut is_first, state, sid)
                        && socket.send(answer).await.is_err()
                    {
                        return End::Left;
                    }
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => return End::Left,
                Some(Ok(_)) => {}
            },
        }
    }
}

async fn deaf(mut socket: WebSocket, seat: &Seat) -> End {
    loop {
        tokio::select! {
            biased;
            () = seat.dropped.cancelled() => return End::Dropped,
            received = socket.recv() => if !matches!(received, Some(Ok(ref message)) if !matches!(message, Message::Close(_))) {
                return End::Left;
            },
        }
    }
}

/// Only the first message may be `feature_flags`; what isn't JSON doesn't count as one.
fn first_message(text: &str, is_first: &mut bool, state: &State, sid: &str) -> Option<Message> {
    let message: Value = serde_json::from_str(text).ok().filter(Value::is_object)?;
    let was_first = std::mem::replace(is_first, false);
    if !was_first || message["type"] != "feature_flags" {
        return None;
    }
    state.hub.set_flags(sid, message["data"].clone());
    Some(events::event("feature_flags", &info::features_of(state)))
}
