//! What ComfyUI's API does: the same cases against the sandbox, and against a real ComfyUI when COMFYUI_URL names one.

use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use futures::{StreamExt as _, stream};
use tests::comfy;
use tests::contract::{Case, cases};

/// Some cases need something to interrupt.
const SAMPLING: Duration = Duration::from_secs(1);
/// Cases that run at once; they wait more than they work.
const AT_ONCE: usize = 8;

async fn on_a_sandbox(case: Case) -> Result<()> {
    let sandbox = comfy::sandbox(SAMPLING).await?;
    case.check(&sandbox.url()).await.map_err(|reason| anyhow!("{}: {reason}", case.name))?;
    sandbox.shutdown().await;
    Ok(())
}

fn all_good(outcomes: Vec<Result<()>>) -> Result<()> {
    let failures: Vec<_> =
        outcomes.into_iter().filter_map(Result::err).map(|error| format!("{error:#}")).collect();
    ensure!(failures.is_empty(), "{} failed:\n{}", failures.len(), failures.join("\n\n"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sandbox_does_what_comfyui_does() -> Result<()> {
    tests::init();
    all_good(stream::iter(cases()).map(on_a_sandbox).buffer_unordered(AT_ONCE).collect().await)
}

/// One after the other: they share it.
#[tokio::test]
async fn a_real_comfyui_does_the_same() -> Result<()> {
    let Some(url) = std::env::var_os("COMFYUI_URL") else {
        println!("skipped: COMFYUI_URL names no ComfyUI to check");
        return Ok(());
    };
    tests::init();
    let url = url.to_string_lossy().parse()?;
    let mut outcomes = Vec::new();
    for case in cases() {
        let outcome = case.check(&url).await;
        outcomes.push(outcome.map_err(|reason| anyhow!("{}: {reason}", case.name)));
    }
    all_good(outcomes)
}
