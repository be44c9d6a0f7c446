//! The library: following jobs over trouble, artifacts, errors of tools.

use std::time::Duration;

use axum::http::StatusCode;
use mcp_client::{
    ConnectOptions, GatewayClient, GatewayError, GenerateImage, JobState, JobUpdate, Target, connect,
};
use mcp_protocol::client::ClientError;
use secrecy::SecretString;

use crate::gateway::{Fate, Gateway, PNG, Play};

async fn open(gateway: &Gateway) -> GatewayClient {
    connect(Target::http(&gateway.url), ConnectOptions::default()).await.unwrap()
}

async fn updates(client: &GatewayClient) -> Vec<JobUpdate> {
    let mut updates = client.subscribe_to_job("job-1");
    let mut all = Vec::new();
    while let Some(update) = updates.next().await {
        all.push(update.unwrap());
    }
    all
}

#[tokio::test]
async fn a_job_is_followed_from_the_queue_to_its_images() {
    let play = Play { key: Some("ck_1"), ..Play::new(Fate::Succeeds) };
    let gateway = Gateway::start(play).await;
    let options = ConnectOptions { api_key: Some(SecretString::from("ck_1")), ..ConnectOptions::default() };
    let client = connect(Target::http(&gateway.url), options).await.unwrap();
    let job = client.generate_image(GenerateImage::new("a fox")).await.unwrap();
    assert_eq!((job.id.as_str(), job.state, job.seed), ("job-1", JobState::Queued, Some(u64::MAX)));
    assert_eq!(gateway.state.calls_of("generate_image")[0]["wait_seconds"], 0);

    let all = updates(&client).await;
    let kinds: Vec<String> = all
        .iter()
        .map(|update| match update {
            JobUpdate::State(job) => job.state.as_str().to_owned(),
            JobUpdate::Progress { fraction, .. } => format!("{fraction}"),
            JobUpdate::Retrying { reason } => reason.clone(),
            JobUpdate::Finished(job) => format!("finished {}", job.state.as_str()),
        })
        .collect();
    // Progress may be thinned out on its way, its end is not.
    let without_first: Vec<&str> = kinds.iter().map(String::as_str).filter(|kind| *kind != "0.25").collect();
    assert_eq!(without_first, ["queued", "0.5", "running", "finished succeeded"]);
    let Some(JobUpdate::Finished(job)) = all.last() else { panic!("{all:?}") };
    assert_eq!(job.artifacts.len(), 2);
    assert_eq!(client.fetch_image(&job.artifacts[0]).await.unwrap(), PNG);
    assert!(gateway.state.calls_of("get_image").is_empty(), "the bytes came over HTTP");
}

#[tokio::test]
async fn a_websocket_does_what_http_does() {
    let play = Play { key: Some("ck_1"), ..Play::new(Fate::Succeeds) };
    let gateway = Gateway::start(play).await;
    let url = gateway.url.replace("http://", "ws://").replace("/mcp", "/ws");
    let options = ConnectOptions { api_key: Some(SecretString::from("ck_1")), ..ConnectOptions::default() };
    let client = connect(Target::http(&url), options).await.unwrap();
    client.generate_image(GenerateImage::new("a fox")).await.unwrap();
    let Some(JobUpdate::Finished(job)) = updates(&client).await.pop() else { panic!("it has an end") };
    assert_eq!(client.fetch_image(&job.artifacts[0]).await.unwrap(), PNG);
    assert!(gateway.state.calls_of("get_image").is_empty(), "the bytes came over HTTP");

    let error = connect(Target::http(&url), ConnectOptions::default()).await.unwrap_err();
    assert!(matches!(error, GatewayError::Client(ClientError::Unauthorized { .. })), "{error:?}");
}

#[tokio::test]
async fn a_server_that_is_away_for_a_moment_is_waited_for() {
    let gateway = Gateway::start(Play::new(Fate::Succeeds)).await;
    let client = open(&gateway).await;
    let mut updates = client.subscribe_to_job("job-1");
    assert!(matches!(updates.next().await, Some(Ok(JobUpdate::State(_)))));
    *gateway.state.trouble.lock().unwrap() = Some((StatusCode::BAD_GATEWAY, 2));
    let mut retries = 0;
    loop {
        match updates.next().await.unwrap().unwrap() {
            JobUpdate::Retrying { .. } => retries += 1,
            JobUpdate::Finished(job) => break assert_eq!(job.state, JobState::Succeeded),
            _ => {}
        }
    }
    assert!(retries <= 2);
    assert!(updates.next().await.is_none());
}

#[tokio::test]
async fn an_artifact_comes_through_the_tool_where_the_door_is_shut() {
    let gateway = Gateway::start(Play { door_is_shut: true, ..Play::new(Fate::Succeeds) }).await;
    let client = open(&gateway).await;
    let job = client.wait_for_job_completion("job-1", Duration::from_secs(10)).await.unwrap();
    assert_eq!(client.fetch_image(&job.artifacts[0]).await.unwrap(), PNG);
    assert_eq!(gateway.state.calls_of("get_image")[0]["size"], "full");
}

#[tokio::test]
async fn an_artifact_that_is_cut_short_is_not_taken() {
    let gateway = Gateway::start(Play::new(Fate::Succeeds)).await;
    let client = open(&gateway).await;
    let mut job = client.wait_for_job_completion("job-1", Duration::from_secs(10)).await.unwrap();
    "cut".clone_into(&mut job.artifacts[0].id);
    let error = client.fetch_image(&job.artifacts[0]).await.unwrap_err();
    assert!(error.to_string().contains("3 of its 13 bytes"), "{error}");
}

#[tokio::test]
async fn a_job_that_takes_too_long_is_let_go_on() {
    let gateway = Gateway::start(Play::new(Fate::Endless)).await;
    let client = open(&gateway).await;
    let error = client.wait_for_job_completion("job-1", Duration::from_millis(100)).await.unwrap_err();
    assert!(matches!(&error, GatewayError::TimedOut { job_id, .. } if job_id == "job-1"), "{error:?}");
    assert!(gateway.state.calls_of("cancel_job").is_empty());
    assert_eq!(client.cancel("job-1").await.unwrap().state, JobState::Cancelled);
}

#[tokio::test]
async fn errors_say_what_to_do() {
    let gateway = Gateway::start(Play::new(Fate::Succeeds)).await;
    let client = open(&gateway).await;
    let error = client.generate_image(GenerateImage::new("forbidden")).await.unwrap_err();
    assert_eq!(error.to_string(), "model: there is no `a` here");
    assert_eq!(error.remedy().as_deref(), Some("call list_models"));
    assert!(
        matches!(&error, GatewayError::Tool(failure) if failure.code == "unknown_name" && failure.data.is_some()),
        "{error:?}"
    );
    let error = client.call("no_such_tool", serde_json::json!({})).await.unwrap_err();
    assert!(matches!(&error, GatewayError::Client(ClientError::Rpc { code: -32602, .. })), "{error:?}");
}
