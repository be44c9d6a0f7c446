//! `list_workflows` and `run_workflow`.

use std::collections::BTreeSet;
use std::sync::Arc;

use auth::Principal;
use mcp_protocol::{CallContext, Tool, ToolDefinition, ToolError, ToolReply};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use workflow_analyzer::{Graph, InputKind, ObjectInfo, analyze};

use super::arguments::Queueing;
use super::{creates, principal, reads};
use crate::app::App;
use crate::catalog::{Origin, Workflow};
use crate::error::ServerError;
use crate::inputs;
use crate::jobs;
use crate::plan::{self, GraphRequest, Upload};
use crate::views::JobReply;

/// Lists what can be run by name.
pub(super) struct ListWorkflows(pub(super) Arc<App>);
/// Runs a stored workflow, or a graph that the call brings.
pub(super) struct RunWorkflow(pub(super) Arc<App>);

#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct ListArgs {
    /// Part of a name or description
    search: Option<String>,
}

/// The workflows.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct WorkflowList {
    #[schemars(with = "Vec<Map<String, Value>>")]
    workflows: Vec<WorkflowEntry>,
    /// Files that could not be used.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(skip)]
    broken: Vec<BrokenEntry>,
}

#[derive(Debug, Serialize)]
struct WorkflowEntry {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    parameters: Vec<String>,
    /// Whether ComfyUI has all that it needs; unknown while ComfyUI can't be reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    runnable: Option<bool>,
}

#[derive(Debug, Serialize)]
struct BrokenEntry {
    name: String,
    problem: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct RunArgs {
    /// Name from list_workflows
    workflow: Option<String>,
    /// Or a graph in ComfyUI's API format
    graph: Option<Map<String, Value>>,
    /// By parameter name or node.input; an image is an artifact id or URI, data: URI, or base64
    parameters: Option<Map<String, Value>>,
    #[serde(flatten)]
    queueing: Queueing,
}

impl Tool for ListWorkflows {
    type Args = ListArgs;
    type Output = WorkflowList;

    fn definition(&self) -> ToolDefinition {
        reads("list_workflows", "The workflows that run_workflow runs, with their parameters.")
    }

    async fn call(&self, _: CallContext, args: Self::Args) -> Result<ToolReply<WorkflowList>, ToolError> {
        let installed = self.0.pool.installed().await.ok();
        let search = args.search.unwrap_or_default().to_lowercase();
        let found = |workflow: &&Workflow| {
            let description = workflow.description.as_deref().unwrap_or_default();
            workflow.name.to_lowercase().contains(&search) || description.to_lowercase().contains(&search)
        };
        let workflows = self.0.catalog.iter().filter(found);
        let workflows =
            workflows.map(|workflow| entry(workflow, installed.as_deref().map(|known| &known.info)));
        let broken = self.0.catalog.broken().iter();
        let broken =
            broken.map(|file| BrokenEntry { name: file.name.clone(), problem: file.problem.clone() });
        Ok(WorkflowList { workflows: workflows.collect(), broken: broken.collect() }.into())
    }
}

fn entry(workflow: &Workflow, info: Option<&ObjectInfo>) -> WorkflowEntry {
    let nothing = ObjectInfo::default();
    let parameters = analyze(&workflow.graph, info.unwrap_or(&nothing)).parameters;
    let request = || GraphRequest { workflow, parameters: Map::new(), uploads: Vec::new() };
    WorkflowEntry {
        name: workflow.name.clone(),
        description: workflow.description.clone(),
        parameters: parameters.into_iter().map(|parameter| parameter.name).collect(),
        runnable: info.map(|info| plan::workflow("list_workflows", info, request()).is_ok()),
    }
}

impl Tool for RunWorkflow {
    type Args = RunArgs;
    type Output = JobReply;

    fn definition(&self) -> ToolDefinition {
        creates(
            "run_workflow",
            "Run a stored workflow, or a graph, with parameters set. Other arguments as in generate_image.",
        )
    }

    async fn call(&self, cx: CallContext, args: Self::Args) -> Result<ToolReply<JobReply>, ToolError> {
        let app = &self.0;
        let principal = principal(&cx)?;
        let workflow = chosen(app, args.workflow.as_deref(), args.graph)?;
        let mut parameters = args.parameters.unwrap_or_default();
        let installed = app.pool.installed().await.map_err(ServerError::from)?;
        let uploads = take_images(app, &principal, &installed.info, &workflow, &mut parameters).await?;
        let request =
            || GraphRequest { workflow: &workflow, parameters: parameters.clone(), uploads: uploads.clone() };
        let plan = app.planned(|info| plan::workflow("run_workflow", info, request())).await?;
        Ok(jobs::run(app, &cx, &principal, &plan, args.queueing.into()).await?)
    }
}

/// The named workflow or the graph of the call: one of them, and not both.
fn chosen(app: &App, name: Option<&str>, graph: Option<Map<String, Value>>) -> Result<Workflow, ServerError> {
    let invalid =
        |field: &str, problem: String| ServerError::InvalidArgument { field: field.into(), problem };
    match (name, graph) {
        (Some(name), None) => plan::find(&app.catalog, name).cloned(),
        (None, Some(graph)) => {
            let graph = Graph::from_json(&Value::Object(graph))
                .map_err(|error| invalid("graph", error.to_string()))?;
            Ok(Workflow { name: "inline".into(), description: None, graph, origin: Origin::File })
        }
        (Some(_), Some(_)) => Err(invalid("graph", "give either `workflow` or `graph`, not both".into())),
        (None, None) => Err(invalid("workflow", "give `workflow`, a name, or `graph`, a graph".into())),
    }
}

/// Turns the values of image parameters into names of the input folder. A name that ComfyUI has already stays.
async fn take_images(
    app: &App,
    principal: &Principal,
    info: &ObjectInfo,
    workflow: &Workflow,
    parameters: &mut Map<String, Value>,
) -> Result<Vec<Upload>, ServerError> {
    let images = image_inputs(info, workflow);
    let mut uploads = Vec::new();
    for (name, value) in parameters.iter_mut() {
        let (true, Some(text)) = (images.contains(name), value.as_str()) else { continue };
        if installed_image(info, text) {
            continue;
        }
        let picture = inputs::picture(app, principal, "parameters", text).await?;
        *value = picture.reference.clone().into();
        uploads.push(Upload::from(&picture));
    }
    Ok(uploads)
}

/// The parameters, by name and as `node.input`, that name files of the input folder.
fn image_inputs(info: &ObjectInfo, workflow: &Workflow) -> BTreeSet<String> {
    let parameters = analyze(&workflow.graph, info).parameters;
    let named = parameters
        .into_iter()
        .filter(|parameter| matches!(parameter.kind, InputKind::Combo { upload: true, .. }))
        .map(|parameter| parameter.name);
    let addressed = workflow.graph.nodes.iter().flat_map(|(id, node)| {
        let uploads = move |input: &&String| {
            info.input(&node.class_type, input)
                .is_some_and(|spec| matches!(spec.kind, InputKind::Combo { upload: true, .. }))
        };
        node.inputs.keys().filter(uploads).map(move |input| format!("{id}.{input}"))
    });
    named.chain(addressed).collect()
}

fn installed_image(info: &ObjectInfo, name: &str) -> bool {
    info.options("LoadImage", "image").contains(&name)
}
