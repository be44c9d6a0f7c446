//! Parameters around the samplers: what they are told, what they start from, and how they are set.

use std::collections::HashSet;

use super::Task;
use super::collect::{Collector, Grouping};
use super::models::model_inputs;
use crate::InputKind;
use crate::trace::{Edge, Port, Trace};

/// How the settings of samplers, guiders, schedulers and noise are called, and the role of each.
const SETTINGS: [(&str, &str); 11] = [
    ("seed", "seed"),
    ("noise_seed", "seed"),
    ("steps", "steps"),
    ("cfg", "cfg"),
    ("cfg_conds", "cfg"),
    ("guidance", "guidance"),
    ("sampler_name", "sampler"),
    ("scheduler", "scheduler"),
    // Schedulers of some models are told the size.
    ("width", "width"),
    ("height", "height"),
    ("length", "frames"),
];

/// The inputs of a node that makes empty latents or pictures.
const SIZES: [(&str, &str); 6] = [
    ("width", "width"),
    ("height", "height"),
    ("length", "frames"),
    ("frames", "frames"),
    ("num_frames", "frames"),
    ("batch_size", "batch_size"),
];

/// Texts of an encoder that aren't the prompt.
const OTHER_TEXTS: [&str; 4] = ["lyrics", "system", "template", "negative"];

/// Walks back from all samplers; what one walk has seen, the next passes over, so that all are linear together.
struct Walk<'t, 'a> {
    trace: &'t Trace<'a>,
    collector: &'t mut Collector<'a>,
    positive: HashSet<Port<'a>>,
    negative: HashSet<Port<'a>>,
    latents: HashSet<Port<'a>>,
    images: HashSet<Port<'a>>,
    masks: HashSet<Port<'a>>,
    settings: HashSet<Port<'a>>,
    /// Samplers, and what comes after one.
    sampled: HashSet<&'a str>,
    controls: usize,
    masked: bool,
}

/// Finds the parameters of every sampler that an output needs, and what the graph does.
pub(super) fn collect<'a>(trace: &Trace<'a>, collector: &mut Collector<'a>) -> Task {
    let samplers: Vec<&str> = trace.live.iter().copied().filter(|id| trace.is_sampler(id)).collect();
    let mut walk = Walk {
        trace,
        collector,
        positive: HashSet::new(),
        negative: HashSet::new(),
        latents: HashSet::new(),
        images: HashSet::new(),
        masks: HashSet::new(),
        settings: HashSet::new(),
        sampled: after_samplers(trace, &samplers),
        controls: 0,
        masked: false,
    };
    for &sampler in &samplers {
        walk.sampler(sampler);
    }
    for &id in &trace.live {
        walk.images_into(id, "image");
        walk.masks_into(id);
    }
    let masked = walk.masked;
    task(trace, collector, &samplers, masked)
}

fn task(trace: &Trace<'_>, collector: &Collector<'_>, samplers: &[&str], masked: bool) -> Task {
    if samplers.is_empty() {
        let scales =
            |id: &str| trace.takes(id, "UPSCALE_MODEL") || trace.spec(id, "upscale_method").is_some();
        let upscales = collector.has("image") && trace.live.iter().any(|id| scales(id));
        return if upscales { Task::Upscale } else { Task::Other };
    }
    let makes_pictures = trace.live.iter().any(|id| trace.gives(id, "IMAGE"));
    match () {
        () if collector.has("frames") || !makes_pictures => Task::Other,
        () if masked => Task::Inpaint,
        () if collector.has("image") => Task::ImageToImage,
        () => Task::TextToImage,
    }
}

