//! What a transport reads of a request's parameters before the method does: `_meta`, `name`, `uri`, `taskId`.

use jsonrpsee::types::ErrorObjectOwned;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::context::RequestInfo;
use crate::error::{self, INVALID_PARAMS};
use crate::session::Session;
use crate::wire::{Era, LogLevel, ProtocolVersion, Request, RequestMeta, key};

#[derive(Debug, Default)]
pub(crate) struct Head {
    pub(crate) meta: RequestMeta,
    /// What the method is about: `params.name`, `params.uri` or `params.taskId`, where it is a string.
    pub(crate) target: Option<String>,
}

#[derive(Deserialize)]
struct Members<'a> {
    #[serde(borrow, default)]
    name: Option<&'a RawValue>,
    #[serde(borrow, default)]
    uri: Option<&'a RawValue>,
    #[serde(rename = "taskId", borrow, default)]
    task_id: Option<&'a RawValue>,
    #[serde(rename = "_meta", default)]
    meta: Option<RequestMeta>,
}

impl Head {
    pub(crate) fn read(request: &Request) -> Result<Head, ErrorObjectOwned> {
        let Some(params) = request.params.as_deref() else { return Ok(Head::default()) };
        let members: Members<'_> = serde_json::from_str(params.get())
            .map_err(|cause| error::error(INVALID_PARAMS, format!("invalid params: {cause}")))?;
        let target = match request.method.split('/').next() {
            Some("resources") => members.uri,
            Some("tasks") => members.task_id,
            _ => members.name,
        };
        let target = target.and_then(|raw| serde_json::from_str(raw.get()).ok());
        Ok(Head { meta: members.meta.unwrap_or_default(), target })
    }

    /// A request is modern when its `_meta` says which revision it is in.
    pub(crate) fn is_modern(&self) -> bool {
        self.meta.protocol_version.is_some()
    }

    /// Checks what 2026-07-28 wants of `_meta` (basic: per-request protocol fields).
    pub(crate) fn into_modern(self, request: &Request) -> Result<RequestInfo, ErrorObjectOwned> {
        let Some(version) = self.meta.protocol_version else { return Err(missing(key::PROTOCOL_VERSION)) };
        let version = version
            .parse::<ProtocolVersion>()
            .ok()
            .filter(|served| served.era() == Era::Modern)
            .ok_or_else(|| error::unsupported_version(&version, Some(Era::Modern)))?;
        let Some(client_capabilities @ Value::Object(_)) = self.meta.client_capabilities else {
            return Err(missing(key::CLIENT_CAPABILITIES));
        };
        Ok(RequestInfo {
            request_id: request.id.clone(),
            version,
            session_id: None,
            client_info: self.meta.client_info,
            client_capabilities,
            progress_token: self.meta.progress_token,
            log_level: self.meta.log_level.map(|level| log_level(&level)).transpose()?,
            target: self.target,
        })
    }
}

impl Head {
    /// A request of a legacy session.
    pub(crate) fn into_legacy(self, request: &Request, session: Session) -> RequestInfo {
        RequestInfo {
            request_id: request.id.clone(),
            version: session.protocol_version,
            session_id: Some(session.id),
            client_info: Some(session.client_info),
            client_capabilities: session.capabilities,
            progress_token: self.meta.progress_token,
            // What a client gets that has set none is up to the server (2025-11-25, logging).
            log_level: Some(session.log_level.unwrap_or(LogLevel::Info)),
            target: self.target,
        }
    }

    /// A legacy request before there is a session.
    pub(crate) fn into_unopened(self, request: &Request) -> RequestInfo {
        RequestInfo {
            request_id: request.id.clone(),
            version: ProtocolVersion::LATEST_LEGACY,
            session_id: None,
            client_info: None,
            client_capabilities: Value::Null,
            progress_token: self.meta.progress_token,
            log_level: None,
            target: self.target,
        }
    }
}

fn log_level(level: &str) -> Result<LogLevel, ErrorObjectOwned> {
    LogLevel::parse(level).ok_or_else(|| {
        let levels = LogLevel::ALL.map(LogLevel::as_str).join(", ");
        error::error(INVALID_PARAMS, format!("{} is no log level; these are: {levels}", error::quoted(level)))
    })
}

fn missing(name: &str) -> ErrorObjectOwned {
    error::error(INVALID_PARAMS, format!("params._meta has to have {name:?}"))
}
