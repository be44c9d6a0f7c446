//! What of a workflow can be set by which name: what its sidecar exposes, what is found in the graph, and any input as
//! `node.input` or by the title of its node.

#[cfg(test)]
mod tests;

use serde_json::{Number, Value};
use workflow_analyzer::edit::EditError;
use workflow_analyzer::{
    Analysis, Binding, Graph, Input, InputKind, ObjectInfo, Parameter as Named, analyze, input, nearest,
};

use super::Workflow;
use super::descriptor::{Descriptor, Exposed, Fault};

/// A parameter that the sidecar exposes, found in the graph.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// By which calls set it.
    pub name: String,
    /// For people.
    pub title: Option<String>,
    /// For the model.
    pub description: Option<String>,
    /// The inputs that get the value.
    pub bindings: Vec<Binding>,
    /// What it takes, as narrow as the sidecar says.
    pub kind: InputKind,
    /// Whether the sidecar says what it takes, and not the node alone.
    pub narrowed: bool,
    /// What it is when a call doesn't give it.
    pub value: Option<Value>,
    /// Whether every call has to give it.
    pub required: bool,
}

/// Finds what the sidecar exposes and puts its defaults into the graph. Without `info` a parameter that only the server's
/// node classes show is left out.
pub(super) fn expose(
    graph: &mut Graph,
    descriptor: &Descriptor,
    info: Option<&ObjectInfo>,
) -> Result<Vec<Parameter>, Fault> {
    if descriptor.parameters.is_empty() {
        return Ok(Vec::new());
    }
    let nothing = ObjectInfo::default();
    let known = info.unwrap_or(&nothing);
    let analysis = analyze(graph, known);
    let mut exposed = Vec::new();
    for wanted in &descriptor.parameters {
        let fault = |problem: String| Fault { line: wanted.line, problem };
        let target = wanted.target.as_deref().unwrap_or(&wanted.name);
        let found = find(graph, known, &analysis, target).map_err(|error| fault(error.to_string()))?;
        let Some(found) = found else {
            if info.is_none() {
                continue;
            }
            return Err(fault(no_target(graph, &analysis, target)));
        };
        let (kind, narrowed) = narrow(wanted, found.kind).map_err(fault)?;
        let default =
            wanted.default.as_ref().map(|value| fitting(&kind, value)).transpose().map_err(fault)?;
        if let Some(value) = &default {
            put(graph, &found.bindings, value);
        }
        exposed.push(Parameter {
            name: wanted.name.clone(),
            title: wanted.title.clone(),
            description: wanted.description.clone(),
            bindings: found.bindings,
            kind,
            narrowed,
            value: default.or(found.value),
            required: wanted.required,
        });
    }
    Ok(exposed)
}

/// The inputs that a name stands for in a graph without regard to a sidecar; `None` if there are none, an error if it may
/// be one or another, or what another node works out.
pub(crate) fn bindings(
    graph: &Graph,
    info: &ObjectInfo,
    analysis: &Analysis,
    name: &str,
) -> Result<Option<Vec<Binding>>, EditError> {
    Ok(find(graph, info, analysis, name)?.map(|found| found.bindings))
}

/// What can be set by name: what the sidecar exposes, or where it exposes nothing, what is found in the graph. A seed that
/// is drawn for each call has no value.
pub(crate) fn settable(workflow: &Workflow, analysis: &Analysis) -> Vec<Parameter> {
    let mut parameters =
        if workflow.parameters.is_empty() { inferred(analysis) } else { workflow.parameters.clone() };
    if let Some(seed) = analysis.parameter("seed")
        && workflow.draws_seed(&seed.bindings)
    {
        let is_seed = |parameter: &&mut Parameter| parameter.bindings == seed.bindings;
        parameters.iter_mut().filter(is_seed).for_each(|parameter| parameter.value = None);
    }
    parameters
}

