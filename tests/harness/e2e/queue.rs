//! The queue: its order, and how many run at once.

use anyhow::{Context as _, Result, ensure};
use futures::FutureExt as _;
use mcp_client::Job;
use serde_json::json;

use super::target::{small, with};
use super::{Case, Target};

pub(super) const CASES: &[Case] = &[
    Case::slow("queue/priorities", |target| priorities(target).boxed()),
    Case::quick("queue/max_concurrent_jobs", |target| concurrency(target).boxed()),
];

/// Higher goes first, and of the same priority the older one.
async fn priorities(target: &Target) -> Result<String> {
    let gateway = target.setup()?.flag("--max-concurrent-jobs", 1).start().await?;
    let client = gateway.client().await?;
    let first = client.start("generate_image", target.slow().await?).await?;
    client.until_sampling(&first.id).await?;
    let mut ids = Vec::new();
    for priority in [-100, 0, 50, 0, 100] {
        let job =
            client.start("generate_image", with(small("in turn"), json!({"priority": priority}))).await?;
        ensure!(job.priority == priority, "priority {priority} is told as {}", job.priority);
        ids.push(job.id);
    }
    let mut places = Vec::new();
    for id in &ids {
        places.push(client.status(id).await?.position);
    }
    ensure!(places == [Some(4), Some(2), Some(1), Some(3), Some(0)], "the places are {places:?}");
    // No need to wait for the slow one.
    client.call("cancel_job", json!({"job_id": first.id})).await?;
    let mut begun = Vec::new();
    for id in &ids {
        let job = client.succeeded(id).await?;
        begun.push((job.started_at.context("a job that is done was never begun")?, job.priority, id.clone()));
    }
    begun.sort();
    let order: Vec<_> = begun.iter().map(|(_, priority, _)| *priority).collect();
    ensure!(order == [100, 50, 0, 0, -100], "they ran in the order {order:?}");
    ensure!(
        begun[2].2 == ids[1] && begun[3].2 == ids[3],
        "of two with priority 0, the younger one ran first"
    );
    Ok("100, 50, 0, 0, -100".to_owned())
}

async fn concurrency(target: &Target) -> Result<String> {
    let gateway = target.setup()?.flag("--max-concurrent-jobs", 2).start().await?;
    let client = gateway.client().await?;
    let mut ids = Vec::new();
    for _ in 0..5 {
        let mut arguments = small("one of five");
        arguments["steps"] = 8.into();
        ids.push(client.start("generate_image", arguments).await?.id);
    }
    let mut jobs = Vec::new();
    for id in &ids {
        jobs.push(client.succeeded(id).await?);
    }
    let most = most_at_once(&jobs)?;
    ensure!(most == 2, "at most {most} ran at once, and max_concurrent_jobs is 2");
    Ok("2 of 5 at once".to_owned())
}

/// By their times of beginning and ending.
fn most_at_once(jobs: &[Job]) -> Result<i32> {
    let mut events = Vec::new();
    for job in jobs {
        events.push((job.started_at.context("never begun")?, 1));
        events.push((job.finished_at.context("never ended")?, -1));
    }
    // An end at the same millisecond as a beginning comes first.
    events.sort();
    let (mut now, mut most) = (0, 0);
    for (_, change) in events {
        now += change;
        most = most.max(now);
    }
    Ok(most)
}
