//! The server: its tools, its layers and its limits, whatever the transport.

mod admission;
mod dispatch;
mod drive;
mod head;
mod methods;
mod table;

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use jsonrpsee::Extensions;
use jsonrpsee::MethodResponse;
use jsonrpsee::core::middleware::{RpcServiceBuilder, RpcServiceT};
use jsonrpsee::types::ErrorObjectOwned;
use serde_json::Map;
use serde_json::value::RawValue;
use tower::layer::Layer;
use tower::layer::util::Identity;

pub use dispatch::Dispatch;
pub(crate) use drive::Frame;
pub(crate) use head::Head;
pub(crate) use methods::negotiated;

use crate::context::{Channel, RequestInfo};
use crate::http::ParamHeader;
use crate::session::{MemorySessionStore, SessionLimits, SessionOwner, SessionStore};
use crate::tool::{DynTool, Tool, Typed};
use crate::wire::{CacheScope, Implementation, Request, ServerCapabilities, ToolDescription};
use admission::Admission;
pub(crate) use admission::Admitted;
use dispatch::ErasedService;
use table::ToolTable;

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
}

/// What the server takes at most.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Requests worked on at once, over all connections of this server; above it they get
    /// [`crate::error::OVERLOADED`].
    pub max_in_flight: usize,
    /// The same for the requests of one [`crate::SessionOwner`].
    pub max_in_flight_per_owner: usize,
    /// Of one message from a client, in bytes.
    pub max_message_bytes: usize,
    /// Of one answer, in bytes.
    pub max_response_bytes: usize,
    /// Tools on one page of `tools/list`.
    pub page_size: usize,
    /// After the end of stdin, how long running requests may still take to answer.
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

/// Why a server can't be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// Two tools have the same name.
    #[error("there are two tools named {0:?}")]
    DuplicateTool(String),
    /// Names have 1 to 128 letters, digits, `_`, `-`, `.` (2025-11-25, server/tools).
    #[error("{0:?} can't be the name of a tool: 1 to 128 letters, digits, '_', '-' and '.' can")]
    InvalidName(String),
    /// The schema doesn't hold for MCP.
    #[error("the {which} of tool {tool:?} can't be used: {reason}")]
    InvalidSchema {
        /// The tool.
        tool: String,
        /// `inputSchema` or `outputSchema`.
        which: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

/// Collects what a [`Server`] is made of. `L` is the stack of layers around its methods.
pub struct ServerBuilder<L = Identity> {
    info: ServerInfo,
    tools: Vec<Box<dyn DynTool>>,
    sessions: Arc<dyn SessionStore>,
    limits: Limits,
    cache: CacheHints,
    layers: RpcServiceBuilder<L>,
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
    core: Arc<Core>,
}

/// What the methods work with.
#[derive(Debug)]
pub(crate) struct Core {
    implementation: Implementation,
    instructions: Option<String>,
    capabilities: ServerCapabilities,
    tools: ToolTable,
    cache: CacheHints,
    page_size: usize,
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
    /// Starts with no tools, sessions in memory, no layers, and the default limits.
    pub fn builder(info: ServerInfo) -> ServerBuilder {
        ServerBuilder {
            info,
            tools: Vec::new(),
            sessions: Arc::new(MemorySessionStore::default()),
            limits: Limits::default(),
            cache: CacheHints { ttl: Duration::from_mins(1), scope: CacheScope::Public },
            layers: RpcServiceBuilder::new(),
        }
    }

    /// The same server with a value that every request's extensions carry, for example who is behind stdio.
    pub fn with_extension<T: Clone + Send + Sync + 'static>(&self, value: T) -> Server {
        let mut server = self.clone();
        server.extensions.insert(value);
        server
    }

    /// The limits it was built with.
    pub fn limits(&self) -> &Limits {
        &self.inner.limits
    }

    pub(crate) fn sessions(&self) -> &dyn SessionStore {
        self.inner.sessions.as_ref()
    }

    /// The arguments of a tool that headers have to repeat.
    pub(crate) fn param_headers(&self, tool: &str) -> &[ParamHeader] {
        self.inner.core.tools.get(tool).map(|tool| tool.headers.as_slice()).unwrap_or_default()
    }

    /// A place among the requests worked on at once.
    pub(crate) fn admit(&self, owner: Option<&SessionOwner>) -> Result<Admitted, ErrorObjectOwned> {
        self.inner.admission.admit(owner.map(|owner| owner.0.as_str()))
    }

    /// Prepares a request; it runs when its answer is polled. `extensions` come on top of the server's own.
    pub(crate) fn start(
        &self,
        request: Request,
        info: RequestInfo,
        extensions: Extensions,
        admitted: Admitted,
    ) -> Call {
        let channel = Arc::new(Channel::default());
        let mut all = self.extensions.clone();
        all.extend(extensions);
        all.insert(Arc::new(info));
        all.insert(Arc::clone(&channel));
        let answer =
            dispatch::run(self.inner.service.call(request, all), channel.cancelled.clone(), admitted);
        Call { answer: Box::pin(answer), channel, done: None }
    }
}

