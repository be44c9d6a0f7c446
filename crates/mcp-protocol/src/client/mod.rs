//! The client side: a [`Peer`] that calls a server, over Streamable HTTP or a byte stream, in either era.
//!
//! ```no_run
//! use mcp_protocol::client::{CallOptions, HttpOptions, Peer};
//! # async fn example() -> Result<(), mcp_protocol::client::ClientError> {
//! let peer = Peer::connect_http("http://127.0.0.1:9000/mcp", HttpOptions::default()).await?;
//! let answer = peer.call_tool("list_models", serde_json::json!({}), CallOptions::default()).await?;
//! assert!(!answer.is_error);
//! # Ok(())
//! # }
//! ```

mod child;
mod error;
mod headers;
mod http;
mod http_answer;
mod incoming;
mod opening;
mod options;
mod sse;
mod stream;
mod transport;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use ::http::{HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::process::Command;

pub use error::ClientError;
pub use opening::ServerAbout;
pub use options::{CallOptions, HttpOptions, OnProgress, PeerOptions, ServerLog};

use self::headers::ParamHeader;
use self::http::HttpTransport;
use self::stream::StreamTransport;
use self::transport::{Call, Transport};
use crate::error::HEADER_MISMATCH;
use crate::wire::{CallToolResult, Era, ListToolsResult, ToolDescription};

/// The most pages that `tools/list` is followed through.
const MAX_PAGES: usize = 100;
/// How often a call is repeated for a server that asks for nothing but its own state back.
const MAX_ROUNDS: usize = 8;

/// An open server.
///
/// Calls run concurrently. Dropping a call's future cancels it: over modern HTTP by closing its stream,
/// elsewhere with `notifications/cancelled`. Dropping the peer closes the connection and ends a started
/// server.
#[derive(Debug)]
pub struct Peer {
    transport: Transport,
    about: ServerAbout,
    options: PeerOptions,
    /// By tool, once its description was seen.
    param_headers: Mutex<HashMap<String, Arc<[ParamHeader]>>>,
}

impl Peer {
    /// Opens the server at an http or https URL. For TLS the process has to have a rustls provider installed.
    pub async fn connect_http(url: &str, options: HttpOptions) -> Result<Peer, ClientError> {
        let transport = Transport::Http(HttpTransport::new(url, &options)?);
        Peer::open(transport, options.peer).await
    }

    /// Starts a server and opens it over its standard streams.
    pub async fn spawn_stdio(
        command: Command,
        log: ServerLog,
        options: PeerOptions,
    ) -> Result<Peer, ClientError> {
        let started = child::spawn(command, log)?;
        let child = Some((started.watch, started.guard));
        let stream = StreamTransport::start(started.output, started.input, options.max_message_bytes, child);
        Peer::open(Transport::Stream(stream), options).await
    }

    /// Opens a server at the other end of a byte stream: what it writes, and what it reads.
    pub async fn connect_stdio(
        reader: impl AsyncRead + Unpin + Send + 'static,
        writer: impl AsyncWrite + Unpin + Send + 'static,
        options: PeerOptions,
    ) -> Result<Peer, ClientError> {
        let stream = StreamTransport::start(reader, writer, options.max_message_bytes, None);
        Peer::open(Transport::Stream(stream), options).await
    }

    async fn open(transport: Transport, options: PeerOptions) -> Result<Peer, ClientError> {
        let about = opening::open(&transport, &options).await?;
        tracing::debug!(
            mcp.version = %about.version,
            server.name = %about.info.name,
            server.version = %about.info.version,
            "the server is open"
        );
        Ok(Peer { transport, about, options, param_headers: Mutex::default() })
    }

    /// What the server said of itself.
    pub fn server(&self) -> &ServerAbout {
        &self.about
    }

    /// All tools, page by page. Over modern HTTP, tools whose `x-mcp-header` marks break the rules are left
    /// out, as the specification wants it.
    pub async fn list_tools(&self) -> Result<Vec<ToolDescription>, ClientError> {
        let mut tools = Vec::new();
        let mut cursor: Option<String> = None;
        let mut seen = HashSet::new();
        for _ in 0..MAX_PAGES {
            let params = match &cursor {
                Some(cursor) => Map::from_iter([("cursor".to_owned(), json!(cursor))]),
                None => Map::new(),
            };
            let result = self.request("tools/list", params, CallOptions::default()).await?;
            let page: ListToolsResult = transport::typed("tools/list", &result)?;
            tools.extend(page.tools);
            match page.next_cursor {
                Some(next) if seen.insert(next.clone()) => cursor = Some(next),
                _ => break,
            }
        }
        if self.mirrors_params() {
            tools.retain(|tool| self.learn(tool));
        }
        Ok(tools)
    }

