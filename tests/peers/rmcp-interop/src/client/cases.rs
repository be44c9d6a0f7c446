//! What the client does with the gateway, and what it expects of its answers.

use std::time::Duration;

use rmcp::model::{
    ArgumentInfo, CallToolRequest, CallToolRequestParams, CallToolResult, ClientRequest,
    CompleteRequestParams, ContentBlock, GetPromptRequestParams, ProgressNotificationParam, Prompt,
    ProtocolVersion, ReadResourceRequestParams, Reference, ResourceContents, ServerNotification,
    SubscribeRequestParams, SubscriptionFilter, UnsubscribeRequestParams,
};
use rmcp::service::PeerRequestOptions;
use serde_json::{Map, Value, json};

use crate::report::{Outcome, case, check};
use crate::{Client, Mode, Receivers};

const TOOLS: [&str; 7] = [
    "generate_image",
    "img2img",
    "inpaint",
    "run_workflow",
    "list_workflows",
    "list_models",
    "get_job_status",
];
const CHECKPOINTS: &str = "comfy://models/checkpoints";
const TEMPLATE: &str = "comfy://workflows/{name}";
/// Between two looks at a queue that announces nothing.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// The cases share the client and the job that one of them made.
pub(crate) struct Cases {
    client: Client,
    mode: Mode,
    heard: Receivers,
    /// With the progress that came with it.
    job: Option<(Value, Vec<ProgressNotificationParam>)>,
}

impl Cases {
    pub(crate) fn new(client: Client, mode: Mode, heard: Receivers) -> Cases {
        Cases { client, mode, heard, job: None }
    }

    pub(crate) async fn run(mut self) -> Outcome<()> {
        case("connect", self.connect()).await;
        case("tools/list", self.list_tools()).await;
        case("tools/call", self.call()).await;
        case("progress", self.rising_progress()).await;
        case("cancel", self.cancel()).await;
        case("resources/list", self.list_resources()).await;
        case("resources/templates/list", self.list_templates()).await;
        case("resources/read", self.read()).await;
        case("prompts/list", self.list_prompts()).await;
        case("prompts/get", self.get_prompt()).await;
        case("completion/complete", self.complete()).await;
        case("subscribe", self.subscribe()).await;
        self.client.cancel().await?;
        Ok(())
    }

    async fn connect(&self) -> Outcome<String> {
        let server = self.client.peer_info().ok_or("the server told nothing of itself")?;
        let version = &server.protocol_version;
        let modern = *version == ProtocolVersion::V_2026_07_28;
        check(modern == (self.mode == Mode::Modern), format!("{version} was negotiated"))?;
        Ok(version.to_string())
    }

    async fn list_tools(&self) -> Outcome<String> {
        let tools = self.client.list_all_tools().await?;
        let there = |name: &str| tools.iter().any(|tool| tool.name == name);
        check(TOOLS.iter().all(|name| there(name)), format!("there are only {} tools", tools.len()))?;
        Ok(format!("{} tools", tools.len()))
    }

    async fn call(&mut self) -> Outcome<String> {
        while self.heard.progress.try_recv().is_ok() {}
        let result = self.call_tool("generate_image", json!({"prompt": "a fox in the snow"})).await?;
        let mut seen = Vec::new();
        while let Ok(progress) = self.heard.progress.try_recv() {
            seen.push(progress);
        }
        self.job = Some((job_of(&result)?, seen));
        let picture = result.content.iter().find_map(|content| match content {
            ContentBlock::Image(image) => Some(image.data.len()),
            _ => None,
        });
        let characters = picture.ok_or("the answer has no picture")?;
        check(characters > 100, format!("a picture of {characters} characters"))?;
        Ok(format!("a picture of {characters} characters of base64"))
    }

