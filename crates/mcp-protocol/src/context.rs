//! What a request knows about itself, and the way back to its caller while it runs.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use jsonrpsee::Extensions;
use jsonrpsee::core::middleware::Request as RpcRequest;
use jsonrpsee::types::ErrorObjectOwned;
use serde_json::Value;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::error;
use crate::wire::{
    Era, Implementation, ProgressToken, ProgressUpdate, ProtocolVersion, RequestId, notification,
};

/// What the transport found out about a request before its method ran.
///
/// Layers and tools alike see it; a layer takes it from the request with [`RequestInfo::of`].
#[derive(Clone, Debug)]
pub struct RequestInfo {
    /// As the client chose it. jsonrpsee's own `Request::id` is a stand-in.
    pub request_id: RequestId,
    /// The revision that this request is answered in.
    pub version: ProtocolVersion,
    /// Legacy HTTP only.
    pub session_id: Option<String>,
    /// Who calls, as they say themselves.
    pub client_info: Option<Implementation>,
    /// What the caller can do; an object.
    pub client_capabilities: Value,
    /// Set when the caller wants progress notifications.
    pub progress_token: Option<ProgressToken>,
    /// `params.name` (the tool of `tools/call`), else `params.uri`.
    pub target: Option<String>,
}

impl RequestInfo {
    /// What the transport attached to a request that passes through a layer.
    pub fn of<'a>(request: &'a RpcRequest<'_>) -> Option<&'a RequestInfo> {
        request.extensions.get::<Arc<RequestInfo>>().map(Arc::as_ref)
    }

    /// The tool, if this is a `tools/call`.
    pub fn called_tool<'a>(request: &'a RpcRequest<'_>) -> Option<&'a str> {
        Self::of(request)?.tool(request.method_name())
    }

    /// The tool, if the method is `tools/call`.
    pub(crate) fn tool(&self, method: &str) -> Option<&str> {
        self.target.as_deref().filter(|_| method == "tools/call")
    }
}

/// Handed to a tool with its arguments. Cheap to clone; clones may outlive the call, and then do nothing.
#[derive(Clone, Debug)]
pub struct CallContext {
    info: Arc<RequestInfo>,
    extensions: Extensions,
    channel: Arc<Channel>,
}

/// The two ways between a running request and its transport.
#[derive(Debug, Default)]
pub(crate) struct Channel {
    pub(crate) outbox: Outbox,
    pub(crate) cancelled: CancellationToken,
    last_progress: Mutex<Option<f64>>,
}

impl CallContext {
    /// Reads back what [`crate::Server`] attached.
    pub(crate) fn from_extensions(extensions: Extensions) -> Result<CallContext, ErrorObjectOwned> {
        let info = extensions.get::<Arc<RequestInfo>>().cloned().ok_or_else(error::internal)?;
        let channel = extensions.get::<Arc<Channel>>().cloned().ok_or_else(error::internal)?;
        Ok(CallContext { info, extensions, channel })
    }

    /// A context without a client behind it, for tests of tools: progress goes nowhere, nothing cancels it.
    pub fn detached(extensions: Extensions) -> CallContext {
        let info = RequestInfo {
            request_id: RequestId::Number(0),
            version: ProtocolVersion::LATEST,
            session_id: None,
            client_info: None,
            client_capabilities: Value::Object(serde_json::Map::new()),
            progress_token: None,
            target: None,
        };
        CallContext { info: Arc::new(info), extensions, channel: Arc::default() }
    }

    /// All that the transport found out.
    pub fn info(&self) -> &RequestInfo {
        &self.info
    }

    /// As the client chose it.
    pub fn request_id(&self) -> &RequestId {
        &self.info.request_id
    }

    /// The era of the request's revision.
    pub fn era(&self) -> Era {
        self.info.version.era()
    }

    /// Legacy HTTP only.
    pub fn session_id(&self) -> Option<&str> {
        self.info.session_id.as_deref()
    }

    /// Who calls, as they say themselves.
    pub fn client_info(&self) -> Option<&Implementation> {
        self.info.client_info.as_ref()
    }

    /// What middleware in front (HTTP), a layer, or [`crate::Server::with_extension`] put there, by type.
    pub fn extension<T: Clone + Send + Sync + 'static>(&self) -> Option<&T> {
        self.extensions.get::<T>()
    }

    /// Whether the caller gave a progress token; without one [`CallContext::progress`] does nothing.
    pub fn wants_progress(&self) -> bool {
        self.info.progress_token.is_some()
    }

    /// Tells the caller how far the work is. A value that is not above the last one is dropped, as MCP wants them
    /// strictly increasing. Never blocks: when the caller reads slowly, only the latest update is kept for it.
    pub fn progress(&self, progress: f64, total: Option<f64>, message: Option<&str>) {
        let Some(token) = &self.info.progress_token else { return };
        let mut last = self.channel.last_progress.lock().unwrap_or_else(PoisonError::into_inner);
        if !progress.is_finite() || last.is_some_and(|last| progress <= last) {
            return;
        }
        *last = Some(progress);
        let update = ProgressUpdate {
            progress_token: token.clone(),
            progress,
            total: total.filter(|total| total.is_finite()),
            message: message.map(str::to_owned),
        };
        if let Ok(text) = notification("notifications/progress", &update) {
            self.channel.outbox.push(text);
        }
    }

    /// Fires when the caller cancels, and not when the call simply ends.
    ///
    /// The call's future is dropped at that moment too; the token is for work that was spawned beside it.
    pub fn cancelled(&self) -> CancellationToken {
        self.channel.cancelled.clone()
    }
}

/// Notifications on their way to the caller of one request: bounded, and the newest replaces the one before it when
/// full. All of them are progress, where the latest says everything.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    queue: Mutex<VecDeque<String>>,
    ready: Notify,
}

impl Outbox {
    const CAPACITY: usize = 16;

    fn push(&self, text: String) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.len() >= Self::CAPACITY {
            queue.pop_back();
        }
        queue.push_back(text);
        drop(queue);
        self.ready.notify_one();
    }

    /// The next notification if there is one already.
    pub(crate) fn take(&self) -> Option<String> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    /// The next notification. Cancel-safe; one reader.
    pub(crate) async fn next(&self) -> String {
        loop {
            if let Some(text) = self.take() {
                return text;
            }
            self.ready.notified().await;
        }
    }
}
