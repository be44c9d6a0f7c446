//! The stdio transport: one message a line, in both directions.

use std::io;
use std::pin::pin;

use jsonrpsee::Extensions;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::sync::mpsc;

use crate::connection::{Connection, Outgoing};
use crate::error::{self, INVALID_REQUEST};
use crate::server::Server;

/// Lines on their way to the writer; above it, whoever writes waits.
const OUTGOING_LINES: usize = 64;

impl Server {
    /// Serves one client over a pair of streams until the reader ends, in both eras at once. Nothing but messages is
    /// written. Requests run side by side, as many as [`crate::Limits::max_in_flight_per_owner`] says; those that still
    /// run at the end have [`crate::Limits::drain`] to answer and be written, and are cancelled after that.
    ///
    /// Fails when a stream does.
    pub async fn serve_stdio<R, W>(&self, reader: R, writer: W) -> io::Result<()>
    where
        R: AsyncRead + Unpin + Send,
        W: AsyncWrite + Unpin + Send,
    {
        let (lines, outgoing) = mpsc::channel(OUTGOING_LINES);
        let connection = Connection::new(self.clone(), Extensions::new(), lines);
        let mut writing = pin!(write(writer, outgoing));
        tokio::select! {
            read = read(connection, BufReader::new(reader)) => read?,
            // As long as there is a connection, only a failure ends it.
            written = &mut writing => return written,
        }
        // A client that doesn't read the rest must not keep the process.
        tokio::time::timeout(self.limits().drain, writing).await.unwrap_or(Ok(()))
    }
}

async fn read<R: AsyncBufRead + Unpin>(mut connection: Connection, mut reader: R) -> io::Result<()> {
    let limit = connection.limits().max_message_bytes;
    let mut line = Vec::new();
    loop {
        match next_line(&mut reader, &mut line, limit).await? {
            Line::End => break,
            Line::TooLong => {
                let message = format!("the message is larger than {limit} bytes");
                connection.refuse(error::error(INVALID_REQUEST, message)).await;
            }
            Line::Whole if line.iter().all(u8::is_ascii_whitespace) => {}
            Line::Whole => connection.receive(&line).await,
        }
    }
    connection.finish().await;
    Ok(())
}

async fn write<W: AsyncWrite + Unpin>(
    mut writer: W,
    mut outgoing: mpsc::Receiver<Outgoing>,
) -> io::Result<()> {
    while let Some(Outgoing { mut text, .. }) = outgoing.recv().await {
        text.push('\n');
        writer.write_all(text.as_bytes()).await?;
        if outgoing.is_empty() {
            writer.flush().await?;
        }
    }
    writer.flush().await
}

enum Line {
    Whole,
    TooLong,
    End,
}

/// Reads a line into `line`, without its end. What is above `limit` bytes is skipped, not kept.
async fn next_line<R: AsyncBufRead + Unpin>(
    reader: &mut R,
    line: &mut Vec<u8>,
    limit: usize,
) -> io::Result<Line> {
    line.clear();
    // A message that was large once shouldn't hold its memory for good.
    line.shrink_to(64 * 1024);
    let mut too_long = false;
    loop {
        let chunk = reader.fill_buf().await?;
        if chunk.is_empty() && line.is_empty() && !too_long {
            return Ok(Line::End);
        }
        let end = chunk.iter().position(|byte| *byte == b'\n');
        let part = end.map_or(chunk, |end| &chunk[..end]);
        if too_long || line.len() + part.len() > limit {
            too_long = true;
            line.clear();
        } else {
            line.extend_from_slice(part);
        }
        let ended = end.is_some() || chunk.is_empty();
        let used = part.len() + usize::from(end.is_some());
        reader.consume(used);
        if ended {
            return Ok(if too_long { Line::TooLong } else { Line::Whole });
        }
    }
}

#[cfg(test)]
mod tests;
