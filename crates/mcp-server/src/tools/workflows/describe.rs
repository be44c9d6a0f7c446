//! `describe_workflow`.

use std::sync::Arc;

use mcp_protocol::{CallContext, Tool, ToolDefinition, ToolError, ToolReply};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use workflow_analyzer::{Analysis, ModelRef, ObjectInfo, analyze};

use super::ParameterView;
use crate::app::App;
use crate::catalog::shipped::ModelFile;
use crate::catalog::{Origin, Workflow, expose};
use crate::error::ServerError;
use crate::plan;
use crate::tools::tells;

/// Warnings that an answer has room for.
const MAX_WARNINGS: usize = 20;

/// Tells all of one workflow.
pub(crate) struct DescribeWorkflow(pub(crate) Arc<App>);

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct DescribeArgs {
    workflow: String,
}

/// A workflow.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Described {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    task: String,
    shipped: bool,
    #[schemars(with = "Vec<Map<String, Value>>")]
    parameters: Vec<ParameterView>,
    /// `random`: fresh unless given; `fixed`: the workflow's own.
    seed: &'static str,
    #[schemars(with = "Map<String, Value>")]
    needs: Needs,
    /// Unknown while ComfyUI can't be reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    runnable: Option<bool>,
    missing: Vec<String>,
    /// What of the editor's file couldn't be converted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(skip)]
    warnings: Vec<String>,
    /// The files that a shipped workflow lacks here, and where they are to be had.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(skip)]
    downloads: Vec<Download>,
    /// How much there is to compute: sampling steps of a picture of 512 by 512, roughly.
    cost: f64,
}

/// A model file that can be fetched.
#[derive(Debug, Serialize)]
struct Download {
    file: &'static str,
    folder: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<&'static str>,
}

impl From<&ModelFile> for Download {
    fn from(file: &ModelFile) -> Self {
        Self { file: file.file, folder: file.folder, url: file.url }
    }
}

/// What ComfyUI must have.
#[derive(Debug, Serialize)]
pub(crate) struct Needs {
    pub(crate) nodes: Vec<String>,
    pub(crate) models: Vec<Model>,
}

/// A model file.
#[derive(Debug, Serialize)]
pub(crate) struct Model {
    pub(crate) file: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) folder: String,
}

impl Needs {
    pub(crate) fn of(analysis: &Analysis) -> Self {
        let model = |model: &ModelRef| Model { file: model.name.clone(), folder: model.folder.clone() };
        Self {
            nodes: analysis.needs.classes.iter().cloned().collect(),
            models: analysis.needs.models.iter().map(model).collect(),
        }
    }
}

impl Tool for DescribeWorkflow {
    type Args = DescribeArgs;
    type Output = Described;

    fn definition(&self) -> ToolDefinition {
        let text = "A workflow's parameters with bounds and choices, what it needs and what is missing here.";
        tells("describe_workflow", text)
    }

    async fn call(&self, _: CallContext, args: Self::Args) -> Result<ToolReply<Described>, ToolError> {
        let app = &self.0;
        let catalog = app.catalog.current();
        let installed = app.pool.installed().await.ok();
        let describe = move || {
            let info = installed.as_deref().map(|installed| &installed.info);
            let workflow = plan::find(&catalog, info, &args.workflow)?;
            Ok::<_, ServerError>(description(&workflow, info))
        };
        Ok(app.off_runtime(describe).await??.into())
    }
}

fn description(workflow: &Workflow, info: Option<&ObjectInfo>) -> Described {
    let nothing = ObjectInfo::default();
    let analysis = analyze(&workflow.graph, info.unwrap_or(&nothing));
    let missing = info.map(|info| plan::reasons(info, workflow));
    let downloads = info.map(|info| plan::missing(info, workflow)).unwrap_or_default();
    let seed = analysis.parameter("seed").map(|seed| seed.bindings.as_slice()).unwrap_or_default();
    Described {
        name: workflow.name.clone(),
        title: workflow.descriptor.title.clone(),
        description: workflow.description.clone(),
        task: workflow.descriptor.task.clone().unwrap_or_else(|| analysis.task.as_str().to_owned()),
        shipped: workflow.origin == Origin::Shipped,
        parameters: expose::settable(workflow, &analysis).iter().map(ParameterView::from).collect(),
        seed: if workflow.draws_seed(seed) { "random" } else { "fixed" },
        needs: Needs::of(&analysis),
        runnable: missing.as_ref().map(Vec::is_empty),
        missing: missing.unwrap_or_default(),
        warnings: workflow.problems.iter().take(MAX_WARNINGS).cloned().collect(),
        downloads: downloads.into_iter().map(Download::from).collect(),
        cost: (analysis.cost * 10.0).round() / 10.0,
    }
}
