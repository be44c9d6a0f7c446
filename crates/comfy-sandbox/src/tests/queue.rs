//! The queue, its numbers, and how prompts are stopped.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::client::{Client, Listener, txt2img, with_steps};

/// A sandbox whose first prompt runs until it is stopped.
async fn busy() -> (Client, Listener, String) {
    let client = Client::start(Duration::from_mins(10)).await;
    let mut listener = client.listen("busy").await;
    let id = client.submit(&json!({"prompt": with_steps(3000), "client_id": "busy"})).await;
    while listener.until("executing").await["node"] != "3" {}
    (client, listener, id)
}

fn ids(prompts: &Value) -> Vec<&str> {
    prompts.as_array().unwrap().iter().filter_map(|prompt| prompt[1].as_str()).collect()
}

#[tokio::test]
async fn the_running_prompt_is_interrupted_by_its_id() {
    let (client, mut listener, id) = busy().await;
    client.post("interrupt", &json!({"prompt_id": "someone else"})).await;
    client.post("queue", &json!({"delete": [id]})).await;
    assert_eq!(ids(&client.json("queue").await["queue_running"]), [id.as_str()]);
    client.post("interrupt", &json!({"prompt_id": id})).await;
    let interrupted = listener.until("execution_interrupted").await;
    assert_eq!((&interrupted["node_id"], &interrupted["node_type"]), (&json!("3"), &json!("KSampler")));
    listener.until_done(&id).await;
    let entry = client.json(&format!("history/{id}")).await[&id].take();
    assert_eq!(
        (&entry["status"]["status_str"], &entry["status"]["completed"]),
        (&json!("error"), &json!(false))
    );
    assert_eq!((&entry["outputs"], &entry["meta"]), (&json!({}), &json!({})));
}

#[tokio::test]
async fn an_interrupt_without_a_body_stops_whatever_runs() {
    let (client, mut listener, id) = busy().await;
    let answer = client.request(Method::POST, "interrupt").send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    listener.until_done(&id).await;
    // Idle, it does nothing to the next one.
    client.request(Method::POST, "interrupt").send().await.unwrap();
    client.post("sandbox/faults", &json!({"reset": true})).await;
}

#[tokio::test]
async fn a_waiting_prompt_is_deleted_without_a_trace() {
    let (client, _listener, _) = busy().await;
    let mut bystander = client.listen("bystander").await;
    let id = client.submit(&json!({"prompt": txt2img(), "prompt_id": "not a uuid / ../x"})).await;
    assert_eq!(id, "not a uuid / ../x");
    assert_eq!(bystander.until("status").await["status"]["exec_info"]["queue_remaining"], 2);
    client.post("queue", &json!({"delete": [id, "unknown"]})).await;
    assert_eq!(bystander.until("status").await["status"]["exec_info"]["queue_remaining"], 1);
    assert_eq!(client.json("queue").await["queue_pending"], json!([]));
    assert_eq!(client.json("history/not%20a%20uuid%20%2F%20..%2Fx").await, json!({}));
}

#[tokio::test]
async fn numbers_order_the_queue() {
    let (client, mut listener, running) = busy().await;
    for (id, extra) in [("a", json!({})), ("b", json!({"front": true})), ("c", json!({"number": -1000.5}))] {
        let mut body = json!({"prompt": with_steps(1), "prompt_id": id, "client_id": "busy"});
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        body["prompt"]["3"]["inputs"]["seed"] = json!(id.len());
        client.submit(&body).await;
    }
    let queue = client.json("queue").await;
    assert_eq!(ids(&queue["queue_pending"])[0], "c");
    assert_eq!(queue["queue_pending"][0][0], -1000.5);
    assert_eq!(client.json("prompt").await, json!({"exec_info": {"queue_remaining": 4}}));
    let duplicate = json!({"prompt": txt2img(), "prompt_id": "c", "number": -1000.5});
    let answer = client.post("prompt", &duplicate).await;
    assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);

    client.post("interrupt", &json!({"prompt_id": running})).await;
    let mut started = Vec::new();
    for _ in 0..3 {
        let id = listener.until("execution_start").await["prompt_id"].as_str().unwrap().to_owned();
        client.post("interrupt", &json!({"prompt_id": id})).await;
        started.push(id);
    }
    assert_eq!(started, ["c", "b", "a"]);
}

