//! `list_workflows` and `run_workflow`.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

use auth::Principal;
use mcp_protocol::{CallContext, Tool, ToolDefinition, ToolError, ToolReply};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::time::Instant;
use workflow_analyzer::{InputKind, ObjectInfo, analyze};

use super::arguments::{Queueing, delivery};
use super::{creates, files, principal, reads};
use crate::app::App;
use crate::catalog::{Catalog, Origin, Workflow};
use crate::error::ServerError;
use crate::inputs;
use crate::jobs;
use crate::plan::{self, Files, GraphRequest, Upload};
use crate::views::JobReply;

/// Lists what can be run by name.
pub(super) struct ListWorkflows {
    app: Arc<App>,
    listed: Mutex<Option<Listed>>,
}
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

/// A workflow as `list_workflows` and `comfy://workflows/{name}` show it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct WorkflowEntry {
    pub(crate) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    pub(crate) parameters: Vec<String>,
    /// Whether ComfyUI has all that it needs but the images that a call gives; unknown while ComfyUI can't be reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    runnable: Option<bool>,
}

#[derive(Debug, Serialize)]
struct BrokenEntry {
    name: String,
    problem: String,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
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

/// All entries, as of one catalog and what was installed at a time; `None` while nothing was known.
#[derive(Clone)]
struct Listed {
    asked_at: Option<Instant>,
    generation: u64,
    entries: Arc<Vec<WorkflowEntry>>,
}

impl ListWorkflows {
    pub(super) fn new(app: &Arc<App>) -> Self {
        Self { app: Arc::clone(app), listed: Mutex::new(None) }
    }

    /// The entries, made anew only when ComfyUI was asked anew.
    pub(super) async fn entries(&self) -> Result<Arc<Vec<WorkflowEntry>>, ServerError> {
        let installed = self.app.pool.installed().await.ok();
        let asked_at = installed.as_ref().map(|installed| installed.asked_at);
        let listed = self.listed.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let catalog = self.app.catalog.current();
        let same = |listed: &Listed| (listed.asked_at, listed.generation) == (asked_at, catalog.generation());
        if let Some(listed) = listed.filter(same) {
            return Ok(listed.entries);
        }
        let generation = catalog.generation();
        let make = move || entries(&catalog, installed.as_deref().map(|installed| &installed.info));
        let entries = Arc::new(self.app.off_runtime(make).await?);
        let listed = Listed { asked_at, generation, entries: Arc::clone(&entries) };
        *self.listed.lock().unwrap_or_else(PoisonError::into_inner) = Some(listed);
        Ok(entries)
    }
}

impl Tool for ListWorkflows {
    type Args = ListArgs;
    type Output = WorkflowList;

    fn definition(&self) -> ToolDefinition {
        reads("list_workflows", "The workflows that run_workflow runs, with their parameters.")
    }

