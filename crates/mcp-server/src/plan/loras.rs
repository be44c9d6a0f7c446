//! The LoRAs of a call, and those that a workflow brings.

use std::collections::HashMap;

use workflow_analyzer::edit::{self, Lora};
use workflow_analyzer::{Analysis, Graph, Input};

use super::choose;
use super::draft::Draft;
use super::parameters;
use crate::error::ServerError;

/// The loaders of the shipped workflows, which give out what they take: the model first, the text encoder second.
const LOADER: &str = "LoraLoader";

/// A shipped workflow's own LoRA is a placeholder for those that are asked for.
pub(super) fn make_room(draft: &mut Draft<'_>, loras: &[Lora]) {
    if draft.is_shipped() && !loras.is_empty() {
        take_out(&mut draft.graph);
    }
}

/// Links what uses a loader to what the loader uses.
fn take_out(graph: &mut Graph) {
    let is_loader =
        |graph: &Graph, id: &str| graph.nodes.get(id).is_some_and(|node| node.class_type == LOADER);
    let mut passed: HashMap<(String, usize), Input> = HashMap::new();
    for (id, node) in graph.nodes.iter().filter(|(id, _)| is_loader(graph, id)) {
        for (slot, input) in ["model", "clip"].into_iter().enumerate() {
            if let Some(input) = node.inputs.get(input) {
                passed.insert((id.clone(), slot), input.clone());
            }
        }
    }
    graph.nodes.retain(|_, node| node.class_type != LOADER);
    for input in graph.nodes.values_mut().flat_map(|node| node.inputs.values_mut()) {
        // Chained loaders: at most as many steps as there are outputs.
        for _ in 0..passed.len() {
            let Input::Link { node, slot } = &*input else { break };
            let Some(before) = passed.get(&(node.clone(), *slot)) else { break };
            *input = before.clone();
        }
    }
}

/// Chains the LoRAs behind the models.
pub(super) fn apply(draft: &mut Draft<'_>, loras: &[Lora]) -> Result<(), ServerError> {
    if loras.is_empty() {
        return Ok(());
    }
    let options = draft.info.options("LoraLoader", "lora_name");
    let resolve = |lora: &Lora| match choose::named(&options, &lora.name) {
        Some(file) => Ok(Lora { name: file.to_owned(), ..lora.clone() }),
        None => Err(choose::unknown("loras.name", &lora.name, options.iter().copied())),
    };
    let loras = loras.iter().map(resolve).collect::<Result<Vec<_>, _>>()?;
    draft.named.extend(loras.iter().map(|lora| lora.name.clone()));
    Ok(edit::apply_loras(&mut draft.graph, draft.info, &loras)?)
}

/// Says which LoRA took a placeholder's place.
pub(super) fn tell_chosen(draft: &mut Draft<'_>, analysis: &Analysis) {
    if draft.is_shipped() {
        let chosen = parameters::loras(analysis).filter(|(_, name)| !draft.named.contains(*name));
        let texts: Vec<_> =
            chosen.map(|(_, name)| format!("no LoRA was named, so the first was taken: {name}")).collect();
        draft.warnings.extend(texts);
    }
}
