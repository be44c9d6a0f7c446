//! What this crate's own server offers to the peers of the tests beside its tools: resources, a prompt, questions,
//! tasks.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jsonrpsee::types::ErrorObjectOwned;
use serde_json::{Map, Value, json};

use crate::testing::{self, Probe};
use crate::wire::{
    ElicitResult, LogLevel, PromptArgument, PromptDescription, ResourceContents, ResourceDescription,
    ResourceTemplate, ToolDescription,
};
use crate::{
    Arguments, CacheHints, CallContext, Completion, CompletionContext, Content, DynTool, InputRequest,
    MemoryTasks, Notifier, Page, Prompt, PromptReply, ResourceReply, Resources, Server, TaskFailure,
    TaskLimits, TaskOptions, ToolError, ToolReply,
};

/// The resource that may be listened to.
pub(super) const WATCHED: &str = "x://watched";

/// A server with all of it, which tells what the notifier is told.
pub(super) fn server(probe: &Probe) -> (Server, Notifier) {
    let notifier = Notifier::new();
    let tasks = MemoryTasks::new(notifier.clone(), TaskLimits::default());
    let server = testing::builder(probe)
        .notifier(notifier.clone())
        .tasks(Arc::new(tasks.clone()))
        .resources(Shelf, CacheHints::NONE)
        .prompt(Greeting)
        .dyn_tool(Asks)
        .dyn_tool(Polled)
        .dyn_tool(Later(tasks))
        .build()
        .unwrap();
    (server, notifier)
}

fn described(name: &str) -> ToolDescription {
    ToolDescription {
        name: name.to_owned(),
        input_schema: json!({"type": "object"}),
        ..ToolDescription::default()
    }
}

fn text(text: String) -> ToolReply<Value> {
    ToolReply::with_content(Value::Null, vec![Content::text(text)])
}

/// A form that proposes a name.
fn form() -> InputRequest {
    let name = json!({"type": "string", "default": "John"});
    InputRequest::form("Who is it?", json!({"type": "object", "properties": {"name": name}}))
}

async fn ask_name(cx: &CallContext) -> Result<String, crate::InputError> {
    let answer: ElicitResult = cx.input("who", form()).await?;
    Ok(answer.content.get("name").and_then(Value::as_str).unwrap_or("nobody").to_owned())
}

/// Asks twice, and logs the answers.
struct Asks;

#[async_trait]
impl DynTool for Asks {
    fn description(&self) -> ToolDescription {
        described("asks")
    }

    async fn call(&self, cx: CallContext, _: Map<String, Value>) -> Result<ToolReply<Value>, ToolError> {
        let name = ask_name(&cx).await?;
        let roots: Value = cx.input("where", InputRequest::roots()).await?;
        cx.log(LogLevel::Info, Some("asks"), json!({"name": name}));
        Ok(text(format!("{name} in {}", roots["roots"][0]["uri"])))
    }
}

/// Closes the stream of its call before it has ended, where the transport has that.
struct Polled;

#[async_trait]
impl DynTool for Polled {
    fn description(&self) -> ToolDescription {
        described("polled")
    }

    async fn call(&self, cx: CallContext, _: Map<String, Value>) -> Result<ToolReply<Value>, ToolError> {
        cx.close_stream(Duration::from_millis(10));
        let answer: ElicitResult = cx.input("who", form()).await?;
        cx.close_stream(Duration::from_millis(10));
        Ok(text(format!("{} again", answer.content["name"])))
    }
}

/// Goes on as a task, which asks.
struct Later(MemoryTasks);

#[async_trait]
impl DynTool for Later {
    fn description(&self) -> ToolDescription {
        described("later")
    }

    async fn call(&self, cx: CallContext, _: Map<String, Value>) -> Result<ToolReply<Value>, ToolError> {
        let task = self.0.start(&cx, TaskOptions::default(), |task| async move {
            let answer: ElicitResult = task.input("who", form()).await?;
            Ok::<_, TaskFailure>(text(format!("{} at last", answer.content["name"])))
        })?;
        Ok(ToolReply::from(Value::Null).as_task(task))
    }
}

/// Two pages, a template, and one that changes.
struct Shelf;

#[async_trait]
impl Resources for Shelf {
    async fn list(
        &self,
        _: &CallContext,
        cursor: Option<&str>,
    ) -> Result<Page<ResourceDescription>, ErrorObjectOwned> {
        let (uri, next) = match cursor {
            None => ("x://asks", Some("second".to_owned())),
            Some("second") => (WATCHED, None),
            Some(other) => return Err(crate::error::bad_cursor(other)),
        };
        let described = ResourceDescription {
            uri: uri.to_owned(),
            name: uri.to_owned(),
            ..ResourceDescription::default()
        };
        Ok(Page { items: vec![described], next })
    }

    fn templates(&self) -> Vec<ResourceTemplate> {
        let uri_template = "x://{which}".to_owned();
        vec![ResourceTemplate { uri_template, name: "any".to_owned(), ..ResourceTemplate::default() }]
    }

    async fn read(&self, cx: &CallContext, uri: &str) -> Result<Option<ResourceReply>, ErrorObjectOwned> {
        let read = match uri {
            "x://asks" => ask_name(cx).await?,
            WATCHED => "now".to_owned(),
            _ => return Ok(None),
        };
        Ok(Some(ResourceContents::text(uri, "text/plain", read).into()))
    }

    async fn may_subscribe(&self, _: &CallContext, uri: &str) -> Result<bool, ErrorObjectOwned> {
        Ok(uri == WATCHED)
    }

    fn can_subscribe(&self) -> bool {
        true
    }
}

/// Greets, and completes the name.
struct Greeting;

#[async_trait]
impl Prompt for Greeting {
    fn description(&self) -> PromptDescription {
        let name = PromptArgument { name: "name".to_owned(), required: true, ..PromptArgument::default() };
        PromptDescription { name: "greet".to_owned(), arguments: vec![name], ..PromptDescription::default() }
    }

    async fn get(&self, cx: CallContext, arguments: Arguments) -> Result<PromptReply, ErrorObjectOwned> {
        let by = ask_name(&cx).await?;
        Ok(PromptReply::user(format!("{by} greets {}", arguments.get("name").unwrap_or_default())))
    }

    async fn complete(
        &self,
        _: CallContext,
        _: &str,
        typed: &str,
        _: &CompletionContext,
    ) -> Result<Completion, ErrorObjectOwned> {
        Ok(Completion::of(["anna", "bert"], typed))
    }
}
