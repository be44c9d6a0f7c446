//! The two ways to serve: over HTTP, and over standard input and output.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use auth::{ClientEntry, KeyStore, Principal};
use mcp_protocol::jsonrpsee::core::middleware::RpcServiceBuilder;
use mcp_protocol::wire::Icon;
use mcp_protocol::{CacheHints, GuardLayer, Limits, Server, ServerInfo, SessionLimits};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;

use crate::app::{App, Sharing};
use crate::recheck::{OpenedWith, RecheckLayer};
use crate::resources::Library;
use crate::settings::Settings;
use crate::tasks::JobTasks;
use crate::{guard, http, prompts, tools};

const INSTRUCTIONS: &str = "Makes and changes pictures through ComfyUI. A call that takes long answers with a job's id: \
    go on with wait_for_job. Pictures are artifacts: give their uri as `image` to work on them.";

/// A picture of hills and a sun.
const ICON: &str = "data:image/svg+xml,%3Csvg%20xmlns='http://www.w3.org/2000/svg'%20viewBox='0%200%2016%2016'%3E\
    %3Crect%20width='16'%20height='16'%20rx='3'%20fill='%23235'/%3E\
    %3Cpath%20d='M2%2013l4-6%203%204%202-2%203%204zM12%204a1%201%200%201%200%20.1%200'%20fill='%23fc5'/%3E%3C/svg%3E";

/// How long open connections may take to end after a stop is asked.
const DRAIN: Duration = Duration::from_secs(10);

/// Serves over HTTP until SIGTERM or SIGINT; a second signal ends the process at once.
pub async fn http(settings: Settings) -> anyhow::Result<()> {
    // First what fails most often: nothing has been opened yet, and no job taken up.
    let mut signals = StopSignals::listen()?;
    let listener = bind(&settings).await?;
    let address = listener.local_addr().context("the listening address is not known")?;
    let keys = read_keys(&settings)?;
    warn_if_open(&settings, address);
    let mut running = App::start(settings, Sharing::Exclusive).await?;
    let app = Arc::clone(&running.app);
    app.listens_on(format!("http://{address}"));
    take_over_keys(&app, keys);
    let server = server(&app)?;
    let router = http::router(&app, server.clone());
    tracing::info!("listening on http://{address}/mcp");
    let stopping = app.stopping.clone();
    let until = {
        let server = server.clone();
        async move {
            stopping.cancelled().await;
            // Streams that stay open for good would hold up the end of the connections.
            server.close_streams();
        }
    };
    let mut serving = tokio::spawn(mcp_protocol::http::serve(listener, router, until));
    let ended = tokio::select! {
        name = signals.next() => {
            tracing::info!("{name} received, stopping");
            Ok(())
        }
        ended = &mut serving => match ended {
            Ok(Ok(())) => Err(stopped_by_itself()),
            Ok(Err(error)) => Err(error).context("the HTTP server failed"),
            Err(error) => Err(error).context("the HTTP server panicked"),
        },
        () = running.workers_ended() => Err(anyhow::anyhow!("the workers of the queue ended")),
    };
    exit_on_another_signal(signals);
    app.stopping.cancel();
    let closed = async {
        if !serving.is_finished() {
            _ = (&mut serving).await;
        }
        server.connections_closed().await;
    };
    if tokio::time::timeout(DRAIN, closed).await.is_err() {
        tracing::warn!("some connections did not end in time; they are closed");
        serving.abort();
    }
    running.stop().await;
    tracing::info!("stopped");
    ended
}

/// Serves one client over standard input and output, until the input ends or a signal comes.
pub async fn stdio(settings: Settings) -> anyhow::Result<()> {
    let mut signals = StopSignals::listen()?;
    let keys = read_keys(&settings)?;
    let running = App::start(settings, Sharing::Shared).await?;
    let app = Arc::clone(&running.app);
    take_over_keys(&app, keys);
    let principal = match stdio_principal(&app).await {
        Ok(principal) => principal,
        Err(refused) => {
            // The workers may have taken up a job already.
            running.stop().await;
            return Err(refused);
        }
    };
    let server = server(&app)?.with_extension(principal);
    let server = match stdio_key(&app) {
        Some(key) => server.with_extension(OpenedWith(key)),
        None => server,
    };
    let serving = server.serve_stdio(tokio::io::stdin(), tokio::io::stdout());
    tokio::pin!(serving);
    let ended = tokio::select! {
        ended = &mut serving => ended.context("standard input or output failed"),
        () = app.stopping.cancelled() => Err(stopped_by_itself()),
        name = signals.next() => {
            // Before the calls are dropped: a job whose call ends because the server stops is not abandoned.
            app.stopping.cancel();
            tracing::info!("{name} received, stopping");
            Ok(())
        }
    };
    exit_on_another_signal(signals);
    running.stop().await;
    ended
}

/// For an end that no signal asked for, such as keys that can't be taken over.
fn stopped_by_itself() -> anyhow::Error {
    anyhow::anyhow!("the server stopped by itself; its log says why")
}

/// Whoever doesn't want to wait sends the signal again.
fn exit_on_another_signal(mut signals: StopSignals) {
    tokio::spawn(async move {
        let name = signals.next().await;
        tracing::warn!(
            "{name} received again; the process ends now, and running jobs are found again at the start"
        );
        std::process::exit(130);
    });
}

