//! The inputs that a class has for one node: also those that come with a choice, and those of a group that grows.

use crate::{ClassInfo, Grow, Input, InputSpec, Nested, Node};

/// One input of a node, as its class has it for that node.
#[derive(Clone, Debug)]
pub(crate) struct Given<'a> {
    /// Its name in the graph: `steps`, or `resize_type.width`.
    pub(crate) name: String,
    pub(crate) spec: &'a InputSpec,
    /// Whether ComfyUI refuses the node without it.
    pub(crate) required: bool,
}

/// The specification of an input of a node, by its name in the graph; `None` when the class doesn't have it, or not
/// with what is chosen.
pub(crate) fn spec<'a>(class: &'a ClassInfo, node: &Node, input: &str) -> Option<&'a InputSpec> {
    if let Some(spec) = class.inputs.get(input) {
        return Some(spec);
    }
    let mut end = input.find('.')?;
    let mut spec = class.inputs.get(&input[..end])?;
    loop {
        let (group, rest) = (&input[..end], &input[end + 1..]);
        let part = rest.split_once('.').map_or(rest, |(part, _)| part);
        spec = match spec.editor.nested.as_deref()? {
            Nested::Options(_) => chosen(spec, node, group)?.get(part)?,
            Nested::Grow(grow) => member(grow, part)?,
            Nested::AnyOf(_) => return None,
        };
        if part.len() == rest.len() {
            return Some(spec);
        }
        end += 1 + part.len();
    }
}

/// All inputs that the class has for this node, each after the one that brings it. Of a group that grows those that are
/// there, and, when they are too few, the first ones that aren't.
pub(crate) fn inputs<'a>(class: &'a ClassInfo, node: &Node) -> Vec<Given<'a>> {
    let mut found = Vec::with_capacity(class.inputs.len());
    let given =
        |(name, spec): (&String, &'a InputSpec)| Given { name: name.clone(), spec, required: spec.required };
    // What a class nests is nested a few levels deep at most: `object_info` is read so.
    let mut pending: Vec<Given<'a>> = class.inputs.iter().rev().map(given).collect();
    while let Some(input) = pending.pop() {
        match input.spec.editor.nested.as_deref() {
            Some(Nested::Options(_)) => {
                let brought = chosen(input.spec, node, &input.name).into_iter().flatten().rev();
                pending.extend(brought.map(|(part, spec)| Given {
                    name: format!("{}.{part}", input.name),
                    spec,
                    required: spec.required,
                }));
                found.push(input);
            }
            Some(Nested::Grow(grow)) => pending.extend(members(grow, node, &input.name)),
            Some(Nested::AnyOf(_)) | None => found.push(input),
        }
    }
    found
}

/// What the choice brings that is made in the input `name` of a node.
fn chosen<'a>(
    spec: &'a InputSpec,
    node: &Node,
    name: &str,
) -> Option<&'a indexmap::IndexMap<String, InputSpec>> {
    let Some(Nested::Options(options)) = spec.editor.nested.as_deref() else { return None };
    let choice = node.inputs.get(name)?.as_value()?.as_str()?;
    options.iter().find(|option| option.key == choice).map(|option| &option.inputs)
}

fn member<'a>(grow: &'a Grow, part: &str) -> Option<&'a InputSpec> {
    let is_member = if grow.names.is_empty() {
        part.strip_prefix(grow.prefix.as_str()).is_some_and(|number| number.parse::<u32>().is_ok())
    } else {
        grow.names.iter().any(|name| name == part)
    };
    is_member.then_some(&grow.input)
}

/// The members of a group that a node has; missing ones only where there are fewer than there must be.
fn members<'a>(grow: &'a Grow, node: &Node, group: &str) -> Vec<Given<'a>> {
    /// More than this no class asks for.
    const MOST: usize = 64;
    let parts = node.inputs.keys().filter_map(|name| {
        let part = name.strip_prefix(group)?.strip_prefix('.')?;
        member(grow, part.split_once('.').map_or(part, |(part, _)| part)).map(|_| part)
    });
    let there: Vec<&str> = parts.collect();
    let given = |part: &str, required| Given { name: format!("{group}.{part}"), spec: &grow.input, required };
    let mut members: Vec<Given<'a>> = there.iter().map(|part| given(part, false)).collect();
    if grow.input.required {
        let missing = grow.min.min(MOST).saturating_sub(there.len());
        let names = (0..MOST).map_while(|n| match grow.names.get(n) {
            Some(name) => Some(name.clone()),
            None => grow.names.is_empty().then(|| format!("{}{n}", grow.prefix)),
        });
        let absent = names.filter(|name| !there.contains(&name.as_str()));
        members.extend(absent.take(missing).map(|name| given(&name, true)));
    }
    members
}

/// Whether a dynamic combo holds a choice that its class doesn't have: ComfyUI then knows none of its inputs.
pub(crate) fn unknown_choice<'a>(spec: &'a InputSpec, held: &Input) -> Option<Vec<&'a str>> {
    let Some(Nested::Options(options)) = spec.editor.nested.as_deref() else { return None };
    let choice = held.as_value()?;
    let is_known = options.iter().any(|option| choice == option.key.as_str());
    (!is_known && !options.is_empty()).then(|| options.iter().map(|option| option.key.as_str()).collect())
}
