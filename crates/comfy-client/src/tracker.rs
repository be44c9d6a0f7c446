//! From ComfyUI's messages to the events of a run: each thing once, in order, about nodes of the submitted graph.

use std::collections::{HashMap, HashSet};

use workflow_analyzer::{Graph, NodeId};

use crate::{
    RunEvent,
    message::{Event, NodeState},
};

/// What is kept of a run whose graph isn't known here can't grow beyond this.
const MAX_NODES: usize = 100_000;

/// What has been told so far.
#[derive(Debug, Default)]
pub(crate) struct Tracker {
    /// The nodes of the graph, unless it was submitted by an earlier process.
    graph: Option<HashSet<NodeId>>,
    started: bool,
    current: Option<NodeId>,
    begun: HashSet<NodeId>,
    finished: HashSet<NodeId>,
    progress: HashMap<NodeId, (f64, f64)>,
    /// A ComfyUI that sends `progress_state` tells the end of each node; for an older one, the next begin is the end.
    tells_ends: bool,
}

impl Tracker {
    pub(crate) fn new(graph: &Graph) -> Self {
        Self { graph: Some(graph.nodes.keys().cloned().collect()), ..Self::default() }
    }

    pub(crate) fn has_started(&self) -> bool {
        self.started
    }

    /// The start, if it hasn't been told.
    pub(crate) fn start(&mut self) -> Option<RunEvent> {
        (!std::mem::replace(&mut self.started, true)).then_some(RunEvent::Started)
    }

    /// What is new in `event`, which belongs to this run.
    pub(crate) fn apply(&mut self, event: Event) -> Vec<RunEvent> {
        let mut news: Vec<_> = self.start().into_iter().collect();
        match event {
            Event::Cached(mut nodes) => {
                nodes.retain(|node| self.is_ours(node));
                self.finished.extend(nodes.iter().cloned());
                news.push(RunEvent::Cached { nodes });
            }
            Event::Executing { node, display } => self.executing(display.unwrap_or(node), &mut news),
            Event::Progress { node, value, max } => self.advance(node, value, max, &mut news),
            Event::States(states) => {
                self.tells_ends = true;
                for state in states {
                    self.state(state, &mut news);
                }
            }
            Event::Executed(node) => self.finish(node, &mut news),
            Event::Started | Event::Status | Event::Over | Event::Ending | Event::Other => {}
        }
        news
    }

    fn executing(&mut self, node: NodeId, news: &mut Vec<RunEvent>) {
        if self.current.as_ref() != Some(&node) {
            let previous = self.current.replace(node.clone());
            if let Some(previous) = previous.filter(|_| !self.tells_ends) {
                self.finish(previous, news);
            }
        }
        self.begin(node, news);
    }

    fn state(&mut self, state: NodeState, news: &mut Vec<RunEvent>) {
        let NodeState { node_id, value, max, state } = state;
        match state.as_str() {
            "running" => {
                self.begin(node_id.clone(), news);
                if value > 0.0 {
                    self.advance(node_id, value, max, news);
                }
            }
            "finished" => self.finish(node_id, news),
            _ => {}
        }
    }

    fn begin(&mut self, node: NodeId, news: &mut Vec<RunEvent>) {
        if self.is_ours(&node) && !self.finished.contains(&node) && self.begun.insert(node.clone()) {
            news.push(RunEvent::NodeStarted { node });
        }
    }

    fn advance(&mut self, node: NodeId, value: f64, max: f64, news: &mut Vec<RunEvent>) {
        let is_sound = value.is_finite() && max.is_finite() && max > 0.0 && value >= 0.0;
        if !is_sound || !self.is_ours(&node) || self.finished.contains(&node) {
            return;
        }
        self.begin(node.clone(), news);
        // Newer versions send the same step as `progress` and in `progress_state`.
        if self.progress.insert(node.clone(), (value, max)) != Some((value, max)) {
            news.push(RunEvent::NodeProgress { node, value, max });
        }
    }

    fn finish(&mut self, node: NodeId, news: &mut Vec<RunEvent>) {
        if self.is_ours(&node) && self.finished.insert(node.clone()) {
            self.progress.remove(&node);
            news.push(RunEvent::NodeFinished { node });
        }
    }

