//! `cargo xtask interop`: other people's MCP clients against the gateway, and our client against their servers.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result};
use clap::Args;

use crate::{child, npm, python, root::Root};

/// What is tried, by version; rmcp's is in its package's manifest, tests/peers/rmcp-interop.
const PYTHON: [&str; 2] = ["mcp==2.3.0", "fastmcp-slim[client]==4.1.6"];
const NODE: [(&str, &str); 2] =
    [("@modelcontextprotocol/sdk", "1.32.2"), ("@modelcontextprotocol/inspector", "2.12.0")];

/// What `cargo xtask interop` takes.
#[derive(Args)]
pub(crate) struct Options {
    /// Only set the others up; run nothing.
    #[arg(long)]
    setup_only: bool,
    /// The Python, 3.10 or newer, that the set-up begins with.
    #[arg(long, value_name = "PROGRAM", default_value = "python3")]
    python: PathBuf,
    /// Parts of the names of what to run, for example `fastmcp`, `stdio` or `ours`.
    #[arg(value_name = "FILTERS")]
    filters: Vec<OsString>,
}

/// The others, ready to be run.
struct Peers {
    python: PathBuf,
    python_scripts: PathBuf,
    node: PathBuf,
    node_scripts: PathBuf,
    rmcp: PathBuf,
}

/// Sets the others up where they aren't, and exits as the runs do.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let root = Root::find()?;
    let peers = set_up(&root, &options.python)?;
    if options.setup_only {
        return Ok(ExitCode::SUCCESS);
    }
    child::section("building the server and the runs");
    // In the words of the tests' harness, which makes sure of it again: beside other packages, they would be built twice.
    let built = ["build", "-p", "mcp-server", "-p", "mcp-client", "-p", "comfy-sandbox"];
    child::run(child::cargo().args(built).current_dir(&root.dir))?;
    child::section("running every client");
    let mut command = child::cargo();
    command.args(["run", "--quiet", "-p", "tests", "--bin", "interop", "--"]);
    command.arg("--python").arg(&peers.python).arg("--python-scripts").arg(&peers.python_scripts);
    command.arg("--node").arg(&peers.node).arg("--node-scripts").arg(&peers.node_scripts);
    command.arg("--rmcp").arg(&peers.rmcp).args(&options.filters).current_dir(&root.dir);
    Ok(child::exit_code(child::status(&mut command)?))
}

fn set_up(root: &Root, base: &Path) -> Result<Peers> {
    let dir = root.target.join("interop");
    let scripts = root.dir.join("tests/peers");
    let node = npm::install(&dir.join("node"), &NODE)?;
    copy_files(&scripts.join("node"), &dir.join("node"))?;
    Ok(Peers {
        python: python_packages(&dir, base)?,
        python_scripts: scripts.join("python"),
        node: node.program(),
        node_scripts: dir.join("node"),
        rmcp: rmcp(root, &scripts.join("rmcp-interop"))?,
    })
}

/// The environment is made anew when other packages are asked for.
fn python_packages(dir: &Path, base: &Path) -> Result<PathBuf> {
    let (venv, stamp) = (dir.join("venv"), dir.join("python-packages"));
    let python = python::program(&venv);
    let wanted = PYTHON.join(" ");
    if fs::read_to_string(&stamp).is_ok_and(|done| done == wanted) {
        return Ok(python);
    }
    child::section(&format!("Python packages: {wanted}"));
    python::environment(&venv, base, "or name one with --python")?;
    python::pip(&python, &["install", "--quiet"], &PYTHON, "the disk has 200 MB left")?;
    fs::write(&stamp, wanted).with_context(|| format!("could not write {}", stamp.display()))?;
    Ok(python)
}

/// Node.js looks for packages beside and above a script's own folder, and none may lie in the source tree.
fn copy_files(from: &Path, to: &Path) -> Result<()> {
    let entries = fs::read_dir(from).with_context(|| format!("could not read {}", from.display()))?;
    for entry in entries {
        let entry = entry?;
        let copy = to.join(entry.file_name());
        fs::copy(entry.path(), &copy).with_context(|| format!("could not write {}", copy.display()))?;
    }
    Ok(())
}

/// A workspace of its own, with a build folder of its own below ours.
fn rmcp(root: &Root, package: &Path) -> Result<PathBuf> {
    let target = root.target.join("peers");
    let mut command = child::cargo();
    command.args(["build", "--locked", "--manifest-path"]).arg(package.join("Cargo.toml"));
    command.arg("--target-dir").arg(&target);
    child::section("building a client and a server on rmcp");
    child::run(&mut command)?;
    Ok(target.join("debug"))
}
