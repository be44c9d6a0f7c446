//! The gateway's tools as functions.

use std::sync::Arc;
use std::time::Duration;

use mcp_protocol::client::{CallOptions, Peer, ServerAbout};
use mcp_protocol::wire::CallToolResult;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::artifact::ArtifactDoor;
use crate::error::{GatewayError, text_of};
use crate::job::{Job, JobAnswer};
use crate::request::{GenerateImage, Img2Img, Inpaint, RunWorkflow};

/// An open gateway. Clones share the connection; it closes with the last of them.
#[derive(Debug, Clone)]
pub struct GatewayClient {
    pub(crate) peer: Arc<Peer>,
    /// Where artifacts come from over HTTP.
    pub(crate) door: Option<ArtifactDoor>,
    timeout: Duration,
}

/// How large an image is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageSize {
    /// As it was made.
    Full,
    /// Small: the longest side has at most 512 pixels.
    Preview,
}

impl GatewayClient {
    pub(crate) fn new(peer: Arc<Peer>, door: Option<ArtifactDoor>, timeout: Duration) -> GatewayClient {
        GatewayClient { peer, door, timeout }
    }

    /// What the server said of itself.
    pub fn server(&self) -> &ServerAbout {
        self.peer.server()
    }

    /// Starts to make an image. The job comes back as soon as it is stored, unless
    /// [`GenerateImage::wait_seconds`] says otherwise.
    pub async fn generate_image(&self, mut request: GenerateImage) -> Result<Job, GatewayError> {
        request.wait_seconds.get_or_insert(0);
        self.start("generate_image", &request).await
    }

    /// Starts to paint over an image; else as [`generate_image`](Self::generate_image).
    pub async fn img2img(&self, mut request: Img2Img) -> Result<Job, GatewayError> {
        request.generate.wait_seconds.get_or_insert(0);
        self.start("img2img", &request).await
    }

    /// Starts to paint the masked part of an image anew; else as [`generate_image`](Self::generate_image).
    pub async fn inpaint(&self, mut request: Inpaint) -> Result<Job, GatewayError> {
        request.generate.wait_seconds.get_or_insert(0);
        self.start("inpaint", &request).await
    }

    /// Starts a workflow; else as [`generate_image`](Self::generate_image).
    pub async fn run_workflow(&self, mut request: RunWorkflow) -> Result<Job, GatewayError> {
        request.wait_seconds.get_or_insert(0);
        self.start("run_workflow", &request).await
    }

    /// Where a job is.
    pub async fn status(&self, job_id: &str) -> Result<Job, GatewayError> {
        Ok(self.job_call("get_job_status", json!({"job_id": job_id}), CallOptions::default()).await?.job)
    }

    /// Cancels a job, and tells where it is then. A job that is over stays as it is.
    pub async fn cancel(&self, job_id: &str) -> Result<Job, GatewayError> {
        Ok(self.job_call("cancel_job", json!({"job_id": job_id}), CallOptions::default()).await?.job)
    }

    /// The models of one kind or of all, with or without a text in their names.
    pub async fn list_models(&self, kind: Option<&str>, search: Option<&str>) -> Result<Value, GatewayError> {
        let given = [("kind", kind), ("search", search)];
        let arguments: Map<String, Value> =
            given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), json!(value?)))).collect();
        self.structured("list_models", Value::Object(arguments)).await
    }

    /// The workflows that [`run_workflow`](Self::run_workflow) can run.
    pub async fn list_workflows(&self) -> Result<Value, GatewayError> {
        self.structured("list_workflows", json!({})).await
    }

    /// What the gateway's tools are.
    pub async fn manifest(&self) -> Result<Value, GatewayError> {
        self.structured("get_tools_manifest", json!({})).await
    }

    /// How long the queue is.
    pub async fn queue_status(&self) -> Result<Value, GatewayError> {
        self.structured("get_queue_status", json!({})).await
    }

    /// Calls any tool. `arguments` is an object. A tool's own error is an `Err`.
    pub async fn call(&self, tool: &str, arguments: Value) -> Result<CallToolResult, GatewayError> {
        self.call_with(tool, arguments, CallOptions::default()).await
    }

    /// As [`call`](Self::call), with progress or a time of one's own.
    pub async fn call_with(
        &self,
        tool: &str,
        arguments: Value,
        mut options: CallOptions,
    ) -> Result<CallToolResult, GatewayError> {
        if options.timeout.is_none() {
            // The server may wait as long as it was asked to, and then needs time to answer.
            let wait = arguments.get("wait_seconds").and_then(Value::as_u64).unwrap_or(0);
            options.timeout = Some(self.timeout.saturating_add(Duration::from_secs(wait)));
        }
        let result = self.peer.call_tool(tool, arguments, options).await?;
        if result.is_error { Err(GatewayError::from_tool(tool, &result)) } else { Ok(result) }
    }

    /// Calls a tool that answers with a job.
    pub async fn job_call(
        &self,
        tool: &str,
        arguments: Value,
        options: CallOptions,
    ) -> Result<JobAnswer, GatewayError> {
        let result = self.call_with(tool, arguments, options).await?;
        let unreadable = |reason: String| GatewayError::Answer { tool: tool.to_owned(), reason };
        let content =
            result.structured_content.ok_or_else(|| unreadable("it has no structuredContent".to_owned()))?;
        serde_json::from_value(content).map_err(|error| unreadable(error.to_string()))
    }

    /// Ends the connection, and waits for the end of a started server. Where clones are left, they keep it
    /// open.
    pub async fn close(self) {
        if let Ok(peer) = Arc::try_unwrap(self.peer) {
            peer.close().await;
        }
    }

    async fn start(&self, tool: &str, request: &impl Serialize) -> Result<Job, GatewayError> {
        let arguments = serde_json::to_value(request)
            .map_err(|error| GatewayError::Answer { tool: tool.to_owned(), reason: error.to_string() })?;
        Ok(self.job_call(tool, arguments, CallOptions::default()).await?.job)
    }

    /// The structured answer, or the text where a tool has no other.
    async fn structured(&self, tool: &str, arguments: Value) -> Result<Value, GatewayError> {
        let result = self.call(tool, arguments).await?;
        let text = text_of(&result);
        Ok(result
            .structured_content
            .unwrap_or_else(|| serde_json::from_str(&text).unwrap_or(Value::String(text))))
    }
}
