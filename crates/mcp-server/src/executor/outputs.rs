//! Brings a run's outputs home: files into the artifact store, with a preview of each picture.

use std::time::Duration;

use bytes::Bytes;
use comfy_client::{OutputFile, OutputText};
use futures::future::ready;
use futures::stream::{self, BoxStream, StreamExt as _};
use job_queue::{ExecuteError, Job};
use storage::NewArtifact;
use workflow_analyzer::metadata::PngStripper;

use super::failure::{Pauses, Retry, failed, not_stored, refused, storage_failed};
use super::media::{is_still, media_type};
use super::{ComfyExecutor, Finished};
use crate::backend::Slot;
use crate::images;
use crate::plan::Plan;

/// The largest picture that a preview is made of, in bytes.
const MAX_PREVIEWED_BYTES: u64 = 64 << 20;
/// Of one text that a node shows, in bytes, and of all: they go into an agent's context.
const MAX_TEXT_BYTES: usize = 16 << 10;
const MAX_TEXTS_BYTES: usize = 64 << 10;
/// How long the download of one output is tried again: the work is done, and only its fruit is missing.
const FETCH_PATIENCE: Duration = Duration::from_secs(30);

impl ComfyExecutor {
    /// Streams the outputs into the store. Files of the temp folder are previews; they count only when the graph
    /// saves nothing.
    pub(super) async fn collect(
        &self,
        job: &Job,
        plan: &Plan,
        slot: &Slot,
        prompt_id: &str,
        outputs: Vec<OutputFile>,
        texts: Vec<OutputText>,
    ) -> Result<Finished, ExecuteError> {
        let saved = outputs.iter().any(|output| output.file.kind == "output");
        let mut finished = Finished { texts: bounded(texts), ..Finished::default() };
        for output in outputs {
            if saved && output.file.kind != "output" {
                continue;
            }
            finished.artifacts.push(self.fetch(job, plan, slot, prompt_id, &output).await?);
        }
        if finished.artifacts.is_empty() && finished.texts.is_empty() {
            return Err(failed("no_output", "the workflow ran and gave no file", Retry::No));
        }
        Ok(finished)
    }

    async fn fetch(
        &self,
        job: &Job,
        plan: &Plan,
        slot: &Slot,
        prompt_id: &str,
        output: &OutputFile,
    ) -> Result<String, ExecuteError> {
        let mut pauses = Pauses::within(FETCH_PATIENCE);
        loop {
            let error = match self.try_fetch(job, plan, slot, prompt_id, output).await {
                Ok(id) => return Ok(id),
                Err(error) => error,
            };
            let Some(pause) = pauses.after(&error) else { return Err(error) };
            tracing::info!(job.id = %job.id, %error, "an output can't be fetched yet");
            tokio::time::sleep(pause).await;
        }
    }

    async fn try_fetch(
        &self,
        job: &Job,
        plan: &Plan,
        slot: &Slot,
        prompt_id: &str,
        output: &OutputFile,
    ) -> Result<String, ExecuteError> {
        let (backend, file) = (&slot.backend, &output.file);
        let view = backend.client.view(file).await.map_err(|error| refused(backend, &error))?;
        let new = NewArtifact {
            job_id: Some(job.id.to_string()),
            owner: job.owner.clone(),
            media_type: media_type(output, &view.media_type),
            file_name: file.filename.clone(),
            source: Some(format!("{prompt_id}/{}/{}/{}", file.kind, file.subfolder, file.filename)),
        };
        let bytes = if plan.strip_metadata { stripped(view.stream) } else { view.stream };
        let created = self.artifacts.create(new, bytes, jiff::Timestamp::now()).await;
        let artifact = created.map_err(|error| not_stored(backend, error))?;
        if is_still(output, &artifact.media_type) && artifact.bytes <= MAX_PREVIEWED_BYTES {
            self.add_preview(&artifact.id).await?;
        }
        Ok(artifact.id)
    }

    async fn add_preview(&self, id: &str) -> Result<(), ExecuteError> {
        let found = self.artifacts.read_all(id, MAX_PREVIEWED_BYTES).await.map_err(storage_failed)?;
        let Some((_, bytes)) = found else { return Ok(()) };
        match images::preview(bytes).await {
            Ok((width, height, preview)) => self
                .artifacts
                .set_image_info(id, width, height, Some((preview.media_type.to_owned(), preview.bytes)))
                .await
                .map(|_| ())
                .map_err(storage_failed),
            Err(error) => {
                tracing::debug!(artifact.id = %id, %error, "an output has no preview");
                Ok(())
            }
        }
    }
}

/// The stream without the texts that are in a PNG.
fn stripped<E: Send + 'static>(
    stream: BoxStream<'static, Result<Bytes, E>>,
) -> BoxStream<'static, Result<Bytes, E>> {
    let mut stripper = PngStripper::default();
    // After the last bytes, what was held back.
    let pieces = stream.map(Some).chain(stream::once(ready(None)));
    let kept = pieces.map(move |piece| match piece {
        Some(bytes) => bytes.map(|bytes| stripper.push(&bytes).into()),
        None => Ok(stripper.finish().into()),
    });
    kept.boxed()
}

/// The texts, as far as there is room for them.
fn bounded(texts: Vec<OutputText>) -> Vec<String> {
    let mut room = MAX_TEXTS_BYTES;
    let cut = |OutputText { text, .. }: OutputText| {
        let kept = &text[..text.floor_char_boundary(MAX_TEXT_BYTES.min(room))];
        room -= kept.len();
        if kept.len() == text.len() { text } else { format!("{kept}… (of {} bytes)", text.len()) }
    };
    // Behind the room nothing is told but that there was more.
    texts.into_iter().take(100).map(cut).collect()
}
