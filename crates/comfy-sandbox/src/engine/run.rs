//! One prompt from `execution_start` to its end.

use std::sync::Arc;

use axum::extract::ws::Message;
use bytes::Bytes;
use image::RgbImage;
use indexmap::IndexMap;
use jiff::Timestamp;
use serde_json::{Value as Json, json};
use tokio::{sync::watch, time::Instant};
use workflow_analyzer::{Graph, Input};

use super::{
    cache::{Cache, Signatures},
    progress::Progress,
    schedule::Schedule,
};
use crate::{
    events::{self, Encoding, Target},
    nodes::{
        self, Context, Produced,
        inputs::{Failure, Inputs},
        values::Value,
    },
    painter, pictures,
    queue::{Prompt, Signal},
    state::{Current, State},
};

/// The longest side of a preview, in pixels, and its JPEG quality.
const PREVIEW_SIDE: u32 = 512;
const PREVIEW_QUALITY: u8 = 95;

/// How a prompt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Succeeded,
    Failed,
    Interrupted,
    Abandoned,
}

impl Outcome {
    /// As the history tells it; ComfyUI calls an interrupted prompt an error.
    pub(super) fn status_str(self) -> &'static str {
        if self == Self::Succeeded { "success" } else { "error" }
    }
}

/// Why a node did not give a result.
enum Stop {
    Failure(Failure),
    /// What the signal said.
    Signal(Signal),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

/// A prompt that runs.
pub(super) struct Run {
    state: Arc<State>,
    prompt: Arc<Prompt>,
    signal: watch::Receiver<Signal>,
    progress: Progress,
    messages: Vec<Json>,
    executed: Vec<String>,
    outputs: IndexMap<String, Json>,
}

impl Run {
    pub(super) fn new(state: Arc<State>, prompt: Arc<Prompt>, signal: watch::Receiver<Signal>) -> Self {
        Self {
            state,
            prompt,
            signal,
            progress: Progress::default(),
            messages: Vec::new(),
            executed: Vec::new(),
            outputs: IndexMap::new(),
        }
    }

    /// What the output nodes showed, by node.
    pub(super) fn outputs(&self) -> &IndexMap<String, Json> {
        &self.outputs
    }

    /// The messages that the history keeps.
    pub(super) fn messages(&self) -> &[Json] {
        &self.messages
    }

    pub(super) async fn execute(&mut self, cache: &mut Cache) -> Outcome {
        self.message("execution_start", json!({"prompt_id": self.prompt.id})).await;
        // Validation let the graph through, so that it is one.
        let graph = Graph::from_json(&self.prompt.graph).unwrap_or_default();
        let graph = Arc::new(graph);
        let signatures = self.signatures(&graph).await;
        cache.keep(&signatures);
        let cached: Vec<&String> =
            graph.nodes.keys().filter(|id| cache.get(&signatures, id).is_some()).collect();
        self.message("execution_cached", json!({"nodes": cached, "prompt_id": self.prompt.id})).await;

        let prompt = self.prompt.clone();
        let mut schedule = Schedule::new(&graph, &prompt.outputs, |id| cache.get(&signatures, id).is_some());
        while let Some(id) = schedule.next() {
            if let Some(produced) = cache.get(&signatures, id) {
                self.show_cached(id, produced).await;
            } else {
                match self.run_node(&graph, id, cache, &signatures).await {
                    Ok(produced) => cache.insert(&signatures, id, produced),
                    Err(stop) => return self.stopped(&graph, id, cache, &signatures, stop).await,
                }
            }
            schedule.done(id);
        }
        if *self.signal.borrow() == Signal::Abandon {
            return Outcome::Abandoned;
        }
        self.message("execution_success", json!({"prompt_id": self.prompt.id})).await;
        Outcome::Succeeded
    }

    async fn signatures(&self, graph: &Arc<Graph>) -> Signatures {
        let (graph, data) = (graph.clone(), self.state.data.clone());
        tokio::task::spawn_blocking(move || Signatures::of(&graph, &data)).await.unwrap_or_default()
    }

    /// A cached output node says its old result again.
    async fn show_cached(&mut self, id: &str, produced: &Produced) {
        self.show(id, produced.ui.as_ref()).await;
        self.progress.finish(id);
        self.send_progress_state().await;
    }

