//! `get_tools_manifest`: the tools as the Python original listed them.

use std::sync::{Arc, OnceLock};

use mcp_protocol::wire::ToolDescription;
use mcp_protocol::{CallContext, Tool, ToolDefinition, ToolError, ToolReply};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use super::jobs::NoArgs;
use super::tells;
use crate::app::App;

/// The tools' descriptions, known once all tools are.
pub(super) type Descriptions = Arc<OnceLock<Vec<ToolDescription>>>;

/// Lists the tools with their parameters.
pub(super) struct GetToolsManifest {
    pub(super) app: Arc<App>,
    /// The server's own tools.
    pub(super) own: Descriptions,
}

/// The server and its tools.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Manifest {
    name: &'static str,
    version: &'static str,
    #[schemars(with = "Vec<Map<String, Value>>")]
    tools: Vec<ManifestTool>,
}

#[derive(Debug, Serialize)]
struct ManifestTool {
    name: String,
    description: String,
    parameters: Vec<ManifestParameter>,
}

#[derive(Debug, Serialize)]
struct ManifestParameter {
    name: String,
    r#type: String,
    required: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
}

impl Tool for GetToolsManifest {
    type Args = NoArgs;
    type Output = Manifest;

    fn definition(&self) -> ToolDefinition {
        tells("get_tools_manifest", "All tools with their parameters.")
    }

    async fn call(&self, _: CallContext, _: Self::Args) -> Result<ToolReply<Manifest>, ToolError> {
        let own = self.own.get().map(Vec::as_slice).unwrap_or_default();
        let of_workflows = self.app.own_tools.descriptions();
        Ok(Manifest {
            name: env!("CARGO_PKG_NAME"),
            version: env!("CARGO_PKG_VERSION"),
            tools: own.iter().chain(&of_workflows).map(manifest_tool).collect(),
        }
        .into())
    }
}

fn manifest_tool(tool: &ToolDescription) -> ManifestTool {
    let schema = &tool.input_schema;
    let required = schema["required"].as_array();
    let is_required =
        |name: &str| required.is_some_and(|names| names.iter().any(|required| required == name));
    let properties = schema["properties"].as_object();
    let parameters = properties.into_iter().flatten().map(|(name, property)| ManifestParameter {
        name: name.clone(),
        r#type: type_of(property),
        required: is_required(name),
        description: property["description"].as_str().map(str::to_owned),
    });
    ManifestTool {
        name: tool.name.clone(),
        description: tool.description.clone().unwrap_or_default(),
        parameters: parameters.collect(),
    }
}

fn type_of(property: &Value) -> String {
    match (&property["type"], &property["enum"]) {
        (Value::String(name), _) => name.clone(),
        (_, Value::Array(_)) => "string".to_owned(),
        _ => "object".to_owned(),
    }
}
