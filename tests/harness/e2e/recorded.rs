//! That every parameter arrives at the node where it belongs, read from the graph that ComfyUI keeps in its history.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use futures::FutureExt as _;
use mcp_client::Job;
use serde_json::{Map, Value, json};

use super::target::{checkpoint, fresh_seed, installed, with};
use super::{Case, Target};
use crate::client::Client;
use crate::{comfy, images};

pub(super) const CASES: &[Case] = &[
    Case::quick("recorded/generate_image", |target| generated(target).boxed()),
    Case::quick("recorded/workflow txt2img", |target| txt2img(target).boxed()),
    Case::quick("recorded/a seed in full", |target| seeds(target).boxed()),
    Case::quick("recorded/a fresh seed", |target| fresh_seeds(target).boxed()),
    Case::quick("recorded/two LoRAs in a chain", |target| lora_chain(target).boxed()),
    Case::quick("recorded/workflow lora", |target| lora(target).boxed()),
    Case::quick("recorded/ControlNet", |target| controlnet(target).boxed()),
    Case::quick("recorded/workflow controlnet", |target| controlnet_workflow(target).boxed()),
    Case::quick("recorded/two ControlNets", |target| two_controlnets(target).boxed()),
    Case::quick("recorded/img2img", |target| img2img(target).boxed()),
    Case::quick("recorded/inpaint", |target| inpaint(target).boxed()),
    Case::quick("recorded/all edits at once", |target| everything(target).boxed()),
    Case::quick("recorded/upscale", |target| upscale(target).boxed()),
];

/// 2^53 + 1: the first that a double can't hold.
const BEYOND_DOUBLES: u64 = 9_007_199_254_740_993;

/// A graph as ComfyUI keeps it, and the job that it was made for.
pub(super) struct Run {
    pub(super) job: Job,
    pub(super) nodes: Map<String, Value>,
}

/// Calls a tool, waits for its job, and reads the one prompt that is new.
pub(super) async fn run(target: &Target, client: &Client, tool: &str, arguments: Value) -> Result<Run> {
    let before: BTreeSet<String> = target.prompts().await?;
    let job = client.finish(tool, arguments).await?.job()?;
    let after = target.prompts().await?;
    let new: Vec<_> = after.difference(&before).collect();
    let [id] = new[..] else { anyhow::bail!("{} new prompts", new.len()) };
    let history = comfy::get(&target.url, &format!("/history/{id}")).await?;
    // Number, id, graph, extra data, outputs.
    let nodes = history[id]["prompt"][2].as_object().context("no graph in the history")?.clone();
    Ok(Run { job, nodes })
}

impl Run {
    /// The inputs of the only node of a class.
    pub(super) fn only(&self, class: &str) -> Result<&Value> {
        let found: Vec<_> = self.nodes.values().filter(|node| node["class_type"] == class).collect();
        ensure!(found.len() == 1, "{} nodes of {class}", found.len());
        Ok(&found[0]["inputs"])
    }

    /// The node that an input is linked to, which must be of the class: its inputs.
    pub(super) fn behind(&self, inputs: &Value, input: &str, class: &str) -> Result<&Value> {
        let id = inputs[input][0].as_str().with_context(|| format!("{input} is not linked: {inputs}"))?;
        let node = self.nodes.get(id).with_context(|| format!("there is no node {id}"))?;
        ensure!(node["class_type"] == class, "behind {input} is {} and not {class}", node["class_type"]);
        Ok(&node["inputs"])
    }

    /// The sampler whose picture is saved, whatever is done to the picture on the way.
    pub(super) fn sampler(&self) -> Result<&Value> {
        let decode = self.behind(self.only("SaveImage")?, "images", "VAEDecode")?;
        self.behind(decode, "samples", "KSampler")
    }

    /// The text behind an input of the sampler, with so many ControlNets before it.
    pub(super) fn text(&self, input: &str, controls: usize) -> Result<&Value> {
        let mut at = self.sampler()?;
        for _ in 0..controls {
            at = self.behind(at, input, "ControlNetApplyAdvanced")?;
        }
        Ok(&self.behind(at, input, "CLIPTextEncode")?["text"])
    }

