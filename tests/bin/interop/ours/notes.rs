//! What our client does with a board of notes, and what it expects of its answers.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result, bail, ensure};
use mcp_protocol::client::{CallOptions, InputHandler, Notice, OnProgress, Peer, ToolOutcome, input_fn};
use mcp_protocol::wire::{
    CompleteParams, CompletionArgument, CompletionReference, Content, ElicitAction, ElicitResult, Era,
    InputKind, ProtocolVersion, TaskState,
};
use serde_json::{Map, Value, json};
use tests::wait::{LONG, until};
use tokio::sync::Notify;

use crate::case::Case;

const BOARD: &str = "note://board";
const TEMPLATE: &str = "note://greetings/{name}";
/// Counting takes 50 ms for each; what counts so far is not done when it is cancelled.
const FAR: u64 = 1000;
const NEAR: u64 = 5;

/// Who the person says to be.
const NAME: &str = "grace";

/// The person that the servers may ask.
pub(crate) fn person() -> Arc<dyn InputHandler> {
    input_fn([InputKind::ElicitForm], async |_| {
        let content = Map::from_iter([("name".to_owned(), json!(NAME))]);
        Ok(json!(ElicitResult { action: ElicitAction::Accept, content }))
    })
}

/// Runs all of them.
pub(crate) async fn cases(peer: Peer, expected: ProtocolVersion) -> Vec<Case> {
    let notes = Notes { peer, seen: Mutex::default() };
    let mut cases = vec![
        case("connect", async { notes.version(expected) }).await,
        case("tools/list", notes.list_tools()).await,
        case("tools/call", notes.call()).await,
        case("progress", async { notes.rising_progress() }).await,
        case("cancel", notes.cancel()).await,
        case("resources/list", notes.list_resources()).await,
        case("resources/templates/list", notes.list_templates()).await,
        case("resources/read", notes.read()).await,
        case("prompts/list", notes.list_prompts()).await,
        case("prompts/get", notes.get_prompt()).await,
        case("completion/complete", notes.complete()).await,
        case("subscribe", notes.subscribe()).await,
        case("question", notes.question()).await,
    ];
    if expected.era() == Era::Modern {
        cases.push(case("task", notes.task()).await);
    }
    notes.peer.close().await;
    cases
}

async fn case(name: &str, work: impl Future<Output = Result<String>>) -> Case {
    let outcome = tokio::time::timeout(LONG, work).await;
    Case::of(name, outcome.unwrap_or_else(|_| bail!("not done within {LONG:.0?}")))
}

struct Notes {
    peer: Peer,
    /// The progress of the call.
    seen: Mutex<Vec<(f64, Option<f64>)>>,
}

impl Notes {
    fn version(&self, expected: ProtocolVersion) -> Result<String> {
        let about = self.peer.server();
        ensure!(about.version == expected, "{} was negotiated", about.version);
        Ok(format!("{}, {}", about.version, about.info.name))
    }

    async fn list_tools(&self) -> Result<String> {
        let tools = self.peer.list_tools().await?;
        let names: Vec<_> = tools.iter().map(|tool| tool.name.as_str()).collect();
        ensure!(names.starts_with(&["count", "cancelled", "write", "introduce"]), "the tools are {names:?}");
        Ok(format!("{} tools", names.len()))
    }

