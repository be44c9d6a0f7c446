//! What can go wrong between us and ComfyUI, and what to do about it.

use std::{fmt, time::Duration};

use indexmap::IndexMap;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use workflow_analyzer::NodeId;

/// A failed call. Display has no credentials in it.
#[derive(Debug, thiserror::Error)]
pub enum ComfyError {
    /// The configuration or an argument can't be used; nothing was sent.
    #[error("{0}")]
    InvalidArgument(String),
    /// No connection, or it broke before the answer was complete.
    #[error("comfyui at {url} is unreachable: {reason}")]
    Unreachable {
        /// The base URL, without credentials.
        url: String,
        /// What the network said.
        reason: UnreachableReason,
        /// The cause as the HTTP library tells it.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Connected, but the answer didn't come in time.
    #[error("comfyui at {url} did not answer {path} within {after:?}")]
    Timeout {
        /// The base URL, without credentials.
        url: String,
        /// What was asked for.
        path: String,
        /// The limit that ran out.
        after: Duration,
    },
    /// `POST /prompt` answered 400: the graph isn't valid there.
    #[error("comfyui rejected the workflow: {error}{}", Details(.node_errors))]
    Rejected {
        /// The verdict on the whole.
        error: Box<ValidationError>,
        /// The reasons, per node; can be empty (a cycle).
        node_errors: NodeErrors,
    },
    /// Any other answer than success; the body isn't JSON for many of them.
    #[error("comfyui answered {status} to {path}{}", Quoted(.body))]
    Status {
        /// The HTTP status.
        status: u16,
        /// What was asked for.
        path: String,
        /// The first kilobyte of the body, if it is text.
        body: String,
    },
    /// An answer over [`crate::ComfyConfig::max_response_bytes`].
    #[error("comfyui's answer to {path} is over the limit of {limit} bytes")]
    TooLarge {
        /// What was asked for.
        path: String,
        /// The limit, in bytes.
        limit: usize,
    },
    /// A successful answer that isn't what ComfyUI sends.
    #[error("comfyui's answer to {path} can't be understood")]
    InvalidBody {
        /// What was asked for.
        path: String,
        /// Where the parser stopped.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl ComfyError {
    /// Whether the same call may succeed later with nothing changed by the caller.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unreachable { reason, .. } => *reason != UnreachableReason::Tls,
            Self::Timeout { .. } => true,
            Self::Status { status, .. } => matches!(status, 408 | 425 | 429 | 500 | 502 | 503 | 504),
            Self::InvalidArgument(_)
            | Self::Rejected { .. }
            | Self::TooLarge { .. }
            | Self::InvalidBody { .. } => false,
        }
    }

    /// What the person who runs the gateway can do, where there is something.
    pub fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::Unreachable { reason, .. } => Some(reason.remedy()),
            Self::Timeout { .. } => {
                Some("comfyui may be loading a model or be overloaded; try again, or raise the time-out")
            }
            Self::Rejected { .. } => {
                Some("correct the named inputs; list_models and the node's definition show what is allowed")
            }
            Self::Status { status, .. } => match status {
                300..=399 => Some("the address redirects; configure the address that it redirects to"),
                401 => {
                    Some("comfyui is protected; configure a bearer token or a user name and password for it")
                }
                403 => Some(
                    "comfyui or a proxy in front of it refuses this client; check credentials and extra headers",
                ),
                404 => Some(
                    "check that the address is a comfyui's, with its path prefix, and that what is asked for exists",
                ),
                413 => Some(
                    "the request is too large; send a smaller file, or start comfyui with a larger --max-upload-size",
                ),
                500 => Some("comfyui's own log says what failed; the workflow must be in API format"),
                502..=504 => {
                    Some("the proxy in front of comfyui doesn't reach it; check that comfyui is running")
                }
                _ => None,
            },
            Self::TooLarge { .. } => {
                Some("raise the limit for comfyui's answers, or clear comfyui's queue and history")
            }
            Self::InvalidBody { .. } => {
                Some("check that the address is a comfyui's and not another web server's")
            }
            Self::InvalidArgument(_) => None,
        }
    }

    /// Whether ComfyUI may have acted on the request although the call failed.
    pub(crate) fn may_have_arrived(&self) -> bool {
        match self {
            Self::Unreachable { reason, .. } => *reason == UnreachableReason::ConnectionLost,
            Self::Timeout { .. } | Self::TooLarge { .. } | Self::InvalidBody { .. } => true,
            Self::Status { status, .. } => matches!(status, 502 | 504),
            Self::InvalidArgument(_) | Self::Rejected { .. } => false,
        }
    }

    /// Whether something at the address takes connections, so that patience may help.
    pub(crate) fn is_stall(&self) -> bool {
        match self {
            Self::Timeout { .. } => true,
            Self::Status { status, .. } => matches!(status, 429 | 500 | 503),
            _ => false,
        }
    }
}

