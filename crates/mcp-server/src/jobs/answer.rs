//! What is answered about a job.

use futures::FutureExt as _;
use job_queue::{Job, JobState};
use mcp_protocol::wire::Content;
use mcp_protocol::{ToolError, ToolReply};
use progress::{Event, Progress};
use serde::Deserialize as _;
use serde_json::json;

use crate::app::App;
use crate::artifacts;
use crate::error::ServerError;
use crate::executor::Finished;
use crate::images::PREVIEW_BYTES;
use crate::views::{ArtifactView, JobReply, JobView, State};

/// What the tool that makes a job answers: for a job that failed, an error that has the job.
pub async fn made(app: &App, job: &Job) -> Result<ToolReply<JobReply>, ServerError> {
    let reply = reply(app, job).await?;
    let Some(error) = &reply.output.job.error else { return Ok(reply) };
    let error = ToolError {
        code: error.code.clone(),
        message: error.message.clone(),
        remedy: error.remedy.clone(),
        data: Some(Box::new(json!({"job_id": job.id}))),
    };
    Ok(reply.failed(error))
}

/// What is answered about a job: the text, the texts that came out, a small preview, and a link to each artifact.
pub async fn reply(app: &App, job: &Job) -> Result<ToolReply<JobReply>, ServerError> {
    let shown = shown(app, job).await?;
    let mut content = vec![Content::text(text(&shown.job, shown.next.as_deref()))];
    content.extend(shown.job.texts.iter().map(Content::text));
    let mut preview_room = PREVIEW_BYTES;
    for artifact in &shown.job.artifacts {
        if let Some(sound) = small_sound(app, artifact, preview_room).await? {
            preview_room -= artifact.bytes as usize;
            content.push(sound);
        }
        let preview = app.artifacts.preview(&artifact.id).await.map_err(ServerError::internal)?;
        if let Some((media_type, bytes)) = preview
            && bytes.len() <= preview_room
        {
            preview_room -= bytes.len();
            content.push(Content::image(bytes, media_type));
        }
        content.push(link(artifact));
    }
    Ok(ToolReply::with_content(shown, content))
}

/// A sound that is no longer than a preview may be, itself: nothing smaller can stand for it.
async fn small_sound(
    app: &App,
    artifact: &ArtifactView,
    room: usize,
) -> Result<Option<Content>, ServerError> {
    if !artifact.media_type.starts_with("audio/") || artifact.bytes > room as u64 {
        return Ok(None);
    }
    let data = artifacts::bytes(app, &artifact.id, artifact.bytes).await?;
    Ok(Some(Content::Audio { data, mime_type: artifact.media_type.clone() }))
}

/// The job as programs see it.
pub async fn shown(app: &App, job: &Job) -> Result<JobReply, ServerError> {
    let mut view = view(app, job).await?;
    if job.state == JobState::Succeeded
        && let Some(result) = &job.result
        && let Ok(finished) = Finished::deserialize(result)
    {
        let base_url = app.base_url();
        for id in &finished.artifacts {
            if let Some(artifact) = app.artifacts.get(id).await.map_err(ServerError::internal)? {
                view.artifacts.push(ArtifactView::new(artifact, base_url.as_deref()));
            }
        }
        view.texts = finished.texts;
        view.warnings.extend(finished.warnings);
    }
    let next = next_step(&view);
    Ok(JobReply { job: view, next })
}

/// A job with its place in the queue or its progress.
pub async fn view(app: &App, job: &Job) -> Result<JobView, ServerError> {
    let mut view = JobView::new(job);
    match job.state {
        JobState::Queued => view.position = app.queue.position(&job.id).await?,
        JobState::Running => {
            if let Some(progress) = latest_progress(app, job) {
                view.progress = Some((progress.fraction * 1000.0).floor() / 1000.0);
                view.message = progress.message.or(view.message);
            }
        }
        _ => {}
    }
    Ok(view)
}

/// The last progress that was told, if any is still kept.
fn latest_progress(app: &App, job: &Job) -> Option<Progress> {
    let mut events = app.hub.subscribe(job.id.as_str(), None);
    let mut latest = None;
    while let Some(Some(envelope)) = events.next().now_or_never() {
        if let Event::Progress(progress) = envelope.event {
            latest = Some(progress);
        }
    }
    latest
}

fn link(artifact: &ArtifactView) -> Content {
    Content::ResourceLink {
        uri: artifact.uri.clone(),
        name: artifact.file_name.clone(),
        title: None,
        description: artifact.url.clone(),
        mime_type: Some(artifact.media_type.clone()),
        size: Some(artifact.bytes),
    }
}

fn next_step(view: &JobView) -> Option<String> {
    let has = |kind: &str| view.artifacts.iter().any(|artifact| artifact.media_type.starts_with(kind));
    match view.state {
        State::Queued | State::Running => {
            Some(format!("call wait_for_job with job_id {} to wait on, or cancel_job to stop it", view.id))
        }
        State::Succeeded if has("image/") => {
            Some("get_image gives a picture in full size; its uri is an image for img2img".to_owned())
        }
        State::Succeeded if has("") => {
            Some("get_image gives a file whole; its url is for larger ones".to_owned())
        }
        _ => None,
    }
}

/// The job in a few lines, for a model that sees text alone.
fn text(view: &JobView, next: Option<&str>) -> String {
    use std::fmt::Write as _;
    let state = serde_json::to_value(view.state).ok();
    let state = state.as_ref().and_then(|state| state.as_str()).unwrap_or_default();
    let mut text = format!("job {} {state} ({}, workflow {})", view.id, view.tool, view.workflow);
    if let Some(position) = view.position {
        let _ = write!(text, ", {position} before it");
    }
    if let Some(progress) = view.progress {
        let _ = write!(text, ", {:.0} %", progress * 100.0);
    }
    if let Some(seed) = view.seed {
        let _ = write!(text, ", seed {seed}");
    }
    if !view.parameters.is_empty() {
        let told = view.parameters.iter().map(|(name, value)| match value.as_str() {
            Some(value) => format!("{name} {value}"),
            None => format!("{name} {value}"),
        });
        let _ = write!(text, "\n{}", told.collect::<Vec<_>>().join(", "));
    }
    if let Some(message) = &view.message {
        let _ = write!(text, "\n{message}");
    }
    if let Some(error) = &view.error {
        let _ = write!(text, "\n{}: {}", error.code, error.message);
        if let Some(remedy) = &error.remedy {
            let _ = write!(text, "; {remedy}");
        }
    }
    for artifact in &view.artifacts {
        let _ = write!(text, "\n{}", artifact.uri);
        match (artifact.width, artifact.height) {
            (Some(width), Some(height)) => {
                let _ = write!(text, " {width}x{height}");
            }
            _ => {
                let _ = write!(text, " {}", artifact.media_type);
            }
        }
    }
    for warning in &view.warnings {
        let _ = write!(text, "\nwarning: {warning}");
    }
    if let Some(next) = next {
        let _ = write!(text, "\n{next}");
    }
    text
}
