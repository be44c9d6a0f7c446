//! Running a graph and following it to its end.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Map, Value};
use tokio::{
    sync::mpsc,
    task::JoinHandle,
    time::{Instant, sleep},
};
use workflow_analyzer::{Graph, NodeId};

use crate::{
    CancelResult, Canceller, ComfyClient, ComfyError, LostReason, NodeErrors, PromptRequest, QueuePosition,
    RunOutcome, Standing, Submitted, UnreachableReason,
    cancel::Signal,
    follow::{Follower, Start},
    socket::Socket,
    tracker::Tracker,
};

/// Between the follower and a slow reader.
const EVENTS: usize = 128;

/// A graph to run.
#[derive(Clone, Debug)]
pub struct RunRequest {
    /// New for every run: letters, digits, `-`, `_` and `.`, at most 128.
    pub prompt_id: String,
    /// What to run.
    pub graph: Graph,
    /// `extra_pnginfo` and whatever custom nodes read.
    pub extra_data: Map<String, Value>,
    /// Whether pictures of the unfinished image are wanted.
    pub previews: Previews,
    /// Where it is put in ComfyUI's queue.
    pub position: QueuePosition,
}

impl RunRequest {
    /// At the back of the queue, with the previews that ComfyUI makes by itself, without extra data.
    pub fn new(prompt_id: impl Into<String>, graph: Graph) -> Self {
        Self {
            prompt_id: prompt_id.into(),
            graph,
            extra_data: Map::new(),
            previews: Previews::default(),
            position: QueuePosition::default(),
        }
    }
}

/// Pictures of the unfinished image, about 50 KB each. 0.3.75 heeds only its own `--preview-method`, 0.8.0 the request too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Previews {
    /// None.
    Off,
    /// As ComfyUI was started: none, unless it was told to make them.
    #[default]
    Default,
    /// By whatever means this ComfyUI has.
    Auto,
}

/// Something that happened in a run. A reader that is slow misses progress and previews, never anything else.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum RunEvent {
    /// ComfyUI has it. The first event of a run; an attached execution has none.
    Submitted {
        /// The id asked for; a ComfyUI older than that feature chooses its own.
        prompt_id: String,
        /// Its place in the queue: lower runs first.
        number: f64,
        /// Not empty when some outputs are invalid and left out.
        node_errors: NodeErrors,
    },
    /// Where the events come from from now on. While polling, there are none about nodes.
    Transport(Transport),
    /// It runs.
    Started,
    /// These nodes need not run; later ones can still turn out to be cached without being told.
    Cached {
        /// Nodes of the graph.
        nodes: Vec<NodeId>,
    },
    /// A node runs; several can at the same time.
    NodeStarted {
        /// A node of the graph.
        node: NodeId,
    },
    /// A node's own progress; samplers count steps.
    NodeProgress {
        /// A node of the graph.
        node: NodeId,
        /// From 0 to `max`.
        value: f64,
        /// Above 0.
        max: f64,
    },
    /// A node is done.
    NodeFinished {
        /// A node of the graph.
        node: NodeId,
    },
    /// A text that a node shows while it runs.
    NodeText {
        /// The node.
        node: NodeId,
        /// The text as it is.
        text: String,
    },
    /// A picture of the unfinished image.
    Preview {
        /// `image/jpeg`, `image/png` or `image/webp`.
        media_type: &'static str,
        /// The picture.
        bytes: Bytes,
    },
    /// The end. Comes exactly once, last.
    Finished(RunOutcome),
}

/// Where the events of a run come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// As they happen.
    WebSocket,
    /// From looking at the queue and the history.
    Polling,
}

/// A run that is being followed. Dropping it ends the following, not the run.
#[derive(Debug)]
pub struct Execution {
    canceller: Canceller,
    events: mpsc::Receiver<RunEvent>,
    follower: JoinHandle<()>,
    is_finished: bool,
}

impl Execution {
    /// The next event, `None` after [`RunEvent::Finished`]. Cancel-safe.
    pub async fn next(&mut self) -> Option<RunEvent> {
        if self.is_finished {
            return None;
        }
        let end = RunEvent::Finished(RunOutcome::Lost(LostReason::Unreachable));
        let event = self.events.recv().await.unwrap_or(end);
        self.is_finished = matches!(event, RunEvent::Finished(_));
        Some(event)
    }

    /// See [`ComfyClient::cancel`]; the events go on until the end.
    pub async fn cancel(&self) -> Result<CancelResult, ComfyError> {
        self.canceller.cancel().await
    }

    /// What cancels this run from elsewhere.
    pub fn canceller(&self) -> Canceller {
        self.canceller.clone()
    }

