//! Doing what the command line asks.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use secrecy::SecretString;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use mcp_client::{
    Artifact, ConnectOptions, GatewayClient, GatewayError, ImageSize, Job, JobState, JobUpdate,
    LONGEST_RATE_WAIT, RATE_LIMIT_PATIENCE, Target, connect,
};
use mcp_protocol::client::CallOptions;

use super::args::{Cli, ConnectionArgs, DEFAULT_SERVER, FinishArgs, ImageArgs, OutputArgs};
use super::exit::CliError;
use super::progress::Display;
use super::report;
use super::requests::{Request, build};
use super::save::{Destination, misnamed};

/// A server that asks for less is not asked again sooner.
const SHORTEST_RATE_WAIT: Duration = Duration::from_millis(250);

/// Runs the command, till its end or Ctrl-C.
pub(super) async fn run(cli: &Cli, environment: impl Fn(&str) -> Option<String>) -> Result<(), CliError> {
    let job_id = OnceLock::new();
    let work = execute(cli, environment, &job_id);
    tokio::select! {
        result = work => result,
        _ = tokio::signal::ctrl_c() => Err(CliError::Interrupted { job_id: job_id.get().cloned() }),
    }
}

async fn execute(
    cli: &Cli,
    environment: impl Fn(&str) -> Option<String>,
    job_id: &OnceLock<String>,
) -> Result<(), CliError> {
    let request = build(&cli.command).await?;
    // Before anything is asked for: nobody wants to learn after minutes that the image has no place.
    let destination = match &request {
        Request::Start { after, .. } => destination(after.finish.output.as_deref())?,
        Request::Wait { finish, .. } => destination(finish.output.as_deref())?,
        Request::Image { artifact } => destination(Some(&artifact.output))?,
        Request::Ask { .. } => None,
    };
    let (target, options) = target(&cli.connection, environment)?;
    let session = Session { gateway: connect(target, options).await?, output: &cli.output, job_id };
    let result = session.answer(request, destination).await;
    session.gateway.close().await;
    result
}

fn destination(output: Option<&Path>) -> Result<Option<Destination>, CliError> {
    output.map(Destination::new).transpose().map_err(|error| CliError::Usage(error.to_string()))
}

/// Where the server is, and with which key: options before the environment before the default.
fn target(
    args: &ConnectionArgs,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<(Target, ConnectOptions), CliError> {
    let variable = |name: &str| environment(name).filter(|value| !value.is_empty());
    let target = match (&args.stdio, &args.server) {
        (Some(command), _) => Target::stdio(command)?,
        (None, Some(url)) => Target::http(url),
        (None, None) => Target::http(variable("MCP_SERVER_URL").unwrap_or_else(|| DEFAULT_SERVER.to_owned())),
    };
    let api_key = args.api_key.clone().or_else(|| variable("MCP_API_KEY")).map(SecretString::from);
    Ok((target, ConnectOptions { api_key, ..ConnectOptions::default() }))
}

struct Session<'a> {
    gateway: GatewayClient,
    output: &'a OutputArgs,
    /// For whoever interrupts.
    job_id: &'a OnceLock<String>,
}

