//! Follows a link back to the node that gives its value: out of and into subgraphs, through reroutes and bypassed nodes.

use std::collections::HashMap;

use serde_json::Value;

use super::ConvertError;
use super::file::{End, Mode};
use super::hosts;
use super::model::{Graph, What, kept_name};

/// Steps that all links of a file may take together.
const MAX_STEPS: usize = 5_000_000;

/// A list of types that is longer fits none but itself, in bytes.
const MAX_TYPE: usize = 1024;

/// A subgraph in its place: a definition stands as often in a graph as there are nodes for it.
pub(super) struct Instance {
    /// The definition.
    pub(super) graph: usize,
    /// The instance and the node in it that stand for this one; none for the root.
    pub(super) host: Option<(usize, usize)>,
    /// The ids of the hosts on the way here, each followed by a colon.
    pub(super) path: String,
}

/// The instance that a node of an instance stands for.
pub(super) type Inside = HashMap<(usize, usize), usize>;

/// Everything that a link can lead through.
pub(super) struct Resolver<'g, 'a> {
    pub(super) graphs: &'g [Graph<'a>],
    pub(super) instances: &'g [Instance],
    pub(super) inside: &'g Inside,
    pub(super) steps: usize,
}

/// What a link comes to.
pub(super) enum Found<'g> {
    /// An output of a node that runs.
    Output { instance: usize, node: usize, slot: usize },
    /// A widget of a node that stands for a subgraph; it may hold nothing.
    Widget(Option<&'g Value>),
    /// Nothing: the input counts as unconnected.
    Nothing,
    /// A link names a node that isn't there.
    Dangling,
    /// The links go round in a circle.
    Circle,
}

/// A place on the way.
#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    Input(usize, usize, usize),
    Output(usize, usize, usize),
}

