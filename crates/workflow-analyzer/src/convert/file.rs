//! Reads a file of the editor: the graph at the root, and the definitions of its subgraphs.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use super::{ConvertError, duplicates, groups, legacy};
use crate::graph::MAX_NODES;

/// The id that links have for the inputs of the subgraph they are in, and the one for its outputs.
const BOUNDARY: [&str; 2] = ["-10", "-20"];

/// A longer id of a node is refused: ids are repeated in every link, and in every id of a node further in.
const MAX_ID: usize = 128;

/// More inputs on one node than this are refused.
const MAX_SOCKETS: usize = 4096;

/// The graph of the root, or the definition of a subgraph.
#[derive(Default)]
pub(super) struct Scope<'a> {
    /// What `type` of a node says to mean this subgraph; empty for the root.
    pub(super) id: Cow<'a, str>,
    /// The name that a person gave it.
    pub(super) name: &'a str,
    /// The position at the root of the group node that it was made of.
    pub(super) stands_for: Option<usize>,
    pub(super) nodes: Vec<Node<'a>>,
    /// The positions of the nodes by their ids in the file.
    pub(super) places: HashMap<String, usize>,
    pub(super) links: Vec<Link>,
    /// What comes in from the node that stands for the subgraph.
    pub(super) inputs: Vec<Slot<'a>>,
    pub(super) outputs: Vec<Slot<'a>>,
}

/// A node as the file has it.
pub(super) struct Node<'a> {
    /// The id in the file.
    pub(super) written_id: String,
    /// The last part of the id that the node gets in the API format.
    pub(super) id: String,
    pub(super) class: Cow<'a, str>,
    pub(super) title: Option<&'a str>,
    pub(super) mode: Mode,
    pub(super) sockets: Vec<Socket<'a>>,
    /// The types of the outputs.
    pub(super) outputs: Vec<&'a str>,
    pub(super) values: Values<'a>,
    pub(super) named: Option<&'a Map<String, Value>>,
    pub(super) properties: Option<&'a Map<String, Value>>,
}

/// What is done with a node in a run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// It runs.
    Active,
    /// It is left out, and what it would give is missing.
    Muted,
    /// It is left out, and what comes in goes on to what takes it.
    Bypassed,
}

/// `widgets_values`.
#[derive(Clone, Copy)]
pub(super) enum Values<'a> {
    /// In the order of the widgets.
    List(&'a [Value]),
    /// By name; some packs write it so.
    Named(&'a Map<String, Value>),
}

/// An input of a node, as the file has it.
pub(super) struct Socket<'a> {
    pub(super) name: &'a str,
    pub(super) kind: Cow<'a, str>,
    pub(super) link: Option<usize>,
    /// A link is named that isn't in the file.
    pub(super) dangling: bool,
    /// The input belongs to the widget of this name.
    pub(super) widget: Option<&'a str>,
}

/// An input or output of a subgraph.
pub(super) struct Slot<'a> {
    pub(super) name: Cow<'a, str>,
    pub(super) kind: Cow<'a, str>,
    /// The links to it or from it inside, the first one first.
    pub(super) links: Vec<usize>,
}

/// A link within one scope.
#[derive(Clone, Copy)]
pub(super) struct Link {
    pub(super) from: End,
    pub(super) to: End,
}

/// Where a link begins or ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// A node's slot.
    Node {
        /// The position in the scope's nodes.
        node: usize,
        /// The position in its outputs or in the file's inputs.
        slot: usize,
    },
    /// A slot of the subgraph itself.
    Boundary(usize),
    /// No node of that id is there.
    Nowhere,
}

/// The scopes of a document; the root is the first.
pub(super) fn read(document: &Value) -> Result<Vec<Scope<'_>>, ConvertError> {
    let root = document.as_object().ok_or(ConvertError::NotEditorFormat)?;
    if !root.get("nodes").is_some_and(Value::is_array) {
        return Err(ConvertError::NotEditorFormat);
    }
    let definitions = definitions(root);
    let count: usize = definitions.iter().chain([&root]).map(|scope| list(scope, "nodes").len()).sum();
    if count > MAX_NODES || definitions.len() > MAX_NODES {
        return Err(ConvertError::TooManyNodes);
    }
    // Files of the first schema that had a number write links as objects, the others as lists.
    let objects = root.get("version").and_then(Value::as_u64) == Some(1);
    let mut scopes = vec![scope(root, objects, list(root, "nodes").iter().collect())?];
    for definition in definitions {
        scopes.push(scope(definition, true, duplicates::without_twins(list(definition, "nodes")))?);
    }
    groups::expand(&mut scopes, root)?;
    renumber(&mut scopes, root);
    Ok(scopes)
}

