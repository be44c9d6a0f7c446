//! The widgets of nodes that stand for a subgraph: each belongs to a widget inside and may hold a value of its own.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::Value;

use super::ConvertError;
use super::file::{End, Values};
use super::model::{Graph, What};

/// Nodes and inputs that may be looked at for all proxies of a file together.
const MAX_LOOKS: usize = 50_000_000;

/// Why the editor couldn't place the value of a host.
const REASONS: [&str; 6] = [
    "missingSourceNode",
    "missingSourceWidget",
    "missingSubgraphInput",
    "ambiguousSubgraphInput",
    "unlinkedSourceWidget",
    "primitiveBypassFailed",
];

/// Finds which widget each input of the subgraph at `position` stands for. The subgraphs inside of it come first.
pub(super) fn find_sources(graphs: &mut [Graph<'_>], position: usize) {
    let graph = &graphs[position];
    let source = |links: &[usize]| {
        links
            .iter()
            .filter_map(|link| graph.targets[*link])
            .find(|(node, input)| has_widget(graphs, position, *node, *input))
    };
    let sources: Vec<_> = graph.scope.inputs.iter().map(|slot| source(&slot.links)).collect();
    graphs[position].sources = sources;
}

fn has_widget(graphs: &[Graph<'_>], position: usize, node: usize, input: usize) -> bool {
    let made = &graphs[position].nodes[node];
    match made.what {
        What::Host(inner) => graphs[inner].sources.get(input).is_some_and(Option::is_some),
        _ => made.inputs.get(input).is_some_and(|input| input.widget.is_some()),
    }
}

/// What the node `node` of the graph at `position`, which stands for a subgraph, holds for the input `slot`.
pub(super) fn value<'g>(
    graphs: &'g [Graph<'_>],
    mut position: usize,
    mut node: usize,
    mut slot: usize,
) -> Option<&'g Value> {
    loop {
        let made = &graphs[position].nodes[node];
        if let Some(Some(value)) = made.promoted.get(slot) {
            return Some(value);
        }
        let What::Host(inner) = made.what else {
            let widget = made.inputs.get(slot)?.widget?;
            return made.widgets.get(widget)?.value.as_deref();
        };
        // Each step goes one subgraph further in, and none includes itself.
        (node, slot) = (*graphs[inner].sources.get(slot)?)?;
        position = inner;
    }
}

/// Gives the hosts in the graph at `position` the values that the file has for them.
pub(super) fn set_values(
    graphs: &mut [Graph<'_>],
    position: usize,
    looks: &mut usize,
) -> Result<(), ConvertError> {
    for node in 0..graphs[position].nodes.len() {
        if let What::Host(inner) = graphs[position].nodes[node].what {
            for (slot, value) in positional(&graphs[position], &graphs[inner], node) {
                graphs[position].nodes[node].promote(slot, Cow::Borrowed(value));
            }
        }
    }
    for node in 0..graphs[position].nodes.len() {
        if let What::Host(inner) = graphs[position].nodes[node].what {
            apply_proxies(graphs, position, node, inner, looks)?;
        }
    }
    Ok(())
}

/// One value for each input that has a widget, in their order; none has a place for what changes a seed after a run.
fn positional<'a>(graph: &Graph<'a>, inner: &Graph<'a>, node: usize) -> Vec<(usize, &'a Value)> {
    let file = &graph.scope.nodes[node];
    let slots: Vec<usize> = (0..inner.sources.len()).filter(|slot| inner.sources[*slot].is_some()).collect();
    let name = |slot: usize| inner.scope.inputs[slot].name.as_ref();
    let values = match file.values {
        Values::List(values) => values,
        Values::Named(values) => {
            return slots.into_iter().filter_map(|slot| Some((slot, values.get(name(slot))?))).collect();
        }
    };
    let quarantined =
        quarantined(file.properties.and_then(|properties| properties.get("proxyWidgetErrorQuarantine")));
    let mut places = values.iter();
    let mut found = Vec::new();
    for slot in slots {
        let value = places.next();
        if let Some(value) = quarantined.get(name(slot)).copied().or(value).filter(|value| !value.is_null()) {
            found.push((slot, value));
        }
    }
    found
}

/// `[{"originalEntry": ["-1", name], "reason": …, "hostValue": value, "attemptedAtVersion": 1}]`: what an earlier editor
/// couldn't place. The editor reads all of such a list or nothing.
fn quarantined(property: Option<&Value>) -> HashMap<&str, &Value> {
    let entries = property.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let known = |entry: &Value| {
        let reason = entry.get("reason").and_then(Value::as_str);
        entry.get("originalEntry").is_some_and(Value::is_array)
            && entry.get("attemptedAtVersion").and_then(Value::as_u64) == Some(1)
            && reason.is_some_and(|reason| REASONS.contains(&reason))
    };
    if !entries.iter().all(known) {
        return HashMap::new();
    }
    let entries = entries.iter().filter_map(|entry| {
        let original = entry.get("originalEntry")?.as_array()?;
        let name = original.get(1)?.as_str()?;
        (original.first()?.as_str()? == "-1").then_some((name, entry.get("hostValue")?))
    });
    let mut values = HashMap::new();
    for (name, value) in entries.filter(|(_, value)| !value.is_null()) {
        values.entry(name).or_insert(value);
    }
    values
}

