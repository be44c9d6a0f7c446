//! The lines that a child writes, kept for failure messages and waited for.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Result, bail};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::sync::watch;

/// What is shown of a log when something failed.
const SHOWN_LINES: usize = 40;

/// All lines of one stream of a child. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Log {
    lines: Arc<Mutex<Vec<String>>>,
    state: watch::Receiver<State>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open(usize),
    Ended,
}

impl Log {
    /// Reads the stream to its end, in the background.
    pub fn follow(stream: impl AsyncRead + Unpin + Send + 'static) -> Log {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (tell, state) = watch::channel(State::Open(0));
        let kept = Arc::clone(&lines);
        tokio::spawn(async move {
            let mut stream = BufReader::new(stream);
            let mut line = Vec::new();
            while let Ok(1..) = stream.read_until(b'\n', &mut line).await {
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                line.clear();
                let count = {
                    let mut lines = kept.lock().unwrap_or_else(PoisonError::into_inner);
                    lines.push(text);
                    lines.len()
                };
                let _ = tell.send(State::Open(count));
            }
            let _ = tell.send(State::Ended);
        });
        Log { lines, state }
    }

    /// The first line that contains `text`, now or when it comes.
    pub async fn wait_for(&self, text: &str, within: Duration) -> Result<String> {
        let mut state = self.state.clone();
        let mut seen = 0;
        let found = tokio::time::timeout(within, async {
            loop {
                let now = *state.borrow_and_update();
                let lines = self.lines();
                if let Some(line) = lines[seen..].iter().find(|line| line.contains(text)) {
                    return Some(line.clone());
                }
                seen = lines.len();
                if now == State::Ended || state.changed().await.is_err() {
                    return None;
                }
            }
        });
        match found.await {
            Ok(Some(line)) => Ok(line),
            Ok(None) => bail!("the program ended and never wrote {text:?}\n{}", self.tail()),
            Err(_) => bail!("{text:?} was not written within {within:.0?}\n{}", self.tail()),
        }
    }

    /// Waits until the stream is at its end, and gives everything.
    pub async fn to_end(&self, within: Duration) -> Result<String> {
        let mut state = self.state.clone();
        let ended = state.wait_for(|state| *state == State::Ended);
        if tokio::time::timeout(within, ended).await.is_err() {
            bail!("the stream did not end within {within:.0?}\n{}", self.tail());
        }
        Ok(self.lines().join("\n"))
    }

    /// How many lines so far contain `text`.
    pub fn count(&self, text: &str) -> usize {
        self.lines().iter().filter(|line| line.contains(text)).count()
    }

    /// The lines so far.
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The last lines, under a line that says so.
    pub fn tail(&self) -> String {
        let lines = self.lines();
        let shown = &lines[lines.len().saturating_sub(SHOWN_LINES)..];
        if shown.is_empty() {
            return "--- it has written nothing".to_owned();
        }
        format!("--- the end of what it has written:\n{}", shown.join("\n"))
    }
}
