//! A client of the gateway: MCP through [`Peer`], the other doors through plain HTTP, and answers that say what they
//! are.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use mcp_client::{Artifact, Job, JobAnswer, JobState};
use mcp_protocol::client::{CallOptions, ClientError, HttpOptions, Peer, PeerOptions, ServerLog, WsOptions};
use mcp_protocol::wire::{CallToolResult, Content, ProgressUpdate, ResourceContents};
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::wait::{LONG, until};

/// How long a call may take: a real ComfyUI on a busy machine is slow.
const CALL: Duration = Duration::from_mins(10);
/// What a call that is expected to finish its job asks for.
const WAIT_SECONDS: u64 = 540;

/// A plain HTTP client, one for the whole process.
pub fn http() -> Result<reqwest::Client> {
    crate::init();
    Ok(reqwest::Client::builder().no_proxy().tcp_nodelay(true).build()?)
}

/// A client of one gateway.
#[derive(Debug)]
pub struct Client {
    /// The MCP side.
    pub peer: Peer,
    http: reqwest::Client,
    base: String,
    key: Option<String>,
}

impl Client {
    /// Opens the gateway at this base URL.
    pub async fn connect(base: &str, key: Option<&str>) -> Result<Client> {
        Self::connect_with(base, key, PeerOptions::default()).await
    }

    /// The same, with a peer of these options; a call of it may take long.
    pub async fn connect_with(base: &str, key: Option<&str>, peer: PeerOptions) -> Result<Client> {
        let options = HttpOptions {
            bearer: key.map(SecretString::from),
            peer: PeerOptions { timeout: CALL, ..peer },
            ..HttpOptions::default()
        };
        let http = http()?;
        let peer = Peer::connect_http(&format!("{base}/mcp"), options).await?;
        Ok(Client { peer, http, base: base.to_owned(), key: key.map(str::to_owned) })
    }

    /// The same over WebSocket.
    pub async fn over_websocket(base: &str, key: Option<&str>, peer: PeerOptions) -> Result<Client> {
        let options = WsOptions {
            bearer: key.map(SecretString::from),
            peer: PeerOptions { timeout: CALL, ..peer },
            ..WsOptions::default()
        };
        let http = http()?;
        let url = format!("{}/ws", base.replacen("http", "ws", 1));
        let peer = Peer::connect_ws(&url, options).await?;
        Ok(Client { peer, http, base: base.to_owned(), key: key.map(str::to_owned) })
    }

    /// Starts a server and opens it over its standard streams; it has no other doors.
    pub async fn over_stdio(command: Command) -> Result<Client> {
        let options = PeerOptions { timeout: CALL, ..PeerOptions::default() };
        let peer = Peer::spawn_stdio(command, ServerLog::Keep, options).await?;
        Ok(Client { peer, http: http()?, base: String::new(), key: None })
    }

    /// Calls a tool; an error of the tool is an answer too.
    pub async fn raw_call(&self, tool: &str, arguments: Value) -> Result<Reply, ClientError> {
        Ok(Reply(self.peer.call_tool(tool, arguments, CallOptions::default()).await?))
    }

    /// Calls a tool that has to do what it is asked.
    pub async fn call(&self, tool: &str, arguments: Value) -> Result<Reply> {
        let reply =
            self.raw_call(tool, arguments).await.with_context(|| format!("{tool} is not answered"))?;
        ensure!(!reply.0.is_error, "{tool} is refused: {}", reply.text());
        Ok(reply)
    }

    /// Calls a tool that has to refuse; tells how it does.
    pub async fn refused(&self, tool: &str, arguments: Value) -> Result<Failure> {
        let shown = arguments.to_string();
        let reply =
            self.raw_call(tool, arguments).await.with_context(|| format!("{tool} is not answered"))?;
        ensure!(reply.0.is_error, "{tool} takes {shown}: {}", reply.text());
        reply.failure()
    }

    /// Starts a job and doesn't wait for it.
    pub async fn start(&self, tool: &str, mut arguments: Value) -> Result<Job> {
        arguments["wait_seconds"] = 0.into();
        self.call(tool, arguments).await?.job()
    }

    /// Runs a job to its end, which has to be good.
    pub async fn finish(&self, tool: &str, arguments: Value) -> Result<Reply> {
        let (reply, _) = self.finish_with_progress(tool, arguments).await?;
        Ok(reply)
    }

