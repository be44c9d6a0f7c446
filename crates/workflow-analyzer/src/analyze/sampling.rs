//! Parameters around the samplers: what they are told, and how they are set. What they start from is in `media`.

use std::collections::HashSet;

use super::collect::{Collector, Grouping};
use super::models::model_files;
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

/// Texts of an encoder that aren't the prompt.
const OTHER_TEXTS: [&str; 4] = ["lyrics", "system", "template", "negative"];

/// Walks back from all samplers; what one walk has seen, the next passes over, so that all are linear together.
pub(super) struct Walk<'t, 'a> {
    pub(super) trace: &'t Trace<'a>,
    pub(super) collector: &'t mut Collector<'a>,
    pub(super) positive: HashSet<Port<'a>>,
    pub(super) negative: HashSet<Port<'a>>,
    pub(super) latents: HashSet<Port<'a>>,
    pub(super) images: HashSet<Port<'a>>,
    pub(super) masks: HashSet<Port<'a>>,
    pub(super) clips: HashSet<Port<'a>>,
    pub(super) models: HashSet<Port<'a>>,
    pub(super) settings: HashSet<Port<'a>>,
    /// The samplers, each after those whose result it takes.
    pub(super) samplers: Vec<&'a str>,
    /// What comes after one of them.
    pub(super) sampled: HashSet<&'a str>,
    /// Nodes that work out a size and haven't been looked at.
    pub(super) measures: Vec<&'a str>,
    /// Those and the ones that have.
    pub(super) measured: HashSet<&'a str>,
    pub(super) controls: usize,
    /// Whether a sampler starts from something that is masked.
    pub(super) masked: bool,
    /// Whether a picture is shown to the model beside the text.
    pub(super) shown: bool,
    /// Whether a node makes something of a text without a sampler.
    pub(super) generates: bool,
}

/// Finds the parameters of every sampler that an output needs.
pub(super) fn collect<'t, 'a>(trace: &'t Trace<'a>, collector: &'t mut Collector<'a>) -> Walk<'t, 'a> {
    let samplers: Vec<&str> = trace.live.iter().copied().filter(|id| trace.is_sampler(id)).collect();
    let mut walk = Walk {
        trace,
        collector,
        positive: HashSet::new(),
        negative: HashSet::new(),
        latents: HashSet::new(),
        images: HashSet::new(),
        masks: HashSet::new(),
        clips: HashSet::new(),
        models: HashSet::new(),
        settings: HashSet::new(),
        sampled: after_samplers(trace, &samplers),
        samplers,
        measures: Vec::new(),
        measured: HashSet::new(),
        controls: 0,
        masked: false,
        shown: false,
        generates: false,
    };
    for sampler in walk.samplers.clone() {
        walk.sampler(sampler);
    }
    for &id in &trace.live {
        walk.generator(id);
    }
    for &id in &trace.live {
        walk.images_into(id, "image");
        walk.masks_into(id);
        walk.clips_into(id);
    }
    walk.sizes_worked_out();
    walk
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
                self.start(*edge);
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
            self.models_into(id);
        }
    }

    /// Some ControlNets patch the model instead of the conditioning.
    fn models_into(&mut self, id: &'a str) {
        for edge in self.trace.edges_of(id, "MODEL") {
            let ports = self.trace.upstream(edge.from, "MODEL", &mut self.models);
            for port in ports.iter().rev() {
                let patches = self.trace.edges_of(port.node, "MODEL_PATCH");
                if !patches.is_empty() {
                    self.control(port.node, &patches);
                }
            }
        }
    }

    fn settings(&mut self, sampler: &'a str, id: &'a str) {
        self.set_at(id);
        // A second pass over the first one's result has a strength of its own.
        let by = if self.sampled.contains(sampler) { Grouping::Single } else { Grouping::SameValue };
        self.collector.add(self.trace, "denoise", id, "denoise", by);
    }

    /// What the node itself is told.
    pub(super) fn set_at(&mut self, id: &'a str) {
        for (input, role) in SETTINGS {
            self.collector.add(self.trace, role, id, input, Grouping::SameValue);
        }
        self.measure_into(id);
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
            for lyrics in texts_named(trace, port.node, "lyrics") {
                self.collector.add(trace, "lyrics", port.node, lyrics, Grouping::SameValue);
            }
            self.collector.add(trace, "guidance", port.node, "guidance", Grouping::SameValue);
            if trace.edges_of(port.node, "CONTROL_NET").is_empty() {
                self.shown |= !trace.edges_of(port.node, "IMAGE").is_empty();
                self.images_into(port.node, "image");
                for edge in trace.edges_of(port.node, "LATENT") {
                    self.shown = true;
                    self.start(edge);
                }
            }
        }
    }

    fn control(&mut self, id: &'a str, control_nets: &[Edge<'a>]) {
        let trace = self.trace;
        let by = Grouping::Numbered(self.controls);
        for edge in control_nets {
            for port in trace.upstream(edge.from, edge.kind, &mut self.settings) {
                for (file, _) in model_files(trace, port.node) {
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
}

/// The texts that an encoder turns into conditioning of that role.
pub(super) fn texts<'a>(trace: &Trace<'a>, id: &'a str, role: &str) -> Vec<&'a str> {
    let mut texts = text_inputs(trace, id);
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

/// The texts of a node whose names hold that word.
fn texts_named<'a>(trace: &Trace<'a>, id: &'a str, word: &str) -> Vec<&'a str> {
    let mut texts = text_inputs(trace, id);
    texts.retain(|name| name.contains(word));
    texts
}

/// The inputs of a node that hold texts; of those that its class doesn't list, what is called like one.
fn text_inputs<'a>(trace: &Trace<'a>, id: &'a str) -> Vec<&'a str> {
    let Some(node) = trace.node(id) else { return Vec::new() };
    let is_text = |name: &str| match trace.spec(id, name) {
        Some(spec) => matches!(spec.kind, InputKind::String { .. }),
        None if trace.class(id).is_some() => {
            name.rsplit_once('.').is_some_and(|(_, part)| part.contains("prompt"))
        }
        None => name.contains("text") || name.contains("prompt"),
    };
    node.inputs.keys().map(String::as_str).filter(|name| is_text(name)).collect()
}
