//! Cancelling exactly one prompt.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};

use crate::{ComfyClient, ComfyError, RunOutcome, Standing};

const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// What a cancellation came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CancelResult {
    /// It waited, and was taken out of the queue.
    Deleted,
    /// It ran, and was interrupted.
    Interrupted,
    /// It had ended by itself, or did before the interrupt took hold.
    Ended,
    /// ComfyUI doesn't know it.
    NotFound,
    /// It was interrupted, but the node that runs doesn't heed it (yet): loading a model can't be interrupted.
    StillRunning,
}

/// Cancels the prompt of one [`crate::Execution`], from anywhere.
#[derive(Clone, Debug)]
pub struct Canceller {
    pub(crate) client: ComfyClient,
    pub(crate) prompt_id: String,
    pub(crate) signal: Arc<Signal>,
}

/// What the follower of a prompt has to know: a deleted prompt leaves no trace in ComfyUI.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    requested: AtomicBool,
    done: Notify,
}

impl Canceller {
    /// See [`ComfyClient::cancel`]. The execution ends with [`RunOutcome::Interrupted`], unless it had ended.
    pub async fn cancel(&self) -> Result<CancelResult, ComfyError> {
        self.signal.requested.store(true, Ordering::Release);
        let result = self.client.cancel(&self.prompt_id).await;
        self.signal.done.notify_one();
        result
    }
}

impl Signal {
    pub(crate) fn is_requested(&self) -> bool {
        self.requested.load(Ordering::Acquire)
    }

    pub(crate) async fn done(&self) {
        self.done.notified().await;
    }
}

impl ComfyClient {
    /// Ends exactly this prompt: takes it out of the queue, or interrupts it, and looks again until it is gone, because
    /// an interrupt can get lost and a waiting prompt can start. Takes at most [`crate::FollowConfig::cancel_timeout`]
    /// and one answer of ComfyUI.
    pub async fn cancel(&self, prompt_id: &str) -> Result<CancelResult, ComfyError> {
        let until = Instant::now() + self.follow.cancel_timeout;
        let mut did = CancelResult::NotFound;
        let mut pause = FIRST_PAUSE;
        loop {
            let step = self.cancel_step(prompt_id, &mut did).await;
            let is_last = Instant::now() + pause >= until;
            match step {
                Ok(Some(result)) => return Ok(result),
                Ok(None) if is_last => return Ok(CancelResult::StillRunning),
                Err(error) if is_last || !error.is_retryable() => return Err(error),
                Ok(None) | Err(_) => {}
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn cancel_step(
        &self,
        prompt_id: &str,
        did: &mut CancelResult,
    ) -> Result<Option<CancelResult>, ComfyError> {
        match self.standing(prompt_id).await? {
            Standing::Pending { .. } => {
                self.delete_pending(&[prompt_id]).await?;
                *did = CancelResult::Deleted;
            }
            Standing::Running(_) => {
                self.interrupt(prompt_id).await?;
                *did = CancelResult::Interrupted;
            }
            Standing::Finished(entry) if entry.outcome() == RunOutcome::Interrupted => {
                return Ok(Some(CancelResult::Interrupted));
            }
            Standing::Finished(_) => return Ok(Some(CancelResult::Ended)),
            Standing::Unknown => return Ok(Some(*did)),
        }
        Ok(None)
    }
}