/// The MCP server with all that it offers, behind the guard.
pub fn server(app: &Arc<App>) -> anyhow::Result<Server> {
    let guarded = Arc::clone(app);
    let guard = GuardLayer::new(move |request| guard::check_request(&guarded, request));
    let builder = Server::builder(about())
        .session_store(app.storage.sessions())
        .limits(limits(&app.settings))
        .notifier(app.updates.notifier().clone())
        .resources(Library(Arc::clone(app)), CacheHints::NONE)
        .tasks(Arc::new(JobTasks(Arc::clone(app))));
    let builder = match &app.settings.request_state_key {
        Some(key) => builder.state_key(Sha256::digest(key.expose_secret()).into()),
        None => builder,
    };
    let builder = prompts::add_all(builder, app);
    let (builder, manifest) = tools::add_all(builder, app);
    manifest.fill(builder.descriptions());
    let layers = RpcServiceBuilder::new().layer(RecheckLayer(Arc::clone(app))).layer(guard);
    let server = builder.layers(layers).build()?;
    tools::start_own(app, &server);
    Ok(server)
}

fn about() -> ServerInfo {
    ServerInfo {
        name: "comfyui-mcp-server".into(),
        title: Some("ComfyUI".into()),
        version: env!("CARGO_PKG_VERSION").into(),
        instructions: Some(INSTRUCTIONS.into()),
        description: Some("Makes and changes pictures with the models and workflows of a ComfyUI".into()),
        website_url: None,
        icons: vec![Icon {
            src: ICON.into(),
            mime_type: Some("image/svg+xml".into()),
            sizes: vec!["any".into()],
            theme: None,
        }],
    }
}

fn limits(settings: &Settings) -> Limits {
    let sessions = SessionLimits {
        max_sessions: settings.max_sessions,
        max_per_client: settings.max_sessions_per_client,
        ..SessionLimits::default()
    };
    Limits { max_message_bytes: settings.max_body_bytes, sessions, ..Limits::default() }
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

/// The clients of the file. A file that is not there has none, so that deleting it takes its keys away.
pub fn read_keys(settings: &Settings) -> anyhow::Result<Vec<ClientEntry>> {
    let path = &settings.auth_config_path;
    if !settings.enable_auth {
        return Ok(Vec::new());
    }
    if path.exists() {
        return Ok(auth::config_file::read(path)?);
    }
    if *path != Settings::default().auth_config_path {
        bail!("auth_config_path names {}, which does not exist", path.display());
    }
    tracing::info!("there is no {}; keys made with `mcp-server keys create` are good", path.display());
    Ok(Vec::new())
}

/// Hashing the keys takes its time, and the server answers meanwhile.
fn take_over_keys(app: &Arc<App>, entries: Vec<ClientEntry>) {
    if !app.settings.enable_auth {
        return;
    }
    let loading = app.authenticator.load_config(entries, jiff::Timestamp::now());
    let (stopping, store) = (app.stopping.clone(), app.storage.keys());
    tokio::spawn(async move {
        match loading.await {
            Ok(keys) => {
                tracing::info!(keys, "the keys of the file are loaded");
                if keys == 0 && nobody_has_a_key(&store).await {
                    tracing::warn!(
                        "no key is good, so nobody gets in; make one with `mcp-server keys create NAME`"
                    );
                }
            }
            Err(error) => {
                let error = anyhow::Error::from(error);
                tracing::error!(
                    error = format!("{error:#}"),
                    "the keys of the file can't be taken over; stopping"
                );
                // Keys that were taken out of the file would be good on.
                stopping.cancel();
            }
        }
    });
}

async fn nobody_has_a_key(store: &Arc<dyn KeyStore>) -> bool {
    store.list().await.is_ok_and(|keys| keys.iter().all(|key| key.revoked_at.is_some()))
}

/// On stdio the key comes from the environment: whoever starts the process is its only client.
async fn stdio_principal(app: &App) -> anyhow::Result<Arc<Principal>> {
    if !app.settings.enable_auth {
        return Ok(Arc::new(Principal::local()));
    }
    let key = stdio_key(app)
        .context("enable_auth is set, so the client's key is needed; give it in MCP_API_KEY")?;
    guard::verify(app, key.expose_secret()).await.context("the key in MCP_API_KEY is refused")
}

fn stdio_key(app: &App) -> Option<SecretString> {
    std::env::var("MCP_API_KEY").ok().filter(|_| app.settings.enable_auth).map(SecretString::from)
}

/// The signals that ask the process to stop: heard from when this is made, and not first when it is waited for.
struct StopSignals {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl StopSignals {
    fn listen() -> anyhow::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            terminate: signal(SignalKind::terminate()).context("SIGTERM can't be waited for")?,
            interrupt: signal(SignalKind::interrupt()).context("SIGINT can't be waited for")?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

#[cfg(not(unix))]
impl StopSignals {
    #[expect(clippy::unnecessary_wraps, reason = "it can fail on Unix")]
    fn listen() -> anyhow::Result<Self> {
        Ok(Self {})
    }

    async fn next(&mut self) -> &'static str {
        if let Err(error) = tokio::signal::ctrl_c().await {
            tracing::error!(%error, "Ctrl-C can't be waited for");
            std::future::pending::<()>().await;
        }
        "Ctrl-C"
    }
}
