//! Connections that ask again as soon as they are answered. It does as little as it can: the server is to be the limit.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use futures::future::try_join_all;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::request::Request;

/// What a run has done.
pub(crate) struct Done {
    pub(crate) calls: u64,
    pub(crate) took: Duration,
}

/// Connections that stay open between runs.
pub(crate) struct Load {
    connections: Vec<Connection>,
}

impl Load {
    /// Each connection makes a first call, whose answer is looked at.
    pub(crate) async fn open(server: SocketAddr, request: &Arc<Request>, count: usize) -> Result<Load> {
        let open = (0..count).map(|_| Connection::open(server, Arc::clone(request)));
        Ok(Load { connections: try_join_all(open).await? })
    }

    /// Calls over all connections for so long.
    pub(crate) async fn run(&mut self, time: Duration) -> Result<Done> {
        let started = Instant::now();
        let end = started + time;
        let runs = self.connections.iter_mut().map(|connection| connection.call_until(end));
        let awake = tokio::spawn(stay_awake());
        let calls = try_join_all(runs).await;
        awake.abort();
        Ok(Done { calls: calls?.iter().sum(), took: started.elapsed() })
    }
}

/// Keeps this core from sleeping between answers: it is the server that would pay for waking it, a fifth of its time in a
/// virtual machine, and that says nothing of the server.
async fn stay_awake() {
    loop {
        tokio::task::yield_now().await;
    }
}

struct Connection {
    stream: TcpStream,
    request: Arc<Request>,
    answer: Vec<u8>,
    /// Of the answer that was checked; all others are as long.
    length: usize,
}

impl Connection {
    async fn open(server: SocketAddr, request: Arc<Request>) -> Result<Connection> {
        let stream = TcpStream::connect(server).await.context("could not connect")?;
        stream.set_nodelay(true)?;
        let mut connection = Connection { stream, request, answer: Vec::with_capacity(4096), length: 0 };
        connection.call().await?;
        connection.request.check(&connection.answer)?;
        connection.length = connection.answer.len();
        Ok(connection)
    }

    async fn call_until(&mut self, end: Instant) -> Result<u64> {
        let mut calls = 0;
        while Instant::now() < end {
            self.call().await?;
            let same = self.answer.len() == self.length;
            ensure!(same, "an answer differs: {}", String::from_utf8_lossy(&self.answer));
            calls += 1;
        }
        Ok(calls)
    }

    /// One call, up to the last byte of its answer.
    async fn call(&mut self) -> Result<()> {
        self.stream.write_all(&self.request.bytes).await?;
        self.answer.clear();
        loop {
            ensure!(
                self.stream.read_buf(&mut self.answer).await? > 0,
                "the server has closed the connection"
            );
            if is_whole(&self.answer)? {
                return Ok(());
            }
        }
    }
}

/// Whether the answer has ended: by its length, or by the last chunk.
fn is_whole(answer: &[u8]) -> Result<bool> {
    let Some(head) = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n") else { return Ok(false) };
    let (head, body) = answer.split_at(head + 4);
    ensure!(head.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(answer));
    let head = std::str::from_utf8(head)?;
    for line in head.lines() {
        let Some((name, value)) = line.split_once(':') else { continue };
        if name.eq_ignore_ascii_case("content-length") {
            return Ok(body.len() >= value.trim().parse()?);
        }
        if name.eq_ignore_ascii_case("transfer-encoding") {
            // Messages are JSON without line breaks, so nothing before the end looks like it.
            return Ok(body.ends_with(b"\r\n0\r\n\r\n"));
        }
    }
    bail!("an answer of unknown length: {head}")
}
