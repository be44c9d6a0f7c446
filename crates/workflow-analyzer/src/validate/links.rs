//! Which nodes the outputs need, in what order, and whether the ends of a link fit.

use std::collections::{HashMap, HashSet};

use crate::{ClassInfo, Graph, InputKind, Node, ObjectInfo};

/// What ComfyUI looks at: the output nodes and all that they need.
pub(super) struct Needed<'a> {
    graph: &'a Graph,
    info: &'a ObjectInfo,
    pub(super) outputs: Vec<&'a str>,
    /// All nodes needed, each after those that it needs; those of `stuck` last.
    pub(super) nodes: Vec<&'a str>,
    /// The nodes of a circle, in the direction of the data.
    pub(super) circle: Vec<&'a str>,
    /// The nodes in circles and behind them.
    pub(super) stuck: HashSet<&'a str>,
}

impl<'a> Needed<'a> {
    pub(super) fn new(graph: &'a Graph, info: &'a ObjectInfo) -> Needed<'a> {
        let is_output = |node: &Node| info.class(&node.class_type).is_some_and(|class| class.output_node);
        let outputs =
            graph.nodes.iter().filter(|(_, node)| is_output(node)).map(|(id, _)| id.as_str()).collect();
        let mut needed =
            Needed { graph, info, outputs, nodes: Vec::new(), circle: Vec::new(), stuck: HashSet::new() };
        needed.sort();
        needed.circle = needed.find_circle();
        needed
    }

    /// Whether an output needs none of the faulty nodes: ComfyUI runs those outputs.
    pub(super) fn has_good_output(&self, faulty: &HashSet<&str>) -> bool {
        let mut bad = HashSet::new();
        for &id in &self.nodes {
            let spoiled = faulty.contains(id) || self.stuck.contains(id);
            if spoiled || self.sources(id).iter().any(|source| bad.contains(source)) {
                bad.insert(id);
            }
        }
        self.outputs.iter().any(|output| !bad.contains(output))
    }

    /// The nodes that a node's inputs are linked to. ComfyUI looks only at inputs that the class has.
    fn sources(&self, id: &str) -> Vec<&'a str> {
        let Some(node) = self.graph.nodes.get(id) else { return Vec::new() };
        let class = self.info.class(&node.class_type);
        let any_input = class.is_none_or(has_dynamic_inputs);
        let is_looked_at =
            |name: &str| any_input || class.is_some_and(|class| class.inputs.contains_key(name));
        let links = node.inputs.iter().filter(|(name, _)| is_looked_at(name));
        let sources = links.filter_map(|(_, input)| self.graph.nodes.get_key_value(input.as_link()?.0));
        sources.map(|(id, _)| id.as_str()).collect()
    }

    fn reachable(&self) -> Vec<&'a str> {
        let mut seen: HashSet<&str> = self.outputs.iter().copied().collect();
        let mut found = self.outputs.clone();
        let mut next = 0;
        while let Some(&id) = found.get(next) {
            next += 1;
            found.extend(self.sources(id).into_iter().filter(|source| seen.insert(source)));
        }
        found
    }

    /// Takes nodes whose sources have all been taken; what stays behind is stuck.
    fn sort(&mut self) {
        let reachable = self.reachable();
        let mut waiting: HashMap<&str, usize> = HashMap::new();
        let mut users: HashMap<&str, Vec<&str>> = HashMap::new();
        for &id in &reachable {
            let sources = self.sources(id);
            waiting.insert(id, sources.len());
            for source in sources {
                users.entry(source).or_default().push(id);
            }
        }
        let mut order: Vec<&str> = reachable.iter().copied().filter(|id| waiting[id] == 0).collect();
        let mut next = 0;
        while let Some(&id) = order.get(next) {
            next += 1;
            for user in users.remove(id).unwrap_or_default() {
                if let Some(count) = waiting.get_mut(user) {
                    *count -= 1;
                    if *count == 0 {
                        order.push(user);
                    }
                }
            }
        }
        let taken: HashSet<&str> = order.iter().copied().collect();
        self.stuck = reachable.iter().copied().filter(|id| !taken.contains(id)).collect();
        order.extend(reachable.iter().copied().filter(|id| self.stuck.contains(id)));
        self.nodes = order;
    }

    /// One circle: every stuck node has a stuck source, so that walking back must meet itself.
    fn find_circle(&self) -> Vec<&'a str> {
        let Some(mut at) = self.nodes.last().copied().filter(|id| self.stuck.contains(id)) else {
            return Vec::new();
        };
        let mut path = Vec::new();
        let mut places = HashMap::new();
        while places.insert(at, path.len()).is_none() {
            path.push(at);
            match self.sources(at).into_iter().find(|source| self.stuck.contains(source)) {
                Some(source) => at = source,
                None => return Vec::new(),
            }
        }
        let start = path.iter().position(|id| *id == at).unwrap_or_default();
        path.drain(..start);
        path.reverse();
        path
    }
}

/// Whether an output of type `given` may be linked to an input of that kind, as ComfyUI's `validate_node_input` says:
/// the same, or one type in common in comma-separated lists.
pub(super) fn fits(given: &str, kind: &InputKind) -> bool {
    if given.starts_with("COMFY_") {
        return true;
    }
    let mut given = given.split(',').map(str::trim);
    match kind {
        InputKind::Dynamic { .. } => true,
        InputKind::Link { types } => {
            given.any(|given| given == "*" || types.iter().any(|t| t == given || t == "*"))
        }
        _ => given.any(|given| given == "*" || given == type_of(kind)),
    }
}

/// What ComfyUI calls the type of such an input.
pub(super) fn type_of(kind: &InputKind) -> String {
    match kind {
        InputKind::Int { .. } => "INT".to_owned(),
        InputKind::Float { .. } => "FLOAT".to_owned(),
        InputKind::String { .. } => "STRING".to_owned(),
        InputKind::Boolean => "BOOLEAN".to_owned(),
        InputKind::Combo { .. } => "COMBO".to_owned(),
        InputKind::Link { types } => types.join(" or "),
        InputKind::Dynamic { name } => name.clone(),
    }
}

/// The output of a class that would fit.
pub(super) fn matching_output(class: &ClassInfo, kind: &InputKind) -> Option<usize> {
    class.outputs.iter().position(|output| fits(&output.kind, kind))
}

/// Whether a class has inputs that its answer in `object_info` doesn't list.
pub(super) fn has_dynamic_inputs(class: &ClassInfo) -> bool {
    class.inputs.values().any(|spec| matches!(spec.kind, InputKind::Dynamic { .. }))
}