/// `proxyWidgets` of files before subgraphs had a value for each input: widgets inside by node and name, each with the
/// value at the same position.
fn apply_proxies<'a>(
    graphs: &mut [Graph<'a>],
    position: usize,
    node: usize,
    inner: usize,
    looks: &mut usize,
) -> Result<(), ConvertError> {
    let file = &graphs[position].scope.nodes[node];
    let values: &'a [Value] = match file.values {
        Values::List(values) => values,
        Values::Named(_) => &[],
    };
    let Some(proxies) = file.properties.and_then(|properties| properties.get("proxyWidgets")?.as_array())
    else {
        return Ok(());
    };
    for (index, proxy) in proxies.iter().enumerate() {
        *looks += graphs[inner].sources.len() + graphs[inner].scope.links.len();
        if *looks > MAX_LOOKS {
            return Err(ConvertError::TooTangled);
        }
        let Some([Value::String(id), Value::String(name), rest @ ..]) = proxy.as_array().map(Vec::as_slice)
        else {
            continue;
        };
        let value = values.get(index).filter(|value| !value.is_null()).map(Cow::Borrowed);
        let slot = if id == "-1" {
            graphs[inner].scope.inputs.iter().position(|slot| slot.name == name.as_str())
        } else {
            proxy_slot(graphs, inner, id, name, rest.first().and_then(Value::as_str))
        };
        let Some(slot) = slot.or_else(|| primitive_slot(graphs, inner, id, name)) else { continue };
        if let Some(value) = value {
            graphs[position].nodes[node].promote(slot, value);
        }
    }
    Ok(())
}

/// The input of the subgraph that stands for the widget `name` of the node `id` in it; it is made if there is none.
fn proxy_slot(
    graphs: &mut [Graph<'_>],
    inner: usize,
    id: &str,
    name: &str,
    deeper: Option<&str>,
) -> Option<usize> {
    let graph = &graphs[inner];
    let node = *graph.scope.places.get(id)?;
    let is_it = |source: &Option<(usize, usize)>, name: &str| {
        source.is_some_and(|(source, input)| source == node && graph.nodes[node].inputs[input].name == name)
    };
    if let Some(slot) = graph.sources.iter().position(|source| is_it(source, name)) {
        return Some(slot);
    }
    // Names of widgets further in were written with the id of their node before them.
    let short = without_ids(name);
    if let Some(slot) = graph.sources.iter().position(|source| is_it(source, short)) {
        return Some(slot);
    }
    let made = &graph.nodes[node];
    let input = match made.what {
        What::Host(nested) => host_input(&graphs[nested], short, deeper)?,
        What::Class(_) | What::Unknown => {
            made.inputs.iter().position(|input| input.name == short && input.widget.is_some())?
        }
        What::Reroute | What::Primitive | What::Setter | What::Getter | What::Note => return None,
    };
    if let Some(slot) = graph.sources.iter().position(|source| *source == Some((node, input))) {
        return Some(slot);
    }
    let name = made.inputs.get(input)?.name.clone();
    graphs[inner].add_slot(name, &[(node, input)])
}

/// `seed` of `12: 7: seed`.
fn without_ids(mut name: &str) -> &str {
    while let Some((id, rest)) = name.split_once(':') {
        let id = id.trim();
        if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_digit()) {
            break;
        }
        name = rest.trim_start();
    }
    name
}

/// The input of a subgraph that has this name, or stands for a widget of this name.
fn host_input(graph: &Graph<'_>, name: &str, node: Option<&str>) -> Option<usize> {
    (0..graph.sources.len()).find(|slot| {
        let Some((source, input)) = graph.sources[*slot] else { return false };
        let same = graph.nodes[source].inputs[input].name == name;
        match node {
            Some(id) => same && graph.scope.nodes[source].written_id == id,
            None => same || graph.scope.inputs[*slot].name == name,
        }
    })
}

/// A primitive of a subgraph that is a widget of its host: an input takes its place, which holds what the first widget
/// does. There is none if the primitive has another type than something that it is linked to.
fn primitive_slot(graphs: &mut [Graph<'_>], inner: usize, id: &str, name: &str) -> Option<usize> {
    let graph = &mut graphs[inner];
    let node = *graph.scope.places.get(id)?;
    if !matches!(graph.nodes[node].what, What::Primitive) {
        return None;
    }
    let links = graph.scope.links.iter().zip(&graph.targets);
    let from_it = links.filter(|(link, _)| matches!(link.from, End::Node { node: from, .. } if from == node));
    let targets: Vec<_> = from_it.filter_map(|(_, target)| *target).collect();
    let own = graph.scope.nodes[node].outputs.first().copied().unwrap_or_default();
    let other = |kind: &str| !matches!(own, "" | "*") && kind != "*" && kind != own;
    let mut kinds =
        targets.iter().filter_map(|(node, input)| Some(&graph.nodes.get(*node)?.inputs.get(*input)?.kind));
    if kinds.any(|kind| other(kind)) {
        return None;
    }
    graph.add_slot(Cow::Owned(name.to_owned()), &targets)
}
