//! `cargo xtask conformance`: the published conformance suite against the fixtures of `mcp-protocol`.

use std::{
    net::SocketAddr,
    path::Path,
    process::{Command, ExitCode},
    time::Duration,
};

use anyhow::{Result, ensure};
use clap::Args;

use crate::{
    child::{self, Background},
    http,
    root::Root,
};

mod requirements;
mod results;
mod suite;

use requirements::Requirements;
use suite::Suite;

/// The revisions that we answer for.
const REVISIONS: [&str; 2] = ["2025-11-25", "2026-07-28"];
const START_WITHIN: Duration = Duration::from_secs(30);

/// What `cargo xtask conformance` takes.
#[derive(Args)]
pub(crate) struct Options {
    /// Run this scenario alone, under every revision that has it.
    #[arg(long, value_name = "NAME")]
    scenario: Option<String>,
    /// Test a server that is running, for example http://127.0.0.1:9101/mcp; it has to serve the suite's fixtures.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
}

/// Runs both requirement sets; 1 when a scenario that has to pass fails.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let root = Root::find()?;
    let dir = root.target.join("conformance");
    let suite = Suite::install(&dir)?;
    let sets =
        REVISIONS.map(|revision| suite.requirements(revision)).into_iter().collect::<Result<Vec<_>>>()?;
    if let Some(name) = &options.scenario {
        ensure!(sets.iter().any(|set| set.has(name)), "{}", unknown(name, &sets));
    }
    let (_server, url) = match &options.url {
        Some(url) => (None, url.clone()),
        None => start(&root, &dir).map(|(server, url)| (Some(server), url))?,
    };
    let mut totals = Vec::new();
    for set in &sets {
        let ran = match &options.scenario {
            None => suite.run(set, &url)?,
            Some(name) if set.has(name) => suite.run_one(set, name, &url)?,
            Some(_) => continue,
        };
        child::section(&format!("{}   (results: {})", set.revision, ran.dir.display()));
        totals.push(results::print(set, &ran)?);
    }
    Ok(results::close(&totals))
}

fn unknown(name: &str, sets: &[Requirements]) -> String {
    let mut all: Vec<&str> = sets.iter().flat_map(Requirements::names).collect();
    all.sort_unstable();
    all.dedup();
    format!("there is no scenario {name:?}; there are {}", all.join(", "))
}

/// The server is built first and started as itself: to stop `cargo run` is not to stop what it runs.
fn start(root: &Root, dir: &Path) -> Result<(Background, String)> {
    child::section("building the fixtures of the suite");
    child::run(
        child::cargo()
            .args(["build", "-p", "mcp-protocol", "--example", "conformance"])
            .current_dir(&root.dir),
    )?;
    let port = http::free_port()?;
    let program = format!("conformance{}", std::env::consts::EXE_SUFFIX);
    let mut command = Command::new(root.target.join("debug/examples").join(program));
    let mut server = Background::start("the server", command.arg(port.to_string()), &dir.join("server.log"))?;
    server.wait_until(START_WITHIN, || http::listens(SocketAddr::from(([127, 0, 0, 1], port))))?;
    Ok((server, format!("http://127.0.0.1:{port}/mcp")))
}
