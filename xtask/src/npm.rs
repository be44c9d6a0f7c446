//! Packages from npm in a folder of their own, and a Node.js that is new enough for them.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value, json};

use crate::child;

/// The Node.js that runs the packages is one of them: a machine's own may be too old.
const NODE: (&str, &str) = ("node", "22.23.3");
/// Holds the manifest that the folder was last installed for.
const STAMP: &str = "installed.json";

/// A folder with installed packages.
pub(crate) struct Packages {
    dir: PathBuf,
}

/// Installs exactly these packages, as (name, version), unless they are there already. npm's lockfile stays in the folder,
/// so that what the packages themselves ask for stays the same too.
pub(crate) fn install(dir: &Path, packages: &[(&str, &str)]) -> Result<Packages> {
    let installed = Packages { dir: dir.to_owned() };
    let manifest = manifest(packages);
    let stamp = dir.join(STAMP);
    if fs::read_to_string(&stamp).is_ok_and(|done| done == manifest) {
        return Ok(installed);
    }
    fs::create_dir_all(dir).with_context(|| format!("could not create {}", dir.display()))?;
    let file = dir.join("package.json");
    fs::write(&file, &manifest).with_context(|| format!("could not write {}", file.display()))?;
    npm(dir)?;
    installed.check_node()?;
    fs::write(&stamp, &manifest).with_context(|| format!("could not write {}", stamp.display()))?;
    Ok(installed)
}

impl Packages {
    /// A Node.js that runs this file.
    pub(crate) fn node(&self, file: &Path) -> Command {
        let mut command = Command::new(self.program());
        command.arg(file);
        command
    }

    /// The program of that Node.js.
    pub(crate) fn program(&self) -> PathBuf {
        self.file(NODE.0, "bin").join(format!("node{}", std::env::consts::EXE_SUFFIX))
    }

    /// A file of an installed package.
    pub(crate) fn file(&self, package: &str, path: &str) -> PathBuf {
        self.dir.join("node_modules").join(package).join(path)
    }

    /// The package gets the program for this machine with a script of its own, which npm may have been told not to run.
    fn check_node(&self) -> Result<()> {
        let version = Command::new(self.program()).arg("--version").output();
        let runs = version.is_ok_and(|output| output.status.success());
        ensure!(
            runs,
            "npm's package `node` has brought no program for this machine; if npm is configured with ignore-scripts, \
             allow the package's script, then run the same command again"
        );
        Ok(())
    }
}

fn manifest(packages: &[(&str, &str)]) -> String {
    let packages = packages.iter().chain([&NODE]);
    let dependencies: Map<String, Value> =
        packages.map(|(name, version)| ((*name).to_owned(), json!(version))).collect();
    // npm asks to be told whose scripts may run; this one fetches the program for the machine.
    let scripts = json!({format!("{}@{}", NODE.0, NODE.1): true});
    let manifest =
        json!({"private": true, "type": "module", "dependencies": dependencies, "allowScripts": scripts});
    format!("{manifest:#}\n")
}

fn npm(dir: &Path) -> Result<()> {
    let program = if cfg!(windows) { "npm.cmd" } else { "npm" };
    let mut command = Command::new(program);
    command.args(["install", "--no-audit", "--no-fund"]).current_dir(dir);
    child::section(&format!("{}   (in {})", child::display(&command), dir.display()));
    let status = match command.status() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => bail!(
            "there is no `{program}`; install Node.js with npm, any version that is maintained (Debian: apt-get install \
             npm), and run the same command again"
        ),
        status => status.with_context(|| format!("could not start `{program}`"))?,
    };
    ensure!(
        status.success(),
        "npm could not install the packages ({status}); check that it reaches its registry (`npm ping`), then run the \
         same command again"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifest_pins_what_is_asked_for_and_a_node() {
        let manifest: Value =
            serde_json::from_str(&manifest(&[("@scope/package", "1.2.3-alpha.4")])).unwrap();
        assert_eq!(manifest["dependencies"], json!({"@scope/package": "1.2.3-alpha.4", "node": NODE.1}));
    }

    #[test]
    fn what_is_there_is_not_installed_again() {
        let dir = tempfile::tempdir().unwrap();
        let wanted = [("package", "1.0.0")];
        fs::write(dir.path().join(STAMP), manifest(&wanted)).unwrap();
        install(dir.path(), &wanted).unwrap();
        assert!(!dir.path().join("package.json").exists());
    }
}
