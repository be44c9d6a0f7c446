//! A POST: lines of `name: value` up to an empty one, then the body.
#![no_main]

#[path = "../../crates/mcp-protocol/tests/protocol/checker.rs"]
mod checker;
#[path = "../../crates/mcp-protocol/tests/protocol/conversation.rs"]
mod conversation;
#[path = "../../crates/mcp-protocol/tests/protocol/server.rs"]
mod server;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let (head, body) = split(data);
    let head = String::from_utf8_lossy(head);
    let headers: Vec<_> = head
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect();
    if let Err(finding) = conversation::exchange(&headers, body) {
        panic!("{finding}");
    }
});

fn split(data: &[u8]) -> (&[u8], &[u8]) {
    let end = data.windows(2).position(|pair| pair == b"\n\n");
    end.map_or((data, &[][..]), |end| (&data[..end], &data[end + 2..]))
}
