//! `tools/list` and `tools/call`.

use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use jsonrpsee::types::ErrorObjectOwned;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::rounds::{Answered, Origin};
use super::{ListParams, Module, parsed};
use crate::context::CallContext;
use crate::error::{self, INVALID_PARAMS, quoted};
use crate::server::Core;
use crate::server::table::{Called, Registered, ToolTable};
use crate::session::{CallOutcome, CallRecord};
use crate::wire::{CallToolParams, CallToolResult, CreateTaskResult, Era, ResultFrame, Task, TaskState};

pub(super) fn register(module: &mut Module) {
    super::register(module, "tools/list", |core, cx, params| async move {
        core.list_tools(cx.era(), &parsed(&params)?)
    });
    super::register(module, "tools/call", |core, cx, params| async move {
        let params = parsed(&params)?;
        core.call_tool(cx, params).await
    });
}

/// [`crate::wire::ListToolsResult`] with descriptions that are not copied: they are most of what a server says.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ToolsPage {
    tools: Vec<Listed>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
    #[serde(flatten)]
    frame: ResultFrame,
}

/// Written as the tool's description.
#[derive(Clone)]
struct Listed(Arc<Registered>);

impl Serialize for Listed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.description.serialize(serializer)
    }
}

impl Core {
    fn list_tools(&self, era: Era, params: &ListParams) -> Result<ToolsPage, ErrorObjectOwned> {
        let table = self.tools();
        let (tools, next_cursor) = params.page("tools", table.iter().cloned().map(Listed), self.page_size)?;
        Ok(ToolsPage { tools, next_cursor, frame: self.cacheable(era, self.cache) })
    }

    async fn call_tool(
        &self,
        cx: CallContext,
        params: CallToolParams,
    ) -> Result<Answered<CallToolResult>, ErrorObjectOwned> {
        let mut recorder = Recorder::start(&cx, &params.name);
        let answered = self.run_tool(cx, params).await;
        if let Some(recorder) = &mut recorder {
            recorder.outcome = match &answered {
                Ok(Answered::Complete(result)) if result.is_error => Some(CallOutcome::Failed),
                Ok(Answered::Complete(_) | Answered::Task(_)) => Some(CallOutcome::Succeeded),
                // The call comes again.
                Ok(Answered::InputRequired(_)) => None,
                Err(_) => Some(CallOutcome::Failed),
            };
        }
        answered
    }

    async fn run_tool(
        &self,
        mut cx: CallContext,
        params: CallToolParams,
    ) -> Result<Answered<CallToolResult>, ErrorObjectOwned> {
        let table = self.tools();
        let tool = table.get(&params.name).ok_or_else(|| unknown_tool(&table, &params.name))?;
        let origin =
            Origin { method: "tools/call", target: &params.name, arguments: params.arguments.as_deref() };
        cx.round = self.round(&cx, origin, params.input_responses, params.request_state.as_deref())?;
        let era = cx.era();
        let call = tool.call(cx.clone(), arguments(params.arguments.as_deref())?);
        Ok(match self.until_asked(&cx, origin, call).await? {
            Ok(Called::Result(result)) => Answered::Complete(self.framed(era, result)),
            Ok(Called::Task(task)) => Answered::Task(Box::new(self.task_created(task))),
            Err(questions) => Answered::InputRequired(questions),
        })
    }

    fn framed(&self, era: Era, mut result: CallToolResult) -> CallToolResult {
        result.frame = ResultFrame { meta: result.frame.meta, ..self.frame(era) };
        result
    }

    /// The task as it starts: what a state carries along is for `tasks/get` (tasks extension, task creation).
    fn task_created(&self, mut task: Task) -> CreateTaskResult {
        task.state = TaskState::Working;
        let mut frame = self.frame(Era::Modern);
        frame.result_type = Some("task".to_owned());
        CreateTaskResult { task, frame }
    }
}

fn arguments(raw: Option<&RawValue>) -> Result<Map<String, Value>, ErrorObjectOwned> {
    let Some(raw) = raw else { return Ok(Map::new()) };
    serde_json::from_str(raw.get())
        .map_err(|cause| error::error(INVALID_PARAMS, format!("arguments have to be an object: {cause}")))
}

fn unknown_tool(table: &ToolTable, name: &str) -> ErrorObjectOwned {
    let nearest = table.nearest(name);
    let hint = match nearest {
        Some(near) => format!("did you mean {}?", quoted(near)),
        None => "tools/list names those there are".to_owned(),
    };
    let message = format!("there is no tool {}; {hint}", quoted(name));
    error::error_with(INVALID_PARAMS, message, json!({ "nearest": nearest }))
}

/// Keeps a call in the record of its session, however it ends: dropped while it runs, it was cancelled.
struct Recorder {
    cx: CallContext,
    tool: String,
    at: Timestamp,
    start: Instant,
    /// `None` leaves it out of the record.
    outcome: Option<CallOutcome>,
}

impl Recorder {
    /// `None` outside of a session.
    fn start(cx: &CallContext, tool: &str) -> Option<Recorder> {
        cx.session()?;
        Some(Recorder {
            cx: cx.clone(),
            tool: error::shortened(tool).to_owned(),
            at: Timestamp::now(),
            start: Instant::now(),
            outcome: Some(CallOutcome::Cancelled),
        })
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        let (Some(mut outcome), Some(session)) = (self.outcome, self.cx.session()) else { return };
        if std::thread::panicking() {
            outcome = CallOutcome::Failed;
        }
        session.record(CallRecord {
            tool: std::mem::take(&mut self.tool),
            at: self.at,
            duration_ms: u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX),
            outcome,
            subject: self.cx.take_subject(),
        });
    }
}
