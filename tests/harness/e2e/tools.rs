//! Every tool, with its typed answer.

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use futures::FutureExt as _;
use mcp_client::JobState;
use serde_json::{Value, json};

use super::target::{installed, small, with};
use super::{Case, Target};
use crate::images;
use crate::wait::{LONG, until};

pub(super) const CASES: &[Case] = &[
    Case::quick("tools/generate_image by prompt alone", |target| prompt_alone(target).boxed()),
    Case::quick("tools/generate_image in a batch", |target| batch(target).boxed()),
    Case::quick("tools/img2img", |target| img2img(target).boxed()),
    Case::quick("tools/inpaint", |target| inpaint(target).boxed()),
    Case::quick("tools/get_image and artifacts", |target| artifacts(target).boxed()),
    Case::quick("tools/list_models", |target| list_models(target).boxed()),
    Case::quick("tools/list_workflows", |target| list_workflows(target).boxed()),
    Case::quick("tools/get_queue_status", |target| queue_status(target).boxed()),
    Case::quick("tools/get_tools_manifest", |target| manifest(target).boxed()),
    Case::quick("tools/wait_for_job and get_job_status", |target| waiting(target).boxed()),
    Case::quick("tools/idempotency_key", |target| idempotency(target).boxed()),
];

/// Workflow, model and size are chosen from what is there; the answer has all that an agent needs.
async fn prompt_alone(target: &Target) -> Result<String> {
    let (_gateway, client) = target.gateway().await?;
    let reply = client.finish("generate_image", json!({"prompt": "a dog wearing sunglasses"})).await?;
    let job = reply.job()?;
    ensure!(job.tool.as_deref() == Some("generate_image"), "the tool is {:?}", job.tool);
    ensure!(job.attempt == 1 && job.error.is_none(), "{job:?}");
    let (Some(started), Some(finished)) = (job.started_at, job.finished_at) else {
        anyhow::bail!("no times: {job:?}");
    };
    ensure!(job.created_at <= started && started <= finished, "the times are out of order: {job:?}");
    let seed = job.seed.context("the seed isn't told")?;
    let artifact = job.artifacts.first().context("no artifact")?;
    ensure!(artifact.media_type == "image/png", "it is {}", artifact.media_type);
    let file = client.file(artifact).await?;
    ensure!(file.len() as u64 == artifact.bytes, "{} bytes are told, {} come", artifact.bytes, file.len());
    let picture = images::decode(&file)?;
    ensure!(
        (artifact.width, artifact.height) == (Some(picture.width()), Some(picture.height())),
        "{artifact:?}"
    );
    let sampler = images::node_inputs(&file, "KSampler")?;
    ensure!(sampler["seed"] == seed, "seed {seed} is told, and the graph has {}", sampler["seed"]);
    check_answer(&reply, &artifact.uri)?;
    Ok(format!("{} with {}x{}", job.workflow.unwrap_or_default(), picture.width(), picture.height()))
}

/// One preview within its bounds and one link, and no more.
fn check_answer(reply: &crate::client::Reply, uri: &str) -> Result<()> {
    ensure!(reply.links() == [uri], "links {:?}, artifact {uri}", reply.links());
    let previews = reply.images();
    ensure!(previews.len() == 1, "{} previews", previews.len());
    check_preview(&previews[0].0)?;
    ensure!(reply.text().contains(uri), "the text doesn't name the artifact: {}", reply.text());
    Ok(())
}

fn check_preview(bytes: &[u8]) -> Result<(u32, u32)> {
    ensure!(bytes.len() <= 64 << 10, "a preview of {} bytes", bytes.len());
    let preview = images::decode(bytes)?;
    ensure!(preview.width().max(preview.height()) <= 512, "{}x{}", preview.width(), preview.height());
    Ok((preview.width(), preview.height()))
}

