//! The stdio transport: one message a line, in both directions.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use jsonrpsee::Extensions;
use jsonrpsee::types::ErrorObjectOwned;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::context::RequestInfo;
use crate::error::{self, INVALID_PARAMS, INVALID_REQUEST};
use crate::server::{Head, Server, negotiated};
use crate::wire::{
    Implementation, InitializeParams, LogLevel, Message, ParseError, ProtocolVersion, Request, RequestId,
    response,
};

/// Lines on their way to the writer; above it, whoever writes waits.
const OUTGOING_LINES: usize = 64;

impl Server {
    /// Serves one client over a pair of streams until the reader ends, in both eras at once. Nothing but messages is
    /// written. Requests run side by side, as many as [`crate::Limits::max_in_flight`] says; those that still run at
    /// the end have [`crate::Limits::drain`] to answer, and are cancelled after that.
    ///
    /// Fails when a stream does.
    pub async fn serve_stdio<R, W>(&self, reader: R, writer: W) -> io::Result<()>
    where
        R: AsyncRead + Unpin + Send,
        W: AsyncWrite + Unpin + Send,
    {
        let (lines, outgoing) = mpsc::channel(OUTGOING_LINES);
        let connection = Connection::new(self.clone(), lines);
        let reading = connection.read(BufReader::new(reader));
        tokio::try_join!(reading, write(writer, outgoing)).map(|_| ())
    }
}

async fn write<W: AsyncWrite + Unpin>(mut writer: W, mut outgoing: mpsc::Receiver<String>) -> io::Result<()> {
    while let Some(mut line) = outgoing.recv().await {
        line.push('\n');
        writer.write_all(line.as_bytes()).await?;
        if outgoing.is_empty() {
            writer.flush().await?;
        }
    }
    writer.flush().await
}

struct Connection {
    server: Server,
    lines: mpsc::Sender<String>,
    /// Set by `initialize`: from then on, requests without modern `_meta` are in this revision.
    legacy: Option<LegacyClient>,
    running: Running,
    tasks: JoinSet<()>,
}

#[derive(Clone)]
struct LegacyClient {
    version: ProtocolVersion,
    info: Implementation,
    capabilities: serde_json::Value,
}

/// What `notifications/cancelled` can reach.
type Running = Arc<Mutex<HashMap<RequestId, CancellationToken>>>;

impl Connection {
    fn new(server: Server, lines: mpsc::Sender<String>) -> Connection {
        Connection { server, lines, legacy: None, running: Running::default(), tasks: JoinSet::new() }
    }

    async fn read<R: AsyncBufRead + Unpin>(mut self, mut reader: R) -> io::Result<()> {
        let limit = self.server.limits().max_message_bytes;
        let mut line = Vec::new();
        loop {
            match next_line(&mut reader, &mut line, limit).await? {
                Line::End => break,
                Line::TooLong => {
                    let message = format!("the message is larger than {limit} bytes");
                    self.send(None, Err(error::error(INVALID_REQUEST, message))).await;
                }
                Line::Whole if line.iter().all(u8::is_ascii_whitespace) => {}
                Line::Whole => self.receive(&line).await,
            }
            while self.tasks.try_join_next().is_some() {}
        }
        let drain = self.server.limits().drain;
        let drained = tokio::time::timeout(drain, async { while self.tasks.join_next().await.is_some() {} });
        if drained.await.is_err() {
            self.tasks.shutdown().await;
        }
        Ok(())
    }

    async fn receive(&mut self, line: &[u8]) {
        match Message::parse(line) {
            Ok(Message::Request(request)) => {
                let id = request.id.clone();
                if let Err(error) = self.start(request) {
                    self.send(Some(&id), Err(error)).await;
                }
            }
            Ok(Message::Notification { method, params }) if method == "notifications/cancelled" => {
                self.cancel(params.as_deref());
            }
            Ok(Message::Notification { .. } | Message::Response(_)) => {}
            Err(cause) => {
                let id = match &cause {
                    ParseError::Invalid { id, .. } => id.as_ref(),
                    ParseError::Syntax(_) => None,
                };
                self.send(id, Err(error::unparsable(&cause))).await;
            }
        }
    }

