//! Results of the lifecycle methods, and the frame that modern results share.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Implementation;

/// Who may keep a result (2026-07-28, server/utilities/caching).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CacheScope {
    /// The same for all callers.
    Public,
    /// For this caller alone.
    Private,
}

/// The members that every modern result carries; all absent in a legacy one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ResultFrame {
    /// `complete`, or what an extension adds. Absent means `complete`.
    #[serde(rename = "resultType", default, skip_serializing_if = "Option::is_none")]
    pub result_type: Option<String>,
    /// How long the result stays fresh, in milliseconds; on results that may be cached.
    #[serde(rename = "ttlMs", default, skip_serializing_if = "Option::is_none")]
    pub ttl_ms: Option<u64>,
    /// Who may keep it; on results that may be cached.
    #[serde(rename = "cacheScope", default, skip_serializing_if = "Option::is_none")]
    pub cache_scope: Option<CacheScope>,
    /// `_meta`: the server's identity and what a tool added.
    #[serde(rename = "_meta", default, skip_serializing_if = "Option::is_none")]
    pub meta: Option<Map<String, Value>>,
}

/// What a server can do: one object for each feature.
pub type ServerCapabilities = Map<String, Value>;

/// The parameters of `initialize`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InitializeParams {
    /// The revision that the client prefers; still a text, as it may be one that isn't served.
    pub protocol_version: String,
    /// An object.
    #[serde(default)]
    pub capabilities: Value,
    /// Who calls.
    #[serde(default)]
    pub client_info: Implementation,
}

/// The result of `initialize`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InitializeResult {
    /// The revision of this session.
    pub protocol_version: String,
    /// What the server can do.
    pub capabilities: ServerCapabilities,
    /// Who answers.
    pub server_info: Implementation,
    /// For the model: how to use this server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instructions: Option<String>,
}

/// The result of `server/discover`; the server's identity is in the frame's `_meta`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DiscoverResult {
    /// The modern revisions that are served.
    pub supported_versions: Vec<String>,
    /// What the server can do.
    pub capabilities: ServerCapabilities,
    /// For the model: how to use this server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instructions: Option<String>,
    /// Modern members.
    #[serde(flatten)]
    pub frame: ResultFrame,
}

impl ResultFrame {
    /// The server's identity, if the result carries one.
    pub fn server_info(&self) -> Option<Implementation> {
        let info = self.meta.as_ref()?.get(super::key::SERVER_INFO)?;
        Implementation::deserialize(info).ok()
    }
}