async fn batch(target: &Target) -> Result<String> {
    let (_gateway, client) = target.gateway().await?;
    let reply =
        client.finish("generate_image", with(small("two of a kind"), json!({"batch_size": 2}))).await?;
    let job = reply.job()?;
    ensure!(job.artifacts.len() == 2 && reply.links().len() == 2, "{} artifacts", job.artifacts.len());
    let (one, two) = (client.file(&job.artifacts[0]).await?, client.file(&job.artifacts[1]).await?);
    ensure!(images::difference(&one, &two)? > 0.0, "both pictures are the same");
    Ok("2 different pictures".to_owned())
}

/// The artifact of one job is the image of the next; nothing is sent twice.
async fn img2img(target: &Target) -> Result<String> {
    let (_gateway, client) = target.gateway().await?;
    let first = client.finish("generate_image", small("a hill")).await?.job()?;
    let source = client.first_file(&first).await?;
    let from = &first.artifacts[0];
    let url = from.url.clone().context("the artifact has no URL")?;
    for image in [from.id.clone(), from.uri.clone(), url, images::data_uri(&source)] {
        let arguments =
            json!({"prompt": "a hill in snow", "image": image, "strength": 0.5, "steps": 4, "seed": 5});
        let job = client.finish("img2img", arguments).await?.job()?;
        let file = client.first_file(&job).await?;
        let sampler = images::node_inputs(&file, "KSampler")?;
        ensure!(sampler["denoise"] == 0.5 && sampler["steps"] == 4, "{sampler}");
        ensure!(images::prompts(&file)?.0 == "a hill in snow", "the prompt got lost");
        ensure!(images::difference(&source, &file)? > 0.0, "nothing was changed");
    }
    let scaled = json!({"prompt": "x", "image": from.id, "width": 64, "height": 96, "steps": 2});
    let scaled = images::decode(&client.picture("img2img", scaled).await?)?;
    ensure!((scaled.width(), scaled.height()) == (64, 96), "{}x{}", scaled.width(), scaled.height());
    Ok("by id, uri, URL and data: URI; scaled to 64x96".to_owned())
}

/// What the mask leaves out stays as it was, as far as the VAE lets it.
async fn inpaint(target: &Target) -> Result<String> {
    let (_gateway, client) = target.gateway().await?;
    let source = images::gradient(128, 128)?;
    let mask = images::left_half(128, 128)?;
    let call = |seed: u64| {
        json!({"prompt": "a red hat", "image": images::data_uri(&source), "mask": images::data_uri(&mask),
            "steps": 3, "seed": seed})
    };
    let one = images::decode(&client.picture("inpaint", call(1)).await?)?;
    let two = images::decode(&client.picture("inpaint", call(2)).await?)?;
    let difference = |x: u32, width: u32| -> Result<f64> {
        let part = |picture: &image::DynamicImage| -> Result<Vec<u8>> {
            let mut png = std::io::Cursor::new(Vec::new());
            picture.crop_imm(x, 0, width, 128).write_to(&mut png, image::ImageFormat::Png)?;
            Ok(png.into_inner())
        };
        images::difference(&part(&one)?, &part(&two)?)
    };
    // A VAE mixes what is near the edge of the mask.
    let (masked, kept) = (difference(0, 48)?, difference(96, 32)?);
    ensure!(masked > kept * 2.0, "another seed changes {masked:.2} under the mask and {kept:.2} beside it");
    Ok(format!("another seed changes {masked:.1} under the mask, {kept:.1} beside it"))
}

