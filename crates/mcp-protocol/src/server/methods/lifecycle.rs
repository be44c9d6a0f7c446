//! Opening, identity and capabilities, and the level of log messages.

use jsonrpsee::types::ErrorObjectOwned;
use serde_json::{Map, json};

use super::{Module, declared, parsed, register};
use crate::context::CallContext;
use crate::error;
use crate::server::Core;
use crate::session::SessionError;
use crate::wire::{
    DiscoverResult, Era, InitializeParams, InitializeResult, ProtocolVersion, ServerCapabilities,
    ServerIdentity, SetLevelParams, TASKS_EXTENSION,
};

pub(super) fn register_legacy(module: &mut Module) {
    register(module, "initialize", |core, _, params| async move { Ok(core.initialize(&parsed(&params)?)) });
    register(module, "ping", |_, _, _| async move { Ok(Map::new()) });
    register(module, "logging/setLevel", |_, cx, params| async move {
        set_level(&cx, &parsed(&params)?).await?;
        Ok(Map::new())
    });
}

pub(super) fn register_modern(module: &mut Module) {
    register(module, "server/discover", |core, _, _| async move { Ok(core.discover()) });
}

async fn set_level(cx: &CallContext, params: &SetLevelParams) -> Result<(), ErrorObjectOwned> {
    match cx.session() {
        Some(session) => session.set_log_level(params.level).await.map_err(|error| store_failed(&error)),
        None => Ok(()),
    }
}

/// The caller learns no more than that it failed.
pub(super) fn store_failed(error: &SessionError) -> ErrorObjectOwned {
    tracing::error!(error = error as &dyn std::error::Error, "a session could not be read or written");
    error::internal()
}

impl Core {
    fn initialize(&self, params: &InitializeParams) -> InitializeResult {
        InitializeResult {
            protocol_version: negotiated(&params.protocol_version).to_string(),
            capabilities: self.capabilities(Era::Legacy),
            server_info: self.implementation.clone(),
            instructions: self.instructions.clone(),
        }
    }

    fn discover(&self) -> DiscoverResult {
        let modern = ProtocolVersion::SUPPORTED.into_iter().filter(|version| version.era() == Era::Modern);
        let mut frame = self.cacheable(Era::Modern, self.cache);
        frame.server = ServerIdentity::new(&self.implementation);
        DiscoverResult {
            supported_versions: modern.map(|version| version.to_string()).collect(),
            capabilities: self.capabilities(Era::Modern),
            instructions: self.instructions.clone(),
            frame,
        }
    }

    fn capabilities(&self, era: Era) -> ServerCapabilities {
        let mut capabilities = ServerCapabilities::new();
        let mut declare = |(name, value)| _ = capabilities.insert(name, value);
        declare(declared("tools", &[("listChanged", true)]));
        declare(declared("logging", &[]));
        if self.has_prompts {
            declare(declared("prompts", &[("listChanged", true)]));
        }
        if let Some(resources) = &self.resources {
            let members = [("subscribe", resources.can_subscribe()), ("listChanged", true)];
            declare(declared("resources", &members));
        }
        if self.has_prompts || self.resources.is_some() {
            declare(declared("completions", &[]));
        }
        if era == Era::Modern && self.tasks.is_some() {
            declare(("extensions".to_owned(), json!({TASKS_EXTENSION: {}})));
        }
        capabilities
    }
}

/// The revision of a session: the one asked for, or else the newest of its era (2025-11-25, lifecycle).
pub(crate) fn negotiated(requested: &str) -> ProtocolVersion {
    requested
        .parse::<ProtocolVersion>()
        .ok()
        .filter(|version| version.era() == Era::Legacy)
        .unwrap_or(ProtocolVersion::LATEST_LEGACY)
}
