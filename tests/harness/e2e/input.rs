//! Bad input: refused at once, with the field, the reason and the nearest good value, and nothing is queued.

use anyhow::{Context as _, Result, bail, ensure};
use base64::Engine as _;
use futures::FutureExt as _;
use mcp_protocol::client::ClientError;
use serde_json::{Value, json};

use super::target::{installed, small, with};
use super::{Case, Target};
use crate::images;

pub(super) const CASES: &[Case] = &[
    Case::quick("input/unknown names", |target| unknown_names(target).boxed()),
    Case::quick("input/wrong types and ranges", |target| types_and_ranges(target).boxed()),
    Case::quick("input/no image", |target| no_image(target).boxed()),
    Case::quick("input/graphs", |target| graphs(target).boxed()),
    Case::quick("input/jobs and artifacts that are not there", |target| not_there(target).boxed()),
    Case::quick("input/unknown tool", |target| unknown_tool(target).boxed()),
];

/// A letter too many.
fn misspelt(name: &str) -> String {
    let (stem, ending) = name.rsplit_once('.').unwrap_or((name, "safetensors"));
    format!("{stem}e.{ending}")
}

async fn unknown_names(target: &Target) -> Result<String> {
    let (_gateway, client) = target.gateway().await?;
    let checkpoint = &installed(&client, "checkpoints").await?[0];
    let lora = &installed(&client, "loras").await?[0];
    let controlnet = &installed(&client, "controlnet").await?[0];
    let guide = images::data_uri(&images::left_half(64, 64)?);
    let cases = [
        ("unknown_name", json!({"model": misspelt(checkpoint)}), ["model", checkpoint]),
        ("unknown_name", json!({"loras": [{"name": misspelt(lora)}]}), ["loras.name", lora]),
        (
            "unknown_name",
            json!({"controlnet": {"image": guide, "model": misspelt(controlnet)}}),
            ["controlnet.model", controlnet],
        ),
        ("unknown_name", json!({"workflow": "text2img"}), ["workflow", "txt2img"]),
        ("unknown_name", json!({"sampler": "eular"}), ["sampler", "euler"]),
        ("unknown_name", json!({"scheduler": "karas"}), ["scheduler", "karras"]),
    ];
    let count = cases.len();
    for (code, change, parts) in cases {
        let failure = client.refused("generate_image", with(small("x"), change.clone())).await?;
        failure.expect(code, &parts).with_context(|| change.to_string())?;
    }
    let failure = client.refused("list_models", json!({"kind": "checkpoint"})).await?;
    failure.expect("unknown_name", &["kind", "checkpoints"])?;
    let failure = client.refused("run_workflow", json!({"workflow": "in_paint"})).await?;
    failure.expect("unknown_name", &["workflow", "inpaint"])?;
    nothing_queued(&client).await?;
    Ok(format!("{} names", count + 2))
}

async fn types_and_ranges(target: &Target) -> Result<String> {
    let (_gateway, client) = target.gateway().await?;
    let cases = [
        (json!({"steps": "many"}), vec!["steps", "integer"]),
        (json!({"steps": 0}), vec!["steps", "1"]),
        (json!({"width": 8}), vec!["width", "16"]),
        (json!({"height": 99_999}), vec!["height", "16384"]),
        (json!({"cfg": 101}), vec!["cfg", "100"]),
        (json!({"seed": -1}), vec!["seed", "0"]),
        (json!({"batch_size": 2.5}), vec!["batch_size"]),
        (json!({"prompt": 7}), vec!["prompt", "string"]),
        (json!({"priority": 101}), vec!["priority", "100"]),
        (json!({"wait_seconds": -1}), vec!["wait_seconds"]),
        (json!({"loras": [{"strength": 1}]}), vec!["loras", "name"]),
        (json!({"loras": [{"name": "x", "strength": "high"}]}), vec!["loras", "strength"]),
        (json!({"controlnet": {"image": "x", "end": 1.5}}), vec!["controlnet", "end"]),
        (json!({"stepz": 4}), vec!["stepz", "steps"]),
    ];
    let count = cases.len();
    for (change, parts) in cases {
        let failure = client.refused("generate_image", with(small("x"), change.clone())).await?;
        failure.expect("invalid_arguments", &parts).with_context(|| change.to_string())?;
    }
    let failure = client.refused("generate_image", json!({})).await?;
    failure.expect("invalid_arguments", &["prompt"])?;
    let failure = client.refused("img2img", json!({"prompt": "x", "image": "y", "strength": 2})).await?;
    failure.expect("invalid_arguments", &["strength", "1"])?;
    nothing_queued(&client).await?;
    Ok(format!("{} fields", count + 2))
}