    fn check_texts(&self, arguments: &Value, controls: usize) -> Result<()> {
        check(self.text("positive", controls)?, &arguments["prompt"], "prompt")?;
        check(self.text("negative", controls)?, &arguments["negative_prompt"], "negative_prompt")
    }

    fn check_sampler(&self, arguments: &Value) -> Result<()> {
        let sampler = self.sampler()?;
        for (argument, input) in [
            ("seed", "seed"),
            ("steps", "steps"),
            ("cfg", "cfg"),
            ("sampler", "sampler_name"),
            ("scheduler", "scheduler"),
        ] {
            check(&sampler[input], &arguments[argument], argument)?;
        }
        ensure!(self.job.seed == arguments["seed"].as_u64(), "the job tells the seed {:?}", self.job.seed);
        Ok(())
    }

    fn check_size(&self, arguments: &Value) -> Result<()> {
        let latent = self.behind(self.sampler()?, "latent_image", "EmptyLatentImage")?;
        for name in ["width", "height", "batch_size"] {
            check(&latent[name], &arguments[name], name)?;
        }
        Ok(())
    }
}

pub(super) fn check(found: &Value, given: &Value, name: &str) -> Result<()> {
    let same = match (found.as_f64(), given.as_f64()) {
        // 7 and 7.0 are one value; integers are compared in full.
        (Some(found_number), Some(given_number)) if !(found.is_u64() && given.is_u64()) => {
            found_number.total_cmp(&given_number).is_eq()
        }
        _ => found == given,
    };
    ensure!(same && !given.is_null(), "{name} is {found} in the graph and {given} in the call");
    Ok(())
}

/// Each a value that no workflow has by itself.
fn asked() -> Value {
    json!({"prompt": "a red barn", "negative_prompt": "people, cars", "seed": u64::MAX - fresh_seed() % 1000,
        "steps": 3, "cfg": 4.25, "sampler": "heun", "scheduler": "simple"})
}

fn sized() -> Value {
    with(asked(), json!({"width": 128, "height": 192, "batch_size": 2}))
}

async fn generated(target: &Target) -> Result<String> {
    let (_gateway, client) = target.gateway().await?;
    let arguments = sized();
    let run = run(target, &client, "generate_image", arguments.clone()).await?;
    run.check_texts(&arguments, 0)?;
    run.check_sampler(&arguments)?;
    run.check_size(&arguments)?;
    check(&run.sampler()?["denoise"], &json!(1.0), "denoise")?;
    ensure!(run.job.artifacts.len() == 2, "{} pictures of a batch of 2", run.job.artifacts.len());
    Ok("both texts, seed, steps, cfg, sampler, scheduler, size, batch".to_owned())
}

async fn txt2img(target: &Target) -> Result<String> {
    let (_gateway, client) = target.gateway().await?;
    let parameters = with(sized(), json!({"denoise": 0.75, "filename_prefix": "barn"}));
    let call = json!({"workflow": "txt2img", "parameters": parameters});
    let run = run(target, &client, "run_workflow", call).await?;
    run.check_texts(&parameters, 0)?;
    run.check_sampler(&parameters)?;
    run.check_size(&parameters)?;
    check(&run.sampler()?["denoise"], &parameters["denoise"], "denoise")?;
    let prefix = &run.only("SaveImage")?["filename_prefix"];
    ensure!(prefix.as_str().is_some_and(|prefix| prefix.ends_with("/barn")), "saved as {prefix}");
    Ok("the same by run_workflow, with denoise and filename_prefix".to_owned())
}

async fn seeds(target: &Target) -> Result<String> {
    let (_gateway, client) = target.gateway().await?;
    let seeds = [u64::MAX, BEYOND_DOUBLES, 0];
    for seed in seeds {
        let arguments = with(asked(), json!({"seed": seed, "width": 64, "height": 64}));
        let run = run(target, &client, "generate_image", arguments.clone()).await?;
        run.check_sampler(&arguments)?;
    }
    Ok(format!("{seeds:?}"))
}

/// A seed that isn't given is another each time, and the one that is told is the one that ran.
async fn fresh_seeds(target: &Target) -> Result<String> {
    let (_gateway, client) = target.gateway().await?;
    let arguments = json!({"prompt": "a fresh one", "steps": 2, "width": 64, "height": 64});
    let first = run(target, &client, "generate_image", arguments.clone()).await?;
    let second = run(target, &client, "generate_image", arguments).await?;
    for run in [&first, &second] {
        check(&run.sampler()?["seed"], &json!(run.job.seed), "seed")?;
    }
    ensure!(first.job.seed != second.job.seed, "the same seed twice");
    Ok(format!("{:?} and {:?}", first.job.seed, second.job.seed))
}

