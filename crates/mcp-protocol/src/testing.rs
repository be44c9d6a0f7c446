//! Tools and a server for the tests of the transports.

mod caller;

use std::time::Duration;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio::sync::watch;

use crate::wire::ToolDescription;
use crate::{
    CallContext, DynTool, Limits, Server, ServerBuilder, ServerInfo, Tool, ToolDefinition, ToolError,
    ToolReply,
};

pub(crate) use caller::{Caller, FnTool, Listening};

/// What the tools have done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) started: usize,
    pub(crate) dropped: usize,
    pub(crate) cancelled: usize,
    pub(crate) finished: usize,
}

#[derive(Clone, Debug)]
pub(crate) struct Probe {
    seen: watch::Sender<Seen>,
    released: watch::Sender<bool>,
}

impl Probe {
    pub(crate) fn new() -> Probe {
        Probe { seen: watch::Sender::new(Seen::default()), released: watch::Sender::new(false) }
    }

    /// Waits until it is so; panics when it takes too long.
    pub(crate) async fn until(&self, so: impl Fn(&Seen) -> bool) {
        let mut seen = self.seen.subscribe();
        let waited = tokio::time::timeout(Duration::from_secs(5), seen.wait_for(|seen| so(seen))).await;
        waited.unwrap_or_else(|_| panic!("still {:?}", *self.seen.borrow())).expect("the sender is here");
    }

    pub(crate) fn seen(&self) -> Seen {
        *self.seen.borrow()
    }

    /// Lets `hang` end.
    pub(crate) fn release(&self) {
        self.released.send_replace(true);
    }
}

pub(crate) fn builder(probe: &Probe) -> ServerBuilder {
    let info = ServerInfo {
        name: "test".to_owned(),
        version: "1.2.3".to_owned(),
        instructions: Some("Say hello.".to_owned()),
        ..ServerInfo::default()
    };
    let limits = Limits { drain: Duration::from_millis(50), ..Limits::default() };
    Server::builder(info)
        .limits(limits)
        .tool(Echo)
        .tool(Count)
        .tool(Hang(probe.clone()))
        .tool(Fault)
        .dyn_tool(Region)
}

pub(crate) fn server(probe: &Probe) -> Server {
    builder(probe).build().expect("the tools are sound")
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct EchoArgs {
    /// What to say.
    text: String,
    times: Option<u32>,
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct Said {
    text: String,
    note: Option<String>,
}

/// Says it back.
struct Echo;

impl Tool for Echo {
    type Args = EchoArgs;
    type Output = Said;

    fn definition(&self) -> ToolDefinition {
        ToolDefinition::new("echo", "Says it back.")
    }

    async fn call(&self, _: CallContext, args: EchoArgs) -> Result<ToolReply<Said>, ToolError> {
        let times = args.times.unwrap_or(1) as usize;
        Ok(Said { text: args.text.repeat(times), note: None }.into())
    }
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct CountArgs {
    to: u32,
}

/// Tells its progress at each step, and steps that go back, which nobody should see.
struct Count;

impl Tool for Count {
    type Args = CountArgs;
    type Output = Said;

    fn definition(&self) -> ToolDefinition {
        ToolDefinition::new("count", "Counts.")
    }

    async fn call(&self, cx: CallContext, args: CountArgs) -> Result<ToolReply<Said>, ToolError> {
        for step in 1..=args.to {
            for progress in [step, step, step - 1] {
                cx.progress(f64::from(progress), Some(f64::from(args.to)), Some("counting"));
            }
            cx.progress(f64::NAN, None, None);
            tokio::task::yield_now().await;
        }
        Ok(Said { text: args.to.to_string(), note: None }.into())
    }
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct NoArgs {}

/// Tells its progress once, and ends when it is released.
struct Hang(Probe);

struct CountDrop<'a>(&'a Probe);

impl Drop for CountDrop<'_> {
    fn drop(&mut self) {
        self.0.seen.send_modify(|seen| seen.dropped += 1);
    }
}

impl Tool for Hang {
    type Args = NoArgs;
    type Output = Said;

    fn definition(&self) -> ToolDefinition {
        ToolDefinition::new("hang", "Waits.")
    }

    async fn call(&self, cx: CallContext, _: NoArgs) -> Result<ToolReply<Said>, ToolError> {
        let _dropped = CountDrop(&self.0);
        let (cancelled, probe) = (cx.cancelled(), self.0.clone());
        tokio::spawn(async move {
            cancelled.cancelled().await;
            probe.seen.send_modify(|seen| seen.cancelled += 1);
        });
        cx.progress(1.0, None, None);
        self.0.seen.send_modify(|seen| seen.started += 1);
        let mut released = self.0.released.subscribe();
        _ = released.wait_for(|released| *released).await;
        self.0.seen.send_modify(|seen| seen.finished += 1);
        Ok(Said { text: "released".to_owned(), note: None }.into())
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    Error,
    Panic,
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct FaultArgs {
    kind: Kind,
}

/// Fails as it is told to.
struct Fault;

impl Tool for Fault {
    type Args = FaultArgs;
    type Output = Said;

    fn definition(&self) -> ToolDefinition {
        ToolDefinition::new("fault", "Fails.")
    }

    async fn call(&self, _: CallContext, args: FaultArgs) -> Result<ToolReply<Said>, ToolError> {
        match args.kind {
            Kind::Error => {
                Err(ToolError::new("no_luck", "it failed").remedy("try again").data(json!({"n": 1})))
            }
            Kind::Panic => panic!("a tool panics"),
        }
    }
}

/// Its schema wants a header.
struct Region;

#[async_trait]
impl DynTool for Region {
    fn description(&self) -> ToolDescription {
        ToolDescription {
            name: "region".to_owned(),
            input_schema: json!({
                "type": "object",
                "properties": {
                    "region": {"type": "string", "x-mcp-header": "Region"},
                    "shard": {"type": "integer", "x-mcp-header": "Shard"},
                },
            }),
            ..ToolDescription::default()
        }
    }

    async fn call(
        &self,
        _: CallContext,
        arguments: Map<String, Value>,
    ) -> Result<ToolReply<Value>, ToolError> {
        Ok(Value::Object(arguments).into())
    }
}
