//! The suite itself: installed, and run against a server.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use super::requirements::Requirements;
use crate::{child, npm};

const PACKAGE: &str = "@modelcontextprotocol/conformance";
const VERSION: &str = "0.2.0-alpha.12";

/// The installed suite.
pub(crate) struct Suite {
    dir: PathBuf,
    packages: npm::Packages,
}

/// What a run of the suite has left.
pub(crate) struct Ran {
    /// The scenarios that were run.
    pub(crate) scenarios: Vec<String>,
    /// The folder with a result for each.
    pub(crate) dir: PathBuf,
    /// What the suite said meanwhile.
    pub(crate) log: PathBuf,
}

impl Suite {
    pub(crate) fn install(dir: &Path) -> Result<Suite> {
        Ok(Suite { dir: dir.to_owned(), packages: npm::install(dir, &[(PACKAGE, VERSION)])? })
    }

    pub(crate) fn requirements(&self, revision: &'static str) -> Result<Requirements> {
        let file = self.packages.file(PACKAGE, &format!("requirements/{revision}.yaml"));
        let text = fs::read_to_string(&file).with_context(|| format!("could not read {}", file.display()))?;
        Requirements::parse(revision, &text)
    }

    /// Runs everything that a revision lists.
    pub(crate) fn run(&self, set: &Requirements, url: &str) -> Result<Ran> {
        let scenarios = set.names().map(str::to_owned).collect();
        self.start(set.revision, url, &["--requirements", set.revision], scenarios)
    }

    /// Runs one scenario over the revision's wire.
    pub(crate) fn run_one(&self, set: &Requirements, scenario: &str, url: &str) -> Result<Ran> {
        let selection = ["--scenario", scenario, "--spec-version", set.revision, "--force"];
        self.start(set.revision, url, &selection, vec![scenario.to_owned()])
    }

    /// The suite's exit status says less than its results, which alone are judged.
    fn start(&self, revision: &str, url: &str, selection: &[&str], scenarios: Vec<String>) -> Result<Ran> {
        let dir = self.dir.join(revision);
        if dir.exists() {
            fs::remove_dir_all(&dir).with_context(|| format!("could not remove {}", dir.display()))?;
        }
        fs::create_dir_all(&dir).with_context(|| format!("could not create {}", dir.display()))?;
        let log = dir.join("suite.log");
        let output = File::create(&log).with_context(|| format!("could not write {}", log.display()))?;
        let mut command = self.packages.node(&self.packages.file(PACKAGE, "dist/index.js"));
        command.args(["server", "--url", url]).args(selection).arg("-o").arg(&dir);
        command.stdout(output.try_clone()?).stderr(output);
        child::section(&format!("running the suite for {revision}   (log: {})", log.display()));
        child::status(&mut command)?;
        Ok(Ran { scenarios, dir, log })
    }
}
