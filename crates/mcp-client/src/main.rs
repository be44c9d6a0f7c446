//! The program `mcp-client`: images from ComfyUI on the command line, through the gateway.

mod cli;

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    // It fails only where a provider is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    cli::main(std::env::args_os(), |name| std::env::var(name).ok()).await
}
