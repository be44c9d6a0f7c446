//! Nodes that let one of two inputs through.

use std::collections::HashMap;

use super::Trace;
use crate::{ClassInfo, InputKind};

/// A switch whose position the graph tells.
#[derive(Clone, Copy, Debug)]
pub(super) struct Switch<'a> {
    /// The input that is let through.
    open: &'a str,
    /// The input that isn't; ComfyUI checks what is behind it, and doesn't run it.
    shut: &'a str,
}

impl<'a> Trace<'a> {
    /// Whether nothing comes through that input.
    pub(crate) fn is_shut(&self, id: &str, input: &str) -> bool {
        self.switches.get(id).is_some_and(|switch| switch.shut == input)
    }

    /// The input that a switch lets through; `None` for other nodes and where the position isn't known.
    pub(super) fn open_input(&self, id: &str) -> Option<&'a str> {
        self.switches.get(id).map(|switch| switch.open)
    }

    /// Every switch whose truth value is written in the graph, at the switch or at a primitive. One that another
    /// switch sets is left open on both sides.
    pub(super) fn find_switches(&self) -> HashMap<&'a str, Switch<'a>> {
        let switches = self.graph.nodes.iter().filter_map(|(id, node)| {
            let parts = parts(self.info.class(&node.class_type)?)?;
            let (holder, held) = self.holder(id, parts.flag)?;
            let is_true = self.graph.input(holder, held)?.as_value()?.as_bool()?;
            let (open, shut) =
                if is_true { (parts.on_true, parts.on_false) } else { (parts.on_false, parts.on_true) };
            Some((id.as_str(), Switch { open, shut }))
        });
        switches.collect()
    }
}

/// The inputs of a switch.
struct Parts<'a> {
    flag: &'a str,
    on_true: &'a str,
    on_false: &'a str,
}

/// A class is a switch when it takes one truth value and two more, named after its two states.
fn parts(class: &ClassInfo) -> Option<Parts<'_>> {
    if class.inputs.len() != 3 {
        return None;
    }
    let mut flags = class.inputs.iter().filter(|(_, spec)| spec.kind == InputKind::Boolean);
    let (flag, _) = flags.next()?;
    let named = |state: &str| {
        let mut names = class.inputs.keys().filter(|name| *name != flag && name.contains(state));
        names.next().map(String::as_str)
    };
    Some(Parts { flag, on_true: named("true")?, on_false: named("false")? })
}
