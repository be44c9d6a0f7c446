//! What is asked for shows in the picture: seed, texts, numbers, LoRAs and a ControlNet.

use anyhow::{Result, ensure};
use bytes::Bytes;
use futures::FutureExt as _;
use serde_json::{Value, json};

use super::target::{installed, small, with};
use super::{Case, Target};
use crate::client::Client;
use crate::images;

pub(super) const CASES: &[Case] = &[
    Case::quick("pictures/same seed, same picture", |target| seed(target).boxed()),
    Case::quick("pictures/every parameter arrives", |target| parameters(target).boxed()),
    Case::quick("pictures/LoRA", |target| lora(target).boxed()),
    Case::quick("pictures/ControlNet", |target| controlnet(target).boxed()),
    Case::quick("pictures/chosen model", |target| model(target).boxed()),
];

async fn generate(client: &Client, arguments: Value) -> Result<Bytes> {
    client.picture("generate_image", arguments).await
}

/// The largest seed, so that one that went through a double would be another. A different picture comes between, so
/// that ComfyUI has to paint the third anew.
async fn seed(target: &Target) -> Result<String> {
    let (_gateway, client) = target.gateway().await?;
    let mut pictures = Vec::new();
    for seed in [u64::MAX, u64::MAX - 1, u64::MAX] {
        let arguments = with(small("a seed"), json!({"seed": seed}));
        let job = client.finish("generate_image", arguments).await?.job()?;
        ensure!(job.seed == Some(seed), "seed {seed} is told as {:?}", job.seed);
        pictures.push(client.first_file(&job).await?);
    }
    ensure!(images::difference(&pictures[0], &pictures[2])? == 0.0, "the same seed gives another picture");
    let other = images::difference(&pictures[0], &pictures[1])?;
    ensure!(other > 0.0, "another seed gives the same picture");
    Ok(format!("equal; {other:.1} apart for the next seed"))
}

/// Each change of one argument changes the picture, and is in the graph that ComfyUI ran.
async fn parameters(target: &Target) -> Result<String> {
    let (_gateway, client) = target.gateway().await?;
    let base = json!({"prompt": "a lake", "negative_prompt": "boats", "width": 128, "height": 128, "seed": 3,
        "steps": 4, "cfg": 6.5, "sampler": "euler", "scheduler": "normal"});
    let plain = generate(&client, base.clone()).await?;
    let changes = [
        json!({"prompt": "a lake at night"}),
        json!({"negative_prompt": "people"}),
        json!({"steps": 6}),
        json!({"cfg": 1.5}),
        json!({"sampler": "dpmpp_2m"}),
        json!({"scheduler": "karras"}),
    ];
    for change in changes {
        let arguments = with(base.clone(), change.clone());
        let picture = generate(&client, arguments.clone()).await?;
        let sampler = images::node_inputs(&picture, "KSampler")?;
        for (argument, input) in
            [("steps", "steps"), ("cfg", "cfg"), ("sampler", "sampler_name"), ("scheduler", "scheduler")]
        {
            ensure!(
                sampler[input] == arguments[argument],
                "{change}: {argument} is {} there",
                sampler[input]
            );
        }
        let (positive, negative) = images::prompts(&picture)?;
        ensure!(
            positive == arguments["prompt"] && negative == arguments["negative_prompt"],
            "{change}: the texts"
        );
        ensure!(images::difference(&plain, &picture)? > 0.0, "{change} makes no difference");
    }
    Ok("prompt, negative_prompt, steps, cfg, sampler, scheduler".to_owned())
}

async fn lora(target: &Target) -> Result<String> {
    let (_gateway, client) = target.gateway().await?;
    let loras = installed(&client, "loras").await?;
    let base = with(small("a style"), json!({"seed": 8}));
    let plain = generate(&client, base.clone()).await?;
    // Its name does without the ending.
    let short = loras[0].rsplit_once('.').map_or(loras[0].as_str(), |(stem, _)| stem);
    let one = json!([{"name": short, "strength": 0.8, "strength_clip": 0.4}]);
    let styled = generate(&client, with(base.clone(), json!({"loras": one}))).await?;
    let node = images::node_inputs(&styled, "LoraLoader")?;
    ensure!(node["lora_name"] == loras[0].as_str(), "{node}");
    ensure!(node["strength_model"] == 0.8 && node["strength_clip"] == 0.4, "{node}");
    let change = images::difference(&plain, &styled)?;
    ensure!(change > 0.0, "the LoRA makes no difference");

    let last = loras.last().unwrap_or(&loras[0]);
    let two = json!([{"name": loras[0], "strength": 0.8, "strength_clip": 0.4}, {"name": last}]);
    let chained = generate(&client, with(base, json!({"loras": two}))).await?;
    ensure!(images::difference(&styled, &chained)? > 0.0, "the second LoRA makes no difference");
    let graph = images::graph(&chained)?;
    let count = graph
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(_, node)| node["class_type"] == "LoraLoader")
        .count();
    ensure!(count == 2, "{count} LoRAs in the graph");
    Ok(format!("{}: {change:.1} apart; a chain of two", loras[0]))
}

async fn controlnet(target: &Target) -> Result<String> {
    let (_gateway, client) = target.gateway().await?;
    let base = with(small("a pose"), json!({"seed": 9}));
    let plain = generate(&client, base.clone()).await?;
    let guide = |png: Vec<u8>| json!({"image": images::data_uri(&png), "strength": 0.9, "end": 0.75});
    let half = json!({"controlnet": guide(images::left_half(128, 128)?)});
    let half = generate(&client, with(base.clone(), half)).await?;
    let node = images::node_inputs(&half, "ControlNetApplyAdvanced")?;
    ensure!(node["strength"] == 0.9 && node["end_percent"] == 0.75 && node["start_percent"] == 0.0, "{node}");
    let change = images::difference(&plain, &half)?;
    ensure!(change > 0.0, "the ControlNet makes no difference");
    let gradient = json!({"controlnet": guide(images::gradient(128, 128)?)});
    let gradient = generate(&client, with(base, gradient)).await?;
    ensure!(images::difference(&half, &gradient)? > 0.0, "another guiding image makes no difference");
    Ok(format!("{change:.1} apart"))
}

/// A model that is named is taken, without its ending too.
async fn model(target: &Target) -> Result<String> {
    let (_gateway, client) = target.gateway().await?;
    let default = generate(&client, small("by default")).await?;
    let default = images::node_inputs(&default, "CheckpointLoaderSimple")?["ckpt_name"].clone();
    let name = default.as_str().unwrap_or_default();
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let chosen = generate(&client, with(small("chosen"), json!({"model": stem}))).await?;
    let chosen = images::node_inputs(&chosen, "CheckpointLoaderSimple")?["ckpt_name"].clone();
    ensure!(chosen == default, "{stem} gives {chosen}");
    let diffusion = installed(&client, "diffusion_models").await?[0].clone();
    let other = generate(&client, with(small("diffusion"), json!({"model": diffusion}))).await?;
    let loaded = images::node_inputs(&other, "UNETLoader")?["unet_name"].clone();
    ensure!(loaded == diffusion.as_str(), "{diffusion} gives {loaded}");
    Ok(format!("{stem}, {diffusion}"))
}
