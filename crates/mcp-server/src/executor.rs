//! Runs a job on a backend: uploads, submits, follows, and brings the outputs home.

mod outputs;

use std::sync::Arc;

use async_trait::async_trait;
use comfy_client::{
    ComfyError, Execution as Run, Folder, NodeError, Overwrite, RunEvent, RunOutcome, RunRequest, Standing,
};
use job_queue::{ExecuteError, Execution, Executor, Job, JobError, JobStore};
use progress::{Event, GraphProgress, Hub, Progress};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use storage::{ArtifactError, ArtifactStore};
use workflow_analyzer::{Graph, Input};

use crate::backend::{Pool, Slot, describe};
use crate::plan::{Plan, Upload};

/// The largest input that is uploaded, in bytes: what ComfyUI takes by default.
const MAX_INPUT_BYTES: u64 = 100 << 20;

/// Where a job's prompt is: stored before it is submitted, so that it is found again after a restart.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Checkpoint {
    backend: String,
    prompt_id: String,
}

/// What a job came to.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Finished {
    /// The artifacts' ids, in the order of the outputs.
    pub artifacts: Vec<String>,
    /// Texts that output nodes gave.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub texts: Vec<String>,
}

/// Runs jobs on ComfyUI.
pub struct ComfyExecutor {
    /// The backends.
    pub pool: Arc<Pool>,
    /// Where progress goes.
    pub hub: Hub,
    /// Where inputs come from and outputs go.
    pub artifacts: ArtifactStore,
    /// Tells a cancelled job from a lost lease.
    pub jobs: Arc<dyn JobStore>,
}

#[async_trait]
impl Executor for ComfyExecutor {
    async fn execute(&self, job: Job, execution: Execution) -> Result<Value, ExecuteError> {
        let plan: Plan = serde_json::from_value(job.payload.clone()).map_err(|error| {
            tracing::error!(job.id = %job.id, %error, "a stored job can't be read");
            failed("internal_error", "the stored job can't be read", Retry::No)
        })?;
        let prepared = tokio::select! {
            biased;
            () = execution.stopping().cancelled() => return Err(ExecuteError::Interrupted),
            () = execution.cancelled().cancelled() => return self.cancel_earlier(&job).await,
            prepared = self.prepare(&job, &plan) => prepared?,
        };
        // Not dropped half-way: a prompt that is submitted has to be followed, or cancelled.
        let (slot, run) = match prepared {
            Prepared::Found(slot, run) => (slot, run),
            Prepared::New(slot, graph) => {
                let run = self.submit(&job, &execution, &slot, graph).await?;
                (slot, run)
            }
        };
        let finished = self.follow(&job, &plan, &execution, &slot, run).await?;
        serde_json::to_value(finished)
            .map_err(|_| failed("internal_error", "the result can't be stored", Retry::No))
    }
}

