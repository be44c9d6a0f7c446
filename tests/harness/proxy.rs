//! A TCP proxy that cuts the connections which run through it.

use std::net::SocketAddr;

use anyhow::Result;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Passes bytes on to one address, until told otherwise. Dropping it ends it.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    state: watch::Sender<State>,
    accepting: JoinHandle<()>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    open: Open,
    /// Counts the cuts; a connection ends when it changes.
    cuts: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    Yes,
    No,
}

impl Proxy {
    /// Listens on a free port in front of `to`.
    pub async fn start(to: SocketAddr) -> Result<Proxy> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (state, watched) = watch::channel(State { open: Open::Yes, cuts: 0 });
        let accepting = tokio::spawn(async move {
            while let Ok((inside, _)) = listener.accept().await {
                tokio::spawn(pass(inside, to, watched.clone()));
            }
        });
        Ok(Proxy { address, state, accepting })
    }

    /// The base URL of what is behind it.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Cuts all connections; new ones are passed on.
    pub fn cut(&self) {
        self.state.send_modify(|state| state.cuts += 1);
    }

    /// Cuts all connections, and closes new ones at once.
    pub fn close(&self) {
        self.state.send_modify(|state| {
            state.cuts += 1;
            state.open = Open::No;
        });
    }

    /// Passes new connections on again.
    pub fn open(&self) {
        self.state.send_modify(|state| state.open = Open::Yes);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn pass(mut inside: TcpStream, to: SocketAddr, mut state: watch::Receiver<State>) {
    let State { open, cuts } = *state.borrow();
    if open == Open::No {
        return;
    }
    let Ok(mut outside) = TcpStream::connect(to).await else { return };
    let _ = inside.set_nodelay(true);
    let _ = outside.set_nodelay(true);
    tokio::select! {
        _ = copy_bidirectional(&mut inside, &mut outside) => {}
        _ = state.wait_for(|state| state.cuts != cuts) => {}
    }
}
