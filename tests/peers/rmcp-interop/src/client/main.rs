//! The crate rmcp as a client of the gateway.
//!
//! `rmcp-client modern|legacy http URL`, or `rmcp-client modern|legacy stdio PROGRAM [ARGUMENT]…`.

mod cases;
mod report;

use rmcp::model::{ProgressNotificationParam, ProtocolVersion, ResourceUpdatedNotificationParam};
use rmcp::service::{ClientLifecycleMode, NotificationContext, RunningService, serve_client_with_lifecycle};
use rmcp::transport::{StreamableHttpClientTransport, TokioChildProcess};
use rmcp::{ClientHandler, RoleClient};
use tokio::process::Command;
use tokio::sync::mpsc;

use crate::report::Outcome;

/// The revisions that are spoken.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Modern,
    Legacy,
}

/// Passes on what the server tells by itself.
struct Heard {
    progress: mpsc::Sender<ProgressNotificationParam>,
    updates: mpsc::Sender<String>,
}

impl ClientHandler for Heard {
    async fn on_progress(&self, progress: ProgressNotificationParam, _: NotificationContext<RoleClient>) {
        // Nobody listens between the cases.
        _ = self.progress.try_send(progress);
    }

    async fn on_resource_updated(
        &self,
        update: ResourceUpdatedNotificationParam,
        _: NotificationContext<RoleClient>,
    ) {
        _ = self.updates.try_send(update.uri);
    }
}

type Client = RunningService<RoleClient, Heard>;

#[tokio::main]
async fn main() -> Outcome<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let usage = "usage: rmcp-client modern|legacy http URL | stdio PROGRAM [ARGUMENT]…";
    let (mode, transport) = match words.split_first().ok_or(usage)? {
        (&"modern", transport) => (Mode::Modern, transport),
        (&"legacy", transport) => (Mode::Legacy, transport),
        _ => return Err(usage.into()),
    };
    let (tell_progress, progress) = mpsc::channel(1000);
    let (tell_update, updates) = mpsc::channel(1000);
    let heard = Heard { progress: tell_progress, updates: tell_update };
    let client = match transport {
        ["http", url] => {
            let transport = StreamableHttpClientTransport::from_uri(*url);
            serve_client_with_lifecycle(heard, transport, lifecycle(mode)).await?
        }
        ["stdio", program, arguments @ ..] => {
            let mut command = Command::new(program);
            command.args(arguments);
            serve_client_with_lifecycle(heard, TokioChildProcess::new(command)?, lifecycle(mode)).await?
        }
        _ => return Err(usage.into()),
    };
    cases::Cases::new(client, mode, progress, updates).run().await
}

fn lifecycle(mode: Mode) -> ClientLifecycleMode {
    match mode {
        Mode::Modern => ClientLifecycleMode::Auto {
            preferred_versions: vec![ProtocolVersion::V_2026_07_28],
            legacy_version: None,
        },
        Mode::Legacy => ClientLifecycleMode::Initialize,
    }
}
