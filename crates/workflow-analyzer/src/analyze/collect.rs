//! Gathers inputs under the names of their roles and turns them into parameters.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::{Binding, Parameter};
use crate::trace::Trace;
use crate::{InputKind, InputSpec};

/// The roles in the order in which a caller wants to see them.
const ROLES: [&str; 32] = [
    "prompt",
    "negative_prompt",
    "image",
    "mask",
    "width",
    "height",
    "frames",
    "batch_size",
    "seed",
    "steps",
    "cfg",
    "guidance",
    "sampler",
    "scheduler",
    "denoise",
    "model",
    "vae",
    "clip",
    "clip_type",
    "clip_skip",
    "lora",
    "lora_strength",
    "lora_clip_strength",
    "controlnet",
    "control_image",
    "control_strength",
    "control_start",
    "control_end",
    "upscale_model",
    "upscale_factor",
    "fps",
    "filename_prefix",
];

/// More parameters of one role than this are left out; no person tells them apart.
const MAX_PER_ROLE: usize = 64;

/// Whether inputs of the same role are one parameter.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Grouping {
    /// Those that hold the same value now: the prompt of a base and of a refiner model, the size in two places.
    SameValue,
    /// Never: two LoRAs are two, whatever their strength.
    Single,
    /// The parameter with this position among those of its role, from 0, so that `lora_2` and `lora_strength_2` are
    /// those of the same node.
    Numbered(usize),
}

#[derive(Default)]
pub(super) struct Collector<'a> {
    found: HashMap<&'static str, Vec<Found>>,
    bound: HashSet<(&'a str, &'a str)>,
}

struct Found {
    number: usize,
    parameter: Parameter,
}

impl<'a> Collector<'a> {
    /// Puts the input under a role, if it is set. An input that has a role already keeps it.
    pub(super) fn add(
        &mut self,
        trace: &Trace<'a>,
        role: &'static str,
        id: &'a str,
        input: &'a str,
        by: Grouping,
    ) {
        let Some((holder, held)) = trace.holder(id, input) else { return };
        let Some(value) = trace.graph.input(holder, held).and_then(|input| input.as_value()) else { return };
        let Some(kind) = settable(trace.spec(id, input).or_else(|| trace.spec(holder, held)), value) else {
            return;
        };
        if !self.bound.insert((holder, held)) {
            return;
        }
        let binding = Binding { node: holder.to_owned(), input: held.to_owned() };
        let of_role = self.found.entry(role).or_default();
        if by == Grouping::SameValue
            && let Some(same) = of_role.iter_mut().find(|found| found.parameter.value.as_ref() == Some(value))
        {
            same.parameter.bindings.push(binding);
            return;
        }
        let number = match by {
            Grouping::Numbered(number) => number,
            Grouping::SameValue | Grouping::Single => of_role.len(),
        };
        if number >= MAX_PER_ROLE || of_role.iter().any(|found| found.number == number) {
            return;
        }
        let name = if number == 0 { role.to_owned() } else { format!("{role}_{}", number + 1) };
        let parameter = Parameter { name, bindings: vec![binding], kind, value: Some(value.clone()) };
        of_role.push(Found { number, parameter });
    }

    /// Whether anything has this role.
    pub(super) fn has(&self, role: &str) -> bool {
        self.found.get(role).is_some_and(|found| !found.is_empty())
    }

    /// The parameters, the most telling first.
    pub(super) fn into_parameters(mut self) -> Vec<Parameter> {
        let mut parameters = Vec::new();
        for role in ROLES {
            let mut found = self.found.remove(role).unwrap_or_default();
            found.sort_by_key(|found| found.number);
            parameters.extend(found.into_iter().map(|found| found.parameter));
        }
        parameters
    }
}

/// What the input takes; for an unknown class, what its value looks like. `None` for what can only be linked.
fn settable(spec: Option<&InputSpec>, value: &Value) -> Option<InputKind> {
    match spec.map(|spec| &spec.kind) {
        Some(InputKind::Link { .. }) => None,
        Some(InputKind::Dynamic { .. }) | None => match value {
            Value::Number(number) if number.is_f64() => {
                Some(InputKind::Float { min: None, max: None, step: None })
            }
            Value::Number(_) => Some(InputKind::Int { min: None, max: None, step: None }),
            Value::String(_) => Some(InputKind::String { multiline: true }),
            Value::Bool(_) => Some(InputKind::Boolean),
            _ => None,
        },
        Some(kind) => Some(kind.clone()),
    }
}
