//! The WebSocket transport: one message a text frame, in both directions, and both eras at once.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{FromRequestParts as _, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt as _, StreamExt as _};
use http::request::Parts;
use http::{HeaderValue, StatusCode, header};
use jsonrpsee::Extensions;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};
use tokio_tungstenite::tungstenite;

use super::reply::Refusal;
use super::{Endpoint, access, session};
use crate::connection::{Connection, Outgoing};
use crate::error::{self, INVALID_REQUEST, OVERLOADED};
use crate::server::{Admitted, Server};
use crate::session::SessionOwner;
use crate::wire::RequestId;

/// What the TypeScript SDK's client offers, too.
const SUBPROTOCOL: &str = "mcp";
/// Messages on their way to the writer; above it, whoever writes waits.
const QUEUE: usize = 64;
/// Each connection has a buffer of this size for as long as it is open.
const READ_BUFFER: usize = 16 * 1024;
/// A client has this long to answer a close.
const CLOSING: Duration = Duration::from_secs(2);

pub(super) async fn handle(
    State(endpoint): State<Arc<Endpoint>>,
    request: axum::extract::Request,
) -> Response {
    let (parts, _) = request.into_parts();
    endpoint.upgrade(parts).await.unwrap_or_else(|refused| refused)
}

impl Endpoint {
    async fn upgrade(&self, mut parts: Parts) -> Result<Response, Response> {
        access::check(&self.config, &parts).map_err(IntoResponse::into_response)?;
        let upgrade = WebSocketUpgrade::from_request_parts(&mut parts, &()).await;
        let upgrade = upgrade.map_err(|rejection| no_handshake(&rejection.body_text()))?;
        let offers_any = upgrade.requested_protocols().any(|protocol| !protocol.is_empty());
        let upgrade = upgrade.protocols([SUBPROTOCOL]);
        if offers_any && upgrade.selected_protocol().is_none() {
            let message = "this endpoint speaks the subprotocol mcp; offer that, or none";
            let error = error::error(INVALID_REQUEST, message);
            return Err(Refusal::bad_request(None, error).into_response());
        }
        let place = self.place(&parts, None).map_err(IntoResponse::into_response)?;
        let limit = self.server.limits().max_message_bytes;
        let socket = Socket {
            server: self.server.clone(),
            extensions: parts.extensions,
            keep_alive: self.config.keep_alive,
            silence: self.config.body_timeout,
            send_timeout: self.config.send_timeout,
        };
        let open = self.server.connection();
        let upgrade = upgrade.max_message_size(limit).max_frame_size(limit).read_buffer_size(READ_BUFFER);
        Ok(upgrade.on_upgrade(move |connected| async move {
            socket.serve(connected).await;
            drop((place, open));
        }))
    }

    /// A place among the streams that stay open.
    pub(super) fn place(&self, parts: &Parts, id: Option<&RequestId>) -> Result<Admitted, Refusal> {
        let busy = |error| Refusal::new(StatusCode::SERVICE_UNAVAILABLE, id.cloned(), error);
        if self.server.closing().is_cancelled() {
            return Err(busy(error::error(OVERLOADED, "the server is stopping; try again in a moment")));
        }
        let client = Some(session::client(parts)).filter(|client| !client.is_empty()).map(SessionOwner);
        self.server.admit_stream(client.as_ref()).map_err(busy)
    }
}

fn no_handshake(why: &str) -> Response {
    let message = format!("this endpoint takes WebSocket connections only: {why}");
    let error = error::error(INVALID_REQUEST, message);
    let mut response = Refusal::new(StatusCode::UPGRADE_REQUIRED, None, error).into_response();
    let headers = response.headers_mut();
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    response
}

/// One connection.
struct Socket {
    server: Server,
    /// Those of the request that opened it.
    extensions: Extensions,
    /// A client that says nothing for this long is pinged.
    keep_alive: Duration,
    /// One that says nothing for this long after that is gone.
    silence: Duration,
    send_timeout: Duration,
}

/// Why nothing more is read.
enum End {
    /// There is nobody to say goodbye to.
    Gone,
    /// The client is told why, and may answer.
    Close(CloseFrame),
    /// The client is told why; nothing can be read of it any more.
    Broken(CloseFrame),
}

/// Why nothing more can be written.
enum Lost {
    Slow,
    Gone,
}

