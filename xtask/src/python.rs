//! Virtual environments of Python, and packages in them.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::child;

/// The program of a virtual environment.
pub(crate) fn program(venv: &Path) -> PathBuf {
    venv.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" })
}

/// Makes a virtual environment anew with this Python, 3.10 or newer. `otherwise` is what else can be done when there is none.
pub(crate) fn environment(venv: &Path, python: &Path, otherwise: &str) -> Result<()> {
    let probe = "import sys, venv, ensurepip; sys.exit(0 if sys.version_info >= (3, 10) else 3)";
    let remedy = format!(
        "install Python 3.10 or newer with its venv module (Debian: apt-get install python3-venv), {otherwise}"
    );
    let output = Command::new(python).args(["-c", probe]).output();
    let output = output.with_context(|| format!("there is no `{}`; {remedy}", python.display()))?;
    match output.status.code() {
        Some(0) => {}
        Some(3) => bail!("`{}` is older than 3.10; {remedy}", python.display()),
        _ => bail!("`{}` has no venv module; {remedy}", python.display()),
    }
    child::run(Command::new(python).args(["-m", "venv", "--clear"]).arg(venv))
}

/// Runs the pip of this Python with our terminal; which index it asks is the machine's own configuration. `needs` says what
/// else it takes.
pub(crate) fn pip(python: &Path, arguments: &[&str], packages: &[&str], needs: &str) -> Result<()> {
    let mut command = Command::new(python);
    command.args(["-m", "pip", "--disable-pip-version-check", "--no-input"]);
    command.args(arguments).args(["--progress-bar", "off"]).args(packages);
    child::run(&mut command).with_context(|| {
        format!(
            "pip could not get the packages; check that it reaches its package index (`pip config list` shows which) \
             and that {needs}, then run the same command again: finished steps are kept"
        )
    })
}
