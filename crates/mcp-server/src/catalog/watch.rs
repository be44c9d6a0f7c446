//! Keeps the catalog as the folder is: told by the system where it can be, looked at each second elsewhere.

#[cfg(target_os = "linux")]
mod inotify;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::Live;

/// A change is read when nothing has followed it for this long: a file comes in several writes, and several files at once.
const QUIET: Duration = Duration::from_millis(100);
/// What goes on longer is read all the same.
const LONGEST: Duration = Duration::from_millis(700);
/// How often the folder is looked at where nobody tells.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Who tells of changes.
enum Watcher {
    #[cfg(target_os = "linux")]
    Inotify(inotify::Inotify),
    /// Nobody.
    Look,
}

/// Runs until `stop`.
pub(crate) async fn run(live: Arc<Live>, stop: CancellationToken) {
    let mut watcher = Watcher::new(live.folder());
    loop {
        // Before the look, so that nothing falls in between.
        watcher.arm();
        let reading = Arc::clone(&live);
        let read = tokio::task::spawn_blocking(move || reading.refresh());
        tokio::select! {
            () = stop.cancelled() => return,
            _ = read => {}
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = watcher.changed() => {}
        }
        let latest = Instant::now() + LONGEST;
        while Instant::now() < latest {
            tokio::select! {
                () = stop.cancelled() => return,
                () = watcher.changed() => {}
                () = sleep(QUIET) => break,
            }
        }
    }
}

impl Watcher {
    #[cfg(target_os = "linux")]
    fn new(folder: &Path) -> Self {
        match inotify::Inotify::new(folder) {
            Ok(inotify) => Self::Inotify(inotify),
            Err(error) => {
                tracing::warn!(%error, "the workflow folder can't be watched; it is looked at each second");
                Self::Look
            }
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn new(_: &Path) -> Self {
        Self::Look
    }

    /// Watches what there is to watch now: the folder may have come or gone.
    fn arm(&mut self) {
        match self {
            #[cfg(target_os = "linux")]
            Self::Inotify(inotify) => inotify.arm(),
            Self::Look => {}
        }
    }

    /// Returns when something may have changed. Cancel-safe.
    async fn changed(&mut self) {
        match self {
            #[cfg(target_os = "linux")]
            Self::Inotify(inotify) => inotify.changed().await,
            Self::Look => sleep(LOOK_EVERY).await,
        }
    }
}
