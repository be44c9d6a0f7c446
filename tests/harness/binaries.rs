//! Where the programs are that the tests start; built once, so that the tests can be run alone.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context as _, Result, anyhow, bail};

/// The programs that tests start.
const PROGRAMS: &[&str] = &["mcp-server", "mcp-client", "comfy-sandbox"];
/// What a benchmark starts: linking a release takes minutes.
const BENCHED: &[&str] = &["mcp-server"];

/// The path of one of the workspace's programs, of the profile that the caller was built in.
pub fn path(name: &str) -> Result<PathBuf> {
    static FOLDER: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| build().map_err(|error| format!("{error:#}")));
    Ok(folder.as_ref().map_err(|error| anyhow!("{error}"))?.join(name))
}

/// Builds what is not up to date. Without a cargo around us, what is there is taken.
fn build() -> Result<PathBuf> {
    let folder = folder()?;
    let release = folder.file_name().is_some_and(|profile| profile == "release");
    let programs = if release { BENCHED } else { PROGRAMS };
    let Some(cargo) = std::env::var_os("CARGO") else {
        return present(folder, programs);
    };
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    // What the cargo around us has said of our package. A build script that looks at it (ring's does) would run anew, and
    // everything above it be built again, by turns with a build that is not ours.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    for program in programs {
        command.args(["-p", program]);
    }
    if release {
        command.arg("--release");
    }
    let output = command.output().context("could not start cargo")?;
    if !output.status.success() {
        bail!("the programs can't be built:\n{}", String::from_utf8_lossy(&output.stderr));
    }
    present(folder, programs)
}

/// `target/PROFILE`: a test lies one folder below it, in `deps`.
fn folder() -> Result<PathBuf> {
    let exe = std::env::current_exe().context("this program's own path is not known")?;
    let folder = exe.parent().context("this program lies in no folder")?;
    let folder = if folder.ends_with("deps") { folder.parent().unwrap_or(folder) } else { folder };
    Ok(folder.to_owned())
}

fn present(folder: PathBuf, programs: &[&str]) -> Result<PathBuf> {
    let missing = programs.iter().find(|name| !Path::new(&folder).join(name).is_file());
    match missing {
        Some(name) => bail!("there is no {name} in {}; build it first", folder.display()),
        None => Ok(folder),
    }
}
