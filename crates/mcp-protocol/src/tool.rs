//! Tools: a type with typed arguments and output, or one whose schemas are only known at run time.

use std::future::Future;

use async_trait::async_trait;
use jsonrpsee::types::ErrorObjectOwned;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::context::CallContext;
use crate::error::{self, MISSING_CLIENT_CAPABILITY};
use crate::schema::{self, Normaliser};
use crate::wire::{
    CallToolResult, Content, Icon, ResultFrame, Task, ToolAnnotations, ToolDescription, key, required_tasks,
};

/// A tool whose schemas follow from its types.
///
/// `Args` becomes the `inputSchema`: doc comments are the descriptions, an `Option` is an optional argument, unknown
/// arguments are errors. `Output` has to be a struct (or an enum of structs) and becomes the `outputSchema`; its
/// fields that are `None` are left out of the result.
///
/// A call is dropped when its caller cancels; what must happen all the same belongs into a task of its own that
/// watches [`CallContext::cancelled`].
pub trait Tool: Send + Sync + 'static {
    /// The arguments.
    type Args: DeserializeOwned + JsonSchema + Send;
    /// The structured content of the result.
    type Output: Serialize + JsonSchema + Send;

    /// Name and texts; asked for once.
    fn definition(&self) -> ToolDefinition;

    /// Other names of arguments, each with the one that it stands for: taken and not published, so that the callers of
    /// an earlier version go on.
    fn aliases(&self) -> &'static [(&'static str, &'static str)] {
        &[]
    }

    /// Does the work. The arguments have been checked against the schema.
    fn call(
        &self,
        cx: CallContext,
        args: Self::Args,
    ) -> impl Future<Output = Result<ToolReply<Self::Output>, ToolError>> + Send;
}

/// A tool whose schemas come from elsewhere, for example from a file.
#[async_trait]
pub trait DynTool: Send + Sync + 'static {
    /// Everything `tools/list` says; asked for once. The schemas are published as they are.
    fn description(&self) -> ToolDescription;

    /// As [`Tool::aliases`].
    fn aliases(&self) -> &'static [(&'static str, &'static str)] {
        &[]
    }

    /// Does the work. The arguments have been checked against the input schema.
    async fn call(
        &self,
        cx: CallContext,
        arguments: Map<String, Value>,
    ) -> Result<ToolReply<Value>, ToolError>;
}

/// What a [`Tool`] says of itself beside its types.
#[derive(Clone, Debug, Default)]
pub struct ToolDefinition {
    /// What `tools/call` names: letters, digits, `_`, `-`, `.`, at most 128 of them.
    pub name: String,
    /// For people.
    pub title: Option<String>,
    /// For the model.
    pub description: String,
    /// Hints for the client.
    pub annotations: ToolAnnotations,
    /// For the client's user interface.
    pub icons: Vec<Icon>,
    /// Whether `tools/list` carries the output schema.
    pub output_schema: OutputSchema,
}

/// Whether `tools/list` carries a tool's output schema. The structured content is sent either way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OutputSchema {
    /// Clients can check results against it.
    #[default]
    Published,
    /// Saves its bytes in every client's context.
    Omitted,
}

/// What a tool answers with.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolReply<O> {
    /// The structured content; a JSON null (of a [`DynTool`]) is none.
    pub output: O,
    /// For the model. Empty: the JSON of the output as text, as MCP recommends for older clients.
    pub content: Vec<Content>,
    /// Set when the tool did its part and what it worked on failed: the result has `isError`, with the output.
    pub error: Option<ToolError>,
    /// Set when the work goes on as a task: a client that takes tasks gets this instead, any other the rest of the reply.
    pub task: Option<Box<Task>>,
}

/// Why a tool failed. The model sees it as a result with `isError`, so it says what to do about it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct ToolError {
    /// Stable, snake case: programs may compare it.
    pub code: String,
    /// What went wrong.
    pub message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    /// Details for programs. Boxed, as errors travel in every `Result`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Box<Value>>,
}

impl ToolDefinition {
    /// A definition without title and hints.
    pub fn new(name: impl Into<String>, description: impl Into<String>) -> ToolDefinition {
        ToolDefinition { name: name.into(), description: description.into(), ..ToolDefinition::default() }
    }
}

impl<O> ToolReply<O> {
    /// A reply whose content is given, instead of the JSON of the output.
    pub fn with_content(output: O, content: Vec<Content>) -> ToolReply<O> {
        ToolReply { output, content, error: None, task: None }
    }

    /// The same reply for a client that takes no tasks; one that does gets the task. It has to be kept already, so that
    /// `tasks/get` finds it. If it has ended already, all clients get the reply.
    pub fn as_task(mut self, task: Task) -> ToolReply<O> {
        self.task = Some(Box::new(task));
        self
    }

    /// The same reply as an error: clients see `isError`, and still get output and content.
    pub fn failed(mut self, error: ToolError) -> ToolReply<O> {
        self.error = Some(error);
        self
    }
}

impl<O: Serialize> ToolReply<O> {
    /// The same with the output as JSON, without the nulls that its schema doesn't name.
    pub(crate) fn into_untyped(self, normaliser: &Normaliser) -> Result<ToolReply<Value>, ToolError> {
        let mut output = serde_json::to_value(self.output).map_err(|error| {
            tracing::error!(%error, "the output of a tool can't be serialised");
            ToolError::new("internal", "the result of the tool could not be written as JSON")
        })?;
        normaliser.normalise(&mut output);
        Ok(ToolReply { output, content: self.content, error: self.error, task: self.task })
    }
}

