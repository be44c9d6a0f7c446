//! `list_models`.

use std::collections::BTreeMap;
use std::sync::Arc;

use mcp_protocol::{CallContext, Tool, ToolDefinition, ToolError, ToolReply};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use workflow_analyzer::ObjectInfo;

use super::tells;
use crate::app::App;
use crate::error::ServerError;
use crate::models::{KINDS, Kind};

/// Lists model files, samplers and schedulers.
pub(super) struct ListModels(pub(super) Arc<App>);

#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct ListModelsArgs {
    /// Such as checkpoints, loras, samplers; all if absent
    kind: Option<String>,
    /// Part of a name
    search: Option<String>,
}

/// Names by kind.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ModelList {
    models: BTreeMap<&'static str, Vec<String>>,
}

impl Tool for ListModels {
    type Args = ListModelsArgs;
    type Output = ModelList;

    fn definition(&self) -> ToolDefinition {
        tells("list_models", "Installed model files by kind, samplers and schedulers.")
    }

    async fn call(&self, _: CallContext, args: Self::Args) -> Result<ToolReply<ModelList>, ToolError> {
        let kinds: Vec<_> = match &args.kind {
            Some(kind) => Kind::named(kind).into_iter().collect(),
            None => KINDS.iter().collect(),
        };
        if kinds.is_empty() {
            let kind = args.kind.unwrap_or_default();
            let nearest = workflow_analyzer::nearest(&kind, KINDS.iter().map(|kind| kind.name), 3);
            let nearest = nearest.into_iter().map(str::to_owned).collect();
            return Err(ServerError::UnknownName { field: "kind".into(), name: kind, nearest }.into());
        }
        let installed = self.0.pool.installed().await.map_err(ServerError::from)?;
        let search = args.search.unwrap_or_default().to_lowercase();
        let models = kinds.into_iter().map(|kind| (kind.name, found(&installed.info, kind, &search)));
        Ok(ModelList { models: models.collect() }.into())
    }
}

fn found(info: &ObjectInfo, kind: &Kind, search: &str) -> Vec<String> {
    let names = kind.names(info).into_iter();
    names.filter(|name| name.to_lowercase().contains(search)).map(str::to_owned).collect()
}
