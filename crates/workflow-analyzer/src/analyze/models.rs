//! Parameters that stand on the nodes which load, patch and put out: models, LoRAs, file names.

use super::collect::{Collector, Grouping};
use super::model_folder;
use crate::trace::Trace;
use crate::{Input, InputKind};

/// The role of a model file by the folder that it is in, where that says what it is.
const ROLES_BY_FOLDER: [(&str, &str); 12] = [
    ("checkpoints", "model"),
    ("diffusion_models", "model"),
    ("text_encoders", "clip"),
    ("vae", "vae"),
    ("loras", "lora"),
    ("controlnet", "controlnet"),
    ("model_patches", "controlnet"),
    ("style_models", "style_model"),
    ("clip_vision", "clip_vision"),
    ("audio_encoders", "audio_encoder"),
    ("upscale_models", "upscale_model"),
    ("latent_upscale_models", "latent_upscale_model"),
];

/// The role of a model file by what its loader gives.
const ROLES_BY_OUTPUT: [(&str, &str); 4] =
    [("MODEL", "model"), ("CLIP", "clip"), ("VAE", "vae"), ("UPSCALE_MODEL", "upscale_model")];

pub(super) fn collect<'a>(trace: &Trace<'a>, collector: &mut Collector<'a>) {
    let mut loras = 0;
    for &id in &trace.live {
        let patches = trace.gives(id, "MODEL") && !trace.edges_of(id, "MODEL").is_empty();
        if let Some(lora) = input_starting_with(trace, id, "lora").filter(|_| patches) {
            collect_lora(trace, collector, id, lora, Grouping::Numbered(loras));
            loras += 1;
        }
        collect_files(trace, collector, id);
        if trace.gives(id, "CLIP") {
            collector.add(trace, "clip_skip", id, "stop_at_clip_layer", Grouping::SameValue);
        }
    }
    for &id in &trace.outputs {
        collector.add(trace, "filename_prefix", id, "filename_prefix", Grouping::SameValue);
    }
    for &id in &trace.live {
        for rate in ["fps", "frame_rate"] {
            collector.add(trace, "fps", id, rate, Grouping::SameValue);
        }
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

/// The model files that a node names.
fn collect_files<'a>(trace: &Trace<'a>, collector: &mut Collector<'a>, id: &'a str) {
    let loads = |kind: &str| trace.gives(id, kind) && trace.edges_of(id, kind).is_empty();
    let by_output = ROLES_BY_OUTPUT.iter().find(|(kind, _)| loads(kind)).map(|(_, role)| *role);
    let mut found_role = None;
    for (file, folder) in model_files(trace, id) {
        let by_folder = ROLES_BY_FOLDER.iter().find(|(known, _)| *known == folder).map(|(_, role)| *role);
        let role = by_folder.or(by_output).unwrap_or("other_model");
        collector.add(trace, role, id, file, Grouping::SameValue);
        found_role = Some(role);
    }
    if found_role == Some("clip") {
        collector.add(trace, "clip_type", id, "type", Grouping::SameValue);
    }
}

/// The inputs of a node that name model files, each with its folder (empty when it isn't known).
pub(super) fn model_files<'a>(trace: &Trace<'a>, id: &'a str) -> Vec<(&'a str, &'static str)> {
    let Some(node) = trace.node(id) else { return Vec::new() };
    let class = trace.class(id);
    // A file that comes over a link is one by its class alone.
    let may_be = |name: &str, input: &Input| {
        input.as_value().is_some() || class.is_some_and(|class| class.inputs.contains_key(name))
    };
    let files = node.inputs.iter().filter(|(name, input)| may_be(name, input)).filter_map(|(name, _)| {
        let (holder, held) = trace.holder(id, name)?;
        let value = trace.graph.input(holder, held)?.as_value()?.as_str()?;
        model_folder(class, name, value).map(|folder| (name.as_str(), folder))
    });
    files.collect()
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
