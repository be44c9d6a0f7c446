//! What the gateway tells of a job, as its job tools answer it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Warnings of one job that are looked at.
const MAX_WARNINGS: usize = 100;

/// Where a job is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Stored; waits for its turn.
    Queued,
    /// A worker and a ComfyUI are on it.
    Running,
    /// Done; its artifacts are there.
    Succeeded,
    /// Given up; [`Job::error`] says why.
    Failed,
    /// Cancelled before it was done.
    Cancelled,
}

impl JobState {
    /// True for the states that a job never leaves.
    pub fn is_terminal(self) -> bool {
        matches!(self, JobState::Succeeded | JobState::Failed | JobState::Cancelled)
    }

    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            JobState::Queued => "queued",
            JobState::Running => "running",
            JobState::Succeeded => "succeeded",
            JobState::Failed => "failed",
            JobState::Cancelled => "cancelled",
        }
    }
}

/// A job of the gateway. Fields that this version doesn't know are kept in [`Job::other`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// The id, for all further calls.
    pub id: String,
    /// Where it is.
    pub state: JobState,
    /// The tool that started it, such as `generate_image`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// The workflow that it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow: Option<String>,
    /// -100 to 100, higher first.
    #[serde(default)]
    pub priority: i64,
    /// How many jobs are ahead of it while it is queued; 0 = next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<u64>,
    /// 0 to 1, over the whole job, while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<f64>,
    /// What it does just now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When it was stored.
    pub created_at: Timestamp,
    /// When its last attempt started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it reached its last state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// Counts from 1; 0 = never started.
    #[serde(default)]
    pub attempt: u32,
    /// The seed that was used, over the whole range of 64 bits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<JobFailure>,
    /// What came out of it.
    #[serde(default)]
    pub artifacts: Vec<Artifact>,
    /// Everything else that the server said of it.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl Job {
    /// What the server has to say against the way it was asked, such as a size that was rounded.
    pub fn warnings(&self) -> impl Iterator<Item = &str> {
        let warnings = self.other.get("warnings").and_then(Value::as_array);
        warnings.into_iter().flatten().filter_map(Value::as_str).take(MAX_WARNINGS)
    }
}

/// Why a job failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobFailure {
    /// A stable name of the kind of failure.
    pub code: String,
    /// What went wrong.
    pub message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// A file that a job made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// The id, also usable as an input image.
    pub id: String,
    /// `comfy://artifacts/{id}`
    pub uri: String,
    /// Where its bytes are over HTTP; relative to the server, or absolute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Its media type, such as `image/png`.
    pub media_type: String,
    /// In pixels, for an image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    /// In pixels, for an image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
    /// Its size in bytes.
    pub bytes: u64,
    /// The name that ComfyUI gave it.
    pub file_name: String,
}

/// The answer of a job tool: `structuredContent` of `generate_image`, `get_job_status` and their like.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobAnswer {
    /// The job as it is now.
    pub job: Job,
    /// How to go on, in words for an agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_survives_the_way_through_json_with_all_it_has() {
        let text = r#"{"job":{"id":"j1","state":"succeeded","tool":"generate_image","workflow":"txt2img","priority":5,
            "created_at":"2026-01-02T03:04:05Z","started_at":"2026-01-02T03:04:06Z",
            "finished_at":"2026-01-02T03:04:07Z","attempt":1,"seed":18446744073709551615,"sandbox":true,
            "artifacts":[{"id":"a1","uri":"comfy://artifacts/a1","url":"/artifacts/a1","media_type":"image/png",
            "width":512,"height":768,"bytes":1234,"file_name":"x.png"}]},"next":"look at it"}"#;
        let answer: JobAnswer = serde_json::from_str(text).unwrap();
        assert_eq!(answer.job.seed, Some(u64::MAX));
        assert_eq!(answer.job.other["sandbox"], true);
        let original: Value = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_value(&answer).unwrap(), original);
    }

    #[test]
    fn a_job_needs_only_id_state_and_time() {
        let text = r#"{"job":{"id":"j1","state":"queued","created_at":"2026-01-02T03:04:05Z"}}"#;
        let answer: JobAnswer = serde_json::from_str(text).unwrap();
        assert_eq!(answer.job.state, JobState::Queued);
        assert!(!answer.job.state.is_terminal());
        assert!(answer.job.artifacts.is_empty());
    }
}