fn after_samplers<'a>(trace: &Trace<'a>, samplers: &[&'a str]) -> HashSet<&'a str> {
    let samplers: HashSet<&str> = samplers.iter().copied().collect();
    let mut after = HashSet::new();
    for &id in &trace.live {
        let edges = trace.edges(id);
        if edges.iter().any(|edge| samplers.contains(edge.from.node) || after.contains(edge.from.node)) {
            after.insert(id);
        }
    }
    after
}

impl<'a> Walk<'_, 'a> {
    fn sampler(&mut self, sampler: &'a str) {
        for edge in self.trace.edges(sampler) {
            if matches!(edge.kind, "LATENT" | "IMAGE") {
                self.start(edge);
            }
        }
        let mut told_by = vec![sampler];
        for kind in ["NOISE", "GUIDER", "SAMPLER", "SIGMAS"] {
            for edge in self.trace.edges_of(sampler, kind) {
                told_by.extend(
                    self.trace.upstream(edge.from, kind, &mut self.settings).iter().map(|port| port.node),
                );
            }
        }
        for id in told_by {
            self.settings(sampler, id);
            self.conditioning_into(id);
        }
    }

    fn settings(&mut self, sampler: &'a str, id: &'a str) {
        for (input, role) in SETTINGS {
            self.collector.add(self.trace, role, id, input, Grouping::SameValue);
        }
        // A second pass over the first one's result has a strength of its own.
        let by = if self.sampled.contains(sampler) { Grouping::Single } else { Grouping::SameValue };
        self.collector.add(self.trace, "denoise", id, "denoise", by);
    }

    /// Positive first: a text that is also reached as the negative (through ConditioningZeroOut) is the prompt.
    fn conditioning_into(&mut self, id: &'a str) {
        let edges = self.trace.edges_of(id, "CONDITIONING");
        let is_negative = |edge: &Edge<'_>| edge.input.contains("neg");
        for edge in edges.iter().filter(|edge| !is_negative(edge) && !edge.input.contains("empty")) {
            let ports = self.trace.upstream(edge.from, "CONDITIONING", &mut self.positive);
            self.conditioning(&ports, "prompt");
        }
        for edge in edges.iter().filter(|edge| is_negative(edge)) {
            let ports = self.trace.upstream(edge.from, "CONDITIONING", &mut self.negative);
            self.conditioning(&ports, "negative_prompt");
        }
    }

    fn conditioning(&mut self, ports: &[Port<'a>], role: &'static str) {
        let trace = self.trace;
        // The ControlNet next to the texts comes first, as it is applied first.
        for port in ports.iter().rev() {
            let control_nets = trace.edges_of(port.node, "CONTROL_NET");
            if !control_nets.is_empty() {
                self.control(port.node, &control_nets);
            }
        }
        for port in ports {
            for text in texts(trace, port.node, role) {
                self.collector.add(trace, role, port.node, text, Grouping::SameValue);
            }
            self.collector.add(trace, "guidance", port.node, "guidance", Grouping::SameValue);
            if trace.edges_of(port.node, "CONTROL_NET").is_empty() {
                self.images_into(port.node, "image");
                for edge in trace.edges_of(port.node, "LATENT") {
                    self.start(edge);
                }
            }
        }
    }

    fn control(&mut self, id: &'a str, control_nets: &[Edge<'a>]) {
        let trace = self.trace;
        let by = Grouping::Numbered(self.controls);
        for edge in control_nets {
            for port in trace.upstream(edge.from, "CONTROL_NET", &mut self.settings) {
                for file in model_inputs(trace, port.node) {
                    self.collector.add(trace, "controlnet", port.node, file, by);
                }
            }
        }
        for (input, role) in [
            ("strength", "control_strength"),
            ("start_percent", "control_start"),
            ("end_percent", "control_end"),
        ] {
            self.collector.add(trace, role, id, input, by);
        }
        self.images_into(id, "control_image");
        self.controls += 1;
    }

    /// What a sampler starts from: an empty latent with a size, or a picture, perhaps with a mask.
    fn start(&mut self, edge: Edge<'a>) {
        let trace = self.trace;
        if edge.kind == "IMAGE" {
            return self.image(edge.from, "image");
        }
        for port in trace.upstream(edge.from, "LATENT", &mut self.latents) {
            if trace.is_sampler(port.node) {
                continue;
            }
            self.images_into(port.node, "image");
            self.masked |= !trace.edges_of(port.node, "MASK").is_empty();
            self.masks_into(port.node);
            self.collector.add(trace, "upscale_factor", port.node, "scale_by", Grouping::Single);
            if trace.edges_of(port.node, "LATENT").is_empty() {
                self.sizes(port.node);
            }
        }
    }

    fn sizes(&mut self, id: &'a str) {
        for (input, role) in SIZES {
            self.collector.add(self.trace, role, id, input, Grouping::SameValue);
        }
    }

    fn images_into(&mut self, id: &'a str, role: &'static str) {
        for edge in self.trace.edges_of(id, "IMAGE") {
            self.image(edge.from, role);
        }
    }

    fn image(&mut self, start: Port<'a>, role: &'static str) {
        let trace = self.trace;
        for port in trace.upstream(start, "IMAGE", &mut self.images) {
            let id = port.node;
            if let Some(file) = file_input(trace, id) {
                let by = if role == "control_image" {
                    Grouping::Numbered(self.controls)
                } else {
                    Grouping::Single
                };
                self.collector.add(trace, role, id, file, by);
            } else if role == "image" && !self.sampled.contains(id) && !trace.is_sampler(id) {
                self.sizes(id);
            }
            if role == "image" {
                self.collector.add(trace, "upscale_factor", id, "scale_by", Grouping::Single);
            }
        }
    }

    fn masks_into(&mut self, id: &'a str) {
        let trace = self.trace;
        for edge in trace.edges_of(id, "MASK") {
            for port in trace.upstream(edge.from, "MASK", &mut self.masks) {
                if let Some(file) = file_input(trace, port.node) {
                    self.collector.add(trace, "mask", port.node, file, Grouping::Single);
                } else if trace.edges_of(port.node, "MASK").is_empty() {
                    self.images_into(port.node, "mask");
                }
            }
        }
    }
}

