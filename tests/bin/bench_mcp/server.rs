//! The servers, each on the same core, and the time that they have had it.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tests::process::Process;
use tests::wait::LONG;
use tokio::process::Command;

/// `/proc` counts in these (Linux's USER_HZ, the same on every architecture that Rust's standard library runs on).
const TICKS_PER_SECOND: f64 = 100.0;

/// Who runs where; without `taskset` the scheduler decides, and the figures are worth less.
pub(crate) struct Cores {
    server: Option<String>,
}

impl Cores {
    /// Takes the second core for this process and leaves the first one to the servers.
    pub(crate) fn divide() -> Result<Cores> {
        let [server, load] = first_two()?;
        let own = std::process::id().to_string();
        match std::process::Command::new("taskset").args(["-a", "-cp", &load, &own]).output() {
            Ok(output) if output.status.success() => Ok(Cores { server: Some(server) }),
            Ok(output) => bail!("taskset failed: {}", String::from_utf8_lossy(&output.stderr).trim()),
            Err(_) => Ok(Cores { server: None }),
        }
    }
}

impl fmt::Display for Cores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.server {
            Some(core) => write!(f, "the server has core {core} to itself, the load comes from another"),
            None => f.write_str("WARNING: nothing is pinned to a core, as there is no taskset (util-linux)"),
        }
    }
}

/// Of the cores that this process may use, from a list like `0-3,8`.
fn first_two() -> Result<[String; 2]> {
    let status = std::fs::read_to_string("/proc/self/status").context("this benchmark needs Linux")?;
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap_or_default();
    let mut cores = Vec::new();
    for part in list.trim().split(',') {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        cores.extend(from.parse::<u32>()?..=to.parse::<u32>()?);
    }
    match cores.as_slice() {
        [server, load, ..] => Ok([server.to_string(), load.to_string()]),
        _ => bail!("this benchmark needs two cores: one for the server, one for the load"),
    }
}

/// A server that runs. Dropping it kills it.
pub(crate) struct Server {
    process: Process,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Starts a program that writes the URL where it listens.
    pub(crate) async fn start(program: &Path, args: &[&str], cores: &Cores) -> Result<Server> {
        let mut command = match &cores.server {
            Some(core) => {
                let mut command = Command::new("taskset");
                command.args(["-c", core]).arg(program);
                command
            }
            None => Command::new(program),
        };
        command.args(args);
        let process = Process::start(command)?;
        let url = process.stdout.wait_for("http://", LONG).await?;
        let address = url.trim_start_matches("http://").trim_end_matches("/mcp");
        let address = address.parse().with_context(|| format!("{} listens on {url}", program.display()))?;
        Ok(Server { process, address })
    }

    /// The time that it has had a core so far, in its own code and in the kernel's.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id()))?;
        // The name before the last parenthesis may have spaces; utime and stime are fields 14 and 15 of the whole.
        let fields: Vec<&str> =
            stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace().collect()).unwrap_or_default();
        let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<f64>().ok());
        let (user, system) = ticks(11).zip(ticks(12)).with_context(|| format!("/proc says {stat}"))?;
        Ok(Duration::from_secs_f64((user + system) / TICKS_PER_SECOND))
    }
}
