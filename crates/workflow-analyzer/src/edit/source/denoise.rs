//! How much of a source image a sampler changes.

use std::collections::{BTreeSet, HashSet};

use serde_json::{Value, json};

use crate::edit::EditError;
use crate::edit::rewire::{Output, add, set};
use crate::trace::Trace;
use crate::{Graph, Input, NodeId, ObjectInfo};

/// How the strength of one sampler is set.
enum Way {
    /// An input says how much.
    Set { node: String, input: String },
    /// The sampler is told steps, and starts with a later one.
    Start { sampler: String, step: u64 },
    /// The sampler gets the last of its sigmas.
    Cut { sampler: String, input: String, sigmas: Output },
}

/// Sets the strength where the sampler or its scheduler has one; else starts later in the steps, or cuts the sigmas.
pub(super) fn set_denoise(
    graph: &mut Graph,
    info: &ObjectInfo,
    samplers: &BTreeSet<&NodeId>,
    denoise: f64,
) -> Result<(), EditError> {
    if !(0.0..=1.0).contains(&denoise) {
        let (parameter, bounds) = ("denoise".to_owned(), "from 0 to 1".to_owned());
        return Err(EditError::OutOfRange { parameter, value: denoise.to_string(), bounds });
    }
    let ways: Vec<Way> = {
        let trace = Trace::new(graph, info);
        samplers.iter().map(|sampler| way(&trace, sampler, denoise)).collect::<Result<_, _>>()?
    };
    for way in ways {
        match way {
            Way::Set { node, input } => set(graph, &node, &input, json!(denoise).into()),
            Way::Start { sampler, step } => set(graph, &sampler, "start_at_step", json!(step).into()),
            Way::Cut { sampler, input, sigmas } => {
                let split = crate::edit::rewire::class(info, "SplitSigmasDenoise")?;
                let inputs = vec![("sigmas", sigmas.link()), ("denoise", json!(denoise).into())];
                let split = add(graph, split, "Strength", inputs);
                // Output 1 holds the low sigmas: those of the last steps.
                set(graph, &sampler, &input, Input::link(&split, 1));
            }
        }
    }
    Ok(())
}

fn way(trace: &Trace<'_>, sampler: &str, denoise: f64) -> Result<Way, EditError> {
    if let Some((node, input)) = holder(trace, sampler) {
        return Ok(Way::Set { node, input });
    }
    let sampler_id = sampler.to_owned();
    if let Some(step) = later_start(trace.graph, sampler, denoise) {
        return Ok(Way::Start { sampler: sampler_id, step });
    }
    let reason = "its sampler has no strength that can be set";
    let edges = trace.edges_of(sampler, "SIGMAS");
    let edge =
        edges.first().ok_or(EditError::NotPossible { edit: "keep a part of the source image", reason })?;
    Ok(Way::Cut { sampler: sampler_id, input: edge.input.to_owned(), sigmas: edge.from.into() })
}

/// The input that holds `denoise`: of the sampler, of its scheduler, or of a primitive linked to either.
fn holder(trace: &Trace<'_>, sampler: &str) -> Option<(String, String)> {
    let mut told_by: Vec<String> = vec![sampler.to_owned()];
    for edge in trace.edges_of(sampler, "SIGMAS") {
        let ports = trace.upstream(edge.from, "SIGMAS", &mut HashSet::new());
        told_by.extend(ports.iter().map(|port| port.node.to_owned()));
    }
    let known = |id: &str| trace.class(id).is_none_or(|class| class.inputs.contains_key("denoise"));
    let id = told_by.into_iter().find(|id| trace.graph.input(id, "denoise").is_some() && known(id))?;
    let (id, node) = trace.graph.nodes.get_key_value(&id)?;
    let (input, _) = node.inputs.get_key_value("denoise")?;
    let (holder, held) = trace.holder(id, input).unwrap_or((id, input));
    Some((holder.to_owned(), held.to_owned()))
}

/// The first step for samplers that are told steps (KSamplerAdvanced).
fn later_start(graph: &Graph, sampler: &str, denoise: f64) -> Option<u64> {
    let number = |input| graph.input(sampler, input).and_then(Input::as_value).and_then(Value::as_u64);
    let steps = number("steps")?;
    graph.input(sampler, "start_at_step")?;
    let last = number("end_at_step").map_or(steps, |end| end.min(steps)).saturating_sub(1);
    Some(((steps as f64 * (1.0 - denoise)).round() as u64).min(last))
}
