//! Child processes: run to the end, or kept beside us and stopped in time.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, ExitStatus, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

/// How often a starting server is asked whether it is ready.
const PROBE_EVERY: Duration = Duration::from_millis(100);

/// The cargo that runs us.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // It has told us what package we are. A build script that looks at that (ring's does) would run anew each time the
    // package is another one, and everything above it be built again.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    command
}

/// Prints the line that opens a section of the output.
pub(crate) fn section(text: &str) {
    println!("\n==> {text}");
}

/// Runs a command with our terminal; a failure to start names the command, its exit status is the caller's.
pub(crate) fn status(command: &mut Command) -> Result<ExitStatus> {
    let name = display(command);
    command.status().with_context(|| format!("could not start `{name}`"))
}

/// Runs a command with our terminal and fails unless it exits with 0.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = status(command)?;
    if !status.success() {
        bail!("`{}` failed ({status})", display(command));
    }
    Ok(())
}

/// A child's exit status as our own: its code where it has one, 1 where a signal ended it.
pub(crate) fn exit_code(status: ExitStatus) -> ExitCode {
    ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}

/// A command as one would type it.
pub(crate) fn display(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or_else(|| command.get_program());
    std::iter::once(program)
        .chain(command.get_args())
        .map(|word| quoted(&word.to_string_lossy()))
        .collect::<Vec<_>>()
        .join(" ")
}

fn quoted(word: &str) -> String {
    if word.contains(' ') { format!("\"{word}\"") } else { word.to_owned() }
}

/// A server that runs beside us with its output in a log file. Dropping it ends it.
pub(crate) struct Background {
    name: &'static str,
    pid: u32,
    log: PathBuf,
    exit: Receiver<std::io::Result<ExitStatus>>,
    ended: bool,
}

