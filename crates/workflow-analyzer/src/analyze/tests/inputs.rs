//! Inputs by the names that people give.

use serde_json::json;

use crate::tests::{graph, info};
use crate::{Graph, InputKind, input, inputs};

/// What a name means, as `node.input = value`, or why it means nothing.
fn meant(graph: &Graph, name: &str) -> String {
    match input(graph, &info(), name) {
        Ok(found) => {
            assert_eq!(found.name, name);
            let binding = &found.bindings[0];
            format!("{}.{} = {}", binding.node, binding.input, found.value.unwrap_or_default())
        }
        Err(error) => error.to_string(),
    }
}

#[test]
fn an_input_is_named_by_id_title_or_class() {
    let hires = graph("hires_fix");
    for (name, expected) in [
        ("7.denoise", "7.denoise = 0.5"),
        ("Second pass.denoise", "7.denoise = 0.5"),
        ("second PASS.steps", "7.steps = 2"),
        ("LatentUpscaleBy.scale_by", "6.scale_by = 1.5"),
        ("KSampler.steps", "KSampler.steps may be that of the nodes 5, 7; name one by its id"),
        ("7.model", "7.model is linked to node 1; set it there"),
        ("First pass.stepz", "the workflow has no parameter First pass.stepz; did you mean First pass.steps"),
        ("nothing", "the workflow has no parameter nothing"),
    ] {
        let found = meant(&hires, name);
        assert!(found.starts_with(expected), "{name}: {found}, not {expected}");
    }
    // A value that a primitive holds is set there, with the bounds of its user.
    let primitives = graph("primitives");
    assert_eq!(meant(&primitives, "9.denoise"), "8.value = 1.0");
    let found = input(&primitives, &info(), "9.denoise").unwrap();
    assert!(matches!(found.kind, InputKind::Float { min: Some(0.0), max: Some(1.0), .. }), "{found:?}");
}

#[test]
fn ids_and_titles_may_hold_points() {
    let mut document = graph("txt2img").to_json();
    document["5"]["_meta"] = json!({ "title": "SD 1.5 sampler" });
    document["a.b"] = document["4"].clone();
    document["5"]["inputs"]["latent_image"] = json!(["a.b", 0]);
    let graph = Graph::from_json(&document).unwrap();
    assert_eq!(meant(&graph, "SD 1.5 sampler.steps"), "5.steps = 20");
    assert_eq!(meant(&graph, "a.b.width"), "a.b.width = 512");
}

#[test]
fn an_input_that_is_not_set_yet_is_known_by_its_class() {
    let mut graph = graph("txt2img");
    graph.nodes["5"].inputs.shift_remove("denoise");
    let found = input(&graph, &info(), "5.denoise").unwrap();
    assert_eq!((found.value, found.default), (None, Some(json!(1.0))));
}

#[test]
fn everything_that_holds_a_value_is_listed() {
    let found = inputs(&graph("upscale"), &info());
    let names: Vec<&str> = found.iter().map(|parameter| parameter.name.as_str()).collect();
    assert_eq!(names, ["1.image", "2.model_name", "4.filename_prefix"]);
}
