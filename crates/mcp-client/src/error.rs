//! What can go wrong between a program and the gateway.

use std::time::Duration;

use mcp_protocol::client::ClientError;
use mcp_protocol::wire::{CallToolResult, Content};
use serde_json::Value;

use crate::image_input::ImageInputError;

/// Why a call of a [`GatewayClient`](crate::GatewayClient) has no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GatewayError {
    /// The server's address or command can't be one.
    #[error("{given:?} can't be used: {reason}")]
    InvalidTarget {
        /// As it was given.
        given: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The connection, the protocol, or a refusal of the server.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A tool refused or failed.
    #[error("{}", .0.message)]
    Tool(Box<ToolFailure>),
    /// A tool's answer doesn't have the shape that this library knows.
    #[error("the answer of {tool} can't be read: {reason}")]
    Answer {
        /// The tool.
        tool: String,
        /// What is wrong.
        reason: String,
    },
    /// An image can't be sent.
    #[error(transparent)]
    Image(#[from] ImageInputError),
    /// An artifact's bytes didn't come whole.
    #[error("artifact {id} can't be fetched: {reason}")]
    Artifact {
        /// The artifact.
        id: String,
        /// Why.
        reason: String,
    },
    /// The job isn't over; it goes on.
    #[error("job {job_id} is not over after {} s", .after.as_secs_f64())]
    TimedOut {
        /// The job.
        job_id: String,
        /// The time that was given.
        after: Duration,
    },
}

/// What a tool says when it refuses or fails.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolFailure {
    /// The tool.
    pub tool: String,
    /// A stable name of the kind of failure.
    pub code: String,
    /// What went wrong.
    pub message: String,
    /// What to do about it.
    pub remedy: Option<String>,
    /// What the tool added.
    pub data: Option<Value>,
}

impl GatewayError {
    /// What a person can do about it.
    pub fn remedy(&self) -> Option<String> {
        match self {
            GatewayError::Client(error) => error.remedy(),
            GatewayError::Tool(failure) => failure.remedy.clone(),
            GatewayError::Answer { .. } => Some("use a client and a server of the same version".to_owned()),
            _ => None,
        }
    }

    /// True when the same call may work a little later.
    pub fn is_transient(&self) -> bool {
        matches!(self, GatewayError::Client(error) if error.is_transient())
    }

    /// How long the server asks to wait before the same call, where it answered that there were too many.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            GatewayError::Client(ClientError::RateLimited { retry_after, .. }) => *retry_after,
            GatewayError::Tool(failure) if failure.code == "rate_limited" => {
                failure.data.as_ref()?.get("retryAfterMs")?.as_u64().map(Duration::from_millis)
            }
            _ => None,
        }
    }

    /// From a tool's result that is an error: its structured form, or else its text.
    pub(crate) fn from_tool(tool: &str, result: &CallToolResult) -> GatewayError {
        let failure = match result.tool_error() {
            Some(error) => ToolFailure {
                tool: tool.to_owned(),
                code: error.code,
                message: error.message,
                remedy: error.remedy,
                data: error.data.map(|data| *data),
            },
            None => ToolFailure {
                tool: tool.to_owned(),
                code: "tool_error".to_owned(),
                message: match text_of(result) {
                    text if text.is_empty() => format!("{tool} failed and did not say why"),
                    text => text,
                },
                remedy: None,
                data: None,
            },
        };
        GatewayError::Tool(Box::new(failure))
    }
}

/// The text of a result, its blocks on lines of their own.
pub(crate) fn text_of(result: &CallToolResult) -> String {
    let texts = result.content.iter().filter_map(|content| match content {
        Content::Text { text } => Some(text.as_str()),
        _ => None,
    });
    texts.collect::<Vec<_>>().join("\n")
}
