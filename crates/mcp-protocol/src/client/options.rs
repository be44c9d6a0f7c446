//! How a [`Peer`](super::Peer) is set up, and how one call of it is made.

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

use super::input::InputHandler;
use crate::wire::{Implementation, LogLevel, ProgressUpdate, ProtocolVersion};

/// What holds for all calls of a peer.
#[derive(Clone)]
pub struct PeerOptions {
    /// Who calls; servers log it.
    pub client_info: Implementation,
    /// How long a call may take when its [`CallOptions`] don't say; the call is cancelled then.
    pub timeout: Duration,
    /// How long a stream's server may take to answer `server/discover` before it is taken for one of the
    /// revisions that keep silent about a method they don't know.
    pub probe_timeout: Duration,
    /// The largest message that is taken from the server, in bytes.
    pub max_message_bytes: usize,
    /// The newest revision that is offered; a legacy one opens with `initialize` at once, for servers that
    /// take modern requests badly.
    pub newest: ProtocolVersion,
    /// Answers what the server asks in the middle of a call; what it can answer is declared to the server.
    pub on_input: Option<Arc<dyn InputHandler>>,
    /// Declares the extension `io.modelcontextprotocol/tasks` (modern): the server may answer a tool's call with a
    /// task. [`call_tool`](super::Peer::call_tool) follows it to its end.
    pub tasks: bool,
}

impl Default for PeerOptions {
    fn default() -> Self {
        PeerOptions {
            client_info: Implementation {
                name: env!("CARGO_PKG_NAME").to_owned(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                ..Implementation::default()
            },
            timeout: Duration::from_mins(1),
            probe_timeout: Duration::from_secs(5),
            max_message_bytes: 64 * 1024 * 1024,
            newest: ProtocolVersion::LATEST,
            on_input: None,
            tasks: false,
        }
    }
}

impl std::fmt::Debug for PeerOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PeerOptions")
            .field("client_info", &self.client_info)
            .field("timeout", &self.timeout)
            .field("probe_timeout", &self.probe_timeout)
            .field("max_message_bytes", &self.max_message_bytes)
            .field("newest", &self.newest)
            .field("on_input", &self.on_input.as_ref().map(|handler| handler.kinds()))
            .field("tasks", &self.tasks)
            .finish()
    }
}

/// What only HTTP has.
#[derive(Debug, Clone)]
pub struct HttpOptions {
    /// Sent as `Authorization: Bearer`.
    pub bearer: Option<SecretString>,
    /// Sent with every request: names and values.
    pub headers: Vec<(String, String)>,
    /// How long a connection may take.
    pub connect_timeout: Duration,
    /// What holds for all transports.
    pub peer: PeerOptions,
}

impl Default for HttpOptions {
    fn default() -> Self {
        HttpOptions {
            bearer: None,
            headers: Vec::new(),
            connect_timeout: Duration::from_secs(10),
            peer: PeerOptions::default(),
        }
    }
}

/// What only websockets have.
#[derive(Debug, Clone)]
pub struct WsOptions {
    /// Sent as `Authorization: Bearer` with the handshake.
    pub bearer: Option<SecretString>,
    /// Sent with the handshake: names and values.
    pub headers: Vec<(String, String)>,
    /// How long the connection and the handshake may take.
    pub connect_timeout: Duration,
    /// How often the server is asked for a sign of life. After twice that without any the connection has ended.
    pub ping_interval: Duration,
    /// What holds for all transports.
    pub peer: PeerOptions,
}

impl Default for WsOptions {
    fn default() -> Self {
        WsOptions {
            bearer: None,
            headers: Vec::new(),
            connect_timeout: Duration::from_secs(10),
            ping_interval: Duration::from_secs(30),
            peer: PeerOptions::default(),
        }
    }
}

/// What becomes of the standard error of a started server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ServerLog {
    /// Its end is kept and told when the server dies.
    #[default]
    Keep,
    /// It goes where this program's standard error goes.
    Inherit,
}

/// Takes the progress of a call, in the order of its coming. It must not block.
pub type OnProgress = Box<dyn FnMut(ProgressUpdate) + Send>;

/// How one call is made.
#[derive(Default)]
pub struct CallOptions {
    /// Asks the server for progress, and takes it.
    pub on_progress: Option<OnProgress>,
    /// Instead of [`PeerOptions::timeout`].
    pub timeout: Option<Duration>,
    /// The lowest level of log message that is wanted of this call, instead of that of
    /// [`Peer::set_log_level`](super::Peer::set_log_level). Modern only.
    pub log_level: Option<LogLevel>,
}

impl std::fmt::Debug for CallOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CallOptions")
            .field("on_progress", &self.on_progress.is_some())
            .field("timeout", &self.timeout)
            .field("log_level", &self.log_level)
            .finish()
    }
}

impl CallOptions {
    /// Takes the call's progress.
    pub fn progress(mut self, on_progress: impl FnMut(ProgressUpdate) + Send + 'static) -> CallOptions {
        self.on_progress = Some(Box::new(on_progress));
        self
    }

    /// Gives the call this much time.
    pub fn within(mut self, timeout: Duration) -> CallOptions {
        self.timeout = Some(timeout);
        self
    }

    /// Wants the call's log messages from this level on.
    pub fn log_level(mut self, level: LogLevel) -> CallOptions {
        self.log_level = Some(level);
        self
    }
}
