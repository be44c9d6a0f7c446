//! A tool that does what the test says while it runs, and resources that can be listened to.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jsonrpsee::types::ErrorObjectOwned;
use serde_json::{Map, Value, json};
use tokio::sync::{Mutex, mpsc};

use crate::wire::{ElicitResult, Elicitation, ResourceDescription, ToolDescription};
use crate::{
    CacheHints, CallContext, Content, DynTool, InputRequest, LogLevel, Page, ResourceReply, Resources,
    ServerBuilder, ToolError, ToolReply,
};

pub(super) enum Step {
    Progress(u32),
    Log(LogLevel, String),
    Close(Duration),
    /// Asks for a name; the answer's action becomes the result.
    Ask,
    End(String),
}

/// The strings of the puppet. Dropped, the tool waits for good.
#[derive(Clone)]
pub(super) struct Strings(mpsc::UnboundedSender<Step>);

impl Strings {
    pub(super) fn pull(&self, step: Step) {
        self.0.send(step).unwrap_or_else(|_| panic!("the puppet is gone"));
    }

    pub(super) fn end(&self, text: &str) {
        self.pull(Step::End(text.to_owned()));
    }
}

struct Puppet {
    name: &'static str,
    steps: Arc<Mutex<mpsc::UnboundedReceiver<Step>>>,
}

/// A puppet for one call after the other.
pub(super) fn puppet(builder: ServerBuilder, name: &'static str) -> (ServerBuilder, Strings) {
    let (strings, steps) = mpsc::unbounded_channel();
    let puppet = Puppet { name, steps: Arc::new(Mutex::new(steps)) };
    (builder.dyn_tool(puppet), Strings(strings))
}

#[async_trait]
impl DynTool for Puppet {
    fn description(&self) -> ToolDescription {
        ToolDescription {
            name: self.name.to_owned(),
            input_schema: json!({"type": "object"}),
            ..ToolDescription::default()
        }
    }

    async fn call(&self, cx: CallContext, _: Map<String, Value>) -> Result<ToolReply<Value>, ToolError> {
        let mut steps = self.steps.lock().await;
        loop {
            let Some(step) = steps.recv().await else { std::future::pending().await };
            match step {
                Step::Progress(step) => cx.progress(f64::from(step), None, None),
                Step::Log(level, text) => cx.log(level, None, Value::String(text)),
                Step::Close(retry) => cx.close_stream(retry),
                Step::Ask => {
                    let question =
                        Elicitation::Form { message: "who?".to_owned(), requested_schema: json!({}) };
                    let answer: ElicitResult = cx.input("who", InputRequest::Elicit(question)).await?;
                    return Ok(said(&format!("{:?}", answer.action)));
                }
                Step::End(text) => return Ok(said(&text)),
            }
        }
    }
}

fn said(text: &str) -> ToolReply<Value> {
    ToolReply::with_content(Value::Null, vec![Content::text(text)])
}

/// What a puppet's result says.
pub(super) fn text_of(answer: &Value) -> &str {
    answer["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("no result: {answer}"))
}

/// Anything that begins with `test:` can be listened to.
pub(super) struct Board;

#[async_trait]
impl Resources for Board {
    async fn list(
        &self,
        _: &CallContext,
        _: Option<&str>,
    ) -> Result<Page<ResourceDescription>, ErrorObjectOwned> {
        Ok(Page::whole(Vec::new()))
    }

    async fn read(&self, _: &CallContext, _: &str) -> Result<Option<ResourceReply>, ErrorObjectOwned> {
        Ok(None)
    }

    async fn may_subscribe(&self, _: &CallContext, uri: &str) -> Result<bool, ErrorObjectOwned> {
        Ok(uri.starts_with("test:"))
    }

    fn can_subscribe(&self) -> bool {
        true
    }
}

pub(super) fn with_board(builder: ServerBuilder) -> ServerBuilder {
    builder.resources(Board, CacheHints::NONE)
}
