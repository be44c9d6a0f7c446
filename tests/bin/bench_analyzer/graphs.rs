//! Graphs of any size, as people build them by copying groups of nodes.

use serde_json::{Map, Value, json};
use workflow_analyzer::{Graph, Input, InputKind, ObjectInfo};

/// The checkpoint and the latent that all groups share.
const SHARED: usize = 2;

/// The nodes of one group.
const GROUP: usize = 10;

/// The well-known classes on a server that has a model of each kind that the graphs name.
pub(crate) fn server() -> ObjectInfo {
    let mut info = ObjectInfo::well_known();
    for (class, input, name) in [
        ("CheckpointLoaderSimple", "ckpt_name", "model.safetensors"),
        ("LoraLoader", "lora_name", "style.safetensors"),
    ] {
        let spec = info.classes.get_mut(class).and_then(|class| class.inputs.get_mut(input));
        if let Some(InputKind::Combo { options, .. }) = spec.map(|spec| &mut spec.kind) {
            *options = vec![name.into()];
        }
    }
    info
}

/// A graph in the API format of so many nodes, or a few less. Each group samples what the one before it has sampled, so
/// that the graph is as deep as it is large.
pub(crate) fn graph(nodes: usize) -> Value {
    let mut graph = Map::new();
    let mut add = |id: usize, class: &str, inputs: Value| {
        graph.insert(id.to_string(), json!({ "class_type": class, "inputs": inputs }));
    };
    let link = |id: usize, slot: usize| json!([id.to_string(), slot]);
    add(1, "CheckpointLoaderSimple", json!({ "ckpt_name": "model.safetensors" }));
    add(2, "EmptyLatentImage", json!({ "width": 512, "height": 512, "batch_size": 1 }));
    let mut latent = link(2, 0);
    for group in 0..(nodes - SHARED) / GROUP {
        let id = |n: usize| SHARED + 1 + group * GROUP + n;
        let text = |text: &str| json!({ "text": format!("{text} {group}"), "clip": link(1, 1) });
        add(id(0), "CLIPTextEncode", text("a lighthouse"));
        add(id(1), "CLIPTextEncode", text("fog"));
        add(id(2), "CLIPTextEncode", text("film grain"));
        let both = json!({ "conditioning_to": link(id(0), 0), "conditioning_from": link(id(2), 0) });
        add(id(3), "ConditioningConcat", both);
        let area = json!({
            "conditioning": link(id(3), 0), "width": 64, "height": 64, "x": 0, "y": 0, "strength": 1.0 });
        add(id(4), "ConditioningSetArea", area);
        let sampler = json!({
            "model": link(1, 0), "positive": link(id(4), 0), "negative": link(id(1), 0), "latent_image": latent,
            "seed": group, "steps": 20, "cfg": 7.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0 });
        add(id(5), "KSampler", sampler);
        add(id(6), "VAEDecode", json!({ "samples": link(id(5), 0), "vae": link(1, 2) }));
        let scale = json!({ "image": link(id(6), 0), "upscale_method": "lanczos", "scale_by": 1.5 });
        add(id(7), "ImageScaleBy", scale);
        add(id(8), "SaveImage", json!({ "images": link(id(7), 0), "filename_prefix": "bench" }));
        let larger = json!({ "samples": link(id(5), 0), "upscale_method": "nearest-exact", "scale_by": 1.0 });
        add(id(9), "LatentUpscaleBy", larger);
        latent = link(id(9), 0);
    }
    Value::Object(graph)
}

/// The same graph as the editor would save it.
pub(crate) fn editor_file(graph: &Graph, info: &ObjectInfo) -> Value {
    let mut links = Vec::new();
    let nodes: Vec<Value> = graph
        .nodes
        .iter()
        .filter_map(|(id, node)| {
            let class = info.class(&node.class_type)?;
            let (mut sockets, mut values) = (Vec::new(), Vec::new());
            for name in class.inputs.keys() {
                match node.inputs.get(name) {
                    Some(Input::Link { node: from, slot }) => {
                        let kind =
                            info.class(&graph.nodes.get(from)?.class_type)?.outputs.get(*slot)?.kind.as_str();
                        let (from, to) = (from.parse::<u64>().ok()?, id.parse::<u64>().ok()?);
                        links.push(json!([links.len() + 1, from, slot, to, sockets.len(), kind]));
                        sockets.push(json!({ "name": name, "type": kind, "link": links.len() }));
                    }
                    Some(Input::Value(value)) => values.push(value.clone()),
                    None => {}
                }
                if name == "seed" {
                    values.push("fixed".into());
                }
            }
            let outputs: Vec<Value> = class
                .outputs
                .iter()
                .map(|output| json!({ "name": output.name, "type": output.kind }))
                .collect();
            Some(
                json!({ "id": id.parse::<u64>().ok()?, "type": node.class_type, "mode": 0, "inputs": sockets,
                "outputs": outputs, "widgets_values": values }),
            )
        })
        .collect();
    json!({ "nodes": nodes, "links": links, "version": 0.4 })
}
