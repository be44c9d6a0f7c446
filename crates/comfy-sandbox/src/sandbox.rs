//! Starting and stopping.

use std::{io, net::SocketAddr, path::PathBuf};

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::{config::SandboxConfig, faults::Faults};

/// A running sandbox. Dropping it stops it too, without waiting for what is under way.
#[derive(Debug)]
pub struct Sandbox {
    address: SocketAddr,
    faults: Faults,
    stop: CancellationToken,
    server: JoinHandle<()>,
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
        let listen = |source| StartError::Listen { address: config.listen, source };
        let listener = tokio::net::TcpListener::bind(config.listen).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        let server = tokio::spawn(async move {
            let _ = axum::serve(listener, axum::Router::new()).with_graceful_shutdown(stopped).await;
        });
        Ok(Self { address, faults: Faults::new(), stop, server })
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
    pub async fn shutdown(mut self) {
        self.stop.cancel();
        let _ = (&mut self.server).await;
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
