//! The loaders of a shipped workflow, put in for the files that are there: a family's checkpoint or its parts,
//! quantised or not.

use workflow_analyzer::{Graph, Input, Node, NodeId, ObjectInfo};

use super::installed::{Loader, Set};
use super::names::Name;

/// An output of a node.
#[derive(Clone, PartialEq, Eq)]
struct Output {
    node: NodeId,
    slot: usize,
}

/// The loaders that a shipped workflow has.
struct Found {
    models: Vec<NodeId>,
    encoders: Option<NodeId>,
    vae: Option<NodeId>,
}

/// Puts the loaders for a set of files in the place of the graph's own. What was linked to the old ones is linked to the
/// new.
pub(super) fn put(graph: &mut Graph, info: &ObjectInfo, set: &Set<'_>) {
    let found = find(graph);
    for (id, model) in found.models.iter().zip(&set.models) {
        let (class, input) = model.loader.class();
        replace(graph, info, id, class, &[(input, model.file)]);
    }
    let Some(first) = found.models.first().cloned() else { return };
    let clip = match &found.encoders {
        Some(id) => Output { node: id.clone(), slot: 0 },
        None => Output { node: first.clone(), slot: 1 },
    };
    let vae = match &found.vae {
        Some(id) => Output { node: id.clone(), slot: 0 },
        None => Output { node: first.clone(), slot: 2 },
    };
    let is_checkpoint = set.models.first().is_some_and(|model| model.loader == Loader::Checkpoint);
    let new_clip = put_encoders(graph, info, set, found.encoders.as_ref())
        .or_else(|| is_checkpoint.then(|| Output { node: first.clone(), slot: 1 }));
    let new_vae = put_vae(graph, info, set, found.vae.as_ref())
        .or_else(|| is_checkpoint.then(|| Output { node: first.clone(), slot: 2 }));
    relink(graph, &[(clip, new_clip), (vae, new_vae)]);
    let is_unused = |old: Option<NodeId>, set: bool| old.filter(|_| !set);
    let unused =
        [is_unused(found.encoders, !set.encoders.is_empty()), is_unused(found.vae, set.vae.is_some())];
    for id in unused.into_iter().flatten() {
        graph.nodes.shift_remove(&id);
    }
    suit_edit_encoder(graph, info, set);
}

/// The first Qwen-Image-Edit, before 2509, was trained with an encoder of one image.
fn suit_edit_encoder(graph: &mut Graph, info: &ObjectInfo, set: &Set<'_>) {
    const PLUS: &str = "TextEncodeQwenImageEditPlus";
    const FIRST: &str = "TextEncodeQwenImageEdit";
    let is_later = set.models.iter().any(|model| Name::of(model.file).has("25"));
    if is_later || info.class(FIRST).is_none() {
        return;
    }
    for node in graph.nodes.values_mut().filter(|node| node.class_type == PLUS) {
        FIRST.clone_into(&mut node.class_type);
        if let Some(image) = node.inputs.shift_remove("image1") {
            node.inputs.insert("image".to_owned(), image);
        }
    }
}

fn find(graph: &Graph) -> Found {
    let of = |classes: &[&str]| {
        let nodes = graph.nodes.iter().filter(|(_, node)| classes.contains(&node.class_type.as_str()));
        nodes.map(|(id, _)| id.clone()).collect::<Vec<_>>()
    };
    Found {
        models: of(&["CheckpointLoaderSimple", "UNETLoader"]),
        encoders: of(&["CLIPLoader", "DualCLIPLoader", "TripleCLIPLoader"]).into_iter().next(),
        vae: of(&["VAELoader"]).into_iter().next(),
    }
}

fn put_encoders(graph: &mut Graph, info: &ObjectInfo, set: &Set<'_>, old: Option<&NodeId>) -> Option<Output> {
    let is_quantised = set.encoders.iter().any(|file| file.to_lowercase().ends_with(".gguf"));
    let class = match (set.encoders.len(), is_quantised) {
        (0, _) => return None,
        (1, false) => "CLIPLoader",
        (1, true) => "CLIPLoaderGGUF",
        (2, false) => "DualCLIPLoader",
        (2, true) => "DualCLIPLoaderGGUF",
        (_, false) => "TripleCLIPLoader",
        (_, true) => "TripleCLIPLoaderGGUF",
    };
    let names = if set.encoders.len() == 1 {
        &["clip_name"][..]
    } else {
        &["clip_name1", "clip_name2", "clip_name3"]
    };
    let mut inputs: Vec<_> = names.iter().copied().zip(set.encoders.iter().copied()).collect();
    if set.encoders.len() < 3 {
        inputs.push(("type", set.kind));
    }
    Some(put_one(graph, info, old, class, "Load text encoders", &inputs))
}

fn put_vae(graph: &mut Graph, info: &ObjectInfo, set: &Set<'_>, old: Option<&NodeId>) -> Option<Output> {
    let file = set.vae?;
    Some(put_one(graph, info, old, "VAELoader", "Load VAE", &[("vae_name", file)]))
}

fn put_one(
    graph: &mut Graph,
    info: &ObjectInfo,
    old: Option<&NodeId>,
    class: &str,
    title: &str,
    inputs: &[(&str, &str)],
) -> Output {
    let node = old.cloned().unwrap_or_else(|| graph.add(Node::new(class, title)));
    replace(graph, info, &node, class, inputs);
    Output { node, slot: 0 }
}

/// Makes a node one of this class. What the class has beside these inputs keeps its value, or takes the class's own.
fn replace(graph: &mut Graph, info: &ObjectInfo, id: &str, class: &str, inputs: &[(&str, &str)]) {
    let Some(node) = graph.nodes.get_mut(id) else { return };
    if node.class_type != class {
        class.clone_into(&mut node.class_type);
        node.inputs.clear();
    }
    for (name, value) in inputs {
        node.inputs.insert((*name).to_owned(), Input::Value((*value).into()));
    }
    if class == "UNETLoader" && !node.inputs.contains_key("weight_dtype") && info.class(class).is_some() {
        node.inputs.insert("weight_dtype".to_owned(), Input::Value("default".into()));
    }
}

/// All at once: a new output may be another's old one.
fn relink(graph: &mut Graph, outputs: &[(Output, Option<Output>)]) {
    for input in graph.nodes.values_mut().flat_map(|node| node.inputs.values_mut()) {
        let Some((node, slot)) = input.as_link() else { continue };
        let new = outputs.iter().find(|(old, _)| old.node == node && old.slot == slot);
        if let Some((_, Some(new))) = new {
            *input = Input::link(&new.node, new.slot);
        }
    }
}