    async fn call(&self) -> Result<String> {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&seen);
        let on_progress: OnProgress = Box::new(move |update| {
            kept.lock().unwrap_or_else(PoisonError::into_inner).push((update.progress, update.total));
        });
        let counted = self.tool("count", json!({"to": NEAR}), Some(on_progress)).await?;
        ensure!(counted == json!({"counted": NEAR}), "it counted {counted}");
        let seen = std::mem::take(&mut *seen.lock().unwrap_or_else(PoisonError::into_inner));
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = seen;
        Ok(format!("counted to {NEAR}"))
    }

    fn rising_progress(&self) -> Result<String> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let expected: Vec<_> = (1..=NEAR).map(|step| (step as f64, Some(NEAR as f64))).collect();
        ensure!(*seen == expected, "progress was {seen:?}");
        Ok(format!("{} times", seen.len()))
    }

    async fn cancel(&self) -> Result<String> {
        let before = self.cancelled_calls().await?;
        let begun = Arc::new(Notify::new());
        let tell = Arc::clone(&begun);
        let on_progress: OnProgress = Box::new(move |_| tell.notify_one());
        tokio::select! {
            answer = self.tool("count", json!({"to": FAR}), Some(on_progress)) => bail!("it was answered: {answer:?}"),
            () = begun.notified() => {}
        }
        until("one more cancelled call", LONG, async || {
            Ok((self.cancelled_calls().await? > before).then_some(()))
        })
        .await?;
        Ok("the server counts one more cancelled call".to_owned())
    }

    async fn cancelled_calls(&self) -> Result<u64> {
        Ok(self.tool("cancelled", json!({}), None).await?["calls"].as_u64().unwrap_or_default())
    }

    async fn list_resources(&self) -> Result<String> {
        let uris: Vec<_> =
            self.peer.list_resources().await?.into_iter().map(|resource| resource.uri).collect();
        ensure!(uris == [BOARD], "the resources are {uris:?}");
        Ok(uris.concat())
    }

    async fn list_templates(&self) -> Result<String> {
        let templates = self.peer.list_resource_templates().await?;
        let uris: Vec<_> = templates.into_iter().map(|template| template.uri_template).collect();
        ensure!(uris == [TEMPLATE], "the templates are {uris:?}");
        Ok(uris.concat())
    }

    async fn read(&self) -> Result<String> {
        let text = self.text("note://greetings/ada").await?;
        ensure!(text == "hello, ada", "it is {text:?}");
        Ok(text)
    }

    async fn text(&self, uri: &str) -> Result<String> {
        let result = self.peer.read_resource(uri, CallOptions::default()).await?;
        let contents = result.contents.into_iter().next().context("the resource is empty")?;
        contents.text.context("the resource is no text")
    }

    async fn list_prompts(&self) -> Result<String> {
        let names: Vec<_> = self.peer.list_prompts().await?.into_iter().map(|prompt| prompt.name).collect();
        ensure!(names == ["greet"], "the prompts are {names:?}");
        Ok(names.concat())
    }

    async fn get_prompt(&self) -> Result<String> {
        let arguments = Map::from_iter([("name".to_owned(), json!("ada"))]);
        let result = self.peer.get_prompt("greet", arguments, CallOptions::default()).await?;
        match result.messages.first().map(|message| &message.content) {
            Some(Content::Text { text }) if text == "say hello to ada" => Ok(text.clone()),
            other => bail!("the first message is {other:?}"),
        }
    }

    async fn complete(&self) -> Result<String> {
        let params = CompleteParams {
            reference: CompletionReference::Prompt { name: "greet".to_owned() },
            argument: CompletionArgument { name: "name".to_owned(), value: "ad".to_owned() },
            context: None,
        };
        let values = self.peer.complete(&params).await?.values;
        ensure!(values == ["ada", "adele"], "ad is completed to {values:?}");
        Ok(values.join(", "))
    }

    async fn subscribe(&self) -> Result<String> {
        let mut changes = self.peer.subscribe(BOARD).await?;
        self.tool("write", json!({"text": "news"}), None).await?;
        // The first may come of the time before the board was written on.
        for _ in 0..2 {
            let notice = changes.next().await?;
            ensure!(
                notice == Some(Notice::ResourceUpdated { uri: BOARD.to_owned() }),
                "what came is {notice:?}"
            );
            if self.text(BOARD).await? == "news" {
                changes.close().await;
                return Ok("the board is read anew".to_owned());
            }
        }
        bail!("the board says {:?}", self.text(BOARD).await?)
    }

    /// The server asks in the middle of a call.
    async fn question(&self) -> Result<String> {
        let said = self.tool("introduce", json!({}), None).await?;
        ensure!(said == json!({"hello": NAME}), "it said {said}");
        Ok(format!("hello, {NAME}"))
    }

    async fn task(&self) -> Result<String> {
        let called = self.peer.call_tool_or_task("later", json!({}), CallOptions::default()).await?;
        let ToolOutcome::Task(task) = called else { bail!("it is no task: {called:?}") };
        match self.peer.wait_for_task(&task.task_id).await?.state {
            TaskState::Completed { result } if result["structuredContent"] == json!({"done": "later"}) => {
                Ok("followed to its end".to_owned())
            }
            other => bail!("it ended as {other:?}"),
        }
    }

    async fn tool(&self, name: &str, arguments: Value, on_progress: Option<OnProgress>) -> Result<Value> {
        let options = CallOptions { on_progress, ..CallOptions::default() };
        let result = self.peer.call_tool(name, arguments, options).await?;
        ensure!(!result.is_error, "{name} failed: {:?}", result.content);
        Ok(result.structured_content.unwrap_or_default())
    }
}
