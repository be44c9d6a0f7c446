//! Others' clients against the real server with its sandbox.

use std::ffi::OsString;
use std::path::Path;

use anyhow::Result;
use tests::gateway::{Gateway, Setup};
use tests::process;
use tokio::process::Command;

use crate::Options;
use crate::case::{CASES, Case, LIMIT, Run};

/// Long enough to be cancelled while it runs.
const SAMPLING_SECONDS: f64 = 3.0;

#[derive(Clone, Copy)]
enum Transport {
    Http,
    Stdio,
    WebSocket,
}

impl Transport {
    fn word(self) -> &'static str {
        match self {
            Transport::Http => "http",
            Transport::Stdio => "stdio",
            Transport::WebSocket => "ws",
        }
    }
}

const USUAL: [Transport; 2] = [Transport::Http, Transport::Stdio];
const ALL: [Transport; 3] = [Transport::Http, Transport::Stdio, Transport::WebSocket];

/// Every client, by its name in its registry, in the eras and over the transports that it has.
pub(crate) fn all(options: &Options) -> Vec<Run> {
    let python = |script| vec![options.python.clone().into(), options.python_scripts.join(script).into()];
    let node = |script| vec![options.node.clone().into(), options.node_scripts.join(script).into()];
    let rmcp = vec![program(&options.rmcp, "rmcp-client")];
    let (both, legacy) = (&["modern", "legacy"][..], &["legacy"][..]);
    let mut runs = Vec::new();
    runs.extend(ways("mcp", &python("mcp_client.py"), both, &USUAL));
    runs.extend(ways("fastmcp", &python("fastmcp_client.py"), both, &USUAL));
    runs.extend(ways("@modelcontextprotocol/sdk", &node("sdk_client.mjs"), legacy, &ALL));
    runs.extend(ways("@modelcontextprotocol/inspector", &node("inspector_client.mjs"), both, &USUAL));
    runs.extend(ways("rmcp", &rmcp, both, &USUAL));
    runs
}

pub(crate) fn program(folder: &Path, name: &str) -> OsString {
    folder.join(format!("{name}{}", std::env::consts::EXE_SUFFIX)).into()
}

fn ways(name: &str, program: &[OsString], eras: &[&'static str], transports: &[Transport]) -> Vec<Run> {
    let mut runs = Vec::new();
    for &era in eras {
        for &transport in transports {
            let name = format!("{name}, {era}, {}", transport.word());
            runs.push(Run::new(name, run(program.to_vec(), era, transport)));
        }
    }
    runs
}

/// Gives the client a server of its own, and takes what it tells.
async fn run(program: Vec<OsString>, era: &'static str, transport: Transport) -> Result<Vec<Case>> {
    let setup = Setup::sandbox(SAMPLING_SECONDS)?;
    let (gateway, target) = target(&setup, transport).await?;
    let mut command = Command::new(&program[0]);
    command.args(&program[1..]).args([era, transport.word()]).args(target).current_dir(setup.home());
    // Nothing of this machine's settings; a home that is gone afterwards.
    command.env_clear().env("HOME", setup.home()).env("PYTHONDONTWRITEBYTECODE", "1");
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    let ended = process::run(command, LIMIT).await?;
    let mut cases = ended.stdout.lines().map(Case::parse).collect::<Result<Vec<_>>>()?;
    for missing in
        CASES.into_iter().filter(|name| cases.iter().all(|case| case.name != *name)).collect::<Vec<_>>()
    {
        cases.push(Case::failed(missing, "the client ended before it came to this"));
    }
    if ended.code != Some(0) {
        let how = ended.code.map_or("was killed by a signal".to_owned(), |code| format!("ended with {code}"));
        cases.push(Case::failed("end", format!("the client {how}: {}", ended.stderr.trim())));
    }
    if let Some(gateway) = gateway {
        gateway.terminate().await?;
    }
    Ok(cases)
}

/// What the client is to connect to: a URL, or the command that it starts.
async fn target(setup: &Setup, transport: Transport) -> Result<(Option<Gateway>, Vec<OsString>)> {
    if let Transport::Stdio = transport {
        let command = setup.command(&["stdio"])?;
        let command = command.as_std();
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        return Ok((None, words.map(OsString::from).collect()));
    }
    let gateway = setup.start().await?;
    let url = match transport {
        Transport::WebSocket => format!("{}/ws", gateway.base().replacen("http", "ws", 1)),
        Transport::Http | Transport::Stdio => gateway.mcp_url(),
    };
    Ok((Some(gateway), vec![url.into()]))
}
