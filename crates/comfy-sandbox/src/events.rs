//! The websockets: who listens, what they are sent, and in which order.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::extract::ws::Message;
use bytes::{BufMut, Bytes, BytesMut};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// How many messages may wait for one socket, and how many for all of them together.
const BACKLOG: usize = 1024;
/// How long a socket may take none of them before it is dropped.
const PATIENCE: Duration = Duration::from_secs(5);

/// Who gets a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Everyone,
    /// The socket that has this `clientId`, if there is one.
    Client(String),
}

/// Sends messages to the open websockets, in one order for all. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Hub {
    registry: Arc<Mutex<Registry>>,
    outbox: mpsc::Sender<(Target, Message)>,
    stop: CancellationToken,
}

#[derive(Debug)]
struct Registry {
    /// Those who hear something, by `clientId`.
    sockets: HashMap<String, Socket>,
    /// Cancelled: every socket of now is closed, also those that hear nothing.
    everyone: CancellationToken,
}

#[derive(Debug)]
struct Socket {
    sender: mpsc::Sender<Message>,
    /// Cancelled: the socket is closed without a word.
    dropped: CancellationToken,
    flags: Value,
}

/// The receiving end that a socket's task has.
pub(crate) struct Seat {
    pub(crate) messages: mpsc::Receiver<Message>,
    pub(crate) dropped: CancellationToken,
}

impl Hub {
    /// A hub, and the task that it lives by; the task ends with `stop`.
    pub(crate) fn start(stop: CancellationToken) -> Self {
        let (outbox, messages) = mpsc::channel(BACKLOG);
        let registry = Registry { sockets: HashMap::new(), everyone: stop.child_token() };
        let hub = Self { registry: Arc::new(Mutex::new(registry)), outbox, stop: stop.clone() };
        let publisher = hub.clone();
        tokio::spawn(async move { stop.run_until_cancelled(publisher.publish(messages)).await });
        hub
    }

    /// Sends a message after all those that were sent before. Waits when sockets are slow.
    pub(crate) async fn send(&self, target: Target, message: Message) {
        // No receiver: the sandbox is stopping.
        let _ = self.outbox.send((target, message)).await;
    }

    /// Takes a socket in under its id. Like ComfyUI, a second socket with one id takes the first one's place, and
    /// the first stays open without hearing anything.
    pub(crate) fn join(&self, sid: &str, first: Vec<Message>) -> Seat {
        let (sender, messages) = mpsc::channel(BACKLOG);
        for message in first {
            // The channel is new: there is room.
            let _ = sender.try_send(message);
        }
        let mut registry = self.lock();
        let dropped = registry.everyone.child_token();
        let socket = Socket { sender, dropped: dropped.clone(), flags: Value::Null };
        registry.sockets.insert(sid.to_owned(), socket);
        Seat { messages, dropped }
    }

    /// Forgets the socket with this id, even when it is a later one than that which leaves: so does ComfyUI.
    pub(crate) fn leave(&self, sid: &str) {
        self.lock().sockets.remove(sid);
    }

    /// Forgets the sockets that were dropped from here.
    pub(crate) fn leave_dropped(&self) {
        self.lock().sockets.retain(|_, socket| !socket.dropped.is_cancelled());
    }

    /// Keeps what a client said that it supports.
    pub(crate) fn set_flags(&self, sid: &str, flags: Value) {
        if let Some(socket) = self.lock().sockets.get_mut(sid) {
            socket.flags = flags;
        }
    }

    /// Whether a client takes previews with metadata (binary event 4).
    pub(crate) fn takes_metadata(&self, sid: &str) -> bool {
        self.lock().sockets.get(sid).is_some_and(|socket| socket.flags["supports_preview_metadata"] == true)
    }

    /// Closes every socket without a close frame.
    pub(crate) fn drop_all(&self) {
        let mut registry = self.lock();
        registry.sockets.clear();
        std::mem::replace(&mut registry.everyone, self.stop.child_token()).cancel();
    }

    async fn publish(self, mut messages: mpsc::Receiver<(Target, Message)>) {
        while let Some((target, message)) = messages.recv().await {
            for (sender, dropped) in self.receivers(&target) {
                if let Err(mpsc::error::TrySendError::Full(message)) = sender.try_send(message.clone())
                    && sender.send_timeout(message, PATIENCE).await.is_err()
                {
                    dropped.cancel();
                }
            }
        }
    }

    fn receivers(&self, target: &Target) -> Vec<(mpsc::Sender<Message>, CancellationToken)> {
        let registry = self.lock();
        let receiver = |socket: &Socket| (socket.sender.clone(), socket.dropped.clone());
        match target {
            Target::Everyone => registry.sockets.values().map(receiver).collect(),
            Target::Client(sid) => registry.sockets.get(sid).map(receiver).into_iter().collect(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A text frame: `{"type": …, "data": …}`.
pub(crate) fn event(kind: &str, data: &Value) -> Message {
    Message::Text(json!({"type": kind, "data": data}).to_string().into())
}

/// The `data` of a `status` event.
pub(crate) fn status(queue_remaining: usize) -> Value {
    json!({"status": {"exec_info": {"queue_remaining": queue_remaining}}})
}

/// How a picture in a binary frame is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Jpeg,
    Png,
}

impl Encoding {
    fn number(self) -> u32 {
        match self {
            Self::Jpeg => 1,
            Self::Png => 2,
        }
    }

    fn media_type(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
        }
    }
}

/// Binary event 1: a preview.
pub(crate) fn preview(encoding: Encoding, image: &[u8]) -> Message {
    let mut frame = BytesMut::with_capacity(8 + image.len());
    frame.put_u32(1);
    frame.put_u32(encoding.number());
    frame.put_slice(image);
    Message::Binary(frame.freeze())
}

/// Binary event 4: a preview that says which node of which prompt it belongs to.
pub(crate) fn preview_with_metadata(
    encoding: Encoding,
    image: &[u8],
    node: &str,
    prompt_id: &str,
) -> Message {
    let metadata = json!({
        "node_id": node, "prompt_id": prompt_id, "display_node_id": node, "parent_node_id": null,
        "real_node_id": node, "image_type": encoding.media_type(),
    })
    .to_string();
    let mut frame = BytesMut::with_capacity(8 + metadata.len() + image.len());
    frame.put_u32(4);
    frame.put_u32(metadata.len() as u32);
    frame.put_slice(metadata.as_bytes());
    frame.put_slice(image);
    Message::Binary(frame.freeze())
}

/// Binary event 3: a text that a node shows while it works.
pub(crate) fn node_text(node: &str, text: &str) -> Message {
    let mut frame = BytesMut::with_capacity(8 + node.len() + text.len());
    frame.put_u32(3);
    frame.put_u32(node.len() as u32);
    frame.put_slice(node.as_bytes());
    frame.put_slice(text.as_bytes());
    Message::Binary(Bytes::from(frame))
}
