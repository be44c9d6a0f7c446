//! What a graph does and needs, and which of its inputs a caller would want to set.

mod collect;
mod generators;
mod inputs;
mod media;
mod models;
mod needs;
mod sampling;
mod task;
#[cfg(test)]
mod tests;
mod weights;

use std::collections::{BTreeSet, HashMap};

use serde_json::Value;

use crate::trace::Trace;
use crate::{Graph, InputKind, NodeId, ObjectInfo};

pub use inputs::{input, inputs};
pub(crate) use media::file_input;
pub(crate) use needs::model_folder;
pub use task::Task;

/// What [`analyze`] found in a graph.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Analysis {
    /// What a caller may set, the most telling first; names are unique.
    pub parameters: Vec<Parameter>,
    /// The output nodes, in the graph's order.
    pub outputs: Vec<NodeId>,
    /// What a server must have to run it.
    pub needs: Needs,
    /// What it makes of what.
    pub task: Task,
    /// How much of the running time each node takes that an output needs, in sampling steps of one 512 × 512 image.
    /// Rough: it serves to turn progress per node into progress over the graph, and to compare jobs.
    pub weights: HashMap<NodeId, f64>,
    /// All of these together: pixels × steps × batch × frames (a video's latents hold a frame for every four), where 1.0
    /// is one sampling step of one 512 × 512 image. Models differ in what a step takes; jobs of one model compare well.
    pub cost: f64,
}

/// An input of the graph, or several that mean the same, under one name.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// A name that doesn't depend on the graph, by what the input does there: `prompt`, `negative_prompt`, `seed`,
    /// `steps`, `cfg`, `guidance`, `sampler`, `scheduler`, `denoise`, `width`, `height`, `batch_size`, `frames`, `fps`,
    /// `aspect_ratio`, `megapixels`, `seconds`, `lyrics`, `model`, `vae`, `clip`, `clip_type`, `clip_skip`, `lora`,
    /// `lora_strength`, `lora_clip_strength`, `image`, `mask`, `video`, `audio`, `control_image`, `control_strength`,
    /// `control_start`, `control_end`, `controlnet`, `style_model`, `clip_vision`, `audio_encoder`, `upscale_model`,
    /// `latent_upscale_model`, `other_model`, `upscale_factor`, `filename_prefix`. Further ones of a kind end in `_2`,
    /// `_3` and so on. From [`input`] it is the name that was asked for, from [`inputs`] `node.input`.
    pub name: String,
    /// The inputs that get the value, all of them.
    pub bindings: Vec<Binding>,
    /// What it takes, with bounds and choices, as the node says that uses the value; of several nodes, what suits all.
    pub kind: InputKind,
    /// What the graph holds now.
    pub value: Option<Value>,
    /// What the editor starts with, by the class of the node that uses the value.
    pub default: Option<Value>,
}

/// One input of one node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Binding {
    /// The id of the node.
    pub node: NodeId,
    /// The name of the input.
    pub input: String,
}

/// What a server must have to run a graph.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Node classes, of all nodes: ComfyUI refuses an unknown class even where no output needs it.
    pub classes: BTreeSet<String>,
    /// Model files, in the graph's order.
    pub models: Vec<ModelRef>,
}

/// A model file that a node names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelRef {
    /// The folder under `models/` as ComfyUI calls it (`checkpoints`, `loras` …); empty when it isn't known.
    pub folder: String,
    /// The name of the file as in the graph.
    pub name: String,
    /// The id of the node that loads it.
    pub node: NodeId,
    /// The input of that node.
    pub input: String,
}

impl Analysis {
    /// The parameter of that name.
    pub fn parameter(&self, name: &str) -> Option<&Parameter> {
        self.parameters.iter().find(|parameter| parameter.name == name)
    }
}

/// Finds what `graph` does, by following its links back from the outputs and the samplers.
///
/// The types in `info` decide, so that unknown custom nodes are understood as far as their types tell. Never fails:
/// what isn't understood is left out.
pub fn analyze(graph: &Graph, info: &ObjectInfo) -> Analysis {
    let trace = Trace::new(graph, info);
    let mut collector = collect::Collector::default();
    let walk = sampling::collect(&trace, &mut collector);
    let task = task::task(&walk);
    models::collect(&trace, &mut collector);
    let weights = weights::weights(&trace);
    Analysis {
        parameters: collector.into_parameters(),
        outputs: trace.outputs.iter().map(|&id| id.to_owned()).collect(),
        needs: needs::needs(graph, info),
        task,
        cost: trace.live.iter().filter_map(|id| weights.get(*id)).sum(),
        weights,
    }
}