    /// The id under which ComfyUI has it.
    pub fn prompt_id(&self) -> &str {
        &self.canceller.prompt_id
    }
}

impl Drop for Execution {
    fn drop(&mut self) {
        self.follower.abort();
    }
}

impl ComfyClient {
    /// Opens a websocket, submits the graph, and follows it. Needs a tokio runtime.
    ///
    /// Fails when ComfyUI doesn't take the graph. An answer that got lost is no failure: the prompt is looked for by
    /// its id. When this future is dropped, the prompt may have been submitted; [`ComfyClient::cancel`] ends it then.
    pub async fn run(&self, request: RunRequest) -> Result<Execution, ComfyError> {
        let RunRequest { prompt_id, graph, mut extra_data, previews, position } = request;
        check_prompt_id(&prompt_id)?;
        match previews {
            Previews::Off => _ = extra_data.insert("preview_method".to_owned(), "none".into()),
            Previews::Auto => _ = extra_data.insert("preview_method".to_owned(), "auto".into()),
            Previews::Default => {}
        }
        // The prompt's id is a fresh client id, and one that can be told from everybody else's after a restart.
        let socket = match Socket::open(&self.http, &prompt_id).await {
            Ok(socket) => Some(socket),
            Err(error) if is_hopeless(&error) => return Err(error),
            Err(error) => {
                tracing::warn!(%error, comfyui.url = self.url(), "no websocket, the run is followed by polling");
                None
            }
        };
        let request = PromptRequest {
            prompt: &graph,
            prompt_id: &prompt_id,
            client_id: Some(&prompt_id),
            extra_data: &extra_data,
            position,
        };
        let submitted = match self.submit(&request).await {
            Err(error) if error.may_have_arrived() => self.find_submitted(&prompt_id, error).await?,
            result => result?,
        };
        let start =
            Start { client_id: prompt_id, submitted: Some(submitted), socket, tracker: Tracker::new(&graph) };
        Ok(self.spawn(start, previews))
    }

    /// Follows a prompt that was submitted earlier, by [`ComfyClient::run`] of a process that is gone.
    ///
    /// One that ComfyUI doesn't know ends with [`RunOutcome::Lost`]. Needs a tokio runtime.
    pub fn attach(&self, prompt_id: impl Into<String>) -> Execution {
        let client_id = prompt_id.into();
        let start = Start { client_id, submitted: None, socket: None, tracker: Tracker::default() };
        self.spawn(start, Previews::Default)
    }

    fn spawn(&self, start: Start, previews: Previews) -> Execution {
        let prompt_id = start.prompt_id().to_owned();
        let signal = Arc::new(Signal::default());
        let (sender, events) = mpsc::channel(EVENTS);
        let follower = Follower::new(self.clone(), start, previews, sender, Arc::clone(&signal));
        let canceller = Canceller { client: self.clone(), prompt_id, signal };
        Execution { canceller, events, follower: tokio::spawn(follower.run()), is_finished: false }
    }

    /// Looks whether the prompt came through although its submission failed with `error`.
    async fn find_submitted(&self, prompt_id: &str, error: ComfyError) -> Result<Submitted, ComfyError> {
        const LOOKS: u32 = 3;
        let until = Instant::now() + self.follow.outage_grace;
        let mut unknown = 0;
        let mut pause = self.follow.poll_min;
        while unknown < LOOKS && Instant::now() < until {
            sleep(pause).await;
            pause = (pause * 2).min(self.follow.poll_max);
            let number = match self.standing(prompt_id).await {
                Ok(Standing::Pending { item, .. } | Standing::Running(item)) => item.number,
                Ok(Standing::Finished(entry)) => entry.number().unwrap_or_default(),
                Ok(Standing::Unknown) => {
                    unknown += 1;
                    continue;
                }
                Err(_) => continue,
            };
            tracing::info!(prompt.id = prompt_id, "the prompt was submitted although its answer got lost");
            return Ok(Submitted { prompt_id: prompt_id.to_owned(), number, node_errors: NodeErrors::new() });
        }
        Err(error)
    }
}

/// The submission over the same address would fail the same way.
fn is_hopeless(error: &ComfyError) -> bool {
    use UnreachableReason::{ConnectTimeout, Dns, Other, Refused, Tls};
    matches!(error, ComfyError::Unreachable { reason: Refused | Dns | ConnectTimeout | Tls | Other, .. })
}

fn check_prompt_id(id: &str) -> Result<(), ComfyError> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if id.is_empty() || id.len() > 128 || !id.chars().all(is_plain) || id.chars().all(|c| c == '.') {
        return Err(ComfyError::InvalidArgument(format!("{id:?} can't be the id of a prompt")));
    }
    Ok(())
}
