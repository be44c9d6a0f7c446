//! Runs in which nothing breaks.

use std::sync::Arc;

use serde_json::json;
use tokio::sync::Notify;

use super::{
    all, brief,
    fake::{Fake, Recording, Step},
    next, outcome, request, until,
};
use crate::{FileRef, NodeError, OutputKind, Previews, QueuePosition, RunEvent, RunOutcome, Transport};

async fn run(recording: &str) -> Vec<String> {
    run_with(recording, Previews::Default).await.0
}

async fn run_with(recording: &str, previews: Previews) -> (Vec<String>, Vec<RunEvent>) {
    let recording = Recording::read(recording);
    let fake = Fake::with(recording.clone()).await;
    let mut request = request(&recording.graph);
    request.previews = previews;
    let mut execution = fake.client().run(request).await.unwrap();
    let events = all(&mut execution).await;
    (brief(&events), events)
}

#[tokio::test]
async fn a_success_tells_every_node_and_ends_with_the_outputs() {
    let expect = [
        "submitted 7",
        "WebSocket",
        "started",
        "cached ",
        "1 begins",
        "1 ends",
        "2 begins",
        "2 ends",
        "3 begins",
        "3 ends",
        "4 begins",
        "4 ends",
        "ComfyUI_temp_tebge_00001_.png nomodel-load_00001_.png",
    ];
    assert_eq!(run("success").await, expect);
}

#[tokio::test]
async fn a_cached_run_has_its_outputs_too() {
    let expect = ["submitted 7", "WebSocket", "started", "cached 4 5 6 7 3 8 9", "txt2img_00001_.png"];
    assert_eq!(run("cached").await, expect);
}

#[tokio::test]
async fn a_failing_node_is_named() {
    let fake = Fake::start("runtime_error").await;
    let graph = Recording::read("runtime_error").graph;
    let mut execution = fake.client().run(request(&graph)).await.unwrap();
    let RunOutcome::Failed { error } = outcome(&mut execution).await else { panic!("it fails") };
    let expect = NodeError {
        node: Some("1".to_owned()),
        class_type: Some("LoadImage".to_owned()),
        exception_type: "PIL.UnidentifiedImageError".to_owned(),
        message: "cannot identify image file '/opt/ComfyUI/input/not-an-image.png'".to_owned(),
    };
    assert_eq!(error, expect);
    let text = "node 1 (LoadImage) failed: cannot identify image file '/opt/ComfyUI/input/not-an-image.png'";
    assert_eq!(error.to_string(), text);
}

#[tokio::test]
async fn previews_come_unless_they_are_off() {
    for recording in ["previews_type1", "previews_type4"] {
        let (lines, events) = run_with(recording, Previews::Default).await;
        let jpeg = |event: &&RunEvent| matches!(event, RunEvent::Preview { media_type: "image/jpeg", bytes } if bytes.starts_with(b"\xff\xd8"));
        assert_eq!(events.iter().filter(jpeg).count(), 4, "{recording}");
        assert!(lines.contains(&"3 4/4".to_owned()), "{lines:?}");
        let (lines, _) = run_with(recording, Previews::Off).await;
        assert!(!lines.contains(&"preview".to_owned()), "{recording}");
    }
}

#[tokio::test]
async fn texts_are_told_and_kept() {
    let lines = run("text").await;
    assert!(lines.contains(&"2 says width: 64, height: 48\n batch size: 2".to_owned()), "{lines:?}");
    assert_eq!(lines.last().unwrap(), "\"64\"");
}

#[tokio::test]
async fn kinds_of_outputs() {
    let fake = Fake::start("video").await;
    let mut execution = fake.client().run(request(&Recording::read("video").graph)).await.unwrap();
    let RunOutcome::Succeeded { outputs, .. } = outcome(&mut execution).await else { panic!("it succeeds") };
    assert_eq!(outputs.len(), 1);
    assert_eq!((&outputs[0].kind, outputs[0].animated), (&OutputKind::Video, true));
    let file = FileRef {
        filename: "tiny_00001_.mp4".to_owned(),
        subfolder: "video".to_owned(),
        kind: "output".to_owned(),
    };
    assert_eq!(outputs[0].file, file);
    let fake = Fake::start("audio").await;
    let mut execution = fake.client().run(request(&Recording::read("audio").graph)).await.unwrap();
    let RunOutcome::Succeeded { outputs, .. } = outcome(&mut execution).await else { panic!("it succeeds") };
    let kinds: Vec<_> = outputs.iter().map(|output| (&output.kind, output.file.kind.as_str())).collect();
    assert_eq!(kinds, [(&OutputKind::Audio, "output"), (&OutputKind::Audio, "temp")]);
}

