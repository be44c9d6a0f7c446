//! Attaches a ControlNet to the conditioning of a graph.

use std::collections::HashMap;

use serde_json::json;

use super::rewire::{Output, add, check, check_places, class, set, vae};
use super::{ControlNet, EditError};
use crate::trace::{Edge, Trace};
use crate::{ClassInfo, Graph, Input, NodeId, ObjectInfo};

/// More ControlNets than this at once help nobody.
const MAX_AT_ONCE: usize = 16;

/// Where conditioning enters a sampler or guider: the positive input, and the negative one that goes with it.
struct Entry {
    node: NodeId,
    positive: (String, Output),
    negative: Option<(String, Output)>,
}

/// Attaches several ControlNets as [`attach_controlnet`] does, each behind the one before it. Either all are attached or
/// none.
pub fn attach_controlnets(
    graph: &mut Graph,
    info: &ObjectInfo,
    controls: &[ControlNet],
) -> Result<(), EditError> {
    if controls.len() > MAX_AT_ONCE {
        let reason = "there are more than 16";
        return Err(EditError::NotPossible { edit: "attach the ControlNets", reason });
    }
    let mut edited = graph.clone();
    for control in controls {
        attach_controlnet(&mut edited, info, control)?;
    }
    *graph = edited;
    Ok(())
}

/// Puts a ControlNet between the conditioning and every sampler or guider, behind ControlNets that are already there.
pub fn attach_controlnet(
    graph: &mut Graph,
    info: &ObjectInfo,
    control: &ControlNet,
) -> Result<(), EditError> {
    let (entries, vae) = {
        let trace = Trace::new(graph, info);
        (entries(&trace), vae(&trace))
    };
    if entries.is_empty() {
        let reason = "no sampler in this workflow has a positive conditioning";
        return Err(EditError::NotPossible { edit: "attach a ControlNet", reason });
    }
    check_places(entries.len(), "attach a ControlNet")?;
    let loader = class(info, "ControlNetLoader")?;
    let load_image = class(info, "LoadImage")?;
    let apply = info.class("ControlNetApplyAdvanced").or_else(|| info.class("ControlNetApply"));
    let apply = apply.ok_or(EditError::MissingClass { class: "ControlNetApplyAdvanced" })?;
    check(loader, "control_net_name", "controlnet", &json!(control.model))?;
    check(apply, "strength", "control_strength", &json!(control.strength))?;
    check(apply, "start_percent", "control_start", &json!(control.start))?;
    check(apply, "end_percent", "control_end", &json!(control.end))?;

    let model = vec![("control_net_name", json!(control.model).into())];
    let model = Output::new(&add(graph, loader, "Load ControlNet", model), 0);
    let image = vec![("image", json!(control.image).into())];
    let image = Output::new(&add(graph, load_image, "Control image", image), 0);
    let shared = vec![
        ("control_net", model.link()),
        ("image", image.link()),
        ("strength", json!(control.strength).into()),
    ];
    if apply.takes("CONDITIONING") && apply.inputs.contains_key("negative") {
        let mut inputs = shared;
        inputs.push(("start_percent", json!(control.start).into()));
        inputs.push(("end_percent", json!(control.end).into()));
        // ControlNets of latent models need it; others ignore it.
        inputs.extend(vae.filter(|_| apply.takes("VAE")).map(|vae| ("vae", vae.link())));
        apply_to_both(graph, apply, entries, &inputs);
    } else {
        apply_to_positive(graph, apply, entries, &shared);
    }
    Ok(())
}

/// One node for each pair of conditionings, however many samplers use it.
fn apply_to_both(graph: &mut Graph, apply: &ClassInfo, entries: Vec<Entry>, inputs: &[(&str, Input)]) {
    let mut made: HashMap<(Output, Output), NodeId> = HashMap::new();
    for entry in entries {
        let (positive_input, positive) = entry.positive;
        // A guider without a negative gets the positive's output alone; the other is left unused.
        let negative = entry.negative.as_ref().map_or_else(|| positive.clone(), |(_, from)| from.clone());
        let id = made.entry((positive.clone(), negative.clone())).or_insert_with(|| {
            let mut inputs = inputs.to_vec();
            inputs.push(("positive", positive.link()));
            inputs.push(("negative", negative.link()));
            add(graph, apply, "Apply ControlNet", inputs)
        });
        let id = id.clone();
        set(graph, &entry.node, &positive_input, Input::link(&id, 0));
        if let Some((negative_input, _)) = entry.negative {
            set(graph, &entry.node, &negative_input, Input::link(&id, 1));
        }
    }
}

/// The old node guides both by what it adds to the positive.
fn apply_to_positive(graph: &mut Graph, apply: &ClassInfo, entries: Vec<Entry>, inputs: &[(&str, Input)]) {
    let mut made: HashMap<Output, NodeId> = HashMap::new();
    for entry in entries {
        let (input, positive) = entry.positive;
        let id = made.entry(positive.clone()).or_insert_with(|| {
            let mut inputs = inputs.to_vec();
            inputs.push(("conditioning", positive.link()));
            add(graph, apply, "Apply ControlNet", inputs)
        });
        let id = id.clone();
        set(graph, &entry.node, &input, Input::link(&id, 0));
    }
}

fn entries(trace: &Trace<'_>) -> Vec<Entry> {
    let mut entries = Vec::new();
    for &id in trace.live.iter().filter(|id| trace.is_conditioned(id)) {
        let edges = trace.edges_of(id, "CONDITIONING");
        let (negatives, positives): (Vec<Edge<'_>>, Vec<Edge<'_>>) =
            edges.into_iter().partition(|edge| edge.input.contains("neg"));
        let mut negatives =
            negatives.into_iter().map(|edge| (edge.input.to_owned(), Output::from(edge.from)));
        for edge in positives.into_iter().filter(|edge| !edge.input.contains("empty")) {
            let positive = (edge.input.to_owned(), Output::from(edge.from));
            entries.push(Entry { node: id.to_owned(), positive, negative: negatives.next() });
        }
    }
    entries
}
