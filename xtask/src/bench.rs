//! `cargo xtask bench NAME`: measurements with a release build.

use std::{ffi::OsString, process::ExitCode};

use anyhow::Result;
use clap::{Args, ValueEnum};

use crate::{child, root::Root};

/// What `cargo xtask bench` takes.
#[derive(Args)]
pub(crate) struct Options {
    /// What to measure.
    name: Name,
    /// Passed to the benchmark as they stand.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
    args: Vec<OsString>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Name {
    /// What the gateway adds to a generation, the time of a status call, and idle memory.
    Overhead,
}

impl Name {
    /// The binary of the `tests` package that measures it.
    fn binary(self) -> &'static str {
        match self {
            Name::Overhead => "bench_overhead",
        }
    }
}

/// Builds the server and the benchmark in the release profile and runs the benchmark.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let root = Root::find()?;
    child::section("cargo build --release -p mcp-server");
    child::run(child::cargo().args(["build", "--release", "-p", "mcp-server"]).current_dir(&root.dir))?;
    child::section(&format!("measuring: {}", options.name.binary()));
    let status = child::status(
        child::cargo()
            .args(["run", "--quiet", "--release", "-p", "tests", "--bin", options.name.binary(), "--"])
            .args(&options.args)
            .current_dir(&root.dir),
    )?;
    Ok(child::exit_code(status))
}
