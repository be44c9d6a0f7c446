//! The echo server of `mcp-protocol`'s example, on the crate rmcp.
//!
//! `rmcp-echo http ADDRESS json` answers a call with JSON unless a notification comes first; `rmcp-echo http ADDRESS sse`
//! answers with a stream always. Both are stateless: no sessions.

mod echo;
mod http;

use std::process::ExitCode;

type Outcome = Result<(), Box<dyn std::error::Error>>;

const USAGE: &str = "usage: rmcp-echo http ADDRESS json|sse";

#[tokio::main]
async fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let outcome: Outcome = match words.as_slice() {
        ["http", address, "json"] => http::serve(address, http::Answers::Json).await,
        ["http", address, "sse"] => http::serve(address, http::Answers::Stream).await,
        _ => Err(USAGE.into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
