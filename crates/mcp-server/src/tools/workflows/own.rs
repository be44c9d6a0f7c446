//! Workflows as tools of their own: those whose sidecar says `tool = true`, kept as the files and the installed nodes are.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use mcp_protocol::wire::{ToolAnnotations, ToolDescription};
use mcp_protocol::{CallContext, DynTool, Server, ToolError, ToolReply};
use serde::Deserialize as _;
use serde_json::{Map, Value, json};
use tokio::sync::watch;
use tokio::time::Instant;
use workflow_analyzer::{ObjectInfo, analyze};

use super::parameters::{cut, is_image, schema};
use super::run::{Chosen, Run};
use crate::app::App;
use crate::backend::Installed;
use crate::catalog::descriptor::RESERVED;
use crate::catalog::expose::{self, Parameter};
use crate::catalog::{Broken, Catalog, Entry, Origin, Unusable, Workflow};
use crate::error::ServerError;
use crate::jobs;
use crate::resources::Address;
use crate::tools::arguments::{Queueing, delivery};
use crate::tools::{NAMES, principal};

/// More tools than this leave an agent no room to think.
const MAX_TOOLS: usize = 32;
/// Parameters of a tool whose sidecar names none.
const MAX_INFERRED: usize = 16;
/// What a sidecar may expose and no tool takes unasked: it is meant as it is, or of no use to an agent.
const LEFT_OUT: [&str; 7] =
    ["filename_prefix", "vae", "clip", "clip_type", "clip_skip", "clip_vision", "audio_encoder"];
/// Of a description, in characters.
const MAX_DESCRIPTION: usize = 400;

/// The workflows' tools as they are now.
#[derive(Debug, Default)]
pub(crate) struct OwnTools {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    tools: Wanted,
    refused: Vec<Broken>,
}

impl OwnTools {
    /// What `tools/list` says of them.
    pub(crate) fn descriptions(&self) -> Vec<ToolDescription> {
        self.lock().tools.iter().map(|(_, description)| description.clone()).collect()
    }

