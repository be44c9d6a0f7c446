//! The tools that agents call.

mod arguments;
mod ask;
mod generate;
mod images;
mod jobs;
mod manifest;
mod models;
#[cfg(test)]
mod tests;
pub(crate) mod workflows;

use std::sync::Arc;

use mcp_protocol::wire::ToolAnnotations;
use mcp_protocol::{OutputSchema, ServerBuilder, ToolDefinition};

use crate::app::App;
use crate::guard::principal;
use crate::plan::Files;

/// The names of the server's own tools; workflows can't be tools of these names.
pub(crate) const NAMES: [&str; 14] = [
    "generate_image",
    "img2img",
    "inpaint",
    "run_workflow",
    "list_workflows",
    "describe_workflow",
    "save_workflow",
    "list_models",
    "get_job_status",
    "wait_for_job",
    "cancel_job",
    "get_queue_status",
    "get_image",
    "get_tools_manifest",
];

/// Adds all tools.
pub(crate) fn add_all(server: ServerBuilder, app: &Arc<App>) -> (ServerBuilder, ManifestSource) {
    let descriptions = manifest::Descriptions::default();
    let server = server
        .tool(generate::GenerateImage(Arc::clone(app)))
        .tool(generate::Img2Img(Arc::clone(app)))
        .tool(generate::Inpaint(Arc::clone(app)))
        .tool(workflows::RunWorkflow(Arc::clone(app)))
        .tool(workflows::ListWorkflows::new(app))
        .tool(workflows::DescribeWorkflow(Arc::clone(app)))
        .tool(workflows::SaveWorkflow(Arc::clone(app)))
        .tool(models::ListModels(Arc::clone(app)))
        .tool(jobs::GetJobStatus(Arc::clone(app)))
        .tool(jobs::WaitForJob(Arc::clone(app)))
        .tool(jobs::CancelJob(Arc::clone(app)))
        .tool(jobs::GetQueueStatus(Arc::clone(app)))
        .tool(images::GetImage(Arc::clone(app)))
        .tool(manifest::GetToolsManifest { app: Arc::clone(app), own: Arc::clone(&descriptions) });
    (server, ManifestSource(descriptions))
}

/// Gets the descriptions of the tools when the server is built.
pub(crate) struct ManifestSource(manifest::Descriptions);

impl ManifestSource {
    /// From now on `get_tools_manifest` tells these.
    pub(crate) fn fill(self, tools: Vec<mcp_protocol::wire::ToolDescription>) {
        let _ = self.0.set(tools);
    }
}

pub(crate) use self::workflows::{OwnTools, start_own};

/// Where keys tell clients apart, what ComfyUI has in its folders may be anybody's.
fn files(app: &App) -> Files {
    if app.settings.enable_auth { Files::Own } else { Files::All }
}

/// A tool that changes nothing and whose answer speaks for itself: a schema of it would only fill agents' contexts.
fn tells(name: &str, description: &str) -> ToolDefinition {
    let mut definition = reads(name, description);
    definition.output_schema = OutputSchema::Omitted;
    definition
}

/// A tool that changes nothing.
fn reads(name: &str, description: &str) -> ToolDefinition {
    let mut definition = ToolDefinition::new(name, description);
    definition.annotations = ToolAnnotations { read_only: Some(true), ..ToolAnnotations::default() };
    definition
}

/// A tool that makes something and destroys nothing.
fn creates(name: &str, description: &str) -> ToolDefinition {
    let mut definition = ToolDefinition::new(name, description);
    definition.annotations = ToolAnnotations { destructive: Some(false), ..ToolAnnotations::default() };
    definition
}
