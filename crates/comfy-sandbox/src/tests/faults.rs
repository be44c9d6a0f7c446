//! Faults on demand.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::json;

use super::client::{Client, txt2img};

#[tokio::test]
async fn sockets_drop_and_can_be_opened_again() {
    let client = Client::start(Duration::ZERO).await;
    let mut listener = client.listen("a").await;
    client.sandbox.faults().drop_sockets();
    assert!(listener.next().await.is_none());
    client.listen("a").await;
}

#[tokio::test]
async fn silent_sockets_say_nothing_until_they_may() {
    let client = Client::start(Duration::ZERO).await;
    let mut listener = client.listen("a").await;
    client.sandbox.faults().silence_sockets();
    let id = client.submit(&json!({"prompt": txt2img(), "client_id": "a"})).await;
    while client.json(&format!("history/{id}")).await == json!({}) {
        tokio::task::yield_now().await;
    }
    client.sandbox.faults().let_sockets_speak();
    client.submit(&json!({"prompt": txt2img(), "client_id": "a", "prompt_id": "second"})).await;
    let started = listener.until("execution_success").await;
    assert_eq!(started["prompt_id"], "second");
}

#[tokio::test]
async fn a_forgotten_prompt_leaves_no_trace() {
    let client = Client::start(Duration::from_mins(10)).await;
    let mut listener = client.listen("a").await;
    let id = client.submit(&json!({"prompt": txt2img(), "client_id": "a"})).await;
    while listener.until("executing").await["node"] != "3" {}
    client.post("sandbox/faults", &json!({"forget": true})).await;
    while client.json("prompt").await["exec_info"]["queue_remaining"] != 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(client.json("queue").await, json!({"queue_running": [], "queue_pending": []}));
    assert_eq!(client.json(&format!("history/{id}")).await, json!({}));
    // It goes on with the next one.
    let id = client.submit(&json!({"prompt": txt2img(), "client_id": "a"})).await;
    assert_eq!(listener.until("execution_start").await["prompt_id"], id.as_str());
}

#[tokio::test]
async fn the_next_node_of_a_class_fails_once() {
    let client = Client::start(Duration::ZERO).await;
    let faults = json!({"fail_nodes": {"KSampler": "CUDA out of memory"}});
    assert_eq!(client.post("sandbox/faults", &faults).await.status(), StatusCode::OK);
    let entry = client.run(&txt2img()).await;
    let [kind, error] = entry["status"]["messages"][2].as_array().unwrap().as_slice() else {
        panic!("{entry}")
    };
    assert_eq!(kind, "execution_error");
    assert_eq!((&error["exception_message"], &error["node_id"]), (&json!("CUDA out of memory"), &json!("3")));
    assert_eq!(error["current_inputs"]["seed"], json!([42]));
    assert_eq!(client.run(&txt2img()).await["status"]["status_str"], "success");
}

#[tokio::test]
async fn endpoints_fail_so_many_times() {
    let client = Client::start(Duration::ZERO).await;
    client.sandbox.faults().fail_endpoint("/history", 2);
    assert_eq!(client.get("api/history").await.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(client.get("history/x").await.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(client.get("history").await.status(), StatusCode::OK);
    client.sandbox.faults().refuse_prompts();
    assert_eq!(
        client.post("prompt", &json!({"prompt": txt2img()})).await.status(),
        StatusCode::SERVICE_UNAVAILABLE
    );
    assert_eq!(client.get("prompt").await.status(), StatusCode::OK);
    client.sandbox.faults().reset();
    assert_eq!(client.post("prompt", &json!({"prompt": txt2img()})).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn answers_are_delayed() {
    let client = Client::start(Duration::ZERO).await;
    client.post("sandbox/faults", &json!({"delay_ms": 80})).await;
    let started = std::time::Instant::now();
    client.get("prompt").await;
    assert!(started.elapsed() >= Duration::from_millis(80));
}

#[tokio::test]
async fn wrong_switches_are_refused() {
    let client = Client::start(Duration::ZERO).await;
    for (body, reason) in
        [(json!({"nonsense": 1}), "unknown field"), (json!({"delay_ms": 9_999_999}), "over the limit")]
    {
        let answer = client.post("sandbox/faults", &body).await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
        assert!(answer.text().await.unwrap().contains(reason), "{body}");
    }
}

#[tokio::test]
async fn a_sandbox_that_is_shut_down_closes_its_sockets_and_port() {
    let client = Client::start(Duration::from_mins(10)).await;
    let mut listener = client.listen("a").await;
    client.submit(&json!({"prompt": txt2img(), "client_id": "a"})).await;
    let url = client.sandbox.url();
    client.sandbox.shutdown().await;
    while listener.next().await.is_some() {}
    assert!(reqwest::get(url).await.is_err());
}