#[tokio::test]
async fn history_is_paged_and_deleted() {
    let client = Client::start(Duration::ZERO).await;
    for id in ["one", "two", "three"] {
        let mut listener = client.listen(id).await;
        client.submit(&json!({"prompt": txt2img(), "prompt_id": id, "client_id": id})).await;
        listener.until_done(id).await;
    }
    let keys = |history: Value| history.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(client.json("history").await), ["one", "two", "three"]);
    assert_eq!(keys(client.json("history?max_items=2").await), ["two", "three"]);
    assert_eq!(keys(client.json("history?max_items=2&offset=0").await), ["one", "two"]);
    assert_eq!(client.get("history?max_items=abc").await.status(), StatusCode::INTERNAL_SERVER_ERROR);
    client.post("history", &json!({"delete": ["two"]})).await;
    assert_eq!(keys(client.json("api/history").await), ["one", "three"]);
    let jobs = client.json("api/jobs?limit=1&sort_order=asc").await;
    assert_eq!((&jobs["jobs"][0]["id"], &jobs["jobs"][0]["status"]), (&json!("one"), &json!("completed")));
    assert_eq!(jobs["pagination"], json!({"offset": 0, "limit": 1, "total": 2, "has_more": true}));
    assert_eq!(client.json("api/jobs/one").await["outputs_count"], 1);
    assert_eq!(client.get("api/jobs/nope").await.status(), StatusCode::NOT_FOUND);
    client.post("history", &json!({"clear": true})).await;
    assert_eq!(client.json("history").await, json!({}));
}

#[tokio::test]
async fn what_comfyui_answers_with_an_exception_is_a_text() {
    let client = Client::start(Duration::ZERO).await;
    for (path, body) in [("prompt", "{"), ("prompt", "[]"), ("prompt", ""), ("queue", ""), ("free", "")] {
        let answer = client.request(Method::POST, path).body(body).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR, "{path} {body:?}");
        assert_eq!(answer.headers()["content-type"], "text/plain; charset=utf-8");
        assert_eq!(answer.text().await.unwrap(), "500 Internal Server Error\n\nServer got itself in trouble");
    }
    let answer = client.post("prompt", &json!({"client_id": "x"})).await;
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    assert_eq!(answer.json::<Value>().await.unwrap()["error"]["type"], "no_prompt");
}

#[tokio::test]
async fn unknown_paths_and_methods_are_answered_as_comfyui_does() {
    let client = Client::start(Duration::ZERO).await;
    for path in ["no/such/path", "prompt/", "jobs", "models/nope"] {
        assert_eq!(client.get(path).await.status(), StatusCode::NOT_FOUND, "{path}");
    }
    let answer = client.request(Method::PUT, "prompt").send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(answer.headers()["allow"], "GET,HEAD,POST");
    let foreign = client.request(Method::GET, "system_stats").header("origin", "http://evil.example");
    assert_eq!(foreign.send().await.unwrap().status(), StatusCode::FORBIDDEN);
    let stats = client.json("system_stats").await;
    assert!(stats["system"]["comfyui_version"].as_str().unwrap().starts_with("sandbox-"));
    assert!(stats["devices"][0]["name"].as_str().unwrap().contains("sandbox"));
}

#[tokio::test]
async fn what_the_sandbox_has_can_be_read_as_comfyuis() {
    let client = Client::start(Duration::ZERO).await;
    client.upload("here.png", super::client::sample_png()).await;
    let info = client.json("object_info").await;
    let parsed = workflow_analyzer::ObjectInfo::from_json(info.clone()).unwrap();
    assert!(parsed.classes.len() >= 60 && parsed.classes["SaveImage"].output_node);
    assert_eq!(
        info["CheckpointLoaderSimple"]["input"]["required"]["ckpt_name"][0][0],
        "sandbox-sd15.safetensors"
    );
    assert_eq!(info["LoadImage"]["input"]["required"]["image"][0], json!(["here.png"]));
    assert!(!info.to_string().contains('@'), "a placeholder was left");
    assert_eq!(client.json("object_info/KSampler").await["KSampler"], info["KSampler"]);
    assert_eq!(client.json("object_info/Nope").await, json!({}));
    assert_eq!(client.json("api/models/loras").await[0], "sandbox-style.safetensors");
    assert_eq!(client.json("embeddings").await, json!(["sandbox-embedding"]));
}
