//! The tools of a server, each with its compiled input schema.

use std::sync::Arc;

use jsonrpsee::types::ErrorObjectOwned;
use serde_json::{Map, Value};

use super::BuildError;
use crate::arguments::ArgumentCheck;
use crate::context::CallContext;
use crate::http::ParamHeader;
use crate::nearest::nearest;
use crate::tool::{DynTool, ToolError, ToolReply};
use crate::wire::{CallToolResult, Task, ToolDescription};

/// The tools in the order in which they were added. A change makes a new table, so that whoever reads the old one isn't
/// disturbed.
#[derive(Clone, Debug, Default)]
pub(crate) struct ToolTable {
    tools: Vec<Arc<Registered>>,
}

/// How a call of a tool ended.
pub(crate) enum Called {
    Result(CallToolResult),
    Task(Task),
}

pub(crate) struct Registered {
    pub(crate) description: ToolDescription,
    pub(crate) headers: Vec<ParamHeader>,
    check: ArgumentCheck,
    tool: Box<dyn DynTool>,
}

impl ToolTable {
    pub(crate) fn new(tools: Vec<Box<dyn DynTool>>) -> Result<ToolTable, BuildError> {
        let mut table = ToolTable::default();
        for tool in tools {
            table.add(tool)?;
        }
        Ok(table)
    }

    pub(crate) fn add(&mut self, tool: Box<dyn DynTool>) -> Result<(), BuildError> {
        let registered = Registered::new(tool)?;
        let name = &registered.description.name;
        if self.get(name).is_some() {
            return Err(BuildError::DuplicateTool(name.clone()));
        }
        self.tools.push(Arc::new(registered));
        Ok(())
    }

    /// False if there is no such tool.
    pub(crate) fn remove(&mut self, name: &str) -> bool {
        let before = self.tools.len();
        self.tools.retain(|tool| tool.description.name != name);
        self.tools.len() < before
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Arc<Registered>> {
        self.tools.iter().find(|tool| tool.description.name == name)
    }

    pub(crate) fn nearest(&self, name: &str) -> Option<&str> {
        nearest(name, self.tools.iter().map(|tool| tool.description.name.as_str()))
    }

    pub(crate) fn iter(&self) -> std::slice::Iter<'_, Arc<Registered>> {
        self.tools.iter()
    }
}

impl Registered {
    fn new(tool: Box<dyn DynTool>) -> Result<Registered, BuildError> {
        let description = tool.description();
        let name = &description.name;
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
        if name.is_empty() || name.len() > 128 || !name.bytes().all(allowed) {
            return Err(BuildError::InvalidName(name.clone()));
        }
        let invalid =
            |which, reason| BuildError::InvalidSchema { tool: description.name.clone(), which, reason };
        let check = ArgumentCheck::new(description.input_schema.clone())
            .map_err(|reason| invalid("inputSchema", reason))?;
        if let Some(output) = &description.output_schema {
            ArgumentCheck::new(output.clone()).map_err(|reason| invalid("outputSchema", reason))?;
        }
        let mut headers = Vec::new();
        param_headers(&description.input_schema, &mut Vec::new(), &mut headers);
        Ok(Registered { description, headers, check, tool })
    }

    /// Checks the arguments and calls the tool; what it failed with is part of the result.
    pub(crate) async fn call(
        &self,
        cx: CallContext,
        mut arguments: Map<String, Value>,
    ) -> Result<Called, ErrorObjectOwned> {
        for (alias, name) in self.tool.aliases() {
            if !arguments.contains_key(*name)
                && let Some(value) = arguments.shift_remove(*alias)
            {
                arguments.insert((*name).to_owned(), value);
            }
        }
        let takes_tasks = cx.supports_tasks();
        let reply = match self.check.check(arguments) {
            Ok(arguments) => self.tool.call(cx, arguments).await,
            Err(error) => Err(error),
        };
        match reply {
            // A task that has ended says nothing that the reply doesn't.
            Ok(ToolReply { task: Some(task), .. }) if takes_tasks && !task.state.is_terminal() => {
                Ok(Called::Task(*task))
            }
            Ok(reply) => Ok(Called::Result(reply.into_result())),
            Err(error) => self.failed(error).map(Called::Result),
        }
    }

    /// Programs find the error in `_meta`. It is the structured content too where no schema is published: clients
    /// hold even the content of an error against one.
    fn failed(&self, error: ToolError) -> Result<CallToolResult, ErrorObjectOwned> {
        let mut result = error.into_result()?;
        if self.description.output_schema.is_none() {
            result.structured_content = result.frame.meta.clone().map(Value::Object);
        }
        Ok(result)
    }
}

/// Finds `x-mcp-header` on the way through nested `properties` (2026-07-28, streamable HTTP: custom headers).
fn param_headers(schema: &Value, path: &mut Vec<String>, found: &mut Vec<ParamHeader>) {
    if let Some(name) = schema.get("x-mcp-header").and_then(Value::as_str) {
        found.push(ParamHeader { header: format!("Mcp-Param-{name}"), path: path.clone() });
    }
    for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        path.push(name.clone());
        param_headers(property, path, found);
        path.pop();
    }
}

impl std::fmt::Debug for Registered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registered").field("description", &self.description).finish_non_exhaustive()
    }
}
