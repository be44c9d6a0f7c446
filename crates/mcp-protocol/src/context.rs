//! What a request knows about itself, and the way back to its caller while it runs.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jsonrpsee::Extensions;
use jsonrpsee::core::middleware::Request as RpcRequest;
use jsonrpsee::types::ErrorObjectOwned;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::error;
use crate::input::{Asker, InputError, Round};
use crate::outbox::Outbox;
use crate::session::SessionHandle;
use crate::wire::{
    Era, Implementation, InputKind, InputRequest, InputResponses, LogLevel, LogMessage, ProgressToken,
    ProgressUpdate, ProtocolVersion, RequestId, notification, supports_tasks,
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
    /// Legacy only; over HTTP as in `Mcp-Session-Id`.
    pub session_id: Option<String>,
    /// Who calls, as they say themselves.
    pub client_info: Option<Implementation>,
    /// What the caller can do; an object.
    pub client_capabilities: Value,
    /// Set when the caller wants progress notifications.
    pub progress_token: Option<ProgressToken>,
    /// The lowest level of log message that the caller wants; `None` is none at all.
    pub log_level: Option<LogLevel>,
    /// What the method is about: `params.uri` of `resources/…`, `params.taskId` of `tasks/…`, else `params.name`
    /// (the tool of `tools/call`).
    pub target: Option<String>,
}

impl RequestInfo {
    /// What the transport attached to a request that passes through a layer.
    pub fn of<'a>(request: &'a RpcRequest<'_>) -> Option<&'a RequestInfo> {
        request.extensions.get::<Attached>().map(|attached| attached.info.as_ref())
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
    extensions: Arc<Extensions>,
    channel: Arc<Channel>,
    /// What a modern request brings along to the questions of its handler.
    pub(crate) round: Round,
}

/// What [`crate::Server`] adds to the extensions of a request.
#[derive(Clone, Debug)]
pub(crate) struct Attached {
    pub(crate) info: Arc<RequestInfo>,
    pub(crate) channel: Arc<Channel>,
}

/// The two ways between a running request and its transport.
#[derive(Debug, Default)]
pub(crate) struct Channel {
    pub(crate) outbox: Outbox,
    pub(crate) cancelled: CancellationToken,
    /// How a legacy client is asked; `None` where it can't be.
    pub(crate) asker: Option<Asker>,
    /// The questions of a modern request that has to be answered before it can go on.
    pub(crate) questions: Mutex<Vec<(String, InputRequest)>>,
    pub(crate) asked: Notify,
    /// The answers that the handler has asked for in this run: all that the next round needs.
    pub(crate) used_answers: Mutex<InputResponses>,
    /// What the call is about, for the session's record.
    pub(crate) subject: Mutex<Option<String>>,
    /// The result, on its way around jsonrpsee.
    result: Mutex<Option<Box<RawValue>>>,
    last_progress: Mutex<Option<f64>>,
}

impl Channel {
    pub(crate) fn new(asker: Option<Asker>) -> Channel {
        Channel { asker, ..Channel::default() }
    }

    pub(crate) fn put_result(&self, result: Box<RawValue>) {
        *self.result.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
    }

    pub(crate) fn take_result(&self) -> Option<Box<RawValue>> {
        self.result.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl CallContext {
    /// Reads back what [`crate::Server`] attached.
    pub(crate) fn from_extensions(extensions: Extensions) -> Result<CallContext, ErrorObjectOwned> {
        let Attached { info, channel } = extensions.get().cloned().ok_or_else(error::internal)?;
        Ok(CallContext { info, extensions: Arc::new(extensions), channel, round: Round::Never })
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
            log_level: None,
            target: None,
        };
        CallContext {
            info: Arc::new(info),
            extensions: Arc::new(extensions),
            channel: Arc::default(),
            round: Round::Never,
        }
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

    /// Legacy only.
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
            self.channel.outbox.push_progress(text);
        }
    }

    /// Sends a log message to the caller, if it wants messages of this level. Not for secrets, nor for what says
    /// how this server is built. Never blocks: when the caller reads slowly, messages are dropped.
    pub fn log(&self, level: LogLevel, logger: Option<&str>, data: Value) {
        if self.info.log_level.is_none_or(|lowest| level < lowest) {
            return;
        }
        let message = LogMessage { level, logger: logger.map(str::to_owned), data };
        if let Ok(text) = notification("notifications/message", &message) {
            self.channel.outbox.push_log(text);
        }
    }

    /// Whether the caller can be asked this kind of question, as it says itself.
    pub fn can_ask(&self, kind: InputKind) -> bool {
        let reachable = match self.era() {
            Era::Modern => !matches!(self.round, Round::Never),
            Era::Legacy => self.channel.asker.is_some(),
        };
        reachable && kind.is_in(&self.info.client_capabilities)
    }

    /// Asks the caller while the request is being worked on, in either era.
    ///
    /// A legacy client is sent a request and this waits for its answer. A modern request is answered with the question
    /// and comes again with the answer, so **the handler runs again from its start**: whatever has an effect belongs after
    /// the last question. `key` names the question in all rounds and is unique within the request. Only `tools/call`,
    /// `prompts/get` and `resources/read` may ask.
    pub async fn input<R: DeserializeOwned>(
        &self,
        key: &str,
        request: InputRequest,
    ) -> Result<R, InputError> {
        let answers = self.inputs(vec![(key.to_owned(), request)]).await?;
        let answer = answers.into_iter().next().ok_or(InputError::Gone)?;
        serde_json::from_value(answer)
            .map_err(|error| InputError::Invalid { key: key.to_owned(), reason: error.to_string() })
    }

    /// As [`CallContext::input`], with several questions at once. The answers come in the order of the questions, as the
    /// client gave them.
    pub async fn inputs(&self, questions: Vec<(String, InputRequest)>) -> Result<Vec<Value>, InputError> {
        if let Some((_, request)) = questions.iter().find(|(_, request)| !self.can_ask(request.kind())) {
            return Err(InputError::Unsupported(request.kind()));
        }
        match self.era() {
            Era::Modern => self.ask_with_result(questions).await,
            Era::Legacy => self.ask_with_requests(questions).await,
        }
    }

    /// Whether a reply may be a task ([`crate::ToolReply::as_task`]).
    pub fn supports_tasks(&self) -> bool {
        self.era() == Era::Modern && supports_tasks(&self.info.client_capabilities)
    }

    /// The session that the request belongs to (legacy).
    pub fn session(&self) -> Option<&SessionHandle> {
        self.extensions.get::<SessionHandle>()
    }

    /// Says what the call is about, for the session's record: for example the id of a job.
    pub fn set_subject(&self, subject: impl Into<String>) {
        *self.channel.subject.lock().unwrap_or_else(PoisonError::into_inner) = Some(subject.into());
    }

    /// Closes the HTTP connection that waits for the answer, so that nothing is held open during long work; the client
    /// comes back for it after `retry`, and nothing is lost. Only 2025-11-25 over HTTP has this; elsewhere it does
    /// nothing.
    pub fn close_stream(&self, retry: Duration) {
        self.channel.outbox.push_close(retry);
    }

    pub(crate) fn take_subject(&self) -> Option<String> {
        self.channel.subject.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(crate) fn channel(&self) -> &Arc<Channel> {
        &self.channel
    }

    /// Fires when the caller cancels, and not when the call simply ends.
    ///
    /// The call's future is dropped at that moment too; the token is for work that was spawned beside it.
    pub fn cancelled(&self) -> CancellationToken {
        self.channel.cancelled.clone()
    }
}
