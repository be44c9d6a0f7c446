//! How a [`Peer`](super::Peer) is set up, and how one call of it is made.

use std::time::Duration;

use secrecy::SecretString;

use crate::wire::{Implementation, ProgressUpdate, ProtocolVersion};

/// What holds for all calls of a peer.
#[derive(Debug, Clone)]
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
        }
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
}

impl std::fmt::Debug for CallOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CallOptions")
            .field("on_progress", &self.on_progress.is_some())
            .field("timeout", &self.timeout)
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
}
