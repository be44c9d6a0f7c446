//! The reading of one call's answer over HTTP: a body of JSON or a stream of events.

use std::time::Duration;

use http::HeaderValue;
use http::header::CONTENT_TYPE;
use jsonrpsee::types::ErrorObjectOwned;
use reqwest::Response;
use serde_json::value::RawValue;

use super::error::{ClientError, shortened};
use super::http::HttpTransport;
use super::incoming::{self, Reply};
use super::options::OnProgress;
use super::sse::SseParser;
use crate::wire::{Era, Message, ParseError, ProtocolVersion, RequestId};

/// How often in a row a broken legacy stream is taken up again without anything coming from it.
const MAX_RESUMES: u32 = 5;
/// The wait before that, when the server names none.
const RESUME_DELAY: Duration = Duration::from_millis(500);

/// The reading of one call's answer.
pub(super) struct Answer<'a> {
    transport: &'a HttpTransport,
    id: i64,
    method: &'a str,
    version: ProtocolVersion,
    on_progress: &'a mut Option<OnProgress>,
    /// An error without an id: the cause, if nothing else comes.
    stray: Option<ErrorObjectOwned>,
}

impl<'a> Answer<'a> {
    pub(super) fn new(
        transport: &'a HttpTransport,
        id: i64,
        method: &'a str,
        version: ProtocolVersion,
        on_progress: &'a mut Option<OnProgress>,
    ) -> Answer<'a> {
        Answer { transport, id, method, version, on_progress, stray: None }
    }

    /// From a body of JSON.
    pub(super) async fn read_body(mut self, response: Response) -> Result<Box<RawValue>, ClientError> {
        let limit = self.transport.limit;
        let body = match read_bounded(response, limit).await {
            Ok(body) => body,
            Err(ReadError::TooLarge) => return Err(ClientError::TooLarge { limit }),
            Err(ReadError::Broken(reason)) => return Err(self.interrupted(reason)),
        };
        if let Some(answer) = self.message(&body) {
            return answer;
        }
        match self.stray.take() {
            Some(error) => Err(error.into()),
            None => Err(ClientError::protocol(self.method, "it is no JSON-RPC answer to this call")),
        }
    }

    /// From an event stream, resumed where the revision has that.
    pub(super) async fn read_events(mut self, mut response: Response) -> Result<Box<RawValue>, ClientError> {
        let mut parser = SseParser::new(self.transport.limit);
        let mut events = Vec::new();
        let mut resumes = 0;
        loop {
            let ended = match response.chunk().await {
                Ok(Some(chunk)) => {
                    let pushed = parser.push(&chunk, &mut events);
                    for event in events.drain(..) {
                        resumes = 0;
                        if let Some(answer) = self.message(event.data.as_bytes()) {
                            return answer;
                        }
                    }
                    if pushed.is_err() {
                        return Err(ClientError::TooLarge { limit: self.transport.limit });
                    }
                    continue;
                }
                Ok(None) => "the stream ended".to_owned(),
                Err(error) => chain(&error.without_url()),
            };
            if let Some(error) = self.stray.take() {
                return Err(error.into());
            }
            response = self.resume(&mut parser, &mut resumes, ended).await?;
        }
    }

    /// Takes up a legacy stream where it broke (2025-11-25, basic/transports: resumability).
    async fn resume(
        &mut self,
        parser: &mut SseParser,
        resumes: &mut u32,
        ended: String,
    ) -> Result<Response, ClientError> {
        let last = parser.last_event_id().and_then(|id| HeaderValue::from_str(id).ok());
        let Some(last) = last.filter(|_| self.version.era() == Era::Legacy) else {
            return Err(self.interrupted(ended));
        };
        while *resumes < MAX_RESUMES {
            *resumes += 1;
            tokio::time::sleep(parser.retry().unwrap_or(RESUME_DELAY)).await;
            match self.transport.get_events(Some(last.clone()), self.transport.session(), self.version).await
            {
                Ok(response) if matches!(media_type(&response), MediaType::EventStream) => {
                    parser.reconnected();
                    return Ok(response);
                }
                Ok(response) if !response.status().is_server_error() => break,
                Ok(_) | Err(_) => {}
            }
        }
        Err(self.interrupted(ended))
    }

    /// The call's answer, if this message is it.
    fn message(&mut self, text: &[u8]) -> Option<Result<Box<RawValue>, ClientError>> {
        match Message::parse(text) {
            Ok(Message::Response(response)) => match (response.id, response.payload) {
                (Some(RequestId::Number(id)), payload) if id == self.id => {
                    Some(payload.map_err(ClientError::from))
                }
                (None, Err(error)) => {
                    self.stray = Some(error);
                    None
                }
                (id, _) => {
                    tracing::warn!(rpc.id = ?id, "the server sent an answer to another call");
                    None
                }
            },
            Ok(Message::Notification { method, params }) => {
                self.notification(&method, params.as_deref());
                None
            }
            Ok(Message::Request(request)) => {
                let reply = Reply::Http(self.transport.clone(), self.version);
                self.transport.incoming.request(request, reply);
                None
            }
            Err(ParseError::Invalid { id: Some(RequestId::Number(id)), reason }) if id == self.id => {
                Some(Err(ClientError::protocol(self.method, reason)))
            }
            Err(error) => {
                tracing::warn!(%error, bytes = text.len(), "the server sent what is no message");
                None
            }
        }
    }

    fn notification(&mut self, method: &str, params: Option<&RawValue>) {
        let Some(update) = incoming::progress(method, params) else {
            return self.transport.incoming.notification(method, params);
        };
        if let Some(on_progress) = self.on_progress
            && update.progress_token == RequestId::Number(self.id)
        {
            on_progress(update);
        }
    }

    fn interrupted(&self, reason: String) -> ClientError {
        ClientError::Interrupted { method: self.method.to_owned(), reason }
    }
}

/// What an answer is written in.
pub(super) enum MediaType {
    Json,
    EventStream,
    Other(String),
}

/// What this answer is written in.
pub(super) fn media_type(response: &Response) -> MediaType {
    let value = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let name = value.split(';').next().unwrap_or("").trim();
    if name.eq_ignore_ascii_case("application/json") {
        MediaType::Json
    } else if name.eq_ignore_ascii_case("text/event-stream") {
        MediaType::EventStream
    } else if name.is_empty() {
        MediaType::Other(format!("HTTP {} without a body", response.status().as_u16()))
    } else {
        MediaType::Other(shortened(name))
    }
}

/// Why a body has no end.
pub(super) enum ReadError {
    TooLarge,
    Broken(String),
}

/// The whole body, if it is not too large.
pub(super) async fn read_bounded(mut response: Response, limit: usize) -> Result<Vec<u8>, ReadError> {
    if response.content_length().is_some_and(|length| length > limit as u64) {
        return Err(ReadError::TooLarge);
    }
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() > limit => return Err(ReadError::TooLarge),
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => return Ok(body),
            Err(error) => return Err(ReadError::Broken(chain(&error.without_url()))),
        }
    }
}

/// An error with its causes, on one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
