//! `mcp-client` as a person or a script runs it.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use futures::FutureExt as _;
use serde_json::Value;

use super::target::fresh_seed;
use super::{Case, Target};
use crate::gateway::Gateway;
use crate::images;
use crate::process::Ended;

pub(super) const CASES: &[Case] = &[
    Case::quick("cli/generate, img2img, inpaint, run", |target| pictures(target).boxed()),
    Case::quick("cli/the original's spelling", |target| original(target).boxed()),
    Case::quick("cli/json", |target| json_documents(target).boxed()),
    Case::slow("cli/jobs", |target| jobs(target).boxed()),
    Case::quick("cli/exit codes", |target| exit_codes(target).boxed()),
];

const SMALL: &str = "--width 128 --height 128 --steps 3";

/// Runs a line of words; `~` stands for a space inside a word.
async fn run(gateway: &Gateway, line: &str) -> Result<Ended> {
    let words: Vec<String> = line.split_whitespace().map(|word| word.replace('~', " ")).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    gateway.run_cli(&words).await
}

/// The same, with the exit code that it has to have.
async fn exits(gateway: &Gateway, code: i32, line: &str) -> Result<Ended> {
    let ended = run(gateway, line).await?;
    ensure!(
        ended.code == Some(code),
        "mcp-client {line} exits with {:?} and not {code}\n{}\n{}",
        ended.code,
        ended.stdout,
        ended.stderr
    );
    Ok(ended)
}

fn picture(gateway: &Gateway, name: &str) -> Result<(u32, u32)> {
    let path = gateway.setup().home().join(name);
    let bytes = std::fs::read(&path).with_context(|| format!("there is no {}", path.display()))?;
    let picture = images::decode(&bytes)?;
    Ok((picture.width(), picture.height()))
}

fn write(folder: &Path) -> Result<()> {
    std::fs::write(folder.join("input.png"), images::gradient(128, 128)?)?;
    std::fs::write(folder.join("mask.png"), images::left_half(128, 128)?)?;
    Ok(())
}

async fn pictures(target: &Target) -> Result<String> {
    let (gateway, _client) = target.gateway().await?;
    write(gateway.setup().home())?;
    exits(
        &gateway,
        0,
        &format!("generate a~dog~wearing~sunglasses {SMALL} --seed {} -o dog.png", fresh_seed()),
    )
    .await?;
    ensure!(picture(&gateway, "dog.png")? == (128, 128), "another size");
    let two = format!("txt2img --prompt two~dogs {SMALL} --batch-size 2 -o dogs.png");
    exits(&gateway, 0, &two).await?;
    picture(&gateway, "dogs.png")?;
    picture(&gateway, "dogs-2.png")?;
    exits(&gateway, 0, "img2img in~winter --image dog.png --strength 0.6 --steps 3 -o winter.png").await?;
    picture(&gateway, "winter.png")?;
    exits(&gateway, 0, "inpaint a~hat --image input.png --mask mask.png --steps 3 -o hat.png").await?;
    picture(&gateway, "hat.png")?;
    exits(&gateway, 0, "run upscale --param image=@dog.png -o large.png").await?;
    let (width, _) = picture(&gateway, "large.png")?;
    ensure!(width > 128, "{width} pixels after upscaling");
    Ok("5 commands".to_owned())
}

async fn original(target: &Target) -> Result<String> {
    let (gateway, _client) = target.gateway().await?;
    write(gateway.setup().home())?;
    exits(&gateway, 0, &format!("--action generate --prompt a~dog~wearing~sunglasses {SMALL} -o one.png"))
        .await?;
    picture(&gateway, "one.png")?;
    exits(&gateway, 0, "--action img2img --image input.png --strength 0.75 --steps 3 --prompt x -o two.png")
        .await?;
    picture(&gateway, "two.png")?;
    let models = exits(&gateway, 0, "--action list-models").await?;
    ensure!(models.stdout.contains("safetensors"), "{}", models.stdout);
    let manifest = exits(&gateway, 0, "--action manifest").await?;
    ensure!(manifest.stdout.contains("generate_image"), "{}", manifest.stdout);
    exits(
        &gateway,
        0,
        "--workflow txt2img --param steps=2 --param width=128 --param height=128 -o three.png",
    )
    .await?;
    picture(&gateway, "three.png")?;
    Ok("generate, img2img, list-models, manifest, --workflow".to_owned())
}

