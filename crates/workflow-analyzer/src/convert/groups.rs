//! Group nodes, which files had before subgraphs: one node with the inputs, outputs and values of several.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use super::ConvertError;
use super::file::{self, End, Link, Node, Scope, Slot, Values, index, list};
use crate::graph::MAX_NODES;

/// Makes a subgraph of each group node at the root.
pub(super) fn expand<'a>(
    scopes: &mut Vec<Scope<'a>>,
    root: &'a Map<String, Value>,
) -> Result<(), ConvertError> {
    let Some(groups) = root.get("extra").and_then(|extra| extra.get("groupNodes")?.as_object()) else {
        return Ok(());
    };
    let mut count: usize = scopes.iter().map(|scope| scope.nodes.len()).sum();
    let mut costs = HashMap::new();
    let mut made = Vec::new();
    let Some(first) = scopes.first_mut() else { return Ok(()) };
    for (position, node) in first.nodes.iter_mut().enumerate() {
        let name = node.class.strip_prefix("workflow>").or_else(|| node.class.strip_prefix("workflow/"));
        let Some(group) = name.and_then(|name| groups.get(name)?.as_object()) else { continue };
        // Nodes, links and inputs of the group are made anew for each node that stands for it.
        count += *costs.entry(node.class.clone()).or_insert_with(|| cost(group));
        if count > MAX_NODES {
            return Err(ConvertError::TooManyNodes);
        }
        // Each has values of its own, so that each is a subgraph of its own.
        let id = format!("group node {position}");
        made.push(Scope { stands_for: Some(position), ..scope(group, node, id.clone())? });
        node.class = Cow::Owned(id);
    }
    scopes.extend(made);
    Ok(())
}

fn cost(group: &Map<String, Value>) -> usize {
    let nodes = list(group, "nodes").iter().filter_map(Value::as_object);
    let slots = nodes.map(|node| 1 + list(node, "inputs").len() + list(node, "outputs").len());
    // A link and an input take much less than a node.
    (slots.sum::<usize>() + list(group, "links").len() + list(group, "external").len()).div_ceil(8)
}

fn scope<'a>(group: &'a Map<String, Value>, host: &Node<'a>, id: String) -> Result<Scope<'a>, ConvertError> {
    let raw: Vec<_> = list(group, "nodes").iter().filter_map(Value::as_object).collect();
    let mut nodes = raw.iter().map(|node| file::node(node)).collect::<Result<Vec<_>, _>>()?;
    share(&mut nodes, host.values);
    let mut links = Vec::new();
    for link in list(group, "links").iter().filter_map(Value::as_array) {
        let at = |place: usize| link.get(place).and_then(index);
        let (Some(from), Some(from_slot), Some(to), Some(to_slot)) = (at(0), at(1), at(2), at(3)) else {
            continue;
        };
        let Some(socket) = nodes.get_mut(to).and_then(|node| node.sockets.get_mut(to_slot)) else { continue };
        if from < raw.len() {
            socket.link = Some(links.len());
            let (from, to) =
                (End::Node { node: from, slot: from_slot }, End::Node { node: to, slot: to_slot });
            links.push(Link { from, to });
        }
    }
    let inputs = inputs(group, &mut nodes, &mut links);
    let outputs = outputs(group, &nodes, &raw, &mut links);
    // They have none of their own.
    for node in &mut nodes {
        node.id.clear();
    }
    Ok(Scope {
        id: Cow::Owned(id),
        name: "group node",
        stands_for: None,
        nodes,
        places: HashMap::new(),
        links,
        inputs,
        outputs,
    })
}

/// The values of a group node are those of its nodes, one after the other.
fn share<'a>(nodes: &mut [Node<'a>], values: Values<'a>) {
    let Values::List(mut rest) = values else { return };
    let count = |node: &Node<'a>| match node.values {
        Values::List(values) => values.len(),
        Values::Named(_) => 0,
    };
    if nodes.iter().map(count).sum::<usize>() != rest.len() {
        return;
    }
    for node in nodes {
        let (own, others) = rest.split_at(count(node));
        node.values = Values::List(own);
        rest = others;
    }
}

/// What isn't linked within the group comes from outside, under a name that no other has.
fn inputs<'a>(group: &'a Map<String, Value>, nodes: &mut [Node<'a>], links: &mut Vec<Link>) -> Vec<Slot<'a>> {
    let mut slots: Vec<Slot<'a>> = Vec::new();
    let mut names: HashSet<Cow<'a, str>> = HashSet::new();
    for (position, node) in nodes.iter_mut().enumerate() {
        let label = node.title.map_or_else(|| node.class.clone(), Cow::Borrowed);
        for (slot, socket) in node.sockets.iter_mut().enumerate().filter(|(_, socket)| socket.link.is_none())
        {
            let config = config(group, position, "input").and_then(|config| config.get(socket.name));
            if config.and_then(|config| config.get("visible")?.as_bool()) == Some(false) {
                continue;
            }
            let own = config.and_then(|config| config.get("name")?.as_str()).unwrap_or(socket.name);
            let mut name = Cow::Borrowed(own);
            if names.contains(&name) {
                name = format!("{label} {own}").into();
            }
            if names.contains(&name) {
                name = format!("{label} {own} {position}").into();
            }
            names.insert(name.clone());
            socket.link = Some(links.len());
            let to = End::Node { node: position, slot };
            let entry = Slot { name, kind: socket.kind.clone(), links: vec![links.len()] };
            links.push(Link { from: End::Boundary(slots.len()), to });
            slots.push(entry);
        }
    }
    slots
}

/// What isn't linked within the group goes outside, and what the group says.
fn outputs<'a>(
    group: &'a Map<String, Value>,
    nodes: &[Node<'a>],
    raw: &[&'a Map<String, Value>],
    links: &mut Vec<Link>,
) -> Vec<Slot<'a>> {
    let used: HashSet<(usize, usize)> = links
        .iter()
        .filter_map(|link| match link.from {
            End::Node { node, slot } => Some((node, slot)),
            _ => None,
        })
        .collect();
    let external: HashSet<(usize, usize)> = list(group, "external")
        .iter()
        .filter_map(|entry| Some((index(entry.get(0)?)?, index(entry.get(1)?)?)))
        .collect();
    let mut slots = Vec::new();
    for (position, node) in nodes.iter().enumerate() {
        for (slot, kind) in node.outputs.iter().enumerate() {
            let config = config(group, position, "output").and_then(|config| config.get(&slot.to_string()));
            let hidden = used.contains(&(position, slot)) && !external.contains(&(position, slot));
            if !config.and_then(|config| config.get("visible")?.as_bool()).unwrap_or(!hidden) {
                continue;
            }
            let name =
                raw.get(position).and_then(|node| list(node, "outputs").get(slot)?.get("name")?.as_str());
            let link = links.len();
            links.push(Link { from: End::Node { node: position, slot }, to: End::Boundary(slots.len()) });
            slots.push(Slot {
                name: name.unwrap_or_default().into(),
                kind: (*kind).into(),
                links: vec![link],
            });
        }
    }
    slots
}

fn config<'a>(group: &'a Map<String, Value>, position: usize, side: &str) -> Option<&'a Map<String, Value>> {
    group.get("config")?.get(position.to_string())?.get(side)?.as_object()
}
