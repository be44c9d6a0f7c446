//! Follows the links of a graph, with the types of `object_info` where the class is known.

mod switches;
mod values;

use std::collections::{HashMap, HashSet};

use crate::{ClassInfo, Graph, InputKind, InputSpec, Node, ObjectInfo, dynamic};

use switches::Switch;

/// The type of a link of which nothing is known.
pub(crate) const ANY: &str = "*";

/// An output of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Port<'a> {
    pub(crate) node: &'a str,
    pub(crate) slot: usize,
}

/// A link, seen from the node that it leads into.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Edge<'a> {
    pub(crate) input: &'a str,
    pub(crate) from: Port<'a>,
    /// The type that it carries, or [`ANY`].
    pub(crate) kind: &'a str,
}

/// A graph together with what is known of its classes.
pub(crate) struct Trace<'a> {
    pub(crate) graph: &'a Graph,
    pub(crate) info: &'a ObjectInfo,
    /// The output nodes, in the graph's order.
    pub(crate) outputs: Vec<&'a str>,
    /// What the outputs need, each node after those that it needs (cycles apart). What is behind the closed side of a
    /// switch isn't needed: ComfyUI doesn't run it.
    pub(crate) live: Vec<&'a str>,
    /// The links into each node.
    edges: HashMap<&'a str, Vec<Edge<'a>>>,
    /// The switches whose position the graph tells.
    switches: HashMap<&'a str, Switch<'a>>,
    /// What others take from nodes of unknown classes.
    taken: HashMap<&'a str, HashSet<&'a str>>,
}

