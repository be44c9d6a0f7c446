//! The Model Context Protocol, server and client, on jsonrpsee's method table.

mod arguments;
pub mod client;
mod context;
pub mod error;
mod guard;
pub mod http;
mod nearest;
mod schema;
mod server;
pub mod session;
mod stdio;
mod tool;
pub mod wire;

pub use context::{CallContext, RequestInfo};
pub use guard::{GuardLayer, Guarded};
pub use jsonrpsee;
pub use server::{BuildError, CacheHints, Dispatch, Limits, Server, ServerBuilder, ServerInfo};
pub use session::{MemorySessionStore, Session, SessionError, SessionLimits, SessionOwner, SessionStore};
pub use tool::{DynTool, OutputSchema, Tool, ToolDefinition, ToolError, ToolReply};
pub use wire::{Content, ToolAnnotations};
