//! The peer against servers that misbehave, over real sockets and pipes.

mod fake;
mod over_http;
mod over_stream;
mod own_server;

use super::{CallOptions, Peer};

/// A call has to be able to run in a task of its own; that it can is checked by the compiler.
#[expect(dead_code, reason = "never run")]
fn calls_can_be_spawned(peer: &'static Peer) {
    tokio::spawn(peer.call_tool("x", serde_json::Value::Null, CallOptions::default()));
    tokio::spawn(peer.list_tools());
}
