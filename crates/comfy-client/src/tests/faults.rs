//! Runs in which something breaks.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use tokio::sync::Notify;

use super::{
    all, brief,
    fake::{Fake, Recording, Step, Submission},
    outcome, request, until,
};
use crate::{ComfyClient, ComfyError, LostReason, RunEvent, RunOutcome, Transport, UnreachableReason};

const OUTPUTS: &str = "ComfyUI_temp_tebge_00001_.png nomodel-load_00001_.png";

/// The success, with something happening before its first output.
fn success_with(steps: impl IntoIterator<Item = Step>) -> Recording {
    let mut recording = Recording::read("success");
    let at = recording.position("executed");
    recording.steps.splice(at..at, steps);
    recording
}

/// Something about a node, before the run goes on.
fn progress() -> Step {
    let data = json!({ "node": "3", "value": 1, "max": 2, "prompt_id": "$PROMPT" });
    Step::Text(json!({ "type": "progress", "data": data }))
}

#[tokio::test]
async fn a_dropped_socket_is_opened_again() {
    let go_on = Arc::new(Notify::new());
    let recording =
        success_with([Step::DropSockets, Step::UntilSockets(2), progress(), Step::Hold(Arc::clone(&go_on))]);
    let fake = Fake::with(recording.clone()).await;
    let mut execution = fake.trusting_client().run(request(&recording.graph)).await.unwrap();
    until(&mut execution, |event| *event == RunEvent::Transport(Transport::Polling)).await;
    until(&mut execution, |event| *event == RunEvent::Transport(Transport::WebSocket)).await;
    go_on.notify_one();
    let lines = brief(&all(&mut execution).await);
    assert_eq!(lines[0], "3 1/2", "{lines:?}");
    assert!(lines.contains(&"4 ends".to_owned()), "{lines:?}");
    assert_eq!(lines.last().unwrap(), OUTPUTS);
    assert_eq!(fake.sockets.borrow().0, 2);
}

#[tokio::test]
async fn a_reopened_socket_that_goes_deaf_is_opened_once_more() {
    let drop_and_deafen =
        [Step::DropSockets, Step::UntilSockets(2), progress(), Step::Deafen, Step::UntilSockets(3)];
    let recording = success_with(drop_and_deafen);
    let fake = Fake::with(recording.clone()).await;
    let mut config = fake.config();
    config.follow.quiet = Duration::from_millis(50);
    let mut execution = ComfyClient::new(&config).unwrap().run(request(&recording.graph)).await.unwrap();
    assert_eq!(brief(&all(&mut execution).await).last().unwrap(), OUTPUTS);
    assert!(fake.sockets.borrow().0 >= 3);
}

#[tokio::test]
async fn without_any_socket_the_end_is_found_by_polling() {
    let recording = Recording::read("success");
    let fake = Fake::with(recording.clone()).await;
    fake.answer("GET /ws", 404, "text/plain", "");
    let mut execution = fake.client().run(request(&recording.graph)).await.unwrap();
    let lines = brief(&all(&mut execution).await);
    assert_eq!(lines[..2], ["submitted 7", "Polling"]);
    assert_eq!(lines.last().unwrap(), OUTPUTS);
}

#[tokio::test]
async fn a_socket_that_falls_silent_is_not_waited_for() {
    let recording = success_with([Step::Mute]);
    let fake = Fake::with(recording.clone()).await;
    let mut config = fake.config();
    config.follow.quiet = Duration::from_millis(20);
    let mut execution = ComfyClient::new(&config).unwrap().run(request(&recording.graph)).await.unwrap();
    assert_eq!(brief(&all(&mut execution).await).last().unwrap(), OUTPUTS);
}

#[tokio::test]
async fn an_end_without_its_last_message_is_found() {
    let mut recording = Recording::read("success");
    // `executing null` is the last message.
    recording.steps.pop();
    let fake = Fake::with(recording.clone()).await;
    let mut execution = fake.client().run(request(&recording.graph)).await.unwrap();
    assert_eq!(brief(&all(&mut execution).await).last().unwrap(), OUTPUTS);
}