/// The first is next to the checkpoint; both change the text encoder of both texts.
async fn lora_chain(target: &Target) -> Result<String> {
    let (_gateway, client) = target.gateway().await?;
    let files = installed(&client, "loras").await?;
    let (one, two) = (&files[0], files.last().unwrap_or(&files[0]));
    let loras =
        json!([{"name": one, "strength": 0.25, "strength_clip": 0.5}, {"name": two, "strength": -0.75}]);
    let run = run(target, &client, "generate_image", with(sized(), json!({"loras": loras}))).await?;
    run.check_texts(&sized(), 0)?;
    let last = run.behind(run.sampler()?, "model", "LoraLoader")?;
    let first = run.behind(last, "model", "LoraLoader")?;
    run.behind(first, "model", "CheckpointLoaderSimple")?;
    for (node, name, model, clip) in [(first, one, 0.25, 0.5), (last, two, -0.75, -0.75)] {
        check(&node["lora_name"], &json!(name), "lora_name")?;
        check(&node["strength_model"], &json!(model), "strength_model")?;
        check(&node["strength_clip"], &json!(clip), "strength_clip")?;
    }
    for input in ["positive", "negative"] {
        let encoder = run.behind(run.sampler()?, input, "CLIPTextEncode")?;
        let clip = run.behind(encoder, "clip", "LoraLoader")?;
        ensure!(clip == last, "{input} is encoded behind {clip}");
        ensure!(run.behind(clip, "clip", "LoraLoader")? == first, "the chain of the text encoder");
    }
    Ok(format!("{one} and {two}, with four strengths"))
}

async fn lora(target: &Target) -> Result<String> {
    let (_gateway, client) = target.gateway().await?;
    let file = installed(&client, "loras").await?[0].clone();
    let own = json!({"lora": file, "lora_strength": 0.35, "lora_clip_strength": 0.65});
    let parameters = with(sized(), own);
    let call = json!({"workflow": "lora", "parameters": parameters});
    let run = run(target, &client, "run_workflow", call).await?;
    run.check_texts(&parameters, 0)?;
    run.check_sampler(&parameters)?;
    run.check_size(&parameters)?;
    let node = run.behind(run.sampler()?, "model", "LoraLoader")?;
    for (parameter, input) in
        [("lora", "lora_name"), ("lora_strength", "strength_model"), ("lora_clip_strength", "strength_clip")]
    {
        check(&node[input], &parameters[parameter], parameter)?;
    }
    Ok("name and two strengths".to_owned())
}

/// A ControlNet's strength and range, its file, and the picture that it looks at, on both ways of the conditioning.
fn check_control(run: &Run, node: &Value, control: &Value, file: &str) -> Result<()> {
    for (parameter, input) in [("strength", "strength"), ("start", "start_percent"), ("end", "end_percent")] {
        check(&node[input], &control[parameter], parameter)?;
    }
    let loader = run.behind(node, "control_net", "ControlNetLoader")?;
    check(&loader["control_net_name"], &json!(file), "controlnet")?;
    let image = &run.behind(node, "image", "LoadImage")?["image"];
    ensure!(image.as_str().is_some_and(|image| image.starts_with("mcp-server/")), "it looks at {image}");
    Ok(())
}

async fn controlnet(target: &Target) -> Result<String> {
    let (_gateway, client) = target.gateway().await?;
    let file = installed(&client, "controlnet").await?[0].clone();
    let guide = images::data_uri(&images::left_half(128, 192)?);
    let control = json!({"image": guide, "model": file, "strength": 0.65, "start": 0.125, "end": 0.875});
    let run = run(target, &client, "generate_image", with(sized(), json!({"controlnet": control}))).await?;
    run.check_texts(&sized(), 1)?;
    let node = run.behind(run.sampler()?, "positive", "ControlNetApplyAdvanced")?;
    check_control(&run, node, &control, &file)?;
    ensure!(run.behind(run.sampler()?, "negative", "ControlNetApplyAdvanced")? == node, "two ControlNets");
    Ok(format!("{file}, strength, start, end, image"))
}

