//! The names by which texts speak of nodes: `%KSampler.seed%`.

use std::collections::HashMap;

use serde_json::Value;

use super::model::Graph;
use super::text;

/// The first node of each name, by graph and position.
pub(super) struct Names<'g, 'a> {
    graphs: &'g [Graph<'a>],
    by_name: HashMap<&'g str, (usize, usize)>,
    by_title: HashMap<&'g str, (usize, usize)>,
}

impl<'g, 'a> Names<'g, 'a> {
    /// The names of all nodes, those of the root before those of subgraphs.
    pub(super) fn new(graphs: &'g [Graph<'a>]) -> Names<'g, 'a> {
        let mut names = Names { graphs, by_name: HashMap::new(), by_title: HashMap::new() };
        for (position, graph) in graphs.iter().enumerate() {
            for (node, (file, made)) in graph.scope.nodes.iter().zip(&graph.nodes).enumerate() {
                let name =
                    file.properties.and_then(|properties| properties.get("Node name for S&R")?.as_str());
                if let Some(name) = name {
                    names.by_name.entry(name).or_insert((position, node));
                }
                names.by_title.entry(super::title(file, made.what)).or_insert((position, node));
            }
        }
        names
    }

    /// Replaces `%Node.widget%` by what the widget holds; the node is known by its name for it, or else by its title.
    pub(super) fn replace_tokens(&self, text: &str) -> String {
        text::replace_tokens(text, |name, widget| {
            let (graph, node) = *self.by_name.get(name).or_else(|| self.by_title.get(name))?;
            let widget = self.graphs[graph].nodes[node].widgets.iter().find(|known| known.name == widget)?;
            Some(match widget.value.as_deref() {
                Some(Value::String(text)) => text.clone(),
                Some(Value::Null) | None => String::new(),
                Some(Value::Number(number)) => number.to_string(),
                Some(Value::Bool(flag)) => flag.to_string(),
                Some(_) => return None,
            })
        })
    }
}
