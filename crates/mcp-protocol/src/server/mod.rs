//! The server: its tools, its layers and its limits, whatever the transport.

mod admission;
mod builder;
mod dispatch;
mod drive;
mod head;
mod methods;
mod state;
mod table;

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures::future::BoxFuture;
use jsonrpsee::Extensions;
use jsonrpsee::types::ErrorObjectOwned;
use serde_json::value::RawValue;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

pub use builder::{BuildError, ServerBuilder};
pub use dispatch::Dispatch;
pub(crate) use drive::Frame;
pub(crate) use head::Head;
pub(crate) use methods::negotiated;

use crate::context::{Attached, Channel, RequestInfo};
use crate::http::ParamHeader;
use crate::input::Asker;
use crate::notify::Notifier;
use crate::prompt::Prompt;
use crate::resource::Resources;
use crate::session::{SessionLimits, SessionOwner, SessionStore};
use crate::task::TaskStore;
use crate::tool::DynTool;
use crate::wire::{CacheScope, Icon, Implementation, PromptDescription, Request, ServerIdentity};
use admission::Admission;
pub(crate) use admission::Admitted;
use dispatch::ErasedService;
use state::Seal;
use table::ToolTable;

/// The request that stays open.
pub(crate) const LISTEN: &str = "subscriptions/listen";

/// Who the server is.
#[derive(Clone, Debug, Default)]
pub struct ServerInfo {
    /// A short identifier.
    pub name: String,
    /// A name for people.
    pub title: Option<String>,
    /// Usually a semantic version.
    pub version: String,
    /// For the model: how to use this server.
    pub instructions: Option<String>,
    /// What it is.
    pub description: Option<String>,
    /// Where to read about it.
    pub website_url: Option<String>,
    /// For the client's user interface.
    pub icons: Vec<Icon>,
}

/// What the server takes at most.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Requests worked on at once, over all connections of this server; above it they get
    /// [`crate::error::OVERLOADED`].
    pub max_in_flight: usize,
    /// The same for the requests of one [`crate::SessionOwner`]; on stdio and WebSocket, where there is none, for those of
    /// one connection.
    pub max_in_flight_per_owner: usize,
    /// Streams that stay open (`subscriptions/listen`, the GET stream of a legacy session, WebSocket connections), over all
    /// connections.
    pub max_streams: usize,
    /// The same for those of one [`crate::SessionOwner`], or where there is none of one address.
    pub max_streams_per_owner: usize,
    /// Of one message from a client, in bytes.
    pub max_message_bytes: usize,
    /// Of one answer, in bytes.
    pub max_response_bytes: usize,
    /// Tools, prompts or templates on one page of their list.
    pub page_size: usize,
    /// How long a request may be worked on, until it is cancelled and answered with [`crate::error::TIMED_OUT`]; not for
    /// `subscriptions/listen`. `None`, the default, is as long as it takes: a tool knows best.
    pub request_timeout: Option<Duration>,
    /// How long running requests may still take to answer after the end of stdin, and on a WebSocket connection that
    /// [`Server::close_streams`] closes.
    pub drain: Duration,
    /// Of legacy sessions over HTTP.
    pub sessions: SessionLimits,
}

/// How long, and by whom, the lists may be kept (modern era).
#[derive(Clone, Copy, Debug)]
pub struct CacheHints {
    /// How long a list stays fresh.
    pub ttl: Duration,
    /// Whether it is the same for all callers.
    pub scope: CacheScope,
}

/// A server that transports can be put in front of. Cheap to clone.
#[derive(Clone)]
pub struct Server {
    inner: Arc<Inner>,
    extensions: Extensions,
}

struct Inner {
    service: Box<dyn ErasedService>,
    sessions: Arc<dyn SessionStore>,
    limits: Limits,
    admission: Arc<Admission>,
    streams: Arc<Admission>,
    /// The WebSocket connections.
    connections: TaskTracker,
    core: Arc<Core>,
}

