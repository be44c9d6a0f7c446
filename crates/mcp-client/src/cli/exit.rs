//! How a run of the program ends: exit codes, and errors with what can be done about them.

use serde_json::{Value, json};

use mcp_client::{GatewayError, ImageInputError, Job};
use mcp_protocol::client::ClientError;

use super::requests::RequestError;
use super::save::SaveError;

/// The exit codes; `--help` tells them too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    Ok,
    Failed,
    Usage,
    Unreachable,
    Refused,
    RateLimited,
    TimedOut,
    Cancelled,
    Interrupted,
}

impl Exit {
    #[cfg(test)]
    pub(super) const ALL: [Exit; 9] = [
        Exit::Ok,
        Exit::Failed,
        Exit::Usage,
        Exit::Unreachable,
        Exit::Refused,
        Exit::RateLimited,
        Exit::TimedOut,
        Exit::Cancelled,
        Exit::Interrupted,
    ];

    pub(crate) fn code(self) -> u8 {
        match self {
            Exit::Ok => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Unreachable => 3,
            Exit::Refused => 4,
            Exit::RateLimited => 5,
            Exit::TimedOut => 6,
            Exit::Cancelled => 7,
            Exit::Interrupted => 130,
        }
    }
}

/// Why a run ends early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error("{0}")]
    Usage(String),
    #[error(transparent)]
    Gateway(#[from] GatewayError),
    #[error("job {job_id}: {error}")]
    OfJob { job_id: String, error: Box<GatewayError> },
    #[error("{}", failure(.0))]
    JobFailed(Box<Job>),
    #[error("job {} was cancelled", .0.id)]
    JobCancelled(Box<Job>),
    #[error("interrupted{}", .job_id.as_ref().map(|id| format!("; job {id} goes on")).unwrap_or_default())]
    Interrupted { job_id: Option<String> },
    #[error(transparent)]
    Save(#[from] SaveError),
    #[error("can't write to standard output")]
    Output(#[from] std::io::Error),
}

fn failure(job: &Job) -> String {
    match &job.error {
        Some(error) => format!("job {} failed: {}", job.id, error.message),
        None => format!("job {} failed", job.id),
    }
}

impl CliError {
    /// The same, with the way back to the job, where the trouble may pass: the job and its images are kept.
    pub(super) fn about_job(self, job_id: &str) -> CliError {
        match self {
            CliError::Gateway(error)
                if error.is_transient()
                    || gateway_exit(&error) == Exit::RateLimited
                    || matches!(error, GatewayError::Artifact { .. }) =>
            {
                CliError::OfJob { job_id: job_id.to_owned(), error: Box::new(error) }
            }
            other => other,
        }
    }

    pub(super) fn exit(&self) -> Exit {
        match self {
            CliError::Request(_) | CliError::Usage(_) => Exit::Usage,
            CliError::Gateway(error) => gateway_exit(error),
            CliError::OfJob { error, .. } => gateway_exit(error),
            CliError::JobFailed(_) | CliError::Save(_) | CliError::Output(_) => Exit::Failed,
            CliError::JobCancelled(_) => Exit::Cancelled,
            CliError::Interrupted { .. } => Exit::Interrupted,
        }
    }

    /// A stable name for scripts.
    fn code(&self) -> String {
        match self {
            CliError::Gateway(GatewayError::Tool(failure)) => failure.code.clone(),
            CliError::JobFailed(job) => {
                job.error.as_ref().map_or_else(|| "job_failed".to_owned(), |error| error.code.clone())
            }
            _ => match self.exit() {
                Exit::Usage => "usage",
                Exit::Unreachable => "unreachable",
                Exit::Refused => "refused",
                Exit::RateLimited => "rate_limited",
                Exit::TimedOut => "timed_out",
                Exit::Cancelled => "cancelled",
                Exit::Interrupted => "interrupted",
                Exit::Ok | Exit::Failed => "failed",
            }
            .to_owned(),
        }
    }

    /// What to do next, one line each.
    pub(super) fn remedies(&self) -> Vec<String> {
        match self {
            CliError::Gateway(GatewayError::TimedOut { job_id, .. })
            | CliError::Interrupted { job_id: Some(job_id) } => how_to_go_on(job_id),
            CliError::Gateway(error) => error.remedy().into_iter().chain(quotes(error)).collect(),
            CliError::OfJob { job_id, error } => {
                error.remedy().into_iter().chain([fetch_later(job_id)]).collect()
            }
            CliError::JobFailed(job) => {
                job.error.as_ref().and_then(|error| error.remedy.clone()).into_iter().collect()
            }
            CliError::Request(RequestError::Image(error)) => vec![image_remedy(error).to_owned()],
            _ => Vec::new(),
        }
    }

    /// The message with its first cause; the layers between them tell nothing to a person.
    pub(super) fn message(&self) -> String {
        if let CliError::OfJob { job_id, error } = self {
            return format!("job {job_id}: {}", with_cause(error.as_ref()));
        }
        with_cause(self)
    }

    pub(super) fn to_json(&self) -> Value {
        let mut error = json!({"code": self.code(), "message": self.message()});
        let remedies = self.remedies();
        if !remedies.is_empty() {
            error["remedy"] = remedies.join("; ").into();
        }
        let mut document = json!({"error": error});
        match self {
            CliError::JobFailed(job) | CliError::JobCancelled(job) => document["job"] = json!(job),
            CliError::Interrupted { job_id: Some(id) }
            | CliError::OfJob { job_id: id, .. }
            | CliError::Gateway(GatewayError::TimedOut { job_id: id, .. }) => {
                document["job"] = json!({"id": id});
            }
            CliError::Gateway(GatewayError::Tool(failure)) if failure.data.is_some() => {
                document["error"]["data"] = json!(failure.data);
            }
            _ => {}
        }
        document
    }
}

/// An error with its first cause.
fn with_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error.source();
    while let Some(inner) = cause.and_then(std::error::Error::source) {
        cause = Some(inner);
    }
    match cause {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

fn image_remedy(error: &ImageInputError) -> &'static str {
    match error {
        ImageInputError::Read { .. } => "give a file that exists, or the id of an artifact of the server",
        ImageInputError::TooLarge { .. } => "make it smaller",
        ImageInputError::NotAnImage { .. } => "convert it to PNG, JPEG or WebP",
    }
}

fn fetch_later(job_id: &str) -> String {
    format!("mcp-client wait {job_id} -o FILE")
}

/// A value for `--param` that looks like JSON is sent as such, which a text parameter does not take.
fn quotes(error: &GatewayError) -> Option<String> {
    let GatewayError::Tool(failure) = error else { return None };
    let wants_text = failure.tool == "run_workflow" && failure.message.contains(" takes a string, not ");
    wants_text.then(|| {
        let name = failure.data.as_ref().and_then(|data| data.get("field")).and_then(Value::as_str);
        format!("write a text that looks like JSON in quotes: -P '{}=\"42\"'", name.unwrap_or("NAME"))
    })
}

fn how_to_go_on(job_id: &str) -> Vec<String> {
    vec![fetch_later(job_id), format!("mcp-client cancel {job_id}")]
}

fn gateway_exit(error: &GatewayError) -> Exit {
    match error {
        GatewayError::Client(error) => match error {
            ClientError::Unauthorized { .. } | ClientError::Forbidden { .. } => Exit::Refused,
            ClientError::RateLimited { .. } => Exit::RateLimited,
            ClientError::Rpc { code: -32602, .. } | ClientError::InvalidUrl { .. } => Exit::Usage,
            error if error.is_unreachable() => Exit::Unreachable,
            _ => Exit::Failed,
        },
        GatewayError::Tool(failure) => match failure.code.as_str() {
            "unauthenticated" | "forbidden" | "permission_denied" => Exit::Refused,
            "rate_limited" => Exit::RateLimited,
            code if code.starts_with("invalid_") || code.starts_with("unknown_") => Exit::Usage,
            _ => Exit::Failed,
        },
        GatewayError::Image(_) | GatewayError::InvalidTarget { .. } => Exit::Usage,
        GatewayError::TimedOut { .. } => Exit::TimedOut,
        _ => Exit::Failed,
    }
}
