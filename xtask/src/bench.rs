//! `cargo xtask bench NAME`: measurements with a release build.

use std::{
    ffi::{OsStr, OsString},
    process::ExitCode,
};

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
    /// What reading, analysing, checking and changing a graph takes, against its size.
    Analyzer,
    /// What a call costs our implementation of MCP, beside the same call on the crate rmcp (Linux, two cores).
    Mcp,
}

/// Builds what is measured and the benchmark in the release profile and runs the benchmark.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let root = Root::find()?;
    match options.name {
        Name::Overhead => {
            build(&root, &["-p", "mcp-server"])?;
            measure(&root, "bench_overhead", &[], &options.args)
        }
        Name::Analyzer => measure(&root, "bench_analyzer", &[], &options.args),
        Name::Mcp => {
            build(&root, &["-p", "mcp-protocol", "--example", "echo"])?;
            // A workspace of its own, with a folder of its own below ours.
            let peers = root.target.join("peers");
            let manifest = root.dir.join("tests/peers/rmcp/Cargo.toml");
            let manifest = manifest.as_os_str();
            build(
                &root,
                &[
                    "--locked".as_ref(),
                    "--manifest-path".as_ref(),
                    manifest,
                    "--target-dir".as_ref(),
                    peers.as_os_str(),
                ],
            )?;
            let ours = root.target.join("release/examples").join(program("echo"));
            let rmcp = peers.join("release").join(program("rmcp-echo"));
            let programs = ["--ours".into(), ours.into(), "--rmcp".into(), rmcp.into()];
            measure(&root, "bench_mcp", &programs, &options.args)
        }
    }
}

fn build<S: AsRef<OsStr>>(root: &Root, what: &[S]) -> Result<()> {
    let mut command = child::cargo();
    command.args(["build", "--release"]).args(what).current_dir(&root.dir);
    child::section(&child::display(&command));
    child::run(&mut command)
}

/// Runs a binary of the `tests` package.
fn measure(root: &Root, binary: &str, first: &[OsString], args: &[OsString]) -> Result<ExitCode> {
    child::section(&format!("measuring: {binary}"));
    let status = child::status(
        child::cargo()
            .args(["run", "--quiet", "--release", "-p", "tests", "--bin", binary, "--"])
            .args(first)
            .args(args)
            .current_dir(&root.dir),
    )?;
    Ok(child::exit_code(status))
}

fn program(name: &str) -> String {
    format!("{name}{}", std::env::consts::EXE_SUFFIX)
}