    async fn run_node(
        &mut self,
        graph: &Graph,
        id: &str,
        cache: &Cache,
        signatures: &Signatures,
    ) -> Result<Produced, Stop> {
        self.check_signal()?;
        let class_type = graph.nodes.get(id).map(|node| node.class_type.clone()).unwrap_or_default();
        self.progress.start(id);
        self.send_progress_state().await;
        *self.state.current() =
            Some(Current { client_id: self.prompt.client_id().map(str::to_owned), node: id.to_owned() });
        let executing = json!({"node": id, "display_node": id, "prompt_id": self.prompt.id});
        self.send_to_client("executing", &executing).await;
        if let Some(message) = self.state.faults.take_node_error(&class_type) {
            return Err(Failure::runtime(message).into());
        }
        let inputs = inputs_of(graph, id, cache, signatures)?;
        let produced = match nodes::sampler_steps(&class_type, &inputs) {
            Some(steps) => self.sample(id, class_type, inputs, steps).await?,
            None => self.compute(id, class_type, inputs).await?,
        };
        if produced.ui.is_some() {
            self.show(id, produced.ui.as_ref()).await;
        }
        self.progress.finish(id);
        self.send_progress_state().await;
        self.executed.push(id.to_owned());
        Ok(produced)
    }

    /// A node that only computes.
    async fn compute(&mut self, id: &str, class_type: String, inputs: Inputs) -> Result<Produced, Stop> {
        let reported = nodes::reported_steps(&class_type);
        let produced = self.in_background(class_type, inputs).await?;
        if let Some(text) = &produced.text {
            self.send(events::node_text(id, text)).await;
        }
        if let Some(steps) = reported {
            self.send_step(id, steps, steps, None).await;
        }
        let count = produced.sent_images.len() as u64;
        for (index, image) in produced.sent_images.iter().enumerate() {
            self.send_step(id, index as u64, count, Some((Encoding::Png, image.clone()))).await;
        }
        Ok(produced)
    }

    /// A sampler paints at once and spends the rest of its time as a model would, step by step.
    async fn sample(
        &mut self,
        id: &str,
        class_type: String,
        inputs: Inputs,
        steps: u64,
    ) -> Result<Produced, Stop> {
        let started = Instant::now();
        let produced = self.in_background(class_type, inputs).await?;
        let source = self.wants_previews().then(|| nodes::preview_source(&produced).cloned()).flatten();
        let source = source.map(Arc::new);
        for step in 1..=steps {
            let due = self.state.sampling_time.mul_f64(step as f64 / steps as f64);
            self.wait_until(started + due).await?;
            let preview = match &source {
                Some(picture) => preview(picture.clone(), step as f64 / steps as f64).await,
                None => None,
            };
            self.send_step(id, step, steps, preview).await;
        }
        if steps == 0 {
            self.wait_until(started).await?;
        }
        Ok(produced)
    }

    async fn wait_until(&mut self, due: Instant) -> Result<(), Stop> {
        self.check_signal()?;
        tokio::select! {
            biased;
            changed = self.signal.changed() => {
                if changed.is_err() {
                    return Err(Stop::Signal(Signal::Abandon));
                }
            }
            () = tokio::time::sleep_until(due) => {}
        }
        self.check_signal()
    }

    fn check_signal(&self) -> Result<(), Stop> {
        match *self.signal.borrow() {
            Signal::Run => Ok(()),
            signal => Err(Stop::Signal(signal)),
        }
    }

    async fn in_background(&self, class_type: String, inputs: Inputs) -> Result<Produced, Failure> {
        let (data, prompt) = (self.state.data.clone(), self.prompt.clone());
        let work = tokio::task::spawn_blocking(move || {
            let extra_pnginfo = prompt.extra_data.get("extra_pnginfo");
            nodes::run(&class_type, &inputs, &Context { data: &data, prompt: &prompt.graph, extra_pnginfo })
        });
        work.await.unwrap_or_else(|_| Err(Failure::runtime("the sandbox failed at this node")))
    }

