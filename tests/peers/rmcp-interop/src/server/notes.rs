//! The server's tools, resource, prompt and completion. sdk_server.mjs has the same, but for the task.

use std::sync::Arc;
use std::time::Duration;

use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, CompleteRequestParams, CompleteResult,
    CompletionInfo, ContentBlock, GetPromptRequestParams, GetPromptResponse, GetPromptResult, GetTaskParams,
    GetTaskResult, Implementation, JsonObject, ListPromptsResult, ListResourceTemplatesResult,
    ListResourcesResult, ListToolsResult, PaginatedRequestParams, ProgressNotificationParam, Prompt,
    PromptArgument, PromptMessage, ReadResourceRequestParams, ReadResourceResponse, ReadResourceResult,
    Resource, ResourceContents, ResourceTemplate, ResourceUpdatedNotificationParam, Role, ServerCapabilities,
    ServerConfig, SubscribeRequestParams, SubscriptionFilter, Tool, UnsubscribeRequestParams,
};
use rmcp::service::{RequestContext, SubscriptionContext};
use rmcp::{ErrorData, RoleServer, ServerHandler};
use serde_json::{Value, json};
use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;

use crate::asking;
use crate::board::Board;

const BOARD: &str = "note://board";
const TEMPLATE: &str = "note://greetings/{name}";
const GREETINGS: &str = "note://greetings/";
const NAMES: [&str; 3] = ["ada", "adele", "grace"];
const STEP: Duration = Duration::from_millis(50);

/// What one session is served by.
pub(crate) struct Notes {
    board: Arc<Board>,
    /// Tells a client of the older revisions what has changed.
    subscription: Mutex<Option<JoinHandle<()>>>,
}

impl Notes {
    pub(crate) fn new(board: Arc<Board>) -> Notes {
        Notes { board, subscription: Mutex::new(None) }
    }

    /// Counts with progress, until it is told to stop.
    async fn count(
        &self,
        to: u64,
        context: &RequestContext<RoleServer>,
    ) -> Result<CallToolResult, ErrorData> {
        for step in 1..=to {
            tokio::select! {
                () = context.ct.cancelled() => {
                    self.board.count_cancelled();
                    return Err(ErrorData::internal_error("cancelled", None));
                }
                () = tokio::time::sleep(STEP) => {}
            }
            if let Some(token) = context.meta.get_progress_token() {
                let progress = ProgressNotificationParam::new(token, step as f64).with_total(to as f64);
                _ = context.peer.notify_progress(progress).await;
            }
        }
        Ok(said(json!({"counted": to})))
    }
}

