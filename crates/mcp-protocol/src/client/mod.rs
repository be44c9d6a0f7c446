//! The client side: a [`Peer`] that speaks with a server in either era, over Streamable HTTP, a websocket, or the
//! streams of a process.
//!
//! ```no_run
//! use mcp_protocol::client::{CallOptions, HttpOptions, Notice, Peer, PeerOptions, form_defaults, input_fn};
//! use mcp_protocol::wire::{ElicitAction, Elicitation, ElicitResult, InputKind, InputRequest};
//! use serde_json::json;
//!
//! # async fn example() -> Result<(), mcp_protocol::client::ClientError> {
//! // Forms of the server are answered with what they propose themselves.
//! let on_input = input_fn([InputKind::ElicitForm], async |question| {
//!     let InputRequest::Elicit(Elicitation::Form { requested_schema, .. }) = question else {
//!         return Err(mcp_protocol::error::error(-32603, "only forms were offered"));
//!     };
//!     let answer = ElicitResult { action: ElicitAction::Accept, content: form_defaults(&requested_schema) };
//!     Ok(json!(answer))
//! });
//! let options = HttpOptions {
//!     peer: PeerOptions { on_input: Some(on_input), tasks: true, ..PeerOptions::default() },
//!     ..HttpOptions::default()
//! };
//! let peer = Peer::connect_http("http://127.0.0.1:9000/mcp", options).await?;
//!
//! let options = CallOptions::default().progress(|update| println!("{} so far", update.progress));
//! let answer = peer.call_tool("generate_image", json!({"prompt": "a fox"}), options).await?;
//! assert!(!answer.is_error);
//!
//! let mut changes = peer.subscribe("file:///plan.json").await?;
//! while let Some(change) = changes.next().await? {
//!     if let Notice::ResourceUpdated { .. } | Notice::Missed { .. } = change {
//!         let now = peer.read_resource("file:///plan.json", CallOptions::default()).await?;
//!         println!("{} parts", now.contents.len());
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! A server's own era is found out when it is opened ([`ServerAbout::version`]). What differs between the eras stays
//! inside: how a server asks, how it tells of changes, how a broken connection is taken up again. Nothing that a server
//! sends ends a connection but a message over [`PeerOptions::max_message_bytes`].

mod calls;
mod child;
mod connection;
mod error;
mod get_stream;
mod headers;
mod http;
mod http_answer;
mod incoming;
mod input;
mod lines;
mod mailbox;
mod notices;
mod opening;
mod options;
mod rounds;
mod sse;
mod stream;
mod subscription;
mod tasks;
mod transport;
mod ws;

use std::sync::{Arc, Mutex};

use serde_json::value::RawValue;
use serde_json::{Map, Value};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::process::Command;

pub use error::ClientError;
pub use input::{InputHandler, form_defaults, input_fn};
pub use notices::{Notice, Notices};
pub use opening::ServerAbout;
pub use options::{CallOptions, HttpOptions, OnProgress, PeerOptions, ServerLog, WsOptions};
pub use subscription::Subscription;
pub use tasks::ToolOutcome;

use self::connection::Connection;
use self::get_stream::GetStream;
use self::http::HttpTransport;
use self::incoming::Incoming;
use self::mailbox::Wanted;
use self::stream::{Ending, StreamTransport};
use self::transport::Transport;

/// An open server.
///
/// Calls run concurrently. Dropping a call's future cancels it: over modern HTTP by closing its stream,
/// elsewhere with `notifications/cancelled`. Dropping the peer closes the connection and ends a started
/// server.
#[derive(Debug)]
pub struct Peer {
    connection: Arc<Connection>,
    /// Where a legacy server asks over HTTP what belongs to no call.
    _questions: Option<Arc<GetStream>>,
}

