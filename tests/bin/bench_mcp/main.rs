//! What a call costs, beside the same call on the crate rmcp: `cargo xtask bench mcp`.
//!
//! The same tool on both, both on axum with a tokio runtime of one worker on one core, in the same build profile and with
//! what each library does by default. The same bytes go to both. Rounds take turns, so that noise hits both sides.
#![expect(clippy::print_stdout, reason = "a command-line tool talks on stdout")]

mod load;
mod request;
mod server;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::Parser;
use tests::figures::{Figure, Limit, close, median};

use load::Load;
use request::{Answers, Case, Request, Whose};
use server::{Cores, Server};

/// Connections that are all in use all the time.
const CONNECTIONS: usize = 32;
const WARM_UP: Duration = Duration::from_secs(1);

/// What the figures are held to, as parts of rmcp's.
const CPU: f64 = 0.5;
const RATE: f64 = 2.0;

#[derive(Parser)]
struct Options {
    /// The example `echo` of mcp-protocol, of a release build.
    #[arg(long)]
    ours: PathBuf,
    /// The program of tests/peers/rmcp, of a release build.
    #[arg(long)]
    rmcp: PathBuf,
    /// Rounds; each measures every case on both sides.
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// Of one measurement.
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
}

/// What one measurement, or the medians of many, say.
#[derive(Clone, Copy, Debug)]
struct Sample {
    cpu_us: f64,
    rate: f64,
    /// The part of the time in which the server had its core.
    busy: f64,
}

/// A case on one side: who is asked, how, and what it took.
struct Side {
    server: Server,
    load: Load,
    samples: Vec<Sample>,
}

struct Pair {
    case: Case,
    ours: Side,
    rmcp: Side,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(&Options::parse()).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: &Options) -> Result<ExitCode> {
    if cfg!(debug_assertions) {
        bail!("these figures say something of a release build alone: cargo xtask bench mcp");
    }
    let cores = Cores::divide()?;
    println!("{cores}");
    let mut pairs = Vec::new();
    for case in Case::ALL {
        pairs.push(Pair::start(case, options, &cores).await?);
    }
    let time = Duration::from_secs_f64(options.seconds);
    for pair in &mut pairs {
        pair.ours.measure(WARM_UP).await?;
        pair.rmcp.measure(WARM_UP).await?;
    }
    for round in 1..=options.rounds {
        for pair in &mut pairs {
            let (ours, rmcp) = (pair.ours.measure(time).await?, pair.rmcp.measure(time).await?);
            println!("round {round}, {}: {:.1} / {:.1} us", pair.case.name, ours.cpu_us, rmcp.cpu_us);
            pair.ours.samples.push(ours);
            pair.rmcp.samples.push(rmcp);
        }
    }
    Ok(report(&pairs))
}

impl Pair {
    async fn start(case: Case, options: &Options, cores: &Cores) -> Result<Pair> {
        let ours = Server::start(&options.ours, &["--http", "127.0.0.1:0"], cores).await?;
        let mode = if case.answers == Answers::Json { "json" } else { "sse" };
        let rmcp = Server::start(&options.rmcp, &["http", "127.0.0.1:0", mode], cores).await?;
        let session = case.session(&ours).await?;
        let (to_ours, to_rmcp) =
            (case.request(Whose::Ours, session.as_deref()), case.request(Whose::Rmcp, None));
        Ok(Pair { case, ours: Side::open(ours, to_ours).await?, rmcp: Side::open(rmcp, to_rmcp).await? })
    }
}

impl Side {
    async fn open(server: Server, request: Request) -> Result<Side> {
        let load = Load::open(server.address, &Arc::new(request), CONNECTIONS).await?;
        Ok(Side { server, load, samples: Vec::new() })
    }

    async fn measure(&mut self, time: Duration) -> Result<Sample> {
        let before = self.server.cpu()?;
        let done = self.load.run(time).await?;
        let cpu = self.server.cpu()?.saturating_sub(before).as_secs_f64();
        let (calls, took) = (done.calls as f64, done.took.as_secs_f64());
        Ok(Sample { cpu_us: cpu * 1e6 / calls, rate: calls / took, busy: cpu / took })
    }

    fn median(&self) -> Sample {
        let of = |part: fn(&Sample) -> f64| median(self.samples.iter().map(part).collect());
        Sample { cpu_us: of(|s| s.cpu_us), rate: of(|s| s.rate), busy: of(|s| s.busy) }
    }
}

fn report(pairs: &[Pair]) -> ExitCode {
    println!("\n{CONNECTIONS} connections, medians of {} rounds\n", pairs[0].ours.samples.len());
    println!("{:<46}{:^32}  {:^32}  {:^13}", "", "mcp-protocol", "rmcp", "ours / rmcp");
    let columns = format!("{:>10} {:>12} {:>8}", "CPU/call", "calls/s", "core");
    println!("{:<46}{columns}  {columns}  {:>6} {:>6}", "", "CPU", "rate");
    let mut figures = Vec::new();
    for pair in pairs {
        let (ours, rmcp) = (pair.ours.median(), pair.rmcp.median());
        let (cpu, rate) = (ours.cpu_us / rmcp.cpu_us, ours.rate / rmcp.rate);
        let side = |s: Sample| format!("{:>7.1} us {:>12.0} {:>7.0}%", s.cpu_us, s.rate, s.busy * 100.0);
        println!("{:<46}{}  {}  {cpu:>6.2} {rate:>6.2}", pair.case.name, side(ours), side(rmcp));
        let figure = |what, value, limit| Figure { what, value, limit, unit: "" };
        if pair.case.held {
            let name = pair.case.name;
            figures.push(figure(format!("CPU per call of rmcp's, {name}"), cpu, Limit::AtMost(CPU)));
            if pair.case.answers == Answers::Json {
                figures.push(figure(
                    format!("calls per second of rmcp's, {name}"),
                    rate,
                    Limit::AtLeast(RATE),
                ));
            }
        }
    }
    let (table, code) = close(&figures);
    println!("\n{table}");
    code
}
