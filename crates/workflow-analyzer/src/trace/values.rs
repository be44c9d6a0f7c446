//! Where a value that comes over a link is written.

use serde_json::Value;

use super::{ANY, Port, Trace, is_open};
use crate::{Input, InputKind, InputSpec, Node};

/// A value that comes through more nodes than this is not looked for any further.
const MAX_HOPS: usize = 16;

/// A node with more inputs than this isn't much like a primitive.
const MAX_INPUTS: usize = 64;

impl<'a> Trace<'a> {
    /// The input that really holds the value of `input`: itself, or that of a primitive which is linked to it, perhaps
    /// through switches, previews, and nodes that make one text or number of another.
    pub(crate) fn holder(&self, id: &'a str, input: &'a str) -> Option<(&'a str, &'a str)> {
        let (mut id, mut input) = (id, input);
        let spec = self.spec(id, input);
        let wanted = spec.and_then(|spec| Family::of(&spec.kind));
        // A model, a picture: nothing that is written.
        if wanted.is_none() && spec.is_some_and(|spec| !takes(spec, None)) {
            return self.graph.input(id, input)?.as_value().map(|_| (id, input));
        }
        for _ in 0..MAX_HOPS {
            let port = match self.graph.input(id, input)? {
                Input::Value(_) => return Some((id, input)),
                Input::Link { node, slot } => Port { node, slot: *slot },
            };
            let (source, node) = self.graph.nodes.get_key_value(port.node)?;
            input = self.forwarded(Port { node: source, ..port }, node, input, wanted)?;
            id = source;
        }
        None
    }

    /// The input of a primitive, or of a node much like one, that comes out of `port`.
    fn forwarded(
        &self,
        port: Port<'a>,
        node: &'a Node,
        wanted: &str,
        family: Option<Family>,
    ) -> Option<&'a str> {
        if let Some(open) = self.open_input(port.node) {
            return Some(open);
        }
        if node.inputs.len() > MAX_INPUTS {
            return None;
        }
        let output = self.class(port.node).and_then(|class| class.outputs.get(port.slot));
        let family = match output.filter(|output| !is_open(&output.kind)) {
            Some(output) => Some(Family::of_type(&output.kind)?),
            None => family,
        };
        let candidates: Vec<(&str, &Input)> = node
            .inputs
            .iter()
            .filter(|(name, input)| self.may_forward(port.node, name, input, family))
            .map(|(name, input)| (name.as_str(), input))
            .collect();
        if let [(only, _)] = candidates.as_slice() {
            return Some(only);
        }
        let output = output.map(|output| output.name.to_lowercase());
        let output = output.as_deref();
        if family == Some(Family::Text) {
            return text(&candidates, output, wanted);
        }
        let names = output.into_iter().chain([wanted, "value"]);
        find(&candidates, names)
    }

    /// Whether what comes out of a node may be what is in this input of it.
    fn may_forward(&self, id: &str, name: &str, input: &Input, family: Option<Family>) -> bool {
        let held = match input {
            Input::Value(value) => Family::of_value(value),
            Input::Link { node, slot } => {
                let output = self.class(node).and_then(|class| class.outputs.get(*slot));
                match output.filter(|output| !is_open(&output.kind)) {
                    Some(output) => Family::of_type(&output.kind),
                    None => family,
                }
            }
        };
        let takes = match (self.class(id), self.spec(id, name)) {
            // What a group of inputs holds isn't listed one by one.
            (Some(_), None) => name.contains('.'),
            (Some(_), Some(spec)) => takes(spec, family),
            (None, _) => true,
        };
        takes && held.is_some() && (family.is_none() || held == family)
    }
}

/// What values can stand for each other.
#[derive(Clone, Copy, PartialEq)]
enum Family {
    Number,
    Text,
    Switch,
}

impl Family {
    fn of(kind: &InputKind) -> Option<Family> {
        match kind {
            InputKind::Int { .. } | InputKind::Float { .. } => Some(Family::Number),
            InputKind::String { .. } | InputKind::Combo { .. } => Some(Family::Text),
            InputKind::Boolean => Some(Family::Switch),
            InputKind::Link { .. } | InputKind::Dynamic { .. } => None,
        }
    }

    fn of_type(kind: &str) -> Option<Family> {
        match kind {
            "INT" | "FLOAT" => Some(Family::Number),
            "STRING" | "COMBO" => Some(Family::Text),
            "BOOLEAN" => Some(Family::Switch),
            _ => None,
        }
    }

    fn of_value(value: &Value) -> Option<Family> {
        match value {
            Value::Number(_) => Some(Family::Number),
            Value::String(_) => Some(Family::Text),
            Value::Bool(_) => Some(Family::Switch),
            _ => None,
        }
    }
}

fn takes(spec: &InputSpec, family: Option<Family>) -> bool {
    match &spec.kind {
        InputKind::Link { types } => types.iter().any(|kind| kind == ANY || Family::of_type(kind).is_some()),
        InputKind::Dynamic { name } => name == "COMFY_MATCHTYPE_V3",
        kind => family.is_none() || Family::of(kind) == family,
    }
}

/// Of several texts that become one, the one that a person varies: mostly it is linked, and the rest is written. In a
/// template, that is what is put in.
fn text<'a>(candidates: &[(&'a str, &Input)], output: Option<&str>, wanted: &str) -> Option<&'a str> {
    let linked: Vec<(&str, &Input)> =
        candidates.iter().filter(|(_, input)| input.as_link().is_some()).copied().collect();
    let usual = output.into_iter().chain([wanted, "value", "text", "string", "prompt", "string_a"]);
    match linked.as_slice() {
        [] => find(candidates, usual),
        [(only, _)] => Some(only),
        [(first, _), ..] => find(&linked, ["replace"].into_iter().chain(usual)).or(Some(first)),
    }
}

fn find<'a, 'n>(
    candidates: &[(&'a str, &Input)],
    mut names: impl Iterator<Item = &'n str>,
) -> Option<&'a str> {
    names.find_map(|name| candidates.iter().find(|(candidate, _)| *candidate == name).map(|(name, _)| *name))
}
