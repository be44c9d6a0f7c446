//! Where a ComfyUI is, how to get in, and how patient to be.

use std::time::Duration;

use secrecy::SecretString;
use url::Url;

/// How to reach one ComfyUI. [`ComfyConfig::new`] fills in the defaults.
#[derive(Clone, Debug)]
pub struct ComfyConfig {
    /// `http` or `https`, with a path prefix when ComfyUI is behind a proxy (`https://host/comfy`). A user name and
    /// password in it are used as basic auth when `auth` is empty.
    pub base_url: Url,
    /// `ws` or `wss`. Without it: `base_url` followed by `/ws`.
    pub ws_url: Option<Url>,
    /// Sent with every request, the websocket's too. `Origin` is refused: ComfyUI answers 403 to one that differs.
    pub headers: Vec<(String, SecretString)>,
    /// For a ComfyUI behind a proxy that asks for credentials.
    pub auth: Option<ComfyAuth>,
    /// Until the TCP (and TLS) connection stands; default 5 s.
    pub connect_timeout: Duration,
    /// From the request to the end of its answer; default 30 s. Large uploads get more, a `/view` is timed by chunk.
    pub request_timeout: Duration,
    /// Every answer that is held in memory, and every websocket message; default 64 MiB.
    pub max_response_bytes: usize,
    /// The pace at which an execution is followed.
    pub follow: FollowConfig,
}

impl ComfyConfig {
    /// A ComfyUI at `base_url` without credentials, with the default limits.
    pub fn new(base_url: Url) -> Self {
        Self {
            base_url,
            ws_url: None,
            headers: Vec::new(),
            auth: None,
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(30),
            max_response_bytes: 64 << 20,
            follow: FollowConfig::default(),
        }
    }
}

/// Credentials for a protected ComfyUI.
#[derive(Clone, Debug)]
pub enum ComfyAuth {
    /// `Authorization: Bearer …`.
    Bearer(SecretString),
    /// `Authorization: Basic …`.
    Basic {
        /// Must not contain a colon.
        username: String,
        /// May be empty.
        password: SecretString,
    },
}

/// The pace at which an execution is followed.
#[derive(Clone, Debug)]
pub struct FollowConfig {
    /// After this long without an event of the prompt, a working websocket is checked over HTTP; default 5 s.
    pub quiet: Duration,
    /// The first pause between two polls while there is no websocket; default 200 ms.
    pub poll_min: Duration,
    /// What the pause grows to; default 1 s.
    pub poll_max: Duration,
    /// How long ComfyUI may refuse connections before the run counts as lost; default 20 s.
    pub outage_grace: Duration,
    /// How long ComfyUI may accept connections and answer nothing useful (it does while it loads a model);
    /// default 5 min.
    pub stall_grace: Duration,
    /// How long a cancellation is repeated and re-checked; default 10 s.
    pub cancel_timeout: Duration,
}

impl Default for FollowConfig {
    fn default() -> Self {
        Self {
            quiet: Duration::from_secs(5),
            poll_min: Duration::from_millis(200),
            poll_max: Duration::from_secs(1),
            outage_grace: Duration::from_secs(20),
            stall_grace: Duration::from_mins(5),
            cancel_timeout: Duration::from_secs(10),
        }
    }
}
