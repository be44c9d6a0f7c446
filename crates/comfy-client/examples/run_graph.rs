//! Runs a workflow file (API format) on a ComfyUI, prints what happens, and saves what comes out.
//!
//! `cargo run -p comfy-client --example run_graph -- --comfyui http://127.0.0.1:8188 workflow.json`

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use clap::Parser;
use comfy_client::{ComfyClient, ComfyConfig, OutputFile, Previews, RunEvent, RunOutcome, RunRequest};
use futures::StreamExt as _;
use tokio::io::AsyncWriteExt as _;
use url::Url;
use workflow_analyzer::Graph;

/// Runs a workflow file on a ComfyUI.
#[derive(Parser)]
struct Args {
    /// In API format.
    workflow: PathBuf,
    /// Where ComfyUI is.
    #[arg(long, default_value = "http://127.0.0.1:8188")]
    comfyui: Url,
    /// Where the results go.
    #[arg(long, default_value = ".")]
    out: PathBuf,
    /// Follow a prompt that was submitted before, instead of submitting one.
    #[arg(long)]
    attach: Option<String>,
    /// Cancel it after this many seconds.
    #[arg(long)]
    cancel_after: Option<f64>,
    /// Ask for previews.
    #[arg(long)]
    previews: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // Needed for https addresses; fails only when it is there already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let args = Args::parse();
    let client = ComfyClient::new(&ComfyConfig::new(args.comfyui.clone()))?;
    let began = Instant::now();
    let mut execution = match &args.attach {
        Some(prompt_id) => client.attach(prompt_id),
        None => client.run(request(&args).await?).await?,
    };
    if let Some(seconds) = args.cancel_after {
        let canceller = execution.canceller();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
            say(began, &format!("cancelling: {:?}", canceller.cancel().await));
        });
    }
    while let Some(event) = execution.next().await {
        match event {
            RunEvent::Preview { media_type, bytes } => {
                say(began, &format!("preview: {media_type}, {} bytes", bytes.len()));
            }
            RunEvent::Finished(RunOutcome::Succeeded { outputs, texts }) => {
                say(began, &format!("succeeded: {} files, {} texts", outputs.len(), texts.len()));
                for output in &outputs {
                    save(&client, output, &args.out).await?;
                }
                return Ok(());
            }
            RunEvent::Finished(outcome) => bail!("{outcome:?}"),
            other => say(began, &format!("{other:?}")),
        }
    }
    Ok(())
}

async fn request(args: &Args) -> anyhow::Result<RunRequest> {
    let text = tokio::fs::read(&args.workflow).await.with_context(|| args.workflow.display().to_string())?;
    let graph = Graph::from_json(&serde_json::from_slice(&text)?)?;
    let mut request = RunRequest::new(uuid::Uuid::now_v7().to_string(), graph);
    request.previews = if args.previews { Previews::Auto } else { Previews::Off };
    Ok(request)
}

async fn save(client: &ComfyClient, output: &OutputFile, folder: &Path) -> anyhow::Result<()> {
    // The name comes from another machine: only its last part is used.
    let name = Path::new(&output.file.filename).file_name().context("a file without a name")?;
    let target = folder.join(name);
    let mut view = client.view(&output.file).await?;
    let mut file = tokio::fs::File::create(&target).await?;
    while let Some(chunk) = view.stream.next().await {
        file.write_all(&chunk?).await?;
    }
    file.flush().await?;
    say(Instant::now(), &format!("{} ({})", target.display(), view.media_type));
    Ok(())
}

#[expect(clippy::print_stdout, reason = "this is what the example is for")]
fn say(began: Instant, line: &str) {
    println!("{:8.3} {line}", began.elapsed().as_secs_f64());
}