async fn controlnet_workflow(target: &Target) -> Result<String> {
    let (_gateway, client) = target.gateway().await?;
    let file = installed(&client, "controlnet").await?[0].clone();
    let guide = images::data_uri(&images::left_half(128, 192)?);
    let own = json!({"control_image": guide, "controlnet": file, "control_strength": 0.4, "control_start": 0.25,
        "control_end": 0.5});
    let parameters = with(sized(), own);
    let call = json!({"workflow": "controlnet", "parameters": parameters});
    let run = run(target, &client, "run_workflow", call).await?;
    run.check_texts(&parameters, 1)?;
    run.check_sampler(&parameters)?;
    run.check_size(&parameters)?;
    let node = run.behind(run.sampler()?, "positive", "ControlNetApplyAdvanced")?;
    check_control(&run, node, &json!({"strength": 0.4, "start": 0.25, "end": 0.5}), &file)?;
    Ok("the same by run_workflow".to_owned())
}

/// One behind the other, in a graph of one's own: each keeps its strength and its picture.
async fn two_controlnets(target: &Target) -> Result<String> {
    let (_gateway, client) = target.gateway().await?;
    let file = installed(&client, "controlnet").await?[0].clone();
    let checkpoint = checkpoint(&client).await?;
    let text =
        |text: &str| json!({"class_type": "CLIPTextEncode", "inputs": {"text": text, "clip": ["1", 1]}});
    let load = || json!({"class_type": "LoadImage", "inputs": {"image": "example.png"}});
    let apply = |from: [&str; 2], slot: u8, image: &str| {
        json!({"class_type": "ControlNetApplyAdvanced", "inputs": {"positive": [from[0], 0], "negative": [from[1], slot],
            "control_net": ["8", 0], "image": [image, 0], "strength": 1.0, "start_percent": 0.0, "end_percent": 1.0}})
    };
    let graph = json!({
        "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": checkpoint}},
        "2": text("x"), "3": text("y"),
        "4": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}},
        "5": {"class_type": "KSampler", "inputs": {"model": ["1", 0], "positive": ["10", 0], "negative": ["10", 1],
            "latent_image": ["4", 0], "seed": 1, "steps": 2, "cfg": 5.0, "sampler_name": "euler",
            "scheduler": "normal", "denoise": 1.0}},
        "6": {"class_type": "VAEDecode", "inputs": {"samples": ["5", 0], "vae": ["1", 2]}},
        "7": {"class_type": "SaveImage", "inputs": {"images": ["6", 0], "filename_prefix": "two"}},
        "8": {"class_type": "ControlNetLoader", "inputs": {"control_net_name": file}},
        "9": apply(["2", "3"], 0, "11"), "10": apply(["9", "9"], 1, "12"), "11": load(), "12": load(),
    });
    let half = images::data_uri(&images::left_half(128, 192)?);
    let gradient = images::data_uri(&images::gradient(128, 192)?);
    let own = json!({"control_image": half, "control_strength": 0.3, "control_start": 0.1, "control_end": 0.6,
        "control_image_2": gradient, "control_strength_2": 0.9, "control_start_2": 0.2, "control_end_2": 0.7});
    let parameters = with(sized(), own);
    let call = json!({"graph": graph, "parameters": parameters});
    let run = run(target, &client, "run_workflow", call).await?;
    run.check_texts(&parameters, 2)?;
    run.check_sampler(&parameters)?;
    run.check_size(&parameters)?;
    let second = run.behind(run.sampler()?, "positive", "ControlNetApplyAdvanced")?;
    let first = run.behind(second, "positive", "ControlNetApplyAdvanced")?;
    check_control(&run, first, &json!({"strength": 0.3, "start": 0.1, "end": 0.6}), &file)?;
    check_control(&run, second, &json!({"strength": 0.9, "start": 0.2, "end": 0.7}), &file)?;
    let image = |node| run.behind(node, "image", "LoadImage");
    ensure!(image(first)? != image(second)?, "both look at the same picture");
    Ok("each with its strength, range and image".to_owned())
}

