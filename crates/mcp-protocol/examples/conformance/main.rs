//! The fixtures of the MCP conformance suite: `cargo xtask conformance` runs it against them. The port is the first
//! argument; they are served on `http://127.0.0.1:PORT/mcp`.

mod asking;
mod changing;
mod content;
mod fixture;
mod prompts;
mod resources;
mod tasks;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use mcp_protocol::wire::CacheScope;
use mcp_protocol::{CacheHints, MemoryTasks, Notifier, Server, ServerInfo, TaskLimits, http};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let notifier = Notifier::new();
    let store = MemoryTasks::new(notifier.clone(), TaskLimits::default());
    let itself = Arc::new(OnceLock::new());
    let info =
        ServerInfo { name: "conformance".to_owned(), version: "1.0.0".to_owned(), ..ServerInfo::default() };
    let cache = CacheHints { ttl: Duration::from_mins(1), scope: CacheScope::Public };
    let mut builder = Server::builder(info)
        .notifier(notifier)
        .tasks(Arc::new(store.clone()))
        .resources(resources::Fixtures, cache);
    let tools = [content::tools(), asking::tools(), tasks::tools(&store), changing::tools(&itself)];
    for tool in tools.into_iter().flatten() {
        builder = builder.dyn_tool(tool);
    }
    for prompt in prompts::all() {
        builder = builder.prompt(prompt);
    }
    let server = builder.build()?;
    _ = itself.set(server.clone());

    let port: u16 = std::env::args().nth(1).as_deref().unwrap_or("9101").parse()?;
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    let config =
        http::HttpConfig { allowed_hosts: http::AllowedHosts::Loopback, ..http::HttpConfig::default() };
    http::serve(listener, http::router(server, config), std::future::pending()).await?;
    Ok(())
}
