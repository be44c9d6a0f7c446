//! `resources/list` and the templates.

use auth::Principal;
use job_queue::{JobFilter, JobId, JobSummary};
use jsonrpsee::types::ErrorObjectOwned;
use mcp_protocol::wire::{ResourceAnnotations, ResourceDescription, ResourceTemplate};
use mcp_protocol::{CallContext, Page, error};

use super::address::{self, Address};
use crate::app::App;
use crate::catalog::Entry;
use crate::error::ServerError;
use crate::guard::{self, principal};
use crate::models::{KINDS, Kind};

/// Entries on one page.
const PAGE: usize = 100;
const JSON: &str = "application/json";

/// Where a page begins: what there is for everybody, then the workflows by name, then the caller's jobs, the newest
/// first.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    Start,
    WorkflowsAfter(String),
    Jobs,
    JobsBefore(JobId),
}

impl Place {
    fn parse(cursor: &str) -> Option<Place> {
        match cursor.split_once(':')? {
            ("workflows", name) if !name.is_empty() => Some(Place::WorkflowsAfter(name.to_owned())),
            ("jobs", "") => Some(Place::Jobs),
            ("jobs", id) => id.parse().ok().map(Place::JobsBefore),
            _ => None,
        }
    }

    fn cursor(&self) -> Option<String> {
        match self {
            Place::Start => None,
            Place::WorkflowsAfter(name) => Some(format!("workflows:{name}")),
            Place::Jobs => Some("jobs:".to_owned()),
            Place::JobsBefore(id) => Some(format!("jobs:{id}")),
        }
    }
}

/// One page of what the caller may read.
pub(super) async fn page(
    app: &App,
    cx: &CallContext,
    cursor: Option<&str>,
) -> Result<Page<ResourceDescription>, ErrorObjectOwned> {
    let principal = principal(cx)?;
    let mut place = match cursor {
        Some(cursor) => Place::parse(cursor).ok_or_else(|| error::bad_cursor(cursor))?,
        None => Place::Start,
    };
    let mut items = Vec::new();
    if place == Place::Start {
        items.extend(cx.session().map(|_| session()));
        if guard::may(&principal, "list_models") {
            items.extend(KINDS.iter().map(models));
        }
    }
    if matches!(place, Place::Start | Place::WorkflowsAfter(_)) {
        place = add_workflows(app, &principal, &place, &mut items);
    }
    let next = match place {
        Place::WorkflowsAfter(_) => Some(place),
        Place::JobsBefore(id) => add_jobs(app, &principal, Some(id), &mut items).await?,
        Place::Start | Place::Jobs => add_jobs(app, &principal, None, &mut items).await?,
    };
    Ok(Page { items, next: next.and_then(|place| place.cursor()) })
}

/// Adds workflows up to a full page; says where it goes on.
fn add_workflows(
    app: &App,
    principal: &Principal,
    from: &Place,
    items: &mut Vec<ResourceDescription>,
) -> Place {
    if !guard::may(principal, "list_workflows") {
        return Place::Jobs;
    }
    let catalog = app.catalog.current();
    let left = catalog.iter().filter(|workflow| match from {
        Place::WorkflowsAfter(name) => workflow.name > *name,
        _ => true,
    });
    let mut last = None;
    for one in left {
        if items.len() >= PAGE {
            return last.map_or(Place::Jobs, Place::WorkflowsAfter);
        }
        items.push(workflow(one));
        last = Some(one.name.clone());
    }
    Place::Jobs
}

/// Adds jobs up to a full page; says where it goes on, if there are more.
async fn add_jobs(
    app: &App,
    principal: &Principal,
    before: Option<JobId>,
    items: &mut Vec<ResourceDescription>,
) -> Result<Option<Place>, ServerError> {
    if !guard::may(principal, "get_job_status") {
        return Ok(None);
    }
    let room = PAGE.saturating_sub(items.len());
    let (owner, states) = (Some(principal.client_id.clone()), Vec::new());
    let last = before.clone();
    let filter = JobFilter { owner, states, limit: room + 1, before };
    let mut jobs = app.queue.summaries(&filter).await?;
    let more = jobs.len() > room;
    jobs.truncate(room);
    items.extend(jobs.iter().map(job));
    let last = jobs.pop().map(|job| job.id).or(last);
    Ok(more.then(|| last.map_or(Place::Jobs, Place::JobsBefore)))
}

fn session() -> ResourceDescription {
    ResourceDescription {
        uri: Address::Session.to_string(),
        name: "session".into(),
        title: Some("Calls of this session".into()),
        description: Some(
            "The tools called in this session, the newest first, each with its outcome and job".into(),
        ),
        mime_type: Some(JSON.into()),
        ..ResourceDescription::default()
    }
}

fn models(kind: &Kind) -> ResourceDescription {
    ResourceDescription {
        uri: Address::of_kind(kind).to_string(),
        name: kind.name.into(),
        description: Some(format!("The {} that ComfyUI has", kind.name.replace('_', " "))),
        mime_type: Some(JSON.into()),
        ..ResourceDescription::default()
    }
}

fn workflow(workflow: &Entry) -> ResourceDescription {
    ResourceDescription {
        uri: Address::Workflow(workflow.name.clone()).to_string(),
        name: workflow.name.clone(),
        description: workflow.description.clone(),
        mime_type: Some(JSON.into()),
        ..ResourceDescription::default()
    }
}

fn job(job: &JobSummary) -> ResourceDescription {
    let changed = job.finished_at.unwrap_or(job.created_at);
    let annotations =
        ResourceAnnotations { last_modified: Some(changed.to_string()), ..ResourceAnnotations::default() };
    ResourceDescription {
        uri: Address::Job(job.id.to_string()).to_string(),
        name: job.id.to_string(),
        title: Some(format!("{}, {}", job.kind, job.state)),
        mime_type: Some(JSON.into()),
        annotations: Some(annotations),
        ..ResourceDescription::default()
    }
}

/// What can be read without being listed.
pub(super) fn templates() -> Vec<ResourceTemplate> {
    let template =
        |(uri, _): (&str, &str), name: &str, description: &str, mime_type: Option<&str>| ResourceTemplate {
            uri_template: uri.to_owned(),
            name: name.to_owned(),
            description: Some(description.to_owned()),
            mime_type: mime_type.map(str::to_owned),
            ..ResourceTemplate::default()
        };
    vec![
        template(
            address::JOB,
            "job",
            "One of your jobs as get_job_status shows it; can be subscribed to",
            Some(JSON),
        ),
        template(
            address::ARTIFACT,
            "artifact",
            "The bytes of one of your pictures; of a large one, how to get them",
            None,
        ),
        template(address::PREVIEW, "preview", "One of your pictures, 512 px at most", None),
        template(address::WORKFLOW, "workflow", "A workflow: its parameters and its graph", Some(JSON)),
        template(address::MODELS, "models", "The installed names of a kind, such as loras", Some(JSON)),
    ]
}

#[cfg(test)]
mod tests {
    use super::Place;

    #[test]
    fn a_cursor_leads_back_to_its_place() {
        let id = "0192f0c4-7c1e-7b6e-9d3c-0a1b2c3d4e5f".parse().unwrap();
        for place in [Place::WorkflowsAfter("a:b c".into()), Place::Jobs, Place::JobsBefore(id)] {
            assert_eq!(Place::parse(&place.cursor().unwrap()), Some(place));
        }
        for cursor in ["", "jobs", "jobs:1", "workflows:", "models:1", "\u{0}:"] {
            assert_eq!(Place::parse(cursor), None, "{cursor}");
        }
    }
}
