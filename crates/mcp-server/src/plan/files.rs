//! The files that a graph loads and saves: given, the caller's own, and under names that nobody guesses.

use serde_json::{Map, Value};
use workflow_analyzer::{Analysis, Graph, Input, InputKind, Node, ObjectInfo};

use super::Files;
use super::draft::Draft;
use crate::catalog::Origin;
use crate::error::ServerError;
use crate::inputs::FOLDER;

/// The folder of ComfyUI's output folder that results go to.
const OUTPUT_FOLDER: &str = "mcp";
/// Loads from the output folder, where everybody's results are.
const LOADS_OUTPUTS: &str = "LoadImageOutput";

/// In a shipped workflow the names of images are placeholders, even where ComfyUI has a file of that name.
pub(super) fn check_given(draft: &Draft<'_>, analysis: &Analysis, fields: &str) -> Result<(), ServerError> {
    if !draft.is_shipped() {
        return Ok(());
    }
    let images = analysis.parameters.iter().filter(|parameter| is_upload(&parameter.kind));
    for image in images {
        let name = image.value.as_ref().and_then(|value| value.as_str()).unwrap_or_default();
        if !is_uploaded(draft, name) && !draft.named.contains(name) {
            return Err(ServerError::InvalidArgument {
                field: format!("{fields}{}", image.name),
                problem: "an image is needed".into(),
            });
        }
    }
    Ok(())
}

/// Where ComfyUI has several users, a graph loads what its own call brings. What a workflow of the operator's loads is
/// the operator's choice.
pub(super) fn check_owner(draft: &Draft<'_>) -> Result<(), ServerError> {
    if draft.files == Files::All {
        return Ok(());
    }
    for (id, node) in &draft.graph.nodes {
        let operators = match draft.workflow.origin {
            Origin::Shipped | Origin::File => draft.workflow.graph.nodes.get(id),
            // What a client saved is no more the operator's than what it sends.
            Origin::Saved | Origin::Call => None,
        };
        let operators = operators.filter(|stored| stored.class_type == node.class_type);
        if node.class_type == LOADS_OUTPUTS && operators.is_none() {
            return Err(ServerError::InvalidArgument {
                field: id.clone(),
                problem: format!(
                    "{LOADS_OUTPUTS} loads what others made; use LoadImage, and give it an artifact"
                ),
            });
        }
        for (name, input) in &node.inputs {
            let is_stored = operators.is_some_and(|stored| stored.inputs.get(name) == Some(input));
            if !is_stored && !may_load(draft, node, name, input) {
                return Err(ServerError::InvalidArgument {
                    field: format!("{id}.{name}"),
                    problem: format!(
                        "it may only load an image of this call; give an artifact, as `{id}.{name}` of `parameters`"
                    ),
                });
            }
        }
    }
    Ok(())
}

fn may_load(draft: &Draft<'_>, node: &Node, name: &str, input: &Input) -> bool {
    let kind = draft.info.input_of(node, name).map(|spec| &spec.kind);
    let value = input.as_value();
    if kind.is_some_and(is_upload) {
        // A link could bring any name.
        return value.and_then(Value::as_str).is_some_and(|text| is_uploaded(draft, text));
    }
    let fits = |text: &str| match kind {
        Some(InputKind::String { multiline: true }) => true,
        // Nodes that load whole folders offer the inputs' one too.
        Some(InputKind::Combo { .. }) => !is_elsewhere(text) && !text.starts_with(FOLDER),
        _ => !is_elsewhere(text),
    };
    // ComfyUI takes a value in a wrapper too, and some nodes take lists of names.
    let mut pending: Vec<&Value> = value.into_iter().collect();
    while let Some(value) = pending.pop() {
        match value {
            Value::String(text) if !fits(text) => return false,
            Value::Array(items) => pending.extend(items),
            Value::Object(members) => pending.extend(members.values()),
            _ => {}
        }
    }
    true
}

/// As ComfyUI reads names of files: `name [output]`.
fn is_elsewhere(name: &str) -> bool {
    let name = name.trim_end();
    name.ends_with("[output]") || name.ends_with("[temp]")
}

fn is_uploaded(draft: &Draft<'_>, name: &str) -> bool {
    draft.uploads.iter().any(|upload| upload.reference == name)
}

/// Whether an input names a file of ComfyUI's input folder.
pub(super) fn is_upload(kind: &InputKind) -> bool {
    matches!(kind, InputKind::Combo { upload: true, .. })
}

/// Takes the folder of one run out of a graph that others may read: who knows it can find the results.
pub fn forget_folder(graph: &mut Value) {
    let nodes = graph.as_object_mut().into_iter().flat_map(Map::values_mut);
    for prefix in nodes.filter_map(|node| node.get_mut("inputs")?.get_mut("filename_prefix")) {
        if let Some(text) = prefix.as_str() {
            *prefix = without_folder(text).into();
        }
    }
}

/// A name without the folder that [`hide_names`] gave it.
fn without_folder(prefix: &str) -> &str {
    let rest = prefix.strip_prefix(OUTPUT_FOLDER).and_then(|rest| rest.strip_prefix('/'));
    let name = rest
        .and_then(|rest| rest.split_once('/'))
        .filter(|(folder, _)| folder.len() == 32 && folder.bytes().all(|byte| byte.is_ascii_hexdigit()));
    name.map_or(prefix, |(_, name)| name)
}

/// Puts a folder of its own in front of what a job saves: names that ComfyUI counts up can be guessed.
pub(super) fn hide_names(graph: &mut Graph, info: &ObjectInfo) {
    let folder = format!("{OUTPUT_FOLDER}/{}", uuid::Uuid::new_v4().simple());
    let saves = |node: &Node| info.class(&node.class_type).is_some_and(|class| class.output_node);
    for node in graph.nodes.values_mut().filter(|node| saves(node)) {
        if let Some(Input::Value(Value::String(prefix))) = node.inputs.get_mut("filename_prefix") {
            *prefix = format!("{folder}/{}", without_folder(prefix).trim_start_matches(['/', '\\']));
        }
    }
}