async fn no_image(target: &Target) -> Result<String> {
    let (_gateway, client) = target.gateway().await?;
    let text = base64::engine::general_purpose::STANDARD.encode("this is a text and not a picture");
    let mut cut = images::gradient(64, 64)?;
    cut.truncate(120);
    let bad = ["@@@", text.as_str(), &images::data_uri(&cut), "https://example.com/cat.png"];
    for image in bad {
        let failure = client.refused("img2img", json!({"prompt": "x", "image": image})).await?;
        failure.expect("invalid_image", &["image", "PNG"]).with_context(|| image.to_owned())?;
    }
    let good = images::data_uri(&images::gradient(64, 64)?);
    let failure = client.refused("inpaint", json!({"prompt": "x", "image": good, "mask": text})).await?;
    failure.expect("invalid_image", &["mask"])?;
    let controlnet = json!({"prompt": "x", "controlnet": {"image": text}});
    let failure = client.refused("generate_image", controlnet).await?;
    failure.expect("invalid_image", &["controlnet.image"])?;
    let parameters = json!({"workflow": "upscale", "parameters": {"image": text}});
    let failure = client.refused("run_workflow", parameters).await?;
    failure.expect("invalid_image", &["image"])?;
    nothing_queued(&client).await?;
    Ok(format!("{} pictures", bad.len() + 3))
}

async fn graphs(target: &Target) -> Result<String> {
    let (_gateway, client) = target.gateway().await?;
    let save = json!({"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "x"}});
    let with_first = |first: Value| json!({"graph": {"1": first, "2": save}});
    let empty = |width: Value| json!({"class_type": "EmptyImage", "inputs": {"width": width, "height": 64, "batch_size": 1, "color": 0}});
    let cases = [
        (
            with_first(json!({"class_type": "EmptyImagee", "inputs": {}})),
            "invalid_workflow",
            vec!["EmptyImage"],
        ),
        (with_first(empty(json!("wide"))), "invalid_workflow", vec!["width"]),
        (with_first(empty(json!(-3))), "invalid_workflow", vec!["width"]),
        (json!({"graph": {"2": save}}), "invalid_workflow", vec!["images"]),
        (json!({"graph": {"nodes": [], "links": []}}), "invalid_workflow", vec!["SaveImage"]),
        (json!({}), "invalid_arguments", vec!["workflow", "graph"]),
        (json!({"workflow": "txt2img", "graph": {"2": save}}), "invalid_arguments", vec!["not both"]),
    ];
    let count = cases.len();
    for (arguments, code, parts) in cases {
        let failure = client.refused("run_workflow", arguments.clone()).await?;
        failure.expect(code, &parts).with_context(|| arguments.to_string())?;
    }
    let unknown = json!({"workflow": "txt2img", "parameters": {"promt": "x"}});
    let failure = client.refused("run_workflow", unknown).await?;
    ensure!(failure.text.contains("promt") && failure.text.contains("prompt"), "{}", failure.text);
    nothing_queued(&client).await?;
    Ok(format!("{} graphs", count + 1))
}

async fn not_there(target: &Target) -> Result<String> {
    let (_gateway, client) = target.gateway().await?;
    let id = "01900000-0000-7000-8000-000000000000";
    for (tool, arguments) in [
        ("get_job_status", json!({"job_id": id})),
        ("get_job_status", json!({"job_id": "no id at all"})),
        ("wait_for_job", json!({"job_id": id})),
        ("cancel_job", json!({"job_id": id})),
        ("get_image", json!({"artifact_id": id})),
        ("get_image", json!({"artifact_id": "../../etc/passwd"})),
        ("img2img", json!({"prompt": "x", "image": id})),
    ] {
        let failure = client.refused(tool, arguments.clone()).await?;
        failure.expect("not_found", &[]).with_context(|| format!("{tool} {arguments}"))?;
    }
    for path in [format!("/artifacts/{id}"), "/artifacts/..%2f..%2fetc%2fpasswd".to_owned()] {
        let answer = client.get(&path).await?;
        ensure!(answer.status() == 404, "{path} answers {}", answer.status());
    }
    Ok("7 calls, 2 paths".to_owned())
}

async fn unknown_tool(target: &Target) -> Result<String> {
    let (_gateway, client) = target.gateway().await?;
    match client.raw_call("generate_imagee", json!({})).await {
        Err(ClientError::Rpc { code: -32602, message, .. }) => {
            ensure!(message.contains("generate_image"), "the nearest tool isn't named: {message}");
            Ok(message)
        }
        other => bail!("an unknown tool gives {other:?}"),
    }
}

async fn nothing_queued(client: &crate::client::Client) -> Result<()> {
    let status = client.call("get_queue_status", json!({})).await?;
    let yours = &status.structured()?["yours"];
    let counts = yours.as_object().context("no counts")?;
    ensure!(counts.values().all(|count| *count == 0), "a refused call left a job: {yours}");
    Ok(())
}
