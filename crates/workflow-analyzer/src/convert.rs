//! From the format that the editor saves to the one that ComfyUI runs.
//!
//! The editor's file says what a person sees: nodes with widgets whose values stand in a list without names, links by
//! number, subgraphs, and nodes that only the editor knows. What comes out is what the editor itself would send for the
//! file to the server that `info` comes from.
//!
//! Nothing recurses on the depth of a file, and time and memory are bounded whatever it says.

mod duplicates;
mod emit;
mod file;
mod groups;
mod hosts;
mod legacy;
mod model;
mod names;
mod order;
mod placement;
mod primitives;
mod problems;
mod resolve;
#[cfg(test)]
mod tests;
mod text;
mod widgets;

use std::collections::HashMap;

use serde_json::Value;
use thiserror::Error;

use crate::graph::{self, Graph, MAX_NODES};
use crate::info::ObjectInfo;

pub use problems::{ConvertProblem, ConvertProblemKind};

/// Subgraphs that stand in each other may be this deep; the deepest that people share have three levels.
const MAX_DEPTH: usize = 32;

/// All nodes that stand for subgraphs may have so many inputs together.
const MAX_HOST_INPUTS: usize = 1_000_000;

/// What came of a file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Conversion {
    /// The graph in the API format. A node of a subgraph has the ids of the nodes that it stands in before its own:
    /// `8:11`. Nodes that do not run (muted, bypassed, notes, reroutes) aren't in it.
    pub graph: Graph,
    /// What couldn't be converted, in the order of the graph.
    pub problems: Vec<ConvertProblem>,
}

/// Why a document can't be converted at all.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ConvertError {
    /// It has no list of nodes.
    #[error("this isn't a workflow in the editor's format: it has no list of nodes")]
    NotEditorFormat,
    /// More nodes than [`MAX_NODES`], those of subgraphs counted wherever they stand.
    #[error("the workflow has too many nodes; with all subgraphs the limit is {MAX_NODES}")]
    TooManyNodes,
    /// An entry in the table of links is null. The editor can't load such a file either.
    #[error("the table of links has an entry without a link, so that the editor can't load the file either")]
    BrokenLinks,
    /// A subgraph has itself inside, directly or further in.
    #[error("the subgraph {name:?} includes itself")]
    SelfIncluding {
        /// Its name.
        name: String,
    },
    /// Subgraphs stand in each other, or values are nested, too deeply.
    #[error("the workflow is nested too deeply: subgraphs may be in each other for {MAX_DEPTH} levels")]
    TooDeep,
    /// The values, repeated wherever a subgraph stands, take too much memory.
    #[error("the values of the workflow take too much memory")]
    TooLarge,
    /// Following all links takes too long.
    #[error("the links of the workflow lead through too many reroutes, subgraphs and bypassed nodes")]
    TooTangled,
    /// The id of a node is too long.
    #[error("an id of a node is longer than any that the editor gives")]
    LongId,
}

/// Whether this is a workflow as the editor saves it.
pub fn is_editor_format(document: &Value) -> bool {
    document.as_object().is_some_and(graph::is_ui_format)
}

/// The graph that the editor would send for this file.
///
/// `info` decides which widgets a node has, and so which value of the file belongs to which input: it should be the
/// answer of the server that the graph is for.
pub fn convert(document: &Value, info: &ObjectInfo) -> Result<Conversion, ConvertError> {
    if graph::is_too_deep(document) {
        return Err(ConvertError::TooDeep);
    }
    let scopes = file::read(document)?;
    let order = order::inside_out(&scopes)?;
    let hosts: HashMap<String, usize> = scopes
        .iter()
        .enumerate()
        .skip(1)
        .rev()
        .map(|(position, scope)| (scope.id.to_string(), position))
        .collect();
    let slots: Vec<Vec<_>> = scopes
        .iter()
        .map(|scope| scope.inputs.iter().map(|slot| (slot.name.clone(), slot.kind.clone())).collect())
        .collect();
    let inputs = |scope: &file::Scope<'_>| -> usize {
        scope.nodes.iter().filter_map(|node| Some(slots[*hosts.get(node.class.as_ref())?].len())).sum()
    };
    if scopes.iter().map(inputs).sum::<usize>() > MAX_HOST_INPUTS {
        return Err(ConvertError::TooLarge);
    }
    let mut budget = placement::MAX_PLACING;
    let graphs = scopes.into_iter().map(|scope| model::Graph::new(scope, info, &hosts, &slots, &mut budget));
    let mut graphs = graphs.collect::<Result<Vec<_>, _>>()?;
    let mut looks = 0;
    for position in order {
        hosts::set_values(&mut graphs, position, &mut looks)?;
        hosts::find_sources(&mut graphs, position);
    }
    let names = names::Names::new(&graphs);
    let values: Vec<_> =
        graphs.iter().map(|graph| graph.primitive_values(|text| names.replace_tokens(text))).collect();
    let mut budget = emit::MAX_VALUES;
    for (graph, values) in graphs.iter_mut().zip(values) {
        graph.apply_primitives(values, &mut budget)?;
    }
    let mut problems = problems::Problems::default();
    let graph = emit::emit(&graphs, &mut problems)?;
    Ok(Conversion { graph, problems: problems.found })
}

/// The title that a person gave a node, or that the editor gives it.
fn title<'n>(node: &'n file::Node<'_>, what: model::What<'n>) -> &'n str {
    match (node.title.filter(|title| !title.is_empty()), what) {
        (Some(title), _) => title,
        (None, model::What::Class(class)) => &class.display_name,
        (None, _) => &node.class,
    }
}