/// What the methods work with.
pub(crate) struct Core {
    implementation: Implementation,
    /// Name and version: they are in every modern result.
    identity: Option<ServerIdentity>,
    instructions: Option<String>,
    tools: RwLock<Arc<ToolTable>>,
    prompts: RwLock<Vec<Arc<RegisteredPrompt>>>,
    /// Whether there were prompts when the server was built: what a server can do doesn't change later.
    has_prompts: bool,
    resources: Option<Box<dyn Resources>>,
    resources_cache: CacheHints,
    tasks: Option<Arc<dyn TaskStore>>,
    notifier: Notifier,
    seal: Seal,
    cache: CacheHints,
    page_size: usize,
    closing: CancellationToken,
}

pub(crate) struct RegisteredPrompt {
    description: PromptDescription,
    prompt: Box<dyn Prompt>,
}

/// A request that is being worked on. Dropping the future cancels it.
pub(crate) struct Call {
    pub(crate) answer: BoxFuture<'static, Answer>,
    pub(crate) channel: Arc<Channel>,
    /// The answer of a call that has ended, until the notifications before it are sent.
    done: Option<Answer>,
}

pub(crate) type Answer = Result<Box<RawValue>, ErrorObjectOwned>;

impl Server {
    /// The same server with a value that every request's extensions carry, for example who is behind stdio.
    pub fn with_extension<T: Clone + Send + Sync + 'static>(&self, value: T) -> Server {
        let mut server = self.clone();
        server.extensions.insert(value);
        server
    }

    /// As [`Server::with_extension`] has put it there.
    pub(crate) fn extension<T: Clone + Send + Sync + 'static>(&self) -> Option<&T> {
        self.extensions.get()
    }

    /// The limits it was built with.
    pub fn limits(&self) -> &Limits {
        &self.inner.limits
    }

    /// Tells clients what has changed.
    pub fn notifier(&self) -> &Notifier {
        &self.inner.core.notifier
    }

    /// Adds a tool and tells the clients.
    pub fn add_tool(&self, tool: impl DynTool) -> Result<(), BuildError> {
        let core = &self.inner.core;
        {
            let mut tools = core.tools.write().unwrap_or_else(PoisonError::into_inner);
            let mut changed = ToolTable::clone(&tools);
            changed.add(Box::new(tool))?;
            *tools = Arc::new(changed);
        }
        core.notifier.tools_changed();
        Ok(())
    }

    /// Takes a tool away and tells the clients; calls that run go on. False if there is none of this name.
    pub fn remove_tool(&self, name: &str) -> bool {
        let core = &self.inner.core;
        let removed = {
            let mut tools = core.tools.write().unwrap_or_else(PoisonError::into_inner);
            let mut changed = ToolTable::clone(&tools);
            let removed = changed.remove(name);
            *tools = Arc::new(changed);
            removed
        };
        if removed {
            core.notifier.tools_changed();
        }
        removed
    }

    /// Takes tools away and adds others in one step, so that no call finds one of them missing, and tells the clients once.
    /// A tool that can't be added is left out, and its error is given.
    pub fn exchange_tools(&self, removed: &[String], added: Vec<Box<dyn DynTool>>) -> Vec<BuildError> {
        let core = &self.inner.core;
        let refused = {
            let mut tools = core.tools.write().unwrap_or_else(PoisonError::into_inner);
            let mut changed = ToolTable::clone(&tools);
            for name in removed {
                changed.remove(name);
            }
            let refused = added.into_iter().filter_map(|tool| changed.add(tool).err()).collect();
            *tools = Arc::new(changed);
            refused
        };
        core.notifier.tools_changed();
        refused
    }

    /// Adds a prompt and tells the clients. Only a server that was built with prompts offers them.
    pub fn add_prompt(&self, prompt: impl Prompt) -> Result<(), BuildError> {
        let core = &self.inner.core;
        let mut prompts = core.prompts.write().unwrap_or_else(PoisonError::into_inner);
        builder::push_prompt(&mut prompts, Box::new(prompt))?;
        drop(prompts);
        core.notifier.prompts_changed();
        Ok(())
    }

    /// Takes a prompt away and tells the clients. False if there is none of this name.
    pub fn remove_prompt(&self, name: &str) -> bool {
        let core = &self.inner.core;
        let removed = {
            let mut prompts = core.prompts.write().unwrap_or_else(PoisonError::into_inner);
            let before = prompts.len();
            prompts.retain(|prompt| prompt.description.name != name);
            prompts.len() < before
        };
        if removed {
            core.notifier.prompts_changed();
        }
        removed
    }

    /// Ends the streams that would stay open for good, each with its result, and WebSocket connections, each when what
    /// runs on it has ended or [`Limits::drain`] is over. For a shutdown: requests over HTTP go on.
    pub fn close_streams(&self) {
        self.inner.core.closing.cancel();
        self.inner.connections.close();
    }

    /// After [`Server::close_streams`]: waits until the last WebSocket connection is closed, which an HTTP server doesn't
    /// wait for itself.
    pub async fn connections_closed(&self) {
        self.inner.connections.wait().await;
    }

    /// Held by a connection for as long as it is open.
    pub(crate) fn connection(&self) -> TaskTrackerToken {
        self.inner.connections.token()
    }

    /// Fires with [`Server::close_streams`].
    pub(crate) fn closing(&self) -> &CancellationToken {
        &self.inner.core.closing
    }

    pub(crate) fn sessions(&self) -> &Arc<dyn SessionStore> {
        &self.inner.sessions
    }

    /// The arguments of a tool that headers have to repeat.
    pub(crate) fn param_headers(&self, tool: &str) -> Vec<ParamHeader> {
        self.inner.core.tools().get(tool).map(|tool| tool.headers.clone()).unwrap_or_default()
    }

    /// A place among the requests worked on at once, or among the streams that stay open.
    pub(crate) fn admit(
        &self,
        method: &str,
        owner: Option<&SessionOwner>,
    ) -> Result<Admitted, ErrorObjectOwned> {
        let admission = if method == LISTEN { &self.inner.streams } else { &self.inner.admission };
        admission.admit(owner.map(|owner| owner.0.as_str()))
    }

    /// A place among the streams that stay open.
    pub(crate) fn admit_stream(&self, owner: Option<&SessionOwner>) -> Result<Admitted, ErrorObjectOwned> {
        self.inner.streams.admit(owner.map(|owner| owner.0.as_str()))
    }

    /// Prepares a request; it runs when its answer is polled. `extensions` come on top of the server's own; `asker` is
    /// how its handler can ask a legacy client.
    pub(crate) fn start(
        &self,
        request: Request,
        info: RequestInfo,
        extensions: Extensions,
        admitted: Admitted,
        asker: Option<Asker>,
    ) -> Call {
        let channel = Arc::new(Channel::new(asker));
        let mut all = self.extensions.clone();
        all.extend(extensions);
        all.insert(Attached { info: Arc::new(info), channel: Arc::clone(&channel) });
        let limits = &self.inner.limits;
        let timeout = limits.request_timeout.filter(|_| request.method != LISTEN);
        let limit = limits.max_response_bytes;
        let answer = self.inner.service.start(request, all, Arc::clone(&channel), limit, admitted);
        let answer = match timeout {
            Some(time) => Box::pin(drive::within(time, answer)),
            None => answer,
        };
        Call { answer, channel, done: None }
    }
}

impl Core {
    /// The tools as they are now.
    pub(crate) fn tools(&self) -> Arc<ToolTable> {
        Arc::clone(&self.tools.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl CacheHints {
    /// Not to be kept at all.
    pub const NONE: CacheHints = CacheHints { ttl: Duration::ZERO, scope: CacheScope::Private };
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Core").field("implementation", &self.implementation).finish_non_exhaustive()
    }
}

impl Default for Limits {
    fn default() -> Self {
        const MIB: usize = 1024 * 1024;
        Limits {
            max_in_flight: 512,
            max_in_flight_per_owner: 128,
            max_streams: 1024,
            max_streams_per_owner: 64,
            max_message_bytes: 32 * MIB,
            max_response_bytes: 64 * MIB,
            page_size: 200,
            request_timeout: None,
            drain: Duration::from_millis(500),
            sessions: SessionLimits::default(),
        }
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("limits", &self.inner.limits).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
