//! The stdio transport: one message a line, in both directions.

use tokio::io::{AsyncRead, AsyncWrite};

use crate::server::Server;

impl Server {
    /// Serves one client over a pair of streams until the reader ends. Only messages are written.
    pub async fn serve_stdio<R, W>(&self, _reader: R, _writer: W) -> std::io::Result<()>
    where
        R: AsyncRead + Unpin + Send,
        W: AsyncWrite + Unpin + Send + 'static,
    {
        Ok(())
    }
}