impl Background {
    /// Starts a server; its log file is begun anew.
    pub(crate) fn start(name: &'static str, command: &mut Command, log: &Path) -> Result<Background> {
        let file = File::create(log).with_context(|| format!("could not write {}", log.display()))?;
        let errors = file.try_clone().with_context(|| format!("could not write {}", log.display()))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(errors)
            .spawn()
            .with_context(|| format!("could not start {name}: `{}`", display(command)))?;
        let pid = child.id();
        Ok(Background { name, pid, log: log.to_owned(), exit: watch(child), ended: false })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Waits until `ready` says so; fails with the log's tail when the server exits first or the time is up.
    pub(crate) fn wait_until(&mut self, within: Duration, ready: impl Fn() -> bool) -> Result<Duration> {
        let started = Instant::now();
        while !ready() {
            if let Some(status) = self.exited_within(PROBE_EVERY)? {
                bail!("{} ended while it was starting ({status})\n{}", self.name, self.log_tail());
            }
            if started.elapsed() > within {
                bail!("{} was not ready after {within:.0?}\n{}", self.name, self.log_tail());
            }
        }
        Ok(started.elapsed())
    }

    /// Asks the server to stop; fails, and kills it, when it takes longer than `within`.
    pub(crate) fn stop(mut self, within: Duration) -> Result<Duration> {
        let started = Instant::now();
        signal(self.pid, Signal::Terminate);
        match self.exited_within(within)? {
            Some(status) if status.success() => Ok(started.elapsed()),
            Some(status) => bail!("{} did not stop cleanly ({status})\n{}", self.name, self.log_tail()),
            None => {
                bail!("{} did not stop within {within:.0?}; it was killed\n{}", self.name, self.log_tail())
            }
        }
    }

    /// Ends the server at once, whatever it does; for one that holds nothing worth keeping.
    pub(crate) fn kill(self) {
        drop(self);
    }

    /// Lets the server run on after us.
    pub(crate) fn leave_running(mut self) {
        self.ended = true;
    }

    /// The last lines of the log, under a line that names the file.
    pub(crate) fn log_tail(&self) -> String {
        format!("--- the end of {}:\n{}", self.log.display(), tail(&self.log, 30))
    }

    fn exited_within(&mut self, time: Duration) -> Result<Option<ExitStatus>> {
        match self.exit.recv_timeout(time) {
            Ok(status) => {
                self.ended = true;
                Ok(Some(status.with_context(|| format!("could not wait for {}", self.name))?))
            }
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => bail!("the watcher of {} is gone", self.name),
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if !self.ended {
            signal(self.pid, Signal::Kill);
            let _ = self.exit.recv_timeout(Duration::from_secs(5));
        }
    }
}

/// Waits for the child on a thread of its own: the standard library has no wait with a time limit.
fn watch(mut child: Child) -> Receiver<std::io::Result<ExitStatus>> {
    let (tell, exit) = mpsc::channel();
    thread::spawn(move || tell.send(child.wait()));
    exit
}

#[derive(Clone, Copy)]
enum Signal {
    Terminate,
    Kill,
}

/// Best effort: the process may have ended by itself in between.
fn signal(pid: u32, signal: Signal) {
    let pid = pid.to_string();
    let mut command;
    if cfg!(windows) {
        // There is no polite signal for a console program there.
        command = Command::new("taskkill");
        command.args(["/F", "/T", "/PID", &pid]);
    } else {
        // The shell's own `kill`: the program of that name is missing on small machines.
        let flag = match signal {
            Signal::Terminate => "kill -TERM \"$0\"",
            Signal::Kill => "kill -KILL \"$0\"",
        };
        command = Command::new("sh");
        command.args(["-c", flag, &pid]);
    }
    let _ = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
}

/// The last `lines` lines of a file, or a word on why there are none.
fn tail(path: &Path, lines: usize) -> String {
    let Ok(file) = File::open(path) else { return "(no log)".to_owned() };
    let mut kept = std::collections::VecDeque::with_capacity(lines);
    for line in BufReader::new(file).split(b'\n').map_while(Result::ok) {
        if kept.len() == lines {
            kept.pop_front();
        }
        kept.push_back(String::from_utf8_lossy(&line).into_owned());
    }
    if kept.is_empty() { "(the log is empty)".to_owned() } else { Vec::from(kept).join("\n") }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    const LONG: Duration = Duration::from_secs(30);

    /// A shell script in the background, with its log in a folder that the test keeps.
    fn background(script: &str) -> (TempDir, Background) {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        let server = Background::start("the script", command.args(["-c", script]), &dir.path().join("log"));
        (dir, server.unwrap())
    }

    #[test]
    fn a_server_that_ends_while_starting_is_told_with_its_log() {
        let (_dir, mut server) = background("echo the port is in use; exit 3");
        let error = server.wait_until(LONG, || false).unwrap_err().to_string();
        assert!(error.contains("exit status: 3") && error.contains("the port is in use"), "{error}");
    }

    #[test]
    fn a_server_that_is_never_ready_is_given_up() {
        let (_dir, mut server) = background("exec sleep 60");
        let error = server.wait_until(Duration::from_millis(150), || false).unwrap_err().to_string();
        assert!(error.contains("was not ready"), "{error}");
    }

    #[test]
    fn a_server_is_asked_to_stop_and_may_do_so_in_its_own_way() {
        let (_dir, mut server) =
            background("trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.05; done");
        let log = server.log.clone();
        server.wait_until(LONG, || tail(&log, 1) == "up").unwrap();
        server.stop(LONG).unwrap();
        assert_eq!(tail(&log, 1), "bye");
    }

    #[test]
    fn a_server_that_does_not_stop_is_killed_and_told() {
        let (_dir, mut server) = background("trap '' TERM; echo up; while :; do sleep 0.05; done");
        let (log, pid) = (server.log.clone(), server.pid);
        server.wait_until(LONG, || tail(&log, 1) == "up").unwrap();
        let error = server.stop(Duration::from_millis(150)).unwrap_err().to_string();
        assert!(error.contains("did not stop"), "{error}");
        let alive = Command::new("sh").args(["-c", "kill -0 \"$0\"", &pid.to_string()]).output().unwrap();
        assert!(!alive.status.success());
    }

    #[test]
    fn a_command_is_shown_as_one_would_type_it() {
        let mut command = Command::new("/usr/bin/mcp-client");
        assert_eq!(display(command.args(["--prompt", "a red fox"])), "mcp-client --prompt \"a red fox\"");
    }

    #[test]
    fn the_tail_is_the_last_lines() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        std::fs::write(&path, "a\nb\nc\n").unwrap();
        assert_eq!(tail(&path, 2), "b\nc");
        assert_eq!(tail(&dir.path().join("none"), 2), "(no log)");
    }
}
