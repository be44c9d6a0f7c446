//! Which era a server speaks, found out with one request: modern first, `initialize` where that isn't
//! understood.
//!
//! 2026-07-28, basic/versioning and the "Backward Compatibility" sections of both transports.

use serde_json::{Map, Value, json};

use super::error::{ClientError, shortened};
use super::input::capabilities;
use super::options::PeerOptions;
use super::transport::{Call, Caller, Transport};
use crate::error::{HEADER_MISMATCH, MISSING_CLIENT_CAPABILITY, UNSUPPORTED_PROTOCOL_VERSION};
use crate::wire::{
    DiscoverResult, Era, Implementation, InitializeParams, InitializeResult, ProtocolVersion,
    ServerCapabilities,
};

/// What a server says of itself when it is opened.
#[derive(Debug, Clone)]
pub struct ServerAbout {
    /// The revision that is spoken with it.
    pub version: ProtocolVersion,
    /// Its name, as it says.
    pub info: Implementation,
    /// What it can do.
    pub capabilities: ServerCapabilities,
    /// For the model: how to use it.
    pub instructions: Option<String>,
}

/// Opens the server in the newest revision that both sides speak.
pub(super) async fn open(
    transport: &Transport,
    options: &PeerOptions,
    caller: &Caller,
) -> Result<ServerAbout, ClientError> {
    if options.newest.era() == Era::Legacy {
        return initialize(transport, options, caller, options.newest).await;
    }
    let found = match discover(transport, options, caller, ProtocolVersion::LATEST).await {
        Ok(found) => found,
        Err(error) => match version_after(error, transport)? {
            version if version.era() == Era::Modern => discover(transport, options, caller, version).await?,
            legacy => return initialize(transport, options, caller, legacy).await,
        },
    };
    match agreed(&found.supported_versions)? {
        version if version.era() == Era::Modern => Ok(ServerAbout {
            version,
            info: found.frame.server_info().unwrap_or_default(),
            capabilities: found.capabilities,
            instructions: found.instructions,
        }),
        legacy => initialize(transport, options, caller, legacy).await,
    }
}

async fn discover(
    transport: &Transport,
    options: &PeerOptions,
    caller: &Caller,
    version: ProtocolVersion,
) -> Result<DiscoverResult, ClientError> {
    let mut call = Call::new("server/discover", Map::new());
    call.timeout = match transport {
        Transport::Stream(_) => options.probe_timeout.min(options.timeout),
        Transport::Http(_) => options.timeout,
    };
    transport.typed(&call, version, caller).await
}

/// The revision to go on with when the probe's error leaves a way; else the error itself.
fn version_after(error: ClientError, transport: &Transport) -> Result<ProtocolVersion, ClientError> {
    let on_stream = matches!(transport, Transport::Stream(_));
    match error {
        ClientError::Rpc { code: UNSUPPORTED_PROTOCOL_VERSION, data, .. } => {
            let supported = data.as_ref().and_then(|data| data.get("supported")).and_then(Value::as_array);
            let supported = supported.into_iter().flatten().filter_map(Value::as_str).take(32).map(shortened);
            agreed(&supported.collect::<Vec<_>>())
        }
        ClientError::Rpc { code: HEADER_MISMATCH | MISSING_CLIENT_CAPABILITY, .. } => Err(error),
        ClientError::Rpc { .. }
        | ClientError::Protocol { .. }
        | ClientError::HttpStatus { status: 400..=499, .. } => Ok(ProtocolVersion::LATEST_LEGACY),
        // Some legacy servers keep silent about what comes before `initialize`.
        ClientError::Timeout { .. } if on_stream => Ok(ProtocolVersion::LATEST_LEGACY),
        error => Err(error),
    }
}

/// The newest revision that both sides speak.
fn agreed(supported: &[String]) -> Result<ProtocolVersion, ClientError> {
    ProtocolVersion::SUPPORTED
        .into_iter()
        .find(|version| supported.iter().any(|name| name == version.as_str()))
        .ok_or_else(|| ClientError::NoCommonVersion { supported: supported.to_vec() })
}

/// Opens a legacy session.
pub(super) async fn initialize(
    transport: &Transport,
    options: &PeerOptions,
    caller: &Caller,
    version: ProtocolVersion,
) -> Result<ServerAbout, ClientError> {
    let incoming = transport.incoming();
    incoming.answer_requests();
    let params = InitializeParams {
        protocol_version: version.as_str().to_owned(),
        capabilities: capabilities(&incoming.kinds, &[]),
        client_info: caller.info.clone(),
    };
    let params = serde_json::to_value(params).unwrap_or_default();
    let mut call = Call::new("initialize", params.as_object().cloned().unwrap_or_default());
    call.timeout = options.timeout;
    let found: InitializeResult = transport.typed(&call, version, caller).await?;
    let version = match shortened(&found.protocol_version) {
        // Older than what is offered, and good enough for all that it has.
        old if old == ProtocolVersion::V2025_03_26.as_str() => ProtocolVersion::V2025_03_26,
        other => agreed(&[other])?,
    };
    if version.era() == Era::Modern {
        // A modern revision has no sessions; a server that says so contradicts itself.
        return Err(ClientError::protocol("initialize", "it opens a session in a revision without sessions"));
    }
    transport.notify("notifications/initialized", &json!({}), version).await?;
    Ok(ServerAbout {
        version,
        info: found.server_info,
        capabilities: found.capabilities,
        instructions: found.instructions,
    })
}
