//! Runs a job on a backend: begins or finds its prompt, follows it, and brings the outputs home.

mod begin;
mod failure;
mod media;
mod outputs;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use comfy_client::{CancelResult, ComfyError, Execution as Run, RunEvent, RunOutcome, Transport};
use job_queue::{CancelReason, ExecuteError, Execution, Executor, Job};
use progress::{Event, GraphProgress, Hub, Progress};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use storage::ArtifactStore;

use self::failure::{Retry, failed, left_out, node_failed};
use crate::backend::{Pool, Slot, describe};
use crate::plan::Plan;
use crate::updates::Updates;

/// What a job came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finished {
    /// The artifacts' ids, in the order of the outputs.
    pub artifacts: Vec<String>,
    /// Texts that output nodes gave.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub texts: Vec<String>,
    /// What ComfyUI left out when it took the graph, a line for each node that it found fault with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// Runs jobs on ComfyUI.
pub struct ComfyExecutor {
    /// The backends.
    pub pool: Arc<Pool>,
    /// Where progress goes.
    pub hub: Hub,
    /// Who subscribes to jobs hears of it too.
    pub updates: Updates,
    /// Where inputs come from and outputs go.
    pub artifacts: ArtifactStore,
}

#[async_trait]
impl Executor for ComfyExecutor {
    async fn execute(&self, job: Job, execution: Execution) -> Result<Value, ExecuteError> {
        let plan: Plan = serde_json::from_value(job.payload.clone()).map_err(|error| {
            tracing::error!(job.id = %job.id, %error, "a stored job can't be read");
            failed("internal_error", "the stored job can't be read", Retry::No)
        })?;
        let (slot, run) = self.begin(&job, &plan, &execution).await?;
        let finished = self.follow(&job, &plan, &execution, &slot, run).await?;
        let result = serde_json::to_value(finished)
            .map_err(|_| failed("internal_error", "the result can't be stored", Retry::No))?;
        // Before the change of state, after which the stream is closed.
        let done = Progress { fraction: 1.0, message: Some("done".into()), ..Progress::default() };
        self.tell(&job, done);
        Ok(result)
    }
}

impl ComfyExecutor {
    /// Follows the run to its end. A cancel is carried out on exactly this prompt, also when the server stops at the
    /// same time; a stop alone or a lost lease leaves it running, to be found again.
    async fn follow(
        &self,
        job: &Job,
        plan: &Plan,
        execution: &Execution,
        slot: &Slot,
        mut run: Run,
    ) -> Result<Finished, ExecuteError> {
        let mut progress = GraphProgress::new(plan.weights.clone());
        let mut warnings = Vec::new();
        let outcome = loop {
            let event = tokio::select! {
                biased;
                () = execution.cancelled().cancelled() => return Err(let_go(job, execution, run.cancel()).await),
                () = execution.stopping().cancelled() => return Err(ExecuteError::Interrupted),
                event = run.next() => event,
            };
            match event {
                Some(RunEvent::Submitted { node_errors, .. }) => warnings = left_out(&node_errors),
                Some(RunEvent::Finished(outcome)) => break outcome,
                Some(event) => self.report(job, slot, &mut progress, event),
                None => return Err(failed("comfyui_lost", "the run ended without an outcome", Retry::Yes)),
            }
        };
        tokio::select! {
            biased;
            () = execution.cancelled().cancelled() => Err(ExecuteError::Cancelled),
            () = execution.stopping().cancelled() => Err(ExecuteError::Interrupted),
            finished = self.finish(job, plan, slot, run.prompt_id(), outcome) => Ok(Finished { warnings, ..finished? }),
        }
    }

    async fn finish(
        &self,
        job: &Job,
        plan: &Plan,
        slot: &Slot,
        prompt_id: &str,
        outcome: RunOutcome,
    ) -> Result<Finished, ExecuteError> {
        let retry = if outcome.is_retryable() { Retry::Yes } else { Retry::No };
        match outcome {
            RunOutcome::Succeeded { outputs, texts } => {
                self.collect(job, plan, slot, prompt_id, outputs, texts).await
            }
            RunOutcome::Failed { error } => Err(node_failed(&error, retry)),
            RunOutcome::Interrupted => {
                Err(failed("interrupted", "somebody interrupted the prompt in ComfyUI", retry))
            }
            RunOutcome::Lost(reason) => {
                slot.backend.check_soon();
                Err(failed("comfyui_lost", reason.to_string(), retry))
            }
        }
    }

    fn report(&self, job: &Job, slot: &Slot, progress: &mut GraphProgress, event: RunEvent) {
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
                if transport == Transport::Polling {
                    // The socket is gone; whether ComfyUI is too is for the monitor to find out.
                    slot.backend.check_soon();
                }
                tracing::debug!(job.id = %job.id, ?transport, "following the run");
                return;
            }
            _ => return,
        };
        if let Some(fraction) = fraction {
            let message = step.map(|(value, max)| format!("step {value} of {max}"));
            self.tell(job, Progress { fraction, message, node, step });
        }
    }

    /// Tells what is being done; the fraction stays where it is.
    fn say(&self, job: &Job, message: &str) {
        self.tell(job, Progress { message: Some(message.into()), ..Progress::default() });
    }

    fn tell(&self, job: &Job, progress: Progress) {
        self.hub.publish(job.id.as_str(), Event::Progress(progress));
        self.updates.moved(&job.id);
    }
}

/// Ends the prompt of a job that is to end. The prompt of a job that is another worker's now goes on.
async fn let_go(
    job: &Job,
    execution: &Execution,
    cancel: impl Future<Output = Result<CancelResult, ComfyError>>,
) -> ExecuteError {
    if execution.cancel_reason() == Some(CancelReason::LeaseLost) {
        return ExecuteError::Cancelled;
    }
    match cancel.await {
        Ok(CancelResult::StillRunning) => tracing::warn!(
            job.id = %job.id,
            "the job is cancelled, but ComfyUI has not let go of its prompt yet; the node that runs has to end first"
        ),
        Ok(result) => tracing::debug!(job.id = %job.id, ?result, "the prompt is cancelled"),
        Err(error) => {
            tracing::warn!(job.id = %job.id, reason = describe(&error), "the prompt could not be cancelled");
        }
    }
    ExecuteError::Cancelled
}
