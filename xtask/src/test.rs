//! `cargo xtask test`: the whole test suite, with one closing line over all of its parts.

use std::{
    ffi::OsString,
    io::{BufRead, BufReader},
    process::{ExitCode, Stdio},
    time::Instant,
};

use anyhow::{Context, Result};

use crate::{child, root::Root};

/// Runs `cargo test` over every crate and feature, doctests included; `args` are passed on.
pub(crate) fn run(args: &[OsString]) -> Result<ExitCode> {
    let root = Root::find()?;
    let started = Instant::now();
    let mut command = child::cargo();
    command.arg("test").args(scope(args)).arg("--all-features").args(args).current_dir(&root.dir);
    child::section(&child::display(&command));

    let mut tests = command.stdout(Stdio::piped()).spawn().context("could not start cargo")?;
    let mut totals = Totals::default();
    let output = tests.stdout.take().context("cargo has no output")?;
    for line in BufReader::new(output).split(b'\n') {
        let line = line.context("could not read what cargo prints")?;
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        totals.add(&line);
    }
    let status = tests.wait().context("could not wait for cargo")?;

    child::section(&format!("the whole suite, in {:.0?}", started.elapsed()));
    println!("{} passed, {} failed, {} skipped", totals.passed, totals.failed, totals.ignored);
    Ok(child::exit_code(status))
}

/// The whole workspace, unless the arguments name packages themselves.
fn scope(args: &[OsString]) -> Option<&'static str> {
    let own = args
        .iter()
        .map_while(|arg| arg.to_str().filter(|arg| *arg != "--"))
        .any(|arg| arg == "-p" || arg.starts_with("--package"));
    (!own).then_some("--workspace")
}

/// The sums over all test binaries of one run.
#[derive(Debug, Default, PartialEq, Eq)]
struct Totals {
    passed: u64,
    failed: u64,
    ignored: u64,
}

impl Totals {
    /// Counts a binary's closing line (`test result: ok. 3 passed; 0 failed; …`); other lines count nothing.
    fn add(&mut self, line: &str) {
        let Some((_, counts)) = line.strip_prefix("test result: ").and_then(|rest| rest.split_once(". "))
        else {
            return;
        };
        for part in counts.split("; ") {
            match part.split_once(' ').map(|(n, what)| (n.parse::<u64>(), what)) {
                Some((Ok(n), "passed")) => self.passed += n,
                Some((Ok(n), "failed")) => self.failed += n,
                Some((Ok(n), "ignored")) => self.ignored += n,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_sum_the_closing_lines_and_nothing_else() {
        let mut totals = Totals::default();
        for line in [
            "running 3 tests",
            "test a ... ok",
            "test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s",
            "a line of a test: 7 passed; 7 failed",
            "test result: FAILED. 4 passed; 1 failed; 2 ignored; 0 measured; 9 filtered out; finished in 1.20s",
        ] {
            totals.add(line);
        }
        assert_eq!(totals, Totals { passed: 7, failed: 1, ignored: 2 });
    }

    #[test]
    fn named_packages_replace_the_whole_workspace() {
        let scope = |args: &[&str]| scope(&args.iter().map(OsString::from).collect::<Vec<_>>());
        assert_eq!(scope(&[]), Some("--workspace"));
        assert_eq!(scope(&["cancel"]), Some("--workspace"));
        assert_eq!(scope(&["-p", "auth"]), None);
        assert_eq!(scope(&["--package=auth"]), None);
        assert_eq!(scope(&["--", "-p"]), Some("--workspace"));
    }
}
