//! Serving on a TCP listener as this endpoint needs it: small packets leave at once, who calls is known, and a
//! connection whose other end takes nothing is ended.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::extract::connect_info::Connected;
use axum::serve::IncomingStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep};

/// Serves until `until` is done, and then until the requests that are being answered have ended. Streams that stay
/// open end only with [`crate::Server::close_streams`], so `until` is a good place to call it.
///
/// The router may have any routes beside [`super::router`]; their handlers find [`PeerAddress`] behind
/// `axum::extract::ConnectInfo`.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    until: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let service = router.into_make_service_with_connect_info::<PeerAddress>();
    axum::serve(Listener::new(listener), service).with_graceful_shutdown(until).await
}

/// Where a connection comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddress(pub SocketAddr);

impl Connected<IncomingStream<'_, Listener>> for PeerAddress {
    fn connect_info(stream: IncomingStream<'_, Listener>) -> Self {
        PeerAddress(*stream.remote_addr())
    }
}

/// A listener for `axum::serve` whose connections have `TCP_NODELAY` set and end when the other end takes nothing of
/// what is written to it. Above their number, new ones wait until one ends.
#[derive(Debug)]
pub struct Listener {
    tcp: TcpListener,
    write_timeout: Duration,
    places: Arc<Semaphore>,
}

impl Listener {
    /// How long the other end may take nothing.
    pub const WRITE_TIMEOUT: Duration = Duration::from_mins(1);

    /// How many connections may be open at once.
    pub const MAX_CONNECTIONS: usize = 4096;

    /// With [`Listener::WRITE_TIMEOUT`] and [`Listener::MAX_CONNECTIONS`].
    pub fn new(tcp: TcpListener) -> Listener {
        let places = Arc::new(Semaphore::new(Self::MAX_CONNECTIONS));
        Listener { tcp, write_timeout: Self::WRITE_TIMEOUT, places }
    }

    /// With another number than [`Listener::MAX_CONNECTIONS`].
    pub fn max_connections(self, max_connections: usize) -> Listener {
        Listener { places: Arc::new(Semaphore::new(max_connections.min(Semaphore::MAX_PERMITS))), ..self }
    }

    /// With another time than [`Listener::WRITE_TIMEOUT`].
    pub fn write_timeout(self, write_timeout: Duration) -> Listener {
        Listener { write_timeout, ..self }
    }
}

impl axum::serve::Listener for Listener {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        // The semaphore is never closed; a connection without a place would still be one that is served.
        let place = Arc::clone(&self.places).acquire_owned().await.ok();
        let (stream, address) = axum::serve::Listener::accept(&mut self.tcp).await;
        // Without it a small answer waits for the acknowledgement of the one before.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY can't be set");
        }
        (Connection { stream, write_timeout: self.write_timeout, stalled: None, _place: place }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}

/// One connection. A write that gets nowhere for too long fails, which ends the connection and what it waited for.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    write_timeout: Duration,
    /// Runs while a write waits for room.
    stalled: Option<Pin<Box<Sleep>>>,
    _place: Option<OwnedSemaphorePermit>,
}

impl Connection {
    /// Passes on what a write has come to, unless it has waited for too long.
    fn limited(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let timeout = self.write_timeout;
        ready!(self.stalled.get_or_insert_with(|| Box::pin(sleep(timeout))).as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the other end takes nothing")))
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.limited(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.limited(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
