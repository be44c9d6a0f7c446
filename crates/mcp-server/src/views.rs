//! What clients are shown of jobs and artifacts. Not the domain's own types, so that those can change.

use std::borrow::Cow;

use jiff::Timestamp;
use job_queue::{Job, JobState};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use storage::Artifact;

/// A job's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Waits for its turn.
    Queued,
    /// Is being done.
    Running,
    /// Done.
    Succeeded,
    /// Given up; `error` says why.
    Failed,
    /// Cancelled.
    Cancelled,
}

impl From<JobState> for State {
    fn from(state: JobState) -> Self {
        match state {
            JobState::Queued => Self::Queued,
            JobState::Running => Self::Running,
            JobState::Succeeded => Self::Succeeded,
            JobState::Failed => Self::Failed,
            JobState::Cancelled => Self::Cancelled,
        }
    }
}

/// The answer of every tool that speaks of a job.
#[derive(Debug, Serialize, JsonSchema)]
pub struct JobReply {
    /// The job.
    #[schemars(schema_with = "job_schema")]
    pub job: JobView,
    /// How to go on, while it isn't over.
    #[schemars(skip)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// What a client can count on in a job. Seven tools answer with one, and each carries its schema into every agent's
/// context, so what is plain by its name is left out.
fn job_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "properties": {
            "id": {"type": "string"},
            "state": {"type": "string"},
            "artifacts": {"type": "array"}
        }
    })
}

/// A job.
#[derive(Debug, Serialize)]
pub struct JobView {
    /// Its id.
    pub id: String,
    /// Where it is.
    pub state: State,
    /// The tool that made it.
    pub tool: String,
    /// The workflow that it runs.
    pub workflow: String,
    /// -100 to 100; higher goes first.
    pub priority: i8,
    /// How many jobs are before it, while it is queued.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<u64>,
    /// 0 to 1, while it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<f64>,
    /// What it is at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// RFC 3339.
    pub created_at: String,
    /// RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<String>,
    /// RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<String>,
    /// How often it was begun.
    pub attempt: u32,
    /// Gives the same picture again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// What it is made with, given or chosen.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub parameters: Map<String, Value>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorView>,
    /// What came out.
    pub artifacts: Vec<ArtifactView>,
    /// Texts that came out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub texts: Vec<String>,
    /// What was chosen, changed or left out in a way that the caller may not expect.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// Why a job failed.
#[derive(Debug, Serialize)]
pub struct ErrorView {
    /// A stable word.
    pub code: String,
    /// What went wrong.
    pub message: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// A stored picture or other file.
#[derive(Debug, Clone, Serialize)]
pub struct ArtifactView {
    /// Its id.
    pub id: String,
    /// `comfy://artifacts/ID`.
    pub uri: String,
    /// Where its bytes are over HTTP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Such as `image/png`.
    pub media_type: String,
    /// Pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    /// Pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
    /// Its size.
    pub bytes: u64,
    /// The name that ComfyUI gave it.
    pub file_name: String,
}

/// The URI of an artifact.
pub fn artifact_uri(id: &str) -> String {
    format!("comfy://artifacts/{id}")
}

impl ArtifactView {
    /// What a client sees; `base_url` is where this server is reached over HTTP, if it is.
    pub fn new(artifact: Artifact, base_url: Option<&str>) -> Self {
        Self {
            uri: artifact_uri(&artifact.id),
            url: base_url.map(|base| format!("{base}/artifacts/{}", artifact.id)),
            media_type: artifact.media_type,
            width: artifact.width,
            height: artifact.height,
            bytes: artifact.bytes,
            file_name: artifact.file_name,
            id: artifact.id,
        }
    }
}

/// What is read of a stored [`Plan`](crate::plan::Plan) to speak of its job; the graph, which may be large, is not.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Brief<'a> {
    #[serde(borrow)]
    workflow: Cow<'a, str>,
    seed: Option<u64>,
    parameters: Map<String, Value>,
    warnings: Vec<String>,
    #[serde(borrow)]
    pub(crate) fingerprint: Option<Cow<'a, str>>,
}

impl<'a> Brief<'a> {
    /// Of a job; empty when it can't be read.
    pub(crate) fn of(job: &'a Job) -> Self {
        Self::deserialize(&job.payload).unwrap_or_default()
    }
}

/// Why the last attempt failed, of a job that is tried again.
fn last_failure(job: &Job) -> Option<String> {
    let attempt = match job.state {
        JobState::Queued => job.attempt,
        JobState::Running => job.attempt.saturating_sub(1),
        _ => return None,
    };
    let error = job.error.as_ref()?;
    Some(format!("attempt {} failed: {}, trying again", attempt.max(1), error.message))
}

impl JobView {
    /// What a client sees of a job, without what is asked elsewhere: place, progress and artifacts.
    pub fn new(job: &Job) -> Self {
        let brief = Brief::of(job);
        let time = |at: Timestamp| at.to_string();
        Self {
            id: job.id.to_string(),
            state: job.state.into(),
            tool: job.kind.clone(),
            workflow: brief.workflow.into_owned(),
            priority: job.priority.get(),
            position: None,
            progress: None,
            message: last_failure(job),
            created_at: time(job.created_at),
            started_at: job.started_at.map(time),
            finished_at: job.finished_at.map(time),
            attempt: job.attempt,
            seed: brief.seed,
            parameters: brief.parameters,
            error: job.error.as_ref().filter(|_| job.state == JobState::Failed).map(|error| ErrorView {
                code: error.code.clone(),
                message: error.message.clone(),
                remedy: error.remedy.clone(),
            }),
            artifacts: Vec::new(),
            texts: Vec::new(),
            warnings: brief.warnings,
        }
    }
}
