//! One small pair for each rule: a file of the editor, and what it sends for it. All made by hand, for classes made by hand.

use serde_json::{Value, json};

use crate::{Conversion, ObjectInfo, convert};

mod groups;
mod hostile;
mod hosts;
mod links;
mod placement;
mod problems;
mod subgraphs;
mod text;
mod values;

/// Classes that have between them every kind of input.
fn info() -> ObjectInfo {
    ObjectInfo::from_json(json!({
        "Load": { "input": { "required": { "name": [["a.safetensors", "b.safetensors"]] } }, "output": ["MODEL", "CLIP"],
            "display_name": "Load a model" },
        "Encode": { "input": { "required": {
            "text": ["STRING", { "multiline": true, "dynamicPrompts": true }], "clip": ["CLIP"] } },
            "output": ["COND"] },
        "Sample": { "input": { "required": {
            "model": ["MODEL"], "positive": ["COND"], "negative": ["COND"],
            "seed": ["INT", { "default": 7, "control_after_generate": true }],
            "steps": ["INT", { "default": 20 }],
            "sampler": [["euler", "heun"]] } },
            "output": ["LATENT"] },
        "Tune": { "input": { "required": { "model": ["MODEL"], "clip": ["CLIP"], "strength": ["FLOAT", { "default": 1.0 }] } },
            "output": ["MODEL", "CLIP"] },
        "Join": { "input": { "required": { "a": ["COND"], "b": ["COND"] } }, "output": ["COND"] },
        "Save": { "input": { "required": { "latent": ["LATENT"], "filename_prefix": ["STRING", { "default": "out" }] } },
            "output": [], "output_node": true },
        "Number": { "input": { "required": { "value": ["INT", { "control_after_generate": true }] } }, "output": ["INT"] },
        "Any": { "input": { "required": { "value": ["*"] } }, "output": ["*"], "output_node": true },
        "Pick": { "input": { "required": {
            "how": ["COMFY_DYNAMICCOMBO_V3", { "options": [
                { "key": "exact", "inputs": { "required": { "width": ["INT", { "default": 512 }], "height": ["INT", { "default": 256 }] } } },
                { "key": "like", "inputs": { "required": { "other": ["LATENT"] }, "optional": { "crop": ["BOOLEAN", { "default": true }] } } },
            ] }],
            "method": ["COMBO", { "options": ["area", "nearest"] }] } },
            "output": ["LATENT"] },
        "Batch": { "input": { "required": { "all": ["COMFY_AUTOGROW_V3", { "template": {
            "input": { "required": { "one": ["LATENT", {}] } }, "prefix": "one", "min": 1, "max": 9 } }] } },
            "output": ["LATENT"] },
        "Forced": { "input": { "required": {
            "width": ["INT", { "forceInput": true }], "height": ["INT", { "default": 64 }],
            "seed": ["INT", { "default": 0 }], "noise_seed": ["INT", { "forceInput": true }] } },
            "output": ["INT"] },
        "Kinds": { "input": { "required": {
            "flag": ["BOOLEAN"], "number": ["FLOAT"], "line": ["STRING"], "lines": ["STRING", { "multiline": true }],
            "choice": ["COMBO", { "options": ["x", "y"], "control_after_generate": true }],
            "file": [["f.png"], { "image_upload": true }] },
            "optional": { "curve": ["CURVE", { "default": { "points": [] } }], "view": ["IMAGECOMPARE", {}],
                "colour": ["COLOR", { "default": "#ffffff" }], "region": ["BOUNDING_BOX", {}], "last": ["INT", { "default": 3 }] } },
            "output": [] },
        "Fixed": { "input": { "required": { "seed": ["INT", { "control_after_generate": false }], "after": ["INT", {}] } }, "output": [] },
    }))
    .unwrap()
}

/// A file with these nodes and links; the links are `[id, from, slot, to, slot, type]`.
fn file(nodes: &Value, links: &Value) -> Value {
    json!({ "version": 0.4, "last_node_id": 50, "last_link_id": 50, "nodes": nodes, "links": links })
}

/// A file that has this one node.
fn alone(class: &str, values: Value) -> Value {
    let mut node = json!({ "id": 1, "type": class, "mode": 0 });
    if !values.is_null() {
        node["widgets_values"] = values;
    }
    file(&json!([node]), &json!([]))
}

fn converted(file: &Value) -> Conversion {
    convert(file, &info()).unwrap()
}

/// The graph without titles.
fn graph(file: &Value) -> Value {
    let mut graph = converted(file).graph.to_json();
    for node in graph.as_object_mut().unwrap().values_mut() {
        node.as_object_mut().unwrap().remove("_meta");
    }
    graph
}

/// Holds the graph of a file against `{id: [class, inputs]}`.
fn check(file: &Value, expected: &Value) {
    let nodes = expected.as_object().unwrap().iter();
    let expected: serde_json::Map<_, _> =
        nodes.map(|(id, node)| (id.clone(), json!({ "class_type": node[0], "inputs": node[1] }))).collect();
    assert_eq!(graph(file), Value::Object(expected), "{file}");
}

/// Holds the inputs that a node alone in its file sends against these.
fn check_inputs(class: &str, values: Value, expected: &Value) {
    check(&alone(class, values), &json!({ "1": [class, expected] }));
}

#[test]
fn titles_are_as_the_editor_has_them() {
    let nodes = json!([{ "id": 1, "type": "Load", "title": "Mine" }, { "id": 2, "type": "Load" }, { "id": 3, "type": "Any" }]);
    let graph = converted(&file(&nodes, &json!([]))).graph;
    let titles: Vec<_> = graph.nodes.values().map(|node| node.title.as_deref().unwrap()).collect();
    assert_eq!(titles, ["Mine", "Load a model", "Any"]);
}

#[test]
fn both_formats_are_told_apart() {
    assert!(crate::is_editor_format(&alone("Load", Value::Null)));
    assert!(!crate::is_editor_format(&json!({ "1": { "class_type": "Load", "inputs": {} } })));
    assert!(!crate::is_editor_format(&json!([])));
    let error = convert(&json!({ "1": { "class_type": "Load" } }), &info()).unwrap_err();
    assert_eq!(error, crate::ConvertError::NotEditorFormat);
}