fn subgraphs(scope: &Map<String, Value>) -> &[Value] {
    let definitions = scope.get("definitions").and_then(|definitions| definitions.get("subgraphs"));
    definitions.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// The definitions of subgraphs, those that stand in another definition after it.
fn definitions(root: &Map<String, Value>) -> Vec<&Map<String, Value>> {
    let mut found = Vec::new();
    let mut pending: Vec<&Value> = subgraphs(root).iter().rev().collect();
    while let Some(definition) = pending.pop() {
        if let Value::Object(definition) = definition {
            found.push(definition);
            pending.extend(subgraphs(definition).iter().rev());
        }
    }
    found
}

/// Numbers anew what has the number of a node elsewhere, as the editor does when it loads a file: at the root what comes
/// later, and what is inside of subgraphs. What stands for a group node is made after the nodes in it.
fn renumber(scopes: &mut [Scope<'_>], root: &Map<String, Value>) {
    let Some((first, definitions)) = scopes.split_first_mut() else { return };
    let number = |id: &str| id.parse::<u64>().ok();
    let mut used: HashSet<u64> = first.nodes.iter().filter_map(|node| number(&node.id)).collect();
    let said =
        root.get("last_node_id").or_else(|| root.get("state")?.get("lastNodeId")).and_then(Value::as_u64);
    let mut last = said.unwrap_or(0).max(used.iter().copied().max().unwrap_or(0));
    // What comes twice at the root gets a number that nobody else has.
    let inside = definitions.iter().flat_map(|scope| &scope.nodes).filter_map(|node| number(&node.id));
    let anywhere: HashSet<u64> = inside.chain(used.iter().copied()).collect();
    let mut seen = HashSet::new();
    for node in &mut first.nodes {
        if !seen.insert(node.id.clone()) {
            while anywhere.contains(&last.saturating_add(1)) && last < u64::MAX {
                last += 1;
            }
            node.id = next_number(&mut last, &mut used);
        }
    }
    for scope in definitions {
        for node in &mut scope.nodes {
            match number(&node.id) {
                Some(id) if used.insert(id) => last = last.max(id),
                None if !node.id.is_empty() => {}
                // Taken, or never given.
                _ => node.id = next_number(&mut last, &mut used),
            }
        }
        if let Some(host) = scope.stands_for.and_then(|host| first.nodes.get_mut(host)) {
            host.id = next_number(&mut last, &mut used);
        }
    }
}

fn next_number(last: &mut u64, used: &mut HashSet<u64>) -> String {
    loop {
        *last = if *last == u64::MAX { 1 } else { *last + 1 };
        if used.insert(*last) {
            return last.to_string();
        }
    }
}

fn scope<'a>(
    object: &'a Map<String, Value>,
    link_objects: bool,
    nodes: Vec<&'a Value>,
) -> Result<Scope<'a>, ConvertError> {
    let raw: Vec<_> = nodes.into_iter().filter_map(Value::as_object).collect();
    let mut nodes = raw.iter().map(|raw| node(raw)).collect::<Result<Vec<_>, _>>()?;
    let mut places = HashMap::new();
    for (index, node) in nodes.iter().enumerate() {
        places.entry(node.written_id.clone()).or_insert(index);
    }
    let mut links = Vec::new();
    let mut by_id = HashMap::new();
    for value in list(object, "links") {
        if value.is_null() {
            return Err(ConvertError::BrokenLinks);
        }
        let Some((id, link)) = link(value, link_objects, &places) else { continue };
        by_id.insert(id, links.len());
        links.push(link);
    }
    for (node, raw) in nodes.iter_mut().zip(raw) {
        for (socket, raw) in node.sockets.iter_mut().zip(objects(raw, "inputs")) {
            let Some(id) = raw.get("link").and_then(id_text) else { continue };
            socket.link = by_id.get(&id).copied();
            socket.dangling = socket.link.is_none();
        }
    }
    let same = duplicates::merge_links(&mut links, &mut nodes);
    let slots = |key| -> Vec<_> {
        objects(object, key)
            .map(|slot| Slot {
                name: text(slot, "name").into(),
                kind: kind(slot),
                links: list(slot, "linkIds")
                    .iter()
                    .filter_map(|id| by_id.get(&id_text(id)?).copied())
                    .map(|link| same.get(&link).copied().unwrap_or(link))
                    .collect(),
            })
            .collect()
    };
    let (mut inputs, mut outputs) = (slots("inputs"), slots("outputs"));
    if link_objects {
        complete(&mut inputs, links.iter().map(|link| link.from));
        complete(&mut outputs, links.iter().map(|link| link.to));
    }
    Ok(Scope {
        id: text(object, "id").into(),
        name: text(object, "name"),
        stands_for: None,
        nodes,
        places,
        links,
        inputs,
        outputs,
    })
}

