//! Rows that nobody waits for: they are queued, and a task writes them, many at once.

use std::sync::{Arc, Weak};

use tokio::sync::{mpsc, oneshot};

use crate::database::Database;
use crate::error::StorageError;

/// Rows that may wait to be written; more are dropped, and that is logged.
const MAX_WAITING: usize = 1024;
/// Rows that are written at once.
const MAX_BATCH: usize = 100;
/// What is kept of a text, in bytes: a caller may send any name.
const MAX_TEXT_BYTES: usize = 256;

/// What is written in batches.
pub(crate) trait Batched: Send + Sized + 'static {
    /// What the rows are called in the log, in the plural.
    const NAME: &'static str;

    /// Writes them all or none, in their order; there is at least one.
    fn write(batch: Vec<Self>, db: &Database) -> impl Future<Output = Result<(), StorageError>> + Send;
}

/// The queue to the task that writes. The task ends with the last clone.
#[derive(Clone)]
pub(crate) struct BatchWriter<T> {
    waiting: mpsc::Sender<Message<T>>,
}

enum Message<T> {
    Row(T),
    Flush(oneshot::Sender<()>),
}

impl<T: Batched> BatchWriter<T> {
    /// Must be called on a tokio runtime.
    pub(crate) fn start(db: &Arc<Database>) -> BatchWriter<T> {
        let (waiting, messages) = mpsc::channel(MAX_WAITING);
        // It must not keep the database open, and the folder locked, after everybody else let go.
        tokio::spawn(write(Arc::downgrade(db), messages));
        BatchWriter { waiting }
    }

    /// Returns at once; the row is written soon after, unless the queue is full.
    pub(crate) fn push(&self, row: T) {
        if let Err(error) = self.waiting.try_send(Message::Row(row)) {
            tracing::warn!(%error, rows = T::NAME, "a row is lost");
        }
    }

    /// Waits until all that was pushed before is written, or lost.
    pub(crate) async fn flush(&self) {
        let (done, written) = oneshot::channel();
        if self.waiting.send(Message::Flush(done)).await.is_ok() {
            // An error means that the task has ended, and with it what there was to wait for.
            let _ = written.await;
        }
    }
}

/// For a text that comes from outside, before it waits and is stored.
pub(crate) fn shortened(mut text: String) -> String {
    if text.len() > MAX_TEXT_BYTES {
        text.truncate(text.floor_char_boundary(MAX_TEXT_BYTES));
        text.shrink_to_fit();
    }
    text
}

async fn write<T: Batched>(db: Weak<Database>, mut messages: mpsc::Receiver<Message<T>>) {
    let mut received = Vec::with_capacity(MAX_BATCH);
    while messages.recv_many(&mut received, MAX_BATCH).await > 0 {
        let mut rows = Vec::new();
        let mut flushed = Vec::new();
        for message in received.drain(..) {
            match message {
                Message::Row(row) => rows.push(row),
                Message::Flush(done) => flushed.push(done),
            }
        }
        let Some(db) = db.upgrade() else { return };
        let count = rows.len();
        if count > 0
            && let Err(error) = T::write(rows, &db).await
        {
            tracing::error!(error = &error as &dyn std::error::Error, rows = T::NAME, count, "rows are lost");
        }
        // First this: whoever waited may let go of the database now, and opens it again.
        drop(db);
        for done in flushed {
            // Whoever asked may have gone.
            let _ = done.send(());
        }
    }
}