/// The texts that an encoder turns into conditioning of that role.
fn texts<'a>(trace: &Trace<'a>, id: &'a str, role: &str) -> Vec<&'a str> {
    let Some(node) = trace.node(id) else { return Vec::new() };
    let is_text = |name: &str| match trace.spec(id, name) {
        Some(spec) => matches!(spec.kind, InputKind::String { .. }),
        None => trace.class(id).is_none() && (name.contains("text") || name.contains("prompt")),
    };
    let mut texts: Vec<&str> = node.inputs.keys().map(String::as_str).filter(|name| is_text(name)).collect();
    let is_area = |name: &str| match trace.spec(id, name) {
        Some(spec) => spec.kind == InputKind::String { multiline: true },
        None => true,
    };
    if texts.iter().any(|name| is_area(name)) {
        texts.retain(|name| is_area(name));
    }
    // A node with texts of both kinds has named them.
    let named_negative = |name: &str| name.contains("negative");
    if role == "negative_prompt" && texts.iter().any(|name| named_negative(name)) {
        texts.retain(|name| named_negative(name));
    } else {
        texts.retain(|name| !OTHER_TEXTS.iter().any(|other| name.contains(other)));
    }
    texts
}

/// The input of a node that names a file which a client may upload.
pub(crate) fn file_input<'a>(trace: &Trace<'a>, id: &'a str) -> Option<&'a str> {
    let node = trace.node(id)?;
    let class = trace.class(id);
    node.inputs.keys().map(String::as_str).find(|name| match class {
        Some(class) => matches!(
            class.inputs.get(*name).map(|spec| &spec.kind),
            Some(InputKind::Combo { upload: true, .. })
        ),
        None => node.class_type.starts_with("LoadImage") && *name == "image",
    })
}
