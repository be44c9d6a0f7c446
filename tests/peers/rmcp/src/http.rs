//! Streamable HTTP without sessions.

use std::sync::Arc;

use axum::Router;
use axum::serve::ListenerExt as _;
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use tokio::net::TcpListener;

use crate::Outcome;
use crate::echo::Echo;

/// How a call is answered that sends no notification.
pub(crate) enum Answers {
    Json,
    Stream,
}

/// Serves at `/mcp` until it is ended; the line with the address says that it listens.
pub(crate) async fn serve(address: &str, answers: Answers) -> Outcome {
    let mut config = StreamableHttpServerConfig::default();
    config.legacy_session_mode = false;
    config.json_response = matches!(answers, Answers::Json);
    let echo = Echo::new();
    let service = StreamableHttpService::new(
        move || Ok(echo.clone()),
        Arc::new(NeverSessionManager::default()),
        config,
    );
    let listener = TcpListener::bind(address).await?;
    println!("http://{}/mcp", listener.local_addr()?);
    let listener = listener.tap_io(|stream| _ = stream.set_nodelay(true));
    axum::serve(listener, Router::new().route_service("/mcp", service)).await?;
    Ok(())
}
