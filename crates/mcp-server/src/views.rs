//! What clients are shown of jobs and artifacts. Not the domain's own types, so that those can change.

use jiff::Timestamp;
use job_queue::{Job, JobState};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;
use storage::Artifact;

use crate::plan::Plan;

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
            "state": {"enum": ["queued", "running", "succeeded", "failed", "cancelled"]},
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
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorView>,
    /// What came out.
    pub artifacts: Vec<ArtifactView>,
    /// Texts that came out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub texts: Vec<String>,
    /// What ComfyUI left out or ignored without a word.
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

impl JobView {
    /// What a client sees of a job, without what is asked elsewhere: place, progress and artifacts.
    pub fn new(job: &Job) -> Self {
        let plan = serde_json::from_value::<Plan>(job.payload.clone()).ok();
        let time = |at: Timestamp| at.to_string();
        Self {
            id: job.id.to_string(),
            state: job.state.into(),
            tool: job.kind.clone(),
            workflow: plan.as_ref().map(|plan| plan.workflow.clone()).unwrap_or_default(),
            priority: job.priority.get(),
            position: None,
            progress: None,
            message: None,
            created_at: time(job.created_at),
            started_at: job.started_at.map(time),
            finished_at: job.finished_at.map(time),
            attempt: job.attempt,
            seed: plan.as_ref().and_then(|plan| plan.seed),
            error: job.error.as_ref().filter(|_| job.state != JobState::Succeeded).map(|error| ErrorView {
                code: error.code.clone(),
                message: error.message.clone(),
                remedy: error.remedy.clone(),
            }),
            artifacts: Vec::new(),
            texts: Vec::new(),
            warnings: plan.map(|plan| plan.warnings).unwrap_or_default(),
        }
    }
}
