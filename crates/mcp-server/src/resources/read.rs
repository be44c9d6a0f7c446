//! `resources/read`.

use std::sync::Arc;
use std::time::Duration;

use auth::Principal;
use jiff::Timestamp;
use jsonrpsee::types::ErrorObjectOwned;
use mcp_protocol::session::CALLS_KEPT;
use mcp_protocol::wire::{CacheScope, ResourceContents};
use mcp_protocol::{CacheHints, CallContext, CallOutcome, CallRecord, ResourceReply, error};
use serde::Serialize;
use serde_json::{Value, json};
use storage::Artifact;

use super::address::Address;
use crate::app::App;
use crate::artifacts::{self, MAX_INLINE_BYTES};
use crate::error::ServerError;
use crate::guard::principal;
use crate::jobs;
use crate::models::Kind;
use crate::plan;
use crate::tools::workflows::{WorkflowEntry, facts};
use crate::views::ArtifactView;

const JSON: &str = "application/json";

/// What ends doesn't change, but it is forgotten some day.
const ENDED: CacheHints = CacheHints { ttl: Duration::from_mins(1), scope: CacheScope::Private };
/// The bytes under an id are always the same.
const IMMUTABLE: CacheHints = CacheHints { ttl: Duration::from_hours(24), scope: CacheScope::Private };
/// Something may be installed.
const SHORT: CacheHints = CacheHints { ttl: Duration::from_secs(30), scope: CacheScope::Private };