/// Why there is no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnreachableReason {
    /// Nothing listens there.
    Refused,
    /// The host name has no address.
    Dns,
    /// No answer to the connection attempt.
    ConnectTimeout,
    /// The TLS handshake failed.
    Tls,
    /// The connection broke after it stood; the request may have been received.
    ConnectionLost,
    /// The server didn't accept the websocket.
    NoWebSocket,
    /// Anything else while connecting.
    Other,
}

impl UnreachableReason {
    fn remedy(self) -> &'static str {
        match self {
            Self::Refused => "start comfyui, or configure the address and port that it listens on",
            Self::Dns => "check the host name in comfyui's address",
            Self::ConnectTimeout => "check comfyui's address and that no firewall is in the way",
            Self::Tls => "check the certificate, and whether the address should be http or https",
            Self::ConnectionLost => "comfyui may have been stopped or crashed; check its log",
            Self::NoWebSocket => "let the proxy in front of comfyui pass websockets on",
            Self::Other => "check comfyui's address and the network",
        }
    }
}

impl fmt::Display for UnreachableReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused => "connection refused",
            Self::Dns => "host name not found",
            Self::ConnectTimeout => "no answer to the connection attempt",
            Self::Tls => "tls handshake failed",
            Self::ConnectionLost => "connection lost",
            Self::NoWebSocket => "websocket not accepted",
            Self::Other => "connection failed",
        })
    }
}

/// Validation results per node, in ComfyUI's order.
pub type NodeErrors = IndexMap<NodeId, NodeValidation>;

/// What ComfyUI has against one node.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct NodeValidation {
    /// The node's class.
    #[serde(default, deserialize_with = "or_default")]
    pub class_type: String,
    /// At least one in practice.
    #[serde(default)]
    pub errors: Vec<ValidationError>,
    /// The output nodes that don't run because of it.
    #[serde(default)]
    pub dependent_outputs: Vec<NodeId>,
}

/// One complaint: `required_input_missing`, `value_not_in_list`, `prompt_no_outputs` …
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct ValidationError {
    /// ComfyUI's `type`.
    #[serde(rename = "type", default, deserialize_with = "or_default")]
    pub kind: String,
    /// For people.
    #[serde(default, deserialize_with = "or_default")]
    pub message: String,
    /// Names the input and the value; can be empty.
    #[serde(default, deserialize_with = "or_default")]
    pub details: String,
    /// `input_name`, `input_config`, `received_value` where they apply.
    #[serde(default)]
    pub extra_info: Value,
}

impl fmt::Display for ValidationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(clip(&self.message))?;
        if !self.details.is_empty() {
            write!(f, ": {}", clip(&self.details))?;
        }
        Ok(())
    }
}

/// ComfyUI's strings are `null` at times.
fn or_default<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.unwrap_or_default())
}

/// At most 500 bytes of `text`, so that an error stays readable.
fn clip(text: &str) -> &str {
    &text[..text.floor_char_boundary(500)]
}

struct Details<'a>(&'a NodeErrors);

impl fmt::Display for Details<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 5;
        for (id, node) in self.0.iter().take(SHOWN) {
            for error in node.errors.iter().take(SHOWN) {
                write!(f, "; node {id} ({}): {error}", node.class_type)?;
            }
        }
        if self.0.len() > SHOWN {
            write!(f, "; and {} more nodes", self.0.len() - SHOWN)?;
        }
        Ok(())
    }
}

struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = self.0.lines().next().unwrap_or_default();
        if first.is_empty() { Ok(()) } else { write!(f, ": {}", clip(first)) }
    }
}
