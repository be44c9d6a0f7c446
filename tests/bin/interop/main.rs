//! Others' clients against the gateway, and our client against others' servers: `cargo xtask interop` sets the others
//! up and runs this.
#![expect(clippy::print_stdout, reason = "a command-line tool talks on stdout")]

mod case;
mod clients;
mod ours;
mod table;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, bail};
use clap::Parser;

use crate::table::Table;

/// Lets every client do what it can, over each of its transports, and tells how each case went.
#[derive(Parser)]
struct Options {
    /// A Python that has the clients' packages.
    #[arg(long)]
    python: PathBuf,
    /// The folder of the scripts for it.
    #[arg(long)]
    python_scripts: PathBuf,
    /// A Node.js.
    #[arg(long)]
    node: PathBuf,
    /// The folder of the scripts for it, from where they find their packages.
    #[arg(long)]
    node_scripts: PathBuf,
    /// The folder of `rmcp-client` and `rmcp-server`.
    #[arg(long)]
    rmcp: PathBuf,
    /// Only runs with one of these in their names, for example `fastmcp` or `stdio`.
    filters: Vec<String>,
}

#[tokio::main]
async fn main() -> ExitCode {
    tests::init();
    match run(&Options::parse()).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: &Options) -> Result<ExitCode> {
    let wanted =
        |name: &str| options.filters.is_empty() || options.filters.iter().any(|part| name.contains(part));
    let runs = clients::all(options).into_iter().chain(ours::all(options));
    let runs: Vec<_> = runs.filter(|run| wanted(&run.name)).collect();
    if runs.is_empty() {
        bail!("no run has {:?} in its name", options.filters);
    }
    let count = runs.len();
    let mut table = Table::default();
    for (at, run) in runs.into_iter().enumerate() {
        print!("[{}/{count}] {} … ", at + 1, run.name);
        std::io::stdout().flush()?;
        let started = Instant::now();
        let cases = run.work.await;
        table.add(&run.name, cases, started.elapsed());
    }
    Ok(table.close())
}