#[tokio::test]
async fn a_success_is_not_believed_before_its_history_is_there() {
    let go_on = Arc::new(Notify::new());
    let recording = Recording::read("success");
    let at = recording.position("execution_success") + 1;
    let recording = recording.insert(at, Step::Hold(Arc::clone(&go_on)));
    let fake = Fake::with(recording.clone()).await;
    let mut execution = fake.client().run(request(&recording.graph)).await.unwrap();
    until(&mut execution, |event| *event == RunEvent::NodeFinished { node: "4".to_owned() }).await;
    // It looks at the history, finds nothing, and the queue says that the prompt still runs.
    while fake.requested("GET /queue") == 0 {
        assert!(!fake.inner().running.is_empty());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    go_on.notify_one();
    assert_eq!(brief(&all(&mut execution).await).last().unwrap(), OUTPUTS);
}

#[tokio::test]
async fn a_comfyui_that_dies_for_good_loses_the_run() {
    let recording = success_with([Step::Hold(Arc::default())]);
    let fake = Fake::with(recording.clone()).await;
    let mut config = fake.config();
    config.follow.outage_grace = Duration::from_millis(100);
    let mut execution = ComfyClient::new(&config).unwrap().run(request(&recording.graph)).await.unwrap();
    until(&mut execution, |event| *event == RunEvent::Started).await;
    fake.link.stop().await;
    let lost = outcome(&mut execution).await;
    assert_eq!(lost, RunOutcome::Lost(LostReason::Unreachable));
    assert!(lost.is_retryable());
}

#[tokio::test]
async fn a_broken_network_that_heals_loses_nothing() {
    let go_on = Arc::new(Notify::new());
    let recording = success_with([Step::UntilSockets(2), progress(), Step::Hold(Arc::clone(&go_on))]);
    let fake = Fake::with(recording.clone()).await;
    let mut execution = fake.client().run(request(&recording.graph)).await.unwrap();
    until(&mut execution, |event| *event == RunEvent::Started).await;
    fake.link.stop().await;
    until(&mut execution, |event| *event == RunEvent::Transport(Transport::Polling)).await;
    fake.link.resume().await;
    until(&mut execution, |event| *event == RunEvent::Transport(Transport::WebSocket)).await;
    go_on.notify_one();
    let lines = brief(&all(&mut execution).await);
    assert_eq!(lines.last().unwrap(), OUTPUTS);
}

#[tokio::test]
async fn a_restarted_comfyui_has_forgotten_the_run() {
    let recording = success_with([Step::Hold(Arc::default())]);
    let fake = Fake::with(recording.clone()).await;
    let mut execution = fake.client().run(request(&recording.graph)).await.unwrap();
    until(&mut execution, |event| *event == RunEvent::Started).await;
    fake.link.stop().await;
    fake.forget();
    fake.link.resume().await;
    let lost = outcome(&mut execution).await;
    assert_eq!(lost, RunOutcome::Lost(LostReason::Forgotten));
    assert!(lost.is_retryable());
    let mut attached = fake.client().attach("unheard-of");
    assert_eq!(outcome(&mut attached).await, RunOutcome::Lost(LostReason::Forgotten));
}

#[tokio::test]
async fn a_prompt_that_somebody_deletes_is_not_retried() {
    let recording = Recording::read("success").insert(0, Step::Hold(Arc::default()));
    let fake = Fake::with(recording.clone()).await;
    let mut config = fake.config();
    config.follow.quiet = Duration::from_millis(20);
    let mut execution = ComfyClient::new(&config).unwrap().run(request(&recording.graph)).await.unwrap();
    fake.inner().pending.clear();
    let lost = outcome(&mut execution).await;
    assert_eq!(lost, RunOutcome::Lost(LostReason::Removed));
    assert!(!lost.is_retryable());
}

#[tokio::test]
async fn a_stalling_comfyui_is_waited_for() {
    let recording = success_with([Step::Hold(Arc::default())]);
    let fake = Fake::with(recording.clone()).await;
    let mut config = fake.config();
    config.follow.outage_grace = Duration::from_millis(1);
    config.follow.stall_grace = Duration::from_millis(150);
    config.follow.quiet = Duration::from_millis(10);
    let mut execution = ComfyClient::new(&config).unwrap().run(request(&recording.graph)).await.unwrap();
    until(&mut execution, |event| *event == RunEvent::Started).await;
    fake.answer("GET /queue", 503, "text/plain", "busy");
    while fake.requested("GET /queue") < 3 {
        tokio::task::yield_now().await;
    }
    assert_eq!(outcome(&mut execution).await, RunOutcome::Lost(LostReason::Unreachable));
}

#[tokio::test]
async fn a_submission_whose_answer_got_lost_is_found_again() {
    for submission in [Submission::AnswerLost, Submission::AnswerStuck] {
        let recording = Recording::read("success");
        let fake = Fake::with(recording.clone()).await;
        fake.inner().submission = submission;
        let mut config = fake.config();
        config.request_timeout = Duration::from_millis(300);
        let mut execution = ComfyClient::new(&config).unwrap().run(request(&recording.graph)).await.unwrap();
        let lines = brief(&all(&mut execution).await);
        assert!(lines[0].starts_with("submitted"), "{lines:?}");
        assert_eq!(lines.last().unwrap(), OUTPUTS);
        assert_eq!(fake.requested("POST /prompt"), 1, "it isn't submitted twice");
    }
}

#[tokio::test]
async fn a_submission_that_did_not_arrive_is_a_retryable_error() {
    let recording = Recording::read("success");
    let fake = Fake::with(recording.clone()).await;
    fake.inner().submission = Submission::Dropped;
    let error = fake.client().run(request(&recording.graph)).await.unwrap_err();
    let is_lost = matches!(error, ComfyError::Unreachable { reason: UnreachableReason::ConnectionLost, .. });
    assert!(is_lost && error.is_retryable(), "{error}");
}

#[tokio::test]
async fn refused_connections_are_named() {
    let recording = Recording::read("success");
    let fake = Fake::with(recording.clone()).await;
    fake.link.stop().await;
    let error = fake.client().run(request(&recording.graph)).await.unwrap_err();
    let is_refused = matches!(error, ComfyError::Unreachable { reason: UnreachableReason::Refused, .. });
    assert!(is_refused && error.is_retryable(), "{error:?}");
    let url = fake.url();
    assert_eq!(
        error.to_string(),
        format!("comfyui at {} is unreachable: connection refused", url.as_str().trim_end_matches('/'))
    );
    assert!(error.remedy().unwrap().starts_with("start comfyui"));
}

#[tokio::test]
async fn an_invalid_graph_is_rejected_with_reasons() {
    let recording = Recording::read("success");
    let fake = Fake::with(recording.clone()).await;
    fake.answer_as("POST /prompt", "invalid_value_not_in_list");
    let error = fake.client().run(request(&recording.graph)).await.unwrap_err();
    assert!(!error.is_retryable());
    let text = "comfyui rejected the workflow: Prompt outputs failed validation; node 4 (CheckpointLoaderSimple): \
                Value not in list: ckpt_name: 'nope.safetensors' not in ['corrupt.safetensors', 'tiny-sd15.safetensors']";
    assert_eq!(error.to_string(), text);
    let ComfyError::Rejected { node_errors, .. } = error else { panic!("{error:?}") };
    assert_eq!(node_errors["4"].errors[0].kind, "value_not_in_list");
    assert_eq!(node_errors["4"].errors[0].extra_info["input_name"], "ckpt_name");
    assert_eq!(node_errors["4"].dependent_outputs, ["9"]);
    fake.answer_as("POST /prompt", "invalid_cycle");
    let error = fake.client().run(request(&recording.graph)).await.unwrap_err();
    assert_eq!(error.to_string(), "comfyui rejected the workflow: Prompt outputs failed validation");
}

#[tokio::test]
async fn an_error_that_is_not_json_is_told_as_it_is() {
    let recording = Recording::read("success");
    let fake = Fake::with(recording.clone()).await;
    fake.answer_as("POST /prompt", "invalid_ui_format_workflow");
    let error = fake.client().run(request(&recording.graph)).await.unwrap_err();
    assert_eq!(error.to_string(), "comfyui answered 500 to /prompt: 500 Internal Server Error");
    assert_eq!(fake.requested("GET /queue"), 0, "a plain refusal isn't looked after");
}

#[tokio::test]
async fn outputs_that_were_left_out_are_told() {
    let recording = Recording::read("success");
    let fake = Fake::with(recording.clone()).await;
    fake.answer_as("POST /prompt", "invalid_one_of_two_outputs_bad_gives_200");
    let mut execution = fake.client().run(request(&recording.graph)).await.unwrap();
    let Some(RunEvent::Submitted { prompt_id, node_errors, .. }) = execution.next().await else {
        panic!("first")
    };
    assert_eq!(node_errors["4"].errors[0].kind, "exception_during_validation");
    assert_eq!(execution.prompt_id(), prompt_id, "an old ComfyUI chooses the id");
}

#[tokio::test]
async fn prompt_ids_that_are_no_ids_are_refused() {
    let recording = Recording::read("success");
    let fake = Fake::with(recording.clone()).await;
    for id in ["", "..", "a/b", "a b", &"x".repeat(129)] {
        let mut request = request(&recording.graph);
        id.clone_into(&mut request.prompt_id);
        let error = fake.client().run(request).await.unwrap_err();
        assert!(matches!(error, ComfyError::InvalidArgument(_)), "{id:?}: {error}");
    }
    assert!(fake.inner().requests.is_empty());
}
