//! Our client against others' servers. All of them have the same board with notes: see `tests/peers`.

mod notes;

use std::ffi::OsString;

use anyhow::{Context as _, Result};
use mcp_protocol::client::{HttpOptions, Peer, PeerOptions, ServerLog};
use mcp_protocol::wire::ProtocolVersion;
use tests::process::Process;
use tests::wait::LONG;
use tokio::process::Command;

use crate::Options;
use crate::case::{Case, Run};
use crate::clients::program;

/// How a server is opened.
#[derive(Clone)]
struct Way {
    command: Vec<OsString>,
    /// The newest revision that our client offers, and the one that has to come of it.
    offered: ProtocolVersion,
    expected: ProtocolVersion,
}

/// Every server in the eras that it has, over both transports.
pub(crate) fn all(options: &Options) -> Vec<Run> {
    let rmcp = vec![program(&options.rmcp, "rmcp-server")];
    let sdk = vec![options.node.clone().into(), options.node_scripts.join("sdk_server.mjs").into()];
    let (latest, legacy) = (ProtocolVersion::LATEST, ProtocolVersion::LATEST_LEGACY);
    let ways = [
        ("rmcp, modern", Way { command: rmcp.clone(), offered: latest, expected: latest }),
        ("rmcp, legacy", Way { command: rmcp, offered: legacy, expected: legacy }),
        // It knows nothing newer, and our client has to find that out.
        ("@modelcontextprotocol/sdk, legacy", Way { command: sdk, offered: latest, expected: legacy }),
    ];
    let mut runs = Vec::new();
    for (server, way) in ways {
        runs.push(Run::new(format!("ours to {server}, http"), over_http(way.clone())));
        runs.push(Run::new(format!("ours to {server}, stdio"), over_stdio(way)));
    }
    runs
}

impl Way {
    fn command(&self, transport: &str) -> Command {
        let mut command = Command::new(&self.command[0]);
        command.args(&self.command[1..]).arg(transport);
        command
    }

    fn options(&self) -> PeerOptions {
        PeerOptions {
            newest: self.offered,
            on_input: Some(notes::person()),
            tasks: true,
            ..PeerOptions::default()
        }
    }
}

async fn over_http(way: Way) -> Result<Vec<Case>> {
    let server = Process::start(way.command("http"))?;
    let url = server.stdout.wait_for("http://", LONG).await?;
    let options = HttpOptions { peer: way.options(), ..HttpOptions::default() };
    let peer = Peer::connect_http(&url, options).await.context("could not open the server")?;
    Ok(notes::cases(peer, way.expected).await)
}

async fn over_stdio(way: Way) -> Result<Vec<Case>> {
    let peer = Peer::spawn_stdio(way.command("stdio"), ServerLog::Keep, way.options()).await;
    Ok(notes::cases(peer.context("could not open the server")?, way.expected).await)
}
