//! Brings a run's outputs home: files into the artifact store, with a preview of each picture.

use std::time::Duration;

use comfy_client::{FileRef, OutputFile, OutputText};
use job_queue::{ExecuteError, Job};
use storage::NewArtifact;

use super::failure::{Pauses, Retry, failed, not_stored, refused, storage_failed};
use super::{ComfyExecutor, Finished};
use crate::backend::Slot;
use crate::images;

/// The largest picture that a preview is made of, in bytes.
const MAX_PREVIEWED_BYTES: u64 = 64 << 20;
/// How long the download of one output is tried again: the work is done, and only its fruit is missing.
const FETCH_PATIENCE: Duration = Duration::from_secs(30);

impl ComfyExecutor {
    /// Streams the outputs into the store. Files of the temp folder are previews; they count only when the graph
    /// saves nothing.
    pub(super) async fn collect(
        &self,
        job: &Job,
        slot: &Slot,
        prompt_id: &str,
        outputs: Vec<OutputFile>,
        texts: Vec<OutputText>,
    ) -> Result<Finished, ExecuteError> {
        let saved = outputs.iter().any(|output| output.file.kind == "output");
        let texts = texts.into_iter().map(|text| text.text).collect();
        let mut finished = Finished { texts, ..Finished::default() };
        for output in outputs {
            if saved && output.file.kind != "output" {
                continue;
            }
            finished.artifacts.push(self.fetch(job, slot, prompt_id, &output.file).await?);
        }
        if finished.artifacts.is_empty() && finished.texts.is_empty() {
            return Err(failed("no_output", "the workflow ran and gave no file", Retry::No));
        }
        Ok(finished)
    }

    async fn fetch(
        &self,
        job: &Job,
        slot: &Slot,
        prompt_id: &str,
        file: &FileRef,
    ) -> Result<String, ExecuteError> {
        let mut pauses = Pauses::within(FETCH_PATIENCE);
        loop {
            let error = match self.try_fetch(job, slot, prompt_id, file).await {
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
        slot: &Slot,
        prompt_id: &str,
        file: &FileRef,
    ) -> Result<String, ExecuteError> {
        let backend = &slot.backend;
        let view = backend.client.view(file).await.map_err(|error| refused(backend, &error))?;
        let new = NewArtifact {
            job_id: Some(job.id.to_string()),
            owner: job.owner.clone(),
            media_type: view.media_type.clone(),
            file_name: file.filename.clone(),
            source: Some(format!("{prompt_id}/{}/{}/{}", file.kind, file.subfolder, file.filename)),
        };
        let created = self.artifacts.create(new, view.stream, jiff::Timestamp::now()).await;
        let artifact = created.map_err(|error| not_stored(backend, error))?;
        if artifact.media_type.starts_with("image/") && artifact.bytes <= MAX_PREVIEWED_BYTES {
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