    /// The workflows that would be tools and can't, and those whose sidecar doesn't fit what ComfyUI has.
    pub(crate) fn refused(&self) -> Vec<Broken> {
        self.lock().refused.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Adds the tools of the workflows, and keeps them as the workflows are until the server stops.
pub(crate) fn start(app: &Arc<App>, server: &Server) {
    let catalogs = app.catalog.subscribe();
    let catalog = Arc::clone(&catalogs.borrow());
    exchange(app, server, &catalog, None);
    tokio::spawn(keep(Arc::clone(app), server.clone(), catalogs, catalog));
}

async fn keep(
    app: Arc<App>,
    server: Server,
    mut catalogs: watch::Receiver<Arc<Catalog>>,
    mut told: Arc<Catalog>,
) {
    let mut asked_at: Option<Instant> = None;
    loop {
        tokio::select! {
            () = app.stopping.cancelled() => return,
            changed = catalogs.changed() => if changed.is_err() { return },
            () = app.pool.asked_after(asked_at) => {}
        }
        let catalog = Arc::clone(&catalogs.borrow_and_update());
        let installed = app.pool.known();
        asked_at = installed.as_ref().map(|installed| installed.asked_at);
        let (of, with, now) = (Arc::clone(&app), server.clone(), Arc::clone(&catalog));
        let work = move || exchange(&of, &with, &now, installed.as_deref());
        if let Err(error) = app.off_runtime(work).await {
            tracing::warn!(%error, "the tools of the workflows can't be made anew");
        }
        tell(&app, &told, &catalog);
        told = catalog;
    }
}

/// Tells those who listen which workflows have changed.
fn tell(app: &App, before: &Catalog, now: &Catalog) {
    let notifier = app.updates.notifier();
    let changed: Vec<_> = now.changes_since(before).collect();
    for name in &changed {
        notifier.resource_updated(&Address::Workflow((*name).to_owned()).to_string());
    }
    if !changed.is_empty() {
        notifier.resources_changed();
    }
}

/// Makes the tools what the catalog says.
fn exchange(app: &Arc<App>, server: &Server, catalog: &Catalog, installed: Option<&Installed>) {
    let info = installed.map(|installed| &installed.info);
    let (wanted, mut refused) = wanted(catalog, info);
    refused.extend(info.map(|info| unfit(catalog, info)).unwrap_or_default());
    let (before, known) = {
        let mut state = app.own_tools.lock();
        let before = mem::replace(&mut state.tools, wanted.clone());
        (before, mem::replace(&mut state.refused, refused.clone()))
    };
    for broken in refused.iter().filter(|broken| !known.contains(broken)) {
        tracing::warn!(workflow = %broken.name, problem = %broken.problem, "a workflow can't be used as its sidecar says");
    }
    // Two workflows may be told alike, and a tool runs its own.
    let gone = before.iter().filter(|tool| !wanted.contains(tool));
    let gone: Vec<_> = gone.map(|(_, description)| description.name.clone()).collect();
    let new = wanted.into_iter().filter(|tool| !before.contains(tool));
    let new = new.map(|(workflow, description)| {
        Box::new(WorkflowTool { app: Arc::clone(app), workflow, description }) as Box<dyn DynTool>
    });
    let new: Vec<_> = new.collect();
    if gone.is_empty() && new.is_empty() {
        return;
    }
    tracing::info!(gone = gone.len(), new = new.len(), "the tools of the workflows have changed");
    for error in server.exchange_tools(&gone, new) {
        tracing::warn!(%error, "a workflow can't be a tool");
    }
}

type Wanted = Vec<(String, ToolDescription)>;

/// The tools that the catalog asks for, each with the name of its workflow, and those that can't be.
fn wanted(catalog: &Catalog, info: Option<&ObjectInfo>) -> (Wanted, Vec<Broken>) {
    let (mut wanted, mut refused) = (Wanted::new(), Vec::new());
    let mut taken: BTreeSet<String> = NAMES.iter().map(|name| (*name).to_owned()).collect();
    for entry in catalog.iter().filter(|entry| entry.descriptor.tool) {
        let mut refuse = |problem: String| refused.push(Broken { name: entry.name.clone(), problem });
        let name = tool_name(&entry.name);
        if wanted.len() >= MAX_TOOLS {
            refuse(format!("it is no tool: there are {MAX_TOOLS}, which is the most; run_workflow runs it"));
        } else if taken.contains(&name) {
            refuse(format!("it is no tool: there is a tool `{name}` already; rename the file"));
        } else {
            match described(entry, &name, info) {
                Ok(description) => {
                    wanted.push((entry.name.clone(), description));
                    taken.insert(name);
                }
                // It becomes one when ComfyUI is known.
                Err(Unusable::Waiting) => {}
                Err(unusable) => refuse(unusable.to_string()),
            }
        }
    }
    (wanted, refused)
}

/// The workflows that are no tools and whose sidecar doesn't fit the graph: that shows with what ComfyUI has.
fn unfit(catalog: &Catalog, info: &ObjectInfo) -> Vec<Broken> {
    let exposing = |entry: &&Arc<Entry>| !entry.descriptor.tool && !entry.descriptor.parameters.is_empty();
    let problems = catalog.iter().filter(exposing).filter_map(|entry| match entry.workflow(Some(info)) {
        Err(Unusable::Wrong(problem)) => Some(Broken { name: entry.name.clone(), problem }),
        Ok(_) | Err(Unusable::Waiting) => None,
    });
    problems.collect()
}

/// The tool as it is with what is installed. Some clients list the tools once, when ComfyUI isn't known yet: they are told
/// what its own nodes take.
fn described(entry: &Entry, name: &str, info: Option<&ObjectInfo>) -> Result<ToolDescription, Unusable> {
    let workflow = entry.workflow(info)?;
    if let Some(info) = info {
        return Ok(description(name, &workflow, info));
    }
    let well_known = ObjectInfo::well_known();
    Ok(description(name, &entry.workflow(Some(&well_known)).unwrap_or(workflow), &well_known))
}

/// A name that a tool can have (2025-11-25, server/tools).
fn tool_name(workflow: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.') { c } else { '_' };
    workflow.chars().take(64).map(plain).collect()
}

fn description(name: &str, workflow: &Workflow, info: &ObjectInfo) -> ToolDescription {
    let analysis = analyze(&workflow.graph, info);
    let mut parameters = expose::settable(workflow, &analysis);
    if workflow.parameters.is_empty() {
        let is_left_out = |name: &str| LEFT_OUT.iter().any(|left| is_one_of(name, left));
        parameters.retain(|parameter| !is_left_out(&parameter.name));
        parameters.truncate(MAX_INFERRED);
    }
    // In a shipped workflow the names of images are placeholders.
    let is_required = |parameter: &&Parameter| {
        parameter.required || (workflow.origin == Origin::Shipped && is_image(&parameter.kind))
    };
    let required: Vec<_> = parameters.iter().filter(is_required).map(|one| one.name.as_str()).collect();
    let mut properties: Map<_, _> =
        parameters.iter().map(|parameter| (parameter.name.clone(), schema(parameter))).collect();
    properties.extend(queueing());
    let mut input_schema = json!({
        "type": "object", "properties": properties, "additionalProperties": false,
    });
    if !required.is_empty() {
        input_schema["required"] = required.into();
    }
    let text = workflow.description.clone().or_else(|| workflow.descriptor.task.clone());
    let text = text.unwrap_or_else(|| format!("Run the workflow {}.", workflow.name));
    ToolDescription {
        name: name.to_owned(),
        title: workflow.descriptor.title.clone(),
        description: Some(cut(&text, MAX_DESCRIPTION)),
        input_schema,
        output_schema: None,
        annotations: Some(ToolAnnotations { destructive: Some(false), ..ToolAnnotations::default() }),
        icons: Vec::new(),
    }
}

/// Whether a parameter is of this role: `vae`, `vae_2` and so on.
fn is_one_of(name: &str, role: &str) -> bool {
    let rest = name.strip_prefix(role).map(|rest| rest.strip_prefix('_').unwrap_or(rest));
    rest.is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()))
}

