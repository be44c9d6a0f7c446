//! How an attempt begins: finds the prompt of an earlier one, or uploads what a new one needs and submits it.

use comfy_client::{Execution as Run, Folder, Overwrite, RunRequest, Standing};
use job_queue::{ExecuteError, Execution, Job};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use workflow_analyzer::{Graph, Input};

use super::failure::{OUT_OF_MEMORY, Pauses, Retry, failed, refused, storage_failed};
use super::{ComfyExecutor, let_go};
use crate::backend::Slot;
use crate::plan::{Plan, Upload};

/// The largest input that is uploaded, in bytes: what ComfyUI takes by default.
const MAX_INPUT_BYTES: u64 = 100 << 20;

/// Where a job's prompt is: stored before it is submitted, so that it is found again after a restart.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Checkpoint {
    backend: String,
    pub(super) prompt_id: String,
}

/// The latest prompt of the job.
struct Latest {
    checkpoint: Option<Checkpoint>,
    /// It ran out of memory, which is why the job is tried again.
    out_of_memory: bool,
}

/// What an attempt begins with.
enum Prepared {
    /// A prompt that was submitted before.
    Found(Slot, Run),
    /// A place, and the graph with the names of its uploaded pictures.
    New(Slot, Graph),
}

impl ComfyExecutor {
    /// The prompt of this job, in ComfyUI. Short trouble is waited out, so that it doesn't cost the attempt.
    pub(super) async fn begin(
        &self,
        job: &Job,
        plan: &Plan,
        execution: &Execution,
    ) -> Result<(Slot, Run), ExecuteError> {
        let mut latest = Latest::of(job);
        let mut pauses = Pauses::default();
        loop {
            let error = match self.try_begin(job, plan, execution, &mut latest).await {
                Ok(begun) => return Ok(begun),
                Err(error) => error,
            };
            let Some(pause) = pauses.after(&error) else { return Err(error) };
            tracing::info!(job.id = %job.id, %error, "the job can't begin yet");
            self.say(job, "waiting for ComfyUI");
            // A cancel or a stop is dealt with by the next try.
            tokio::select! {
                () = execution.cancelled().cancelled() => {}
                () = execution.stopping().cancelled() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    async fn try_begin(
        &self,
        job: &Job,
        plan: &Plan,
        execution: &Execution,
        latest: &mut Latest,
    ) -> Result<(Slot, Run), ExecuteError> {
        let prepared = tokio::select! {
            biased;
            () = execution.cancelled().cancelled() => return Err(self.cancel_latest(job, execution, latest).await),
            () = execution.stopping().cancelled() => return Err(ExecuteError::Interrupted),
            prepared = self.prepare(job, plan, latest) => prepared?,
        };
        match prepared {
            Prepared::Found(slot, run) => Ok((slot, run)),
            // Not dropped half-way: a prompt that is submitted has to be followed, or cancelled.
            Prepared::New(slot, graph) => {
                let run = self.submit(job, execution, &slot, graph, latest).await?;
                Ok((slot, run))
            }
        }
    }

    /// Finds the prompt that was submitted before, or takes a place and uploads what a new one needs.
    async fn prepare(&self, job: &Job, plan: &Plan, latest: &Latest) -> Result<Prepared, ExecuteError> {
        if let Some((slot, run)) = self.resume(job, latest).await? {
            return Ok(Prepared::Found(slot, run));
        }
        let slot = if let Some(slot) = self.pool.try_acquire() {
            slot
        } else {
            self.say(job, "waiting for ComfyUI");
            self.pool.acquire().await
        };
        let graph = self.upload(plan, &slot).await?;
        Ok(Prepared::New(slot, graph))
    }

    /// Follows on the latest prompt, if ComfyUI knows it. However it ended while nobody looked is its end, unless that
    /// is known and why the job is tried again.
    async fn resume(&self, job: &Job, latest: &Latest) -> Result<Option<(Slot, Run)>, ExecuteError> {
        let Some(checkpoint) = &latest.checkpoint else { return Ok(None) };
        self.say(job, "looking for the prompt that was submitted before");
        let Some(slot) = self.pool.acquire_named(&checkpoint.backend).await else { return Ok(None) };
        let client = &slot.backend.client;
        let standing = client.standing(&checkpoint.prompt_id).await;
        match standing.map_err(|error| refused(&slot.backend, &error))? {
            Standing::Unknown => return Ok(None),
            Standing::Finished(entry) if latest.out_of_memory && entry.outcome().is_retryable() => {
                return Ok(None);
            }
            Standing::Finished(_) | Standing::Pending { .. } | Standing::Running(_) => {}
        }
        tracing::info!(job.id = %job.id, prompt.id = %checkpoint.prompt_id, "an earlier prompt is followed on");
        let run = client.attach(checkpoint.prompt_id.clone());
        Ok(Some((slot, run)))
    }

    /// Stores the prompt's id, and only then submits it.
    async fn submit(
        &self,
        job: &Job,
        execution: &Execution,
        slot: &Slot,
        graph: Graph,
        latest: &mut Latest,
    ) -> Result<Run, ExecuteError> {
        let prompt_id = uuid::Uuid::new_v4().to_string();
        let checkpoint = Checkpoint { backend: slot.backend.name.clone(), prompt_id: prompt_id.clone() };
        latest.becomes(checkpoint, job, execution).await?;
        let request = RunRequest::new(prompt_id.clone(), graph);
        let run = slot.backend.client.run(request).await.map_err(|error| refused(&slot.backend, &error))?;
        if run.prompt_id() != prompt_id {
            // A ComfyUI that is too old to take an id has chosen its own.
            let backend = slot.backend.name.clone();
            let checkpoint = Checkpoint { backend, prompt_id: run.prompt_id().to_owned() };
            latest.becomes(checkpoint, job, execution).await?;
        }
        Ok(run)
    }

    /// A cancel that comes before this attempt follows a prompt may concern one that is in ComfyUI all the same.
    async fn cancel_latest(&self, job: &Job, execution: &Execution, latest: &Latest) -> ExecuteError {
        if let Some(checkpoint) = &latest.checkpoint
            && let Some(backend) =
                self.pool.backends().iter().find(|backend| backend.name == checkpoint.backend)
        {
            let_go(job, execution, backend.client.cancel(&checkpoint.prompt_id)).await
        } else {
            ExecuteError::Cancelled
        }
    }

    /// Puts the input pictures into ComfyUI's folder, and the names that it gave them into the graph.
    async fn upload(&self, plan: &Plan, slot: &Slot) -> Result<Graph, ExecuteError> {
        let mut graph = Graph::from_json(&plan.graph).map_err(|error| {
            failed("internal_error", format!("the stored graph can't be read: {error}"), Retry::No)
        })?;
        for upload in &plan.uploads {
            let reference = self.upload_one(upload, slot).await?;
            if reference != upload.reference {
                rename(&mut graph, &upload.reference, &reference);
            }
        }
        Ok(graph)
    }

    async fn upload_one(&self, upload: &Upload, slot: &Slot) -> Result<String, ExecuteError> {
        let missing = || failed("input_lost", "an input image of this job is not stored any more", Retry::No);
        let found = self.artifacts.read_all(&upload.artifact, MAX_INPUT_BYTES).await;
        let (artifact, bytes) = found.map_err(storage_failed)?.ok_or_else(missing)?;
        let (subfolder, name) = upload.reference.rsplit_once('/').unwrap_or(("", &upload.reference));
        let file = comfy_client::Upload {
            filename: name.to_owned(),
            subfolder: subfolder.to_owned(),
            media_type: artifact.media_type,
            bytes,
            folder: Folder::Input,
            overwrite: Overwrite::Always,
        };
        let uploaded = slot.backend.client.upload_image(file).await;
        Ok(uploaded.map_err(|error| refused(&slot.backend, &error))?.reference())
    }
}

impl Latest {
    fn of(job: &Job) -> Self {
        Self {
            checkpoint: job.checkpoint.clone().and_then(|value| serde_json::from_value(value).ok()),
            out_of_memory: job.error.as_ref().is_some_and(|error| error.code == OUT_OF_MEMORY),
        }
    }

    /// Stored before it is in ComfyUI.
    async fn becomes(
        &mut self,
        checkpoint: Checkpoint,
        job: &Job,
        execution: &Execution,
    ) -> Result<(), ExecuteError> {
        let value = serde_json::to_value(&checkpoint).unwrap_or_default();
        execution.checkpoint(value).await.map_err(|error| {
            tracing::warn!(job.id = %job.id, %error, "the prompt's id can't be stored");
            failed("internal_error", "the prompt's id can't be stored", Retry::Yes)
        })?;
        *self = Self { checkpoint: Some(checkpoint), out_of_memory: false };
        Ok(())
    }
}

/// Puts another name in the place of an input file's, wherever a node loads it.
fn rename(graph: &mut Graph, from: &str, to: &str) {
    for node in graph.nodes.values_mut() {
        for input in node.inputs.values_mut() {
            if matches!(input, Input::Value(Value::String(text)) if text == from) {
                *input = Input::Value(to.into());
            }
        }
    }
}
