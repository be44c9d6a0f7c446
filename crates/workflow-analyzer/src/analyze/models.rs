//! Parameters that stand on the nodes which load, patch and put out: models, LoRAs, file names.

use super::collect::{Collector, Grouping};
use super::model_folder;
use crate::InputKind;
use crate::trace::Trace;

pub(super) fn collect<'a>(trace: &Trace<'a>, collector: &mut Collector<'a>) {
    let mut loras = 0;
    for &id in &trace.live {
        let patches = trace.gives(id, "MODEL") && !trace.edges_of(id, "MODEL").is_empty();
        if let Some(lora) = input_starting_with(trace, id, "lora").filter(|_| patches) {
            collect_lora(trace, collector, id, lora, Grouping::Numbered(loras));
            loras += 1;
        }
        collect_loader(trace, collector, id);
        if trace.gives(id, "CLIP") {
            collector.add(trace, "clip_skip", id, "stop_at_clip_layer", Grouping::SameValue);
        }
    }
    for &id in &trace.outputs {
        collector.add(trace, "filename_prefix", id, "filename_prefix", Grouping::SameValue);
    }
    for &id in &trace.live {
        collector.add(trace, "fps", id, "fps", Grouping::SameValue);
    }
}

fn collect_lora<'a>(
    trace: &Trace<'a>,
    collector: &mut Collector<'a>,
    id: &'a str,
    lora: &'a str,
    by: Grouping,
) {
    collector.add(trace, "lora", id, lora, by);
    for strength in ["strength_model", "strength"] {
        collector.add(trace, "lora_strength", id, strength, by);
    }
    collector.add(trace, "lora_clip_strength", id, "strength_clip", by);
}

/// The file that a loader reads: a node that gives a model of a kind and takes none of that kind.
fn collect_loader<'a>(trace: &Trace<'a>, collector: &mut Collector<'a>, id: &'a str) {
    let loads = |kind: &str| trace.gives(id, kind) && trace.edges_of(id, kind).is_empty();
    let role = match () {
        () if loads("MODEL") => "model",
        () if loads("CLIP") => "clip",
        () if loads("VAE") => "vae",
        () if loads("UPSCALE_MODEL") => "upscale_model",
        () => return,
    };
    for file in model_inputs(trace, id) {
        collector.add(trace, role, id, file, Grouping::SameValue);
    }
    if role == "clip" {
        collector.add(trace, "clip_type", id, "type", Grouping::SameValue);
    }
}

/// The inputs of a node that name model files.
pub(super) fn model_inputs<'a>(trace: &Trace<'a>, id: &'a str) -> Vec<&'a str> {
    let Some(node) = trace.node(id) else { return Vec::new() };
    let class = trace.class(id);
    let names = node.inputs.iter().filter_map(|(name, _)| {
        let (holder, held) = trace.holder(id, name)?;
        let value = trace.graph.input(holder, held)?.as_value()?.as_str()?;
        model_folder(class, name, value).map(|_| name.as_str())
    });
    names.collect()
}

fn input_starting_with<'a>(trace: &Trace<'a>, id: &'a str, prefix: &str) -> Option<&'a str> {
    let node = trace.node(id)?;
    let is_choice = |name: &str| {
        trace
            .spec(id, name)
            .is_none_or(|spec| matches!(spec.kind, InputKind::Combo { .. } | InputKind::String { .. }))
    };
    node.inputs.keys().map(String::as_str).find(|name| name.starts_with(prefix) && is_choice(name))
}