impl<'a> Trace<'a> {
    pub(crate) fn new(graph: &'a Graph, info: &'a ObjectInfo) -> Trace<'a> {
        let is_output = |node: &Node| info.class(&node.class_type).is_some_and(|class| class.output_node);
        let outputs: Vec<&str> =
            graph.nodes.iter().filter(|(_, node)| is_output(node)).map(|(id, _)| id.as_str()).collect();
        let mut trace = Trace {
            graph,
            info,
            outputs,
            live: Vec::new(),
            edges: HashMap::new(),
            switches: HashMap::new(),
            taken: HashMap::new(),
        };
        trace.switches = trace.find_switches();
        trace.edges =
            graph.nodes.iter().map(|(id, node)| (id.as_str(), trace.edges_into(id, node))).collect();
        trace.live = trace.in_order(&trace.roots());
        trace.taken = trace.taken_from_unknown();
        trace
    }

    pub(crate) fn node(&self, id: &str) -> Option<&'a Node> {
        self.graph.nodes.get(id)
    }

    pub(crate) fn class(&self, id: &str) -> Option<&'a ClassInfo> {
        self.info.class(&self.node(id)?.class_type)
    }

    /// What an input takes; in a group of inputs, by what is chosen.
    pub(crate) fn spec(&self, id: &str, input: &str) -> Option<&'a InputSpec> {
        let node = self.node(id)?;
        dynamic::spec(self.info.class(&node.class_type)?, node, input)
    }

    /// The links into a node, in the order of its inputs; those to nodes that aren't there are left out, and the one
    /// that a switch doesn't let through.
    pub(crate) fn edges(&self, id: &str) -> &[Edge<'a>] {
        self.edges.get(id).map_or(&[], Vec::as_slice)
    }

    /// The links into a node that carry `kind`.
    pub(crate) fn edges_of(&self, id: &str, kind: &str) -> Vec<Edge<'a>> {
        self.edges(id).iter().filter(|edge| edge.kind == kind).copied().collect()
    }

    /// Whether a node has an input of that type: by its class, or else by what is linked to it.
    pub(crate) fn takes(&self, id: &str, kind: &str) -> bool {
        match self.class(id) {
            Some(class) => class.takes(kind),
            None => self.edges(id).iter().any(|edge| edge.kind == kind),
        }
    }

    /// Whether a node has an output of that type: by its class, or else by what others take from it.
    pub(crate) fn gives(&self, id: &str, kind: &str) -> bool {
        match self.class(id) {
            Some(class) => class.gives(kind),
            None => self.taken.get(id).is_some_and(|kinds| kinds.contains(kind)),
        }
    }

    /// Whether conditioning ends in this node: a sampler or a guider.
    pub(crate) fn is_conditioned(&self, id: &str) -> bool {
        self.takes(id, "CONDITIONING")
            && (self.is_sampler(id) || self.gives(id, "GUIDER"))
            && !self.passes_on(id)
    }

    /// Whether this node samples: it turns a model with conditioning, or a guider, into latents or pictures.
    pub(crate) fn is_sampler(&self, id: &str) -> bool {
        if self.gives(id, "GUIDER") || self.passes_on(id) {
            return false;
        }
        let samples = self.takes(id, "GUIDER") || (self.takes(id, "MODEL") && self.takes(id, "CONDITIONING"));
        samples
            && (self.class(id).is_none()
                || ["LATENT", "IMAGE", "VIDEO", "AUDIO"].iter().any(|k| self.gives(id, k)))
    }

    fn passes_on(&self, id: &str) -> bool {
        self.gives(id, "MODEL") || self.gives(id, "CONDITIONING")
    }

    /// Every port that `kind` comes from, walking back from `start` over nodes that pass it on, nearest first.
    /// `seen` may be shared between walks, so that many of them together stay linear.
    pub(crate) fn upstream(
        &self,
        start: Port<'a>,
        kind: &str,
        seen: &mut HashSet<Port<'a>>,
    ) -> Vec<Port<'a>> {
        let mut found = Vec::new();
        let mut pending = vec![start];
        while let Some(port) = pending.pop() {
            if !seen.insert(port) {
                continue;
            }
            found.push(port);
            pending.extend(self.passed(port, kind).into_iter().rev());
        }
        found
    }

    /// The ports whose `kind` this port passes on.
    pub(crate) fn passed(&self, port: Port<'a>, kind: &str) -> Vec<Port<'a>> {
        let carries = |edge: &&Edge<'a>| edge.kind == kind || edge.kind == ANY;
        let edges: Vec<Edge<'a>> = self.edges(port.node).iter().filter(carries).copied().collect();
        if edges.len() > 1
            && let Some(edge) = self.partner(port, kind, &edges)
        {
            return vec![edge.from];
        }
        edges.into_iter().map(|edge| edge.from).collect()
    }

    /// The input that one of several outputs of the same type belongs to: by name (`positive`, also `negative_text`),
    /// or by position when there are as many inputs as outputs.
    fn partner(&self, port: Port<'a>, kind: &str, edges: &[Edge<'a>]) -> Option<Edge<'a>> {
        let outputs = match self.class(port.node) {
            Some(class) => class.outputs.as_slice(),
            None => return edges.get(port.slot).filter(|_| is_pair(edges)).copied(),
        };
        let name = outputs.get(port.slot)?.name.to_lowercase();
        let by_name = edges.iter().find(|edge| {
            name == edge.input || name.strip_prefix(edge.input).is_some_and(|rest| rest.starts_with('_'))
        });
        if let Some(edge) = by_name {
            return Some(*edge);
        }
        let slots =
            || outputs.iter().enumerate().filter(|(_, output)| output.kind == kind).map(|(slot, _)| slot);
        let rank = slots().position(|slot| slot == port.slot)?;
        if slots().count() == edges.len() { edges.get(rank).copied() } else { None }
    }

    fn edges_into(&self, id: &str, node: &'a Node) -> Vec<Edge<'a>> {
        let open = node.inputs.iter().filter(|(input, _)| !self.is_shut(id, input));
        let edges = open.filter_map(|(input, value)| {
            let (source, slot) = value.as_link()?;
            let (source, _) = self.graph.nodes.get_key_value(source)?;
            let from = Port { node: source, slot };
            Some(Edge { input, from, kind: self.kind(from, id, input) })
        });
        edges.collect()
    }

    fn kind(&self, from: Port<'a>, consumer: &str, input: &str) -> &'a str {
        let output = self.class(from.node).and_then(|class| class.outputs.get(from.slot));
        if let Some(output) = output
            && !is_open(&output.kind)
        {
            return &output.kind;
        }
        match self.spec(consumer, input).map(|spec| &spec.kind) {
            Some(InputKind::Link { types }) => match types.as_slice() {
                [only] => only,
                _ => ANY,
            },
            _ => ANY,
        }
    }

    /// Where ComfyUI would start. Nodes of unknown classes that nobody takes from may be outputs too; a graph with
    /// neither is looked at as a whole.
    fn roots(&self) -> Vec<&'a str> {
        let links = self.graph.nodes.values().flat_map(|node| node.inputs.values());
        let used: HashSet<&str> = links.filter_map(|input| Some(input.as_link()?.0)).collect();
        let ids = || self.graph.nodes.keys().map(String::as_str);
        let unknown = ids().filter(|id| !used.contains(id) && self.class(id).is_none());
        let roots: Vec<&str> = self.outputs.iter().copied().chain(unknown).collect();
        if roots.is_empty() { ids().collect() } else { roots }
    }

    /// What the roots need, each node after those that it needs. Links that close a circle are passed over.
    fn in_order(&self, roots: &[&'a str]) -> Vec<&'a str> {
        enum Step<'a> {
            Enter(&'a str),
            Leave(&'a str),
        }
        let mut order = Vec::new();
        let mut entered = HashSet::new();
        let mut pending: Vec<Step<'_>> = roots.iter().rev().map(|root| Step::Enter(root)).collect();
        while let Some(step) = pending.pop() {
            match step {
                Step::Leave(id) => order.push(id),
                Step::Enter(id) => {
                    if entered.insert(id) {
                        pending.push(Step::Leave(id));
                        pending.extend(self.edges(id).iter().rev().map(|edge| Step::Enter(edge.from.node)));
                    }
                }
            }
        }
        order
    }

    fn taken_from_unknown(&self) -> HashMap<&'a str, HashSet<&'a str>> {
        let mut taken: HashMap<&str, HashSet<&str>> = HashMap::new();
        for id in self.graph.nodes.keys() {
            for edge in self.edges(id) {
                if self.class(edge.from.node).is_none() {
                    taken.entry(edge.from.node).or_default().insert(edge.kind);
                }
            }
        }
        taken
    }
}

/// Whether a type stands for any: it is settled by what is linked.
fn is_open(kind: &str) -> bool {
    kind == ANY || kind.starts_with("COMFY_")
}

fn is_pair(edges: &[Edge<'_>]) -> bool {
    matches!(edges, [first, second] if first.input.contains("pos") && second.input.contains("neg"))
}