    /// The same, with all progress that was told.
    pub async fn finish_with_progress(
        &self,
        tool: &str,
        mut arguments: Value,
    ) -> Result<(Reply, Vec<ProgressUpdate>)> {
        arguments["wait_seconds"] = WAIT_SECONDS.into();
        let updates = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&updates);
        let options = CallOptions::default()
            .progress(move |update| kept.lock().unwrap_or_else(PoisonError::into_inner).push(update));
        let result = self.peer.call_tool(tool, arguments, options).await;
        let reply = Reply(result.with_context(|| format!("{tool} is not answered"))?);
        ensure!(!reply.0.is_error, "{tool} is refused: {}", reply.text());
        let job = reply.job()?;
        ensure!(job.state == JobState::Succeeded, "{}", reply.text());
        let updates = std::mem::take(&mut *updates.lock().unwrap_or_else(PoisonError::into_inner));
        Ok((reply, updates))
    }

    /// The only contents of a resource.
    pub async fn read(&self, uri: &str) -> Result<ResourceContents> {
        let mut result = self.peer.read_resource(uri, CallOptions::default()).await?;
        ensure!(result.contents.len() == 1, "{uri} has {} contents", result.contents.len());
        result.contents.pop().context("no contents")
    }

    /// The JSON that a resource holds.
    pub async fn read_json(&self, uri: &str) -> Result<Value> {
        let contents = self.read(uri).await?;
        ensure!(contents.mime_type.as_deref() == Some("application/json"), "{contents:?}");
        let text = contents.text.with_context(|| format!("{uri} is no text"))?;
        serde_json::from_str(&text).with_context(|| format!("{uri} is no JSON: {text}"))
    }

    /// Runs a job to its good end and gives its first file.
    pub async fn picture(&self, tool: &str, arguments: Value) -> Result<Bytes> {
        let job = self.finish(tool, arguments).await?.job()?;
        self.first_file(&job).await
    }

    /// The bytes of a job's first artifact, over HTTP.
    pub async fn first_file(&self, job: &Job) -> Result<Bytes> {
        let artifact = job.artifacts.first().with_context(|| format!("job {} has no artifact", job.id))?;
        self.file(artifact).await
    }

    /// The bytes of an artifact, over HTTP.
    pub async fn file(&self, artifact: &Artifact) -> Result<Bytes> {
        let answer = self.get(&format!("/artifacts/{}", artifact.id)).await?;
        ensure!(answer.status().is_success(), "GET of the artifact answers {}", answer.status());
        Ok(answer.bytes().await?)
    }

    /// A GET with this client's key.
    pub async fn get(&self, path: &str) -> Result<reqwest::Response> {
        let mut request = self.http.get(format!("{}{path}", self.base)).timeout(LONG);
        if let Some(key) = &self.key {
            request = request.bearer_auth(key);
        }
        Ok(request.send().await?)
    }

    /// The job as it is now.
    pub async fn status(&self, id: &str) -> Result<Job> {
        self.call("get_job_status", json!({"job_id": id})).await?.job()
    }

    /// Waits for the job's end, whatever it is.
    pub async fn wait(&self, id: &str) -> Result<Job> {
        let job =
            self.call("wait_for_job", json!({"job_id": id, "wait_seconds": WAIT_SECONDS})).await?.job()?;
        ensure!(job.state.is_terminal(), "wait_for_job answers while the job is {}", job.state.as_str());
        Ok(job)
    }

    /// Waits for a good end.
    pub async fn succeeded(&self, id: &str) -> Result<Job> {
        let job = self.wait(id).await?;
        ensure!(job.state == JobState::Succeeded, "job {} is {:?}: {:?}", job.id, job.state, job.error);
        Ok(job)
    }

    /// Waits until the job is in this state.
    pub async fn until(&self, id: &str, state: JobState) -> Result<Job> {
        until(&format!("job {id} to be {}", state.as_str()), CALL, async || {
            let job = self.status(id).await?;
            if job.state.is_terminal() && job.state != state {
                bail!("job {id} is {} and not {}: {:?}", job.state.as_str(), state.as_str(), job.error);
            }
            Ok((job.state == state).then_some(job))
        })
        .await
    }

    /// Waits until ComfyUI works on the job: it has told of a step.
    pub async fn until_sampling(&self, id: &str) -> Result<Job> {
        until(&format!("job {id} to be sampled"), CALL, async || {
            let job = self.status(id).await?;
            ensure!(!job.state.is_terminal(), "job {id} is {} already: {:?}", job.state.as_str(), job.error);
            Ok(job.message.as_deref().is_some_and(|message| message.contains("step")).then_some(job))
        })
        .await
    }
}

/// What a tool answered.
#[derive(Clone, Debug)]
pub struct Reply(pub CallToolResult);

impl Reply {
    /// The typed part.
    pub fn structured(&self) -> Result<&Value> {
        self.0.structured_content.as_ref().context("the answer has no structuredContent")
    }

    /// The job of a job tool's answer.
    pub fn job(&self) -> Result<Job> {
        Ok(self.job_answer()?.job)
    }

    /// The job and how to go on.
    pub fn job_answer(&self) -> Result<JobAnswer> {
        let structured = self.structured()?;
        serde_json::from_value(structured.clone()).with_context(|| format!("no job in {structured}"))
    }

    /// All its texts.
    pub fn text(&self) -> String {
        let texts = self.0.content.iter().filter_map(|content| match content {
            Content::Text { text } => Some(text.as_str()),
            _ => None,
        });
        texts.collect::<Vec<_>>().join("\n")
    }

    /// All its pictures with their media types.
    pub fn images(&self) -> Vec<(Bytes, String)> {
        let images = self.0.content.iter().filter_map(|content| match content {
            Content::Image { data, mime_type } => Some((data.clone(), mime_type.clone())),
            _ => None,
        });
        images.collect()
    }

    /// The URIs of all its links.
    pub fn links(&self) -> Vec<String> {
        let links = self.0.content.iter().filter_map(|content| match content {
            Content::ResourceLink { uri, .. } => Some(uri.clone()),
            _ => None,
        });
        links.collect()
    }

    fn failure(&self) -> Result<Failure> {
        let error =
            self.0.tool_error().with_context(|| format!("an error without a code: {}", self.text()))?;
        Ok(Failure {
            code: error.code,
            message: error.message,
            remedy: error.remedy,
            data: error.data.map_or(Value::Null, |data| *data),
            text: self.text(),
        })
    }
}

/// How a tool refused.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The stable word.
    pub code: String,
    /// What went wrong.
    pub message: String,
    /// What to do.
    pub remedy: Option<String>,
    /// What programs are told.
    pub data: Value,
    /// What a model reads.
    pub text: String,
}

impl Failure {
    /// Checks the code, and that all of `parts` can be read in the text.
    pub fn expect(&self, code: &str, parts: &[&str]) -> Result<()> {
        ensure!(self.code == code, "the error is {} and not {code}: {}", self.code, self.text);
        for part in parts {
            ensure!(self.text.contains(part), "{part:?} is not in the error: {}", self.text);
        }
        Ok(())
    }
}
