//! Each family of models that the shipped workflows are for, in front of a sandbox that has files of its names.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use comfy_sandbox::{Sandbox, SandboxConfig};
use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Value, json};
use tests::gateway::Setup;
use tests::{binaries, comfy, images};

const ENCODERS: [&str; 7] = [
    "umt5_xxl_fp8_e4m3fn_scaled.safetensors",
    "clip_g.safetensors",
    "t5xxl_fp8_e4m3fn_scaled.safetensors",
    "clip_l.safetensors",
    "qwen_3_4b.safetensors",
    "qwen_2.5_vl_7b_fp8_scaled.safetensors",
    "mistral_3_small_flux2_fp8.safetensors",
];
const VAES: [&str; 4] =
    ["wan_2.1_vae.safetensors", "flux2-vae.safetensors", "qwen_image_vae.safetensors", "ae.safetensors"];

/// A sandbox with one model, and what many people have beside it.
async fn sandbox(folder: &str, model: &str) -> Result<Sandbox> {
    let mut config = SandboxConfig { sampling_time: Duration::from_millis(20), ..SandboxConfig::default() };
    let files = |files: &[&str]| files.iter().map(|file| (*file).to_owned()).collect::<Vec<_>>();
    for other in ["checkpoints", "diffusion_models"] {
        config.models.insert(other.to_owned(), Vec::new());
    }
    config.models.insert("text_encoders".to_owned(), files(&ENCODERS));
    config.models.insert("vae".to_owned(), files(&VAES));
    config.models.insert(folder.to_owned(), files(&[model]));
    Ok(Sandbox::start(config).await?)
}

/// The only graph that a sandbox has run.
async fn recorded(sandbox: &Sandbox) -> Result<Value> {
    let history = comfy::get(sandbox.url().as_str(), "/history").await?;
    let entries = history.as_object().context("no history")?;
    ensure!(entries.len() == 1, "{} prompts", entries.len());
    Ok(entries.values().next().context("no prompt")?["prompt"][2].clone())
}

/// Runs a call with nothing named, and sees what of it is in the graph that ran.
async fn check(
    folder: &'static str,
    model: &'static str,
    tool: &'static str,
    workflow: &'static str,
) -> Result<()> {
    run(folder, model, tool, workflow).await.with_context(|| format!("{tool} with {model}"))
}

async fn run(folder: &str, model: &str, tool: &str, workflow: &str) -> Result<()> {
    let sandbox = sandbox(folder, model).await?;
    let gateway = Setup::comfyui(sandbox.url().as_str())?.start().await?;
    let client = gateway.client().await?;
    let mut arguments = json!({"prompt": "a red barn", "seed": u64::MAX, "steps": 3});
    if tool == "img2img" {
        arguments["image"] = images::data_uri(&images::gradient(96, 64)?).into();
    } else {
        (arguments["width"], arguments["height"]) = (json!(128), json!(192));
    }
    let job = client.finish(tool, arguments).await?.job()?;
    ensure!(job.workflow.as_deref() == Some(workflow), "{:?} was chosen", job.workflow);
    ensure!(job.seed == Some(u64::MAX), "the seed is told as {:?}", job.seed);
    let picture = images::decode(&client.first_file(&job).await?)?;
    if tool != "img2img" {
        ensure!(
            (picture.width(), picture.height()) == (128, 192),
            "{}x{}",
            picture.width(),
            picture.height()
        );
    }
    let graph = recorded(&sandbox).await?;
    let nodes = graph.as_object().context("no graph")?;
    let inputs = || nodes.values().filter_map(|node| node["inputs"].as_object()).flatten();
    let has = |name: &str, value: &Value| inputs().any(|(input, held)| input == name && held == value);
    let seed = json!(u64::MAX);
    ensure!(has("seed", &seed) || has("noise_seed", &seed), "no seed in {graph}");
    ensure!(has("steps", &json!(3)), "no steps in {graph}");
    let text = json!("a red barn");
    ensure!(has("text", &text) || has("prompt", &text), "no prompt in {graph}");
    let file = json!(model);
    ensure!(has("ckpt_name", &file) || has("unet_name", &file), "no {model} in {graph}");
    for name in ["example.png", "umt5_xxl_fp8_e4m3fn_scaled.safetensors", "wan_2.1_vae.safetensors"] {
        ensure!(inputs().all(|(_, held)| held != name), "{name} in {graph}");
    }
    sandbox.shutdown().await;
    Ok(())
}

/// Some at once: they wait more than they work.
async fn all(checks: Vec<BoxFuture<'static, Result<()>>>) -> Result<()> {
    binaries::path("mcp-server")?;
    stream::iter(checks).buffer_unordered(4).try_collect().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prompt_alone_makes_a_picture_with_whatever_family_is_installed() -> Result<()> {
    let cases = [
        ("checkpoints", "sd_xl_base_1.0.safetensors", "sdxl"),
        ("checkpoints", "sd3.5_large.safetensors", "sd35"),
        ("checkpoints", "flux1-dev-fp8.safetensors", "flux1_dev"),
        ("diffusion_models", "flux1-schnell.safetensors", "flux1_schnell"),
        ("diffusion_models", "flux2_dev_fp8mixed.safetensors", "flux2_dev"),
        ("diffusion_models", "flux-2-klein-4b.safetensors", "flux2_klein"),
        ("diffusion_models", "flux-2-klein-base-4b.safetensors", "flux2_klein_base"),
        ("diffusion_models", "qwen_image_fp8_e4m3fn.safetensors", "qwen_image"),
        ("diffusion_models", "z_image_turbo_bf16.safetensors", "z_image_turbo"),
        ("diffusion_models", "z_image_bf16.safetensors", "z_image"),
    ];
    let check = |(folder, model, workflow)| check(folder, model, "generate_image", workflow).boxed();
    all(cases.map(check).into()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_is_edited_with_the_models_that_are_made_for_it() -> Result<()> {
    let cases = [
        ("flux1-dev-kontext_fp8_scaled.safetensors", "flux1_kontext"),
        ("flux2_dev_fp8mixed.safetensors", "flux2_dev_edit"),
        ("flux-2-klein-4b.safetensors", "flux2_klein_edit"),
        ("qwen_image_edit_2511_fp8mixed.safetensors", "qwen_image_edit"),
    ];
    let check = |(model, workflow)| check("diffusion_models", model, "img2img", workflow).boxed();
    all(cases.map(check).into()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_without_what_goes_with_it_tells_what_to_install() -> Result<()> {
    let mut config = SandboxConfig::default();
    config.models.insert("checkpoints".to_owned(), Vec::new());
    config.models.insert("diffusion_models".to_owned(), vec!["z_image_turbo_bf16.safetensors".to_owned()]);
    config.models.insert("text_encoders".to_owned(), vec!["qwen_3_4b.safetensors".to_owned()]);
    config.models.insert("vae".to_owned(), vec!["wan_2.1_vae.safetensors".to_owned()]);
    let sandbox = Sandbox::start(config).await?;
    let gateway = Setup::comfyui(sandbox.url().as_str())?.start().await?;
    let client = gateway.client().await?;
    let failure = client.refused("generate_image", json!({"prompt": "a red barn"})).await?;
    failure.expect("no_model_installed", &["vae/ae.safetensors", "https://huggingface.co/"])?;
    ensure!(!failure.text.contains("qwen"), "what is there is asked for: {}", failure.text);
    sandbox.shutdown().await;
    Ok(())
}
