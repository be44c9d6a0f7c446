//! The program: from its arguments to its exit code.

mod args;
mod exit;
mod old_spelling;
mod progress;
mod report;
mod requests;
mod run;
mod save;

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

use clap::error::ErrorKind;

use args::Cli;
use exit::{CliError, Exit};

/// Runs the program. `environment` looks a variable up.
pub(crate) async fn main(
    arguments: impl IntoIterator<Item = OsString>,
    environment: impl Fn(&str) -> Option<String>,
) -> ExitCode {
    let cli = match Cli::from_arguments(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors, though they come as one.
            let _ = error.print();
            let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            return ExitCode::from(if asked { Exit::Ok } else { Exit::Usage }.code());
        }
    };
    match run::run(&cli, environment).await {
        Ok(()) => ExitCode::from(Exit::Ok.code()),
        Err(error) => {
            tell(&error, &cli);
            ExitCode::from(error.exit().code())
        }
    }
}

fn tell(error: &CliError, cli: &Cli) {
    if cli.output.json {
        let _ = report::print_json(&error.to_json());
    }
    let mut stderr = std::io::stderr().lock();
    let _ = writeln!(stderr, "error: {}", report::clean(&error.message()));
    for remedy in error.remedies() {
        let _ = writeln!(stderr, "  try: {}", report::clean(&remedy));
    }
}

#[cfg(test)]
mod tests;
