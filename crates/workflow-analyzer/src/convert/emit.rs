//! Writes the graph in the API format: each node that runs, with its widgets' values and what its links come to.

use indexmap::IndexMap;
use serde_json::{Map, Value, json};

use super::file::Mode;
use super::model::{Graph, What};
use super::names::{self, Names};
use super::problems::Problems;
use super::resolve::{Found, Inside, Instance, Resolver};
use super::widgets::{self, Widget};
use super::{ConvertError, text};
use crate::graph::{self, Input, MAX_NODES, Node};
use crate::info::WidgetKind;

/// What the values of all nodes may take, in bytes of JSON or so: a subgraph's are repeated wherever it stands.
pub(super) const MAX_VALUES: usize = 128 << 20;

/// What the ids of all nodes may take, in bytes.
const MAX_IDS: usize = 32 << 20;

/// The subgraphs in their places, the root first, and which node stands for which.
pub(super) fn instances(graphs: &[Graph<'_>]) -> Result<(Vec<Instance>, Inside), ConvertError> {
    let mut instances = vec![Instance { graph: 0, host: None, path: String::new() }];
    let mut inside = Inside::new();
    let (mut nodes, mut ids) = (0_usize, 0_usize);
    let mut next = 0;
    while let Some(instance) = instances.get(next) {
        let graph = &graphs[instance.graph];
        nodes += graph.nodes.len();
        ids += instance.path.len() * graph.nodes.len();
        if nodes > MAX_NODES || ids > MAX_IDS {
            return Err(ConvertError::TooManyNodes);
        }
        let path = instance.path.clone();
        for (position, (made, node)) in graph.nodes.iter().zip(&graph.scope.nodes).enumerate() {
            // The editor leaves out what is in a subgraph that doesn't run, but only at the root: further in it sends nodes
            // that nothing is linked to.
            if let What::Host(inner) = made.what
                && (node.mode == Mode::Active || next > 0)
            {
                inside.insert((next, position), instances.len());
                let path = format!("{path}{}:", node.id);
                instances.push(Instance { graph: inner, host: Some((next, position)), path });
            }
        }
        next += 1;
    }
    Ok((instances, inside))
}

/// The graph that ComfyUI takes.
pub(super) fn emit(graphs: &[Graph<'_>], problems: &mut Problems) -> Result<graph::Graph, ConvertError> {
    let (instances, inside) = instances(graphs)?;
    let mut resolver = Resolver { graphs, instances: &instances, inside: &inside, steps: 0 };
    let names = Names::new(graphs);
    let mut budget = MAX_VALUES;
    let mut nodes = IndexMap::new();
    for (instance, place) in instances.iter().enumerate() {
        let graph = &graphs[place.graph];
        for (position, (made, file)) in graph.nodes.iter().zip(&graph.scope.nodes).enumerate() {
            if file.mode != Mode::Active || !matches!(made.what, What::Class(_) | What::Unknown) {
                continue;
            }
            let id = format!("{}{}", place.path, file.id);
            let title = super::title(file, made.what);
            take(&mut budget, title.len() + file.class.len())?;
            if matches!(made.what, What::Unknown) {
                problems.missing_class(&id, title, file);
            }
            let mut inputs = IndexMap::new();
            for widget in &made.widgets {
                let Some(value) = &widget.value else { continue };
                let value = sent(&names, made.what, widget, value);
                take(&mut budget, widget.name.len() + cost(&value))?;
                inputs.insert(widget.name.to_string(), Input::Value(value));
            }
            for (slot, input) in made.inputs.iter().enumerate() {
                match resolver.input(instance, position, slot)? {
                    Found::Output { instance, node, slot } => {
                        let place = &instances[instance];
                        take(&mut budget, input.name.len() + place.path.len())?;
                        let origin = format!("{}{}", place.path, graphs[place.graph].scope.nodes[node].id);
                        inputs.insert(input.name.to_string(), Input::Link { node: origin, slot });
                    }
                    Found::Widget(Some(value)) => {
                        take(&mut budget, input.name.len() + cost(value))?;
                        inputs.insert(input.name.to_string(), Input::Value(wrapped(value.clone())));
                    }
                    Found::Widget(None) | Found::Nothing => {}
                    Found::Dangling => problems.dangling(&id, title, &input.name),
                    Found::Circle => problems.circle(&id, title, &input.name),
                }
            }
            let choice = made.inputs.iter().find(|input| input.name == "choice" && input.link.is_some());
            if file.class == "CustomCombo" && choice.is_some() {
                widgets::count_choice(&mut inputs);
            }
            for input in &made.lost {
                problems.lost(&id, title, input);
            }
            let node = Node { class_type: file.class.to_string(), inputs, title: Some(title.to_owned()) };
            if nodes.insert(id.clone(), node).is_some() {
                problems.twice(&id, title);
            }
        }
    }
    Ok(graph::Graph { nodes })
}

/// Takes from what is left.
fn take(budget: &mut usize, cost: usize) -> Result<(), ConvertError> {
    *budget = budget.checked_sub(cost).ok_or(ConvertError::TooLarge)?;
    Ok(())
}

/// What a value takes in memory, or so.
fn cost(value: &Value) -> usize {
    let mut pending = vec![value];
    let mut cost = 0_usize;
    while let Some(value) = pending.pop() {
        cost += 16;
        match value {
            Value::String(text) => cost += text.len(),
            Value::Array(items) => pending.extend(items),
            Value::Object(fields) => {
                cost += fields.keys().map(String::len).sum::<usize>();
                pending.extend(fields.values());
            }
            _ => {}
        }
    }
    cost
}

/// What a widget sends.
fn sent(names: &Names<'_, '_>, what: What<'_>, widget: &Widget<'_>, value: &Value) -> Value {
    let is_save =
        matches!(what, What::Class(class) if names::saves(&class.name)) && widget.name == "filename_prefix";
    match value {
        Value::String(prompt) if widget.dynamic_prompts => text::dynamic_prompt(prompt).into(),
        Value::String(name) if is_save => names.replace_tokens(name).into(),
        other if widget.kind == WidgetKind::Curve => json!({ "__type__": "CURVE", "__value__": other }),
        other => wrapped(other.clone()),
    }
}

/// A list would be taken for a link.
fn wrapped(value: Value) -> Value {
    if value.is_array() { Value::Object(Map::from_iter([("__value__".to_owned(), value)])) } else { value }
}
