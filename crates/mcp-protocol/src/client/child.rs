//! A server that this program has started: how it ends, and what it said last.

use std::collections::VecDeque;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::sync::{oneshot, watch};

use super::error::{ClientError, shortened};
use super::options::ServerLog;

/// How long a server may take to end after its input was closed.
const GRACE: Duration = Duration::from_secs(5);
/// How long the exit status may take to be known after the output has ended.
const STATUS_WAIT: Duration = Duration::from_millis(500);
/// How much of the standard error is kept.
const KEPT_LOG_BYTES: usize = 4096;

/// What is known of a started server.
#[derive(Debug, Clone)]
pub(super) struct ChildWatch {
    life: watch::Receiver<Life>,
    log: Arc<Mutex<VecDeque<u8>>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    Running,
    /// Ended; how, if the system told it.
    Ended(Option<ExitStatus>),
}

/// Once this is dropped, the process has [`GRACE`] to end and is killed then.
#[derive(Debug)]
pub(super) struct ChildGuard {
    _needed: oneshot::Sender<()>,
}

/// A started server's streams, and the hands on it.
pub(super) struct Started {
    pub(super) input: ChildStdin,
    pub(super) output: ChildStdout,
    pub(super) watch: ChildWatch,
    pub(super) guard: ChildGuard,
}

/// Starts the program.
pub(super) fn spawn(mut command: Command, log: ServerLog) -> Result<Started, ClientError> {
    let program = command.as_std().get_program().to_string_lossy().into_owned();
    let cannot_start = |source| ClientError::Spawn { program: program.clone(), source };
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    command.stderr(match log {
        ServerLog::Keep => Stdio::piped(),
        ServerLog::Inherit => Stdio::inherit(),
    });
    let mut child = command.spawn().map_err(cannot_start)?;
    let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(cannot_start(std::io::Error::other("it has no standard streams")));
    };
    let kept = Arc::new(Mutex::new(VecDeque::new()));
    if let Some(stderr) = child.stderr.take() {
        tokio::spawn(keep_end(stderr, Arc::clone(&kept)));
    }
    let (needed, not_needed) = oneshot::channel();
    let (ended, life) = watch::channel(Life::Running);
    tokio::spawn(mind(child, not_needed, ended));
    let watch = ChildWatch { life, log: kept };
    Ok(Started { input, output, watch, guard: ChildGuard { _needed: needed } })
}

impl ChildWatch {
    /// Returns when the process has ended or was killed. The guard is dropped by now.
    pub(super) async fn ended(&self) {
        let mut life = self.life.clone();
        // The minder kills it after the grace; a little more, and nothing is worth waiting for.
        let _ = tokio::time::timeout(GRACE * 2, life.wait_for(|life| *life != Life::Running)).await;
    }

    /// `reason` with the exit status and the end of the standard error.
    pub(super) async fn last_words(&self, reason: String) -> String {
        let mut life = self.life.clone();
        let ended = tokio::time::timeout(STATUS_WAIT, life.wait_for(|life| *life != Life::Running)).await;
        let mut text = match ended.map(|life| life.map(|life| *life)) {
            Ok(Ok(Life::Ended(Some(status)))) => format!("the server ended ({status})"),
            _ => reason,
        };
        let bytes: Vec<u8> =
            self.log.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect();
        let log = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = log.lines().filter(|line| !line.trim().is_empty()).collect();
        let last = lines[lines.len().saturating_sub(3)..].join(" | ");
        if !last.is_empty() {
            text = format!("{text}; its last words: {}", shortened(&last));
        }
        text
    }
}

async fn mind(mut child: Child, not_needed: oneshot::Receiver<()>, ended: watch::Sender<Life>) {
    let status = tokio::select! {
        status = child.wait() => status,
        _ = not_needed => if let Ok(status) = tokio::time::timeout(GRACE, child.wait()).await {
            status
        } else {
            tracing::warn!("the server did not end when its input was closed; it is killed");
            let _ = child.start_kill();
            child.wait().await
        },
    };
    ended.send_replace(Life::Ended(status.ok()));
}

async fn keep_end(mut stderr: ChildStderr, kept: Arc<Mutex<VecDeque<u8>>>) {
    let mut chunk = [0; 1024];
    while let Ok(count @ 1..) = stderr.read(&mut chunk).await {
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend(&chunk[..count]);
        let over = kept.len().saturating_sub(KEPT_LOG_BYTES);
        kept.drain(..over);
    }
}
