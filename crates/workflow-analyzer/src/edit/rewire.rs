//! What the edits share: new nodes with all that their class asks for, moving links, and checking values.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::{EditError, NEAREST};
use crate::nearest::nearest;
use crate::trace::{Port, Trace};
use crate::validate::is_choice;
use crate::{ClassInfo, Graph, Input, InputKind, Node, NodeId, ObjectInfo};

/// An edit that would change a graph in more places than this is refused: each costs a walk over the graph.
pub(super) const MAX_PLACES: usize = 64;

/// An output of a node, owned, so that it outlives changes of the graph.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Output {
    pub(super) node: NodeId,
    pub(super) slot: usize,
}

impl Output {
    pub(super) fn new(node: &str, slot: usize) -> Output {
        Output { node: node.to_owned(), slot }
    }

    pub(super) fn link(&self) -> Input {
        Input::link(&self.node, self.slot)
    }
}

impl From<Port<'_>> for Output {
    fn from(port: Port<'_>) -> Output {
        Output::new(port.node, port.slot)
    }
}

pub(super) fn check_places(count: usize, edit: &'static str) -> Result<(), EditError> {
    if count <= MAX_PLACES {
        return Ok(());
    }
    Err(EditError::NotPossible { edit, reason: "it would have to be done in more than 64 places" })
}

pub(super) fn class<'a>(info: &'a ObjectInfo, name: &'static str) -> Result<&'a ClassInfo, EditError> {
    info.class(name).ok_or(EditError::MissingClass { class: name })
}

/// A new node; required inputs that aren't set get the default of the class or the first choice, as in the editor.
pub(super) fn add(graph: &mut Graph, class: &ClassInfo, title: &str, inputs: Vec<(&str, Input)>) -> NodeId {
    let mut node = Node::new(&class.name, title);
    node.inputs.extend(inputs.into_iter().map(|(name, input)| (name.to_owned(), input)));
    for (name, spec) in class.inputs.iter().filter(|(_, spec)| spec.required) {
        if node.inputs.contains_key(name) {
            continue;
        }
        let first = match &spec.kind {
            InputKind::Combo { options, .. } => options.first().cloned(),
            _ => None,
        };
        if let Some(value) = spec.default.clone().or(first) {
            node.inputs.insert(name.clone(), Input::Value(value));
        }
    }
    graph.add(node)
}

/// Every input that is linked to `from`.
pub(super) fn users(graph: &Graph, from: &Output) -> Vec<(NodeId, String)> {
    let is_user = |input: &Input| input.as_link() == Some((&from.node, from.slot));
    let inputs =
        graph.nodes.iter().flat_map(|(id, node)| node.inputs.iter().map(move |(name, i)| (id, name, i)));
    inputs.filter(|(_, _, input)| is_user(input)).map(|(id, name, _)| (id.clone(), name.clone())).collect()
}

/// Links those inputs to `to`.
pub(super) fn relink(graph: &mut Graph, inputs: &[(NodeId, String)], to: &Output) {
    for (id, name) in inputs {
        set(graph, id, name, to.link());
    }
}

pub(super) fn set(graph: &mut Graph, id: &str, name: &str, input: Input) {
    if let Some(node) = graph.nodes.get_mut(id) {
        node.inputs.insert(name.to_owned(), input);
    }
}

/// Removes a node that nobody uses any more, and what only it used. Output nodes stay.
pub(super) fn prune(graph: &mut Graph, info: &ObjectInfo, id: &str) {
    let mut uses: HashMap<NodeId, usize> = HashMap::new();
    for input in graph.nodes.values().flat_map(|node| node.inputs.values()) {
        if let Some((source, _)) = input.as_link() {
            *uses.entry(source.to_owned()).or_default() += 1;
        }
    }
    let mut unused = HashSet::new();
    let mut pending = vec![id.to_owned()];
    while let Some(id) = pending.pop() {
        let Some(node) = graph.nodes.get(&id) else { continue };
        let is_output = info.class(&node.class_type).is_none_or(|class| class.output_node);
        if is_output || uses.get(&id).is_some_and(|count| *count > 0) || !unused.insert(id) {
            continue;
        }
        for source in node.inputs.values().filter_map(|input| Some(input.as_link()?.0)) {
            if let Some(count) = uses.get_mut(source) {
                *count = count.saturating_sub(1);
            }
            pending.push(source.to_owned());
        }
    }
    graph.nodes.retain(|id, _| !unused.contains(id));
}

