//! Runs beside recordings of a real ComfyUI: the events, their order and their shapes.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::client::{Client, sample_png, txt2img};

/// What a recording keeps of a message.
fn line(event: &Value) -> String {
    let data = &event["data"];
    let kind = event["type"].as_str().unwrap();
    let text = |value: &Value| value.as_str().unwrap_or("null").to_owned();
    let list = |value: &Value| value.as_array().unwrap().iter().map(text).collect::<Vec<_>>();
    match kind {
        "status" => {
            let sid = if data.get("sid").is_some() { "+sid" } else { "" };
            format!("status{sid} {}", data["status"]["exec_info"]["queue_remaining"])
        }
        "executing" | "executed" => format!("{kind} {}", text(&data["node"])),
        "execution_cached" => format!("{kind} {}", list(&data["nodes"]).join(",")),
        "progress" => format!("{kind} {} {}/{}", text(&data["node"]), data["value"], data["max"]),
        "progress_state" => {
            let node = |(id, node): (&String, &Value)| {
                format!("{id}:{}/{}:{}", node["value"], node["max"], text(&node["state"]))
            };
            let nodes: Vec<_> = data["nodes"].as_object().unwrap().iter().map(node).collect();
            format!("{kind} {}", nodes.join(" "))
        }
        "execution_error" | "execution_interrupted" => {
            let mut executed = list(&data["executed"]);
            executed.sort();
            format!(
                "{kind} {} {} after {}",
                text(&data["node_id"]),
                text(&data["node_type"]),
                executed.join(",")
            )
        }
        other => other.to_owned(),
    }
}

fn key_of(event: &Value) -> String {
    match event["type"].as_str().unwrap() {
        "status" if event["data"].get("sid").is_some() => "status+sid".to_owned(),
        "executing" if event["data"]["node"].is_null() => "executing null".to_owned(),
        other => other.to_owned(),
    }
}

/// The paths to the leaves of a message; nodes are `*`.
fn paths(value: &Value, path: &str, out: &mut Vec<String>) {
    match value.as_object() {
        Some(fields) if !fields.is_empty() => {
            for (name, field) in fields {
                let name = if path.ends_with("nodes") { "*" } else { name };
                let path = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
                paths(field, &path, out);
            }
        }
        _ => out.push(path.to_owned()),
    }
}

