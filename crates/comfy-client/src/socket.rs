//! The websocket, opened over the same HTTP client, so that address, TLS, proxies and credentials are the same.

use std::time::Duration;

use bytes::Bytes;
use futures::{SinkExt as _, StreamExt as _};
use reqwest::{
    StatusCode, Upgraded,
    header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Message, Utf8Bytes,
        handshake::{client::generate_key, derive_accept_key},
        protocol::{Role, WebSocketConfig},
    },
};

use crate::{
    ComfyError, UnreachableReason,
    transport::{Http, status_error},
};

const PATH: &[&str] = &["ws"];
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
const WRITE_TIMEOUT: Duration = Duration::from_secs(1);
/// The default of 128 KiB is taken at once, by every socket.
const READ_BUFFER: usize = 16 << 10;
/// ComfyUI heeds it only as the first message; with it, previews say whose they are.
const FEATURE_FLAGS: &str = r#"{"type":"feature_flags","data":{"supports_preview_metadata":true}}"#;

/// An open websocket.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: WebSocketStream<Upgraded>,
    unanswered_pings: u32,
}

/// What came.
#[derive(Debug)]
pub(crate) enum Incoming {
    Text(Utf8Bytes),
    Binary(Bytes),
    /// A sign of life.
    Control,
}

impl Socket {
    /// Connects as `client_id` and says what this client can do.
    pub(crate) async fn open(http: &Http, client_id: &str) -> Result<Self, ComfyError> {
        http.within(PATH, OPEN_TIMEOUT.min(http.request_timeout), handshake(http, client_id)).await
    }

    /// The next message; `None` when the socket is of no more use. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Option<Incoming> {
        let message = match self.stream.next().await? {
            Ok(message) => message,
            Err(error) => {
                tracing::debug!(%error, "comfyui's websocket broke");
                return None;
            }
        };
        self.unanswered_pings = 0;
        match message {
            Message::Text(text) => Some(Incoming::Text(text)),
            Message::Binary(bytes) => Some(Incoming::Binary(bytes)),
            Message::Close(_) => None,
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => Some(Incoming::Control),
        }
    }

    /// Asks for a sign of life. False when the socket is of no more use: it can't be written to, or two questions
    /// before this one had no answer.
    pub(crate) async fn ping(&mut self) -> bool {
        if self.unanswered_pings >= 2 {
            return false;
        }
        self.unanswered_pings += 1;
        self.write(Message::Ping(Bytes::new())).await
    }

    /// Whether something came since the last question.
    pub(crate) fn is_answering(&self) -> bool {
        self.unanswered_pings == 0
    }

    /// Says good-bye, and waits a moment until ComfyUI has done so too.
    pub(crate) async fn close(mut self) {
        let goodbye = async {
            self.write(Message::Close(None)).await;
            while self.next().await.is_some() {}
        };
        // Without an answer it is closed all the same.
        let _ = tokio::time::timeout(WRITE_TIMEOUT, goodbye).await;
    }

    async fn write(&mut self, message: Message) -> bool {
        matches!(tokio::time::timeout(WRITE_TIMEOUT, self.stream.send(message)).await, Ok(Ok(())))
    }
}

async fn handshake(http: &Http, client_id: &str) -> Result<Socket, ComfyError> {
    let key = generate_key();
    let request = http
        .socket_request(client_id)
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, "websocket")
        .header(SEC_WEBSOCKET_VERSION, "13")
        .header(SEC_WEBSOCKET_KEY, &key);
    let response = http.send(request, PATH).await?;
    let refused = |why: &str| http.unreachable(UnreachableReason::NoWebSocket, why);
    match response.status() {
        StatusCode::SWITCHING_PROTOCOLS => {}
        status if status.is_success() => return Err(refused("the answer is a plain page")),
        _ => return Err(status_error(response, PATH).await),
    }
    let accept = response.headers().get(SEC_WEBSOCKET_ACCEPT).map(|value| value.as_bytes().to_owned());
    if accept.as_deref() != Some(derive_accept_key(key.as_bytes()).as_bytes()) {
        return Err(refused("the handshake has the wrong key"));
    }
    let upgraded = response.upgrade().await.map_err(|error| http.failure(error, PATH))?;
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_message_size(Some(http.max_response_bytes))
        .max_frame_size(Some(http.max_response_bytes));
    let stream = WebSocketStream::from_raw_socket(upgraded, Role::Client, Some(config)).await;
    let mut socket = Socket { stream, unanswered_pings: 0 };
    if socket.write(Message::text(FEATURE_FLAGS)).await {
        Ok(socket)
    } else {
        Err(http.unreachable(UnreachableReason::ConnectionLost, "the websocket broke at its first message"))
    }
}
