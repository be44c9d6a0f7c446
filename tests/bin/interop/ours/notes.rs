//! What our client does with a board of notes, and what it expects of its answers.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Result, bail, ensure};
use mcp_protocol::client::{CallOptions, OnProgress, Peer};
use mcp_protocol::wire::ProtocolVersion;
use serde_json::{Value, json};
use tests::wait::{LONG, until};
use tokio::sync::Notify;

use crate::case::Case;

const BOARD: &str = "note://board";
const TEMPLATE: &str = "note://greetings/{name}";
/// Counting takes 50 ms for each; what counts so far is not done when it is cancelled.
const FAR: u64 = 1000;
const NEAR: u64 = 5;

/// Runs all of them.
pub(crate) async fn cases(peer: Peer, expected: ProtocolVersion) -> Vec<Case> {
    let notes = Notes { peer, seen: Mutex::default() };
    let cases = vec![
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
    ];
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
        ensure!(names == ["count", "cancelled", "write"], "the tools are {names:?}");
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
        let result = self.request("resources/list", json!({})).await?;
        ensure!(result["resources"][0]["uri"] == BOARD, "{result}");
        Ok("the board".to_owned())
    }

    async fn list_templates(&self) -> Result<String> {
        let result = self.request("resources/templates/list", json!({})).await?;
        ensure!(result["resourceTemplates"][0]["uriTemplate"] == TEMPLATE, "{result}");
        Ok("greetings".to_owned())
    }

    async fn read(&self) -> Result<String> {
        let text = self.read_text("note://greetings/ada").await?;
        ensure!(text == "hello, ada", "it is {text:?}");
        Ok(text)
    }

    async fn read_text(&self, uri: &str) -> Result<String> {
        let result = self.request("resources/read", json!({"uri": uri})).await?;
        Ok(result["contents"][0]["text"].as_str().unwrap_or_default().to_owned())
    }

    async fn list_prompts(&self) -> Result<String> {
        let result = self.request("prompts/list", json!({})).await?;
        ensure!(result["prompts"][0]["name"] == "greet", "{result}");
        Ok("greet".to_owned())
    }

    async fn get_prompt(&self) -> Result<String> {
        let result =
            self.request("prompts/get", json!({"name": "greet", "arguments": {"name": "ada"}})).await?;
        ensure!(result["messages"][0]["content"]["text"] == "say hello to ada", "{result}");
        Ok("say hello to ada".to_owned())
    }

    async fn complete(&self) -> Result<String> {
        let reference = json!({"type": "ref/prompt", "name": "greet"});
        let argument = json!({"name": "name", "value": "ad"});
        let result =
            self.request("completion/complete", json!({"ref": reference, "argument": argument})).await?;
        ensure!(result["completion"]["values"] == json!(["ada", "adele"]), "{result}");
        Ok("ada, adele".to_owned())
    }

    async fn tool(&self, name: &str, arguments: Value, on_progress: Option<OnProgress>) -> Result<Value> {
        let options = CallOptions { on_progress, ..CallOptions::default() };
        let result = self.peer.call_tool(name, arguments, options).await?;
        ensure!(!result.is_error, "{name} failed: {:?}", result.content);
        Ok(result.structured_content.unwrap_or_default())
    }

    async fn request(&self, method: &str, params: Value) -> Result<Value> {
        let params = params.as_object().cloned().unwrap_or_default();
        let result = self.peer.request(method, params, CallOptions::default()).await?;
        Ok(serde_json::from_str(result.get())?)
    }
}
