//! The end-to-end suite against the sandbox: the cases that `cargo xtask live` runs against a real ComfyUI.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures::{StreamExt as _, stream};
use tests::e2e::{Case, Engine, Pace, Target, cases};
use tests::{binaries, comfy};

/// The groups of cases, each of which is a test here.
const GROUPS: [&str; 10] =
    ["workflows", "tools", "pictures", "recorded", "saved", "control", "queue", "restart", "input", "cli"];
/// Cases of a group that run at once; they wait more than they work.
const AT_ONCE: usize = 4;

/// Each case has a sandbox of its own, so that none sees the prompts of another.
async fn run(case: Case) -> Result<()> {
    let sampling = match case.pace {
        Pace::Quick => Duration::from_millis(20),
        Pace::Slow => Duration::from_millis(1200),
        Pace::Long => Duration::from_secs(4),
    };
    let sandbox = comfy::sandbox(sampling).await?;
    let target = Target::connect(sandbox.url().as_str()).await?;
    ensure!(target.engine == Engine::Sandbox, "the sandbox doesn't say what it is");
    case.run(&target).await.with_context(|| case.name)?;
    sandbox.shutdown().await;
    Ok(())
}

/// All cases of a group; every failure is told.
async fn group(name: &str) -> Result<()> {
    // First of all: building takes long when it is needed, and would hold up what runs beside it.
    binaries::path("mcp-server")?;
    let cases = cases().into_iter().filter(|case| case.group() == name).map(run);
    let outcomes: Vec<_> = stream::iter(cases).buffer_unordered(AT_ONCE).collect().await;
    ensure!(!outcomes.is_empty(), "there is no group {name}");
    let failures: Vec<_> =
        outcomes.into_iter().filter_map(Result::err).map(|error| format!("{error:#}")).collect();
    ensure!(failures.is_empty(), "{} failed:\n{}", failures.len(), failures.join("\n\n"));
    Ok(())
}

#[test]
fn every_case_is_in_a_group_that_is_run() {
    for case in cases() {
        assert!(GROUPS.contains(&case.group()), "{case:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workflows() -> Result<()> {
    group("workflows").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tools() -> Result<()> {
    group("tools").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pictures() -> Result<()> {
    group("pictures").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recorded() -> Result<()> {
    group("recorded").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn saved() -> Result<()> {
    group("saved").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn control() -> Result<()> {
    group("control").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queue() -> Result<()> {
    group("queue").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restart() -> Result<()> {
    group("restart").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn input() -> Result<()> {
    group("input").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cli() -> Result<()> {
    group("cli").await
}
