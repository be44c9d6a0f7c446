//! Watches one backend: says once when it is lost and when it is back, and keeps trying.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Backend, Health, describe, reason};

/// How often a backend that answers is asked again. A failing job asks sooner.
const WHILE_UP: Duration = Duration::from_secs(15);
/// The first wait after a failure; it doubles up to [`MAX_WAIT`].
const FIRST_WAIT: Duration = Duration::from_millis(250);
const MAX_WAIT: Duration = Duration::from_secs(5);

/// Runs until `stop`.
pub(super) async fn watch(backend: Arc<Backend>, stop: CancellationToken) {
    let mut wait = FIRST_WAIT;
    loop {
        let next = match contact(&backend).await {
            Ok(()) => {
                wait = FIRST_WAIT;
                WHILE_UP
            }
            Err(reason) => {
                report_down(&backend, reason);
                let now = wait;
                wait = (wait * 2).min(MAX_WAIT);
                now
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(next) => {}
            () = backend.check_now.notified() => {}
            () = backend.refresh_soon.notified() => {
                if let Err(error) = backend.refresh().await {
                    tracing::debug!(reason = describe(&error), "the list of nodes can't be asked anew");
                }
            }
        }
    }
}

/// Asks how it is; a backend that comes up is asked for its nodes before it gets a job.
async fn contact(backend: &Backend) -> Result<(), String> {
    let stats = backend.client.system_stats().await.map_err(|error| reason(&error))?;
    if matches!(backend.health(), Health::Up { .. }) {
        return Ok(());
    }
    // A restarted ComfyUI may have other nodes and models.
    backend.refresh().await.map_err(|error| reason(&error))?;
    let version = stats.system.comfyui_version.unwrap_or_else(|| "unknown".into());
    tracing::info!(comfyui.url = %backend.name, comfyui.version = %version, "ComfyUI is connected");
    backend.state.send_modify(|state| state.health = Health::Up { version });
    Ok(())
}

fn report_down(backend: &Backend, reason: String) {
    let known = matches!(backend.health(), Health::Down { .. });
    if !known {
        tracing::warn!(
            comfyui.url = %backend.name,
            reason = %reason,
            "ComfyUI can't be reached; start it or set comfyui_url; trying again until it answers"
        );
    }
    backend.state.send_modify(|state| state.health = Health::Down { reason });
}
