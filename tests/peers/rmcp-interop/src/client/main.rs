//! The crate rmcp as a client of the gateway.
//!
//! `rmcp-client modern|legacy http URL`, or `rmcp-client modern|legacy stdio PROGRAM [ARGUMENT]…`.

mod cases;
mod report;
mod task;

use rmcp::model::{
    ClientCapabilities, ClientConfig, Implementation, ProgressNotificationParam, ProtocolVersion,
    ResourceUpdatedNotificationParam,
};
use rmcp::service::{ClientLifecycleMode, NotificationContext, RunningService, serve_client_with_lifecycle};
use rmcp::transport::{StreamableHttpClientTransport, TokioChildProcess};
use rmcp::{ClientHandler, RoleClient};
use tokio::process::Command;
use tokio::sync::mpsc;

use crate::cases::Cases;
use crate::report::Outcome;

const USAGE: &str = "usage: rmcp-client modern|legacy http URL | stdio PROGRAM [ARGUMENT]…";

/// The revisions that are spoken.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Modern,
    Legacy,
}

/// Passes on what the server tells by itself.
struct Heard {
    info: ClientConfig,
    progress: mpsc::Sender<ProgressNotificationParam>,
    updates: mpsc::Sender<String>,
}

/// Where it comes out.
struct Receivers {
    progress: mpsc::Receiver<ProgressNotificationParam>,
    updates: mpsc::Receiver<String>,
}

impl Heard {
    fn new(capabilities: ClientCapabilities) -> (Heard, Receivers) {
        let info = ClientConfig::new(capabilities, Implementation::new("interop", "1.0.0"));
        let (tell_progress, progress) = mpsc::channel(1000);
        let (tell_update, updates) = mpsc::channel(1000);
        (Heard { info, progress: tell_progress, updates: tell_update }, Receivers { progress, updates })
    }
}

impl ClientHandler for Heard {
    fn get_info(&self) -> ClientConfig {
        self.info.clone()
    }

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

/// On one thread: rmcp spawns a task for each notification, and these keep their order there alone.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (mode, transport) = match words.split_first() {
        Some((&"modern", transport)) => (Mode::Modern, transport),
        Some((&"legacy", transport)) => (Mode::Legacy, transport),
        _ => return Err(USAGE.into()),
    };
    let (heard, receivers) = Heard::new(ClientCapabilities::default());
    Cases::new(connect(heard, mode, transport).await?, mode, receivers).run().await?;
    if mode == Mode::Modern {
        // A client that says that it takes tasks gets them, so another one has to say so.
        let (heard, _) = Heard::new(ClientCapabilities::builder().enable_tasks().build());
        report::case("task", task::follow(connect(heard, mode, transport).await?)).await;
    }
    Ok(())
}

async fn connect(heard: Heard, mode: Mode, transport: &[&str]) -> Outcome<Client> {
    match transport {
        ["http", url] => {
            let transport = StreamableHttpClientTransport::from_uri(*url);
            Ok(serve_client_with_lifecycle(heard, transport, lifecycle(mode)).await?)
        }
        ["stdio", program, arguments @ ..] => {
            let mut command = Command::new(program);
            command.args(arguments);
            Ok(serve_client_with_lifecycle(heard, TokioChildProcess::new(command)?, lifecycle(mode)).await?)
        }
        _ => Err(USAGE.into()),
    }
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