/// What every tool that makes a job takes; [`RESERVED`] keeps the names free.
fn queueing() -> [(String, Value); 4] {
    let schemas = [
        json!({"type": "integer", "minimum": -100, "maximum": 100}),
        json!({"type": "number", "minimum": 0, "maximum": 3600}),
        json!({"type": "string"}),
        json!({"type": "boolean"}),
    ];
    let mut names = RESERVED.iter().map(|name| (*name).to_owned());
    schemas.map(|schema| (names.next().unwrap_or_default(), schema))
}

/// A workflow as a tool.
struct WorkflowTool {
    app: Arc<App>,
    workflow: String,
    description: ToolDescription,
}

#[async_trait]
impl DynTool for WorkflowTool {
    fn description(&self) -> ToolDescription {
        self.description.clone()
    }

    async fn call(
        &self,
        cx: CallContext,
        mut arguments: Map<String, Value>,
    ) -> Result<ToolReply<Value>, ToolError> {
        let (app, principal) = (&self.app, principal(&cx)?);
        let how = RESERVED.iter().filter_map(|name| arguments.remove_entry(*name)).collect();
        let queueing = Queueing::deserialize(Value::Object(how))
            .map_err(|error| ToolError::new(ToolError::INVALID_ARGUMENTS, error.to_string()))?;
        let tool = self.description.name.clone();
        let delivery = delivery(&tool, queueing, &arguments).await?;
        if let Some(reply) = jobs::repeated(app, &cx, &principal, &delivery).await? {
            return untyped(reply);
        }
        let run = Run {
            tool,
            chosen: Chosen::Stored(app.catalog.current(), self.workflow.clone()),
            parameters: arguments,
            delivery,
            fields: "",
        };
        untyped(run.start(app, &cx, &principal).await?)
    }
}

fn untyped<T: serde::Serialize>(reply: ToolReply<T>) -> Result<ToolReply<Value>, ToolError> {
    let output = serde_json::to_value(reply.output).map_err(ServerError::internal)?;
    Ok(ToolReply { output, content: reply.content, error: reply.error, task: reply.task })
}