#[tokio::test]
async fn the_request_carries_what_was_asked_for() {
    let recording = Recording::read("success");
    let fake = Fake::with(recording.clone()).await;
    let mut request = request(&recording.graph);
    request.previews = Previews::Auto;
    request.position = QueuePosition::Front;
    request.extra_data.insert("extra_pnginfo".to_owned(), json!({ "seed": u64::MAX }));
    let id = request.prompt_id.clone();
    let mut execution = fake.client().run(request).await.unwrap();
    all(&mut execution).await;
    let inner = fake.inner();
    let (_, _, body) = inner.requests.iter().find(|(request, ..)| request == "POST /prompt").unwrap();
    let body: serde_json::Value = serde_json::from_slice(body).unwrap();
    assert_eq!(body["prompt"], recording.graph.to_json());
    assert_eq!(
        (&body["prompt_id"], &body["client_id"], &body["front"]),
        (&json!(id), &json!(id), &json!(true))
    );
    let expect = json!({ "extra_pnginfo": { "seed": u64::MAX }, "preview_method": "auto" });
    assert_eq!(body["extra_data"], expect);
    assert_eq!(inner.greetings, [r#"{"type":"feature_flags","data":{"supports_preview_metadata":true}}"#]);
}

#[tokio::test]
async fn what_belongs_to_others_is_left_out() {
    let recording = Recording::read("success");
    let at = recording.position("execution_cached");
    let foreign = |kind: &str, mut data: serde_json::Value| {
        data["prompt_id"] = json!("somebody-elses");
        Step::Text(json!({ "type": kind, "data": data }))
    };
    let recording = recording
        .insert(at, foreign("executing", json!({ "node": null })))
        .insert(at, foreign("execution_error", json!({ "node_id": "1" })))
        .insert(at, foreign("progress", json!({ "node": "1", "value": 1, "max": 2 })))
        .insert(at, Step::Text(json!({ "type": "crystools.monitor", "data": { "cpu": 3 } })))
        .insert(at, Step::Binary(vec![0, 0, 0, 1, 0].into()));
    let fake = Fake::with(recording.clone()).await;
    let mut execution = fake.client().run(request(&recording.graph)).await.unwrap();
    assert_eq!(brief(&all(&mut execution).await), run("success").await);
}

#[tokio::test]
async fn a_slow_reader_misses_no_change_of_state() {
    let mut recording = Recording::read("success");
    let at = recording.position("executing") + 1;
    let step = |value| {
        let data = json!({ "node": "1", "value": value, "max": 3000, "prompt_id": "$PROMPT" });
        Step::Text(json!({ "type": "progress", "data": data }))
    };
    recording.steps.splice(at..at, (1..3000).map(step));
    let fake = Fake::with(recording.clone()).await;
    let mut execution = fake.client().run(request(&recording.graph)).await.unwrap();
    // The script is over, and nothing has been read yet.
    while fake.inner().history.is_empty() {
        tokio::task::yield_now().await;
    }
    let lines = brief(&all(&mut execution).await);
    let states: Vec<_> = lines.into_iter().filter(|line| !line.contains("/3000")).collect();
    assert_eq!(states, run("success").await);
}

#[tokio::test]
async fn dropping_an_execution_closes_its_socket_and_leaves_the_prompt() {
    let recording = Recording::read("interrupted");
    let fake = Fake::with(recording.clone()).await;
    let mut execution = fake.client().run(request(&recording.graph)).await.unwrap();
    until(&mut execution, |event| *event == RunEvent::Started).await;
    drop(execution);
    let mut sockets = fake.sockets.subscribe();
    sockets.wait_for(|sockets| *sockets == (1, 0)).await.unwrap();
    assert_eq!(fake.inner().running.len(), 1);
    assert_eq!(fake.requested("POST /interrupt"), 0);
}

#[tokio::test]
async fn attaching_to_a_running_prompt_of_ours_brings_its_events_back() {
    let recording = Recording::read("success");
    let go_on = Arc::new(Notify::new());
    let at = recording.position("executed");
    let message = recording.steps[at - 1].clone();
    let recording = recording
        .insert(at, Step::Hold(Arc::clone(&go_on)))
        .insert(at, message)
        .insert(at, Step::UntilSockets(2));
    let fake = Fake::with(recording.clone()).await;
    let first = fake.client().run(request(&recording.graph)).await.unwrap();
    let id = first.prompt_id().to_owned();
    while fake.inner().running.is_empty() {
        tokio::task::yield_now().await;
    }
    drop(first);
    let mut second = fake.trusting_client().attach(id);
    let before = until(&mut second, |event| *event == RunEvent::Transport(Transport::WebSocket)).await;
    assert_eq!(brief(&before), ["Polling", "started", "WebSocket"]);
    go_on.notify_one();
    let lines = brief(&all(&mut second).await);
    assert!(lines.contains(&"4 ends".to_owned()), "{lines:?}");
    assert_eq!(lines.last().unwrap(), "ComfyUI_temp_tebge_00001_.png nomodel-load_00001_.png");
}

#[tokio::test]
async fn attaching_to_a_prompt_of_somebody_else_leaves_his_socket_alone() {
    let recording = Recording::read("success");
    let at = recording.position("executed");
    let recording = recording.insert(at, Step::UntilSockets(2));
    let fake = Fake::with(recording).await;
    fake.enqueue("their-prompt", "their-client");
    fake.play("their-prompt");
    let mut sockets = fake.sockets.subscribe();
    let mut execution = fake.client().attach("their-prompt");
    sockets.wait_for(|(opened, _)| *opened == 1).await.unwrap();
    // Lets the script go on, as a third party would.
    fake.sockets.send_modify(|(opened, _)| *opened += 1);
    let lines = brief(&all(&mut execution).await);
    assert_eq!(lines[0], "Polling");
    assert!(!lines.contains(&"WebSocket".to_owned()), "{lines:?}");
    assert_eq!(lines.last().unwrap(), "ComfyUI_temp_tebge_00001_.png nomodel-load_00001_.png");
}

#[tokio::test]
async fn attaching_to_a_prompt_that_ended_gives_its_end() {
    let recording = Recording::read("success");
    let fake = Fake::with(recording.clone()).await;
    let mut execution = fake.client().run(request(&recording.graph)).await.unwrap();
    let expect = outcome(&mut execution).await;
    let mut attached = fake.client().attach(execution.prompt_id());
    assert_eq!(next(&mut attached).await, Some(RunEvent::Transport(Transport::Polling)));
    assert_eq!(next(&mut attached).await, Some(RunEvent::Finished(expect)));
}
