//! Messages as lines: a process's standard streams, a socket, a pipe.

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::error::ClientError;
use super::stream::{Ends, Reading};

/// Starts the tasks that read and write.
pub(super) fn start(
    ends: Ends,
    reader: impl AsyncRead + Unpin + Send + 'static,
    writer: impl AsyncWrite + Unpin + Send + 'static,
) {
    tokio::spawn(write(writer, ends.outgoing, ends.reading.closing()));
    tokio::spawn(read(ends.reading, BufReader::new(reader)));
}

async fn read(reading: Reading, mut reader: impl AsyncBufRead + Unpin) {
    let limit = reading.limit();
    let mut line = Vec::new();
    let reason = loop {
        line.clear();
        match read_line(&mut reader, &mut line, limit).await {
            Ok(LineRead::Line) if line.iter().all(u8::is_ascii_whitespace) => {}
            Ok(LineRead::Line) => reading.message(&line),
            Ok(LineRead::End) => break "it closed the stream".to_owned(),
            Ok(LineRead::TooLong) => break ClientError::TooLarge { limit }.to_string(),
            Err(error) => break error.to_string(),
        }
    };
    reading.end(reason).await;
}

async fn write(
    mut writer: impl AsyncWrite + Unpin,
    mut lines: mpsc::Receiver<String>,
    closing: CancellationToken,
) {
    while let Some(mut line) = next(&mut lines, &closing).await {
        line.push('\n');
        let written = async {
            writer.write_all(line.as_bytes()).await?;
            writer.flush().await
        };
        if let Err(error) = written.await {
            // The reader sees the end of the stream and tells the calls; here nobody waits.
            tracing::debug!(%error, "the server's input is closed");
            return;
        }
    }
    let _ = writer.shutdown().await;
}

/// The next message to write. What was said before the connection was closed is still written.
pub(super) async fn next(lines: &mut mpsc::Receiver<String>, closing: &CancellationToken) -> Option<String> {
    tokio::select! {
        biased;
        line = lines.recv() => line,
        () = closing.cancelled() => None,
    }
}

enum LineRead {
    Line,
    TooLong,
    End,
}

/// Like `read_until`, but never holds more than `limit` bytes.
async fn read_line(
    reader: &mut (impl AsyncBufRead + Unpin),
    line: &mut Vec<u8>,
    limit: usize,
) -> std::io::Result<LineRead> {
    loop {
        let available = reader.fill_buf().await?;
        if available.is_empty() {
            // A last line without its end is a message cut short.
            return Ok(LineRead::End);
        }
        let end = available.iter().position(|byte| *byte == b'\n');
        let part = &available[..end.unwrap_or(available.len())];
        if line.len() + part.len() > limit {
            return Ok(LineRead::TooLong);
        }
        line.extend_from_slice(part);
        let used = end.map_or(available.len(), |end| end + 1);
        reader.consume(used);
        if end.is_some() {
            return Ok(LineRead::Line);
        }
    }
}
