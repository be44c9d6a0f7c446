//! What people save and bring: files of ComfyUI's editor, pictures with a graph in them, graphs that were edited, and graphs
//! that put out other things than pictures.

use anyhow::{Context as _, Result, ensure};
use futures::FutureExt as _;
use serde_json::{Value, json};
use workflow_analyzer::{Graph, ObjectInfo, edit};

use super::recorded::{check, run};
use super::target::{checkpoint, fresh_seed, installed, small, with};
use super::{Case, Target};
use crate::{comfy, images};

pub(super) const CASES: &[Case] = &[
    Case::quick("saved/a file of the editor", |target| editor(target).boxed()),
    Case::quick("saved/out of a picture", |target| out_of_a_picture(target).boxed()),
    Case::quick("saved/without the workflow in it", |target| stripped(target).boxed()),
    Case::quick("saved/upscaler, batch and scale put in", |target| enlarged(target).boxed()),
];

/// What the sandbox has no nodes for.
pub(super) const MEDIA: Case = Case::quick("saved/video, sound and text", |target| media(target).boxed());

/// A file as the editor saves it: a reroute, a note, a muted node, and sampler and decoder in a subgraph.
fn editor_file(model: &str) -> Value {
    let socket = |name: &str, kind: &str, link: u64| json!({"name": name, "type": kind, "link": link});
    let output = |kind: &str, links: Value| json!({"name": kind, "type": kind, "links": links});
    let nodes = json!([
        {"id": 1, "type": "CheckpointLoaderSimple", "widgets_values": [model],
            "outputs": [output("MODEL", json!([1])), output("CLIP", json!([2, 3])), output("VAE", json!([4]))]},
        {"id": 2, "type": "CLIPTextEncode", "title": "Wanted", "widgets_values": ["a harbour"],
            "inputs": [socket("clip", "CLIP", 2)], "outputs": [output("CONDITIONING", json!([5]))]},
        {"id": 3, "type": "CLIPTextEncode", "title": "Unwanted", "widgets_values": ["fog"],
            "inputs": [socket("clip", "CLIP", 3)], "outputs": [output("CONDITIONING", json!([6]))]},
        {"id": 4, "type": "EmptyLatentImage", "widgets_values": [512, 512, 1],
            "outputs": [output("LATENT", json!([7]))]},
        {"id": 6, "type": "sample-and-decode",
            "inputs": [socket("model", "MODEL", 1), socket("positive", "CONDITIONING", 5),
                socket("negative", "CONDITIONING", 6), socket("latent_image", "LATENT", 7), socket("vae", "VAE", 4)],
            "outputs": [output("IMAGE", json!([8]))]},
        {"id": 7, "type": "Reroute", "inputs": [socket("", "*", 8)], "outputs": [output("IMAGE", json!([9, 10]))]},
        {"id": 8, "type": "SaveImage", "widgets_values": ["harbour"], "inputs": [socket("images", "IMAGE", 9)]},
        {"id": 9, "type": "PreviewImage", "mode": 2, "inputs": [socket("images", "IMAGE", 10)]},
        {"id": 12, "type": "Note", "widgets_values": ["for the wall in the hall"]},
    ]);
    let links = json!([
        [1, 1, 0, 6, 0, "MODEL"],
        [2, 1, 1, 2, 0, "CLIP"],
        [3, 1, 1, 3, 0, "CLIP"],
        [4, 1, 2, 6, 4, "VAE"],
        [5, 2, 0, 6, 1, "CONDITIONING"],
        [6, 3, 0, 6, 2, "CONDITIONING"],
        [7, 4, 0, 6, 3, "LATENT"],
        [8, 6, 0, 7, 0, "IMAGE"],
        [9, 7, 0, 8, 0, "IMAGE"],
        [10, 7, 0, 9, 0, "IMAGE"],
    ]);
    json!({"version": 0.4, "last_node_id": 12, "last_link_id": 10, "nodes": nodes, "links": links,
        "definitions": {"subgraphs": [subgraph()]}})
}

