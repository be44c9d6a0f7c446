//! The peer against servers that misbehave, over real sockets and pipes.

mod asked;
mod fake;
mod hostile;
mod listening;
mod listening_legacy;
mod methods;
mod over_http;
mod over_stream;
mod over_ws;
mod own_fixtures;
mod own_server;
mod tasks;

use super::{CallOptions, Peer};

/// A call has to be able to run in a task of its own; that it can is checked by the compiler.
#[expect(dead_code, reason = "never run")]
fn calls_can_be_spawned(peer: &'static Peer) {
    tokio::spawn(peer.call_tool("x", serde_json::Value::Null, CallOptions::default()));
    tokio::spawn(peer.list_tools());
    tokio::spawn(peer.subscribe("x"));
    tokio::spawn(peer.wait_for_task("x"));
}