/// Where VAEs come from: that of the node which decodes what is sampled, or else any.
pub(super) fn vae(trace: &Trace<'_>) -> Option<Output> {
    let vae = |id: &&str| trace.edges_of(id, "VAE").first().map(|edge| Output::from(edge.from));
    let decodes = |id: &&&str| trace.gives(id, "IMAGE") && !trace.edges_of(id, "LATENT").is_empty();
    let live = || trace.live.iter();
    live().filter(decodes).find_map(vae).or_else(|| live().find_map(vae)).or_else(|| {
        let slot = |id: &str| trace.class(id)?.outputs.iter().position(|output| output.kind == "VAE");
        live().find_map(|id| Some(Output::new(id, slot(id)?)))
    })
}

/// Refuses a value that the class of the server wouldn't take for that input; `parameter` is the caller's name for it.
pub(super) fn check(class: &ClassInfo, input: &str, parameter: &str, value: &Value) -> Result<(), EditError> {
    match class.inputs.get(input) {
        Some(spec) => check_kind(&spec.kind, parameter, value).map(|_| ()),
        None => Ok(()),
    }
}

/// The value as it is put into the graph: an integer for an `Int`, whatever way it was written.
pub(super) fn check_kind(kind: &InputKind, parameter: &str, value: &Value) -> Result<Value, EditError> {
    let wrong = |expected| EditError::WrongType {
        parameter: parameter.to_owned(),
        expected,
        found: crate::graph::type_name(value),
    };
    match kind {
        InputKind::Int { min, max, .. } => {
            let (number, json) = integer(value).ok_or_else(|| wrong("an integer"))?;
            check_bounds(parameter, number, *min, *max)?;
            Ok(json)
        }
        InputKind::Float { min, max, .. } => {
            let number =
                value.as_f64().filter(|number| number.is_finite()).ok_or_else(|| wrong("a number"))?;
            check_bounds(parameter, number, *min, *max)?;
            Ok(value.clone())
        }
        InputKind::String { .. } | InputKind::Combo { upload: true, .. } => {
            value.as_str().map(Value::from).ok_or_else(|| wrong("a string"))
        }
        InputKind::Boolean => value.as_bool().map(Value::from).ok_or_else(|| wrong("true or false")),
        InputKind::Combo { options, .. } => check_choice(parameter, value, options).map(|()| value.clone()),
        InputKind::Link { .. } => Err(wrong("only the output of another node")),
        // A bare list would become a link.
        InputKind::Dynamic { .. } if value.is_array() => Err(wrong("a single value")),
        InputKind::Dynamic { .. } => Ok(value.clone()),
    }
}

fn check_choice(parameter: &str, value: &Value, options: &[Value]) -> Result<(), EditError> {
    if !value.is_array() && is_choice(value, options) {
        return Ok(());
    }
    let written = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let names = options.iter().filter_map(Value::as_str);
    let nearest = nearest(&written, names, NEAREST).into_iter().map(str::to_owned).collect();
    let value = written.chars().take(120).collect();
    Err(EditError::NotInList { parameter: parameter.to_owned(), value, nearest })
}

fn check_bounds<T: Copy + PartialOrd + std::fmt::Display>(
    parameter: &str,
    number: T,
    min: Option<T>,
    max: Option<T>,
) -> Result<(), EditError> {
    if min.is_none_or(|min| number >= min) && max.is_none_or(|max| number <= max) {
        return Ok(());
    }
    let bounds = match (min, max) {
        (Some(min), Some(max)) => format!("from {min} to {max}"),
        (Some(min), None) => format!("at least {min}"),
        (None, Some(max)) => format!("at most {max}"),
        (None, None) => String::new(),
    };
    Err(EditError::OutOfRange { parameter: parameter.to_owned(), value: number.to_string(), bounds })
}

/// An integer, also one written as `20.0` as some clients do, with its JSON form. Seeds keep all 64 bits.
fn integer(value: &Value) -> Option<(i128, Value)> {
    /// Beyond this a double doesn't hold every integer.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let number = value.as_number()?;
    if let Some(integer) = number.as_i64() {
        return Some((integer.into(), value.clone()));
    }
    if let Some(integer) = number.as_u64() {
        return Some((integer.into(), value.clone()));
    }
    let float = number.as_f64().filter(|float| float.fract() == 0.0 && float.abs() <= EXACT)?;
    Some((float as i128, Value::from(float as i64)))
}
