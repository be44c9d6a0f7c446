//! The real `mcp-server` as a child process, in a folder of its own.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use mcp_protocol::client::PeerOptions;
use tempfile::TempDir;
use tokio::process::{ChildStdin, Command};

use crate::client::Client;
use crate::log::Log;
use crate::process::{self, Ended, Process};
use crate::wait::LONG;
use crate::{binaries, init};

/// How a gateway is to be started. It sees nothing of this process's environment.
#[derive(Clone, Debug)]
pub struct Setup {
    home: Arc<TempDir>,
    flags: Vec<String>,
    environment: Vec<(String, String)>,
}

impl Setup {
    /// On a free port, with data in a new folder that is removed at the end.
    pub fn new() -> Result<Setup> {
        init();
        let home = tempfile::Builder::new().prefix("gateway-").tempdir().context("no temporary folder")?;
        Ok(Setup { home: Arc::new(home), flags: Vec::new(), environment: Vec::new() })
    }

    /// In front of this ComfyUI.
    pub fn comfyui(url: &str) -> Result<Setup> {
        Ok(Self::new()?.flag("--comfyui-url", url))
    }

    /// With the embedded sandbox, whose sampler takes this long.
    pub fn sandbox(sampling_seconds: f64) -> Result<Setup> {
        Ok(Self::new()?.switch("--sandbox").flag("--sandbox-sampling-seconds", sampling_seconds))
    }

    /// A flag without a value.
    pub fn switch(mut self, name: &str) -> Setup {
        self.flags.push(name.to_owned());
        self
    }

    /// A flag with its value.
    pub fn flag(mut self, name: &str, value: impl Display) -> Setup {
        self.flags.push(format!("{name}={value}"));
        self
    }

    /// A variable of the environment.
    pub fn variable(mut self, name: &str, value: &str) -> Setup {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A file in the folder that it is started in.
    pub fn file(self, name: &str, text: impl AsRef<[u8]>) -> Result<Setup> {
        let path = self.home().join(name);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(&path, text).with_context(|| format!("could not write {}", path.display()))?;
        Ok(self)
    }

    /// The folder that it is started in; the data are in `data` there.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// `mcp-server` with these words and the setup's flags.
    pub fn command(&self, words: &[&str]) -> Result<Command> {
        let mut command = Command::new(binaries::path("mcp-server")?);
        command.args(words).args(&self.flags).current_dir(self.home()).env_clear();
        command.envs(self.environment.iter().cloned());
        Ok(command)
    }

    /// Starts it and waits until it listens.
    pub async fn start(&self) -> Result<Gateway> {
        let mut command = self.command(&["serve"])?;
        if !self.flags.iter().any(|flag| flag.starts_with("--port")) {
            command.arg("--port=0");
        }
        let started = Instant::now();
        let process = Process::start(command)?;
        let line = process.stderr.wait_for("listening on http://", LONG).await?;
        let startup = started.elapsed();
        let base = line.split_once("listening on ").and_then(|(_, url)| url.strip_suffix("/mcp"));
        let base = base.with_context(|| format!("no address in {line:?}"))?.to_owned();
        Ok(Gateway { setup: self.clone(), process, base, startup })
    }

    /// Runs a command of it to its end.
    pub async fn run(&self, words: &[&str]) -> Result<Ended> {
        process::run(self.command(words)?, LONG).await
    }

    /// Starts `mcp-server stdio`, for a test that reads and writes the lines itself.
    pub fn stdio(&self) -> Result<(Process, ChildStdin)> {
        Process::start_with_input(self.command(&["stdio"])?)
    }
}

/// A running gateway. Dropping it kills it.
#[derive(Debug)]
pub struct Gateway {
    setup: Setup,
    process: Process,
    base: String,
    /// From the start of the process until it listened.
    pub startup: Duration,
}

impl Gateway {
    /// Its base URL, without a slash at the end.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The URL of its MCP endpoint.
    pub fn mcp_url(&self) -> String {
        format!("{}/mcp", self.base)
    }

    /// How it was started.
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// What it logs.
    pub fn log(&self) -> &Log {
        &self.process.stderr
    }

    /// The folder of its data.
    pub fn data(&self) -> PathBuf {
        self.setup.home().join("data")
    }

    /// A client without a key.
    pub async fn client(&self) -> Result<Client> {
        Client::connect(&self.base, None).await.with_context(|| self.log().tail())
    }

    /// A client without a key, with a peer of these options.
    pub async fn client_with(&self, peer: PeerOptions) -> Result<Client> {
        Client::connect_with(&self.base, None, peer).await.with_context(|| self.log().tail())
    }

    /// A client with a key.
    pub async fn client_with_key(&self, key: &str) -> Result<Client> {
        Client::connect(&self.base, Some(key)).await.with_context(|| self.log().tail())
    }

    /// Asks it to stop, and checks that it does so well; tells how long that took.
    pub async fn terminate(mut self) -> Result<Duration> {
        let (status, took) = self.process.terminate(LONG).await?;
        ensure!(status.code() == Some(0), "mcp-server ended with {status}\n{}", self.log().tail());
        Ok(took)
    }

    /// Ends it as a crash does.
    pub async fn kill(mut self) -> Result<Setup> {
        self.process.kill().await?;
        Ok(self.setup.clone())
    }

    /// Kills it and starts it again on the same data.
    pub async fn restart(self) -> Result<Gateway> {
        self.kill().await?.start().await
    }

    /// `mcp-client` with these words, connected to this gateway.
    pub fn cli(&self, words: &[&str]) -> Result<Command> {
        let mut command = cli(words)?;
        command.current_dir(self.setup.home()).env("MCP_SERVER_URL", self.mcp_url());
        Ok(command)
    }

    /// Runs `mcp-client` to its end.
    pub async fn run_cli(&self, words: &[&str]) -> Result<Ended> {
        process::run(self.cli(words)?, LONG * 3).await
    }
}

/// `mcp-client` with these words and an empty environment.
pub fn cli(words: &[&str]) -> Result<Command> {
    init();
    let mut command = Command::new(binaries::path("mcp-client")?);
    command.args(words).env_clear();
    Ok(command)
}
