//! The other side: a sandbox in this process, one as a process that can be killed, and a look at any ComfyUI.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use comfy_sandbox::{Sandbox, SandboxConfig};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::process::Command;

use crate::binaries;
use crate::client::http;
use crate::process::Process;
use crate::wait::LONG;

/// Starts a sandbox in this process whose sampler takes this long.
pub async fn sandbox(sampling_time: Duration) -> Result<Sandbox> {
    Ok(Sandbox::start(SandboxConfig { sampling_time, ..SandboxConfig::default() }).await?)
}

/// An address that nothing listens on; nobody else is given it for a while.
pub async fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0").await?.local_addr()?)
}

/// The sandbox as a process, on an address that stays the same over its lives.
#[derive(Debug)]
pub struct ComfyProcess {
    address: SocketAddr,
    sampling_seconds: f64,
    process: Process,
}

impl ComfyProcess {
    /// Starts it and waits until it answers.
    pub async fn start(address: SocketAddr, sampling_seconds: f64) -> Result<ComfyProcess> {
        let mut command = Command::new(binaries::path("comfy-sandbox")?);
        command.args(["--listen", &address.to_string()]);
        command.args(["--sampling-seconds", &sampling_seconds.to_string()]);
        let process = Process::start(command)?;
        process.stdout.wait_for("listening on", LONG).await.with_context(|| process.stderr.tail())?;
        Ok(ComfyProcess { address, sampling_seconds, process })
    }

    /// Its base URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Ends it as a crash does; all its prompts are lost.
    pub async fn kill(mut self) -> Result<Dead> {
        self.process.kill().await?;
        Ok(Dead { address: self.address, sampling_seconds: self.sampling_seconds })
    }
}

/// A sandbox that was killed.
#[derive(Debug)]
pub struct Dead {
    address: SocketAddr,
    sampling_seconds: f64,
}

impl Dead {
    /// Starts it again on the same address.
    pub async fn revive(self) -> Result<ComfyProcess> {
        ComfyProcess::start(self.address, self.sampling_seconds).await
    }
}

/// What a ComfyUI answers to a GET.
pub async fn get(base: &str, path: &str) -> Result<Value> {
    let url = format!("{}{path}", base.trim_end_matches('/'));
    let answer =
        http()?.get(&url).timeout(LONG).send().await.with_context(|| format!("no answer from {url}"))?;
    ensure!(answer.status().is_success(), "{url} answers {}", answer.status());
    Ok(answer.json().await?)
}

/// The ids of all prompts that a ComfyUI knows: pending, running and done.
pub async fn prompts(base: &str) -> Result<BTreeSet<String>> {
    let mut ids = queued(base).await?;
    let history = get(base, "/history").await?;
    ids.extend(history.as_object().into_iter().flatten().map(|(id, _)| id.clone()));
    Ok(ids)
}

/// The ids of the prompts that are pending or running.
pub async fn queued(base: &str) -> Result<BTreeSet<String>> {
    let queue = get(base, "/queue").await?;
    let items = ["queue_running", "queue_pending"].into_iter().filter_map(|part| queue[part].as_array());
    Ok(items.flatten().filter_map(|item| item[1].as_str()).map(str::to_owned).collect())
}
