//! `list_workflows`.

use std::sync::{Arc, Mutex, PoisonError};

use mcp_protocol::{CallContext, Tool, ToolDefinition, ToolError, ToolReply};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::time::Instant;
use workflow_analyzer::ObjectInfo;

use super::{WorkflowEntry, entry};
use crate::app::App;
use crate::catalog::{Broken, Catalog};
use crate::error::ServerError;
use crate::tools::tells;

/// Workflows that one answer has room for.
const MAX_LISTED: usize = 100;

/// Lists what can be run by name.
pub(crate) struct ListWorkflows {
    app: Arc<App>,
    listed: Mutex<Option<Listed>>,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct ListArgs {
    /// Part of a name or description
    search: Option<String>,
}

/// The workflows.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct WorkflowList {
    #[schemars(with = "Vec<Map<String, Value>>")]
    workflows: Vec<WorkflowEntry>,
    /// How many were found beside them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(skip)]
    more: Option<usize>,
    /// Files that could not be used.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(skip)]
    broken: Vec<BrokenEntry>,
}

#[derive(Debug, Serialize)]
struct BrokenEntry {
    name: String,
    problem: String,
}

/// All entries, as of one catalog and of what was installed at a time; `None` while nothing was known.
#[derive(Clone)]
struct Listed {
    asked_at: Option<Instant>,
    generation: u64,
    entries: Arc<Vec<WorkflowEntry>>,
}

impl ListWorkflows {
    pub(crate) fn new(app: &Arc<App>) -> Self {
        Self { app: Arc::clone(app), listed: Mutex::new(None) }
    }

    /// The entries, made anew only when ComfyUI was asked anew or a file has changed.
    pub(crate) async fn entries(&self) -> Result<Arc<Vec<WorkflowEntry>>, ServerError> {
        let catalog = self.app.catalog.current();
        let installed = self.app.pool.installed().await.ok();
        let asked_at = installed.as_ref().map(|installed| installed.asked_at);
        let generation = catalog.generation();
        let listed = self.listed.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let is_current = |listed: &Listed| listed.asked_at == asked_at && listed.generation == generation;
        if let Some(listed) = listed.filter(is_current) {
            return Ok(listed.entries);
        }
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
        tells("list_workflows", "The stored workflows, and what is missing for those that can't run here.")
    }

    async fn call(&self, _: CallContext, args: Self::Args) -> Result<ToolReply<WorkflowList>, ToolError> {
        let search = args.search.unwrap_or_default().to_lowercase();
        // Of a folder on another machine no change is told.
        let live = Arc::clone(&self.app.catalog);
        let looked = tokio::task::spawn_blocking(move || live.refresh());
        looked.await.map_err(ServerError::internal)?;
        let entries = self.entries().await?;
        let found: Vec<_> = entries.iter().filter(|entry| entry.is_found(&search)).collect();
        let more = found.len().checked_sub(MAX_LISTED).filter(|more| *more > 0);
        let workflows = found.into_iter().take(MAX_LISTED).cloned().collect();
        let catalog = self.app.catalog.current();
        let mut broken: Vec<_> = catalog.broken().iter().map(BrokenEntry::from).collect();
        broken.extend(self.app.own_tools.refused().iter().map(BrokenEntry::from));
        broken.truncate(MAX_LISTED);
        Ok(WorkflowList { workflows, more, broken }.into())
    }
}

impl From<&Broken> for BrokenEntry {
    fn from(file: &Broken) -> Self {
        Self { name: file.name.clone(), problem: file.problem.clone() }
    }
}

impl WorkflowEntry {
    /// `search` is in lower case.
    fn is_found(&self, search: &str) -> bool {
        let texts = [Some(&self.name), self.title.as_ref(), self.description.as_ref(), self.task.as_ref()];
        texts.into_iter().flatten().any(|text| text.to_lowercase().contains(search))
    }
}

/// What can run comes first, with its parameters; of what can't, only the reason is told.
fn entries(catalog: &Catalog, info: Option<&ObjectInfo>) -> Vec<WorkflowEntry> {
    let mut entries: Vec<_> = catalog.iter().map(|stored| entry(stored, info)).collect();
    for entry in entries.iter_mut().filter(|entry| entry.runnable == Some(false)) {
        entry.parameters.clear();
    }
    entries.sort_by_key(|entry| entry.runnable == Some(false));
    entries
}