    /// Progress comes more than once, each time with more than before, and never with more than everything.
    async fn rising_progress(&self) -> Outcome<String> {
        let (_, seen) = self.job.as_ref().ok_or("there is no job")?;
        let values: Vec<f64> = seen.iter().map(|progress| progress.progress).collect();
        check(values.len() >= 2, format!("progress came {} times", values.len()))?;
        check(values.windows(2).all(|pair| pair[0] < pair[1]), format!("progress doesn't rise: {values:?}"))?;
        let within =
            seen.iter().all(|progress| progress.total.is_some_and(|total| progress.progress <= total));
        check(within, format!("progress without a total, or beyond it: {values:?}"))?;
        Ok(format!("{} times", values.len()))
    }

    async fn cancel(&mut self) -> Outcome<String> {
        let before = self.cancelled_jobs().await?;
        while self.heard.progress.try_recv().is_ok() {}
        let call = CallToolRequest::new(params("generate_image", json!({"prompt": "a fox in the snow"})));
        let options = PeerRequestOptions::no_options();
        let handle =
            self.client.send_cancellable_request(ClientRequest::CallToolRequest(call), options).await?;
        self.heard.progress.recv().await.ok_or("the connection is closed")?;
        handle.cancel(Some("changed my mind".to_owned())).await?;
        while self.cancelled_jobs().await? == before {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Ok("one more job is cancelled".to_owned())
    }

    async fn cancelled_jobs(&self) -> Outcome<Value> {
        let status = self.call_tool("get_queue_status", json!({})).await?;
        Ok(status.structured_content.unwrap_or_default()["yours"]["cancelled"].clone())
    }

    async fn list_resources(&self) -> Outcome<String> {
        let resources = self.client.list_all_resources().await?;
        let uris: Vec<&str> = resources.iter().map(|resource| resource.uri.as_str()).collect();
        let (job, _) = self.job.as_ref().ok_or("there is no job")?;
        let there = uris.contains(&CHECKPOINTS) && uris.contains(&job_uri(job).as_str());
        check(there, format!("there are only {uris:?}"))?;
        Ok(format!("{} resources", uris.len()))
    }

    async fn list_templates(&self) -> Outcome<String> {
        let templates = self.client.list_all_resource_templates().await?;
        let uris: Vec<&str> = templates.iter().map(|template| template.uri_template.as_str()).collect();
        check(uris.contains(&TEMPLATE), format!("there are only {uris:?}"))?;
        Ok(format!("{} templates", uris.len()))
    }

    async fn read(&self) -> Outcome<String> {
        let (job, _) = self.job.as_ref().ok_or("there is no job to read")?;
        let state = self.read_state(&job_uri(job)).await?;
        check(state == "succeeded", format!("the job is {state}"))?;
        let uri = job["artifacts"][0]["uri"].as_str().ok_or("the job has no picture")?;
        match self.read_one(uri).await? {
            ResourceContents::BlobResourceContents { mime_type: Some(kind), blob, .. }
                if !blob.is_empty() =>
            {
                Ok(format!("a job, and its {kind}"))
            }
            other => Err(format!("no picture: {}", shortened(&other)).into()),
        }
    }

    async fn read_one(&self, uri: &str) -> Outcome<ResourceContents> {
        let result = self.client.read_resource(ReadResourceRequestParams::new(uri)).await?;
        Ok(result.contents.into_iter().next().ok_or("the resource is empty")?)
    }

    /// The state of the job that a resource tells of.
    async fn read_state(&self, uri: &str) -> Outcome<String> {
        let contents = self.read_one(uri).await?;
        let ResourceContents::TextResourceContents { text, .. } = &contents else {
            return Err(format!("not a text: {}", shortened(&contents)).into());
        };
        let read: Value = serde_json::from_str(text)?;
        Ok(read["job"]["state"].as_str().ok_or("the job has no state")?.to_owned())
    }

    async fn list_prompts(&self) -> Outcome<String> {
        let prompts = self.client.list_all_prompts().await?;
        check(!prompts.is_empty(), "there are none")?;
        Ok(format!("{} prompts", prompts.len()))
    }

    async fn get_prompt(&self) -> Outcome<String> {
        let prompts = self.client.list_all_prompts().await?;
        let prompt = prompts.first().ok_or("there are none")?;
        let request = GetPromptRequestParams::new(prompt.name.clone()).with_arguments(arguments_of(prompt));
        let result = self.client.get_prompt(request).await?;
        let characters: usize = result
            .messages
            .iter()
            .filter_map(|message| message.content.as_text())
            .map(|text| text.text.len())
            .sum();
        check(characters > 0, format!("{} has no text", prompt.name))?;
        Ok(format!("{}: {characters} characters", prompt.name))
    }

    async fn complete(&self) -> Outcome<String> {
        let part = ArgumentInfo::new("name", "txt2im");
        let request = CompleteRequestParams::new(Reference::for_resource(TEMPLATE), part);
        let values = self.client.complete(request).await?.completion.values;
        check(values.iter().any(|value| value == "txt2img"), format!("txt2im is completed to {values:?}"))?;
        Ok(values.join(", "))
    }

    /// Follows a job to its end by its updates alone.
    async fn subscribe(&mut self) -> Outcome<String> {
        let arguments = json!({"prompt": "a fox in the snow", "wait_seconds": 0});
        let uri = job_uri(&job_of(&self.call_tool("generate_image", arguments).await?)?);
        let count = match self.mode {
            Mode::Modern => self.follow_by_listening(&uri).await?,
            Mode::Legacy => self.follow_by_subscribing(&uri).await?,
        };
        Ok(format!("{count} updates to the job's end"))
    }

    async fn follow_by_listening(&self, uri: &str) -> Outcome<usize> {
        let filter = SubscriptionFilter::builder().resource_subscriptions([uri]).build();
        let mut subscription = self.client.listen(filter).await?;
        let mut count = 0;
        while let Some(notification) = subscription.next().await? {
            let ServerNotification::ResourceUpdatedNotification(update) = notification else { continue };
            count += 1;
            if self.is_over_after(&update.params.uri, uri).await? {
                subscription.cancel().await?;
                return Ok(count);
            }
        }
        Err(format!("the subscription ended before the job: {:?}", subscription.end()).into())
    }

    #[expect(deprecated, reason = "it is what the older revisions have")]
    async fn follow_by_subscribing(&mut self, uri: &str) -> Outcome<usize> {
        self.client.subscribe(SubscribeRequestParams::new(uri)).await?;
        let mut count = 0;
        loop {
            let updated = self.heard.updates.recv().await.ok_or("the connection is closed")?;
            count += 1;
            if self.is_over_after(&updated, uri).await? {
                self.client.unsubscribe(UnsubscribeRequestParams::new(uri)).await?;
                return Ok(count);
            }
        }
    }

    async fn is_over_after(&self, updated: &str, uri: &str) -> Outcome<bool> {
        check(updated == uri, format!("an update of {updated}"))?;
        let state = self.read_state(uri).await?;
        Ok(["succeeded", "failed", "cancelled"].contains(&state.as_str()))
    }

    async fn call_tool(&self, name: &'static str, arguments: Value) -> Outcome<CallToolResult> {
        let result = self.client.call_tool(params(name, arguments)).await?;
        check(result.is_error != Some(true), format!("{name} failed: {:?}", result.content))?;
        Ok(result)
    }
}

fn params(name: &'static str, arguments: Value) -> CallToolRequestParams {
    CallToolRequestParams::new(name).with_arguments(arguments.as_object().cloned().unwrap_or_default())
}

fn job_of(result: &CallToolResult) -> Outcome<Value> {
    let content = result.structured_content.as_ref().ok_or("the answer has no structured content")?;
    Ok(content.get("job").ok_or("the answer has no job")?.clone())
}

fn job_uri(job: &Value) -> String {
    format!("comfy://jobs/{}", job["id"].as_str().unwrap_or_default())
}

/// Something for each argument that a prompt asks for.
fn arguments_of(prompt: &Prompt) -> Map<String, Value> {
    let required = prompt.arguments.iter().flatten().filter(|argument| argument.required == Some(true));
    required.map(|argument| (argument.name.clone(), json!("a fox"))).collect()
}

fn shortened(contents: &ResourceContents) -> String {
    format!("{contents:?}").chars().take(200).collect()
}
