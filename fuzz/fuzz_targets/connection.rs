//! A connection: the first byte chooses what it is opened with, each line is a message.
#![no_main]

#[path = "../../crates/mcp-protocol/tests/protocol/checker.rs"]
mod checker;
#[path = "../../crates/mcp-protocol/tests/protocol/conversation.rs"]
mod conversation;
#[path = "../../crates/mcp-protocol/tests/protocol/server.rs"]
mod server;

use checker::Revision;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((first, rest)) = data.split_first() else { return };
    let legacy = match first % 3 {
        0 => None,
        1 => Some(Revision::June2025),
        _ => Some(Revision::November2025),
    };
    let lines: Vec<_> = rest.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    if let Err(finding) = conversation::converse(&lines, legacy) {
        panic!("{finding}");
    }
});
