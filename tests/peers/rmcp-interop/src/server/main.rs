//! A board with notes, on the crate rmcp: a server for our client. It speaks both eras.
//!
//! `rmcp-server http` serves on a free port and prints its URL; `rmcp-server stdio` serves its standard streams.

mod asking;
mod board;
mod notes;

use std::sync::Arc;

use axum::Router;
use rmcp::service::serve_server;
use rmcp::transport::stdio;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use tokio::net::TcpListener;

use crate::board::Board;
use crate::notes::Notes;

type Outcome = Result<(), Box<dyn std::error::Error>>;

#[tokio::main]
async fn main() -> Outcome {
    let transport = std::env::args().nth(1);
    match transport.as_deref() {
        Some("http") => serve_http().await,
        Some("stdio") => {
            serve_server(Notes::new(Arc::default()), stdio()).await?.waiting().await?;
            Ok(())
        }
        _ => Err("usage: rmcp-server http|stdio".into()),
    }
}

async fn serve_http() -> Outcome {
    let board: Arc<Board> = Arc::default();
    let service = StreamableHttpService::new(
        move || Ok(Notes::new(Arc::clone(&board))),
        Arc::new(LocalSessionManager::default()),
        StreamableHttpServerConfig::default(),
    );
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("http://{}/mcp", listener.local_addr()?);
    axum::serve(listener, Router::new().route_service("/mcp", service)).await?;
    Ok(())
}