impl ComfyExecutor {
    /// Finds the prompt that an earlier attempt submitted, or takes a place and uploads what a new one needs.
    async fn prepare(&self, job: &Job, plan: &Plan) -> Result<Prepared, ExecuteError> {
        if let Some((slot, run)) = self.resume(job).await? {
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

    /// Stores the prompt's id, and only then submits it.
    async fn submit(
        &self,
        job: &Job,
        execution: &Execution,
        slot: &Slot,
        graph: Graph,
    ) -> Result<Run, ExecuteError> {
        let prompt_id = uuid::Uuid::new_v4().to_string();
        let checkpoint = Checkpoint { backend: slot.backend.name.clone(), prompt_id };
        self.store_prompt_id(job, execution, &checkpoint).await?;
        let request = RunRequest::new(checkpoint.prompt_id.clone(), graph);
        let run = slot.backend.client.run(request).await.map_err(|error| refused(slot, &error))?;
        if run.prompt_id() != checkpoint.prompt_id {
            // A ComfyUI that is too old to take an id has chosen its own.
            let checkpoint = Checkpoint { prompt_id: run.prompt_id().to_owned(), ..checkpoint };
            self.store_prompt_id(job, execution, &checkpoint).await?;
        }
        Ok(run)
    }

    /// Follows on the prompt that the job's checkpoint names, if ComfyUI knows it.
    async fn resume(&self, job: &Job) -> Result<Option<(Slot, Run)>, ExecuteError> {
        let Some(checkpoint) = checkpoint(job) else { return Ok(None) };
        self.say(job, "looking for the prompt that was submitted before");
        let Some(slot) = self.pool.acquire_named(&checkpoint.backend).await else { return Ok(None) };
        let client = &slot.backend.client;
        let standing =
            client.standing(&checkpoint.prompt_id).await.map_err(|error| refused(&slot, &error))?;
        if failed_before(job, &standing) {
            return Ok(None);
        }
        tracing::info!(job.id = %job.id, prompt.id = %checkpoint.prompt_id, "an earlier prompt is followed on");
        let run = client.attach(checkpoint.prompt_id);
        Ok(Some((slot, run)))
    }

    /// A cancel that comes before this attempt has a prompt of its own may concern one of an earlier attempt.
    async fn cancel_earlier(&self, job: &Job) -> Result<Value, ExecuteError> {
        if let Some(checkpoint) = checkpoint(job)
            && self.cancel_was_asked(job).await
            && let Some(backend) =
                self.pool.backends().iter().find(|backend| backend.name == checkpoint.backend)
            && let Err(error) = backend.client.cancel(&checkpoint.prompt_id).await
        {
            tracing::warn!(job.id = %job.id, reason = describe(&error), "the prompt could not be cancelled");
        }
        Err(ExecuteError::Cancelled)
    }

    /// Puts the input pictures into ComfyUI's folder, and the names that it gave them into the graph.
    async fn upload(&self, plan: &Plan, slot: &Slot) -> Result<Graph, ExecuteError> {
        let mut graph = Graph::from_json(&plan.graph).map_err(|error| {
            failed("internal_error", &format!("the stored graph can't be read: {error}"), Retry::No)
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
        let found = self.artifacts.read_all(&upload.artifact, MAX_INPUT_BYTES).await.map_err(stored)?;
        let (artifact, bytes) = found.ok_or_else(missing)?;
        let (subfolder, name) = upload.reference.rsplit_once('/').unwrap_or(("", &upload.reference));
        let file = comfy_client::Upload {
            filename: name.to_owned(),
            subfolder: subfolder.to_owned(),
            media_type: artifact.media_type,
            bytes,
            folder: Folder::Input,
            overwrite: Overwrite::Always,
        };
        let uploaded = slot.backend.client.upload_image(file).await.map_err(|error| refused(slot, &error))?;
        Ok(uploaded.reference())
    }

    /// Follows the run to its end. A user's cancel is carried out on exactly this prompt; a stop of the server or a
    /// lost lease leaves it running, to be found again.
    async fn follow(
        &self,
        job: &Job,
        plan: &Plan,
        execution: &Execution,
        slot: &Slot,
        mut run: Run,
    ) -> Result<Finished, ExecuteError> {
        let mut progress = GraphProgress::new(plan.weights.clone());
        loop {
            let event = tokio::select! {
                biased;
                () = execution.stopping().cancelled() => return Err(ExecuteError::Interrupted),
                () = execution.cancelled().cancelled() => {
                    if self.cancel_was_asked(job).await
                        && let Err(error) = run.cancel().await
                    {
                        tracing::warn!(job.id = %job.id, reason = describe(&error), "the prompt could not be cancelled");
                    }
                    return Err(ExecuteError::Cancelled);
                }
                event = run.next() => event,
            };
            match event {
                Some(RunEvent::Submitted { node_errors, .. }) if !node_errors.is_empty() => {
                    tracing::warn!(job.id = %job.id, nodes = node_errors.len(), "ComfyUI left some outputs out");
                }
                Some(RunEvent::Finished(outcome)) => {
                    return self.finish(job, slot, run.prompt_id(), outcome).await;
                }
                Some(event) => self.report(job, &mut progress, event),
                None => return Err(failed("comfyui_lost", "the run ended without an outcome", Retry::Yes)),
            }
        }
    }

    async fn store_prompt_id(
        &self,
        job: &Job,
        execution: &Execution,
        checkpoint: &Checkpoint,
    ) -> Result<(), ExecuteError> {
        let value = serde_json::to_value(checkpoint).unwrap_or_default();
        execution.checkpoint(value).await.map_err(|error| {
            tracing::warn!(job.id = %job.id, %error, "the prompt's id can't be stored");
            failed("internal_error", "the prompt's id can't be stored", Retry::Yes)
        })
    }

    async fn cancel_was_asked(&self, job: &Job) -> bool {
        let now = jiff::Timestamp::now();
        match self.jobs.get(&job.id).await {
            Ok(Some(job)) => job.cancel_requested || job.deadline.is_some_and(|deadline| deadline <= now),
            Ok(None) => true,
            Err(_) => false,
        }
    }

    fn report(&self, job: &Job, progress: &mut GraphProgress, event: RunEvent) {
        let (fraction, node, step) = match event {
            RunEvent::Cached { nodes } => (progress.cached(&nodes), None, None),
            RunEvent::NodeStarted { node } => (progress.node_started(&node), Some(node), None),
            RunEvent::NodeProgress { node, value, max } => {
                let step = (value >= 0.0 && max >= 0.0).then_some((value as u64, max as u64));
                (progress.node_progress(&node, value, max), Some(node), step)
            }
            RunEvent::NodeFinished { node } => (progress.node_finished(&node), None, None),
            RunEvent::Preview { media_type, bytes } => {
                let preview = progress::Preview { media_type: media_type.to_owned(), bytes };
                self.hub.publish(job.id.as_str(), Event::Preview(preview));
                return;
            }
            RunEvent::Transport(transport) => {
                tracing::debug!(job.id = %job.id, ?transport, "following the run");
                return;
            }
            _ => return,
        };
        if let Some(fraction) = fraction {
            let message = step.map(|(value, max)| format!("step {value} of {max}"));
            let event = Progress { fraction, message, node, step };
            self.hub.publish(job.id.as_str(), Event::Progress(event));
        }
    }

    fn say(&self, job: &Job, message: &str) {
        let event = Progress { fraction: 0.0, message: Some(message.into()), node: None, step: None };
        self.hub.publish(job.id.as_str(), Event::Progress(event));
    }

    async fn finish(
        &self,
        job: &Job,
        slot: &Slot,
        prompt_id: &str,
        outcome: RunOutcome,
    ) -> Result<Finished, ExecuteError> {
        let outcome_is_retryable = outcome.is_retryable();
        match outcome {
            RunOutcome::Succeeded { outputs, texts } => {
                self.collect(job, slot, prompt_id, outputs, texts).await
            }
            RunOutcome::Failed { error } => Err(node_failed(&error)),
            RunOutcome::Interrupted => {
                Err(failed("interrupted", "somebody interrupted the prompt in ComfyUI", Retry::No))
            }
            RunOutcome::Lost(reason) => {
                slot.backend.check_soon();
                let retry = if outcome_is_retryable { Retry::Yes } else { Retry::No };
                Err(failed("comfyui_lost", &reason.to_string(), retry))
            }
        }
    }
}

/// What an attempt begins with.
enum Prepared {
    /// An earlier attempt's prompt, which goes on.
    Found(Slot, Run),
    /// A place, and the graph with the names of its uploaded pictures.
    New(Slot, Graph),
}

fn checkpoint(job: &Job) -> Option<Checkpoint> {
    serde_json::from_value(job.checkpoint.clone()?).ok()
}

/// Whether the earlier prompt is of no use: ComfyUI doesn't know it, or it is why the job is tried again.
fn failed_before(job: &Job, standing: &Standing) -> bool {
    match standing {
        Standing::Unknown => true,
        Standing::Finished(entry) => {
            job.error.is_some() && !matches!(entry.outcome(), RunOutcome::Succeeded { .. })
        }
        Standing::Pending { .. } | Standing::Running(_) => false,
    }
}

/// ComfyUI's refusal as a job's error; a backend that doesn't answer is looked at at once.
fn refused(slot: &Slot, error: &ComfyError) -> ExecuteError {
    let retryable = error.is_retryable();
    if retryable {
        slot.backend.check_soon();
    }
    let code = match error {
        ComfyError::Rejected { .. } => "comfyui_rejected",
        ComfyError::Unreachable { .. } | ComfyError::Timeout { .. } => "comfyui_unavailable",
        _ => "comfyui_error",
    };
    ExecuteError::Failed(JobError {
        code: code.to_owned(),
        message: describe(error),
        remedy: error.remedy().map(str::to_owned),
        retryable,
    })
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

#[derive(Clone, Copy, PartialEq, Eq)]
enum Retry {
    Yes,
    No,
}

fn failed(code: &str, message: &str, retry: Retry) -> ExecuteError {
    ExecuteError::Failed(JobError {
        code: code.to_owned(),
        message: message.to_owned(),
        remedy: None,
        retryable: retry == Retry::Yes,
    })
}

fn stored(error: ArtifactError) -> ExecuteError {
    tracing::error!(
        error = format!("{:#}", anyhow::Error::from(error)),
        "an artifact can't be stored or read"
    );
    failed("storage_failed", "a picture can't be stored or read; the server's log says why", Retry::Yes)
}

fn node_failed(error: &NodeError) -> ExecuteError {
    let memory = error.is_out_of_memory();
    ExecuteError::Failed(JobError {
        code: if memory { "out_of_memory" } else { "execution_failed" }.to_owned(),
        message: error.to_string(),
        remedy: memory.then(|| "ask for a smaller picture or a smaller batch".to_owned()),
        retryable: false,
    })
}
