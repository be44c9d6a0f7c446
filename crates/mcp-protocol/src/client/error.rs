//! What can go wrong between this side and a server, with what to do about it.

use std::time::Duration;

use jsonrpsee::types::ErrorObjectOwned;
use serde_json::Value;

use crate::error::{FORBIDDEN, RATE_LIMITED, UNAUTHENTICATED};

/// Why a call of a [`Peer`](super::Peer) has no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The address is not a URL that the transport takes.
    #[error("{url:?} is not a server's address: {reason}")]
    InvalidUrl {
        /// As it was given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The HTTP client can't be set up: a header that can't be one, or no TLS provider is installed.
    #[error("the HTTP client can't be set up: {reason}")]
    Setup {
        /// Why.
        reason: String,
    },
    /// Nobody answers there: refused, no such host, no route, no TLS.
    #[error("can't reach the server at {url}")]
    Unreachable {
        /// The server's address.
        url: String,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The server's program can't be started.
    #[error("can't start the server {program:?}")]
    Spawn {
        /// The program.
        program: String,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The connection ended; over a stream that is for good.
    #[error("the connection to the server ended: {reason}")]
    Closed {
        /// How it ended, for a started server with its exit status and its last words.
        reason: String,
    },
    /// The connection broke before the answer was there; over HTTP, further calls may work.
    #[error("the connection broke before the server had answered {method}: {reason}")]
    Interrupted {
        /// The method that was called.
        method: String,
        /// How it broke.
        reason: String,
    },
    /// 401: no key, or a wrong one.
    #[error("the server wants other credentials: {message}")]
    Unauthorized {
        /// The server's words.
        message: String,
    },
    /// 403: known, but not allowed.
    #[error("the server does not allow this: {message}")]
    Forbidden {
        /// The server's words.
        message: String,
    },
    /// 429: too many requests.
    #[error("too many requests: {message}")]
    RateLimited {
        /// The server's words.
        message: String,
        /// How long to wait, if the server said it.
        retry_after: Option<Duration>,
    },
    /// An HTTP status that is no answer of MCP's.
    #[error("the server answered HTTP {status}{}", after_colon(.body))]
    HttpStatus {
        /// The status.
        status: u16,
        /// The start of the body, or where a redirection points to.
        body: String,
    },
    /// The server forgot the session, and a new one didn't help.
    #[error("the server has ended the session")]
    SessionExpired,
    /// A JSON-RPC error.
    #[error("{message} (error {code})")]
    Rpc {
        /// The code.
        code: i32,
        /// The server's words.
        message: String,
        /// What the server added.
        data: Option<Value>,
    },
    /// Both sides speak MCP, but no revision in common.
    #[error("the server speaks MCP {}, which this client doesn't", .supported.join(", "))]
    NoCommonVersion {
        /// What the server speaks.
        supported: Vec<String>,
    },
    /// The answer isn't MCP, or asks for what this client didn't offer.
    #[error("the server's answer to {method} can't be used: {reason}")]
    Protocol {
        /// The method that was called.
        method: String,
        /// What is wrong.
        reason: String,
    },
    /// The server asks in the middle of a call, and nobody is there to answer.
    #[error("the server asks for input ({asked}) before it answers {method}, and this client can't give any")]
    InputNeeded {
        /// The method that was called.
        method: String,
        /// What the server asks for, for example `elicitation/create`.
        asked: String,
    },
    /// The input handler has no answer for the server.
    #[error("the server's question in {method} was not answered: {message}")]
    InputRefused {
        /// The method that was called.
        method: String,
        /// The handler's words.
        message: String,
    },
    /// The task that stood for the call was cancelled.
    #[error("the task {id} was cancelled")]
    TaskCancelled {
        /// Which task.
        id: String,
    },
    /// A message of the server is over the limit.
    #[error("a message of the server has more than {limit} bytes")]
    TooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// No answer in time; the call was cancelled.
    #[error("the server has not answered {method} within {} s", .after.as_secs_f64())]
    Timeout {
        /// The method that was called.
        method: String,
        /// The time it had.
        after: Duration,
    },
}

impl ClientError {
    /// What a person can do about it.
    pub fn remedy(&self) -> Option<String> {
        Some(match self {
            ClientError::InvalidUrl { .. } => "give an address like http://127.0.0.1:9000/mcp".to_owned(),
            ClientError::Setup { .. } => {
                "check the headers and the API key; install a rustls provider".to_owned()
            }
            ClientError::Unreachable { url, .. } => {
                format!("start the server (mcp-server), or give its address if it is not {url}")
            }
            ClientError::Spawn { .. } => "check the command and that the program is on PATH".to_owned(),
            ClientError::Unauthorized { .. } => "give a valid API key".to_owned(),
            ClientError::Forbidden { .. } => "use a key that has the permission".to_owned(),
            ClientError::RateLimited { retry_after: Some(wait), .. } => {
                format!("wait {} s and try again", wait.as_secs_f64().ceil())
            }
            ClientError::RateLimited { retry_after: None, .. } => "wait and try again".to_owned(),
            ClientError::HttpStatus { status: 404 | 405, .. } => {
                "check the address: the gateway's MCP endpoint is /mcp".to_owned()
            }
            ClientError::Interrupted { .. } | ClientError::SessionExpired => "try again".to_owned(),
            ClientError::InputNeeded { .. } => {
                "connect with an input handler that answers such questions".to_owned()
            }
            ClientError::NoCommonVersion { .. } => "update the older of the two sides".to_owned(),
            ClientError::TooLarge { .. } => "raise max_message_bytes, or ask for less".to_owned(),
            ClientError::Timeout { .. } => {
                "try again with more time, or look at the server's load".to_owned()
            }
            _ => return None,
        })
    }

    /// True when there was no server to talk to.
    pub fn is_unreachable(&self) -> bool {
        matches!(
            self,
            ClientError::Unreachable { .. } | ClientError::Spawn { .. } | ClientError::Closed { .. }
        )
    }

    /// True when the same call may work a little later: the server restarts, the network failed, or it is
    /// busy.
    pub fn is_transient(&self) -> bool {
        match self {
            ClientError::Unreachable { .. }
            | ClientError::Interrupted { .. }
            | ClientError::RateLimited { .. }
            | ClientError::SessionExpired
            | ClientError::Timeout { .. } => true,
            ClientError::HttpStatus { status, .. } => matches!(status, 502..=504),
            ClientError::Rpc { code, .. } => *code == crate::error::OVERLOADED,
            _ => false,
        }
    }

    pub(super) fn protocol(method: &str, reason: impl Into<String>) -> ClientError {
        ClientError::Protocol { method: method.to_owned(), reason: reason.into() }
    }
}

impl From<ErrorObjectOwned> for ClientError {
    /// The gateway's codes for refusals become the variants that HTTP's statuses become, on any transport.
    fn from(error: ErrorObjectOwned) -> ClientError {
        let message = shortened(error.message());
        let data = error.data().and_then(|data| serde_json::from_str::<Value>(data.get()).ok());
        match error.code() {
            UNAUTHENTICATED => ClientError::Unauthorized { message },
            FORBIDDEN => ClientError::Forbidden { message },
            RATE_LIMITED => {
                let wait = data.as_ref().and_then(|data| data.get("retryAfterMs")).and_then(Value::as_u64);
                ClientError::RateLimited { message, retry_after: wait.map(Duration::from_millis) }
            }
            code => ClientError::Rpc { code, message, data },
        }
    }
}

fn after_colon(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(": {text}") }
}

/// A server's words, cut to what a person reads and without control characters, which could drive a terminal.
pub(super) fn shortened(text: &str) -> String {
    const LONGEST: usize = 1_000;
    let mut clean: String =
        text.trim().chars().take(LONGEST).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.trim().chars().nth(LONGEST).is_some() {
        clean.push('…');
    }
    clean
}
