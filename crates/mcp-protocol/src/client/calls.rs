//! The methods of MCP as methods of a [`Peer`].

use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::Peer;
use super::error::ClientError;
use super::options::CallOptions;
use super::rounds::Answered;
use super::transport;
use crate::wire::{
    CompleteParams, CompleteResult, Completion, Era, GetPromptResult, ListPromptsResult,
    ListResourceTemplatesResult, ListResourcesResult, LogLevel, PromptDescription, ReadResourceResult,
    ResourceDescription, ResourceTemplate, SetLevelParams, ToolDescription,
};

impl Peer {
    /// All tools, page by page. Over modern HTTP, tools whose `x-mcp-header` marks break the rules are left
    /// out, as the specification wants it.
    pub async fn list_tools(&self) -> Result<Vec<ToolDescription>, ClientError> {
        self.connection.list_tools().await
    }

    /// All resources, page by page.
    pub async fn list_resources(&self) -> Result<Vec<ResourceDescription>, ClientError> {
        self.connection
            .list("resources/list", |page: ListResourcesResult| (page.resources, page.next_cursor))
            .await
    }

    /// All templates of resources, page by page.
    pub async fn list_resource_templates(&self) -> Result<Vec<ResourceTemplate>, ClientError> {
        let open = |page: ListResourceTemplatesResult| (page.resource_templates, page.next_cursor);
        self.connection.list("resources/templates/list", open).await
    }

    /// What a resource holds. Questions of the server are answered by
    /// [`PeerOptions::on_input`](super::PeerOptions::on_input).
    pub async fn read_resource(
        &self,
        uri: &str,
        options: CallOptions,
    ) -> Result<ReadResourceResult, ClientError> {
        let params = Map::from_iter([("uri".to_owned(), json!(uri))]);
        let result = self.complete_result("resources/read", params, options).await?;
        transport::typed("resources/read", &result)
    }

    /// All prompts, page by page.
    pub async fn list_prompts(&self) -> Result<Vec<PromptDescription>, ClientError> {
        self.connection.list("prompts/list", |page: ListPromptsResult| (page.prompts, page.next_cursor)).await
    }

    /// A prompt, filled with these arguments; their values are texts. Questions of the server are answered by
    /// [`PeerOptions::on_input`](super::PeerOptions::on_input).
    pub async fn get_prompt(
        &self,
        name: &str,
        arguments: Map<String, Value>,
        options: CallOptions,
    ) -> Result<GetPromptResult, ClientError> {
        let mut params = Map::from_iter([("name".to_owned(), json!(name))]);
        if !arguments.is_empty() {
            params.insert("arguments".to_owned(), Value::Object(arguments));
        }
        let result = self.complete_result("prompts/get", params, options).await?;
        transport::typed("prompts/get", &result)
    }

    /// Values that fit what is typed so far of an argument.
    pub async fn complete(&self, params: &CompleteParams) -> Result<Completion, ClientError> {
        let params = transport::object(params);
        let result: CompleteResult =
            self.connection.typed("completion/complete", params, CallOptions::default()).await?;
        Ok(result.completion)
    }

    /// From which level on log messages are wanted; they come as [`Notice::Log`](super::Notice::Log). A legacy server
    /// is told at once (`logging/setLevel`), a modern one with each call that follows.
    pub async fn set_log_level(&self, level: LogLevel) -> Result<(), ClientError> {
        if self.connection.era() == Era::Legacy {
            let params = transport::object(&SetLevelParams { level });
            self.connection.request("logging/setLevel", params, CallOptions::default()).await?;
        }
        self.connection.caller.set_log_level(level);
        Ok(())
    }

    /// Asks for a sign of life: `ping`, or `server/discover` where there is no `ping` any more.
    pub async fn ping(&self) -> Result<(), ClientError> {
        let method = match self.connection.era() {
            Era::Legacy => "ping",
            Era::Modern => "server/discover",
        };
        self.request(method, Map::new(), CallOptions::default()).await.map(drop)
    }

    /// The result of a method that may ask, but makes no tasks.
    async fn complete_result(
        &self,
        method: &str,
        params: Map<String, Value>,
        mut options: CallOptions,
    ) -> Result<Box<RawValue>, ClientError> {
        let mut on_progress = options.on_progress.take();
        let call = self.connection.call(method, params, &options);
        match self.connection.in_rounds(call, &mut on_progress).await? {
            Answered::Complete(result) | Answered::Task(result) => Ok(result),
        }
    }
}
