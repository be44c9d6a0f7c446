//! Results of the lifecycle methods, and the frame that modern results share.

use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};
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
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct ResultFrame {
    /// `complete`, or what an extension adds. Absent means `complete`.
    #[serde(rename = "resultType", default)]
    pub result_type: Option<String>,
    /// How long the result stays fresh, in milliseconds; on results that may be cached.
    #[serde(rename = "ttlMs", default)]
    pub ttl_ms: Option<u64>,
    /// Who may keep it; on results that may be cached.
    #[serde(rename = "cacheScope", default)]
    pub cache_scope: Option<CacheScope>,
    /// `_meta`: the server's identity and what a tool added.
    #[serde(rename = "_meta", default)]
    pub meta: Option<Map<String, Value>>,
    /// The identity of a server that answers, which becomes a member of `_meta` when the result is written.
    #[serde(skip)]
    pub(crate) server: Option<ServerIdentity>,
}

/// Who answers, as JSON: it is in every modern result, so it is written only once.
#[derive(Clone, Debug)]
pub(crate) struct ServerIdentity(Arc<RawValue>);

impl ServerIdentity {
    /// `None` if it can't be written as JSON.
    pub(crate) fn new(server: &Implementation) -> Option<ServerIdentity> {
        Some(ServerIdentity(to_raw_value(server).ok()?.into()))
    }
}

impl PartialEq for ServerIdentity {
    fn eq(&self, other: &Self) -> bool {
        self.0.get() == other.0.get()
    }
}

impl Serialize for ResultFrame {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Frame<'a> {
            #[serde(skip_serializing_if = "Option::is_none")]
            result_type: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            ttl_ms: Option<u64>,
            #[serde(skip_serializing_if = "Option::is_none")]
            cache_scope: Option<CacheScope>,
            #[serde(rename = "_meta", skip_serializing_if = "Option::is_none")]
            meta: Option<Meta<'a>>,
        }
        #[derive(Serialize)]
        struct Meta<'a> {
            #[serde(rename = "io.modelcontextprotocol/serverInfo", skip_serializing_if = "Option::is_none")]
            server: Option<&'a RawValue>,
            #[serde(flatten)]
            own: Option<&'a Map<String, Value>>,
        }
        let meta = Meta { server: self.server.as_ref().map(|server| &*server.0), own: self.meta.as_ref() };
        let frame = Frame {
            result_type: self.result_type.as_deref(),
            ttl_ms: self.ttl_ms,
            cache_scope: self.cache_scope,
            meta: (meta.server.is_some() || meta.own.is_some()).then_some(meta),
        };
        frame.serialize(serializer)
    }
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
