//! What samplers start from: sizes, pictures, masks, videos and sound.

use super::collect::Grouping;
use super::sampling::Walk;
use crate::InputKind;
use crate::trace::{Edge, Port, Trace};

/// The inputs of a node that makes empty latents or pictures, or scales them.
const SIZES: [(&str, &str); 9] = [
    ("width", "width"),
    ("height", "height"),
    ("length", "frames"),
    ("frames", "frames"),
    ("num_frames", "frames"),
    ("seconds", "seconds"),
    ("megapixels", "megapixels"),
    ("aspect_ratio", "aspect_ratio"),
    ("batch_size", "batch_size"),
];

/// Those of [`SIZES`] that other nodes work out: of a picture, or of proportions.
const WORKED_OUT: [&str; 3] = ["width", "height", "frames"];

impl<'a> Walk<'_, 'a> {
    /// What a sampler starts from: an empty latent with a size, or a picture, perhaps with a mask.
    pub(super) fn start(&mut self, edge: Edge<'a>) {
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

    pub(super) fn sizes(&mut self, id: &'a str) {
        let trace = self.trace;
        for input in trace.node(id).into_iter().flat_map(|node| node.inputs.keys()) {
            if let Some(role) = size_role(input) {
                self.collector.add(trace, role, id, input, Grouping::SameValue);
            }
        }
        self.measure_into(id);
    }

    /// Where the sizes of a node come from that aren't written anywhere.
    pub(super) fn measure_into(&mut self, id: &'a str) {
        let trace = self.trace;
        for (input, value) in trace.node(id).into_iter().flat_map(|node| &node.inputs) {
            let is_worked_out = size_role(input).is_some_and(|role| WORKED_OUT.contains(&role));
            if is_worked_out
                && trace.holder(id, input).is_none()
                && let Some((from, _)) = value.as_link()
                && let Some((from, _)) = trace.graph.nodes.get_key_value(from)
                && self.measured.insert(from)
            {
                self.measures.push(from);
            }
        }
    }

    /// A size that is worked out is set where that starts: at a picture that is scaled, or at proportions.
    pub(super) fn sizes_worked_out(&mut self) {
        let trace = self.trace;
        while let Some(id) = self.measures.pop() {
            self.images_into(id, "image");
            self.sizes(id);
            for edge in trace.edges(id) {
                if matches!(edge.kind, "INT" | "FLOAT" | "*") && self.measured.insert(edge.from.node) {
                    self.measures.push(edge.from.node);
                }
            }
        }
    }

    pub(super) fn images_into(&mut self, id: &'a str, role: &'static str) {
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
                self.collector.add(trace, file_role(trace, id, role), id, file, by);
            } else if role == "image" && !self.sampled.contains(id) && !trace.is_sampler(id) {
                self.sizes(id);
            }
            if role == "image" {
                self.collector.add(trace, "upscale_factor", id, "scale_by", Grouping::Single);
            }
        }
    }

    pub(super) fn masks_into(&mut self, id: &'a str) {
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

    /// The files of videos and sound that go into a node.
    pub(super) fn clips_into(&mut self, id: &'a str) {
        let trace = self.trace;
        for (kind, role) in [("VIDEO", "video"), ("AUDIO", "audio")] {
            for edge in trace.edges_of(id, kind) {
                for port in trace.upstream(edge.from, kind, &mut self.clips) {
                    if let Some(file) = file_input(trace, port.node) {
                        let role = file_role(trace, port.node, role);
                        self.collector.add(trace, role, port.node, file, Grouping::Single);
                    }
                }
            }
        }
    }
}

/// The role of an input by its name; in a group of inputs (`resize_type.width`) by the last part.
fn size_role(input: &str) -> Option<&'static str> {
    let part = input.rsplit_once('.').map_or(input, |(_, part)| part);
    SIZES.iter().find(|(name, _)| *name == part).map(|(_, role)| *role)
}

/// A loader of videos gives pictures or sound too.
fn file_role(trace: &Trace<'_>, id: &str, role: &'static str) -> &'static str {
    if trace.gives(id, "VIDEO") { "video" } else { role }
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
