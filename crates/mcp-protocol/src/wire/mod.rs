//! What goes over the wire: JSON-RPC envelopes and MCP's own types, shared by the server and the client.

mod envelope;
mod input;
mod log;
mod meta;
mod prompt;
mod resource;
mod result;
mod subscription;
mod task;
mod tool;
mod version;

pub use envelope::{Message, ParseError, Request, RequestId, Response, notification, request, response};
pub use input::{
    ElicitAction, ElicitResult, Elicitation, InputKind, InputRequest, InputRequiredResult, InputResponses,
    UrlMode,
};
pub use log::{LogLevel, LogMessage, SetLevelParams};
pub use meta::{Icon, Implementation, ProgressToken, ProgressUpdate, RequestMeta, key};
pub use prompt::{
    CompleteParams, CompleteResult, Completion, CompletionArgument, CompletionContext, CompletionReference,
    GetPromptParams, GetPromptResult, ListPromptsResult, PromptArgument, PromptDescription, PromptMessage,
};
pub use resource::{
    ListResourceTemplatesResult, ListResourcesResult, ReadResourceParams, ReadResourceResult,
    ResourceAnnotations, ResourceContents, ResourceDescription, ResourceTemplate, Role,
};
pub(crate) use result::ServerIdentity;
pub use result::{
    CacheScope, DiscoverResult, InitializeParams, InitializeResult, ResultFrame, ServerCapabilities,
};
pub use subscription::{ListenParams, ListenResult, ResourceParams, SubscriptionFilter};
pub(crate) use task::required_tasks;
pub use task::{
    CreateTaskResult, GetTaskResult, TASKS_EXTENSION, Task, TaskParams, TaskState, UpdateTaskParams,
    supports_tasks,
};
pub use tool::{CallToolParams, CallToolResult, Content, ListToolsResult, ToolAnnotations, ToolDescription};
pub use version::{Era, ProtocolVersion, UnknownVersion};

#[cfg(test)]
mod tests;