impl<'g> Resolver<'g, '_> {
    /// What comes into the input `input` of a node.
    pub(super) fn input(
        &mut self,
        instance: usize,
        node: usize,
        input: usize,
    ) -> Result<Found<'g>, ConvertError> {
        let mut at = At::Input(instance, node, input);
        let mut kind = self.kind(instance, node, input);
        // Brent's algorithm: the mark moves to where we are after 1, 2, 4, 8, … steps, and a circle comes by it again.
        let (mut mark, mut since, mut next_mark) = (at, 0_usize, 1_usize);
        loop {
            self.steps += 1;
            if self.steps > MAX_STEPS {
                return Err(ConvertError::TooTangled);
            }
            match self.step(at, &mut kind) {
                Ok(next) => at = next,
                Err(found) => return Ok(found),
            }
            if at == mark {
                return Ok(Found::Circle);
            }
            since += 1;
            if since == next_mark {
                (mark, since, next_mark) = (at, 0, next_mark.saturating_mul(2));
            }
        }
    }

    fn kind(&self, instance: usize, node: usize, input: usize) -> &'g str {
        let made = &self.graphs[self.instances[instance].graph].nodes[node];
        made.inputs.get(input).map_or("*", |input| input.kind.as_ref())
    }

    fn step(&mut self, at: At, kind: &mut &'g str) -> Result<At, Found<'g>> {
        match at {
            At::Input(instance, node, input) => self.step_from_input(instance, node, input, kind),
            At::Output(instance, node, slot) => self.step_from_output(instance, node, slot, kind),
        }
    }

    fn step_from_input(
        &self,
        instance: usize,
        node: usize,
        input: usize,
        kind: &mut &'g str,
    ) -> Result<At, Found<'g>> {
        let graph = &self.graphs[self.instances[instance].graph];
        let input = graph.nodes[node].inputs.get(input).ok_or(Found::Nothing)?;
        let Some(link) = input.link else {
            return Err(if input.dangling { Found::Dangling } else { Found::Nothing });
        };
        match graph.scope.links[link].from {
            End::Node { node, slot } => Ok(At::Output(instance, node, slot)),
            End::Nowhere => Err(Found::Dangling),
            End::Boundary(slot) => {
                let (outside, host) = self.instances[instance].host.ok_or(Found::Dangling)?;
                self.step_from_host(outside, host, slot, kind)
            }
        }
    }

    /// What comes into a subgraph by the input `slot` of its host: a link, or what the host's widget holds.
    fn step_from_host(
        &self,
        instance: usize,
        host: usize,
        slot: usize,
        kind: &mut &'g str,
    ) -> Result<At, Found<'g>> {
        let position = self.instances[instance].graph;
        let made = &self.graphs[position].nodes[host];
        let What::Host(inner) = made.what else { return Err(Found::Nothing) };
        if made.inputs.get(slot).is_some_and(|input| input.link.is_some()) {
            *kind = self.kind(instance, host, slot);
            return Ok(At::Input(instance, host, slot));
        }
        Err(match self.graphs[inner].sources.get(slot) {
            Some(Some(_)) => Found::Widget(hosts::value(self.graphs, position, host, slot)),
            _ => Found::Nothing,
        })
    }

    fn step_from_output(
        &mut self,
        instance: usize,
        node: usize,
        slot: usize,
        kind: &mut &'g str,
    ) -> Result<At, Found<'g>> {
        let graphs = self.graphs;
        let graph = &graphs[self.instances[instance].graph];
        let made = &graph.nodes[node];
        match graph.scope.nodes[node].mode {
            Mode::Muted => return Err(Found::Nothing),
            Mode::Bypassed => {
                self.steps += made.inputs.len();
                let input = self.bypass(instance, node, slot, kind).ok_or(Found::Nothing)?;
                *kind = self.kind(instance, node, input);
                return Ok(At::Input(instance, node, input));
            }
            Mode::Active => {}
        }
        match made.what {
            What::Class(_) | What::Unknown => Err(Found::Output { instance, node, slot }),
            What::Reroute | What::Setter => Ok(At::Input(instance, node, slot)),
            What::Getter => self.kept(instance, node),
            What::Primitive | What::Note => Err(Found::Nothing),
            What::Host(inner) => {
                let within = *self.inside.get(&(instance, node)).ok_or(Found::Nothing)?;
                let output = self.graphs[inner].scope.outputs.get(slot).ok_or(Found::Nothing)?;
                let link = *output.links.first().ok_or(Found::Nothing)?;
                match self.graphs[inner].scope.links[link].from {
                    End::Node { node, slot } => Ok(At::Output(within, node, slot)),
                    End::Boundary(slot) => self.step_from_host(instance, node, slot, kind),
                    End::Nowhere => Err(Found::Dangling),
                }
            }
        }
    }

    /// What a getter finds: in its own graph, or else in those around it.
    fn kept(&self, mut instance: usize, node: usize) -> Result<At, Found<'g>> {
        let graph = &self.graphs[self.instances[instance].graph];
        let name = kept_name(&graph.scope.nodes[node]).ok_or(Found::Dangling)?;
        loop {
            let place = &self.instances[instance];
            if let Some(setter) = self.graphs[place.graph].setters.get(name) {
                return Ok(At::Input(instance, *setter, 0));
            }
            (instance, _) = place.host.ok_or(Found::Dangling)?;
        }
    }

    /// The input that a bypassed node passes on by its output `slot`, to an input of the type `kind`.
    fn bypass(&mut self, instance: usize, node: usize, slot: usize, kind: &str) -> Option<usize> {
        let graphs = self.graphs;
        let inputs = &graphs[self.instances[instance].graph].nodes[node].inputs;
        if inputs.is_empty() {
            return None;
        }
        if kind == "*" || kind.is_empty() {
            return Some(if slot < inputs.len() { slot } else { 0 });
        }
        let output = self.output_kind(instance, node, slot);
        // What comparing lists of types costs, each with each.
        let types = |kind: &str| 1 + kind.bytes().take(MAX_TYPE).filter(|byte| *byte == b',').count();
        let others = types(output) + types(kind);
        self.steps += inputs.iter().map(|input| types(&input.kind) * others).sum::<usize>();
        if self.steps > MAX_STEPS {
            return None;
        }
        let fits = |input: &str| compatible(input, output) && compatible(input, kind);
        if inputs.get(slot).is_some_and(|input| fits(&input.kind)) {
            return Some(slot);
        }
        let exact = inputs.iter().position(|input| input.kind == kind);
        exact.or_else(|| inputs.iter().position(|input| fits(&input.kind)))
    }

    fn output_kind(&self, instance: usize, node: usize, slot: usize) -> &'g str {
        let graph = &self.graphs[self.instances[instance].graph];
        let of_class = match graph.nodes[node].what {
            What::Class(class) => class.outputs.get(slot).map(|output| output.kind.as_str()),
            What::Host(inner) => {
                self.graphs[inner].scope.outputs.get(slot).map(|output| output.kind.as_ref())
            }
            _ => None,
        };
        let kind = of_class.or_else(|| graph.scope.nodes[node].outputs.get(slot).copied()).unwrap_or("*");
        // A type that follows what is linked.
        if kind.starts_with("COMFY_MATCHTYPE") { "*" } else { kind }
    }
}

/// Whether the editor links these types: the same, any, or lists that have one in common.
fn compatible(a: &str, b: &str) -> bool {
    let any = |kind: &str| kind.is_empty() || kind == "*" || kind == "0";
    if any(a) || any(b) || a.eq_ignore_ascii_case(b) {
        return true;
    }
    if a.len() > MAX_TYPE || b.len() > MAX_TYPE {
        return false;
    }
    a.split(',').any(|a| b.split(',').any(|b| a.trim().eq_ignore_ascii_case(b.trim())))
}