impl ToolReply<Value> {
    /// What `tools/call` answers with it to a client that takes no tasks, without what every result of an era carries.
    pub fn into_result(self) -> CallToolResult {
        let output = Some(self.output).filter(|output| !output.is_null());
        let content = match (&output, self.content) {
            (Some(output), content) if content.is_empty() => {
                vec![Content::text(serde_json::to_string(output).unwrap_or_default())]
            }
            (_, content) => content,
        };
        let meta = self.error.as_ref().map(ToolError::structured);
        CallToolResult {
            content,
            structured_content: output,
            is_error: self.error.is_some(),
            frame: ResultFrame { meta, ..ResultFrame::default() },
        }
    }
}

impl<O> From<O> for ToolReply<O> {
    fn from(output: O) -> Self {
        ToolReply { output, content: Vec::new(), error: None, task: None }
    }
}

impl ToolError {
    /// The code of arguments that don't fit the schema.
    pub const INVALID_ARGUMENTS: &'static str = "invalid_arguments";

    /// The code of a call that needs a capability of the client; it is answered with a JSON-RPC error
    /// ([`crate::error::MISSING_CLIENT_CAPABILITY`]).
    pub const MISSING_CAPABILITY: &'static str = "missing_client_capability";

    /// The client would have to declare `required`, for example `{"sampling": {}}`.
    pub fn missing_capability(required: Value) -> ToolError {
        let message = format!("the client has to declare the capability {required}");
        let data = Map::from_iter([("requiredCapabilities".to_owned(), required)]);
        ToolError::new(Self::MISSING_CAPABILITY, message).data(Value::Object(data))
    }

    /// The work can only be done as a task, which this client doesn't take.
    pub fn tasks_required() -> ToolError {
        ToolError::missing_capability(required_tasks())
    }

    /// An error without remedy and data.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> ToolError {
        ToolError { code: code.into(), message: message.into(), remedy: None, data: None }
    }

    /// Adds what to do about it.
    pub fn remedy(mut self, remedy: impl Into<String>) -> ToolError {
        self.remedy = Some(remedy.into());
        self
    }

    /// Adds details for programs.
    pub fn data(mut self, data: Value) -> ToolError {
        self.data = Some(Box::new(data));
        self
    }

    /// For the model: `message; remedy`.
    pub(crate) fn text(&self) -> String {
        match &self.remedy {
            Some(remedy) => format!("{}; {remedy}", self.message),
            None => self.message.clone(),
        }
    }

    /// For programs: `{"error": {…}}`.
    pub(crate) fn structured(&self) -> Map<String, Value> {
        let error = serde_json::to_value(self).unwrap_or_default();
        Map::from_iter([(key::TOOL_ERROR.to_owned(), error)])
    }

    /// A result with `isError`; programs find the error in `_meta`. What the client can't do is a JSON-RPC error.
    pub(crate) fn into_result(self) -> Result<CallToolResult, ErrorObjectOwned> {
        if self.code == Self::MISSING_CAPABILITY {
            let data = self.data.map(|data| *data).unwrap_or_default();
            return Err(error::error_with(MISSING_CLIENT_CAPABILITY, self.message, data));
        }
        Ok(CallToolResult {
            content: vec![Content::text(self.text())],
            structured_content: None,
            is_error: true,
            frame: ResultFrame { meta: Some(self.structured()), ..ResultFrame::default() },
        })
    }
}

/// A [`Tool`] behind the trait that the table of tools holds.
pub(crate) struct Typed<T> {
    tool: T,
    output_schema: Value,
    normaliser: Normaliser,
}

impl<T: Tool> Typed<T> {
    pub(crate) fn new(tool: T) -> Typed<T> {
        let output_schema = schema::output::<T::Output>();
        Typed { tool, normaliser: Normaliser::new(&output_schema), output_schema }
    }
}

#[async_trait]
impl<T: Tool> DynTool for Typed<T> {
    fn description(&self) -> ToolDescription {
        let definition = self.tool.definition();
        let hints = definition.annotations;
        ToolDescription {
            name: definition.name,
            title: definition.title,
            description: Some(definition.description).filter(|text| !text.is_empty()),
            input_schema: schema::input::<T::Args>(),
            output_schema: (definition.output_schema == OutputSchema::Published)
                .then(|| self.output_schema.clone()),
            annotations: Some(hints).filter(|hints| *hints != ToolAnnotations::default()),
            icons: definition.icons,
        }
    }

    fn aliases(&self) -> &'static [(&'static str, &'static str)] {
        self.tool.aliases()
    }

    async fn call(
        &self,
        cx: CallContext,
        arguments: Map<String, Value>,
    ) -> Result<ToolReply<Value>, ToolError> {
        let args =
            serde_path_to_error::deserialize::<_, T::Args>(Value::Object(arguments)).map_err(|error| {
                let field = error.path().to_string();
                ToolError::new(ToolError::INVALID_ARGUMENTS, format!("`{field}`: {}", error.inner()))
            })?;
        self.tool.call(cx, args).await?.into_untyped(&self.normaliser)
    }
}
