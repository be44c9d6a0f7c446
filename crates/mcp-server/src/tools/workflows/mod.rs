//! The tools for stored workflows, and what is said of a workflow elsewhere too.

mod describe;
mod list;
mod own;
mod parameters;
mod run;
mod save;

use serde::Serialize;
use workflow_analyzer::{ObjectInfo, analyze};

pub(super) use self::describe::DescribeWorkflow;
pub(crate) use self::describe::Needs;
pub(super) use self::list::ListWorkflows;
pub(crate) use self::own::{OwnTools, start as start_own};
pub(crate) use self::parameters::ParameterView;
use self::parameters::cut;
pub(super) use self::run::RunWorkflow;
pub(super) use self::save::SaveWorkflow;
use crate::catalog::{Entry, Workflow, expose};
use crate::plan;

/// Reasons for which a workflow can't run that a list has room for.
const WHY_NOT: usize = 2;
/// Of one of them, in characters.
const MAX_REASON: usize = 160;

/// A workflow as `list_workflows` and `comfy://workflows/{name}` show it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct WorkflowEntry {
    pub(crate) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    task: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) parameters: Vec<String>,
    /// Whether ComfyUI has all that it needs but the images that a call gives; unknown while ComfyUI can't be reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    runnable: Option<bool>,
    /// Why it can't run.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    missing: Vec<String>,
}

/// What is said of a stored workflow. Takes a core for a while.
pub(crate) fn entry(stored: &Entry, info: Option<&ObjectInfo>) -> WorkflowEntry {
    match stored.workflow(info) {
        Ok(workflow) => facts(&workflow, info),
        Err(unusable) => WorkflowEntry {
            name: stored.name.clone(),
            title: stored.descriptor.title.clone(),
            description: stored.description.clone(),
            task: stored.descriptor.task.clone(),
            parameters: Vec::new(),
            runnable: Some(false),
            missing: vec![unusable.to_string()],
        },
    }
}

/// The same of a workflow whose graph is known.
pub(crate) fn facts(workflow: &Workflow, info: Option<&ObjectInfo>) -> WorkflowEntry {
    let nothing = ObjectInfo::default();
    let analysis = analyze(&workflow.graph, info.unwrap_or(&nothing));
    let mut missing = info.map(|info| plan::reasons(info, workflow)).unwrap_or_default();
    let runnable = info.is_some().then_some(missing.is_empty());
    let more = missing.len().saturating_sub(WHY_NOT);
    missing.truncate(WHY_NOT);
    for reason in &mut missing {
        *reason = cut(reason, MAX_REASON);
    }
    if more > 0 {
        missing.push(format!("{more} more, see describe_workflow"));
    }
    WorkflowEntry {
        name: workflow.name.clone(),
        title: workflow.descriptor.title.clone(),
        description: workflow.description.clone(),
        task: Some(workflow.descriptor.task.clone().unwrap_or_else(|| analysis.task.as_str().to_owned())),
        parameters: expose::settable(workflow, &analysis).into_iter().map(|one| one.name).collect(),
        runnable,
        missing,
    }
}
