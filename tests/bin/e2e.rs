//! The end-to-end suite as a program: `e2e --comfyui URL [FILTER]…`.
#![expect(clippy::print_stdout, reason = "a command-line tool talks on stdout")]

use std::io::Write as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::Parser;
use tests::e2e::{Engine, Target, cases, real_only};

/// No case may take longer, whatever the machine.
const LIMIT: Duration = Duration::from_mins(15);

/// Runs what a user does against a ComfyUI that runs already, and tells how each case went.
#[derive(Parser)]
struct Options {
    /// The ComfyUI.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8188")]
    comfyui: String,
    /// Only cases with one of these in their names.
    filters: Vec<String>,
}

struct Row {
    name: &'static str,
    outcome: Result<String>,
    took: Duration,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Options::parse()).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Options) -> Result<ExitCode> {
    let target = Target::connect(&options.comfyui).await?;
    let kind = if target.engine == Engine::Real { "ComfyUI" } else { "the sandbox" };
    println!("{kind} {} at {}\n", target.version, target.url);
    let wanted =
        |name: &str| options.filters.is_empty() || options.filters.iter().any(|part| name.contains(part));
    let real_only = (target.engine == Engine::Real).then(real_only).into_iter().flatten();
    let cases: Vec<_> = real_only.chain(cases()).filter(|case| wanted(case.name)).collect();
    if cases.is_empty() {
        bail!("no case has {:?} in its name", options.filters);
    }
    let mut rows = Vec::new();
    for (at, case) in cases.iter().enumerate() {
        print!("[{}/{}] {} … ", at + 1, cases.len(), case.name);
        std::io::stdout().flush()?;
        let started = Instant::now();
        let outcome = match tokio::time::timeout(LIMIT, case.run(&target)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(anyhow::anyhow!("not done within {LIMIT:.0?}")),
        };
        let took = started.elapsed();
        match &outcome {
            Ok(_) => println!("ok ({:.1} s)", took.as_secs_f64()),
            Err(error) => println!("FAILED ({:.1} s)\n{error:#}", took.as_secs_f64()),
        }
        rows.push(Row { name: case.name, outcome, took });
    }
    Ok(close(&rows))
}

/// The closing table.
fn close(rows: &[Row]) -> ExitCode {
    let width = rows.iter().map(|row| row.name.chars().count()).max().unwrap_or(0);
    println!("\n{:width$}  result  seconds  note", "case");
    for row in rows {
        let (result, note) = match &row.outcome {
            Ok(note) => ("ok", note.clone()),
            Err(error) => ("FAILED", error.to_string().lines().next().unwrap_or_default().to_owned()),
        };
        println!("{:width$}  {result:6}  {:7.1}  {note}", row.name, row.took.as_secs_f64());
    }
    let failed = rows.iter().filter(|row| row.outcome.is_err()).count();
    let seconds: f64 = rows.iter().map(|row| row.took.as_secs_f64()).sum();
    println!("\n{} passed, {failed} failed, in {seconds:.0} s", rows.len() - failed);
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
