//! How much of a graph's running time each node takes, roughly.

use std::collections::HashMap;

use crate::NodeId;
use crate::trace::Trace;

/// The unit of size: the pixels of a picture that takes one unit of time per sampling step.
const UNIT_PIXELS: f64 = 512.0 * 512.0;

/// Numbers in a graph can be anything; no node counts for more than this.
const MOST: f64 = 1e9;

/// What upscaling models do to the sides of a picture, mostly.
const MODEL_FACTOR: f64 = 4.0;

/// The steps of a sampler that doesn't say.
const USUAL_STEPS: f64 = 20.0;

pub(super) fn weights(trace: &Trace<'_>) -> HashMap<NodeId, f64> {
    let mut sizes: HashMap<&str, f64> = HashMap::new();
    let mut steps: HashMap<&str, f64> = HashMap::new();
    let mut weights = HashMap::new();
    for &id in &trace.live {
        let edges = trace.edges(id);
        let pictures = edges.iter().filter(|edge| matches!(edge.kind, "LATENT" | "IMAGE"));
        let before = pictures.filter_map(|edge| sizes.get(edge.from.node)).copied().reduce(f64::max);
        let after = size_after(trace, id, before);
        if trace.gives(id, "LATENT") || trace.gives(id, "IMAGE") {
            sizes.insert(id, after);
        }
        let told = edges.iter().filter(|edge| edge.kind == "SIGMAS");
        let told = told.filter_map(|edge| steps.get(edge.from.node)).copied().reduce(f64::max);
        if let Some(told) = number(trace, id, "steps").or(told) {
            steps.insert(id, told);
        }
        weights.insert(id.to_owned(), weight(trace, id, before.unwrap_or(1.0), told).clamp(0.01, MOST));
    }
    weights
}

/// The size of what a node gives, in units, by what it is told and what it gets.
fn size_after(trace: &Trace<'_>, id: &str, before: Option<f64>) -> f64 {
    let scaled = match number(trace, id, "scale_by") {
        Some(factor) => before.unwrap_or(1.0) * factor * factor,
        None if trace.takes(id, "UPSCALE_MODEL") => before.unwrap_or(1.0) * MODEL_FACTOR * MODEL_FACTOR,
        None => match (number(trace, id, "width"), number(trace, id, "height")) {
            (Some(width), Some(height)) if width * height > 0.0 => width * height / UNIT_PIXELS,
            _ => before.unwrap_or(1.0),
        },
    };
    // Video latents hold a frame for every four.
    let frames = number(trace, id, "length").map_or(1.0, |frames| (frames / 4.0).max(1.0));
    let batch = number(trace, id, "batch_size").map_or(1.0, |batch| batch.max(1.0));
    (scaled * frames * batch).clamp(0.01, MOST)
}

fn weight(trace: &Trace<'_>, id: &str, size: f64, told: Option<f64>) -> f64 {
    let loads = |kind: &str| trace.gives(id, kind) && trace.edges_of(id, kind).is_empty();
    match () {
        () if trace.is_sampler(id) => steps(trace, id, told) * size,
        () if trace.takes(id, "UPSCALE_MODEL") => 4.0 * size,
        () if trace.takes(id, "VAE") => 0.5 * size,
        () if ["MODEL", "CLIP", "VAE", "CONTROL_NET", "UPSCALE_MODEL"].into_iter().any(loads) => 1.0,
        () if trace.gives(id, "CONDITIONING") => 0.2,
        () => 0.05,
    }
}

/// The steps of a sampler: its own, or `told` by its sigmas.
fn steps(trace: &Trace<'_>, sampler: &str, told: Option<f64>) -> f64 {
    let Some(steps) = number(trace, sampler, "steps") else { return told.unwrap_or(USUAL_STEPS) };
    let end = number(trace, sampler, "end_at_step").unwrap_or(steps).min(steps);
    (end - number(trace, sampler, "start_at_step").unwrap_or(0.0)).max(1.0)
}

fn number(trace: &Trace<'_>, id: &str, input: &str) -> Option<f64> {
    let (id, _) = trace.graph.nodes.get_key_value(id)?;
    let (input, _) = trace.graph.nodes.get(id)?.inputs.get_key_value(input)?;
    let (holder, held) = trace.holder(id, input)?;
    let value = trace.graph.input(holder, held)?.as_value()?;
    value.as_f64().filter(|number| number.is_finite() && *number >= 0.0)
}
