//! `_meta` of requests, and who the two sides say they are.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::RequestId;

/// Reserved keys of `_meta` (2026-07-28, basic: per-request protocol fields).
pub mod key {
    /// The revision of this request; required in the modern era.
    pub const PROTOCOL_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
    /// Who calls.
    pub const CLIENT_INFO: &str = "io.modelcontextprotocol/clientInfo";
    /// What the caller can do; required in the modern era.
    pub const CLIENT_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
    /// The lowest level of log message that the caller wants.
    pub const LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";
    /// Who answers; in every modern result.
    pub const SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";
    /// Of this crate: the error of a tool, for programs, in a result with `isError`.
    pub const TOOL_ERROR: &str = "error";
    /// In notifications of a subscription: the id of the `subscriptions/listen` that opened it.
    pub const SUBSCRIPTION_ID: &str = "io.modelcontextprotocol/subscriptionId";
    /// What progress notifications have to carry.
    pub const PROGRESS_TOKEN: &str = "progressToken";
}

/// The name and version of a client or server. Self-reported: for display and logs, never for decisions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Implementation {
    /// A short identifier.
    pub name: String,
    /// A name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Usually a semantic version.
    #[serde(default)]
    pub version: String,
    /// What it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Where to read about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub website_url: Option<String>,
    /// For the other side's user interface.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub icons: Vec<Icon>,
}

/// A picture for a user interface (since 2025-11-25).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Icon {
    /// An `https:` or `data:` URI.
    pub src: String,
    /// For example `image/svg+xml`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mime_type: Option<String>,
    /// For example `48x48`, or `any`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sizes: Vec<String>,
    /// The background it is for: `light` or `dark`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub theme: Option<String>,
}

/// Chosen by the client, repeated in each progress notification of the request.
pub type ProgressToken = RequestId;

/// The members of a request's `_meta` that the protocol itself reads; others are ignored.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct RequestMeta {
    /// See [`key::PROTOCOL_VERSION`]; still a text, as it may be a revision that isn't served.
    #[serde(
        rename = "io.modelcontextprotocol/protocolVersion",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub protocol_version: Option<String>,
    /// See [`key::CLIENT_INFO`].
    #[serde(rename = "io.modelcontextprotocol/clientInfo", default, skip_serializing_if = "Option::is_none")]
    pub client_info: Option<Implementation>,
    /// See [`key::CLIENT_CAPABILITIES`]; an object.
    #[serde(
        rename = "io.modelcontextprotocol/clientCapabilities",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub client_capabilities: Option<Value>,
    /// See [`key::LOG_LEVEL`]; still a text, as it may be none of the levels.
    #[serde(rename = "io.modelcontextprotocol/logLevel", default, skip_serializing_if = "Option::is_none")]
    pub log_level: Option<String>,
    /// Set when the caller wants progress notifications.
    #[serde(rename = "progressToken", default, skip_serializing_if = "Option::is_none")]
    pub progress_token: Option<ProgressToken>,
}

/// The parameters of `notifications/progress`. `progress` strictly increases within a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProgressUpdate {
    /// As the request gave it.
    #[serde(rename = "progressToken")]
    pub progress_token: ProgressToken,
    /// How far the work is, in the unit of `total`.
    pub progress: f64,
    /// Where it ends, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<f64>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}
