//! The sandbox as a process of its own, so that a test can kill it.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::Context;
use clap::Parser;
use comfy_sandbox::{Sandbox, SandboxConfig};

/// A stand-in for ComfyUI that needs no GPU, no Python and no models.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    /// The address to listen on; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:8188")]
    listen: SocketAddr,
    /// How long one sampler run takes, in seconds.
    #[arg(long, default_value_t = 1.0)]
    sampling_seconds: f64,
    /// The folder for input, output and temp; without it a temporary one, removed at the end.
    #[arg(long)]
    data_dir: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let options = Options::parse();
    let sampling_time = Duration::try_from_secs_f64(options.sampling_seconds)
        .context("--sampling-seconds must be a time of zero or more seconds")?;
    let config = SandboxConfig {
        listen: options.listen,
        sampling_time,
        data_dir: options.data_dir,
        ..SandboxConfig::default()
    };
    let sandbox = Sandbox::start(config).await?;
    announce(&sandbox);
    stop_signal().await?;
    sandbox.shutdown().await;
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the one line that a program which started this one reads")]
fn announce(sandbox: &Sandbox) {
    println!("comfy-sandbox listening on {}", sandbox.url());
}

async fn stop_signal() -> std::io::Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        result = tokio::signal::ctrl_c() => result,
        _ = terminate.recv() => Ok(()),
    }
}