fn inferred(analysis: &Analysis) -> Vec<Parameter> {
    let inferred = analysis.parameters.iter().map(|parameter| Parameter {
        name: parameter.name.clone(),
        title: None,
        description: None,
        bindings: parameter.bindings.clone(),
        kind: parameter.kind.clone(),
        narrowed: false,
        value: parameter.value.clone(),
        required: false,
    });
    inferred.collect()
}

fn find(
    graph: &Graph,
    info: &ObjectInfo,
    analysis: &Analysis,
    name: &str,
) -> Result<Option<Named>, EditError> {
    if let Some(parameter) = analysis.parameter(name) {
        return Ok(Some(parameter.clone()));
    }
    let found = match (input(graph, info, name), only_value(graph, name)) {
        (Err(EditError::UnknownParameter { .. }), Some(Ok(place))) => input(graph, info, &place),
        (Err(EditError::UnknownParameter { .. }), Some(Err(nodes))) => {
            Err(EditError::Ambiguous { parameter: name.to_owned(), nodes })
        }
        (found, _) => found,
    };
    match found {
        // What the analysis has found is narrower, and may be more inputs than this.
        Ok(found) => {
            let known = analysis.parameters.iter().find(|known| known.bindings == found.bindings);
            Ok(Some(known.cloned().unwrap_or(found)))
        }
        Err(EditError::UnknownParameter { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The value of the node with this title, as `node.input`, where it has one that could be meant; the nodes where several have
/// the title.
fn only_value(graph: &Graph, title: &str) -> Option<Result<String, Vec<String>>> {
    let titled = graph.nodes.iter().filter(|(_, node)| node.title.as_deref() == Some(title));
    let mut places = titled.filter_map(|(id, node)| {
        let mut values = node.inputs.iter().filter(|(_, input)| input.as_value().is_some());
        let (input, _) = values.next()?;
        values.next().is_none().then(|| (id.clone(), format!("{id}.{input}")))
    });
    match (places.next()?, places.next()) {
        ((one, _), Some((other, _))) => Some(Err(vec![one, other])),
        ((_, place), None) => Some(Ok(place)),
    }
}

fn no_target(graph: &Graph, analysis: &Analysis, target: &str) -> String {
    let found = analysis.parameters.iter().map(|parameter| parameter.name.clone());
    let inputs = graph.nodes.iter().flat_map(|(id, node)| {
        let values = node.inputs.iter().filter(|(_, input)| input.as_value().is_some());
        values.map(move |(name, _)| format!("{id}.{name}"))
    });
    let names: Vec<_> = found.chain(inputs.take(2000)).collect();
    let near = nearest(target, names.iter().map(String::as_str), 3);
    let hint = if near.is_empty() {
        "write `target = \"NODE.INPUT\"`, or the title of a node".to_owned()
    } else {
        format!("nearest: {}", near.join(", "))
    };
    format!("the workflow has no `{target}`; {hint}")
}

/// What is left of `kind` by the sidecar's bounds and choices, which have to be within the node's own.
fn narrow(wanted: &Exposed, kind: InputKind) -> Result<(InputKind, bool), String> {
    let bounded = wanted.min.is_some() || wanted.max.is_some();
    let kind = match kind {
        InputKind::Int { min, max, step } => InputKind::Int {
            min: inner(wanted.min.as_ref().map(integer).transpose()?, min, "min", |a, b| a < b)?,
            max: inner(wanted.max.as_ref().map(integer).transpose()?, max, "max", |a, b| a > b)?,
            step,
        },
        InputKind::Float { min, max, step } => InputKind::Float {
            min: inner(wanted.min.as_ref().and_then(Number::as_f64), min, "min", |a, b| a < b)?,
            max: inner(wanted.max.as_ref().and_then(Number::as_f64), max, "max", |a, b| a > b)?,
            step,
        },
        InputKind::Link { types } => {
            return Err(format!("it takes {} of another node and no value", types.join(", ")));
        }
        _ if bounded => return Err("it is no number and has no `min` and `max`".to_owned()),
        other => other,
    };
    let is_empty = match &kind {
        InputKind::Int { min: Some(min), max: Some(max), .. } => min > max,
        InputKind::Float { min: Some(min), max: Some(max), .. } => min > max,
        _ => false,
    };
    if is_empty {
        return Err("nothing is within `min` and `max` and the node's own bounds".to_owned());
    }
    let Some(choices) = &wanted.choices else { return Ok((kind, bounded)) };
    let checked = choices.iter().map(|choice| fitting(&kind, choice)).collect::<Result<Vec<_>, _>>()?;
    let options = match &kind {
        InputKind::Boolean => return Err("it is true or false and has no `choices`".to_owned()),
        InputKind::Combo { upload: true, .. } => {
            return Err("it takes an image and has no `choices`".to_owned());
        }
        InputKind::Combo { options, .. } => {
            // What isn't installed can't be chosen; if none is, the workflow says what it misses.
            let there: Vec<_> = checked.iter().filter(|choice| options.contains(choice)).cloned().collect();
            if there.is_empty() { checked } else { there }
        }
        _ => checked,
    };
    Ok((InputKind::Combo { options, upload: false, multiselect: false }, true))
}

/// The sidecar's bound where there is one; `is_outside` says whether it lets through what the node doesn't take.
fn inner<T: Copy + std::fmt::Display>(
    own: Option<T>,
    node: Option<T>,
    key: &str,
    is_outside: impl Fn(T, T) -> bool,
) -> Result<Option<T>, String> {
    match (own, node) {
        (Some(own), Some(node)) if is_outside(own, node) => {
            Err(format!("`{key}` {own} is outside of the node's own bounds; its {key} is {node}"))
        }
        (own, node) => Ok(own.or(node)),
    }
}

fn integer(number: &Number) -> Result<i128, String> {
    let whole = || number.as_f64().filter(|number| number.fract() == 0.0).map(|number| number as i128);
    let number = number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from)).or_else(whole);
    number.ok_or_else(|| "it takes integers, and so are its bounds".to_owned())
}

/// The value, if it is of the kind and within the bounds. Names of files may be those of another machine.
fn fitting(kind: &InputKind, value: &Value) -> Result<Value, String> {
    let outside = || format!("{value} is outside of the bounds");
    match (kind, value) {
        (InputKind::Int { min, max, .. }, Value::Number(number)) => {
            let number = integer(number)?;
            let fits = min.is_none_or(|min| number >= min) && max.is_none_or(|max| number <= max);
            fits.then(|| whole(number)).flatten().ok_or_else(outside)
        }
        // Integers of TOML end at 2^63, seeds at 2^64.
        (InputKind::Int { .. }, Value::String(text)) => {
            let seed: u64 = text.parse().map_err(|_| format!("{value} is no integer"))?;
            fitting(kind, &seed.into())
        }
        (InputKind::Float { min, max, .. }, Value::Number(number)) => {
            let number = number.as_f64().unwrap_or_default();
            let fits = min.is_none_or(|min| number >= min) && max.is_none_or(|max| number <= max);
            fits.then(|| value.clone()).ok_or_else(outside)
        }
        (InputKind::Boolean, Value::Bool(_))
        | (InputKind::String { .. }, Value::String(_))
        | (InputKind::Combo { .. } | InputKind::Dynamic { .. }, _) => Ok(value.clone()),
        (InputKind::Int { .. }, _) => Err(format!("{value} is no integer")),
        (InputKind::Float { .. }, _) => Err(format!("{value} is no number")),
        (InputKind::Boolean, _) => Err(format!("{value} is neither true nor false")),
        _ => Err(format!("{value} is no text")),
    }
}

fn whole(number: i128) -> Option<Value> {
    u64::try_from(number).map(Value::from).or_else(|_| i64::try_from(number).map(Value::from)).ok()
}

fn put(graph: &mut Graph, bindings: &[Binding], value: &Value) {
    for at in bindings {
        if let Some(node) = graph.nodes.get_mut(&at.node) {
            node.inputs.insert(at.input.clone(), Input::Value(value.clone()));
        }
    }
}
