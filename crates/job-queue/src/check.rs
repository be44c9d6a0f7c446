//! What a new job must be like.

use std::io::{self, Write};

use crate::config::QueueConfig;
use crate::model::NewJob;
use crate::queue::QueueError;

const MAX_NAME_BYTES: usize = 256;
const MAX_ATTEMPTS: u32 = 100;

pub(crate) fn new_job(job: &NewJob, config: &QueueConfig) -> Result<(), QueueError> {
    let names = [
        ("owner", Some(&job.owner)),
        ("kind", Some(&job.kind)),
        ("idempotency_key", job.idempotency_key.as_ref()),
    ];
    for (field, text) in names {
        if text.is_some_and(|text| text.is_empty() || text.len() > MAX_NAME_BYTES) {
            return invalid(field, format!("expected 1 to {MAX_NAME_BYTES} bytes"));
        }
    }
    if !(1..=MAX_ATTEMPTS).contains(&job.max_attempts) {
        return invalid("max_attempts", format!("expected 1 to {MAX_ATTEMPTS}"));
    }
    let limit = config.max_payload_bytes;
    if serde_json::to_writer(Room { left: limit }, &job.payload).is_err() {
        return invalid("payload", format!("larger than {limit} bytes"));
    }
    Ok(())
}

fn invalid(field: &'static str, reason: String) -> Result<(), QueueError> {
    Err(QueueError::Invalid { field, reason })
}

/// Takes so many bytes and keeps none.
struct Room {
    left: usize,
}

impl Write for Room {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.left = self.left.checked_sub(bytes.len()).ok_or(io::ErrorKind::FileTooLarge)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
