//! Every shipped workflow, run by its name and with its parameters.

use anyhow::{Result, ensure};
use futures::FutureExt as _;
use serde_json::{Value, json};

use super::target::{fresh_seed, with};
use super::{Case, Target};
use crate::client::Client;
use crate::images;

pub(super) const CASES: &[Case] = &[
    Case::quick("workflows/txt2img", |target| txt2img(target).boxed()),
    Case::quick("workflows/img2img", |target| img2img(target).boxed()),
    Case::quick("workflows/inpaint", |target| inpaint(target).boxed()),
    Case::quick("workflows/controlnet", |target| controlnet(target).boxed()),
    Case::quick("workflows/lora", |target| lora(target).boxed()),
    Case::quick("workflows/upscale", |target| upscale(target).boxed()),
    Case::quick("workflows/txt2img_diffusion_model", |target| diffusion_model(target).boxed()),
    Case::quick("workflows/inline graph", |target| inline(target).boxed()),
];

/// Runs a stored workflow and gives its picture.
async fn run(client: &Client, workflow: &str, parameters: Value) -> Result<bytes::Bytes> {
    client.picture("run_workflow", json!({"workflow": workflow, "parameters": parameters})).await
}

fn sampling() -> Value {
    json!({"prompt": "a lighthouse", "negative_prompt": "fog", "steps": 3, "seed": fresh_seed()})
}

fn sized() -> Value {
    with(sampling(), json!({"width": 128, "height": 192}))
}

fn check_size(png: &[u8], width: u32, height: u32) -> Result<String> {
    let picture = images::decode(png)?;
    let size = (picture.width(), picture.height());
    ensure!(size == (width, height), "the picture is {size:?} and not {width}x{height}");
    Ok(format!("{width}x{height}"))
}

async fn txt2img(target: &Target) -> Result<String> {
    let (_gateway, client) = target.gateway().await?;
    let png = run(&client, "txt2img", sized()).await?;
    ensure!(images::prompts(&png)? == ("a lighthouse".to_owned(), "fog".to_owned()), "the texts got lost");
    check_size(&png, 128, 192)
}

async fn img2img(target: &Target) -> Result<String> {
    let (_gateway, client) = target.gateway().await?;
    let source = images::gradient(128, 128)?;
    let mut distances = Vec::new();
    for denoise in [0.1, 0.9] {
        let parameters =
            with(sampling(), json!({"image": images::data_uri(&source), "denoise": denoise, "seed": 11}));
        let png = run(&client, "img2img", parameters).await?;
        check_size(&png, 128, 128)?;
        distances.push(images::difference(&source, &png)?);
    }
    ensure!((distances[0] - distances[1]).abs() > 0.5, "the strength makes no difference: {distances:?}");
    Ok(format!("{:.0} and {:.0} from the source at 0.1 and 0.9", distances[0], distances[1]))
}

async fn inpaint(target: &Target) -> Result<String> {
    let (_gateway, client) = target.gateway().await?;
    let source = images::data_uri(&images::gradient(128, 128)?);
    let mask = images::data_uri(&images::left_half(128, 128)?);
    let png = run(&client, "inpaint", with(sampling(), json!({"image": source, "mask": mask}))).await?;
    check_size(&png, 128, 128)
}

async fn controlnet(target: &Target) -> Result<String> {
    let (_gateway, client) = target.gateway().await?;
    let guide = images::data_uri(&images::left_half(128, 192)?);
    let png = run(&client, "controlnet", with(sized(), json!({"control_image": guide}))).await?;
    images::node_inputs(&png, "ControlNetApplyAdvanced")?;
    check_size(&png, 128, 192)
}

async fn lora(target: &Target) -> Result<String> {
    let (_gateway, client) = target.gateway().await?;
    let png = run(&client, "lora", with(sized(), json!({"lora_strength": 0.5}))).await?;
    let node = images::node_inputs(&png, "LoraLoader")?;
    ensure!(node["strength_model"] == 0.5, "the strength got lost: {node}");
    Ok(format!("{} with {}", check_size(&png, 128, 192)?, node["lora_name"]))
}

async fn upscale(target: &Target) -> Result<String> {
    let (_gateway, client) = target.gateway().await?;
    let source = images::data_uri(&images::gradient(64, 48)?);
    let png = run(&client, "upscale", json!({"image": source})).await?;
    let picture = images::decode(&png)?;
    ensure!(picture.width() > 64 && picture.height() > 48, "{}x{}", picture.width(), picture.height());
    Ok(format!("64x48 to {}x{}", picture.width(), picture.height()))
}

/// A model, its text encoders and its VAE in files of their own; which go together is found out by the gateway.
async fn diffusion_model(target: &Target) -> Result<String> {
    let (_gateway, client) = target.gateway().await?;
    let mut parameters = sized();
    // This family knows no negative text in the shipped workflow.
    if let Some(parameters) = parameters.as_object_mut() {
        parameters.remove("negative_prompt");
    }
    let png = run(&client, "txt2img_diffusion_model", parameters).await?;
    let (model, clip) =
        (images::node_inputs(&png, "UNETLoader")?, images::node_inputs(&png, "DualCLIPLoader")?);
    ensure!(clip["clip_name1"] != clip["clip_name2"], "one text encoder was taken twice: {clip}");
    Ok(format!("{}, {} with {}", check_size(&png, 128, 192)?, model["unet_name"], clip["type"]))
}

/// A graph of one's own, with a parameter set by the analyser's name and one by the node's id.
async fn inline(target: &Target) -> Result<String> {
    let (_gateway, client) = target.gateway().await?;
    let graph = json!({
        "10": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 255}},
        "20": {"class_type": "ImageInvert", "inputs": {"image": ["10", 0]}},
        "30": {"class_type": "SaveImage", "inputs": {"images": ["20", 0], "filename_prefix": "inline"}},
    });
    let parameters = json!({"filename_prefix": "renamed", "10.color": 65280, "10.width": 96});
    let job =
        client.finish("run_workflow", json!({"graph": graph, "parameters": parameters})).await?.job()?;
    ensure!(job.workflow.as_deref() == Some("inline"), "the workflow is {:?}", job.workflow);
    ensure!(job.artifacts[0].file_name.starts_with("renamed"), "the file is {}", job.artifacts[0].file_name);
    let picture = images::decode(&client.first_file(&job).await?)?.to_rgb8();
    ensure!(picture.dimensions() == (96, 64), "{:?}", picture.dimensions());
    // Green, inverted.
    ensure!(picture.get_pixel(5, 5).0 == [255, 0, 255], "{:?}", picture.get_pixel(5, 5));
    Ok("two parameters set by node, one by name".to_owned())
}
