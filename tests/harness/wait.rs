//! Waiting for a condition, with a limit that names what was waited for.

use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::{Instant, sleep};

/// How long anything may take that normally takes a moment; generous, because machines that test are busy.
pub const LONG: Duration = Duration::from_mins(1);
/// Between two looks at a condition that nobody announces.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Looks until `probe` gives something, at most `within`.
pub async fn until<T, F>(what: &str, within: Duration, mut probe: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<Option<T>>>,
{
    let end = Instant::now() + within;
    loop {
        if let Some(found) = probe().await? {
            return Ok(found);
        }
        if Instant::now() >= end {
            bail!("waited {within:.0?} in vain: {what}");
        }
        sleep(LOOK_AGAIN).await;
    }
}
