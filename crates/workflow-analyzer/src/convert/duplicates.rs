//! What a file has twice, and the editor once.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::file::{End, Link, Node, id_text};

/// The nodes of a subgraph, of those with one id the first.
pub(super) fn without_twins(nodes: &[Value]) -> Vec<&Value> {
    let mut seen = HashSet::new();
    let first = |node: &&Value| node.get("id").and_then(id_text).is_none_or(|id| seen.insert(id));
    nodes.iter().filter(first).collect()
}

/// Leaves one link to each input of a node, and gives the others' inputs that one; tells which is in whose place.
///
/// It is the first, unless another from elsewhere is named by an input and the first is not. After that an input has none
/// of the links that lead to other nodes.
pub(super) fn merge_links(links: &mut [Link], nodes: &mut [Node<'_>]) -> HashMap<usize, usize> {
    let mut named = vec![false; links.len()];
    for link in nodes.iter().flat_map(|node| &node.sockets).filter_map(|socket| socket.link) {
        named[link] = true;
    }
    let mut kept: HashMap<(usize, usize), usize> = HashMap::new();
    let mut others = Vec::new();
    for (index, link) in links.iter().enumerate() {
        let End::Node { node, slot } = link.to else { continue };
        let first = kept.entry((node, slot)).or_insert(index);
        if *first == index {
            continue;
        }
        let mut other = index;
        if links[*first].from != link.from && named[index] && !named[*first] {
            std::mem::swap(first, &mut other);
        }
        others.push((other, (node, slot)));
    }
    let same: HashMap<usize, usize> =
        others.into_iter().filter_map(|(other, end)| Some((other, *kept.get(&end)?))).collect();
    for other in same.keys() {
        links[*other].to = End::Nowhere;
    }
    for (position, node) in nodes.iter_mut().enumerate() {
        for socket in &mut node.sockets {
            let link = socket.link.map(|link| same.get(&link).copied().unwrap_or(link));
            let leads = |link: &usize| matches!(links[*link].to, End::Node { node, .. } if node == position);
            socket.link = link.filter(leads);
            socket.dangling |= link.is_some() && socket.link.is_none();
        }
    }
    same
}