    /// Nodes made while the graph runs aren't: what they do counts for the node that they came from.
    fn is_ours(&self, node: &str) -> bool {
        match &self.graph {
            Some(graph) => graph.contains(node),
            None => self.begun.len().max(self.finished.len()) < MAX_NODES,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use workflow_analyzer::Graph;

    use super::Tracker;
    use crate::{RunEvent, message};

    fn news(tracker: &mut Tracker, text: &str) -> Vec<String> {
        let show = |event: RunEvent| match event {
            RunEvent::Started => "started".to_owned(),
            RunEvent::Cached { nodes } => format!("cached {}", nodes.join(",")),
            RunEvent::NodeStarted { node } => format!("begin {node}"),
            RunEvent::NodeProgress { node, value, max } => format!("{node} {value}/{max}"),
            RunEvent::NodeFinished { node } => format!("end {node}"),
            other => format!("{other:?}"),
        };
        tracker.apply(message::parse(text).event).into_iter().map(show).collect()
    }

    fn tracker() -> Tracker {
        let node = || json!({ "class_type": "Some", "inputs": {} });
        Tracker::new(&Graph::from_json(&json!({ "1": node(), "2": node(), "3": node() })).unwrap())
    }

    #[test]
    fn a_new_version_tells_each_end_itself() {
        let mut tracker = tracker();
        let mut check = |text, expect: &[&str]| assert_eq!(news(&mut tracker, text), expect, "{text}");
        check(r#"{"type":"execution_start","data":{}}"#, &["started"]);
        check(r#"{"type":"execution_cached","data":{"nodes":["1"]}}"#, &["cached 1"]);
        check(
            r#"{"type":"progress_state","data":{"nodes":{"2":{"node_id":"2","value":0,"max":1,"state":"running"}}}}"#,
            &["begin 2"],
        );
        check(r#"{"type":"executing","data":{"node":"2","display_node":"2"}}"#, &[]);
        check(
            r#"{"type":"progress_state","data":{"nodes":{"2":{"node_id":"2","value":1,"max":4,"state":"running"}}}}"#,
            &["2 1/4"],
        );
        check(r#"{"type":"progress","data":{"node":"2","value":1,"max":4}}"#, &[]);
        check(r#"{"type":"executing","data":{"node":"3"}}"#, &["begin 3"]);
        check(
            r#"{"type":"progress_state","data":{"nodes":{"2":{"node_id":"2","value":4,"max":4,"state":"finished"}}}}"#,
            &["end 2"],
        );
        check(r#"{"type":"progress","data":{"node":"2","value":4,"max":4}}"#, &[]);
        check(r#"{"type":"executed","data":{"node":"1"}}"#, &[]);
    }

    #[test]
    fn an_old_version_tells_ends_by_the_next_begin() {
        let mut tracker = tracker();
        let mut check = |text, expect: &[&str]| assert_eq!(news(&mut tracker, text), expect, "{text}");
        check(r#"{"type":"executing","data":{"node":"1"}}"#, &["started", "begin 1"]);
        check(r#"{"type":"progress","data":{"node":"1","value":1,"max":2}}"#, &["1 1/2"]);
        check(r#"{"type":"executing","data":{"node":"2"}}"#, &["end 1", "begin 2"]);
        check(r#"{"type":"executed","data":{"node":"2"}}"#, &["end 2"]);
    }

    #[test]
    fn nodes_that_are_not_in_the_graph_are_not_told() {
        let mut tracker = tracker();
        let mut check = |text, expect: &[&str]| assert_eq!(news(&mut tracker, text), expect, "{text}");
        check(r#"{"type":"executing","data":{"node":"2.0.7","display_node":"2"}}"#, &["started", "begin 2"]);
        check(r#"{"type":"progress","data":{"node":"2.0.7","value":9,"max":9}}"#, &[]);
        check(r#"{"type":"progress","data":{"node":"2","value":1,"max":0}}"#, &[]);
        check(r#"{"type":"execution_cached","data":{"nodes":["9"]}}"#, &["cached "]);
    }
}