/// A large picture: small in the answer, whole over HTTP and by `get_image`, in parts when asked.
async fn artifacts(target: &Target) -> Result<String> {
    let (gateway, client) = target.gateway().await?;
    let arguments = json!({"prompt": "wide", "width": 768, "height": 384, "steps": 1});
    let reply = client.finish("generate_image", arguments).await?;
    let job = reply.job()?;
    let artifact = &job.artifacts[0];
    check_answer(&reply, &artifact.uri)?;
    let shown = check_preview(&reply.images()[0].0)?;
    ensure!(shown == (512, 256), "the preview is {shown:?}");
    let file = client.file(artifact).await?;

    let full = client.call("get_image", json!({"artifact_id": artifact.uri, "size": "full"})).await?;
    ensure!(
        full.images() == [(file.clone(), "image/png".to_owned())],
        "get_image gives other bytes than HTTP"
    );
    ensure!(full.structured()?["artifact"]["id"] == artifact.id.as_str(), "{}", full.structured()?);
    let preview = client.call("get_image", json!({"artifact_id": artifact.id})).await?;
    ensure!(
        check_preview(&preview.images()[0].0)? == (512, 256),
        "the preview of get_image has another size"
    );

    ensure!(
        artifact.url.as_deref() == Some(&format!("{}/artifacts/{}", gateway.base(), artifact.id)),
        "{artifact:?}"
    );
    conditional(&format!("{}/artifacts/{}", gateway.base(), artifact.id), &file).await?;
    Ok(format!("{} bytes in full, preview {}x{}", file.len(), shown.0, shown.1))
}

/// ETag and ranges.
async fn conditional(url: &str, file: &Bytes) -> Result<()> {
    let http = crate::client::http()?;
    let whole = http.get(url).send().await?;
    ensure!(whole.headers()["content-type"] == "image/png", "{:?}", whole.headers());
    let etag = whole.headers()["etag"].clone();
    let same = http.get(url).header("If-None-Match", etag).send().await?;
    ensure!(same.status() == 304, "If-None-Match answers {}", same.status());
    let part = http.get(url).header("Range", "bytes=8-15").send().await?;
    ensure!(part.status() == 206, "Range answers {}", part.status());
    ensure!(part.bytes().await? == file[8..16], "another part than was asked");
    let outside = http.get(url).header("Range", format!("bytes={}-", file.len())).send().await?;
    ensure!(outside.status() == 416, "a range outside answers {}", outside.status());
    Ok(())
}

async fn list_models(target: &Target) -> Result<String> {
    let (_gateway, client) = target.gateway().await?;
    let mut counts = Vec::new();
    for kind in
        ["checkpoints", "diffusion_models", "text_encoders", "vae", "loras", "controlnet", "upscale_models"]
    {
        counts.push(format!("{} {kind}", installed(&client, kind).await?.len()));
    }
    ensure!(installed(&client, "samplers").await?.contains(&"euler".to_owned()), "no sampler euler");
    ensure!(installed(&client, "schedulers").await?.contains(&"karras".to_owned()), "no scheduler karras");
    let all = client.call("list_models", json!({"search": "EULER"})).await?;
    let models = all.structured()?["models"].as_object().context("no models")?.clone();
    let names = || models.values().filter_map(Value::as_array).flatten().filter_map(Value::as_str);
    ensure!(names().count() > 0 && names().all(|name| name.contains("euler")), "the search gives {models:?}");
    Ok(counts.join(", "))
}

async fn list_workflows(target: &Target) -> Result<String> {
    let (_gateway, client) = target.gateway().await?;
    let list = client.call("list_workflows", json!({})).await?;
    let entries = list.structured()?["workflows"].as_array().context("no workflows")?.clone();
    let shipped =
        ["controlnet", "img2img", "inpaint", "lora", "txt2img", "txt2img_diffusion_model", "upscale"];
    for name in shipped {
        let entry =
            entries.iter().find(|entry| entry["name"] == name).with_context(|| format!("no {name}"))?;
        ensure!(entry["runnable"] == true, "{name} is not runnable: {entry}");
        let parameters = entry["parameters"].as_array().map_or(0, Vec::len);
        ensure!(parameters > 0 && entry["description"].is_string(), "{entry}");
    }
    let found = client.call("list_workflows", json!({"search": "INPAINT"})).await?;
    let found = found.structured()?["workflows"].as_array().map_or(0, Vec::len);
    ensure!(found == 1, "the search finds {found}");
    Ok(format!("{} workflows", entries.len()))
}

