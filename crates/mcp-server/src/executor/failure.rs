//! What went wrong, as a job's error: its code, what to do about it, and whether and how long to try on.

use std::time::Duration;

use comfy_client::{ComfyError, NodeError, NodeErrors};
use job_queue::{ExecuteError, JobError};
use storage::ArtifactError;

use crate::backend::{Backend, describe};

/// ComfyUI gives an answer that makes no sense.
const ERROR: &str = "comfyui_error";
/// ComfyUI can't be reached, or is too busy to answer.
const UNAVAILABLE: &str = "comfyui_unavailable";
/// A node ran out of memory; the only end of a prompt after which the same is run again.
pub(super) const OUT_OF_MEMORY: &str = "out_of_memory";

/// How long to wait, within an attempt, for a ComfyUI that can't be reached or is busy.
const UNTIL_AVAILABLE: Duration = Duration::from_mins(1);
/// The same for one that answers 500, which may well be the answer to the next try too.
const UNTIL_SOUND: Duration = Duration::from_secs(4);
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(8);

/// How many warnings, and how many complaints about one node, are told.
const TOLD: usize = 10;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Retry {
    Yes,
    No,
}

pub(super) fn failed(code: &str, message: impl Into<String>, retry: Retry) -> ExecuteError {
    error(code, message.into(), None, retry)
}

fn error(code: &str, message: String, remedy: Option<String>, retry: Retry) -> ExecuteError {
    ExecuteError::Failed(JobError { code: code.to_owned(), message, remedy, retryable: retry == Retry::Yes })
}

/// ComfyUI's refusal; a backend that doesn't answer is looked at at once.
pub(super) fn refused(backend: &Backend, refusal: &ComfyError) -> ExecuteError {
    let retry = if refusal.is_retryable() { Retry::Yes } else { Retry::No };
    if retry == Retry::Yes {
        backend.check_soon();
    }
    let code = match refusal {
        ComfyError::Rejected { .. } => "comfyui_rejected",
        ComfyError::Unreachable { .. }
        | ComfyError::Timeout { .. }
        | ComfyError::Status { status: 408 | 425 | 429 | 502..=504, .. } => UNAVAILABLE,
        _ => ERROR,
    };
    error(code, describe(refusal), refusal.remedy().map(str::to_owned), retry)
}

/// An output that can't be stored.
pub(super) fn not_stored(backend: &Backend, cause: ArtifactError) -> ExecuteError {
    match cause {
        ArtifactError::TooLarge { limit } => error(
            "output_too_large",
            format!("an output is larger than {limit} bytes, the most that is stored"),
            Some("make the output smaller: a lower resolution, a smaller batch, or fewer frames".into()),
            Retry::No,
        ),
        ArtifactError::Source(_) => {
            backend.check_soon();
            error(
                UNAVAILABLE,
                "the download of an output from ComfyUI broke off".into(),
                Some("check that ComfyUI is running and the network to it".into()),
                Retry::Yes,
            )
        }
        other => storage_failed(other),
    }
}

/// The store of artifacts doesn't work.
pub(super) fn storage_failed(cause: ArtifactError) -> ExecuteError {
    // Those two say what to do.
    let told = match &cause {
        ArtifactError::DiskFull { .. } | ArtifactError::Folder { .. } => Some(cause.to_string()),
        _ => None,
    };
    let cause = anyhow::Error::from(cause);
    tracing::error!(error = format!("{cause:#}"), "an artifact can't be stored or read");
    let message =
        told.unwrap_or_else(|| "a picture can't be stored or read; the server's log says why".into());
    failed("storage_failed", message, Retry::Yes)
}

/// A node that failed.
pub(super) fn node_failed(cause: &NodeError, retry: Retry) -> ExecuteError {
    if cause.is_out_of_memory() {
        let remedy = "make the picture or the batch smaller, or free memory on ComfyUI's machine";
        return error(OUT_OF_MEMORY, cause.to_string(), Some(remedy.into()), retry);
    }
    let node = match (&cause.node, &cause.class_type) {
        (Some(node), Some(class)) => format!("the inputs of node {node} ({class})"),
        (Some(node), None) => format!("the inputs of node {node}"),
        _ => "the workflow".into(),
    };
    let remedy = format!("check {node}; ComfyUI's own log says more");
    error("execution_failed", cause.to_string(), Some(remedy), retry)
}

/// What ComfyUI doesn't run of a graph that it took, in lines for people.
pub(super) fn left_out(node_errors: &NodeErrors) -> Vec<String> {
    let line = |(id, node): (&String, &comfy_client::NodeValidation)| {
        let reasons: Vec<_> = node.errors.iter().take(TOLD).map(ToString::to_string).collect();
        let outputs = node.dependent_outputs.join(", ");
        let class = &node.class_type;
        format!("ComfyUI left out the output of node {outputs}: node {id} ({class}): {}", reasons.join("; "))
    };
    node_errors.iter().take(TOLD).map(line).collect()
}

/// The pauses between tries within one attempt, so that short trouble costs neither the attempt nor finished work.
pub(super) struct Pauses {
    next: Duration,
    waited: Duration,
    limit: Duration,
}

impl Pauses {
    /// So long in all, and no longer than the trouble is worth.
    pub(super) fn within(limit: Duration) -> Self {
        Self { next: FIRST_PAUSE, waited: Duration::ZERO, limit }
    }

    /// How long to wait after this error; `None` when waiting doesn't help (any more).
    pub(super) fn after(&mut self, error: &ExecuteError) -> Option<Duration> {
        let pause = self.next;
        if self.waited + pause > patience(error).min(self.limit) {
            return None;
        }
        self.waited += pause;
        self.next = (pause * 2).min(LONGEST_PAUSE);
        Some(pause)
    }
}

impl Default for Pauses {
    fn default() -> Self {
        Self::within(UNTIL_AVAILABLE)
    }
}

fn patience(error: &ExecuteError) -> Duration {
    match error {
        ExecuteError::Failed(JobError { code, retryable: true, .. }) if code == UNAVAILABLE => {
            UNTIL_AVAILABLE
        }
        ExecuteError::Failed(JobError { code, retryable: true, .. }) if code == ERROR => UNTIL_SOUND,
        _ => Duration::ZERO,
    }
}
