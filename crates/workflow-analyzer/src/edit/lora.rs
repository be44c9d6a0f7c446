//! Chains LoRAs behind the models of a graph.

use std::collections::HashSet;

use serde_json::json;

use super::rewire::{Output, add, check, check_places, class, relink, users};
use super::{EditError, Lora};
use crate::trace::{Port, Trace};
use crate::{Graph, ObjectInfo};

/// A diffusion model and the text encoder that goes with it.
struct Pair {
    model: Output,
    clip: Option<Output>,
    /// Only the text encoder still needs the LoRA; the model has another pair.
    clip_only: bool,
}

/// Chains LoRAs, in the order given, behind every model that feeds a sampler and the text encoder that goes with it;
/// LoRAs that the graph already has stay behind them. Where there is no text encoder, only the model is changed.
pub fn apply_loras(graph: &mut Graph, info: &ObjectInfo, loras: &[Lora]) -> Result<(), EditError> {
    if loras.is_empty() {
        return Ok(());
    }
    let pairs = pairs(&Trace::new(graph, info));
    if pairs.is_empty() {
        let reason = "no sampler in this workflow has a diffusion model";
        return Err(EditError::NotPossible { edit: "apply a LoRA", reason });
    }
    check_places(pairs.len() * loras.len(), "apply a LoRA")?;
    let mut edited = graph.clone();
    for pair in &pairs {
        chain(&mut edited, info, pair, loras)?;
    }
    *graph = edited;
    Ok(())
}

fn chain(graph: &mut Graph, info: &ObjectInfo, pair: &Pair, loras: &[Lora]) -> Result<(), EditError> {
    let loader = class(info, if pair.clip.is_some() { "LoraLoader" } else { "LoraLoaderModelOnly" })?;
    let model_users = users(graph, &pair.model);
    let clip_users = pair.clip.as_ref().map(|clip| users(graph, clip));
    let (mut model, mut clip) = (pair.model.clone(), pair.clip.clone());
    for lora in loras {
        let name = json!(lora.name);
        check(loader, "lora_name", "lora", &name)?;
        check(loader, "strength_model", "strength_model", &json!(lora.strength_model))?;
        check(loader, "strength_clip", "strength_clip", &json!(lora.strength_clip))?;
        let mut inputs = vec![
            ("model", model.link()),
            ("lora_name", name.into()),
            ("strength_model", json!(lora.strength_model).into()),
        ];
        if let Some(clip) = &clip {
            inputs.push(("clip", clip.link()));
            inputs.push(("strength_clip", json!(lora.strength_clip).into()));
        }
        let id = add(graph, loader, "Load LoRA", inputs);
        model = Output::new(&id, 0);
        clip = clip.map(|_| Output::new(&id, 1));
    }
    if !pair.clip_only {
        relink(graph, &model_users, &model);
    }
    if let (Some(users), Some(clip)) = (clip_users, clip) {
        relink(graph, &users, &clip);
    }
    Ok(())
}

/// Every model source that feeds a sampler or guider, each with the source of the text encoder whose conditioning
/// meets it there. What one sampler's walk has seen, the next passes over.
fn pairs(trace: &Trace<'_>) -> Vec<Pair> {
    let (mut models, mut conds, mut clips) = (HashSet::new(), HashSet::new(), HashSet::new());
    let mut pairs: Vec<Pair> = Vec::new();
    let is_source = |port: &Port<'_>, kind: &str| trace.passed(*port, kind).is_empty();
    for &id in trace.live.iter().filter(|id| trace.is_conditioned(id)) {
        let mut new_models = Vec::new();
        for edge in trace.edges_of(id, "MODEL") {
            new_models.extend(trace.upstream(edge.from, "MODEL", &mut models));
        }
        let mut new_clips = Vec::new();
        for edge in trace.edges_of(id, "CONDITIONING") {
            for port in trace.upstream(edge.from, "CONDITIONING", &mut conds) {
                for edge in trace.edges_of(port.node, "CLIP") {
                    new_clips.extend(trace.upstream(edge.from, "CLIP", &mut clips));
                }
            }
        }
        new_models.retain(|port| is_source(port, "MODEL"));
        new_clips.retain(|port| is_source(port, "CLIP"));
        let mut new_clips = new_clips.into_iter().map(Output::from);
        for port in new_models {
            pairs.push(Pair { model: port.into(), clip: new_clips.next(), clip_only: false });
        }
        let model = pairs.first().map(|pair| pair.model.clone());
        if let Some(model) = model {
            pairs.extend(new_clips.map(|clip| Pair {
                model: model.clone(),
                clip: Some(clip),
                clip_only: true,
            }));
        }
    }
    pairs
}
