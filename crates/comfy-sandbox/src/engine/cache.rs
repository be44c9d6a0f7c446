//! Results of nodes that need not run again: those of the previous prompt whose class and inputs are the same.

use std::collections::{HashMap, HashSet};

use serde_json::Value as Json;
use workflow_analyzer::{Graph, Input};

use crate::{
    data::DataDir,
    digest::Digest,
    nodes::{self, Produced},
    validation::MAX_DEPTH,
};

/// Results by what made them.
#[derive(Debug, Default)]
pub(super) struct Cache {
    results: HashMap<Digest, Produced>,
}

/// What makes the result of each node of a graph: its class, its values, and the same of those it is linked to.
#[derive(Debug, Default)]
pub(super) struct Signatures {
    of: HashMap<String, Option<Digest>>,
}

impl Cache {
    /// Forgets what this graph has no use for.
    pub(super) fn keep(&mut self, signatures: &Signatures) {
        let kept: HashSet<Digest> = signatures.of.values().copied().flatten().collect();
        self.results.retain(|signature, _| kept.contains(signature));
    }

    pub(super) fn get(&self, signatures: &Signatures, node: &str) -> Option<&Produced> {
        self.results.get(&signatures.get(node)?)
    }

    pub(super) fn insert(&mut self, signatures: &Signatures, node: &str, produced: Produced) {
        if let Some(signature) = signatures.get(node) {
            self.results.insert(signature, produced);
        }
    }
}

impl Signatures {
    /// Reads the files that nodes load: not for the runtime's threads. Validation lets no longer chain run than it
    /// looks at.
    pub(super) fn of(graph: &Graph, data: &DataDir) -> Self {
        let mut signatures = Self::default();
        for node in graph.nodes.keys() {
            signatures.visit(graph, data, node, 0);
        }
        signatures
    }

    fn get(&self, node: &str) -> Option<Digest> {
        self.of.get(node).copied().flatten()
    }

    fn visit(&mut self, graph: &Graph, data: &DataDir, id: &str, depth: usize) -> Option<Digest> {
        if let Some(known) = self.of.get(id) {
            return *known;
        }
        let node = graph.nodes.get(id).filter(|_| depth <= MAX_DEPTH)?;
        // Whoever comes back here while this node is visited has found a cycle.
        self.of.insert(id.to_owned(), None);
        let mut inputs: Vec<_> = node.inputs.iter().collect();
        inputs.sort_by_key(|(name, _)| *name);
        let mut signature = Digest::of(&node.class_type);
        for (name, input) in inputs {
            signature = signature.with(name);
            signature = match input {
                Input::Link { node, slot } => signature
                    .with_digest(self.visit(graph, data, node, depth + 1)?)
                    .with_integer(*slot as i128),
                Input::Value(value) => signature.with("value").with(value.to_string()),
            };
        }
        let plain = node.inputs.iter().filter_map(|(name, input)| match input {
            Input::Value(value) => Some((name.clone(), value.clone())),
            Input::Link { .. } => None,
        });
        if let Some(fingerprint) = nodes::fingerprint(&node.class_type, &Json::Object(plain.collect()), data)
        {
            signature = signature.with_digest(fingerprint);
        }
        self.of.insert(id.to_owned(), Some(signature));
        Some(signature)
    }
}
