//! `save_workflow`.

use std::sync::Arc;

use auth::Principal;
use mcp_protocol::{CallContext, Tool, ToolDefinition, ToolError, ToolReply};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use workflow_analyzer::metadata;

use super::{ParameterView, WorkflowEntry, entry};
use crate::app::App;
use crate::artifacts;
use crate::catalog::expose;
use crate::catalog::save::{SaveError, Saving, plain_name};
use crate::error::ServerError;
use crate::images;
use crate::inputs;
use crate::plan;
use crate::tools::{principal, tells};

/// The largest picture that a workflow is looked for in, in bytes.
const MAX_PICTURE: u64 = 50 << 20;
/// The largest workflow that is saved, in bytes of JSON.
const MAX_DOCUMENT: usize = 8 << 20;

/// Saves a workflow into the folder.
pub(crate) struct SaveWorkflow(pub(crate) Arc<App>);

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct SaveArgs {
    name: String,
    /// In ComfyUI's API or editor format
    graph: Option<Map<String, Value>>,
    /// Or a picture that ComfyUI made, as in img2img
    image: Option<String>,
    /// Replace one of this name
    overwrite: Option<bool>,
}

/// What was saved.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Saved {
    #[schemars(with = "Map<String, Value>")]
    workflow: WorkflowEntry,
    #[schemars(with = "Vec<Map<String, Value>>")]
    parameters: Vec<ParameterView>,
}

impl Tool for SaveWorkflow {
    type Args = SaveArgs;
    type Output = Saved;

    fn definition(&self) -> ToolDefinition {
        let text =
            "Store a workflow under a name for run_workflow. Tells its parameters and what is missing here.";
        let mut definition = tells("save_workflow", text);
        definition.annotations.read_only = Some(false);
        definition
    }

    async fn call(&self, cx: CallContext, args: Self::Args) -> Result<ToolReply<Saved>, ToolError> {
        let (app, principal) = (&self.0, principal(&cx)?);
        let name = plain_name(&args.name).map_err(|problem| invalid("name", problem))?.to_owned();
        let document = document(app, &principal, args.graph, args.image).await?;
        let client = app.settings.enable_auth.then(|| principal.client_id.clone());
        let installed = app.pool.installed().await.ok();
        let (live, overwrite) = (Arc::clone(&app.catalog), args.overwrite == Some(true));
        let save = move || {
            let checked = plan::read_document(&document)?;
            if let Some(installed) = &installed {
                let opened = checked.open(Some(&installed.info));
                let opened = opened.map_err(|problem| invalid("graph", problem.to_string()))?;
                plan::check_size(opened.graph.nodes.len())?;
            }
            let saving = Saving { name: &name, document: &document, client: client.as_deref(), overwrite };
            live.save(&saving).map_err(refused)?;
            let catalog = live.current();
            let is_broken = catalog.broken().iter().any(|broken| broken.name == name);
            let stored = catalog.get(&name).filter(|_| !is_broken).ok_or_else(|| unusable(&name))?;
            let info = installed.as_deref().map(|installed| &installed.info);
            let parameters = stored.workflow(info).map(|workflow| {
                let nothing = workflow_analyzer::ObjectInfo::default();
                let analysis = workflow_analyzer::analyze(&workflow.graph, info.unwrap_or(&nothing));
                expose::settable(&workflow, &analysis).iter().map(ParameterView::from).collect()
            });
            let parameters = parameters.unwrap_or_default();
            Ok::<_, ServerError>(Saved { workflow: entry(stored, info), parameters })
        };
        let saved = app.off_runtime(save).await??;
        tracing::info!(workflow = %saved.workflow.name, client = %principal.client_id, "a workflow was saved");
        Ok(saved.into())
    }
}

/// The file is broken for a reason that only its sidecar, which stays, can have.
fn unusable(name: &str) -> ServerError {
    let problem = "it was saved, and what stands beside it in the folder can't be used; see list_workflows";
    ServerError::BrokenWorkflow { name: name.to_owned(), problem: problem.to_owned() }
}

fn invalid(field: &str, problem: impl Into<String>) -> ServerError {
    ServerError::InvalidArgument { field: field.to_owned(), problem: problem.into() }
}

fn refused(error: SaveError) -> ServerError {
    match error {
        SaveError::Io(cause) => {
            tracing::warn!(error = %cause, "a workflow can't be saved");
            invalid("name", "the server can't write into its workflow folder; its log says why")
        }
        other => invalid("name", other.to_string()),
    }
}

/// The document of the call: a graph, or what a picture holds.
async fn document(
    app: &App,
    principal: &Principal,
    graph: Option<Map<String, Value>>,
    image: Option<String>,
) -> Result<Value, ServerError> {
    let document = match (graph, image) {
        (Some(graph), None) => Value::Object(graph),
        (None, Some(image)) => of_picture(app, principal, image).await?,
        (Some(_), Some(_)) => return Err(invalid("image", "give either `graph` or `image`, not both")),
        (None, None) => {
            return Err(invalid("graph", "give `graph`, a workflow, or `image`, a picture with one"));
        }
    };
    let length = app.off_runtime(move || (document.to_string().len(), document)).await?;
    match length {
        (bytes, document) if bytes <= MAX_DOCUMENT => Ok(document),
        (bytes, _) => {
            Err(invalid("graph", format!("it is {bytes} bytes of JSON; at most {MAX_DOCUMENT} are saved")))
        }
    }
}

async fn of_picture(app: &App, principal: &Principal, image: String) -> Result<Value, ServerError> {
    let bytes = match inputs::artifact_id(&image, app.base_url().as_deref()) {
        Some(id) => {
            let artifact = artifacts::owned(app, principal, id).await?;
            if artifact.bytes > MAX_PICTURE {
                let problem = format!("it is {} bytes long; at most {MAX_PICTURE} are read", artifact.bytes);
                return Err(invalid("image", problem));
            }
            artifacts::bytes(app, &artifact.id, MAX_PICTURE).await?
        }
        None => images::bytes_of(image)
            .await
            .map_err(|source| ServerError::InvalidImage { field: "image".into(), source })?,
    };
    let read = app.off_runtime(move || metadata::read(&bytes)).await?;
    let found = read.map_err(|error| invalid("image", error.to_string()))?;
    let mut document = found.into_document().ok_or_else(|| invalid("image", "it holds no workflow"))?;
    plan::forget_folder(&mut document);
    Ok(document)
}