    async fn call(&self, _: CallContext, args: Self::Args) -> Result<ToolReply<WorkflowList>, ToolError> {
        let search = args.search.unwrap_or_default().to_lowercase();
        let found = |entry: &&WorkflowEntry| {
            let description = entry.description.as_deref().unwrap_or_default();
            entry.name.to_lowercase().contains(&search) || description.to_lowercase().contains(&search)
        };
        let entries = self.entries().await?;
        let broken = self.app.catalog.current();
        let broken = broken.broken().iter();
        let broken =
            broken.map(|file| BrokenEntry { name: file.name.clone(), problem: file.problem.clone() });
        let workflows = entries.iter().filter(found).cloned().collect();
        Ok(WorkflowList { workflows, broken: broken.collect() }.into())
    }
}

fn entries(catalog: &Catalog, info: Option<&ObjectInfo>) -> Vec<WorkflowEntry> {
    catalog.iter().filter_map(|stored| Some(entry(&stored.workflow(info).ok()?, info))).collect()
}

/// What is said of a workflow. Takes a core for a while.
pub(crate) fn entry(workflow: &Workflow, info: Option<&ObjectInfo>) -> WorkflowEntry {
    let nothing = ObjectInfo::default();
    let parameters = analyze(&workflow.graph, info.unwrap_or(&nothing)).parameters;
    WorkflowEntry {
        name: workflow.name.clone(),
        description: workflow.description.clone(),
        parameters: parameters.into_iter().map(|parameter| parameter.name).collect(),
        runnable: info.map(|info| plan::is_runnable(info, workflow)),
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

    async fn call(&self, cx: CallContext, mut args: Self::Args) -> Result<ToolReply<JobReply>, ToolError> {
        let (app, principal) = (&self.0, principal(&cx)?);
        let delivery = delivery("run_workflow", mem::take(&mut args.queueing), &args).await?;
        if let Some(reply) = jobs::repeated(app, &cx, &principal, &delivery).await? {
            return Ok(reply);
        }
        let workflow = chosen(app, args.workflow.as_deref(), args.graph).await?;
        let mut parameters = args.parameters.unwrap_or_default();
        let uploads = take_images(app, &principal, &workflow, &mut parameters).await?;
        let files = files(app);
        let plan = app.planned(move |info| {
            let (parameters, uploads) = (parameters.clone(), uploads.clone());
            let request = GraphRequest { workflow: &workflow, parameters, uploads, files };
            plan::workflow("run_workflow", info, request)
        });
        Ok(jobs::run(app, &cx, &principal, plan.await?, delivery).await?)
    }
}

/// The named workflow or the graph of the call: one of them, and not both.
async fn chosen(
    app: &App,
    name: Option<&str>,
    graph: Option<Map<String, Value>>,
) -> Result<Arc<Workflow>, ServerError> {
    let invalid = |field: &str, problem: &str| {
        Err(ServerError::InvalidArgument { field: field.into(), problem: problem.into() })
    };
    match (name, graph) {
        (Some(name), None) => {
            let (catalog, name) = (app.catalog.current(), name.to_owned());
            let installed = app.pool.installed().await.ok();
            let find =
                move || plan::find(&catalog, installed.as_deref().map(|installed| &installed.info), &name);
            app.off_runtime(find).await?.map(Arc::new)
        }
        (None, Some(graph)) => {
            let graph = app.off_runtime(move || plan::read_graph(&graph)).await??;
            let workflow = Workflow { name: "inline".into(), description: None, graph, origin: Origin::Call };
            Ok(Arc::new(workflow))
        }
        (Some(_), Some(_)) => invalid("graph", "give either `workflow` or `graph`, not both"),
        (None, None) => invalid("workflow", "give `workflow`, a name, or `graph`, a graph"),
    }
}

/// Turns the values of image parameters into names of the input folder. A name that ComfyUI has already stays, where
/// it may be loaded.
async fn take_images(
    app: &App,
    principal: &Principal,
    workflow: &Arc<Workflow>,
    parameters: &mut Map<String, Value>,
) -> Result<Vec<Upload>, ServerError> {
    if parameters.is_empty() {
        return Ok(Vec::new());
    }
    let installed = app.pool.installed().await?;
    let (info, graph) = (Arc::clone(&installed), Arc::clone(workflow));
    let images = app.off_runtime(move || image_inputs(&info.info, &graph)).await?;
    let mut uploads = Vec::new();
    // An image under two names is one.
    let mut taken: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in parameters.iter_mut() {
        let (true, Some(text)) = (images.contains(name), value.as_str()) else { continue };
        if files(app) == Files::All && is_there(&installed.info, text) {
            continue;
        }
        let reference = if let Some(reference) = taken.get(text) {
            reference.clone()
        } else {
            let picture = inputs::picture(app, principal, &format!("parameters.{name}"), text).await?;
            uploads.push(Upload::from(&picture));
            taken.insert(text.to_owned(), picture.reference.clone());
            picture.reference
        };
        *value = reference.into();
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

/// Whether ComfyUI has a file of this name: it lists those at the top of its input folder, and `name [output]` says
/// itself that it is one.
fn is_there(info: &ObjectInfo, name: &str) -> bool {
    let annotated = ["[input]", "[output]", "[temp]"].iter().any(|folder| name.ends_with(folder));
    annotated || info.options("LoadImage", "image").contains(&name)
}