async fn play(client: &Client, recording: &Value) -> (Vec<String>, BTreeMap<String, Vec<String>>) {
    let expected: Vec<&str> =
        recording["events"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let previews = if expected.iter().any(|line| line.starts_with("binary 1")) { "auto" } else { "none" };
    let request = json!({
        "prompt": recording["prompt"], "client_id": "rec", "extra_data": {"preview_method": previews}});
    let mut listener = client.listen_at("ws?clientId=rec").await;
    let mut lines = Vec::new();
    let mut keys: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut is_submitted = false;
    while lines.len() < expected.len() {
        match listener.next().await.unwrap() {
            Message::Text(text) => {
                let event: Value = serde_json::from_str(&text).unwrap();
                lines.push(line(&event));
                let entry = keys.entry(key_of(&event)).or_default();
                paths(&event["data"], "", entry);
                entry.sort();
                entry.dedup();
                let is_over = key_of(&event) == "executing null" && lines.len() < expected.len();
                if !is_submitted || is_over {
                    is_submitted = true;
                    client.submit(&request).await;
                }
            }
            Message::Binary(frame) => lines.push(format!("binary {}", frame[3])),
            _ => {}
        }
    }
    (lines, keys)
}

#[tokio::test]
async fn events_come_as_recorded() {
    let recordings: Vec<Value> = serde_json::from_str(include_str!("../../fixtures/runs.json")).unwrap();
    for recording in &recordings {
        let client = Client::start(Duration::ZERO).await;
        client.upload("upload-64.png", sample_png()).await;
        client.upload("not-an-image.png", b"no picture".to_vec()).await;
        let (lines, keys) = play(&client, recording).await;
        assert_eq!(json!(lines), recording["events"], "{}", recording["name"]);
        assert_eq!(json!(keys), recording["keys"], "{}", recording["name"]);
    }
}

#[tokio::test]
async fn previews_with_metadata_come_to_those_who_asked_for_them() {
    let client = Client::start(Duration::ZERO).await;
    let mut listener = client.listen("flags").await;
    listener.send(&json!({"type": "feature_flags", "data": {"supports_preview_metadata": true}})).await;
    let features = listener.until("feature_flags").await;
    assert_eq!(features, client.json("features").await);
    let request =
        json!({"prompt": txt2img(), "client_id": "flags", "extra_data": {"preview_method": "latent2rgb"}});
    let id = client.submit(&request).await;
    loop {
        if let Message::Binary(frame) = listener.next().await.unwrap() {
            let length = u32::from_be_bytes(frame[4..8].try_into().unwrap()) as usize;
            let metadata: Value = serde_json::from_slice(&frame[8..8 + length]).unwrap();
            assert_eq!(frame[..4], [0, 0, 0, 4]);
            assert_eq!((&metadata["prompt_id"], &metadata["node_id"]), (&json!(id), &json!("3")));
            assert_eq!(metadata["image_type"], "image/jpeg");
            assert!(image::load_from_memory(&frame[8 + length..]).is_ok());
            break;
        }
    }
    // The picture comes before the step that it belongs to.
    assert_eq!(listener.event().await["type"], "progress");
}

#[tokio::test]
async fn flags_that_come_later_than_first_are_ignored() {
    let client = Client::start(Duration::ZERO).await;
    let mut listener = client.listen("late").await;
    listener.send(&json!({"type": "hello"})).await;
    listener.send(&json!({"type": "feature_flags", "data": {"supports_preview_metadata": true}})).await;
    let id = client.submit(&json!({"prompt": txt2img(), "client_id": "late"})).await;
    loop {
        let event = listener.event().await;
        assert_ne!(event["type"], "feature_flags");
        if event["type"] == "execution_success" {
            break;
        }
    }
    listener.until_done(&id).await;
}

#[tokio::test]
async fn others_hear_of_the_queue_alone() {
    let client = Client::start(Duration::ZERO).await;
    let mut bystander = client.listen("other").await;
    let mut listener = client.listen("mine").await;
    let id = client.submit(&json!({"prompt": txt2img(), "client_id": "mine"})).await;
    listener.until_done(&id).await;
    for remaining in [1, 1, 0] {
        let event = bystander.event().await;
        assert_eq!(line(&event), format!("status {remaining}"));
    }
}

#[tokio::test]
async fn without_a_client_progress_goes_to_everyone_and_the_rest_to_nobody() {
    let client = Client::start(Duration::ZERO).await;
    let mut listener = client.listen("listens").await;
    client.submit(&json!({"prompt": txt2img()})).await;
    let mut kinds: Vec<String> = Vec::new();
    while kinds.iter().filter(|kind| *kind == "status").count() < 3 {
        kinds.push(listener.event().await["type"].as_str().unwrap().to_owned());
    }
    kinds.sort();
    kinds.dedup();
    assert_eq!(kinds, ["progress", "progress_state", "status"]);
}

#[tokio::test]
async fn who_comes_back_is_told_the_node_that_runs() {
    let client = Client::start(Duration::from_mins(10)).await;
    let mut first = client.listen("back").await;
    let id = client.submit(&json!({"prompt": txt2img(), "client_id": "back"})).await;
    while first.until("executing").await["node"] != "3" {}
    first.close().await;
    let mut second = client.listen("back").await;
    assert_eq!(second.event().await, json!({"type": "executing", "data": {"node": "3"}}));
    client.post("interrupt", &json!({"prompt_id": id})).await;
    second.until_done(&id).await;
}

#[tokio::test]
async fn a_second_socket_takes_the_place_of_the_first() {
    let client = Client::start(Duration::ZERO).await;
    let first = client.listen("twice").await;
    let mut second = client.listen("twice").await;
    let id = client.submit(&json!({"prompt": txt2img(), "client_id": "twice"})).await;
    second.until_done(&id).await;
    // Its end takes the second one's place away.
    first.close().await;
    let mut other = client.listen("other").await;
    let id = client.submit(&json!({"prompt": txt2img(), "client_id": "other"})).await;
    other.until_done(&id).await;
    // Nothing of the other prompt was heard, not even the length of the queue.
    client.sandbox.faults().drop_sockets();
    assert!(second.next().await.is_none());
}

#[tokio::test]
async fn what_changed_runs_again_and_the_rest_is_cached() {
    let client = Client::start(Duration::ZERO).await;
    client.run(&txt2img()).await;
    let mut graph = txt2img();
    graph["6"]["inputs"]["text"] = json!("something else");
    let entry = client.run(&graph).await;
    assert_eq!(entry["status"]["messages"][1][1]["nodes"], json!(["4", "5", "7"]));
    client.post("free", &json!({"free_memory": true})).await;
    let entry = client.run(&graph).await;
    assert_eq!(entry["status"]["messages"][1][0], "execution_cached");
    let entry = client.run(&graph).await;
    let file = &entry["outputs"]["9"]["images"][0]["filename"];
    assert_eq!(entry["status"]["messages"][1][1]["nodes"].as_array().unwrap().len(), 7);
    assert!(file.as_str().unwrap().starts_with("t_0000"), "{file}");
}

#[tokio::test]
async fn a_file_with_new_content_is_loaded_again() {
    let client = Client::start(Duration::ZERO).await;
    client.upload("a.png", sample_png()).await;
    let graph = json!({
        "1": {"class_type": "LoadImage", "inputs": {"image": "a.png"}},
        "2": {"class_type": "SaveImage", "inputs": {"filename_prefix": "a", "images": ["1", 0]}},
    });
    let first = client.picture(&graph).await;
    let other = image::RgbaImage::from_pixel(32, 32, image::Rgba([1, 2, 3, 255]));
    let bytes = crate::pictures::encode_rgba(&other, Vec::new()).unwrap();
    client.upload_with("upload/image", "a.png", bytes, &[("overwrite", "true")]).await;
    assert_ne!(client.picture(&graph).await.dimensions(), first.dimensions());
}
