//! Gathers inputs under the names of their roles and turns them into parameters.

use std::collections::HashMap;

use serde_json::Value;

use super::{Binding, Parameter};
use crate::trace::Trace;
use crate::{InputKind, InputSpec, Nested};

/// The roles in the order in which a caller wants to see them.
const ROLES: [&str; 43] = [
    "prompt",
    "negative_prompt",
    "lyrics",
    "image",
    "mask",
    "video",
    "audio",
    "width",
    "height",
    "aspect_ratio",
    "megapixels",
    "frames",
    "seconds",
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
    "style_model",
    "clip_vision",
    "audio_encoder",
    "upscale_model",
    "latent_upscale_model",
    "other_model",
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
    /// The role and the place among those of its role, of every input that has one.
    bound: HashMap<(&'a str, &'a str), (&'static str, usize)>,
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
        let (used, written) = (trace.spec(id, input), trace.spec(holder, held));
        let Some(mut kind) = settable(used.or(written), Some(value)) else { return };
        if let Some(written) = written {
            narrow(&mut kind, &written.kind);
        }
        if let Some((role, place)) = self.bound.get(&(holder, held)) {
            // One more input takes its value from the same place: what is set there must suit it too.
            if let Some(found) = self.found.get_mut(role).and_then(|of_role| of_role.get_mut(*place)) {
                narrow(&mut found.parameter.kind, &kind);
            }
            return;
        }
        let default = used.and_then(|spec| spec.default.clone());
        let binding = Binding { node: holder.to_owned(), input: held.to_owned() };
        let of_role = self.found.entry(role).or_default();
        if by == Grouping::SameValue
            && let Some(place) =
                of_role.iter().position(|found| found.parameter.value.as_ref() == Some(value))
            && let Some(same) = of_role.get_mut(place)
        {
            self.bound.insert((holder, held), (role, place));
            same.parameter.bindings.push(binding);
            narrow(&mut same.parameter.kind, &kind);
            return;
        }
        let number = match by {
            Grouping::Numbered(number) => number,
            Grouping::SameValue | Grouping::Single => of_role.len(),
        };
        self.bound.insert((holder, held), (role, of_role.len()));
        if number >= MAX_PER_ROLE || of_role.iter().any(|found| found.number == number) {
            return;
        }
        let name = if number == 0 { role.to_owned() } else { format!("{role}_{}", number + 1) };
        let parameter =
            Parameter { name, bindings: vec![binding], kind, value: Some(value.clone()), default };
        of_role.push(Found { number, parameter });
    }

    /// Whether anything has this role.
    pub(super) fn has(&self, role: &str) -> bool {
        self.first(role).is_some()
    }

    /// The first parameter of this role.
    pub(super) fn first(&self, role: &str) -> Option<&Parameter> {
        self.found.get(role)?.first().map(|found| &found.parameter)
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
pub(super) fn settable(spec: Option<&InputSpec>, value: Option<&Value>) -> Option<InputKind> {
    if let Some(Nested::Options(options)) = spec.and_then(|spec| spec.editor.nested.as_deref()) {
        let options = options.iter().map(|option| option.key.as_str().into()).collect();
        return Some(InputKind::Combo { options, upload: false, multiselect: false });
    }
    match spec.map(|spec| &spec.kind) {
        Some(InputKind::Link { .. }) => None,
        Some(InputKind::Dynamic { .. }) | None => match value? {
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

/// Leaves of the bounds of `kind` what `other` takes too.
fn narrow(kind: &mut InputKind, other: &InputKind) {
    match (kind, other) {
        (InputKind::Int { min, max, .. }, InputKind::Int { min: other_min, max: other_max, .. }) => {
            *min = (*min).max(*other_min);
            *max = [*max, *other_max].into_iter().flatten().min();
        }
        (InputKind::Float { min, max, .. }, InputKind::Float { min: other_min, max: other_max, .. }) => {
            *min = [*min, *other_min].into_iter().flatten().reduce(f64::max);
            *max = [*max, *other_max].into_iter().flatten().reduce(f64::min);
        }
        _ => {}
    }
}
