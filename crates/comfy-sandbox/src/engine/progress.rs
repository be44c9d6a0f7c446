//! The state of each node of a run: the `progress_state` event.

use indexmap::IndexMap;
use serde_json::{Map, Value, json};

/// The nodes that have started, in that order.
#[derive(Debug, Default)]
pub(super) struct Progress {
    nodes: IndexMap<String, NodeProgress>,
}

#[derive(Debug)]
struct NodeProgress {
    value: Value,
    max: Value,
    state: &'static str,
}

impl Progress {
    pub(super) fn start(&mut self, node: &str) {
        let started = NodeProgress { value: json!(0.0), max: json!(1.0), state: "running" };
        self.nodes.insert(node.to_owned(), started);
    }

    pub(super) fn step(&mut self, node: &str, value: u64, max: u64) {
        let step = NodeProgress { value: json!(value), max: json!(max), state: "running" };
        self.nodes.insert(node.to_owned(), step);
    }

    /// A node that never started, because its result was cached, counts as one step.
    pub(super) fn finish(&mut self, node: &str) {
        let entry = self.nodes.entry(node.to_owned());
        let node =
            entry.or_insert_with(|| NodeProgress { value: json!(1), max: json!(1), state: "finished" });
        node.value = node.max.clone();
        node.state = "finished";
    }

    /// The `data` of the event.
    pub(super) fn to_json(&self, prompt_id: &str) -> Value {
        let node = |(id, node): (&String, &NodeProgress)| {
            let value = json!({
                "value": node.value, "max": node.max, "state": node.state, "node_id": id,
                "prompt_id": prompt_id, "display_node_id": id, "parent_node_id": null, "real_node_id": id,
            });
            (id.clone(), value)
        };
        json!({"prompt_id": prompt_id, "nodes": self.nodes.iter().map(node).collect::<Map<_, _>>()})
    }
}
