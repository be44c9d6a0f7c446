//! Messages as text frames of a websocket, subprotocol `mcp`.

use std::time::Duration;

use ::http::header::SEC_WEBSOCKET_PROTOCOL;
use ::http::{HeaderValue, StatusCode};
use bytes::Bytes;
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::error::{CapacityError, Error};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message, WebSocketConfig};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_tls_with_config};
use tokio_util::sync::CancellationToken;

use super::error::{ClientError, shortened};
use super::http::{default_headers, parse_url, require_tls, status_error};
use super::lines;
use super::options::WsOptions;
use super::stream::{Ends, FAREWELL, Reading};

/// Pings are not more frequent than this, nor so rare that a clock can't tell.
const SHORTEST_PING: Duration = Duration::from_millis(10);
const LONGEST_PING: Duration = Duration::from_hours(24);

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Opens the connection.
pub(super) async fn connect(url: &str, options: &WsOptions) -> Result<Socket, ClientError> {
    let url = parse_url(url, &["ws", "wss"])?;
    if url.scheme() == "wss" {
        require_tls()?;
    }
    let address = url.to_string();
    let setup = |reason: String| ClientError::Setup { reason };
    let mut request = address.as_str().into_client_request().map_err(|error| setup(error.to_string()))?;
    request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("mcp"));
    request.headers_mut().extend(default_headers(&options.headers, options.bearer.as_ref())?);
    let limit = options.peer.max_message_bytes;
    let config = WebSocketConfig::default().max_message_size(Some(limit)).max_frame_size(Some(limit));
    // Small messages that wait for an answer are not held back.
    let opening = connect_async_tls_with_config(request, Some(config), true, None);
    match tokio::time::timeout(options.connect_timeout, opening).await {
        Ok(Ok((socket, _))) => Ok(socket),
        Ok(Err(error)) => Err(refusal(&address, error)),
        Err(_) => {
            let source = std::io::Error::from(std::io::ErrorKind::TimedOut);
            Err(ClientError::Unreachable { url: address, source: Box::new(source) })
        }
    }
}

fn refusal(address: &str, error: Error) -> ClientError {
    match error {
        Error::Http(response) if response.status() == StatusCode::OK => {
            ClientError::protocol("the websocket handshake", "it is an ordinary HTTP answer")
        }
        Error::Http(response) => {
            let body = response.body().as_deref().unwrap_or_default();
            status_error(response.status(), response.headers(), body)
        }
        Error::Io(_) | Error::Tls(_) => {
            ClientError::Unreachable { url: address.to_owned(), source: Box::new(error) }
        }
        error => ClientError::protocol("the websocket handshake", shortened(&error.to_string())),
    }
}

/// Starts the tasks that read and write.
pub(super) fn start(ends: Ends, socket: Socket, ping_interval: Duration) {
    let ping_interval = ping_interval.clamp(SHORTEST_PING, LONGEST_PING);
    let (sink, source) = socket.split();
    tokio::spawn(write(sink, ends.outgoing, ends.reading.closing(), ping_interval));
    tokio::spawn(read(ends.reading, source, ping_interval));
}

async fn read(reading: Reading, mut source: SplitStream<Socket>, ping_interval: Duration) {
    let closing = reading.closing();
    // A live server answers each ping, so two of them without a sign of life are its end.
    let silence = ping_interval.saturating_mul(2);
    let reason = loop {
        let patience = if closing.is_cancelled() { FAREWELL } else { silence };
        let frame = tokio::select! {
            frame = tokio::time::timeout(patience, source.next()) => frame,
            () = closing.cancelled(), if !closing.is_cancelled() => continue,
        };
        match frame {
            Err(_) => break format!("nothing came from it for {} s", patience.as_secs_f64()),
            Ok(None | Some(Err(Error::ConnectionClosed))) => break closed(None),
            Ok(Some(Ok(Message::Text(text)))) => reading.message(text.as_bytes()),
            // Nothing comes after it; the writer returns it.
            Ok(Some(Ok(Message::Close(frame)))) => break closed(frame.as_ref()),
            Ok(Some(Ok(Message::Binary(bytes)))) => {
                tracing::warn!(bytes = bytes.len(), "the server sent a frame that is no text");
            }
            Ok(Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)))) => {}
            Ok(Some(Err(Error::Capacity(CapacityError::MessageTooLong { .. })))) => {
                break ClientError::TooLarge { limit: reading.limit() }.to_string();
            }
            Ok(Some(Err(error))) => break shortened(&error.to_string()),
        }
    };
    // Whatever the reason, the writer has nobody to write to.
    closing.cancel();
    reading.end(reason).await;
}

fn closed(frame: Option<&CloseFrame>) -> String {
    match frame {
        Some(frame) => format!("it closed the connection ({} {})", frame.code, shortened(&frame.reason)),
        None => "it closed the connection".to_owned(),
    }
}

async fn write(
    mut sink: SplitSink<Socket, Message>,
    mut outgoing: mpsc::Receiver<String>,
    closing: CancellationToken,
    ping_interval: Duration,
) {
    let mut pings = interval_at(Instant::now() + ping_interval, ping_interval);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let frame = tokio::select! {
            biased;
            message = lines::next(&mut outgoing, &closing) => match message {
                Some(message) => Message::text(message),
                None => break,
            },
            _ = pings.tick() => Message::Ping(Bytes::new()),
        };
        if let Err(error) = sink.send(frame).await {
            // The reader sees the end of the connection and tells the calls; here nobody waits.
            tracing::debug!(%error, "the server takes no more messages");
            return;
        }
    }
    let _ = sink.send(Message::Close(None)).await;
}