fn subgraph() -> Value {
    let slots = [
        ("model", "MODEL"),
        ("positive", "CONDITIONING"),
        ("negative", "CONDITIONING"),
        ("latent_image", "LATENT"),
    ];
    let mut inputs = Vec::new();
    let mut sockets = Vec::new();
    let mut links = Vec::new();
    for (at, (name, kind)) in slots.into_iter().enumerate() {
        inputs.push(json!({"name": name, "type": kind, "linkIds": [at + 1]}));
        sockets.push(json!({"name": name, "type": kind, "link": at + 1}));
        links.push(json!({"id": at + 1, "origin_id": -10, "origin_slot": at, "target_id": 10, "target_slot": at, "type": kind}));
    }
    inputs.push(json!({"name": "vae", "type": "VAE", "linkIds": [6]}));
    links.push(json!({"id": 5, "origin_id": 10, "origin_slot": 0, "target_id": 11, "target_slot": 0, "type": "LATENT"}));
    links.push(json!({"id": 6, "origin_id": -10, "origin_slot": 4, "target_id": 11, "target_slot": 1, "type": "VAE"}));
    links.push(json!({"id": 7, "origin_id": 11, "origin_slot": 0, "target_id": -20, "target_slot": 0, "type": "IMAGE"}));
    json!({"id": "sample-and-decode", "name": "Sample", "inputs": inputs, "links": links,
    "outputs": [{"name": "IMAGE", "type": "IMAGE", "linkIds": [7]}],
    "nodes": [
        {"id": 10, "type": "KSampler", "inputs": sockets, "outputs": [{"name": "LATENT", "type": "LATENT", "links": [5]}],
            "widgets_values": [77, "randomize", 20, 7.5, "euler", "normal", 1]},
        {"id": 11, "type": "VAEDecode", "outputs": [{"name": "IMAGE", "type": "IMAGE", "links": [7]}],
            "inputs": [{"name": "samples", "type": "LATENT", "link": 5}, {"name": "vae", "type": "VAE", "link": 6}]},
    ]})
}

async fn editor(target: &Target) -> Result<String> {
    let (_gateway, client) = target.gateway().await?;
    let model = checkpoint(&client).await?;
    client.call("save_workflow", json!({"name": "harbour", "graph": editor_file(&model)})).await?;
    let described = client.call("describe_workflow", json!({"workflow": "harbour"})).await?;
    let described = described.structured()?;
    ensure!(described["runnable"] == true && described["seed"] == "random", "{described}");
    // By name, by the id of a node in the subgraph, and by a title.
    let parameters = json!({"prompt": "a quay", "Unwanted.text": "rain", "6:10.steps": 3, "cfg": 4.5,
        "seed": u64::MAX, "width": 128, "height": 192});
    let call = json!({"workflow": "harbour", "parameters": parameters});
    let run = run(target, &client, "run_workflow", call).await?;
    check(run.text("positive", 0)?, &parameters["prompt"], "prompt")?;
    check(run.text("negative", 0)?, &parameters["Unwanted.text"], "Unwanted.text")?;
    let sampler = run.sampler()?;
    for (input, given) in [("steps", "6:10.steps"), ("cfg", "cfg"), ("seed", "seed")] {
        check(&sampler[input], &parameters[given], given)?;
    }
    let latent = run.behind(sampler, "latent_image", "EmptyLatentImage")?;
    check(&latent["height"], &parameters["height"], "height")?;
    ensure!(
        run.nodes.len() == 7,
        "{} nodes, without the note, the reroute and what is muted",
        run.nodes.len()
    );
    Ok(format!("a subgraph, a reroute and a muted node: {} nodes", run.nodes.len()))
}

async fn out_of_a_picture(target: &Target) -> Result<String> {
    let (_gateway, client) = target.gateway().await?;
    let job = client.finish("generate_image", small("a windmill")).await?.job()?;
    let image = job.artifacts[0].id.clone();
    let saved = client.call("save_workflow", json!({"name": "windmill", "image": image})).await?;
    ensure!(
        saved.structured()?["parameters"].as_array().is_some_and(|all| !all.is_empty()),
        "{}",
        saved.text()
    );
    let call = json!({"workflow": "windmill", "parameters": {"seed": fresh_seed()}});
    let run = run(target, &client, "run_workflow", call).await?;
    check(run.text("positive", 0)?, &json!("a windmill"), "prompt")?;
    check(&run.sampler()?["steps"], &json!(3), "steps")?;
    Ok(format!("{} nodes, with their text and steps", run.nodes.len()))
}

/// Who shares a picture need not share how it was made.
async fn stripped(target: &Target) -> Result<String> {
    let (_gateway, client) = target.gateway().await?;
    let mut sizes = Vec::new();
    for strip in [false, true] {
        let arguments = with(small("a secret"), json!({"strip_metadata": strip}));
        let picture = client.picture("generate_image", arguments).await?;
        images::decode(&picture)?;
        let told = picture.windows(b"a secret".len()).any(|window| window == b"a secret");
        ensure!(told != strip, "with strip_metadata {strip}, the text is in the file: {told}");
        sizes.push(picture.len());
    }
    Ok(format!("{} bytes with it, {} without", sizes[0], sizes[1]))
}

