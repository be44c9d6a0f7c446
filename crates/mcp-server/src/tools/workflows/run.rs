//! `run_workflow`, and what it shares with the tools that are made of workflows.

use std::collections::BTreeMap;
use std::mem;
use std::sync::Arc;

use auth::Principal;
use mcp_protocol::{CallContext, Tool, ToolDefinition, ToolError, ToolReply};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use workflow_analyzer::ObjectInfo;

use super::parameters::cut;
use crate::app::App;
use crate::catalog::{Catalog, Entry, Unusable, Workflow};
use crate::error::ServerError;
use crate::inputs;
use crate::jobs::{self, Delivery};
use crate::plan::{self, Files, GraphRequest, Upload};
use crate::tools::arguments::{Queueing, delivery};
use crate::tools::{creates, files, principal};
use crate::views::JobReply;

/// More parameters than this are refused: each is looked up in the whole graph.
const MAX_PARAMETERS: usize = 512;
/// Of a parameter's name, in bytes.
const MAX_NAME: usize = 512;
/// Of a name that is too long, what an error shows, in characters.
const SHOWN_NAME: usize = 40;

/// Runs a stored workflow, or a graph that the call brings.
pub(crate) struct RunWorkflow(pub(crate) Arc<App>);

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct RunArgs {
    /// Name from list_workflows
    workflow: Option<String>,
    /// Or a graph in ComfyUI's API or editor format
    graph: Option<Map<String, Value>>,
    /// By parameter name, node.input or node title; images as in img2img
    parameters: Option<Map<String, Value>>,
    #[serde(flatten)]
    queueing: Queueing,
}

/// What is to be run.
#[derive(Clone)]
pub(super) enum Chosen {
    /// A stored workflow: looked up anew with what is installed.
    Stored(Arc<Catalog>, String),
    /// A graph of the call.
    Brought(Arc<Entry>),
}

/// A run that is asked for.
pub(super) struct Run<'a> {
    /// The tool that was called.
    pub(super) tool: String,
    pub(super) chosen: Chosen,
    pub(super) parameters: Map<String, Value>,
    pub(super) delivery: Delivery,
    /// What stands before the name of a parameter in an error.
    pub(super) fields: &'a str,
}

impl Chosen {
    fn workflow(&self, info: &ObjectInfo) -> Result<Workflow, ServerError> {
        match self {
            Self::Stored(catalog, name) => plan::find(catalog, Some(info), name),
            Self::Brought(entry) => entry.workflow(Some(info)).map_err(|unusable| match unusable {
                Unusable::Wrong(problem) => ServerError::InvalidArgument { field: "graph".into(), problem },
                Unusable::Waiting => ServerError::unusable(&entry.name, &unusable),
            }),
        }
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
        let run = Run {
            tool: "run_workflow".to_owned(),
            chosen: chosen(app, args.workflow, args.graph).await?,
            parameters: args.parameters.unwrap_or_default(),
            delivery,
            fields: "parameters.",
        };
        Ok(run.start(app, &cx, &principal).await?)
    }
}

/// The named workflow or the graph of the call: one of them, and not both.
async fn chosen(
    app: &App,
    name: Option<String>,
    graph: Option<Map<String, Value>>,
) -> Result<Chosen, ServerError> {
    let invalid = |field: &str, problem: &str| {
        Err(ServerError::InvalidArgument { field: field.into(), problem: problem.into() })
    };
    match (name, graph) {
        (Some(name), None) => Ok(Chosen::Stored(app.catalog.current(), name)),
        (None, Some(graph)) => {
            let document = app.off_runtime(move || plan::read_document(&Value::Object(graph))).await??;
            Ok(Chosen::Brought(Arc::new(Entry::of_call(document))))
        }
        (Some(_), Some(_)) => invalid("graph", "give either `workflow` or `graph`, not both"),
        (None, None) => invalid("workflow", "give `workflow`, a name, or `graph`, a graph"),
    }
}

impl Run<'_> {
    /// Queues the run and waits for it.
    pub(super) async fn start(
        mut self,
        app: &App,
        cx: &CallContext,
        principal: &Principal,
    ) -> Result<ToolReply<JobReply>, ServerError> {
        self.check_names()?;
        let uploads = self.take_images(app, principal).await?;
        let (tool, chosen, parameters, files) = (self.tool, self.chosen, self.parameters, files(app));
        let plan = app.planned(move |info| {
            let workflow = chosen.workflow(info)?;
            let (parameters, uploads) = (parameters.clone(), uploads.clone());
            plan::workflow(&tool, info, GraphRequest { workflow: &workflow, parameters, uploads, files })
        });
        jobs::run(app, cx, principal, plan.await?, self.delivery).await
    }

    /// Refuses more names, and longer ones, than any workflow has.
    fn check_names(&self) -> Result<(), ServerError> {
        let count = self.parameters.len();
        if count > MAX_PARAMETERS {
            let field = self.fields.strip_suffix('.').unwrap_or("arguments").to_owned();
            let problem = format!("it has {count} names, and at most {MAX_PARAMETERS} are taken");
            return Err(ServerError::InvalidArgument { field, problem });
        }
        if let Some(name) = self.parameters.keys().find(|name| name.len() > MAX_NAME) {
            let field = format!("{}{}", self.fields, cut(name, SHOWN_NAME));
            let problem = format!("its name has {} bytes, and at most {MAX_NAME} are taken", name.len());
            return Err(ServerError::InvalidArgument { field, problem });
        }
        Ok(())
    }

    /// Turns the values of image parameters into names of the input folder. A name that ComfyUI has already stays, where
    /// it may be loaded.
    async fn take_images(&mut self, app: &App, principal: &Principal) -> Result<Vec<Upload>, ServerError> {
        let texts = self.parameters.iter().filter(|(_, value)| value.is_string());
        let names: Vec<_> = texts.map(|(name, _)| name.clone()).collect();
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let chosen = self.chosen.clone();
        let find = move |info: &ObjectInfo| plan::images(info, &chosen.workflow(info)?, names.iter());
        let images = app.planned(find).await?;
        let mut uploads = Vec::new();
        // An image under two names is one.
        let mut taken: BTreeMap<String, String> = BTreeMap::new();
        for (name, value) in &mut self.parameters {
            let (true, Some(text)) = (images.contains(name), value.as_str()) else { continue };
            if files(app) == Files::All && is_there(&app.pool.installed().await?.info, text) {
                continue;
            }
            let reference = if let Some(reference) = taken.get(text) {
                reference.clone()
            } else {
                let picture =
                    inputs::picture(app, principal, &format!("{}{name}", self.fields), text).await?;
                uploads.push(Upload::from(&picture));
                taken.insert(text.to_owned(), picture.reference.clone());
                picture.reference
            };
            *value = reference.into();
        }
        Ok(uploads)
    }
}

/// Whether ComfyUI has a file of this name: it lists those at the top of its input folder, and `name [output]` says
/// itself that it is one.
fn is_there(info: &ObjectInfo, name: &str) -> bool {
    let annotated = ["[input]", "[output]", "[temp]"].iter().any(|folder| name.ends_with(folder));
    annotated || info.options("LoadImage", "image").contains(&name)
}