/// What is at an address; `None` if there is nothing for this caller.
pub(super) async fn read(
    app: &Arc<App>,
    cx: &CallContext,
    address: &Address,
) -> Result<Option<ResourceReply>, ErrorObjectOwned> {
    let principal = principal(cx)?;
    let read = match address {
        Address::Job(id) => job(app, &principal, id, address).await,
        Address::Artifact(id) => artifact(app, &principal, id, address).await,
        Address::Preview(id) => preview(app, &principal, id).await,
        Address::Workflow(name) => workflow(app, name, address).await,
        Address::Models(kind) => models(app, kind, address).await,
        Address::Session => return session(cx).await.map(Some),
    };
    match read {
        Ok(reply) => Ok(Some(reply)),
        Err(ServerError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

async fn job(
    app: &App,
    principal: &Principal,
    id: &str,
    address: &Address,
) -> Result<ResourceReply, ServerError> {
    let job = jobs::owned(app, principal, id).await?;
    let cache = if job.state.is_terminal() { ENDED } else { CacheHints::NONE };
    written(address, &jobs::shown(app, &job).await?, cache)
}

async fn artifact(
    app: &App,
    principal: &Principal,
    id: &str,
    address: &Address,
) -> Result<ResourceReply, ServerError> {
    let artifact = artifacts::owned(app, principal, id).await?;
    if artifact.bytes > MAX_INLINE_BYTES {
        return Ok(too_large(app, artifact, address).await);
    }
    let bytes = artifacts::bytes(app, &artifact.id, MAX_INLINE_BYTES).await?;
    let contents = ResourceContents::blob(address.to_string(), artifact.media_type, &bytes);
    Ok(ResourceReply { contents: vec![contents], cache: IMMUTABLE })
}

/// For a file that no message has room for: how to get it, and what it looks like.
async fn too_large(app: &App, artifact: Artifact, address: &Address) -> ResourceReply {
    let preview = small(app, &artifact).await.ok();
    let told = ArtifactView::new(artifact, app.base_url().as_deref());
    let mut contents = vec![ResourceContents::text(address.to_string(), "text/plain", way_to(&told))];
    contents.extend(preview);
    ResourceReply { contents, cache: IMMUTABLE }
}

fn way_to(artifact: &ArtifactView) -> String {
    let kind = match (artifact.width, artifact.height) {
        (Some(width), Some(height)) => format!("{}, {width}x{height}", artifact.media_type),
        _ => artifact.media_type.clone(),
    };
    let bytes = artifact.bytes;
    let place = match &artifact.url {
        Some(url) => format!(" Its bytes are at {url} (GET, with the same API key where there is one)."),
        None => String::new(),
    };
    format!(
        "This file ({kind}) is {bytes} bytes long; a message has room for {MAX_INLINE_BYTES}. To work on it, give {} as \
         `image` to img2img or inpaint: its bytes are not needed for that.{place}",
        artifact.uri
    )
}

async fn preview(app: &App, principal: &Principal, id: &str) -> Result<ResourceReply, ServerError> {
    let artifact = artifacts::owned(app, principal, id).await?;
    Ok(ResourceReply { contents: vec![small(app, &artifact).await?], cache: IMMUTABLE })
}

async fn small(app: &App, artifact: &Artifact) -> Result<ResourceContents, ServerError> {
    let (media_type, bytes) = artifacts::preview(app, artifact, "uri").await?;
    Ok(ResourceContents::blob(Address::Preview(artifact.id.clone()).to_string(), media_type, &bytes))
}

/// What `list_workflows` says of it, and the graph.
#[derive(Serialize)]
struct WorkflowContents {
    #[serde(flatten)]
    facts: WorkflowEntry,
    graph: Value,
}

async fn workflow(app: &Arc<App>, name: &str, address: &Address) -> Result<ResourceReply, ServerError> {
    let missing = || ServerError::NotFound { kind: "workflow", id: name.to_owned() };
    let catalog = app.catalog.current();
    catalog.get(name).filter(|found| found.name == name).ok_or_else(missing)?;
    let installed = app.pool.installed().await.ok();
    let name = name.to_owned();
    let make = move || {
        let info = installed.as_deref().map(|installed| &installed.info);
        let workflow = plan::find(&catalog, info, &name)?;
        Ok::<_, ServerError>(WorkflowContents {
            facts: facts(&workflow, info),
            graph: workflow.graph.to_json(),
        })
    };
    written(address, &app.off_runtime(make).await??, SHORT)
}

async fn models(app: &App, kind: &str, address: &Address) -> Result<ResourceReply, ServerError> {
    let missing = || ServerError::NotFound { kind: "model kind", id: kind.to_owned() };
    let kind = Kind::named(kind).ok_or_else(missing)?;
    let installed = app.pool.installed().await?;
    written(address, &json!({"kind": kind.name, "models": kind.names(&installed.info)}), SHORT)
}

/// A call as this server's answers spell it.
#[derive(Serialize)]
struct Call {
    tool: String,
    at: Timestamp,
    duration_ms: u64,
    outcome: CallOutcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    job_id: Option<String>,
}

impl From<CallRecord> for Call {
    fn from(record: CallRecord) -> Self {
        let CallRecord { tool, at, duration_ms, outcome, subject } = record;
        Self { tool, at, duration_ms, outcome, job_id: subject }
    }
}

async fn session(cx: &CallContext) -> Result<ResourceReply, ErrorObjectOwned> {
    let Some(session) = cx.session() else {
        let text = "requests of this revision stand alone, so there is no session whose calls could be told; \
                    resources/list has your jobs";
        return Err(error::error(error::INVALID_PARAMS, text));
    };
    let calls = session.calls(CALLS_KEPT).await.map_err(ServerError::internal)?;
    let calls: Vec<_> = calls.into_iter().map(Call::from).collect();
    Ok(written(&Address::Session, &json!({"calls": calls}), CacheHints::NONE)?)
}

fn written(
    address: &Address,
    value: &impl Serialize,
    cache: CacheHints,
) -> Result<ResourceReply, ServerError> {
    let text = serde_json::to_string(value).map_err(ServerError::internal)?;
    Ok(ResourceReply { contents: vec![ResourceContents::text(address.to_string(), JSON, text)], cache })
}
