//! A child process with its output, asked to end in both ways.

use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tokio::process::{Child, ChildStdin, Command};

use crate::log::Log;

/// A program that runs. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    pid: u32,
    /// What it writes to standard output.
    pub stdout: Log,
    /// What it writes to standard error.
    pub stderr: Log,
}

impl Process {
    /// Starts it with no input.
    pub fn start(command: Command) -> Result<Process> {
        Self::spawn(command, Stdio::null())
    }

    /// Starts it with a pipe as its input.
    pub fn start_with_input(command: Command) -> Result<(Process, ChildStdin)> {
        let mut process = Self::spawn(command, Stdio::piped())?;
        let input = process.child.stdin.take().context("the child has no input")?;
        Ok((process, input))
    }

    fn spawn(mut command: Command, input: Stdio) -> Result<Process> {
        let name = command.as_std().get_program().to_string_lossy().into_owned();
        command.stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().with_context(|| format!("could not start {name}"))?;
        let stdout = Log::follow(child.stdout.take().context("the child has no output")?);
        let stderr = Log::follow(child.stderr.take().context("the child has no error output")?);
        let pid = child.id().context("the child has no process id")?;
        Ok(Process { name, child, pid, stdout, stderr })
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.pid
    }

    /// Sends SIGTERM and waits for the end; tells the exit status and how long it took.
    pub async fn terminate(&mut self, within: Duration) -> Result<(ExitStatus, Duration)> {
        let started = Instant::now();
        // The shell's own `kill`: the program of that name is missing on small machines.
        let sent =
            Command::new("sh").args(["-c", "kill -TERM \"$0\"", &self.pid.to_string()]).status().await?;
        if !sent.success() {
            bail!("{} could not be sent SIGTERM; has it ended?\n{}", self.name, self.stderr.tail());
        }
        let status = self.ended(within).await?;
        Ok((status, started.elapsed()))
    }

    /// Sends SIGKILL and waits for the end.
    pub async fn kill(&mut self) -> Result<()> {
        self.child.kill().await.with_context(|| format!("could not kill {}", self.name))
    }

    /// Waits until it ends by itself.
    pub async fn ended(&mut self, within: Duration) -> Result<ExitStatus> {
        match tokio::time::timeout(within, self.child.wait()).await {
            Ok(status) => status.with_context(|| format!("could not wait for {}", self.name)),
            Err(_) => bail!("{} has not ended within {within:.0?}\n{}", self.name, self.stderr.tail()),
        }
    }
}

/// What a program that ran to its end has left.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
    /// How long it took.
    pub took: Duration,
}

/// Runs a program to its end.
pub async fn run(command: Command, within: Duration) -> Result<Ended> {
    let started = Instant::now();
    let mut process = Process::start(command)?;
    let status = process.ended(within).await?;
    let took = started.elapsed();
    let stdout = process.stdout.to_end(within).await?;
    let stderr = process.stderr.to_end(within).await?;
    Ok(Ended { code: status.code(), stdout, stderr, took })
}
