//! A server with something of everything, and the ways to send it messages.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jsonrpsee::types::ErrorObjectOwned;
use mcp_protocol::wire::{
    PromptArgument, PromptDescription, ResourceContents, ResourceDescription, ResourceTemplate, Task,
    TaskState, ToolDescription,
};
use mcp_protocol::{
    Arguments, CacheHints, CallContext, Completion, CompletionContext, Content, DynTool, InputRequest,
    Limits, LogLevel, Page, Prompt, PromptReply, ResourceReply, Resources, Server, ServerInfo, TaskStore,
    Tool, ToolDefinition, ToolError, ToolReply, jsonrpsee,
};
use serde_json::{Map, Value, json};

/// The names that messages may hit.
pub const TOOLS: [&str; 4] = ["add", "any", "ask", "later"];
/// The same of prompts.
pub const PROMPTS: [&str; 2] = ["greet", "ask"];
/// The same of resources; the first can be listened to, the last asks.
pub const URIS: [&str; 3] = ["test://one", "test://two", "test://ask"];
/// The one task that there is.
pub const TASK: &str = "task-1";

/// Builds it.
pub fn server() -> Server {
    let info = ServerInfo {
        name: "everything".to_owned(),
        version: "1.0.0".to_owned(),
        instructions: Some("Try it.".to_owned()),
        ..ServerInfo::default()
    };
    let limits = Limits { drain: Duration::from_millis(20), page_size: 2, ..Limits::default() };
    Server::builder(info)
        .limits(limits)
        .tool(Add)
        .dyn_tool(Any)
        .dyn_tool(Ask)
        .dyn_tool(Later)
        .prompt(Greet)
        .prompt(AskPrompt)
        .resources(Shelf, CacheHints::NONE)
        .tasks(Arc::new(OneTask))
        .build()
        .unwrap()
}

struct Add;

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Numbers {
    a: i64,
    b: Option<f64>,
    words: Option<Vec<String>>,
}

#[derive(serde::Serialize, schemars::JsonSchema)]
struct Sum {
    sum: f64,
    words: Option<String>,
}

impl Tool for Add {
    type Args = Numbers;
    type Output = Sum;

    fn definition(&self) -> ToolDefinition {
        ToolDefinition::new("add", "Adds.")
    }

    async fn call(&self, cx: CallContext, args: Numbers) -> Result<ToolReply<Sum>, ToolError> {
        cx.progress(1.0, Some(2.0), Some("half"));
        cx.log(LogLevel::Warning, Some("add"), json!({"a": args.a}));
        let sum = args.a as f64 + args.b.unwrap_or(1.0);
        if sum > 1e9 {
            return Err(ToolError::new("too_large", "the sum is too large").data(json!({"sum": sum})));
        }
        Ok(Sum { sum, words: args.words.map(|words| words.join(" ")) }.into())
    }
}

struct Any;

#[async_trait]
impl DynTool for Any {
    fn description(&self) -> ToolDescription {
        ToolDescription {
            name: "any".to_owned(),
            input_schema: json!({"type": "object"}),
            ..ToolDescription::default()
        }
    }

    async fn call(
        &self,
        _: CallContext,
        arguments: Map<String, Value>,
    ) -> Result<ToolReply<Value>, ToolError> {
        let text = Content::text(format!("{} arguments", arguments.len()));
        Ok(ToolReply::with_content(Value::Object(arguments), vec![text, Content::link("test://one", "one")]))
    }
}

struct Ask;

#[async_trait]
impl DynTool for Ask {
    fn description(&self) -> ToolDescription {
        ToolDescription {
            name: "ask".to_owned(),
            input_schema: json!({"type": "object"}),
            ..ToolDescription::default()
        }
    }

    async fn call(&self, cx: CallContext, _: Map<String, Value>) -> Result<ToolReply<Value>, ToolError> {
        let name: Value = cx.input("name", question()).await?;
        let roots: Value = cx.input("roots", InputRequest::roots()).await?;
        Ok(json!({"name": name, "roots": roots}).into())
    }
}

