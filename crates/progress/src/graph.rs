//! One rising fraction out of the per-node events of a graph's run.

use std::collections::HashMap;

/// What is shown at most before the run has ended.
const ALMOST_DONE: f64 = 0.999;
/// A weight above is taken for this, so that sums stay finite.
const MAX_WEIGHT: f64 = 1e9;
/// Nodes without a weight that are told apart; more of them change nothing.
const MAX_UNKNOWN: usize = 10_000;
/// With no weights at all, after so many nodes a run is taken to be half done.
const HALF_WAY_NODES: f64 = 4.0;

/// Turns per-node events of a graph run into one strictly rising fraction, 0 to 1.
///
/// Each node counts with its weight, a guess of its share of the time. A node that is cached counts for nothing: the
/// others share the whole. ComfyUI tells the end of output nodes alone, so the start of a node ends the one that
/// started before it. Nodes without a weight (those that expand at run time) only count when no node has one.
#[derive(Clone, Debug)]
pub struct GraphProgress {
    weighted: HashMap<String, Node>,
    unknown: HashMap<String, Node>,
    current: Option<String>,
    shown: f64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Node {
    weight: f64,
    /// 0 to 1.
    done: f64,
    cached: bool,
}

impl GraphProgress {
    /// Takes the weight of each node, in any unit. One that is negative, not finite or zero counts for nothing.
    pub fn new(weights: HashMap<String, f64>) -> GraphProgress {
        let weighted = weights
            .into_iter()
            .filter(|(_, weight)| weight.is_finite() && *weight > 0.0)
            .map(|(id, weight)| (id, Node { weight: weight.min(MAX_WEIGHT), ..Node::default() }))
            .collect();
        GraphProgress { weighted, unknown: HashMap::new(), current: None, shown: 0.0 }
    }

    /// These nodes needn't run. The new fraction if it rose.
    pub fn cached(&mut self, nodes: &[String]) -> Option<f64> {
        for id in nodes {
            if let Some(node) = self.weighted.get_mut(id) {
                node.cached = true;
            }
        }
        self.rise()
    }

    /// A node started, and with that the one before it is done. The new fraction if it rose.
    pub fn node_started(&mut self, node: &str) -> Option<f64> {
        if self.current.as_deref() != Some(node)
            && let Some(before) = self.current.replace(node.to_owned())
        {
            self.set(&before, 1.0);
        }
        self.set(node, 0.0);
        self.rise()
    }

    /// A node is at step `value` of `max`. The new fraction if it rose; numbers that make no sense are ignored.
    pub fn node_progress(&mut self, node: &str, value: f64, max: f64) -> Option<f64> {
        let done = value / max;
        if max.is_finite() && max > 0.0 && !done.is_nan() {
            self.set(node, done.clamp(0.0, 1.0));
        }
        self.rise()
    }

    /// A node is done. The new fraction if it rose.
    pub fn node_finished(&mut self, node: &str) -> Option<f64> {
        self.set(node, 1.0);
        self.rise()
    }

    /// The run has ended well: 1. No event afterwards gives a fraction.
    pub fn finished(&mut self) -> f64 {
        self.shown = 1.0;
        self.shown
    }

    /// Notes how far a node is; it never goes back.
    fn set(&mut self, id: &str, done: f64) {
        if let Some(node) = self.weighted.get_mut(id).or_else(|| self.unknown.get_mut(id)) {
            // One that runs isn't cached, whatever was said.
            node.cached = false;
            node.done = node.done.max(done);
        } else if self.unknown.len() < MAX_UNKNOWN {
            self.unknown.insert(id.to_owned(), Node { done, ..Node::default() });
        }
    }

    fn rise(&mut self) -> Option<f64> {
        let fraction = self.fraction().min(ALMOST_DONE);
        if fraction <= self.shown {
            return None;
        }
        self.shown = fraction;
        Some(fraction)
    }

    fn fraction(&self) -> f64 {
        if self.weighted.is_empty() {
            let nodes: f64 = self.unknown.values().map(|node| node.done).sum();
            return nodes / (nodes + HALF_WAY_NODES);
        }
        let (mut done, mut whole) = (0.0, 0.0);
        for node in self.weighted.values().filter(|node| !node.cached) {
            done += node.weight * node.done;
            whole += node.weight;
        }
        if whole > 0.0 { done / whole } else { 1.0 }
    }
}

#[cfg(test)]
mod tests;
