//! Cancelling: exactly this prompt, and until it is gone.

use std::{sync::Arc, time::Duration};

use tokio::sync::Notify;

use super::{
    fake::{Fake, Recording, Step},
    outcome, request, until,
};
use crate::{CancelResult, ComfyError, RunEvent, RunOutcome};

/// A run that goes on until it is interrupted.
fn endless() -> Recording {
    Recording::read("interrupted")
}

#[tokio::test]
async fn a_running_prompt_is_interrupted() {
    let fake = Fake::with(endless()).await;
    let mut execution = fake.client().run(request(&endless().graph)).await.unwrap();
    until(&mut execution, |event| *event == RunEvent::Started).await;
    fake.enqueue("somebody-elses", "somebody");
    assert_eq!(execution.cancel().await.unwrap(), CancelResult::Interrupted);
    assert_eq!(outcome(&mut execution).await, RunOutcome::Interrupted);
    assert_eq!(fake.inner().pending.len(), 1, "the others stay");
    let id = execution.prompt_id().to_owned();
    let interrupts: Vec<_> =
        fake.inner().requests.iter().filter(|(what, ..)| what == "POST /interrupt").cloned().collect();
    assert!(
        interrupts.iter().all(|(.., body)| *body == format!(r#"{{"prompt_id":"{id}"}}"#)),
        "{interrupts:?}"
    );
}

#[tokio::test]
async fn a_lost_interrupt_is_repeated() {
    let fake = Fake::with(endless()).await;
    fake.inner().lost_interrupts = 3;
    let mut execution = fake.client().run(request(&endless().graph)).await.unwrap();
    until(&mut execution, |event| *event == RunEvent::Started).await;
    assert_eq!(execution.cancel().await.unwrap(), CancelResult::Interrupted);
    assert_eq!(outcome(&mut execution).await, RunOutcome::Interrupted);
    assert!(fake.requested("POST /interrupt") >= 4);
}

#[tokio::test]
async fn a_waiting_prompt_is_taken_out_of_the_queue() {
    let held = endless().insert(0, Step::Hold(Arc::default()));
    let fake = Fake::with(held.clone()).await;
    let mut execution = fake.client().run(request(&held.graph)).await.unwrap();
    fake.enqueue("somebody-elses", "somebody");
    assert_eq!(execution.cancel().await.unwrap(), CancelResult::Deleted);
    assert_eq!(outcome(&mut execution).await, RunOutcome::Interrupted);
    assert_eq!(fake.inner().pending.len(), 1, "the others stay");
    assert_eq!(fake.requested("POST /interrupt"), 0);
}

#[tokio::test]
async fn a_prompt_that_starts_meanwhile_is_interrupted() {
    let go_on = Arc::new(Notify::new());
    let held = endless().insert(0, Step::Hold(Arc::clone(&go_on)));
    let fake = Fake::with(held.clone()).await;
    // The deletion comes too late.
    fake.answer("POST /queue", 200, "text/plain", "");
    let mut execution = fake.client().run(request(&held.graph)).await.unwrap();
    let canceller = execution.canceller();
    let cancelling = tokio::spawn(async move { canceller.cancel().await });
    while fake.requested("POST /queue") == 0 {
        tokio::task::yield_now().await;
    }
    go_on.notify_one();
    assert_eq!(cancelling.await.unwrap().unwrap(), CancelResult::Interrupted);
    assert_eq!(outcome(&mut execution).await, RunOutcome::Interrupted);
}

#[tokio::test]
async fn a_node_that_heeds_no_interrupt_is_reported() {
    let fake = Fake::with(endless()).await;
    fake.inner().lost_interrupts = usize::MAX;
    let mut config = fake.config();
    config.follow.cancel_timeout = Duration::from_millis(100);
    let client = crate::ComfyClient::new(&config).unwrap();
    let mut execution = client.run(request(&endless().graph)).await.unwrap();
    until(&mut execution, |event| *event == RunEvent::Started).await;
    assert_eq!(execution.cancel().await.unwrap(), CancelResult::StillRunning);
    // The next try works.
    fake.inner().lost_interrupts = 0;
    assert_eq!(execution.cancel().await.unwrap(), CancelResult::Interrupted);
    assert_eq!(outcome(&mut execution).await, RunOutcome::Interrupted);
}

#[tokio::test]
async fn what_is_over_or_unknown_is_said_to_be() {
    let recording = Recording::read("success");
    let fake = Fake::with(recording.clone()).await;
    let client = fake.client();
    let mut execution = client.run(request(&recording.graph)).await.unwrap();
    assert!(matches!(outcome(&mut execution).await, RunOutcome::Succeeded { .. }));
    assert_eq!(execution.cancel().await.unwrap(), CancelResult::Ended);
    assert_eq!(client.cancel("never-submitted").await.unwrap(), CancelResult::NotFound);
    assert_eq!(fake.requested("POST /interrupt") + fake.requested("POST /queue"), 0);
}

#[tokio::test]
async fn an_unreachable_comfyui_is_an_error_in_bounded_time() {
    let fake = Fake::with(endless()).await;
    let mut config = fake.config();
    config.follow.cancel_timeout = Duration::from_millis(50);
    let client = crate::ComfyClient::new(&config).unwrap();
    fake.link.stop().await;
    let error = client.cancel("some-prompt").await.unwrap_err();
    assert!(matches!(error, ComfyError::Unreachable { .. }), "{error}");
}