impl Peer {
    /// Opens the server at an http or https URL. For TLS the process has to have a rustls provider installed.
    pub async fn connect_http(url: &str, options: HttpOptions) -> Result<Peer, ClientError> {
        let incoming = incoming(&options.peer);
        let transport = Transport::Http(HttpTransport::new(url, &options, Arc::clone(&incoming))?);
        Peer::open(transport, incoming, options.peer).await
    }

    /// Opens the server at a ws or wss URL, with the subprotocol `mcp`: one message a text frame. For TLS the process
    /// has to have a rustls provider installed.
    pub async fn connect_ws(url: &str, options: WsOptions) -> Result<Peer, ClientError> {
        let socket = ws::connect(url, &options).await?;
        let incoming = incoming(&options.peer);
        let limit = options.peer.max_message_bytes;
        let (stream, ends) = StreamTransport::new(Arc::clone(&incoming), limit, Ending::Farewell);
        ws::start(ends, socket, options.ping_interval);
        Peer::open(Transport::Stream(stream), incoming, options.peer).await
    }

    /// Starts a server and opens it over its standard streams.
    pub async fn spawn_stdio(
        command: Command,
        log: ServerLog,
        options: PeerOptions,
    ) -> Result<Peer, ClientError> {
        let started = child::spawn(command, log)?;
        let incoming = incoming(&options);
        let ending = Ending::Child(started.watch, Mutex::new(Some(started.guard)));
        let (stream, ends) = StreamTransport::new(Arc::clone(&incoming), options.max_message_bytes, ending);
        lines::start(ends, started.output, started.input);
        Peer::open(Transport::Stream(stream), incoming, options).await
    }

    /// Opens a server at the other end of a byte stream: what it writes, and what it reads, one message a line.
    pub async fn connect_stdio(
        reader: impl AsyncRead + Unpin + Send + 'static,
        writer: impl AsyncWrite + Unpin + Send + 'static,
        options: PeerOptions,
    ) -> Result<Peer, ClientError> {
        let incoming = incoming(&options);
        let (stream, ends) =
            StreamTransport::new(Arc::clone(&incoming), options.max_message_bytes, Ending::Silent);
        lines::start(ends, reader, writer);
        Peer::open(Transport::Stream(stream), incoming, options).await
    }

    async fn open(
        transport: Transport,
        incoming: Arc<Incoming>,
        options: PeerOptions,
    ) -> Result<Peer, ClientError> {
        // Whatever ends the opening ends the connection.
        let unless_open = incoming.closing.clone().drop_guard();
        let connection = Arc::new(Connection::open(transport, incoming, options).await?);
        // A question that comes before there is a way for it is lost.
        let questions = if connection.incoming.kinds.is_empty() { None } else { connection.events() };
        if let Some(stream) = &questions {
            stream.opened(subscription::OPENING).await;
        }
        unless_open.disarm();
        Ok(Peer { connection, _questions: questions })
    }

    /// What the server said of itself.
    pub fn server(&self) -> &ServerAbout {
        &self.connection.about
    }

    /// Calls any method. `params` are without `_meta`.
    pub async fn request(
        &self,
        method: &str,
        params: Map<String, Value>,
        options: CallOptions,
    ) -> Result<Box<RawValue>, ClientError> {
        self.connection.request(method, params, options).await
    }

    /// All that the server tells from now on, beside answers and progress. Of changes a modern server tells only to
    /// [subscriptions](Peer::listen).
    pub fn notices(&self) -> Notices {
        let mailbox = self.connection.incoming.hub.listen(Wanted::Everything);
        Notices { mailbox, _stream: self.connection.events() }
    }

    /// Ends the session, and waits for the end of a started server.
    pub async fn close(self) {
        self.connection.transport.close(self.connection.about.version).await;
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.connection.incoming.closing.cancel();
        self.connection.incoming.ended("this side has closed it");
    }
}

fn incoming(options: &PeerOptions) -> Arc<Incoming> {
    Arc::new(Incoming::new(options.on_input.clone()))
}

#[cfg(test)]
mod tests;
