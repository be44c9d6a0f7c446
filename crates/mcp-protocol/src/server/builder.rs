//! What a server is made of, until it is built.

use std::sync::{Arc, RwLock};
use std::time::Duration;

use jsonrpsee::core::middleware::{RpcServiceBuilder, RpcServiceT};
use jsonrpsee::{Extensions, MethodResponse};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::layer::Layer;
use tower::layer::util::Identity;

use super::admission::Admission;
use super::dispatch::Dispatch;
use super::state::Seal;
use super::table::ToolTable;
use super::{CacheHints, Core, Inner, Limits, RegisteredPrompt, Server, ServerInfo, methods};
use crate::notify::Notifier;
use crate::prompt::Prompt;
use crate::resource::Resources;
use crate::session::{MemorySessionStore, SessionStore};
use crate::task::TaskStore;
use crate::tool::{DynTool, Tool, Typed};
use crate::wire::{CacheScope, Implementation, ServerIdentity, ToolDescription};

/// Why a server can't be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// The system gives no random numbers, which a key is made of.
    #[error("the system gives no random numbers")]
    NoRandomNumbers,
    /// Two prompts have the same name.
    #[error("there are two prompts named {0:?}")]
    DuplicatePrompt(String),
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
    prompts: Vec<Box<dyn Prompt>>,
    resources: Option<Box<dyn Resources>>,
    resources_cache: CacheHints,
    tasks: Option<Arc<dyn TaskStore>>,
    notifier: Notifier,
    state_key: Option<[u8; 32]>,
    sessions: Arc<dyn SessionStore>,
    limits: Limits,
    cache: CacheHints,
    layers: RpcServiceBuilder<L>,
}

impl Server {
    /// Starts with no tools, sessions in memory, no layers, and the default limits.
    pub fn builder(info: ServerInfo) -> ServerBuilder {
        ServerBuilder {
            info,
            tools: Vec::new(),
            prompts: Vec::new(),
            resources: None,
            resources_cache: CacheHints::NONE,
            tasks: None,
            notifier: Notifier::new(),
            state_key: None,
            sessions: Arc::new(MemorySessionStore::default()),
            limits: Limits::default(),
            cache: CacheHints { ttl: Duration::from_mins(1), scope: CacheScope::Public },
            layers: RpcServiceBuilder::new(),
        }
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

    /// Adds a prompt. `prompts/list` keeps the order.
    pub fn prompt(mut self, prompt: impl Prompt) -> Self {
        self.prompts.push(Box::new(prompt));
        self
    }

    /// What there is to read. `cache` says how long, and by whom, the list of them may be kept.
    pub fn resources(mut self, resources: impl Resources, cache: CacheHints) -> Self {
        self.resources = Some(Box::new(resources));
        self.resources_cache = cache;
        self
    }

    /// Offers the tasks extension, on this store.
    pub fn tasks(mut self, tasks: Arc<dyn TaskStore>) -> Self {
        self.tasks = Some(tasks);
        self
    }

    /// Through which changes are told; for whoever has to have it before the server is built.
    pub fn notifier(mut self, notifier: Notifier) -> Self {
        self.notifier = notifier;
        self
    }

    /// The key that `requestState` is sealed with. By default a random one: a request that was asked something has to come
    /// back to the same process then. Servers that stand in for each other share one.
    pub fn state_key(mut self, key: [u8; 32]) -> Self {
        self.state_key = Some(key);
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
    /// See [`crate::GuardLayer`] for the usual one. A layer sees whether a call succeeded, or its error; the result itself
    /// doesn't pass through the layers.
    pub fn layers<M>(self, layers: RpcServiceBuilder<M>) -> ServerBuilder<M> {
        ServerBuilder {
            info: self.info,
            tools: self.tools,
            prompts: self.prompts,
            resources: self.resources,
            resources_cache: self.resources_cache,
            tasks: self.tasks,
            notifier: self.notifier,
            state_key: self.state_key,
            sessions: self.sessions,
            limits: self.limits,
            cache: self.cache,
            layers,
        }
    }

    /// Checks the tools and compiles their schemas.
    pub fn build(self) -> Result<Server, BuildError>
    where
        L: Layer<Dispatch>,
        L::Service: RpcServiceT<MethodResponse = MethodResponse> + Send + Sync + 'static,
    {
        let implementation = Implementation {
            name: self.info.name,
            title: self.info.title,
            version: self.info.version,
            description: self.info.description,
            website_url: self.info.website_url,
            icons: self.info.icons,
        };
        let seal = match self.state_key {
            Some(key) => Seal::new(key),
            None => Seal::random().ok_or(BuildError::NoRandomNumbers)?,
        };
        let mut prompts = Vec::with_capacity(self.prompts.len());
        for prompt in self.prompts {
            push_prompt(&mut prompts, prompt)?;
        }
        let core = Arc::new(Core {
            identity: ServerIdentity::new(&identity(&implementation)),
            implementation,
            instructions: self.info.instructions,
            tools: RwLock::new(Arc::new(ToolTable::new(self.tools)?)),
            has_prompts: !prompts.is_empty(),
            prompts: RwLock::new(prompts),
            resources: self.resources,
            resources_cache: self.resources_cache,
            tasks: self.tasks,
            notifier: self.notifier,
            seal,
            cache: self.cache,
            page_size: self.limits.page_size.max(1),
            closing: CancellationToken::new(),
        });
        let dispatch = Dispatch::new(methods::tables(&core));
        let inner = Inner {
            service: Box::new(self.layers.service(dispatch)),
            sessions: self.sessions,
            admission: Admission::new(self.limits.max_in_flight, self.limits.max_in_flight_per_owner),
            streams: Admission::new(self.limits.max_streams, self.limits.max_streams_per_owner),
            connections: TaskTracker::new(),
            limits: self.limits,
            core,
        };
        Ok(Server { inner: Arc::new(inner), extensions: Extensions::new() })
    }
}

/// What every modern result says of the server: no more than tells it from others. `server/discover` says the rest.
fn identity(implementation: &Implementation) -> Implementation {
    Implementation {
        name: implementation.name.clone(),
        title: implementation.title.clone(),
        version: implementation.version.clone(),
        ..Implementation::default()
    }
}

/// Adds a prompt to a list in which all names differ.
pub(super) fn push_prompt(
    prompts: &mut Vec<Arc<RegisteredPrompt>>,
    prompt: Box<dyn Prompt>,
) -> Result<(), BuildError> {
    let description = prompt.description();
    if prompts.iter().any(|known| known.description.name == description.name) {
        return Err(BuildError::DuplicatePrompt(description.name));
    }
    prompts.push(Arc::new(RegisteredPrompt { description, prompt }));
    Ok(())
}
