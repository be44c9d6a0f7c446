//! The Model Context Protocol, server and client, on jsonrpsee's method table.
//!
//! A server serves revisions 2026-07-28 (stateless), 2025-11-25 and 2025-06-18 (sessions) side by side. A tool is a
//! type: its arguments and its output give the schemas, and arguments that don't fit are answered before the tool is
//! called.
//!
//! ```
//! use mcp_protocol::{CallContext, Server, ServerInfo, Tool, ToolDefinition, ToolError, ToolReply};
//!
//! struct Add;
//!
//! #[derive(serde::Deserialize, schemars::JsonSchema)]
//! struct Args {
//!     /// The first number.
//!     a: i64,
//!     /// The second number; 1 if absent.
//!     b: Option<i64>,
//! }
//!
//! #[derive(serde::Serialize, schemars::JsonSchema)]
//! struct Sum {
//!     sum: i64,
//! }
//!
//! impl Tool for Add {
//!     type Args = Args;
//!     type Output = Sum;
//!
//!     fn definition(&self) -> ToolDefinition {
//!         ToolDefinition::new("add", "Adds two numbers.")
//!     }
//!
//!     async fn call(&self, _cx: CallContext, args: Args) -> Result<ToolReply<Sum>, ToolError> {
//!         let sum = args.a.checked_add(args.b.unwrap_or(1));
//!         let sum = sum.ok_or_else(|| ToolError::new("overflow", "the sum is too large").remedy("use smaller numbers"))?;
//!         Ok(Sum { sum }.into())
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let server = Server::builder(ServerInfo { name: "adder".into(), version: "1.0.0".into(), ..Default::default() })
//!     .tool(Add)
//!     .build()?;
//!
//! let request = concat!(
//!     r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"add","arguments":{"a":2,"b":3},"#,
//!     r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","#,
//!     r#""io.modelcontextprotocol/clientCapabilities":{}}}}"#,
//! );
//! let mut answers = Vec::new();
//! server.serve_stdio(request.as_bytes(), &mut answers).await?;
//! assert!(String::from_utf8(answers)?.contains(r#""structuredContent":{"sum":5}"#));
//! # Ok(())
//! # }
//! ```
//!
//! What else there is:
//!
//! | for | write | which takes part by |
//! |---|---|---|
//! | tools from files, or that come and go | [`DynTool`] | [`ServerBuilder::dyn_tool`], [`Server::add_tool`] |
//! | resources, templates | [`Resources`] | [`ServerBuilder::resources`] |
//! | prompts, completion | [`Prompt`] | [`ServerBuilder::prompt`], [`Server::add_prompt`] |
//! | work that outlives its call | a [`TaskStore`], or take [`MemoryTasks`] | [`ServerBuilder::tasks`], [`ToolReply::as_task`] |
//! | questions to the person, the model or the client | | [`CallContext::input`], in either era; in a task [`TaskHandle::input`] |
//! | progress, log messages | | [`CallContext::progress`], [`CallContext::log`] |
//! | news for subscribers | | [`Notifier`]: lists, resources, tasks |
//! | permissions, rate limits, traces | a [`GuardLayer`], or any jsonrpsee layer | [`ServerBuilder::layers`] |
//! | sessions that outlive the process | [`SessionStore`] | [`ServerBuilder::session_store`] |
//! | Streamable HTTP and WebSocket | | [`http::router`], [`http::serve()`] |
//! | stdio | | [`Server::serve_stdio`] |
//! | the other side of all this | | [`client::Peer`] |
//!
//! The way of a request: the transport parses the envelope and finds out its era and who calls ([`RequestInfo`]); the
//! layers of [`ServerBuilder::layers`] see it (a [`GuardLayer`] answers for permissions and rate limits); the method is
//! looked up in the table of its era; the result gets the shape of that era. [`error`] lists every error and its HTTP
//! status. Cancelling a request drops its future.

mod arguments;
pub mod client;
mod connection;
mod context;
pub mod error;
mod guard;
pub mod http;
mod input;
mod nearest;
mod notify;
mod outbox;
mod prompt;
mod resource;
mod schema;
mod server;
pub mod session;
mod stdio;
mod task;
#[cfg(test)]
mod testing;
mod tool;
pub mod wire;

pub use context::{CallContext, RequestInfo};
pub use guard::{GuardLayer, Guarded};
pub use input::InputError;
pub use jsonrpsee;
pub use notify::Notifier;
pub use prompt::{Arguments, Prompt, PromptReply};
pub use resource::{Page, ResourceReply, Resources};
pub use server::{BuildError, CacheHints, Dispatch, Limits, Server, ServerBuilder, ServerInfo};
pub use session::{
    CallOutcome, CallRecord, MemorySessionStore, Opened, Session, SessionError, SessionHandle, SessionLimits,
    SessionOwner, SessionStore,
};
pub use task::{MemoryTasks, TaskFailure, TaskHandle, TaskLimits, TaskOptions, TaskStore};
pub use tool::{DynTool, OutputSchema, Tool, ToolDefinition, ToolError, ToolReply};
pub use wire::{Completion, CompletionContext, Content, InputRequest, LogLevel, ToolAnnotations};
