//! Starts, finds and stops the ComfyUI that was set up.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result};

use super::install::Installation;
use crate::{
    child::{self, Background},
    http,
};

/// It takes 10 s on two idle cores; under load many times that.
const START_WITHIN: Duration = Duration::from_mins(3);
/// What every ComfyUI answers, once it can take prompts.
const READY: &str = "/system_stats";
/// ComfyUI expects these in its base directory and doesn't make all of them itself.
const FOLDERS: [&str; 5] = ["custom_nodes", "input", "output", "temp", "user"];

/// A running ComfyUI of ours.
pub(crate) struct Server {
    process: Background,
    url: String,
    dir: PathBuf,
}

/// Starts it on a free port and waits until it answers.
pub(crate) fn start(installation: &Installation) -> Result<Server> {
    for folder in FOLDERS {
        let folder = installation.base.join(folder);
        fs::create_dir_all(&folder).with_context(|| format!("could not create {}", folder.display()))?;
    }
    let port = http::free_port()?;
    let log = installation.dir.join("comfyui.log");
    child::section(&format!("starting ComfyUI on port {port}, log: {}", log.display()));
    let mut command = Command::new(&installation.python);
    command
        .arg(&installation.main)
        .args(["--cpu", "--listen", "127.0.0.1", "--port", &port.to_string(), "--base-directory"])
        .arg(&installation.base)
        .args(["--database-url", "sqlite:///:memory:", "--disable-api-nodes"]);
    let mut process = Background::start("ComfyUI", &mut command, &log)?;
    let took = process
        .wait_until(START_WITHIN, || http::answers(SocketAddr::from(([127, 0, 0, 1], port)), READY))?;
    println!("ComfyUI answers after {took:.1?}");
    Ok(Server { process, url: format!("http://127.0.0.1:{port}"), dir: installation.dir.clone() })
}

/// The URL of a ComfyUI that an earlier run left running, if it still answers.
pub(crate) fn kept(dir: &Path) -> Option<String> {
    let url = fs::read_to_string(note(dir)).ok()?;
    let url = url.trim();
    let address = url.strip_prefix("http://")?.parse().ok()?;
    http::answers(address, READY).then(|| url.to_owned())
}

impl Server {
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Lets it run on, and notes where it is.
    pub(crate) fn keep(self) -> Result<()> {
        let note = note(&self.dir);
        fs::write(&note, &self.url).with_context(|| format!("could not write {}", note.display()))?;
        println!("\nComfyUI goes on at {} (process {})", self.url, self.process.pid());
        self.process.leave_running();
        Ok(())
    }

    /// ComfyUI keeps nothing in memory that anybody wants; its own way of stopping waits for a running prompt.
    pub(crate) fn stop(self) {
        self.process.kill();
    }
}

fn note(dir: &Path) -> PathBuf {
    dir.join("comfyui.url")
}
