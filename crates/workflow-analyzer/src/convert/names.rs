//! The names by which texts speak of nodes: `%KSampler.seed%`.

use std::collections::HashMap;

use serde_json::Value;

use super::model::{Graph, What};
use super::{hosts, text};

/// A widget further on is not looked for.
const MAX_WIDGETS: usize = 1024;

/// The first node of each name, by graph and position.
pub(super) struct Names<'g, 'a> {
    graphs: &'g [Graph<'a>],
    by_name: HashMap<&'g str, (usize, usize)>,
    by_title: HashMap<&'g str, (usize, usize)>,
}

impl<'g, 'a> Names<'g, 'a> {
    /// The names of all nodes in the order of the graph, those of a subgraph before the node that stands for it.
    pub(super) fn new(graphs: &'g [Graph<'a>]) -> Names<'g, 'a> {
        let mut names = Names { graphs, by_name: HashMap::new(), by_title: HashMap::new() };
        let mut seen = vec![false; graphs.len()];
        // Graphs that are gone through, each with the next node in it; none includes itself.
        let mut open = vec![(0, 0)];
        while let Some((position, node)) = open.last_mut() {
            let (graph, at) = (*position, *node);
            let Some(made) = graphs.get(graph).and_then(|graph| graph.nodes.get(at)) else {
                open.pop();
                continue;
            };
            if let What::Host(inner) = made.what
                && !std::mem::replace(&mut seen[inner], true)
            {
                open.push((inner, 0));
                continue;
            }
            *node += 1;
            names.add(graph, at);
        }
        names
    }

    fn add(&mut self, graph: usize, node: usize) {
        let (file, made) = (&self.graphs[graph].scope.nodes[node], &self.graphs[graph].nodes[node]);
        let name = file.properties.and_then(|properties| properties.get("Node name for S&R")?.as_str());
        // The editor gives a class's nodes its name, unless it has something of its own for the class.
        let own = match made.what {
            What::Class(class) if !saves(&class.name) => Some(class.name.as_str()),
            _ => None,
        };
        if let Some(name) = name.or(own) {
            self.by_name.entry(name).or_insert((graph, node));
        }
        self.by_title.entry(super::title(file, made.what)).or_insert((graph, node));
    }

    /// Replaces `%Node.widget%` by what the widget holds; the node is known by its name for it, or else by its title.
    pub(super) fn replace_tokens(&self, text: &str) -> String {
        text::replace_tokens(text, |name, widget| {
            let (graph, node) = *self.by_name.get(name).or_else(|| self.by_title.get(name))?;
            self.value(graph, node, widget)
        })
    }

    /// What a widget of a node holds, as a text, if it has one of this name.
    fn value(&self, graph: usize, node: usize, widget: &str) -> Option<String> {
        let made = &self.graphs[graph].nodes[node];
        if let What::Host(inner) = made.what {
            let inner = &self.graphs[inner];
            let slot = inner.scope.inputs.iter().position(|slot| slot.name == widget)?;
            inner.sources.get(slot).copied().flatten()?;
            return written(hosts::value(self.graphs, graph, node, slot));
        }
        if matches!(made.what, What::Unknown) {
            return None;
        }
        let widget = made.widgets.iter().take(MAX_WIDGETS).find(|known| known.name == widget)?;
        written(widget.value.as_deref())
    }
}

/// The value as a text, unless that is long.
fn written(value: Option<&Value>) -> Option<String> {
    let Some(value) = value.filter(|value| !value.is_null()) else { return Some(String::new()) };
    let mut pending = vec![value];
    let mut length = 0;
    while let Some(next) = pending.pop() {
        length += match next {
            Value::String(text) => text.len(),
            Value::Array(items) => {
                pending.extend(items.iter().take(text::MAX_IN_NAME));
                items.len()
            }
            _ => 1,
        };
        if length > text::MAX_IN_NAME {
            return None;
        }
    }
    Some(text::written(value))
}

/// Whether the editor fills in names of files for a class, which it does for those of its own that save one kind of thing.
pub(super) fn saves(class: &str) -> bool {
    matches!(
        class,
        "SaveImage"
            | "SaveImageAdvanced"
            | "SaveSVGNode"
            | "SaveVideo"
            | "SaveAnimatedWEBP"
            | "SaveWEBM"
            | "SaveAudio"
            | "SaveAudioMP3"
            | "SaveAudioOpus"
            | "SaveAudioAdvanced"
            | "SaveGLB"
            | "Save3DAdvanced"
            | "SaveGaussianSplat"
            | "SavePointCloud"
            | "SaveAnimatedPNG"
            | "CLIPSave"
            | "VAESave"
            | "ModelSave"
            | "LoraSave"
            | "SaveLatent"
    )
}
