//! The order in which the nodes of a graph run: ComfyUI's, so that events come in the order that clients see there.

use std::collections::{HashMap, HashSet};

use indexmap::{IndexMap, IndexSet};
use workflow_analyzer::{Graph, Input};

use crate::catalog::Catalog;

/// The nodes that are left to run.
#[derive(Debug)]
pub(super) struct Schedule<'a> {
    graph: &'a Graph,
    /// The nodes in the order of their discovery, with those they wait for.
    pending: IndexMap<&'a str, HashSet<&'a str>>,
    /// The nodes that wait, or have waited, for each.
    followers: HashMap<&'a str, Vec<&'a str>>,
}

impl<'a> Schedule<'a> {
    /// Everything that these outputs need, from the outputs down, but what is cached.
    pub(super) fn new(graph: &'a Graph, outputs: &'a [String], is_cached: impl Fn(&str) -> bool) -> Self {
        let mut pending: IndexMap<&str, HashSet<&str>> = IndexMap::new();
        let mut followers: HashMap<&str, Vec<&str>> = HashMap::new();
        for output in outputs {
            let mut found = vec![output.as_str()];
            while let Some(id) = found.pop() {
                if pending.contains_key(id) {
                    continue;
                }
                let sources: IndexSet<&str> = links(graph, id).filter(|source| !is_cached(source)).collect();
                found.extend(sources.iter().copied());
                for source in &sources {
                    followers.entry(source).or_default().push(id);
                }
                pending.insert(id, sources.into_iter().collect());
            }
        }
        Self { graph, pending, followers }
    }

    /// The node to run now. Of those that can, an output node comes first, then one that an output node waits for,
    /// then one that such a one waits for, then the first that was discovered.
    pub(super) fn next(&self) -> Option<&'a str> {
        let ready: Vec<&str> =
            self.pending.iter().filter(|(_, waits_for)| waits_for.is_empty()).map(|(id, _)| *id).collect();
        let leads_to_output = |id: &&&'a str| self.followers(id).any(|follower| self.is_output(follower));
        let leads_there = |id: &&&'a str| {
            self.followers(id).any(|follower| self.followers(follower).any(|last| self.is_output(last)))
        };
        let output = ready.iter().find(|id| self.is_output(id));
        output
            .or_else(|| ready.iter().find(leads_to_output))
            .or_else(|| ready.iter().find(leads_there))
            .or(ready.first())
            .copied()
    }

    /// Takes a node out that has run.
    pub(super) fn done(&mut self, id: &str) {
        self.pending.shift_remove(id);
        for follower in self.followers.get(id).into_iter().flatten() {
            if let Some(waits_for) = self.pending.get_mut(follower) {
                waits_for.remove(id);
            }
        }
    }

    fn followers(&self, id: &str) -> impl Iterator<Item = &'a str> {
        self.followers.get(id).into_iter().flatten().copied()
    }

    fn is_output(&self, id: &str) -> bool {
        self.graph.nodes.get(id).is_some_and(|node| Catalog::is_output(&node.class_type))
    }
}

fn links<'a>(graph: &'a Graph, id: &str) -> impl Iterator<Item = &'a str> {
    let inputs = graph.nodes.get(id).map(|node| &node.inputs);
    inputs.into_iter().flatten().filter_map(|(_, input)| match input {
        Input::Link { node, .. } => Some(node.as_str()),
        Input::Value(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn order(graph: &Value, outputs: &[&str], cached: &[&str]) -> Vec<String> {
        let graph = Graph::from_json(graph).unwrap();
        let outputs: Vec<String> = outputs.iter().map(|&id| id.to_owned()).collect();
        let mut schedule = Schedule::new(&graph, &outputs, |id| cached.contains(&id));
        let mut order = Vec::new();
        while let Some(id) = schedule.next() {
            order.push(id.to_owned());
            schedule.done(id);
        }
        order
    }

    fn txt2img(with_lora: Option<&str>) -> Value {
        let mut graph = json!({
            "4": {"class_type": "CheckpointLoaderSimple", "inputs": {}},
            "5": {"class_type": "EmptyLatentImage", "inputs": {}},
            "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a", "clip": ["4", 1]}},
            "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "b", "clip": ["4", 1]}},
            "3": {"class_type": "KSampler", "inputs": {
                "model": ["4", 0], "positive": ["6", 0], "negative": ["7", 0], "latent_image": ["5", 0]}},
            "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 2]}},
            "9": {"class_type": "SaveImage", "inputs": {"images": ["8", 0]}},
        });
        if let Some(lora) = with_lora {
            graph[lora] =
                json!({"class_type": "LoraLoader", "inputs": {"model": ["4", 0], "clip": ["4", 1]}});
            graph["3"]["inputs"]["model"] = json!([lora, 0]);
            graph["6"]["inputs"]["clip"] = json!([lora, 1]);
            graph["7"]["inputs"]["clip"] = json!([lora, 1]);
        }
        graph
    }

    /// The orders are those of recorded runs.
    #[test]
    fn nodes_run_in_comfyuis_order() {
        assert_eq!(order(&txt2img(None), &["9"], &[]), ["4", "5", "7", "6", "3", "8", "9"]);
        assert_eq!(order(&txt2img(Some("10")), &["9"], &[]), ["4", "5", "10", "7", "6", "3", "8", "9"]);
        assert_eq!(order(&txt2img(None), &["9"], &["4", "6", "7"]), ["5", "3", "8", "9"]);
    }
}
