//! What the gateway adds: `cargo xtask bench overhead`. A release build, the sandbox with 1.0 s of sampling.
#![expect(clippy::print_stdout, reason = "a command-line tool talks on stdout")]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use tests::client::{Client, http};
use tests::figures::{Figure, Limit, close, median};
use tests::gateway::{Gateway, Setup};
use tests::raw::Raw;
use tests::wait::{LONG, until};

const SAMPLING_SECONDS: f64 = 1.0;
const STARTS: usize = 5;
const GENERATIONS: usize = 20;
const STATUS_CALLS: usize = 1000;

/// Memory that has not fallen for so long falls no more.
const SETTLED: Duration = Duration::from_secs(3);

/// What the figures are held to.
const STARTUP_MS: f64 = 100.0;
const GENERATION_S: f64 = 1.05;
const STATUS_MS: f64 = 1.0;
const MEMORY_MB: f64 = 30.0;
const TOOL_LIST_BYTES: f64 = 10_000.0;

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<ExitCode> {
    if cfg!(debug_assertions) {
        bail!("these figures say something of a release build alone: cargo xtask bench overhead");
    }
    let mut rows = vec![row("start to listening, median of 5", startup().await?, STARTUP_MS, "ms")];
    let gateway = Setup::sandbox(SAMPLING_SECONDS)?.start().await?;
    let client = gateway.client().await?;
    rows.push(row("memory after the start", memory(&gateway)?, MEMORY_MB, "MB"));
    rows.push(row("tools/list", tool_list(&gateway).await?, TOOL_LIST_BYTES, "bytes"));
    let id = generate(&client).await?.0;
    rows.push(row("generate_image 512x512, median of 20", generations(&client).await?, GENERATION_S, "s"));
    rows.push(row("get_job_status, idle, median of 1000", statuses(&gateway, &id).await?, STATUS_MS, "ms"));
    rows.push(row(
        "get_job_status, a job runs",
        statuses_while_busy(&gateway, &client).await?,
        STATUS_MS,
        "ms",
    ));
    rows.push(row("memory when idle again", idle_memory(&gateway, &client).await?, MEMORY_MB, "MB"));
    gateway.terminate().await?;
    let (table, code) = close(&rows);
    println!("\n{table}");
    Ok(code)
}

fn row(what: &str, value: f64, limit: f64, unit: &'static str) -> Figure {
    println!("{what}: {value:.3} {unit}");
    Figure { what: what.to_owned(), value, limit: Limit::AtMost(limit), unit }
}

/// Of the whole process, without a ComfyUI and with nothing in its folder.
async fn startup() -> Result<f64> {
    let mut times = Vec::new();
    for _ in 0..STARTS {
        let gateway = Setup::comfyui("http://127.0.0.1:9")?.start().await?;
        times.push(gateway.startup.as_secs_f64() * 1000.0);
        gateway.kill().await?;
    }
    Ok(median(times))
}

/// One call from its request to its answer; its job's id, and the seconds.
async fn generate(client: &Client) -> Result<(String, f64)> {
    let started = Instant::now();
    let arguments = json!({"prompt": "a lighthouse at dusk", "width": 512, "height": 512});
    let reply = client.finish("generate_image", arguments).await?;
    Ok((reply.job()?.id, started.elapsed().as_secs_f64()))
}

async fn generations(client: &Client) -> Result<f64> {
    let mut times = Vec::new();
    for _ in 0..GENERATIONS {
        times.push(generate(client).await?.1);
    }
    let slowest = times.iter().copied().fold(0.0, f64::max);
    println!("  slowest of {GENERATIONS}: {slowest:.3} s");
    Ok(median(times))
}

/// Calls over one connection that is kept open, from the first byte sent to the last byte read.
async fn statuses(gateway: &Gateway, id: &str) -> Result<f64> {
    let http = http()?;
    let body = status_request(id).to_string();
    let mut times = Vec::new();
    for _ in 0..STATUS_CALLS {
        let started = Instant::now();
        let request = http
            .post(gateway.mcp_url())
            .header("Content-Type", "application/json")
            .header("Accept", "application/json, text/event-stream")
            .header("MCP-Protocol-Version", "2026-07-28")
            .header("Mcp-Method", "tools/call")
            .header("Mcp-Name", "get_job_status")
            .body(body.clone());
        let answer = request.send().await?;
        let status = answer.status();
        let text = answer.text().await?;
        times.push(started.elapsed().as_secs_f64() * 1000.0);
        ensure!(status == 200 && text.contains(id) && !text.contains("\"isError\":true"), "{status}: {text}");
    }
    times.sort_by(f64::total_cmp);
    println!("  99 of 100 within {:.3} ms", times[times.len() * 99 / 100]);
    Ok(median(times))
}

fn status_request(id: &str) -> Value {
    json!({
        "jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": {
            "name": "get_job_status", "arguments": {"job_id": id},
            "_meta": {
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientCapabilities": {},
            },
        },
    })
}

/// Jobs enough to last for all the calls; that one runs all the time is checked at the end.
async fn statuses_while_busy(gateway: &Gateway, client: &Client) -> Result<f64> {
    let mut ids = Vec::new();
    for _ in 0..6 {
        let arguments = json!({"prompt": "busy", "width": 512, "height": 512});
        ids.push(client.start("generate_image", arguments).await?.id);
    }
    client.until_sampling(&ids[0]).await?;
    let median = statuses(gateway, &ids[0]).await?;
    let last = client.status(&ids[ids.len() - 1]).await?;
    ensure!(!last.state.is_terminal(), "the jobs were over before the calls were");
    for id in ids {
        client.succeeded(&id).await?;
    }
    Ok(median)
}

async fn tool_list(gateway: &Gateway) -> Result<f64> {
    let answer = Raw::new(&gateway.mcp_url())?.modern("tools/list", json!({})).await?;
    Ok(answer.response()?.to_string().len() as f64)
}

/// The resident memory of the server's process.
fn memory(gateway: &Gateway) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", gateway.id()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kilobytes: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kilobytes * 1024.0 / 1e6)
}

/// When nothing is left to do, and the figure no longer falls.
async fn idle_memory(gateway: &Gateway, client: &Client) -> Result<f64> {
    until("the queue to be empty", LONG, async || {
        let status = client.call("get_queue_status", json!({})).await?;
        let status = status.structured()?;
        Ok((status["running"] == 0 && status["queued"] == 0).then_some(()))
    })
    .await?;
    let mut same_since = (memory(gateway)?, Instant::now());
    loop {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let now = memory(gateway)?;
        if now < same_since.0 {
            same_since = (now, Instant::now());
        } else if same_since.1.elapsed() > SETTLED {
            return Ok(now);
        }
    }
}