/// The edits that no argument of a tool asks for, as a program makes them that builds on the crate.
async fn enlarged(target: &Target) -> Result<String> {
    let (_gateway, client) = target.gateway().await?;
    let info = ObjectInfo::from_json(comfy::get(&target.url, "/object_info").await?)?;
    let model = checkpoint(&client).await?;
    let upscaler = installed(&client, "upscale_models").await?[0].clone();
    let mut graph =
        Graph::from_json(&serde_json::from_str(include_str!("../../../workflows/txt2img.json"))?)?;
    edit::set_batch(&mut graph, &info, 2)?;
    edit::add_upscaler(&mut graph, &info, &upscaler)?;
    edit::add_image_scale(&mut graph, &info, 0.25)?;
    let parameters = json!({"model": model, "width": 128, "height": 128, "steps": 2, "seed": fresh_seed()});
    let call = json!({"graph": graph.to_json(), "parameters": parameters});
    let run = run(target, &client, "run_workflow", call).await?;
    let scale = run.behind(run.only("SaveImage")?, "images", "ImageScaleBy")?;
    let upscale = run.behind(scale, "image", "ImageUpscaleWithModel")?;
    run.behind(upscale, "image", "VAEDecode")?;
    let loader = run.behind(upscale, "upscale_model", "UpscaleModelLoader")?;
    check(&loader["model_name"], &json!(upscaler), "upscale_model")?;
    ensure!(run.job.artifacts.len() == 2, "{} pictures of a batch of 2", run.job.artifacts.len());
    let picture = images::decode(&client.first_file(&run.job).await?)?;
    ensure!(picture.width() != 128 && picture.width() == picture.height(), "{} wide", picture.width());
    Ok(format!("2 pictures of {} x {}", picture.width(), picture.height()))
}

/// Each saved by the node that ComfyUI has for it.
async fn media(target: &Target) -> Result<String> {
    let (_gateway, client) = target.gateway().await?;
    let graph = json!({
        "1": node("EmptyImage", &json!({"width": 64, "height": 64, "batch_size": 4, "color": fresh_seed() % 0xff_ffff})),
        "2": node("SaveAnimatedWEBP", &json!({"images": ["1", 0], "filename_prefix": "moving", "fps": 4.0,
            "lossless": false, "quality": 80, "method": "default"})),
        "3": node("SaveWEBM", &json!({"images": ["1", 0], "filename_prefix": "film", "codec": "vp9", "fps": 4.0, "crf": 32.0})),
        "4": node("CreateVideo", &json!({"images": ["1", 0], "fps": 4.0})),
        "5": node("SaveVideo", &json!({"video": ["4", 0], "filename_prefix": "film", "format": "mp4", "codec": "h264"})),
        "6": node("EmptyAudio", &json!({"duration": 0.5, "sample_rate": 44100, "channels": 2})),
        "7": node("SaveAudio", &json!({"audio": ["6", 0], "filename_prefix": "silence"})),
        "8": node("SaveAudioMP3", &json!({"audio": ["6", 0], "filename_prefix": "silence", "quality": "128k"})),
        "9": node("PrimitiveString", &json!({"value": "said by a node"})),
        "10": node("PreviewAny", &json!({"source": ["9", 0]})),
    });
    let reply = client.finish("run_workflow", json!({"graph": graph})).await?;
    ensure!(reply.text().contains("said by a node"), "the text got lost: {}", reply.text());
    let job = reply.job()?;
    let mut found: Vec<_> = job.artifacts.iter().map(|artifact| artifact.media_type.as_str()).collect();
    found.sort_unstable();
    let expected = ["audio/flac", "audio/mpeg", "image/webp", "video/mp4", "video/webm"];
    ensure!(found == expected, "{found:?}");
    let film = job.artifacts.iter().find(|artifact| artifact.media_type == "video/mp4").context("no film")?;
    let bytes = client.file(film).await?;
    ensure!(bytes.get(4..8) == Some(b"ftyp"), "{} is no MP4", film.file_name);
    Ok(format!("{}, text", found.join(", ")))
}

fn node(class: &str, inputs: &Value) -> Value {
    json!({"class_type": class, "inputs": inputs})
}
