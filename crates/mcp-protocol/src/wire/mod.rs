//! What goes over the wire: JSON-RPC envelopes and MCP's own types, shared by the server and the client.

mod envelope;
mod meta;
mod result;
mod tool;
mod version;

pub use envelope::{Message, ParseError, Request, RequestId, Response, notification, request, response};
pub use meta::{Implementation, ProgressToken, ProgressUpdate, RequestMeta, key};
pub use result::{
    CacheScope, DiscoverResult, InitializeParams, InitializeResult, ResultFrame, ServerCapabilities,
};
pub use tool::{CallToolParams, CallToolResult, Content, ListToolsResult, ToolAnnotations, ToolDescription};
pub use version::{Era, ProtocolVersion, UnknownVersion};

#[cfg(test)]
mod tests;
