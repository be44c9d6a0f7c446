//! Jobs on a ComfyUI that fails, is busy, or gives too much.

use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

use comfy_client::NodeError;
use job_queue::{ExecuteError, JobError, JobState};
use storage::ArtifactError;

use super::super::failure::{Pauses, Retry, node_failed, not_stored};
use super::{Bench, LONG, finished, graph, seconds};

/// Failing so often costs neither an attempt nor the finished work.
#[tokio::test]
async fn short_trouble_is_waited_out_within_the_attempt() {
    for path in ["/prompt", "/view", "/queue"] {
        let bench = Bench::new(Duration::ZERO).await;
        let warm = bench.submit(graph()).await;
        bench.end(&warm).await;
        bench.sandbox.faults().fail_endpoint(path, 2);
        let id = bench.submit(graph()).await;
        let job = bench.end(&id).await;
        assert_eq!((finished(&job).artifacts.len(), job.attempt), (1, 1), "{path}");
    }
}

#[tokio::test]
async fn a_busy_comfyui_is_waited_for_and_a_cancel_is_heard_meanwhile() {
    let bench = Bench::new(Duration::ZERO).await;
    bench.sandbox.faults().refuse_prompts();
    let (id, cancelled) = (bench.submit(graph()).await, bench.submit(graph()).await);
    for id in [&id, &cancelled] {
        let mut events = bench.hub.subscribe(id.as_str(), None);
        // It has tried, and tries again.
        while super::progress(&mut events).await.message.as_deref() != Some("waiting for ComfyUI") {}
    }
    bench.queue.cancel(&cancelled).await.unwrap();
    assert_eq!(bench.end(&cancelled).await.state, JobState::Cancelled);
    bench.sandbox.faults().accept_prompts();
    let job = bench.end(&id).await;
    assert_eq!((finished(&job).artifacts.len(), job.attempt), (1, 1));
}

#[tokio::test]
async fn what_ended_out_of_sight_is_not_run_again() {
    let bench = Bench::new(seconds(1)).await;
    let id = bench.submit(graph()).await;
    bench.samples(&id).await;
    let faults = bench.sandbox.faults();
    faults.fail_next_node("SaveImage", "the disk is full");
    faults.silence_sockets();
    faults.fail_endpoint("/queue", u32::MAX);
    faults.drop_sockets();
    let prompt = bench.get(&id).await.checkpoint;
    until(async || bench.get(&id).await.attempt == 2).await;
    assert_eq!(bench.get(&id).await.error.unwrap().code, "comfyui_lost");
    let prompt_id = prompt.as_ref().unwrap()["prompt_id"].as_str().unwrap();
    until(async || bench.comfy.history(prompt_id).await.unwrap().is_some()).await;
    faults.fail_endpoint("/queue", 0);
    let job = bench.end(&id).await;
    let error = job.error.unwrap();
    assert_eq!((job.state, error.code.as_str()), (JobState::Failed, "execution_failed"));
    assert_eq!(job.checkpoint, prompt, "it was not submitted again");
}

/// Nothing tells of these, so it is asked again and again.
async fn until(is_so: impl AsyncFn() -> bool) {
    let end = tokio::time::Instant::now() + LONG;
    while !is_so().await {
        assert!(tokio::time::Instant::now() < end, "it never comes");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn memory_that_ran_out_may_be_there_the_next_time() {
    let bench = Bench::new(Duration::ZERO).await;
    bench.sandbox.faults().fail_next_node("KSampler", "CUDA out of memory");
    let id = bench.submit(graph()).await;
    let job = bench.end(&id).await;
    assert_eq!((finished(&job).artifacts.len(), job.attempt), (1, 2));
}

#[tokio::test]
async fn an_output_over_the_limit_fails_the_job_and_says_so() {
    let bench = Bench::with_limit(Duration::ZERO, 100).await;
    let id = bench.submit(graph()).await;
    let job = bench.end(&id).await;
    assert_eq!((job.state, job.attempt), (JobState::Failed, 1));
    let error = job.error.unwrap();
    assert!(error.code == "output_too_large" && error.message.contains("100 bytes"), "{error:?}");
}

fn told(error: ExecuteError) -> JobError {
    match error {
        ExecuteError::Failed(error) => error,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_storing_an_output_says() {
    let bench = Bench::new(Duration::ZERO).await;
    let backend = &bench.executor.pool.backends()[0];
    let folder = || PathBuf::from("/data/artifacts");
    let broken: Box<dyn Error + Send + Sync> = "connection reset".into();
    for (cause, code, retryable, text) in [
        (ArtifactError::TooLarge { limit: 7 }, "output_too_large", false, "7 bytes"),
        (ArtifactError::Source(broken), "comfyui_unavailable", true, "broke off"),
        (ArtifactError::DiskFull { folder: folder() }, "storage_failed", true, "free some space"),
        (ArtifactError::Lost { id: "x".into() }, "storage_failed", true, "server's log"),
    ] {
        let error = told(not_stored(backend, cause));
        assert_eq!((error.code.as_str(), error.retryable), (code, retryable), "{error:?}");
        assert!(error.message.contains(text), "{error:?}");
    }
}

#[test]
fn a_failed_node_comes_with_a_remedy() {
    let node = |message: &str| NodeError {
        node: Some("5".into()),
        class_type: Some("KSampler".into()),
        message: message.into(),
        ..NodeError::default()
    };
    let error = told(node_failed(&node("bad shape"), Retry::No));
    assert_eq!((error.code.as_str(), error.retryable), ("execution_failed", false));
    assert!(error.remedy.unwrap().contains("node 5 (KSampler)"));
    let error = told(node_failed(&node("CUDA out of memory"), Retry::Yes));
    assert_eq!((error.code.as_str(), error.retryable), ("out_of_memory", true));
    assert!(error.remedy.unwrap().contains("smaller"));
}

#[test]
fn waiting_is_as_long_as_the_trouble_is_worth() {
    let unavailable = |code: &str, retryable: bool| {
        let (code, message) = (code.to_owned(), String::new());
        ExecuteError::Failed(JobError { code, message, remedy: None, retryable })
    };
    for (error, limit, at_least, at_most) in [
        (unavailable("comfyui_unavailable", true), 100, 50, 60),
        (unavailable("comfyui_unavailable", true), 30, 20, 30),
        (unavailable("comfyui_error", true), 30, 3, 4),
        (unavailable("comfyui_unavailable", false), 30, 0, 0),
        (unavailable("out_of_memory", true), 30, 0, 0),
        (ExecuteError::Cancelled, 30, 0, 0),
    ] {
        let mut pauses = Pauses::within(seconds(limit));
        let all: Duration = std::iter::from_fn(|| pauses.after(&error)).sum();
        assert!((seconds(at_least)..=seconds(at_most)).contains(&all), "{error:?}: {all:?}");
    }
}
