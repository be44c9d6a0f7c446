//! Sets what the analysis found.

use serde_json::{Map, Value};

use super::rewire::{check_kind, set};
use super::{EditError, NEAREST};
use crate::graph::type_name;
use crate::nearest::nearest;
use crate::{Analysis, Binding, Graph, Input, ObjectInfo};

/// Sets parameters by their names in `analysis`, or inputs as `node.input` where the graph already holds a value.
///
/// All are checked against type, bounds and choices before the first is set. A file to be uploaded isn't checked.
pub fn set_parameters(
    graph: &mut Graph,
    analysis: &Analysis,
    values: &Map<String, Value>,
) -> Result<(), EditError> {
    let mut checked: Vec<(Vec<Binding>, Value)> = Vec::new();
    for (name, value) in values {
        checked.push(match analysis.parameter(name) {
            Some(parameter) => (parameter.bindings.clone(), check_kind(&parameter.kind, name, value)?),
            None => check_input(graph, analysis, name, value)?,
        });
    }
    set_checked(graph, checked);
    Ok(())
}

/// As [`set_parameters`], and any input that [`crate::input`] finds can be named, also by the node's title; each is
/// checked against what its class takes.
pub fn set_named(
    graph: &mut Graph,
    info: &ObjectInfo,
    analysis: &Analysis,
    values: &Map<String, Value>,
) -> Result<(), EditError> {
    let mut checked: Vec<(Vec<Binding>, Value)> = Vec::new();
    for (name, value) in values {
        if let Some(parameter) = analysis.parameter(name) {
            checked.push((parameter.bindings.clone(), check_kind(&parameter.kind, name, value)?));
            continue;
        }
        let found =
            crate::input(graph, info, name).map_err(|error| with_parameters(error, analysis, name))?;
        // What has a role is held to what all its users take.
        let bound = |known: &&crate::Parameter| known.bindings.iter().any(|at| found.bindings.contains(at));
        let kind = analysis.parameters.iter().find(bound).map_or(&found.kind, |known| &known.kind);
        let value = check_kind(kind, name, value)?;
        checked.push((found.bindings, value));
    }
    set_checked(graph, checked);
    Ok(())
}

/// A name without a point is one of a parameter.
fn with_parameters(error: EditError, analysis: &Analysis, name: &str) -> EditError {
    match error {
        EditError::UnknownParameter { parameter, nearest: inputs } => {
            let names = analysis.parameters.iter().map(|parameter| parameter.name.as_str());
            let like: Vec<String> = nearest(name, names, NEAREST).into_iter().map(str::to_owned).collect();
            EditError::UnknownParameter { parameter, nearest: if like.is_empty() { inputs } else { like } }
        }
        other => other,
    }
}

fn set_checked(graph: &mut Graph, checked: Vec<(Vec<Binding>, Value)>) {
    for (bindings, value) in checked {
        for binding in bindings {
            set(graph, &binding.node, &binding.input, Input::Value(value.clone()));
        }
    }
}

/// `node.input`. Ids and names of inputs may hold points themselves, so that every place is tried.
fn check_input(
    graph: &Graph,
    analysis: &Analysis,
    name: &str,
    value: &Value,
) -> Result<(Vec<Binding>, Value), EditError> {
    let places = name.char_indices().filter(|(_, c)| *c == '.').map(|(at, _)| (&name[..at], &name[at + 1..]));
    for (node, input) in places {
        let Some(held) = graph.input(node, input) else { continue };
        let binding = Binding { node: node.to_owned(), input: input.to_owned() };
        let known = analysis.parameters.iter().find(|parameter| parameter.bindings.contains(&binding));
        let value = match (known, held) {
            (_, Input::Link { node, .. }) => {
                return Err(EditError::Linked { parameter: name.to_owned(), node: node.clone() });
            }
            (Some(parameter), Input::Value(_)) => check_kind(&parameter.kind, name, value)?,
            (None, Input::Value(held)) => same_type(name, held, value)?,
        };
        return Ok((vec![binding], value));
    }
    let names = analysis.parameters.iter().map(|parameter| parameter.name.as_str());
    let nearest = nearest(name, names, NEAREST).into_iter().map(str::to_owned).collect();
    Err(EditError::UnknownParameter { parameter: name.chars().take(120).collect(), nearest })
}

fn same_type(name: &str, held: &Value, value: &Value) -> Result<Value, EditError> {
    let expected = type_name(held);
    if value.is_array() || (!held.is_null() && type_name(value) != expected) {
        return Err(EditError::WrongType { parameter: name.to_owned(), expected, found: type_name(value) });
    }
    Ok(value.clone())
}