async fn queue_status(target: &Target) -> Result<String> {
    let (_gateway, client) = target.gateway().await?;
    client.finish("generate_image", small("counted")).await?;
    let status = until("the backend to be up", LONG, async || {
        let status = client.call("get_queue_status", json!({})).await?.structured()?.clone();
        Ok((status["backends"][0]["state"] == "up").then_some(status))
    });
    let status = status.await?;
    ensure!(status["yours"]["succeeded"] == 1, "{status}");
    ensure!(
        status["queued"] == 0 && status["running"] == 0 && status["max_concurrent_jobs"] == 2,
        "{status}"
    );
    let backend = &status["backends"][0];
    ensure!(
        backend["url"] == target.url.as_str() && backend["version"] == target.version.as_str(),
        "{backend}"
    );
    Ok(format!("ComfyUI {}", target.version))
}

async fn manifest(target: &Target) -> Result<String> {
    let (_gateway, client) = target.gateway().await?;
    let manifest = client.call("get_tools_manifest", json!({})).await?;
    let tools = manifest.structured()?["tools"].as_array().context("no tools")?.clone();
    let listed = client.peer.list_tools().await?;
    let names = |tools: &[Value]| -> Vec<String> {
        tools.iter().filter_map(|tool| tool["name"].as_str()).map(str::to_owned).collect()
    };
    let expected: Vec<_> = listed.iter().map(|tool| tool.name.clone()).collect();
    ensure!(names(&tools) == expected, "the manifest has {:?}, tools/list {expected:?}", names(&tools));
    let generate = tools.iter().find(|tool| tool["name"] == "generate_image").context("no generate_image")?;
    let prompt = generate["parameters"].as_array().into_iter().flatten().find(|one| one["name"] == "prompt");
    let prompt = prompt.context("generate_image has no prompt")?;
    ensure!(prompt["required"] == true && prompt["type"] == "string", "{prompt}");
    Ok(format!("{} tools", tools.len()))
}

async fn waiting(target: &Target) -> Result<String> {
    let (_gateway, client) = target.gateway().await?;
    let answer = client.call("generate_image", with(small("later"), json!({"wait_seconds": 0}))).await?;
    let started = answer.job_answer()?;
    ensure!(!started.job.state.is_terminal(), "with wait_seconds 0 the job is {:?}", started.job.state);
    ensure!(
        started.next.is_some_and(|next| next.contains("wait_for_job")),
        "the answer doesn't say how to go on"
    );
    let id = &started.job.id;
    let early = client.call("wait_for_job", json!({"job_id": id, "wait_seconds": 0})).await?.job()?;
    ensure!(early.id == *id, "another job");
    let done = client.wait(id).await?;
    ensure!(done.state == JobState::Succeeded && done.artifacts.len() == 1, "{done:?}");
    let status = client.status(id).await?;
    ensure!(status == done, "get_job_status says {status:?}, wait_for_job {done:?}");
    Ok("answered at once, found again, waited for".to_owned())
}

async fn idempotency(target: &Target) -> Result<String> {
    let (_gateway, client) = target.gateway().await?;
    let once = small("once");
    let keyed = |key: &str| with(once.clone(), json!({"idempotency_key": key}));
    let first = client.start("generate_image", keyed("a")).await?;
    let again = client.start("generate_image", keyed("a")).await?;
    let other = client.start("generate_image", keyed("b")).await?;
    ensure!(first.id == again.id && first.id != other.id, "{} {} {}", first.id, again.id, other.id);
    client.succeeded(&first.id).await?;
    let late = client.finish("generate_image", keyed("a")).await?.job()?;
    ensure!(late.id == first.id, "the key is forgotten when the job is done");
    client.succeeded(&other.id).await?;
    let changed = with(keyed("a"), json!({"prompt": "twice"}));
    let failure = client.refused("generate_image", changed).await?;
    failure.expect("invalid_arguments", &["idempotency_key", &first.id])?;
    Ok("one job for three calls; other arguments under the key are refused".to_owned())
}