impl Session<'_> {
    async fn answer(&self, request: Request<'_>, destination: Option<Destination>) -> Result<(), CliError> {
        match request {
            Request::Start { tool, arguments, after } => {
                let arguments = Value::Object(arguments);
                let started = self.gateway.job_call(tool, arguments, CallOptions::default()).await?;
                if after.no_wait {
                    self.warn(&started.job);
                    return self.print(&json!(started), &report::clean(&started.job.id));
                }
                let _ = self.job_id.set(started.job.id.clone());
                self.finish_patiently(&started.job.id, &after.finish, destination).await
            }
            Request::Wait { job_id, finish } => {
                let _ = self.job_id.set(job_id.to_owned());
                self.finish_patiently(job_id, finish, destination).await
            }
            Request::Ask { tool, arguments } => self.ask(tool, arguments).await,
            Request::Image { artifact } => self.image(artifact, destination).await,
        }
    }

    async fn ask(&self, tool: &str, arguments: Map<String, Value>) -> Result<(), CliError> {
        let job_id = arguments.get("job_id").and_then(Value::as_str).map(str::to_owned);
        let arguments = Value::Object(arguments);
        let result = match job_id {
            Some(job_id) => {
                let asked = self.in_turn(None, || self.gateway.call(tool, arguments.clone())).await;
                asked.map_err(|error| CliError::from(error).about_job(&job_id))?
            }
            None => self.gateway.call(tool, arguments).await?,
        };
        let content = result.structured_content.unwrap_or_else(|| json!({"content": result.content}));
        self.print(&content, &report::answer(tool, &content))
    }

    /// Waits for a job, and saves or names what came out of it. An error says how to get at the job later.
    async fn finish_patiently(
        &self,
        job_id: &str,
        finish: &FinishArgs,
        destination: Option<Destination>,
    ) -> Result<(), CliError> {
        self.finish(job_id, finish, destination).await.map_err(|error| error.about_job(job_id))
    }

    async fn finish(
        &self,
        job_id: &str,
        finish: &FinishArgs,
        destination: Option<Destination>,
    ) -> Result<(), CliError> {
        let deadline =
            finish.timeout.and_then(|seconds| Instant::now().checked_add(Duration::from_secs(seconds)));
        let job = self.wait(job_id, finish.timeout).await?;
        self.warn(&job);
        match job.state {
            JobState::Failed => return Err(CliError::JobFailed(Box::new(job))),
            JobState::Cancelled => return Err(CliError::JobCancelled(Box::new(job))),
            _ => {}
        }
        self.remark(&report::summary(&job));
        let mut document = json!({"job": job});
        let text = match destination {
            Some(destination) => {
                let files = self.save(&job.artifacts, destination, deadline).await?;
                document["files"] = json!(files);
                files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join("\n")
            }
            None => job.artifacts.iter().map(report::artifact).collect::<Vec<_>>().join("\n"),
        };
        self.print(&document, &text)?;
        if finish.output.is_none()
            && let Some(first) = job.artifacts.first()
        {
            self.remark(&format!("to save it: mcp-client image {} -o FILE", report::clean(&first.id)));
        }
        Ok(())
    }

    async fn wait(&self, job_id: &str, timeout: Option<u64>) -> Result<Job, CliError> {
        let display = if self.output.quiet { Display::Silent } else { Display::for_stderr() };
        let mut updates = self.gateway.subscribe_to_job(job_id);
        let finished = async {
            while let Some(update) = updates.next().await {
                let update = update?;
                display.update(&update);
                if let JobUpdate::Finished(job) = update {
                    return Ok(*job);
                }
            }
            Err(CliError::Usage(format!("nothing was heard of job {job_id}")))
        };
        let Some(seconds) = timeout else { return finished.await };
        let after = Duration::from_secs(seconds);
        let timed_out = || GatewayError::TimedOut { job_id: job_id.to_owned(), after };
        tokio::time::timeout(after, finished).await.map_err(|_| timed_out())?
    }

    async fn save(
        &self,
        artifacts: &[Artifact],
        mut to: Destination,
        deadline: Option<Instant>,
    ) -> Result<Vec<PathBuf>, CliError> {
        let mut files = Vec::new();
        for artifact in artifacts {
            let bytes = self.in_turn(deadline, || self.gateway.fetch_image(artifact)).await?;
            let path = to.save(artifact, &bytes)?;
            self.warn_of_name(&path, &artifact.media_type);
            files.push(path);
        }
        Ok(files)
    }

    /// Asks again where the server says when it will have time again, as long as that is before the deadline.
    async fn in_turn<T, F>(&self, deadline: Option<Instant>, ask: impl Fn() -> F) -> Result<T, GatewayError>
    where
        F: Future<Output = Result<T, GatewayError>>,
    {
        let started = Instant::now();
        loop {
            let error = match ask().await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let Some(wait) = error.retry_after() else { return Err(error) };
            let wait = wait.clamp(SHORTEST_RATE_WAIT, LONGEST_RATE_WAIT);
            let again = Instant::now() + wait;
            let too_late = deadline.is_some_and(|deadline| again > deadline);
            if too_late || again.duration_since(started) > RATE_LIMIT_PATIENCE {
                return Err(error);
            }
            self.remark(&format!(
                "{}; trying again in {:.1} s",
                report::clean(&error.to_string()),
                wait.as_secs_f64()
            ));
            tokio::time::sleep(wait).await;
        }
    }

    async fn image(&self, args: &ImageArgs, destination: Option<Destination>) -> Result<(), CliError> {
        let (bytes, media_type) = if args.preview {
            self.in_turn(None, || self.gateway.get_image(&args.artifact, ImageSize::Preview)).await?
        } else {
            let bytes = self.in_turn(None, || self.gateway.fetch_artifact(&args.artifact)).await?;
            let media_type = mcp_client::media_type_of(&bytes).unwrap_or("application/octet-stream");
            (bytes, media_type.to_owned())
        };
        let id = args.artifact.rsplit('/').next().unwrap_or_default().to_owned();
        let extension = media_type.strip_prefix("image/").filter(|name| *name != "jpeg").unwrap_or("jpg");
        let artifact = Artifact {
            file_name: format!("{id}.{extension}"),
            uri: format!("comfy://artifacts/{id}"),
            id,
            url: None,
            media_type,
            width: None,
            height: None,
            bytes: bytes.len() as u64,
        };
        let Some(mut destination) = destination else { return Ok(()) };
        let path = destination.save(&artifact, &bytes)?;
        self.warn_of_name(&path, &artifact.media_type);
        self.remark(&format!("{}, {}", artifact.media_type, report::size(artifact.bytes)));
        let document = json!({
            "artifact_id": artifact.id, "file": path, "media_type": artifact.media_type, "bytes": artifact.bytes,
        });
        self.print(&document, &path.display().to_string())
    }

    fn warn_of_name(&self, path: &Path, media_type: &str) {
        if misnamed(path, media_type) {
            self.remark(&format!("note: {} holds {media_type}, whatever its name says", path.display()));
        }
    }

    /// The answer: a document for scripts or a text for people.
    fn print(&self, document: &Value, text: &str) -> Result<(), CliError> {
        if self.output.json { report::print_json(document) } else { report::print(text) }
            .map_err(CliError::Output)
    }

    fn warn(&self, job: &Job) {
        for warning in job.warnings() {
            self.remark(&format!("warning: {}", report::clean(warning)));
        }
    }

    /// Something beside the answer, for people.
    fn remark(&self, text: &str) {
        if !self.output.quiet && !self.output.json {
            let _ = writeln!(std::io::stderr().lock(), "{text}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_come_before_the_environment_and_that_before_the_default() {
        let args = |server: Option<&str>, stdio: Option<&str>| ConnectionArgs {
            server: server.map(str::to_owned),
            stdio: stdio.map(str::to_owned),
            api_key: None,
        };
        let set = |name: &str| (name == "MCP_SERVER_URL").then(|| "http://env/mcp".to_owned());
        let unset = |_: &str| None;
        let url = |result: Result<(Target, ConnectOptions), CliError>| result.unwrap().0;
        assert_eq!(url(target(&args(None, None), unset)), Target::http(DEFAULT_SERVER));
        assert_eq!(url(target(&args(None, None), set)), Target::http("http://env/mcp"));
        assert_eq!(url(target(&args(Some("http://arg/mcp"), None), set)), Target::http("http://arg/mcp"));
        assert!(matches!(url(target(&args(None, Some("server stdio")), set)), Target::Stdio { .. }));
        let key = target(&args(None, None), |name| (name == "MCP_API_KEY").then(|| "k".to_owned())).unwrap();
        assert!(key.1.api_key.is_some());
        let empty = target(&args(None, None), |_| Some(String::new())).unwrap();
        assert!(empty.1.api_key.is_none());
        assert_eq!(empty.0, Target::http(DEFAULT_SERVER));
    }
}