    async fn stopped(
        &mut self,
        graph: &Graph,
        id: &str,
        cache: &Cache,
        signatures: &Signatures,
        stop: Stop,
    ) -> Outcome {
        let node_type = graph.nodes.get(id).map_or("", |node| node.class_type.as_str());
        match stop {
            Stop::Signal(Signal::Abandon | Signal::Run) => Outcome::Abandoned,
            Stop::Signal(Signal::Interrupt) => {
                let data = json!({
                    "prompt_id": self.prompt.id, "node_id": id, "node_type": node_type,
                    "executed": self.executed,
                });
                let data = self.keep_message("execution_interrupted", data);
                // The one message of a run that reaches everyone when the prompt came without a client.
                self.send(events::event("execution_interrupted", &data)).await;
                Outcome::Interrupted
            }
            Stop::Failure(failure) => {
                let inputs = inputs_of(graph, id, cache, signatures).unwrap_or_default();
                let data = json!({
                    "prompt_id": self.prompt.id, "node_id": id, "node_type": node_type,
                    "executed": self.executed,
                    "exception_message": failure.message, "exception_type": failure.kind,
                    "traceback": [format!("  comfy-sandbox, node class {node_type}\n")],
                    "current_inputs": inputs.describe(),
                    "current_outputs": graph.nodes.keys().collect::<Vec<_>>(),
                });
                self.message("execution_error", data).await;
                Outcome::Failed
            }
        }
    }

    /// `executed`, and the outputs of the history.
    async fn show(&mut self, id: &str, ui: Option<&Json>) {
        let executed = json!({"node": id, "display_node": id, "output": ui, "prompt_id": self.prompt.id});
        self.send_to_client("executed", &executed).await;
        if let Some(ui) = ui {
            self.outputs.insert(id.to_owned(), ui.clone());
        }
    }

    /// `progress_state` and `progress`, with a picture before the latter if it comes with metadata, else after it.
    async fn send_step(&mut self, id: &str, value: u64, max: u64, picture: Option<(Encoding, Bytes)>) {
        self.progress.step(id, value, max);
        self.send_progress_state().await;
        let with_metadata =
            self.prompt.client_id().is_some_and(|client_id| self.state.hub.takes_metadata(client_id));
        if let Some((encoding, image)) = picture.as_ref().filter(|_| with_metadata) {
            self.send(events::preview_with_metadata(*encoding, image, id, &self.prompt.id)).await;
        }
        let data = json!({"value": value, "max": max, "prompt_id": self.prompt.id, "node": id});
        self.send(events::event("progress", &data)).await;
        if let Some((encoding, image)) = picture.as_ref().filter(|_| !with_metadata) {
            self.send(events::preview(*encoding, image)).await;
        }
    }

    async fn send_progress_state(&self) {
        self.send(events::event("progress_state", &self.progress.to_json(&self.prompt.id))).await;
    }

    fn wants_previews(&self) -> bool {
        matches!(self.prompt.extra_data["preview_method"].as_str(), Some("auto" | "latent2rgb" | "taesd"))
    }

    /// Keeps a message for the history and sends it to the client, if there is one.
    async fn message(&mut self, kind: &'static str, data: Json) {
        let data = self.keep_message(kind, data);
        self.send_to_client(kind, &data).await;
    }

    fn keep_message(&mut self, kind: &'static str, mut data: Json) -> Json {
        data["timestamp"] = json!(Timestamp::now().as_millisecond());
        self.messages.push(json!([kind, data]));
        data
    }

    async fn send_to_client(&self, kind: &str, data: &Json) {
        if self.prompt.client_id().is_some() {
            self.send(events::event(kind, data)).await;
        }
    }

    /// Sends to the client of the prompt, or to everyone if it has none.
    async fn send(&self, message: Message) {
        if *self.signal.borrow() == Signal::Abandon {
            return;
        }
        let target = self
            .prompt
            .client_id()
            .map_or(Target::Everyone, |client_id| Target::Client(client_id.to_owned()));
        self.state.hub.send(target, message).await;
    }
}

fn inputs_of(graph: &Graph, id: &str, cache: &Cache, signatures: &Signatures) -> Result<Inputs, Failure> {
    let mut inputs = Inputs::default();
    for (name, input) in graph.nodes.get(id).map(|node| &node.inputs).into_iter().flatten() {
        let value = match input {
            Input::Value(value) => Value::Plain(value.clone()),
            Input::Link { node, slot } => cache
                .get(signatures, node)
                .and_then(|produced| produced.outputs.get(*slot))
                .cloned()
                .ok_or_else(|| Failure::runtime(format!("node {node} gave nothing at {slot}")))?,
        };
        inputs.insert(name, value);
    }
    Ok(inputs)
}

async fn preview(picture: Arc<RgbImage>, done: f64) -> Option<(Encoding, Bytes)> {
    let encode = move || {
        let small = painter::preview(&picture, done, PREVIEW_SIDE);
        pictures::encode_jpeg(&small, PREVIEW_QUALITY).ok()
    };
    let jpeg = tokio::task::spawn_blocking(encode).await.ok().flatten()?;
    Some((Encoding::Jpeg, Bytes::from(jpeg)))
}
