//! Resources: jobs, artifacts, workflows, installed models, and the record of a session.

mod address;
mod list;
mod read;

use std::sync::Arc;

use async_trait::async_trait;
use job_queue::JobFilter;
use jsonrpsee::types::ErrorObjectOwned;
use mcp_protocol::wire::{Completion, CompletionContext, ResourceDescription, ResourceTemplate};
use mcp_protocol::{CallContext, Page, ResourceReply, Resources};

pub(crate) use self::address::Address;
use crate::app::App;
use crate::error::ServerError;
use crate::guard::{self, principal};
use crate::jobs;
use crate::models::KINDS;

/// How many of the newest ids are offered while one is being typed.
const OFFERED: u16 = 200;

/// Everything that can be read.
pub(crate) struct Library(pub(crate) Arc<App>);

#[async_trait]
impl Resources for Library {
    async fn list(
        &self,
        cx: &CallContext,
        cursor: Option<&str>,
    ) -> Result<Page<ResourceDescription>, ErrorObjectOwned> {
        list::page(&self.0, cx, cursor).await
    }

    fn templates(&self) -> Vec<ResourceTemplate> {
        list::templates()
    }

    async fn read(&self, cx: &CallContext, uri: &str) -> Result<Option<ResourceReply>, ErrorObjectOwned> {
        match Address::parse(uri) {
            Some(address) => read::read(&self.0, cx, &address).await,
            None => Ok(None),
        }
    }

    /// Jobs change, and so do workflows; artifacts never do, and of models nobody tells when they do.
    async fn may_subscribe(&self, cx: &CallContext, uri: &str) -> Result<bool, ErrorObjectOwned> {
        let address = Address::parse(uri);
        let principal = principal(cx)?;
        if let Some(Address::Workflow(name)) = &address {
            let is_there = self.0.catalog.current().get(name).is_some_and(|entry| entry.name == *name);
            // Another spelling would never be told of.
            let is_plain = address.as_ref().is_some_and(|address| address.to_string() == uri);
            return Ok(is_there && is_plain && guard::may(&principal, "list_workflows"));
        }
        let Some(Address::Job(id)) = address else { return Ok(false) };
        if !guard::may(&principal, "get_job_status") {
            return Ok(false);
        }
        match jobs::owned(&self.0, &principal, &id).await {
            // Another spelling would never be told of.
            Ok(job) if uri != Address::Job(job.id.to_string()).to_string() => Ok(false),
            Ok(job) => {
                self.0.updates.watch(&job);
                Ok(true)
            }
            Err(ServerError::NotFound { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn can_subscribe(&self) -> bool {
        true
    }

    async fn complete(
        &self,
        cx: &CallContext,
        template: &str,
        variable: &str,
        typed: &str,
        _context: &CompletionContext,
    ) -> Result<Completion, ErrorObjectOwned> {
        let values = match (template, variable) {
            address::JOB => self.job_ids(cx).await?,
            address::ARTIFACT | address::PREVIEW => artifact_ids(&self.0, cx).await?,
            address::WORKFLOW => workflow_names(&self.0, cx)?,
            address::MODELS => KINDS.iter().map(|kind| kind.name.to_owned()).collect(),
            _ => Vec::new(),
        };
        Ok(Completion::of(values.iter().map(String::as_str), typed))
    }
}

impl Library {
    async fn job_ids(&self, cx: &CallContext) -> Result<Vec<String>, ServerError> {
        let owner = Some(principal(cx)?.client_id.clone());
        let filter = JobFilter { owner, limit: OFFERED.into(), ..JobFilter::default() };
        let jobs = self.0.queue.summaries(&filter).await?;
        Ok(jobs.into_iter().map(|job| job.id.to_string()).collect())
    }
}

/// The caller's newest artifacts.
pub(crate) async fn artifact_ids(app: &App, cx: &CallContext) -> Result<Vec<String>, ServerError> {
    let principal = principal(cx)?;
    let artifacts = app.artifacts.list_for_owner(&principal.client_id, OFFERED.into(), None).await;
    Ok(artifacts.map_err(ServerError::internal)?.into_iter().map(|artifact| artifact.id).collect())
}

/// The names of all workflows, where the caller may list them.
pub(crate) fn workflow_names(app: &App, cx: &CallContext) -> Result<Vec<String>, ServerError> {
    if !guard::may(&*principal(cx)?, "list_workflows") {
        return Ok(Vec::new());
    }
    Ok(app.catalog.current().iter().map(|workflow| workflow.name.clone()).collect())
}
