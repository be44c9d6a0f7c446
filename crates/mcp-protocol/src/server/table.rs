//! The tools of a server, each with its compiled input schema.

use serde_json::{Map, Value};

use super::BuildError;
use crate::arguments::ArgumentCheck;
use crate::context::CallContext;
use crate::http::ParamHeader;
use crate::nearest::nearest;
use crate::tool::{DynTool, ToolError, ToolReply};
use crate::wire::{CallToolResult, Content, ResultFrame, ToolDescription};

#[derive(Debug)]
pub(crate) struct ToolTable {
    tools: Vec<Registered>,
}

pub(crate) struct Registered {
    pub(crate) description: ToolDescription,
    pub(crate) headers: Vec<ParamHeader>,
    check: ArgumentCheck,
    tool: Box<dyn DynTool>,
}

impl ToolTable {
    pub(crate) fn new(tools: Vec<Box<dyn DynTool>>) -> Result<ToolTable, BuildError> {
        let mut table = ToolTable { tools: Vec::with_capacity(tools.len()) };
        for tool in tools {
            let registered = Registered::new(tool)?;
            let name = &registered.description.name;
            if table.get(name).is_some() {
                return Err(BuildError::DuplicateTool(name.clone()));
            }
            table.tools.push(registered);
        }
        Ok(table)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Registered> {
        self.tools.iter().find(|tool| tool.description.name == name)
    }

    pub(crate) fn nearest(&self, name: &str) -> Option<&str> {
        nearest(name, self.tools.iter().map(|tool| tool.description.name.as_str()))
    }

    /// The descriptions from `start` on, at most `size`, and whether there are more.
    pub(crate) fn page(&self, start: usize, size: usize) -> Option<(Vec<ToolDescription>, Option<usize>)> {
        let rest = self.tools.get(start..)?;
        let end = start.saturating_add(size);
        let page = rest.iter().take(size).map(|tool| tool.description.clone()).collect();
        Some((page, (end < self.tools.len()).then_some(end)))
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
    pub(crate) async fn call(&self, cx: CallContext, mut arguments: Map<String, Value>) -> CallToolResult {
        for (alias, name) in self.tool.aliases() {
            if !arguments.contains_key(*name)
                && let Some(value) = arguments.shift_remove(*alias)
            {
                arguments.insert((*name).to_owned(), value);
            }
        }
        let reply = match self.check.check(arguments) {
            Ok(arguments) => self.tool.call(cx, arguments).await,
            Err(error) => Err(error),
        };
        match reply {
            Ok(reply) => answered(reply),
            Err(error) => self.failed(&error),
        }
    }

    /// Programs find the error in `_meta`. It is the structured content too where no schema is published: clients
    /// hold even the content of an error against one.
    fn failed(&self, error: &ToolError) -> CallToolResult {
        let structured = error.structured();
        let free = self.description.output_schema.is_none();
        CallToolResult {
            content: vec![Content::text(error.text())],
            structured_content: free.then(|| Value::Object(structured.clone())),
            is_error: true,
            frame: ResultFrame { meta: Some(structured), ..ResultFrame::default() },
        }
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

fn answered(reply: ToolReply<Value>) -> CallToolResult {
    let output = Some(reply.output).filter(|output| !output.is_null());
    let content = match (&output, reply.content) {
        (Some(output), content) if content.is_empty() => vec![Content::text(output.to_string())],
        (_, content) => content,
    };
    let meta = reply.error.as_ref().map(ToolError::structured);
    CallToolResult {
        content,
        structured_content: output,
        is_error: reply.error.is_some(),
        frame: ResultFrame { meta, ..ResultFrame::default() },
    }
}

impl std::fmt::Debug for Registered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registered").field("description", &self.description).finish_non_exhaustive()
    }
}