/// Slots whose `linkIds` are missing have the links that say they lead to them.
fn complete(slots: &mut [Slot<'_>], ends: impl Iterator<Item = End>) {
    let empty: Vec<bool> = slots.iter().map(|slot| slot.links.is_empty()).collect();
    for (link, end) in ends.enumerate() {
        if let End::Boundary(slot) = end
            && empty.get(slot) == Some(&true)
        {
            slots[slot].links.push(link);
        }
    }
}

pub(super) fn node(object: &Map<String, Value>) -> Result<Node<'_>, ConvertError> {
    let id = object.get("id").and_then(id_text).unwrap_or_default();
    if id.len() > MAX_ID {
        return Err(ConvertError::LongId);
    }
    if list(object, "inputs").len() > MAX_SOCKETS {
        return Err(ConvertError::TooLarge);
    }
    let sockets = objects(object, "inputs").map(|input| Socket {
        name: text(input, "name"),
        kind: kind(input),
        link: None,
        dangling: false,
        widget: input.get("widget").and_then(Value::as_object).map(|widget| text(widget, "name")),
    });
    Ok(Node {
        written_id: id.clone(),
        id,
        class: legacy::current_class(text(object, "type")).into(),
        title: object.get("title").and_then(Value::as_str),
        mode: match object.get("mode").and_then(Value::as_u64) {
            Some(2) => Mode::Muted,
            Some(4) => Mode::Bypassed,
            _ => Mode::Active,
        },
        sockets: sockets.collect(),
        outputs: objects(object, "outputs").map(|output| text(output, "type")).collect(),
        values: match object.get("widgets_values") {
            Some(Value::Array(values)) => Values::List(values),
            Some(Value::Object(values)) => Values::Named(values),
            _ => Values::List(&[]),
        },
        named: object.get("widgets_values_named").and_then(Value::as_object),
        properties: object.get("properties").and_then(Value::as_object),
    })
}

/// `[id, origin, slot, target, slot, type]`, or an object with the same fields.
fn link(value: &Value, objects: bool, places: &HashMap<String, usize>) -> Option<(String, Link)> {
    let fields = match value {
        Value::Array(fields) => {
            [fields.first()?, fields.get(1)?, fields.get(2)?, fields.get(3)?, fields.get(4)?]
        }
        Value::Object(fields) if objects => [
            fields.get("id")?,
            fields.get("origin_id")?,
            fields.get("origin_slot")?,
            fields.get("target_id")?,
            fields.get("target_slot")?,
        ],
        _ => return None,
    };
    let end = |id: &Value, slot: &Value| -> Option<End> {
        let (id, slot) = (id_text(id)?, index(slot)?);
        Some(if BOUNDARY.contains(&id.as_str()) {
            End::Boundary(slot)
        } else {
            places.get(&id).map_or(End::Nowhere, |node| End::Node { node: *node, slot })
        })
    };
    let [id, from, from_slot, to, to_slot] = fields;
    Some((id_text(id)?, Link { from: end(from, from_slot)?, to: end(to, to_slot)? }))
}

/// Ids are numbers, and texts in some files; `5` and `"5"` are the same.
pub(super) fn id_text(value: &Value) -> Option<String> {
    match value {
        // `5.0` is the same number to the editor.
        Value::Number(number) => Some(match number.as_f64() {
            Some(whole) if number.is_f64() && whole.fract() == 0.0 && whole.abs() < 1e15 => {
                format!("{whole:.0}")
            }
            _ => number.to_string(),
        }),
        Value::String(text) => Some(text.clone()),
        _ => None,
    }
}

pub(super) fn index(value: &Value) -> Option<usize> {
    match value {
        Value::String(text) => text.parse().ok(),
        Value::Number(number) if number.is_f64() => number
            .as_f64()
            .filter(|slot| slot.fract() == 0.0 && (0.0..1e9).contains(slot))
            .map(|slot| slot as usize),
        other => usize::try_from(other.as_u64()?).ok(),
    }
}

/// The type of an input or output; old files have -1 for an action, and 0 for any.
fn kind(object: &Map<String, Value>) -> Cow<'_, str> {
    match object.get("type") {
        Some(Value::String(kind)) => kind.as_str().into(),
        Some(Value::Array(_)) => "COMBO".into(),
        _ => "*".into(),
    }
}

fn text<'a>(object: &'a Map<String, Value>, key: &str) -> &'a str {
    object.get(key).and_then(Value::as_str).unwrap_or_default()
}

pub(super) fn list<'a>(object: &'a Map<String, Value>, key: &str) -> &'a [Value] {
    object.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn objects<'a>(object: &'a Map<String, Value>, key: &str) -> impl Iterator<Item = &'a Map<String, Value>> {
    list(object, key).iter().filter_map(Value::as_object)
}
