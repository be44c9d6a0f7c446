//! Everything that can go wrong in a call, and the one place where it becomes an answer: a stable code, what went
//! wrong and what to do. Causes that are ours alone are logged and not sent.

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use jsonrpsee::types::ErrorObjectOwned;
use mcp_protocol::{ToolError, error as rpc};
use serde_json::{Value, json};
use workflow_analyzer::Diagnostic;
use workflow_analyzer::edit::EditError;

use crate::backend::Unavailable;
use crate::catalog::Unusable;
use crate::catalog::shipped::ModelFile;
use crate::images::PictureError;

/// Why a call can't be answered.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// A name that is not known, with those that are nearest.
    #[error("{field}: there is no `{name}` here{}", did_you_mean(.nearest))]
    UnknownName {
        /// The argument.
        field: String,
        /// What was asked for.
        name: String,
        /// What there is.
        nearest: Vec<String>,
    },
    /// An argument that has the right type and can't be used.
    #[error("{field}: {problem}")]
    InvalidArgument {
        /// The argument.
        field: String,
        /// What is wrong.
        problem: String,
    },
    /// An input image that can't be used.
    #[error("{field}: {source}")]
    InvalidImage {
        /// The argument.
        field: String,
        /// What is wrong with it; part of the text, because it is what the caller has to know.
        source: PictureError,
    },
    /// A workflow that waits for ComfyUI to be converted.
    #[error("the workflow `{name}` can't be used yet: {problem}")]
    WaitingWorkflow {
        /// Its name.
        name: String,
        /// What it waits for.
        problem: String,
    },
    /// A workflow file that could not be loaded.
    #[error("the workflow `{name}` can't be used: {problem}")]
    BrokenWorkflow {
        /// Its name.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// A graph that ComfyUI would refuse.
    #[error("the workflow can't run on this ComfyUI: {}", list(.0))]
    InvalidWorkflow(Vec<Diagnostic>),
    /// An edit that makes no sense on this graph.
    #[error("{0}")]
    Edit(EditError),
    /// ComfyUI has nothing that makes a picture.
    #[error("this ComfyUI has no model that makes pictures, or not all the files that go with it")]
    NoModelInstalled(Vec<&'static ModelFile>),
    /// ComfyUI lacks model files that go with those that it has.
    #[error("{what}: this ComfyUI lacks {}", names(.files))]
    MissingModels {
        /// The workflow or the model that needs them.
        what: String,
        /// What is missing.
        files: Vec<&'static ModelFile>,
    },
    /// ComfyUI lacks a file of a kind that the workflow needs.
    #[error("this ComfyUI has no file of the kind `{kind}`, which {class} needs")]
    NothingInstalled {
        /// The folder of the kind: `loras`, `controlnet`.
        kind: String,
        /// The node class.
        class: String,
        /// One that would do, and where it is to be had.
        example: Option<String>,
    },
    /// No backend answers.
    #[error("{0}")]
    Unavailable(#[from] Unavailable),
    /// No job, artifact or file of that id, or not the caller's.
    #[error("there is no {kind} `{id}`")]
    NotFound {
        /// `job` or `artifact`.
        kind: &'static str,
        /// What was asked for.
        id: String,
    },
    /// The queue is full.
    #[error("the queue is full: {limit} jobs wait")]
    QueueFull {
        /// The limit that was met.
        limit: usize,
    },
    /// The caller has as many jobs in the queue as it may.
    #[error("{limit} of your jobs wait in the queue, which is the most that one client may have")]
    OwnQueueFull {
        /// The limit that was met.
        limit: usize,
    },
    /// The caller's key does not allow this.
    #[error("this key doesn't allow `{0}`")]
    Forbidden(String),
    /// No key, or one that is not good.
    #[error("{0}")]
    Unauthenticated(&'static str),
    /// Too many calls.
    #[error("too many calls")]
    RateLimited {
        /// How long to wait; none when waiting doesn't help.
        retry_after: Option<Duration>,
    },
    /// Too many keys are being verified at once.
    #[error("too many API keys are being verified")]
    Busy,
    /// The server stops, and a call that waits for a person can't wait on.
    #[error("the server is stopping")]
    Stopping,
    /// Something of ours failed.
    #[error("the server failed to do this")]
    Internal(#[source] anyhow::Error),
}

impl ServerError {
    /// A failure of ours: logged here, told without its cause.
    pub fn internal(error: impl Into<anyhow::Error>) -> Self {
        let error = error.into();
        tracing::error!(error = format!("{error:#}"), "a call failed");
        Self::Internal(error)
    }

    /// Why a stored workflow gives no graph.
    pub fn unusable(name: &str, unusable: &Unusable) -> Self {
        let (name, problem) = (name.to_owned(), unusable.to_string());
        match unusable {
            Unusable::Waiting => Self::WaitingWorkflow { name, problem },
            Unusable::Wrong(_) => Self::BrokenWorkflow { name, problem },
        }
    }

    /// Whether a newer list of nodes and models could make it go away.
    pub fn may_be_stale(&self) -> bool {
        matches!(
            self,
            Self::UnknownName { .. }
                | Self::InvalidWorkflow(_)
                | Self::BrokenWorkflow { .. }
                | Self::Edit(EditError::MissingClass { .. })
                | Self::NoModelInstalled(_)
                | Self::MissingModels { .. }
                | Self::NothingInstalled { .. }
        )
    }

    /// A stable word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownName { .. } => "unknown_name",
            Self::InvalidArgument { .. } => "invalid_arguments",
            Self::InvalidImage { .. } => "invalid_image",
            Self::BrokenWorkflow { .. } => "broken_workflow",
            Self::WaitingWorkflow { .. } => "waiting_workflow",
            Self::InvalidWorkflow(_) => "invalid_workflow",
            Self::Edit(error) if parameter(error).is_some() => "invalid_arguments",
            Self::Edit(_) => "workflow_edit_refused",
            Self::NoModelInstalled(_) => "no_model_installed",
            Self::MissingModels { .. } | Self::NothingInstalled { .. } => "missing_model",
            Self::Unavailable(_) => "comfyui_unavailable",
            Self::NotFound { .. } => "not_found",
            Self::QueueFull { .. } | Self::OwnQueueFull { .. } => "queue_full",
            Self::Forbidden(_) => "forbidden",
            Self::Unauthenticated(_) => "unauthenticated",
            Self::RateLimited { .. } => "rate_limited",
            Self::Busy => "busy",
            Self::Stopping => "stopping",
            Self::Internal(_) => "internal_error",
        }
    }

    /// What the caller can do.
    pub fn remedy(&self) -> Option<String> {
        let text = match self {
            Self::UnknownName { field, .. } if field == "workflow" => "call list_workflows for the names",
            Self::UnknownName { field, .. } if field == "kind" => {
                "call list_models without `kind` for all kinds"
            }
            Self::UnknownName { .. } => "call list_models for the names",
            Self::InvalidImage { .. } => {
                "send a PNG, JPEG or WebP as base64 or a data: URI, or an artifact's id"
            }
            Self::WaitingWorkflow { .. } => "start ComfyUI or set comfyui_url, and call again then",
            Self::BrokenWorkflow { .. } => {
                "mend or remove the file in workflows_dir; it is read again when it changes"
            }
            Self::NoModelInstalled(files) | Self::MissingModels { files, .. } => {
                return Some(format!("put into ComfyUI's models folder: {}", places(files)));
            }
            Self::NothingInstalled { kind, example, .. } => {
                let one = example.as_deref().unwrap_or("one");
                return Some(format!("put {one} into ComfyUI's models/{kind}"));
            }
            Self::Unavailable(_) => {
                "start ComfyUI or set comfyui_url; the server keeps trying, so call again then"
            }
            Self::NotFound { kind: "job", .. } => {
                "check the id; a finished job is forgotten after its retention"
            }
            Self::QueueFull { .. } => "wait until jobs have finished, or cancel some",
            Self::OwnQueueFull { .. } => "wait until some of them have finished, or cancel some",
            Self::Forbidden(_) => "ask for a key with this permission",
            Self::Unauthenticated(_) => "send a valid key as `Authorization: Bearer KEY` or `X-API-Key: KEY`",
            Self::RateLimited { retry_after: Some(wait) } => {
                return Some(format!("call again in {:.1} seconds", wait.as_secs_f64()));
            }
            Self::Busy => "call again in a second",
            Self::Stopping => "call again when it is back",
            Self::Internal(_) => "call again; if it goes on, the server's log says more",
            _ => return None,
        };
        Some(text.to_owned())
    }

    /// The HTTP status that goes with it.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::NotFound { .. } => StatusCode::NOT_FOUND,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::Unauthenticated(_) => StatusCode::UNAUTHORIZED,
            Self::RateLimited { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable(_)
            | Self::QueueFull { .. }
            | Self::OwnQueueFull { .. }
            | Self::Busy
            | Self::Stopping => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    /// The value of `WWW-Authenticate`, for a 401.
    pub fn challenge(&self) -> Option<HeaderValue> {
        let Self::Unauthenticated(reason) = self else { return None };
        HeaderValue::from_str(&format!(r#"Bearer realm="comfyui-mcp-server", error_description="{reason}""#))
            .ok()
    }

    fn data(&self) -> Option<Value> {
        match self {
            Self::UnknownName { field, nearest, .. } => Some(json!({"field": field, "nearest": nearest})),
            Self::InvalidArgument { field, .. } | Self::InvalidImage { field, .. } => {
                Some(json!({"field": field}))
            }
            Self::Edit(error) => parameter(error).map(|field| json!({"field": field})),
            Self::NoModelInstalled(files) | Self::MissingModels { files, .. } => {
                Some(json!({"missing": files}))
            }
            Self::InvalidWorkflow(diagnostics) => {
                Some(json!({"diagnostics": diagnostics.iter().map(diagnostic).collect::<Vec<_>>()}))
            }
            Self::RateLimited { retry_after: Some(wait) } => {
                Some(json!({"retryAfterMs": u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)}))
            }
            _ => None,
        }
    }
}

impl From<EditError> for ServerError {
    fn from(error: EditError) -> Self {
        match error {
            EditError::NotInList { parameter, value, nearest } => {
                Self::UnknownName { field: parameter, name: value, nearest }
            }
            other => Self::Edit(other),
        }
    }
}

/// The parameter that an edit stumbled on, if it was one.
fn parameter(error: &EditError) -> Option<&str> {
    match error {
        EditError::UnknownParameter { parameter, .. }
        | EditError::WrongType { parameter, .. }
        | EditError::OutOfRange { parameter, .. }
        | EditError::NotInList { parameter, .. }
        | EditError::Linked { parameter, .. }
        | EditError::Ambiguous { parameter, .. } => Some(parameter),
        EditError::MissingClass { .. } | EditError::NotPossible { .. } => None,
    }
}

impl From<ServerError> for ToolError {
    fn from(error: ServerError) -> Self {
        Self {
            code: error.code().to_owned(),
            message: error.to_string(),
            remedy: error.remedy(),
            data: error.data().map(Box::new),
        }
    }
}

impl From<ServerError> for ErrorObjectOwned {
    /// For what isn't a tool: resources, prompts, tasks, and the guard.
    fn from(refused: ServerError) -> Self {
        let text = match refused.remedy() {
            Some(remedy) => format!("{refused}; {remedy}"),
            None => refused.to_string(),
        };
        match refused {
            ServerError::Unauthenticated(_) => rpc::unauthenticated(text),
            ServerError::Forbidden(_) => rpc::forbidden(text),
            ServerError::RateLimited { retry_after } => {
                rpc::rate_limited(text, retry_after.unwrap_or_default())
            }
            ServerError::Busy => rpc::error(rpc::OVERLOADED, text),
            ServerError::Internal(_) => rpc::internal(),
            ServerError::Unavailable(_) => rpc::error(rpc::INTERNAL_ERROR, text),
            other => rpc::error_with(rpc::INVALID_PARAMS, text, json!({"code": other.code()})),
        }
    }
}

impl IntoResponse for ServerError {
    fn into_response(self) -> Response {
        let mut body = json!({"code": self.code(), "message": self.to_string()});
        if let Some(remedy) = self.remedy() {
            body["remedy"] = remedy.into();
        }
        if let Some(data) = self.data() {
            body["data"] = data;
        }
        let mut response = (self.status(), axum::Json(json!({"error": body}))).into_response();
        if let Self::RateLimited { retry_after: Some(wait) } = &self {
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            response.headers_mut().insert(axum::http::header::RETRY_AFTER, seconds.into());
        }
        if let Some(challenge) = self.challenge() {
            response.headers_mut().insert(axum::http::header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

fn did_you_mean(nearest: &[String]) -> String {
    match nearest {
        [] => String::new(),
        names => {
            let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
            format!("; nearest: {}", names.join(", "))
        }
    }
}

fn names(files: &[&ModelFile]) -> String {
    files.iter().map(|file| file.file).collect::<Vec<_>>().join(", ")
}

fn places(files: &[&ModelFile]) -> String {
    files.iter().map(|file| format!("{}/{}", file.folder, file.place())).collect::<Vec<_>>().join(", ")
}

fn list(diagnostics: &[Diagnostic]) -> String {
    let lines: Vec<_> = diagnostics.iter().take(5).map(line).collect();
    let more = diagnostics.len().saturating_sub(lines.len());
    if more > 0 { format!("{}; and {more} more", lines.join("; ")) } else { lines.join("; ") }
}

/// A diagnostic in one line: `node 3 (KSampler), sampler_name: "eulre" is not in the list (did you mean euler)`.
pub fn line(diagnostic: &Diagnostic) -> String {
    let mut text = String::new();
    if let Some(node) = &diagnostic.node {
        text = format!("node {node} ({})", diagnostic.title.as_deref().unwrap_or_default());
    }
    if let Some(input) = &diagnostic.input {
        text = format!("{text}, {input}");
    }
    text =
        if text.is_empty() { diagnostic.message.clone() } else { format!("{text}: {}", diagnostic.message) };
    match &diagnostic.hint {
        Some(hint) => format!("{text} ({hint})"),
        None => text,
    }
}

fn diagnostic(diagnostic: &Diagnostic) -> Value {
    json!({
        "code": diagnostic.code.as_str(),
        "node": diagnostic.node,
        "title": diagnostic.title,
        "input": diagnostic.input,
        "message": diagnostic.message,
        "hint": diagnostic.hint,
    })
}