    fn start(&mut self, request: Request) -> Result<(), ErrorObjectOwned> {
        let info = self.info(&request)?;
        let admitted = self.server.admit(&request.method, None)?;
        let id = request.id.clone();
        let call = self.server.start(request, info, Extensions::new(), admitted, None);
        {
            let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            if running.contains_key(&id) {
                return Err(error::error(INVALID_REQUEST, "a request with this id is still running"));
            }
            running.insert(id.clone(), call.channel.cancelled.clone());
        }
        let (lines, running) = (self.lines.clone(), Arc::clone(&self.running));
        self.tasks.spawn(async move {
            let answer = call.drive(&lines, |note| note).await;
            running.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
            if let Some(answer) = answer {
                // A closed channel means that the writer failed, and then the connection ends.
                _ = lines.send(response(Some(&id), &answer)).await;
            }
        });
        Ok(())
    }

    /// The revision a request is in: its own `_meta`, or else what `initialize` has settled.
    fn info(&mut self, request: &Request) -> Result<RequestInfo, ErrorObjectOwned> {
        let head = Head::read(request.params.as_deref())?;
        if head.is_modern() {
            return head.into_modern(request);
        }
        if request.method == "initialize" {
            self.legacy = Some(LegacyClient::read(request.params.as_deref())?);
        }
        let client = match &self.legacy {
            Some(client) => client.clone(),
            None if request.method == "ping" => LegacyClient::unknown(),
            None => {
                let message =
                    "open with initialize, or say in params._meta which protocol version this request is in";
                return Err(error::error(INVALID_PARAMS, message));
            }
        };
        Ok(RequestInfo {
            request_id: request.id.clone(),
            version: client.version,
            session_id: None,
            client_info: Some(client.info),
            client_capabilities: client.capabilities,
            progress_token: head.meta.progress_token,
            log_level: Some(LogLevel::Info),
            target: head.target,
        })
    }

    /// Unknown ids and malformed notifications are ignored, as the specification asks.
    fn cancel(&self, params: Option<&RawValue>) {
        if let Some(id) = cancelled_id(params)
            && let Some(cancelled) = self.running.lock().unwrap_or_else(PoisonError::into_inner).get(&id)
        {
            cancelled.cancel();
        }
    }

    async fn send(&self, id: Option<&RequestId>, payload: crate::server::Answer) {
        _ = self.lines.send(response(id, &payload)).await;
    }
}

impl LegacyClient {
    fn read(params: Option<&RawValue>) -> Result<LegacyClient, ErrorObjectOwned> {
        let text = params.map_or("{}", RawValue::get);
        let params: InitializeParams = serde_json::from_str(text)
            .map_err(|cause| error::error(INVALID_PARAMS, format!("invalid params: {cause}")))?;
        Ok(LegacyClient {
            version: negotiated(&params.protocol_version),
            info: params.client_info,
            capabilities: params.capabilities,
        })
    }

    fn unknown() -> LegacyClient {
        LegacyClient {
            version: ProtocolVersion::LATEST_LEGACY,
            info: Implementation::default(),
            capabilities: serde_json::Value::Null,
        }
    }
}

/// The request that a `notifications/cancelled` names.
pub(crate) fn cancelled_id(params: Option<&RawValue>) -> Option<RequestId> {
    #[derive(Deserialize)]
    struct Cancelled {
        #[serde(rename = "requestId")]
        request_id: RequestId,
    }
    serde_json::from_str::<Cancelled>(params?.get()).ok().map(|cancelled| cancelled.request_id)
}

enum Line {
    Whole,
    TooLong,
    End,
}

/// Reads a line into `line`, without its end. What is above `limit` bytes is skipped, not kept.
async fn next_line<R: AsyncBufRead + Unpin>(
    reader: &mut R,
    line: &mut Vec<u8>,
    limit: usize,
) -> io::Result<Line> {
    line.clear();
    // A message that was large once shouldn't hold its memory for good.
    line.shrink_to(64 * 1024);
    let mut too_long = false;
    loop {
        let chunk = reader.fill_buf().await?;
        if chunk.is_empty() && line.is_empty() && !too_long {
            return Ok(Line::End);
        }
        let end = chunk.iter().position(|byte| *byte == b'\n');
        let part = end.map_or(chunk, |end| &chunk[..end]);
        if too_long || line.len() + part.len() > limit {
            too_long = true;
            line.clear();
        } else {
            line.extend_from_slice(part);
        }
        let ended = end.is_some() || chunk.is_empty();
        let used = part.len() + usize::from(end.is_some());
        reader.consume(used);
        if ended {
            return Ok(if too_long { Line::TooLong } else { Line::Whole });
        }
    }
}

#[cfg(test)]
mod tests;
