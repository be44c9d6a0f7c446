//! Starting and stopping.

use std::{io, net::SocketAddr, path::PathBuf, time::Duration};

use axum::{Router, serve::ListenerExt};
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use url::Url;

use crate::{
    catalog::Catalog, config::SandboxConfig, data::DataDir, engine, faults::Faults, http, state::State,
};

/// The longest sampling time: what is longer can't be told from a sandbox that hangs.
const MAX_SAMPLING_TIME: Duration = Duration::from_hours(24);
/// How long requests that are under way may take after [`Sandbox::shutdown`].
const GRACE: Duration = Duration::from_millis(500);

/// A running sandbox. Dropping it stops it too, without waiting for what is under way.
#[derive(Debug)]
pub struct Sandbox {
    address: SocketAddr,
    faults: Faults,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// Why a sandbox could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address is taken or not one of this machine.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The data folder can't be made or written.
    #[error("cannot use the data folder {path}")]
    DataDir {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl Sandbox {
    /// Starts a sandbox on the current tokio runtime; it answers when this returns.
    pub async fn start(config: SandboxConfig) -> Result<Self, StartError> {
        let data = DataDir::open(config.data_dir.as_deref())
            .map_err(|(path, source)| StartError::DataDir { path, source })?;
        let listen = |source| StartError::Listen { address: config.listen, source };
        let listener = TcpListener::bind(config.listen).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let state = State::new(
            data,
            Catalog::new(config.models),
            config.sampling_time.min(MAX_SAMPLING_TIME),
            config.max_body_bytes,
        );
        let (faults, stop) = (state.faults.clone(), state.stop.clone());
        let tasks = TaskTracker::new();
        tasks.spawn(engine::work(state.clone()));
        tasks.spawn(serve(listener, http::router(state), stop.clone()));
        tasks.close();
        Ok(Self { address, faults, stop, tasks })
    }

    /// The base URL, such as `http://127.0.0.1:40123/`.
    pub fn url(&self) -> Url {
        let mut url = Url::parse("http://127.0.0.1/").expect("a constant URL");
        let _ = url.set_ip_host(self.address.ip());
        let _ = url.set_port(Some(self.address.port()));
        url
    }

    /// The switches for what may go wrong.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// Stops listening, closes every socket, ends the running prompt, and removes a data folder of its own.
    pub async fn shutdown(self) {
        self.stop.cancel();
        self.tasks.wait().await;
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Answers until the sandbox stops; requests that are under way then have a moment to end.
async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) {
    let listener = listener.tap_io(|stream| {
        // A frame of a websocket is not to wait for the next one.
        let _ = stream.set_nodelay(true);
    });
    let graceful = axum::serve(listener, router).with_graceful_shutdown(stop.clone().cancelled_owned());
    let overdue = async {
        stop.cancelled().await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        result = graceful.into_future() => {
            if let Err(error) = result {
                tracing::error!(error = %error, "the sandbox stopped listening");
            }
        }
        () = overdue => {}
    }
}