    /// Calls a tool. `arguments` is an object. A result that [`is_error`](CallToolResult::is_error) is an
    /// `Ok`: the tool ran, or refused its arguments, and says why.
    pub async fn call_tool(
        &self,
        name: &str,
        arguments: Value,
        mut options: CallOptions,
    ) -> Result<CallToolResult, ClientError> {
        let mut on_progress = options.on_progress.take();
        let timeout = options.timeout.unwrap_or(self.options.timeout);
        let mut params =
            Map::from_iter([("name".to_owned(), json!(name)), ("arguments".to_owned(), arguments)]);
        let mut relearned = false;
        for _ in 0..MAX_ROUNDS {
            let mut call = Call::new("tools/call", params.clone());
            call.timeout = timeout;
            call.headers = self.headers_for(name, &params["arguments"]);
            let result = match self.send(&call, &mut on_progress).await {
                // The tool's description may have changed since it was seen, or was never seen.
                Err(ClientError::Rpc { code: HEADER_MISMATCH, .. })
                    if self.mirrors_params() && !relearned =>
                {
                    relearned = true;
                    self.list_tools().await?;
                    continue;
                }
                result => result?,
            };
            match next_round(&result)? {
                None => return transport::typed("tools/call", &result),
                Some(state) => params.insert("requestState".to_owned(), json!(state)),
            };
        }
        Err(ClientError::protocol("tools/call", "the server asks for the same call again and again"))
    }

    /// Calls any method. `params` are without `_meta`.
    pub async fn request(
        &self,
        method: &str,
        params: Map<String, Value>,
        mut options: CallOptions,
    ) -> Result<Box<RawValue>, ClientError> {
        let mut on_progress = options.on_progress.take();
        let mut call = Call::new(method, params);
        call.timeout = options.timeout.unwrap_or(self.options.timeout);
        self.send(&call, &mut on_progress).await
    }

    /// Asks for a sign of life: `ping`, or `server/discover` where there is no `ping` any more.
    pub async fn ping(&self) -> Result<(), ClientError> {
        let method = match self.about.version.era() {
            Era::Legacy => "ping",
            Era::Modern => "server/discover",
        };
        self.request(method, Map::new(), CallOptions::default()).await.map(drop)
    }

    /// Ends the session, and waits for the end of a started server.
    pub async fn close(self) {
        match self.transport {
            Transport::Http(http) => http.close(self.about.version).await,
            Transport::Stream(stream) => stream.close().await,
        }
    }

    async fn send(
        &self,
        call: &Call<'_>,
        on_progress: &mut Option<OnProgress>,
    ) -> Result<Box<RawValue>, ClientError> {
        let (version, info) = (self.about.version, &self.options.client_info);
        let session = self.session();
        match self.transport.call(call, version, info, on_progress).await {
            Err(ClientError::SessionExpired) => {
                // Another call may have opened a new session meanwhile.
                if self.session() == session {
                    opening::initialize(&self.transport, &self.options, version).await?;
                }
                self.transport.call(call, version, info, on_progress).await
            }
            answer => answer,
        }
    }

    fn session(&self) -> Option<HeaderValue> {
        match &self.transport {
            Transport::Http(http) => http.session(),
            Transport::Stream(_) => None,
        }
    }

    fn mirrors_params(&self) -> bool {
        matches!(self.transport, Transport::Http(_)) && self.about.version.era() == Era::Modern
    }

    /// Keeps which parameters go into headers; false when the tool's description breaks the rules for that.
    fn learn(&self, tool: &ToolDescription) -> bool {
        match headers::param_headers(&tool.input_schema) {
            Ok(found) => {
                let mut known = self.param_headers.lock().unwrap_or_else(PoisonError::into_inner);
                if found.is_empty() {
                    known.remove(&tool.name);
                } else {
                    known.insert(tool.name.clone(), found.into());
                }
                true
            }
            Err(reason) => {
                tracing::warn!(tool.name = %tool.name, %reason, "a tool of the server is left out");
                false
            }
        }
    }

    fn headers_for(&self, tool: &str, arguments: &Value) -> Vec<(HeaderName, HeaderValue)> {
        let known = self.param_headers.lock().unwrap_or_else(PoisonError::into_inner).get(tool).cloned();
        known.iter().flat_map(|headers| headers.iter()).filter_map(|header| header.of(arguments)).collect()
    }
}

/// A modern result may ask for input. This client has offered none, so only the server's own state can be
/// meant; it goes back with the next round (2026-07-28, basic/patterns/mrtr).
fn next_round(result: &RawValue) -> Result<Option<String>, ClientError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Round {
        result_type: Option<String>,
        request_state: Option<String>,
        #[serde(default)]
        input_requests: Map<String, Value>,
    }
    let round: Round = transport::typed("tools/call", result)?;
    match (round.result_type.as_deref(), round.request_state) {
        (None | Some("complete"), _) => Ok(None),
        (Some("input_required"), Some(state)) if round.input_requests.is_empty() => Ok(Some(state)),
        (Some("input_required"), _) => Err(ClientError::protocol(
            "tools/call",
            "the tool asks for input while it runs, which this client can't give",
        )),
        (Some(other), _) => Err(ClientError::protocol(
            "tools/call",
            format!("its resultType is {:?}", error::shortened(other)),
        )),
    }
}

#[cfg(test)]
mod tests;