fn question() -> InputRequest {
    let schema = json!({"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]});
    InputRequest::form("What is your name?", schema)
}

struct Later;

#[async_trait]
impl DynTool for Later {
    fn description(&self) -> ToolDescription {
        ToolDescription {
            name: "later".to_owned(),
            input_schema: json!({"type": "object"}),
            ..ToolDescription::default()
        }
    }

    async fn call(&self, _: CallContext, _: Map<String, Value>) -> Result<ToolReply<Value>, ToolError> {
        let started = Task { state: TaskState::Working, ..task() };
        Ok(ToolReply::from(json!({"now": true})).as_task(started))
    }
}

fn task() -> Task {
    let at = "2026-01-01T00:00:00Z".parse().unwrap();
    Task {
        task_id: TASK.to_owned(),
        state: TaskState::Completed { result: json!({"content": []}) },
        status_message: None,
        created_at: at,
        last_updated_at: at,
        ttl_ms: None,
        poll_interval_ms: Some(100),
    }
}

struct OneTask;

#[async_trait]
impl TaskStore for OneTask {
    async fn get(&self, _: &CallContext, id: &str) -> Result<Option<Task>, ErrorObjectOwned> {
        Ok((id == TASK).then(task))
    }

    async fn update(
        &self,
        _: &CallContext,
        id: &str,
        _: Map<String, Value>,
    ) -> Result<bool, ErrorObjectOwned> {
        Ok(id == TASK)
    }

    async fn cancel(&self, _: &CallContext, id: &str) -> Result<bool, ErrorObjectOwned> {
        Ok(id == TASK)
    }
}

struct Greet;

#[async_trait]
impl Prompt for Greet {
    fn description(&self) -> PromptDescription {
        PromptDescription {
            name: "greet".to_owned(),
            arguments: vec![PromptArgument {
                name: "name".to_owned(),
                required: true,
                ..PromptArgument::default()
            }],
            ..PromptDescription::default()
        }
    }

    async fn get(&self, _: CallContext, arguments: Arguments) -> Result<PromptReply, ErrorObjectOwned> {
        Ok(PromptReply::user(format!("Greet {}.", arguments.get("name").unwrap_or_default())))
    }

    async fn complete(
        &self,
        _: CallContext,
        _: &str,
        typed: &str,
        _: &CompletionContext,
    ) -> Result<Completion, ErrorObjectOwned> {
        Ok(Completion::of(["Ada", "Grace"], typed))
    }
}

struct AskPrompt;

#[async_trait]
impl Prompt for AskPrompt {
    fn description(&self) -> PromptDescription {
        PromptDescription { name: "ask".to_owned(), ..PromptDescription::default() }
    }

    async fn get(&self, cx: CallContext, _: Arguments) -> Result<PromptReply, ErrorObjectOwned> {
        let name: Value = cx.input("name", question()).await?;
        Ok(PromptReply::user(name.to_string()))
    }
}

struct Shelf;

#[async_trait]
impl Resources for Shelf {
    async fn list(
        &self,
        _: &CallContext,
        cursor: Option<&str>,
    ) -> Result<Page<ResourceDescription>, ErrorObjectOwned> {
        if let Some(cursor) = cursor {
            return Err(mcp_protocol::error::bad_cursor(cursor));
        }
        let described = |uri: &&str| ResourceDescription {
            uri: (*uri).to_owned(),
            name: "one".to_owned(),
            ..ResourceDescription::default()
        };
        Ok(Page::whole(URIS.iter().map(described).collect()))
    }

    fn templates(&self) -> Vec<ResourceTemplate> {
        vec![ResourceTemplate {
            uri_template: "test://{name}".to_owned(),
            name: "any".to_owned(),
            ..ResourceTemplate::default()
        }]
    }

    async fn read(&self, cx: &CallContext, uri: &str) -> Result<Option<ResourceReply>, ErrorObjectOwned> {
        if uri == "test://ask" {
            let _: Value = cx.input("name", question()).await?;
        }
        Ok(URIS.contains(&uri).then(|| ResourceContents::text(uri, "text/plain", "text").into()))
    }

    async fn may_subscribe(&self, _: &CallContext, uri: &str) -> Result<bool, ErrorObjectOwned> {
        Ok(uri == URIS[0])
    }

    fn can_subscribe(&self) -> bool {
        true
    }

    async fn complete(
        &self,
        _: &CallContext,
        _: &str,
        _: &str,
        typed: &str,
        _: &CompletionContext,
    ) -> Result<Completion, ErrorObjectOwned> {
        Ok(Completion::of(["one", "two"], typed))
    }
}