fn check_uploaded(image: &Value) -> Result<()> {
    let name = image["image"].as_str().unwrap_or_default();
    ensure!(name.starts_with("mcp-server/"), "{image} is loaded");
    Ok(())
}

async fn img2img(target: &Target) -> Result<String> {
    let (_gateway, client) = target.gateway().await?;
    let image = images::data_uri(&images::gradient(128, 128)?);
    let own = json!({"image": image, "strength": 0.35, "width": 96, "height": 64});
    let arguments = with(asked(), own);
    let run = run(target, &client, "img2img", arguments.clone()).await?;
    run.check_texts(&arguments, 0)?;
    run.check_sampler(&arguments)?;
    check(&run.sampler()?["denoise"], &arguments["strength"], "strength")?;
    let encode = run.behind(run.sampler()?, "latent_image", "VAEEncode")?;
    let scale = run.behind(encode, "pixels", "ImageScale")?;
    check(&scale["width"], &arguments["width"], "width")?;
    check(&scale["height"], &arguments["height"], "height")?;
    check_uploaded(run.behind(scale, "image", "LoadImage")?)?;
    Ok("strength, size and image".to_owned())
}

async fn inpaint(target: &Target) -> Result<String> {
    let (_gateway, client) = target.gateway().await?;
    let image = images::data_uri(&images::gradient(128, 128)?);
    let mask = images::data_uri(&images::left_half(128, 128)?);
    let arguments = with(asked(), json!({"image": image, "mask": mask, "strength": 0.85}));
    let run = run(target, &client, "inpaint", arguments.clone()).await?;
    run.check_texts(&arguments, 0)?;
    run.check_sampler(&arguments)?;
    check(&run.sampler()?["denoise"], &arguments["strength"], "strength")?;
    let masked = run.behind(run.sampler()?, "latent_image", "SetLatentNoiseMask")?;
    let encode = run.behind(masked, "samples", "VAEEncode")?;
    let image = run.behind(encode, "pixels", "LoadImage")?;
    let mask = run.behind(masked, "mask", "LoadImageMask")?;
    check_uploaded(image)?;
    check_uploaded(mask)?;
    ensure!(image["image"] != mask["image"], "the mask is the image");
    Ok("strength, image and mask".to_owned())
}

/// A LoRA and a ControlNet on a picture from text, in one call.
async fn everything(target: &Target) -> Result<String> {
    let (_gateway, client) = target.gateway().await?;
    let lora = installed(&client, "loras").await?[0].clone();
    let file = installed(&client, "controlnet").await?[0].clone();
    let guide = images::data_uri(&images::left_half(128, 192)?);
    let control = json!({"image": guide, "strength": 0.45, "start": 0.0, "end": 0.5});
    let own =
        json!({"loras": [{"name": lora, "strength": 0.6, "strength_clip": 0.2}], "controlnet": control});
    let arguments = with(sized(), own);
    let run = run(target, &client, "generate_image", arguments.clone()).await?;
    run.check_texts(&arguments, 1)?;
    run.check_sampler(&arguments)?;
    run.check_size(&arguments)?;
    let node = run.behind(run.sampler()?, "model", "LoraLoader")?;
    check(&node["strength_model"], &json!(0.6), "strength")?;
    check(&node["strength_clip"], &json!(0.2), "strength_clip")?;
    let node = run.behind(run.sampler()?, "positive", "ControlNetApplyAdvanced")?;
    check_control(&run, node, &control, &file)?;
    Ok("a LoRA and a ControlNet in one graph".to_owned())
}

async fn upscale(target: &Target) -> Result<String> {
    let (_gateway, client) = target.gateway().await?;
    let model = installed(&client, "upscale_models").await?[0].clone();
    let image = images::data_uri(&images::gradient(64, 48)?);
    let parameters = json!({"image": image, "upscale_model": model, "filename_prefix": "large"});
    let call = json!({"workflow": "upscale", "parameters": parameters});
    let run = run(target, &client, "run_workflow", call).await?;
    let upscale = run.behind(run.only("SaveImage")?, "images", "ImageUpscaleWithModel")?;
    let loader = run.behind(upscale, "upscale_model", "UpscaleModelLoader")?;
    check(&loader["model_name"], &parameters["upscale_model"], "upscale_model")?;
    check_uploaded(run.behind(upscale, "image", "LoadImage")?)?;
    Ok(model)
}