fn document(ended: &Ended) -> Result<Value> {
    serde_json::from_str(&ended.stdout).with_context(|| format!("not one JSON document: {}", ended.stdout))
}

async fn json_documents(target: &Target) -> Result<String> {
    let (gateway, _client) = target.gateway().await?;
    let generated = exits(&gateway, 0, &format!("--json generate a~fox {SMALL} -o fox.png")).await?;
    let job = &document(&generated)?["job"];
    ensure!(job["state"] == "succeeded", "{}", generated.stdout);
    let (job, artifact) = (job["id"].as_str().unwrap_or_default(), job["artifacts"][0]["id"].as_str());
    let artifact = artifact.context("no artifact in the document")?;
    let status = document(&exits(&gateway, 0, &format!("--json status {job}")).await?)?;
    ensure!(status["job"]["id"] == job, "{status}");
    for command in ["list-models", "list-workflows", "manifest", "queue"] {
        document(&exits(&gateway, 0, &format!("--json {command}")).await?)?;
    }
    exits(&gateway, 0, &format!("image {artifact} -o again.png")).await?;
    let home = gateway.setup().home();
    ensure!(std::fs::read(home.join("fox.png"))? == std::fs::read(home.join("again.png"))?, "other bytes");
    let refused = document(&exits(&gateway, 2, "--json generate x --model nothing-like-it").await?)?;
    ensure!(refused["error"]["code"] == "unknown_name", "{refused}");
    Ok("7 documents".to_owned())
}

async fn jobs(target: &Target) -> Result<String> {
    let (gateway, _client) = target.gateway().await?;
    let steps = target.slow().await?["steps"].clone();
    let size = "--width 128 --height 128";
    let started = exits(&gateway, 0, &format!("generate a~city {size} --steps {steps} --no-wait")).await?;
    let id = started.stdout.trim();
    let late = exits(&gateway, 6, &format!("wait {id} --timeout 0")).await?;
    ensure!(late.stderr.contains(id), "the way on isn't told: {}", late.stderr);
    exits(&gateway, 0, &format!("status {id}")).await?;
    exits(&gateway, 0, &format!("cancel {id}")).await?;
    exits(&gateway, 7, &format!("wait {id}")).await?;
    let quick = exits(&gateway, 0, &format!("generate a~town {size} --steps 2 --no-wait")).await?;
    exits(&gateway, 0, &format!("wait {} -o town.png", quick.stdout.trim())).await?;
    picture(&gateway, "town.png")?;
    Ok("started, timed out, cancelled, waited for".to_owned())
}

async fn exit_codes(target: &Target) -> Result<String> {
    let (gateway, _client) = target.gateway().await?;
    exits(&gateway, 0, "--help").await?;
    exits(&gateway, 2, "generate").await?;
    exits(&gateway, 2, "no-such-command").await?;
    exits(&gateway, 2, "generate x --steps many").await?;
    let unknown = exits(&gateway, 2, "generate x --workflow text2img").await?;
    ensure!(unknown.stderr.contains("txt2img"), "the nearest isn't named: {}", unknown.stderr);
    exits(&gateway, 2, "img2img x --image there-is-none.png").await?;
    exits(&gateway, 1, "status 01900000-0000-7000-8000-000000000000").await?;
    let nobody = exits(&gateway, 3, "--server http://127.0.0.1:9/mcp queue").await?;
    ensure!(nobody.stderr.contains("127.0.0.1:9"), "{}", nobody.stderr);
    Ok("0, 1, 2, 3 (6 and 7 with jobs)".to_owned())
}