impl Socket {
    async fn serve(mut self, socket: WebSocket) {
        let (sink, mut stream) = socket.split();
        let (queue, outgoing) = mpsc::channel(QUEUE);
        let mut connection =
            Connection::new(self.server.clone(), std::mem::take(&mut self.extensions), queue);
        let ping = Notify::new();
        let mut writing = pin!(write(sink, outgoing, &ping, self.send_timeout));
        let end = tokio::select! {
            end = self.read(&mut stream, &mut connection, &ping) => end,
            lost = &mut writing => {
                if matches!(lost, Err(Lost::Slow)) {
                    tracing::info!("a WebSocket client that does not read was cut off");
                }
                return;
            }
        };
        // What still runs is cancelled, and then the queue ends behind what is in it.
        drop(connection);
        let (End::Close(frame) | End::Broken(frame)) = &end else { return };
        let Ok(mut sink) = writing.await else { return };
        let closing = async {
            if sink.send(Message::Close(Some(frame.clone()))).await.is_err() {
                return;
            }
            match end {
                // Closed with something unread, TCP resets the connection, and the client may never see why.
                End::Broken(_) => sleep(CLOSING).await,
                _ => while let Some(Ok(_)) = stream.next().await {},
            }
        };
        // Too late or not, it is over now.
        _ = timeout(CLOSING, closing).await;
    }

    /// Until either side ends the connection.
    async fn read(
        &self,
        stream: &mut SplitStream<WebSocket>,
        connection: &mut Connection,
        ping: &Notify,
    ) -> End {
        let closing = self.server.closing();
        let (mut heard, mut pinged) = (Instant::now(), false);
        let mut stop_at = None;
        loop {
            let silent_at = heard + self.keep_alive + if pinged { self.silence } else { Duration::ZERO };
            let message = tokio::select! {
                biased;
                () = closing.cancelled(), if stop_at.is_none() => {
                    connection.stop();
                    stop_at = Some(Instant::now() + self.server.limits().drain);
                    continue;
                }
                () = drained(connection, stop_at), if stop_at.is_some() => {
                    return End::Close(close(close_code::AWAY, "the server is stopping"));
                }
                message = stream.next() => message,
                // Last: silent is who has sent nothing, not whom this had no time to read.
                () = sleep_until(silent_at) => {
                    if pinged {
                        tracing::info!("a WebSocket client that does not answer pings was cut off");
                        return End::Gone;
                    }
                    ping.notify_one();
                    pinged = true;
                    continue;
                }
            };
            (heard, pinged) = (Instant::now(), false);
            match message {
                Some(Ok(Message::Text(text))) => connection.receive(text.as_bytes()).await,
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Binary(_))) => {
                    return End::Close(close(close_code::UNSUPPORTED, "messages are text frames"));
                }
                Some(Ok(Message::Close(_))) => {
                    // Its answer is written while the next frame, which is the end, is read.
                    _ = timeout(CLOSING, stream.next()).await;
                    return End::Gone;
                }
                Some(Err(error)) => return self.broken(error),
                None => return End::Gone,
            }
        }
    }

    fn broken(&self, error: axum::Error) -> End {
        let Ok(error) = error.into_inner().downcast::<tungstenite::Error>() else { return End::Gone };
        match *error {
            tungstenite::Error::Capacity(_) => {
                let limit = self.server.limits().max_message_bytes;
                End::Broken(close(close_code::SIZE, &format!("the message is larger than {limit} bytes")))
            }
            tungstenite::Error::Utf8(_) => End::Broken(close(close_code::INVALID, "the text is not UTF-8")),
            tungstenite::Error::Protocol(violation) => {
                // At most 123 bytes fit (RFC 6455, 5.5); these texts are short.
                End::Broken(close(close_code::PROTOCOL, error::shortened(&violation.to_string())))
            }
            _ => End::Gone,
        }
    }
}

fn close(code: u16, reason: &str) -> CloseFrame {
    CloseFrame { code, reason: reason.into() }
}

/// Until nothing runs, or the time is over.
async fn drained(connection: &mut Connection, until: Option<Instant>) {
    if let Some(until) = until {
        _ = timeout_at(until, connection.idle()).await;
    }
}

/// Writes what comes out of the queue, until it ends. A message that has waited for `patience`, in the queue or for the
/// client to take it, ends it too: a slow reader costs no more than its queue, and not for long.
async fn write(
    mut sink: SplitSink<WebSocket, Message>,
    mut outgoing: mpsc::Receiver<Outgoing>,
    ping: &Notify,
    patience: Duration,
) -> Result<SplitSink<WebSocket, Message>, Lost> {
    loop {
        let (message, since) = tokio::select! {
            next = outgoing.recv() => match next {
                Some(Outgoing { text, since }) => (Message::Text(text.into()), since),
                None => return Ok(sink),
            },
            () = ping.notified() => (Message::Ping(Bytes::new()), Instant::now()),
        };
        let is_last = outgoing.is_empty();
        let sent = async {
            sink.feed(message).await?;
            if is_last { sink.flush().await } else { Ok(()) }
        };
        match timeout_at(since + patience, sent).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err(Lost::Gone),
            Err(_) => return Err(Lost::Slow),
        }
    }
}

#[cfg(test)]
mod tests;
