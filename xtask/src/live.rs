//! `cargo xtask live`: the end-to-end suite against a real ComfyUI.

use std::{ffi::OsString, path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::Args;

use crate::{child, root::Root};

mod comfyui;
mod install;
mod tiny_models;

/// What `cargo xtask live` takes.
#[derive(Args)]
pub(crate) struct Options {
    /// Use this ComfyUI instead, for example http://127.0.0.1:8188; it is only used, never stopped.
    #[arg(long, value_name = "URL")]
    comfyui: Option<String>,
    /// Leave the ComfyUI that was started here running; the next run finds it.
    #[arg(long, conflicts_with = "comfyui")]
    keep: bool,
    /// Only set ComfyUI up (and, with --keep, start it); run nothing.
    #[arg(long, conflicts_with = "comfyui")]
    setup_only: bool,
    /// Where ComfyUI is set up [default: target/live].
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// The Python, 3.10 or newer, that the set-up begins with.
    #[arg(long, value_name = "PROGRAM", default_value = "python3")]
    python: PathBuf,
    /// Passed to the suite as they stand: parts of the names of the cases to run.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "FILTERS")]
    filters: Vec<OsString>,
}

/// Runs the suite and exits as it does; a ComfyUI that was started for it is stopped afterwards.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let root = Root::find()?;
    if let Some(url) = &options.comfyui {
        return suite(&root, url, &options.filters);
    }
    let dir = match &options.dir {
        Some(dir) => std::path::absolute(dir)?,
        None => root.target.join("live"),
    };
    if let Some(url) = comfyui::kept(&dir) {
        child::section(&format!("using the ComfyUI that was kept at {url}"));
        return if options.setup_only { Ok(ExitCode::SUCCESS) } else { suite(&root, &url, &options.filters) };
    }
    let installation = install::install(&dir, &options.python)?;
    if options.setup_only && !options.keep {
        return Ok(ExitCode::SUCCESS);
    }
    let server = comfyui::start(&installation)?;
    let outcome =
        if options.setup_only { Ok(ExitCode::SUCCESS) } else { suite(&root, server.url(), &options.filters) };
    if options.keep {
        server.keep()?;
    } else {
        server.stop();
    }
    outcome
}

/// The suite itself is a program of the `tests` member: it composes the product, which this crate does not.
fn suite(root: &Root, url: &str, filters: &[OsString]) -> Result<ExitCode> {
    child::section("building the server, the client and the suite");
    child::run(
        child::cargo()
            .args(["build", "-p", "mcp-server", "-p", "mcp-client", "-p", "tests", "--bins"])
            .current_dir(&root.dir),
    )?;
    child::section(&format!("end-to-end suite against {url}"));
    let status = child::status(
        child::cargo()
            .args(["run", "--quiet", "-p", "tests", "--bin", "e2e", "--", "--comfyui", url])
            .args(filters)
            .current_dir(&root.dir),
    )?;
    Ok(child::exit_code(status))
}
