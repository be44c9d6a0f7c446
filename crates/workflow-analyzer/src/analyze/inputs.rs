//! Any input that a person may want to name: by the node's id or title, with what it takes.

use serde_json::Value;

use super::collect::settable;
use super::{Binding, Parameter};
use crate::edit::EditError;
use crate::nearest::nearest;
use crate::trace::Trace;
use crate::{Graph, Input, NodeId, ObjectInfo};

/// How many similar names an error offers.
const NEAREST: usize = 3;

/// More nodes than this of one title are not told.
const MAX_TOLD: usize = 8;

/// The input that `name` means: `node.input` by the node's id, or `Title.input` by its title, or by its class when the
/// graph has one node of it. Case matters only when it has to. A value that a primitive holds is set there.
///
/// Fails with [`EditError::UnknownParameter`], [`EditError::Ambiguous`] for a title that several nodes have, and
/// [`EditError::Linked`] for what another node works out.
pub fn input(graph: &Graph, info: &ObjectInfo, name: &str) -> Result<Parameter, EditError> {
    let trace = Trace::new(graph, info);
    // Ids, titles and names of inputs may hold points themselves, so that every place is tried.
    let places = name.char_indices().filter(|(_, c)| *c == '.').map(|(at, _)| (&name[..at], &name[at + 1..]));
    let mut refused = None;
    for (node, input) in places {
        match nodes(graph, node, |id| has_input(&trace, id, input)).as_slice() {
            [] => {}
            [id] => match parameter(&trace, name, id, input) {
                Ok(found) => return Ok(found),
                Err(Some(node)) => {
                    refused = refused.or(Some(EditError::Linked { parameter: shortened(name), node }));
                }
                Err(None) => {}
            },
            several => {
                let nodes = several.iter().take(MAX_TOLD).map(|id| (*id).to_owned()).collect();
                refused = refused.or(Some(EditError::Ambiguous { parameter: shortened(name), nodes }));
            }
        }
    }
    Err(refused.unwrap_or_else(|| unknown(graph, name)))
}

/// Every input that an output needs and that holds a value, as `node.input`, in the graph's order.
pub fn inputs(graph: &Graph, info: &ObjectInfo) -> Vec<Parameter> {
    let trace = Trace::new(graph, info);
    let live: std::collections::HashSet<&str> = trace.live.iter().copied().collect();
    let nodes = graph.nodes.iter().filter(|(id, _)| live.contains(id.as_str()));
    let inputs = nodes.flat_map(|(id, node)| node.inputs.iter().map(move |(name, input)| (id, name, input)));
    let values = inputs.filter(|(_, _, input)| input.as_value().is_some());
    values.filter_map(|(id, name, _)| parameter(&trace, &format!("{id}.{name}"), id, name).ok()).collect()
}

fn has_input(trace: &Trace<'_>, id: &str, input: &str) -> bool {
    trace.graph.input(id, input).is_some() || trace.spec(id, input).is_some()
}

/// The nodes that a name stands for, the surest way to read it first.
fn nodes<'a>(graph: &'a Graph, name: &str, fits: impl Fn(&str) -> bool) -> Vec<&'a str> {
    if let Some((id, _)) = graph.nodes.get_key_value(name)
        && fits(id)
    {
        return vec![id];
    }
    let lower = name.to_lowercase();
    let ways: [&dyn Fn(&crate::Node) -> bool; 3] = [
        &|node| node.title.as_deref() == Some(name),
        &|node| node.title.as_ref().is_some_and(|title| title.to_lowercase() == lower),
        &|node| node.class_type == name,
    ];
    let of_way = |is_meant: &&dyn Fn(&crate::Node) -> bool| {
        let meant = graph.nodes.iter().filter(|(id, node)| is_meant(node) && fits(id));
        let ids: Vec<&str> = meant.map(|(id, _)| id.as_str()).collect();
        Some(ids).filter(|ids| !ids.is_empty())
    };
    ways.iter().find_map(of_way).unwrap_or_default()
}

/// The input under that name; where another node works it out, fails with that node.
fn parameter(trace: &Trace<'_>, name: &str, id: &str, input: &str) -> Result<Parameter, Option<NodeId>> {
    let spec = trace.spec(id, input);
    let Some(held) = trace.graph.input(id, input) else {
        // Not set, and the class has it.
        let (id, _) = trace.graph.nodes.get_key_value(id).ok_or(None)?;
        let kind = settable(spec, None).ok_or(None)?;
        let default = spec.and_then(|spec| spec.default.clone());
        let bindings = vec![Binding { node: id.clone(), input: input.to_owned() }];
        return Ok(Parameter { name: name.to_owned(), bindings, kind, value: None, default });
    };
    let (id, node) = trace.graph.nodes.get_key_value(id).ok_or(None)?;
    let (input, _) = node.inputs.get_key_value(input).ok_or(None)?;
    let (holder, held_at) = match (trace.holder(id, input), held) {
        (Some(holder), _) => holder,
        (None, Input::Link { node, .. }) => {
            return Err(Some(node.clone()));
        }
        (None, Input::Value(_)) => return Err(None),
    };
    let value = trace.graph.input(holder, held_at).and_then(Input::as_value);
    let kind = settable(spec.or_else(|| trace.spec(holder, held_at)), value).ok_or(None)?;
    let default = spec.and_then(|spec| spec.default.clone());
    let bindings = vec![Binding { node: holder.to_owned(), input: held_at.to_owned() }];
    Ok(Parameter { name: name.to_owned(), bindings, kind, value: value.cloned(), default })
}

fn unknown(graph: &Graph, name: &str) -> EditError {
    const MOST: usize = 2_000;
    let known = graph.nodes.values().take(MOST).flat_map(|node| {
        let label = node.label();
        node.inputs
            .iter()
            .filter(|(_, input)| {
                matches!(input, Input::Value(Value::String(_) | Value::Number(_) | Value::Bool(_)))
            })
            .map(move |(input, _)| format!("{label}.{input}"))
    });
    let known: Vec<String> = known.take(MOST).collect();
    let nearest = nearest(name, known.iter().map(String::as_str), NEAREST);
    EditError::UnknownParameter {
        parameter: shortened(name),
        nearest: nearest.into_iter().map(str::to_owned).collect(),
    }
}

fn shortened(name: &str) -> String {
    name.chars().take(120).collect()
}