impl<L> ServerBuilder<L> {
    /// Adds a typed tool. `tools/list` keeps the order.
    pub fn tool<T: Tool>(self, tool: T) -> Self {
        self.dyn_tool(Typed::new(tool))
    }

    /// Adds a tool whose schemas are only known at run time.
    pub fn dyn_tool(mut self, tool: impl DynTool) -> Self {
        self.tools.push(Box::new(tool));
        self
    }

    /// What `tools/list` will say of the tools added so far.
    pub fn descriptions(&self) -> Vec<ToolDescription> {
        self.tools.iter().map(|tool| tool.description()).collect()
    }

    /// Where legacy sessions over HTTP are kept.
    pub fn session_store(mut self, store: Arc<dyn SessionStore>) -> Self {
        self.sessions = store;
        self
    }

    /// What the server takes at most.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// How long, and by whom, the lists may be kept.
    pub fn cache_hints(mut self, cache: CacheHints) -> Self {
        self.cache = cache;
        self
    }

    /// Puts a stack of jsonrpsee layers around the methods, in place of any before; the first one is outermost.
    /// See [`crate::GuardLayer`] for the usual one.
    pub fn layers<M>(self, layers: RpcServiceBuilder<M>) -> ServerBuilder<M> {
        let ServerBuilder { info, tools, sessions, limits, cache, .. } = self;
        ServerBuilder { info, tools, sessions, limits, cache, layers }
    }

    /// Checks the tools and compiles their schemas.
    pub fn build(self) -> Result<Server, BuildError>
    where
        L: Layer<Dispatch>,
        L::Service: RpcServiceT<MethodResponse = MethodResponse> + Send + Sync + 'static,
    {
        let mut capabilities = Map::new();
        capabilities.insert("tools".to_owned(), Map::new().into());
        let core = Arc::new(Core {
            implementation: Implementation {
                name: self.info.name,
                title: self.info.title,
                version: self.info.version,
            },
            instructions: self.info.instructions,
            capabilities,
            tools: ToolTable::new(self.tools)?,
            cache: self.cache,
            page_size: self.limits.page_size.max(1),
        });
        let dispatch = Dispatch::new(methods::tables(&core), self.limits.max_response_bytes);
        let inner = Inner {
            service: Box::new(self.layers.service(dispatch)),
            sessions: self.sessions,
            admission: Admission::new(self.limits.max_in_flight, self.limits.max_in_flight_per_owner),
            limits: self.limits,
            core,
        };
        Ok(Server { inner: Arc::new(inner), extensions: Extensions::new() })
    }
}

impl Default for Limits {
    fn default() -> Self {
        const MIB: usize = 1024 * 1024;
        Limits {
            max_in_flight: 512,
            max_in_flight_per_owner: 128,
            max_message_bytes: 32 * MIB,
            max_response_bytes: 64 * MIB,
            page_size: 200,
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