impl ServerHandler for Notes {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder()
            .enable_tools()
            .enable_resources()
            .enable_resources_subscribe()
            .enable_prompts()
            .enable_completions()
            .enable_tasks()
            .build();
        ServerConfig::new(capabilities).with_server_info(Implementation::new("notes-on-rmcp", "1.0.0"))
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let number = json!({"type": "object", "properties": {"to": {"type": "integer"}}, "required": ["to"]});
        let text =
            json!({"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]});
        Ok(ListToolsResult::with_all_items(vec![
            Tool::new("count", "Counts, with progress.", object(number)),
            Tool::new("cancelled", "How many calls were cancelled.", object(json!({"type": "object"}))),
            Tool::new("write", "Writes on the board.", object(text)),
            Tool::new("introduce", "Asks for a name.", object(json!({"type": "object"}))),
            Tool::new("later", "Is done as a task.", object(json!({"type": "object"}))),
        ]))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let arguments = Value::Object(request.arguments.unwrap_or_default());
        let result = match &*request.name {
            "introduce" => return asking::introduce(request.input_responses.as_ref(), &context).await,
            "later" => return Ok(CallToolResponse::Task(asking::later(&self.board.tasks))),
            "count" => self.count(arguments["to"].as_u64().unwrap_or(1), &context).await?,
            "cancelled" => said(json!({"calls": self.board.cancelled()})),
            "write" => {
                self.board.write(arguments["text"].as_str().unwrap_or_default());
                said(json!({}))
            }
            _ => return Err(ErrorData::invalid_params("there is no such tool", None)),
        };
        Ok(result.into())
    }

    async fn list_resources(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        Ok(ListResourcesResult::with_all_items(vec![Resource::new(BOARD, "board")]))
    }

    async fn list_resource_templates(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        Ok(ListResourceTemplatesResult::with_all_items(vec![ResourceTemplate::new(TEMPLATE, "greeting")]))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let text = match request.uri.strip_prefix(GREETINGS) {
            Some(name) => format!("hello, {name}"),
            None if request.uri == BOARD => self.board.text(),
            None => return Err(ErrorData::resource_not_found("there is no such resource", None)),
        };
        Ok(ReadResourceResult::new(vec![ResourceContents::text(text, request.uri)]).into())
    }

    async fn list_prompts(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        let name = PromptArgument::new("name").with_required(true);
        Ok(ListPromptsResult::with_all_items(vec![Prompt::new(
            "greet",
            Some("A greeting"),
            Some(vec![name]),
        )]))
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        let arguments = Value::Object(request.arguments.unwrap_or_default());
        let name =
            arguments["name"].as_str().ok_or_else(|| ErrorData::invalid_params("name is missing", None))?;
        let message = PromptMessage::new_text(Role::User, format!("say hello to {name}"));
        Ok(GetPromptResult::new(vec![message]).into())
    }

    async fn complete(
        &self,
        request: CompleteRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<CompleteResult, ErrorData> {
        let fits = |name: &&str| name.starts_with(&request.argument.value);
        let values = NAMES.into_iter().filter(fits).map(str::to_owned).collect();
        let completion = CompletionInfo::with_all_values(values);
        Ok(CompleteResult::new(completion.map_err(|error| ErrorData::internal_error(error, None))?))
    }

    async fn subscribe(
        &self,
        request: SubscribeRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        let mut changes = self.board.changes();
        let task = tokio::spawn(async move {
            while changes.changed().await.is_ok() {
                let update = ResourceUpdatedNotificationParam::new(request.uri.clone());
                if context.peer.notify_resource_updated(update).await.is_err() {
                    return;
                }
            }
        });
        replace(&self.subscription, Some(task)).await;
        Ok(())
    }

    async fn unsubscribe(
        &self,
        _: UnsubscribeRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        replace(&self.subscription, None).await;
        Ok(())
    }

    async fn get_task(
        &self,
        request: GetTaskParams,
        _: RequestContext<RoleServer>,
    ) -> Result<GetTaskResult, ErrorData> {
        Ok(GetTaskResult::new(self.board.tasks.get_task(&request.task_id)?))
    }

    fn accepted_subscription_filter(&self, requested: &SubscriptionFilter) -> Option<SubscriptionFilter> {
        Some(requested.clone())
    }

    async fn listen(&self, context: SubscriptionContext) -> Result<(), ErrorData> {
        let mut changes: watch::Receiver<String> = self.board.changes();
        // The client was told already that it will hear of changes, and there may have been one since.
        changes.mark_changed();
        loop {
            tokio::select! {
                () = context.cancelled() => return Ok(()),
                changed = changes.changed() => {
                    let told = context.sink().notify_resource_updated(BOARD).await;
                    if changed.is_err() || told.is_err() {
                        return Ok(());
                    }
                }
            }
        }
    }
}

async fn replace(subscription: &Mutex<Option<JoinHandle<()>>>, with: Option<JoinHandle<()>>) {
    if let Some(before) = std::mem::replace(&mut *subscription.lock().await, with) {
        before.abort();
    }
}

pub(crate) fn said(value: Value) -> CallToolResult {
    let mut result = CallToolResult::success(vec![ContentBlock::text(value.to_string())]);
    result.structured_content = Some(value);
    result
}

fn object(value: Value) -> JsonObject {
    value.as_object().cloned().unwrap_or_default()
}
