//! Several results of one run.

use std::collections::HashSet;

use serde_json::json;

use super::EditError;
use super::rewire::{Output, add, check_kind, check_places, class, relink, set, users};
use super::source::{Source, sources};
use crate::trace::{Port, Trace};
use crate::{Graph, Input, NodeId, ObjectInfo};

/// The class that makes a batch of one latent.
const REPEAT: &str = "RepeatLatentBatch";

/// How a latent becomes a batch.
enum Way {
    /// An input says how many.
    Set { node: NodeId, input: String },
    /// A latent that is made of a picture is repeated.
    Repeat(Output),
}

/// Makes `count` results of each run: where the first samplers start from an empty latent its batch gets that size,
/// and a latent that is made of a picture is repeated.
pub fn set_batch(graph: &mut Graph, info: &ObjectInfo, count: u32) -> Result<(), EditError> {
    const EDIT: &str = "make a batch";
    let value = check_count(info, count)?;
    let ways = ways(&Trace::new(graph, info));
    if ways.is_empty() {
        let reason = "no sampler of this workflow starts from a latent";
        return Err(EditError::NotPossible { edit: EDIT, reason });
    }
    check_places(ways.len(), EDIT)?;
    let mut edited = graph.clone();
    for way in ways {
        match way {
            Way::Set { node, input } => set(&mut edited, &node, &input, Input::Value(value.clone())),
            Way::Repeat(_) if count == 1 => {}
            Way::Repeat(latent) => {
                let inputs = vec![("samples", latent.link()), ("amount", Input::Value(value.clone()))];
                let uses = users(&edited, &latent);
                let repeat = class(info, REPEAT)?;
                let repeated = add(&mut edited, repeat, "Repeat for the batch", inputs);
                relink(&mut edited, &uses, &Output::new(&repeated, 0));
            }
        }
    }
    *graph = edited;
    Ok(())
}

/// No class takes more than 4,096, or less than one.
fn check_count(info: &ObjectInfo, count: u32) -> Result<serde_json::Value, EditError> {
    let usual = crate::InputKind::Int { min: Some(1), max: Some(4096), step: None };
    let spec = info.input("EmptyLatentImage", "batch_size");
    check_kind(spec.map_or(&usual, |spec| &spec.kind), "batch_size", &json!(count))
}

fn ways(trace: &Trace<'_>) -> Vec<Way> {
    let mut done = HashSet::new();
    let ways = sources(trace).into_iter().filter(|source| done.insert(source.latent.clone()));
    ways.map(|source| way(trace, &source)).collect()
}

fn way(trace: &Trace<'_>, source: &Source) -> Way {
    let told = |id: &str, input: &str| {
        let (id, node) = trace.graph.nodes.get_key_value(id)?;
        let (input, _) = node.inputs.get_key_value(input)?;
        let (node, input) = trace.holder(id, input)?;
        Some(Way::Set { node: node.to_owned(), input: input.to_owned() })
    };
    let repeated = || {
        let from = Port { node: &source.latent.node, slot: source.latent.slot };
        let is_repeat = |id: &&NodeId| trace.node(id).is_some_and(|node| node.class_type == REPEAT);
        let user = |id: &&NodeId| trace.edges_of(id, "LATENT").iter().any(|edge| edge.from == from);
        trace.graph.nodes.keys().filter(is_repeat).find(user)
    };
    told(&source.latent.node, "batch_size")
        .or_else(|| told(repeated()?, "amount"))
        .unwrap_or_else(|| Way::Repeat(source.latent.clone()))
}
