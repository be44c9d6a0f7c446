//! A tool made of a name, a schema and a function, and what fixtures answer with.

use std::future::Future;

use async_trait::async_trait;
use futures::future::BoxFuture;
use mcp_protocol::wire::ToolDescription;
use mcp_protocol::{CallContext, Content, DynTool, ToolError, ToolReply};
use serde_json::{Map, Value, json};

pub(crate) type Arguments = Map<String, Value>;
pub(crate) type Reply = Result<ToolReply<Value>, ToolError>;

pub(crate) struct Fixture {
    name: &'static str,
    schema: Value,
    run: Box<dyn Fn(CallContext, Arguments) -> BoxFuture<'static, Reply> + Send + Sync>,
}

impl Fixture {
    /// A tool without arguments.
    pub(crate) fn new<F, R>(name: &'static str, run: F) -> Fixture
    where
        F: Fn(CallContext) -> R + Send + Sync + 'static,
        R: Future<Output = Reply> + Send + 'static,
    {
        let schema = json!({"type": "object", "additionalProperties": false});
        Fixture::with(name, schema, move |cx, _| run(cx))
    }

    /// A tool with the arguments of a schema.
    pub(crate) fn with<F, R>(name: &'static str, schema: Value, run: F) -> Fixture
    where
        F: Fn(CallContext, Arguments) -> R + Send + Sync + 'static,
        R: Future<Output = Reply> + Send + 'static,
    {
        Fixture { name, schema, run: Box::new(move |cx, arguments| Box::pin(run(cx, arguments))) }
    }
}

#[async_trait]
impl DynTool for Fixture {
    fn description(&self) -> ToolDescription {
        ToolDescription {
            name: self.name.to_owned(),
            description: Some("A fixture of the conformance suite.".to_owned()),
            input_schema: self.schema.clone(),
            ..ToolDescription::default()
        }
    }

    async fn call(&self, cx: CallContext, arguments: Arguments) -> Reply {
        (self.run)(cx, arguments).await
    }
}

/// A reply of one text.
pub(crate) fn text(text: impl Into<String>) -> ToolReply<Value> {
    content(vec![Content::text(text)])
}

/// A reply without structured content.
pub(crate) fn content(content: Vec<Content>) -> ToolReply<Value> {
    ToolReply::with_content(Value::Null, content)
}

/// An argument that is a text; empty if it isn't there.
pub(crate) fn argument<'a>(arguments: &'a Arguments, name: &str) -> &'a str {
    arguments.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// The schema of an object with required members.
pub(crate) fn object(properties: &Value) -> Value {
    let required: Vec<&String> = properties.as_object().into_iter().flat_map(Map::keys).collect();
    json!({"type": "object", "properties": properties, "required": required})
}
