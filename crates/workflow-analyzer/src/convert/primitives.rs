//! Primitives: nodes that write their value into the widgets that they are linked to.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::{Value, json};

use super::ConvertError;
use super::file::{End, Node, Values};
use super::model::{Graph, Input, Made, What};
use crate::info::InputKind;

impl<'a> Graph<'a> {
    /// The values of the scope's primitives, by their position; `replace` fills in tokens where a primitive asks for it.
    pub(super) fn primitive_values(&self, replace: impl Fn(&str) -> String) -> Vec<(usize, Cow<'a, Value>)> {
        let primitives = self.nodes.iter().zip(&self.scope.nodes).enumerate();
        let primitives = primitives.filter(|(_, (made, _))| matches!(made.what, What::Primitive));
        primitives.filter_map(|(index, (_, node))| Some((index, value(node, &replace)?))).collect()
    }

    /// Writes the values of primitives, by their position, into the widgets that they are linked to; a reroute has none,
    /// so that they don't go further.
    pub(super) fn apply_primitives(
        &mut self,
        values: Vec<(usize, Cow<'a, Value>)>,
        budget: &mut usize,
    ) -> Result<(), ConvertError> {
        if values.is_empty() {
            return Ok(());
        }
        let mut outgoing: HashMap<usize, Vec<Option<(usize, usize)>>> = HashMap::new();
        for (link, target) in self.scope.links.iter().zip(&self.targets) {
            if let End::Node { node, .. } = link.from
                && matches!(self.nodes[node].what, What::Primitive)
            {
                outgoing.entry(node).or_default().push(*target);
            }
        }
        for (primitive, value) in values {
            let targets = outgoing.get(&primitive).map(Vec::as_slice).unwrap_or_default();
            let Some(value) = self.held(primitive, targets, value) else { continue };
            for (target, input) in targets.iter().copied().flatten() {
                let made = &mut self.nodes[target];
                if let Cow::Owned(Value::String(text)) = &value {
                    *budget = budget.checked_sub(text.len()).ok_or(ConvertError::TooLarge)?;
                }
                match made.what {
                    What::Host(_) => made.promote(input, value.clone()),
                    _ => made.set(input, value.clone()),
                }
            }
        }
        Ok(())
    }

    /// What a primitive holds once it is linked: its widget is that of the first input, and a value of another type than
    /// the file has for the output gives way to that input's own.
    fn held(
        &self,
        primitive: usize,
        targets: &[Option<(usize, usize)>],
        value: Cow<'a, Value>,
    ) -> Option<Cow<'a, Value>> {
        let (node, input) = (*targets.first()?)?;
        let made = &self.nodes[node];
        let input = made.inputs.get(input)?;
        if !matches!(made.what, What::Class(_)) {
            let passes = matches!(made.what, What::Reroute | What::Setter);
            return Some(value).filter(|_| !passes);
        }
        if input.widget.is_none() && !has_widget_type(&input.kind) {
            return None;
        }
        let saved = self.scope.nodes[primitive].outputs.first().copied().unwrap_or_default();
        if let Some(widget) = input.widget.and_then(|widget| made.widgets.get(widget))
            && !matches!(saved, "" | "*")
            && saved != input.kind
        {
            return widget.value.clone();
        }
        Some(self.within(targets, value))
    }

    /// Numbers that go to several inputs are such as all of them take.
    fn within(&self, targets: &[Option<(usize, usize)>], value: Cow<'a, Value>) -> Cow<'a, Value> {
        let Some(number) = value.as_f64() else { return value };
        let bounds = targets.iter().copied().flatten();
        let bounds =
            bounds.filter_map(|(node, input)| bounds_of(&self.nodes[node], &self.nodes[node].inputs[input]));
        let bounds: Vec<_> = bounds.collect();
        let least = bounds.iter().map(|(least, _)| *least).fold(f64::NEG_INFINITY, f64::max);
        let most = bounds.iter().map(|(_, most)| *most).fold(f64::INFINITY, f64::min);
        if bounds.len() < 2 || least > most || (least..=most).contains(&number) {
            return value;
        }
        let bound = number.clamp(least, most);
        let whole = value.is_i64() || value.is_u64();
        Cow::Owned(if whole && bound.abs() < 1e15 { json!(bound as i64) } else { json!(bound) })
    }
}

fn has_widget_type(kind: &str) -> bool {
    matches!(kind, "INT" | "FLOAT" | "STRING" | "BOOLEAN" | "COMBO")
}

fn bounds_of(made: &Made<'_>, input: &Input<'_>) -> Option<(f64, f64)> {
    match &made.widgets.get(input.widget?)?.spec?.kind {
        InputKind::Int { min, max, .. } => Some((
            min.map_or(f64::NEG_INFINITY, |min| min as f64),
            max.map_or(f64::INFINITY, |max| max as f64),
        )),
        InputKind::Float { min, max, .. } => {
            Some((min.unwrap_or(f64::NEG_INFINITY), max.unwrap_or(f64::INFINITY)))
        }
        _ => None,
    }
}

fn value<'a>(node: &Node<'a>, replace: impl Fn(&str) -> String) -> Option<Cow<'a, Value>> {
    let Values::List(values) = node.values else { return None };
    let value = values.first()?;
    let replaces =
        node.properties.and_then(|properties| properties.get("Run widget replace on values")?.as_bool());
    match value {
        Value::String(text) if replaces == Some(true) => Some(Cow::Owned(replace(text).into())),
        other => Some(Cow::Borrowed(other)),
    }
}
