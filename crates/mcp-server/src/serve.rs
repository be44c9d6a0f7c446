//! The two ways to serve: over HTTP, and over standard input and output.

use std::future::IntoFuture as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use auth::Principal;
use axum::serve::ListenerExt as _;
use mcp_protocol::jsonrpsee::core::middleware::RpcServiceBuilder;
use mcp_protocol::{GuardLayer, Limits, Server, ServerInfo};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::app::{App, Sharing};
use crate::settings::Settings;
use crate::{guard, http, tools};

const INSTRUCTIONS: &str = "Makes and changes pictures through ComfyUI. A call that takes long answers with a job's id: \
    go on with wait_for_job. Pictures are artifacts: give their uri as `image` to work on them.";

/// How long open connections may take to end after a stop is asked.
const DRAIN: Duration = Duration::from_secs(10);

/// Serves over HTTP until SIGTERM or SIGINT.
pub async fn http(settings: Settings) -> anyhow::Result<()> {
    // The port first: it is what fails most often, and nothing has been opened yet.
    let listener = bind(&settings).await?;
    let address = listener.local_addr().context("the listening address is not known")?;
    warn_if_open(&settings, address);
    let running = App::start(settings, Sharing::Exclusive).await?;
    let app = Arc::clone(&running.app);
    app.listens_on(format!("http://{address}"));
    load_keys(&app)?;
    let router = http::router(&app, server(&app)?);
    tracing::info!("listening on http://{address}/mcp");
    let listener = listener.tap_io(|stream| {
        // Without it a small answer waits for the client's acknowledgement of the one before.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY can't be set");
        }
    });
    let stopping = app.stopping.clone();
    let serving = axum::serve(listener, router).with_graceful_shutdown(stopping.clone().cancelled_owned());
    let mut serving = tokio::spawn(serving.into_future());
    tokio::select! {
        name = stop_signal() => tracing::info!("{} received, stopping", name?),
        ended = &mut serving => ended.context("the HTTP server panicked")?.context("the HTTP server failed")?,
    }
    stopping.cancel();
    if tokio::time::timeout(DRAIN, &mut serving).await.is_err() {
        tracing::warn!("some connections did not end in time; they are closed");
        serving.abort();
    }
    running.stop().await;
    tracing::info!("stopped");
    Ok(())
}

/// Serves one client over standard input and output, until the input ends or a signal comes.
pub async fn stdio(settings: Settings) -> anyhow::Result<()> {
    let running = App::start(settings, Sharing::Shared).await?;
    let app = Arc::clone(&running.app);
    load_keys(&app)?;
    let principal = stdio_principal(&app).await?;
    let server = server(&app)?.with_extension(principal);
    tokio::select! {
        ended = server.serve_stdio(tokio::io::stdin(), tokio::io::stdout()) => {
            ended.context("standard input or output failed")?;
        }
        name = stop_signal() => tracing::info!("{} received, stopping", name?),
    }
    running.stop().await;
    Ok(())
}

/// The MCP server with all tools, behind the guard.
pub fn server(app: &Arc<App>) -> anyhow::Result<Server> {
    let info = ServerInfo {
        name: "comfyui-mcp-server".into(),
        title: Some("ComfyUI".into()),
        version: env!("CARGO_PKG_VERSION").into(),
        instructions: Some(INSTRUCTIONS.into()),
    };
    let guarded = Arc::clone(app);
    let guard = GuardLayer::new(move |request| guard::check_call(&guarded, request));
    let limits = Limits { max_message_bytes: app.settings.max_body_bytes, ..Limits::default() };
    let builder = Server::builder(info).session_store(app.storage.sessions()).limits(limits);
    let (builder, manifest) = tools::add_all(builder, app);
    manifest.fill(builder.descriptions());
    Ok(builder.layers(RpcServiceBuilder::new().layer(guard)).build()?)
}

async fn bind(settings: &Settings) -> anyhow::Result<TcpListener> {
    let host = settings.mcp_server_host.trim_matches(['[', ']']);
    let port = settings.mcp_server_port;
    match TcpListener::bind((host, port)).await {
        Ok(listener) => Ok(listener),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => bail!(
            "port {port} on {host} is in use by another program; stop it, or choose another port with --port or \
             mcp_server_port"
        ),
        Err(error) => Err(error).with_context(|| {
            format!("{host} port {port} can't be listened on; check mcp_server_host and mcp_server_port")
        }),
    }
}

fn warn_if_open(settings: &Settings, address: SocketAddr) {
    if !settings.enable_auth && !address.ip().is_loopback() {
        tracing::warn!(
            "THIS SERVER IS OPEN: it listens on {address} and asks nobody for a key; whoever reaches it may use \
             ComfyUI and see all pictures. Set enable_auth, or listen on 127.0.0.1"
        );
    }
}

/// Takes over the keys of the file. Hashing them takes its time, and the server answers meanwhile.
fn load_keys(app: &Arc<App>) -> anyhow::Result<()> {
    if !app.settings.enable_auth {
        return Ok(());
    }
    let path = &app.settings.auth_config_path;
    if !path.exists() {
        tracing::warn!(
            "there is no {}; only keys made with `mcp-server keys create` are good",
            path.display()
        );
        return Ok(());
    }
    let entries = auth::config_file::read(path)?;
    let loading = app.authenticator.load_config(entries, jiff::Timestamp::now());
    tokio::spawn(async move {
        match loading.await {
            Ok(keys) => tracing::info!(keys, "the keys of the file are loaded"),
            Err(error) => {
                let error = anyhow::Error::from(error);
                tracing::error!(error = format!("{error:#}"), "the keys of the file can't be taken over");
            }
        }
    });
    Ok(())
}

/// On stdio the key comes from the environment: whoever starts the process is its only client.
async fn stdio_principal(app: &App) -> anyhow::Result<Arc<Principal>> {
    if !app.settings.enable_auth {
        return Ok(Arc::new(Principal::local()));
    }
    let key = std::env::var("MCP_API_KEY")
        .context("enable_auth is set, so the client's key is needed; give it in MCP_API_KEY")?;
    guard::verify(app, &key).await.context("the key in MCP_API_KEY is refused")
}

async fn stop_signal() -> anyhow::Result<&'static str> {
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM can't be waited for")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT can't be waited for")?;
    Ok(tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    })
}
