//! The Streamable HTTP transport, both eras on one endpoint.

use std::time::Duration;

use axum::Router;

use crate::server::Server;

/// How the endpoint is offered.
#[derive(Clone, Debug)]
pub struct HttpConfig {
    /// Where it is; `/mcp` by default.
    pub path: String,
    /// Origins of web pages that may call, for example `https://app.example.com`. A loopback origin with the server's
    /// own port may always.
    pub allowed_origins: Vec<String>,
    /// Which `Host` headers are answered.
    pub allowed_hosts: AllowedHosts,
    /// A stream without a message for this long gets a comment, so that nothing between takes it for dead.
    pub keep_alive: Duration,
    /// A request body has to arrive within this.
    pub body_timeout: Duration,
}

/// Which `Host` headers are answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AllowedHosts {
    /// All.
    #[default]
    Any,
    /// `localhost` and loopback addresses: right for a server bound to loopback.
    Loopback,
    /// These, without ports, and loopback.
    List(Vec<String>),
}

impl Default for HttpConfig {
    fn default() -> Self {
        HttpConfig {
            path: "/mcp".to_owned(),
            allowed_origins: Vec::new(),
            allowed_hosts: AllowedHosts::Any,
            keep_alive: Duration::from_secs(15),
            body_timeout: Duration::from_secs(120),
        }
    }
}

/// The endpoint as an axum router. The extensions of an HTTP request become those of the MCP request, so a middleware
/// in front can say who calls.
pub fn router(_server: Server, _config: &HttpConfig) -> Router {
    Router::new()
}
