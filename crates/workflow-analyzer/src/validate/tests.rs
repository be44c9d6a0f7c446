use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{InputFiles, Options, Severity, validate, validate_with};
use crate::tests::{graph, info};
use crate::{Graph, ObjectInfo};

/// Each diagnostic as `severity code node.input: message; hint`.
fn lines(document: &Value, info: &ObjectInfo) -> Vec<String> {
    let graph = Graph::from_json(document).unwrap();
    let lines = validate(&graph, info).into_iter().map(|d| {
        let severity = if d.severity == Severity::Error { "error" } else { "warning" };
        let place = format!("{}.{}", d.node.unwrap_or_default(), d.input.unwrap_or_default());
        let hint = d.hint.map(|hint| format!("; {hint}")).unwrap_or_default();
        format!("{severity} {} {place}: {}{hint}", d.code.as_str(), d.message)
    });
    lines.collect()
}

/// Sets the value at a JSON pointer (`null` removes it) in the shipped txt2img and checks what is said.
fn check(changes: &[(&str, Value)], expected: &[&str]) {
    let mut document = graph("txt2img").to_json();
    for (pointer, value) in changes {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        let parent = document.pointer_mut(parent).unwrap().as_object_mut().unwrap();
        if value.is_null() {
            parent.shift_remove(key);
        } else {
            parent.insert(key.to_owned(), value.clone());
        }
    }
    assert_eq!(lines(&document, &info()), expected, "{changes:?}");
}

#[test]
fn values_are_checked_against_type_bounds_and_choices() {
    check(&[], &[]);
    check(
        &[("/1/inputs/ckpt_name", json!("v1-5-pruned.ckpt"))],
        &[
            "error missing_model 1.ckpt_name: ckpt_name names the model v1-5-pruned.ckpt, which the server doesn't have \
           in its folder checkpoints; did you mean v1-5-pruned-emaonly-fp16.safetensors",
        ],
    );
    check(
        &[("/5/inputs/sampler_name", json!("zzz"))],
        &["error value_not_in_list 5.sampler_name: sampler_name is zzz, which isn't among its choices; \
           choose one of euler, euler_cfg_pp, euler_ancestral, euler_ancestral_cfg_pp, heun and 39 more"],
    );
    check(
        &[("/5/inputs/steps", json!(0)), ("/5/inputs/cfg", json!(1000))],
        &[
            "error value_smaller_than_min 5.steps: steps is 0, the least is 1",
            "error value_bigger_than_max 5.cfg: cfg is 1000, the most is 100",
        ],
    );
    check(
        &[("/5/inputs/seed", json!(-1))],
        &["error value_smaller_than_min 5.seed: seed is -1, the least is 0"],
    );
    check(
        &[("/5/inputs/steps", json!("many"))],
        &["error invalid_input_type 5.steps: steps is many (a string), it takes an integer"],
    );
    check(
        &[("/5/inputs/cfg", json!({}))],
        &["error invalid_input_type 5.cfg: cfg is {} (an object), it takes a number"],
    );
    check(
        &[("/4/inputs/width", Value::Null), ("/5/inputs/model", Value::Null)],
        &[
            "error required_input_missing 4.width: width is required and missing; set it",
            "error required_input_missing 5.model: model is required and missing; link it to an output of type MODEL",
        ],
    );
}

#[test]
fn what_comfyui_takes_is_taken() {
    for (pointer, value) in [
        ("/4/inputs/width", json!(96.7)),
        ("/4/inputs/width", json!("512")),
        ("/4/inputs/width", json!(" 1_024 ")),
        ("/5/inputs/steps", json!(true)),
        ("/5/inputs/seed", json!(u64::MAX)),
        ("/5/inputs/cfg", json!("7.5e0")),
        ("/5/inputs/cfg", json!("nan")),
        ("/2/inputs/text", json!(5)),
        ("/2/inputs/text", json!({ "__value__": ["a", "b"] })),
        ("/5/inputs/steps", json!({ "__value__": 5 })),
        ("/4/inputs/upload", json!("image")),
        ("/4/inputs/unheard_of", json!(["4"])),
    ] {
        check(&[(pointer, value)], &[]);
    }
}

#[test]
fn links_are_followed_to_their_ends() {
    check(
        &[("/5/inputs/model", json!(["2", 0]))],
        &[
            "error return_type_mismatch 5.model: model takes MODEL, node 2 (CLIPTextEncode) gives CONDITIONING there",
        ],
    );
    check(
        &[("/2/inputs/clip", json!(["1", 0]))],
        &[
            "error return_type_mismatch 2.clip: clip takes CLIP, node 1 (CheckpointLoaderSimple) gives MODEL there; \
           output 1 of node 1 fits",
        ],
    );
    check(
        &[("/5/inputs/steps", json!(["1", 0]))],
        &[
            "error return_type_mismatch 5.steps: steps takes INT, node 1 (CheckpointLoaderSimple) gives MODEL there",
        ],
    );
    check(
        &[("/5/inputs/model", json!(["99", 0]))],
        &["error bad_linked_input 5.model: model is linked to node 99, which isn't there; \
           link it to an output of type MODEL"],
    );
    check(
        &[("/6/inputs/samples", json!(["5", 7]))],
        &[
            "error bad_linked_input 6.samples: samples is linked to output 7 of node 5 (KSampler), which has 1; \
           output 0 of node 5 fits",
        ],
    );
    let no_link = "holds a list that is no link; a link is [\"node id\", output number]; \
                   a list as a value goes into {\"__value__\": […]}";
    for list in [json!(["5"]), json!([5, 0]), json!(["5", "0"]), json!(["5", 0, 0]), json!([])] {
        check(
            &[("/6/inputs/samples", list)],
            &[&format!("error bad_linked_input 6.samples: samples {no_link}")],
        );
    }
    check(
        &[("/5/inputs/model", json!("sd15"))],
        &["warning invalid_input_type 5.model: model holds a string where only a link helps; \
           link it to an output of type MODEL"],
    );
}

#[test]
fn the_graph_as_a_whole_is_checked() {
    check(
        &[("/7", Value::Null)],
        &["error prompt_no_outputs .: no node puts anything out; add one that does, such as SaveImage"],
    );
    check(
        &[("/5/class_type", json!("KSamplr"))],
        &["error missing_node_class 5.: the server has no node class KSamplr; \
           install the custom nodes that have it, or use KSampler or KSamplerSelect or KSamplerAdvanced"],
    );
    let scale = |from: &str| {
        json!({ "class_type": "ImageScale", "inputs": {
            "image": [from, 0], "upscale_method": "bilinear", "width": 8, "height": 8, "crop": "disabled" } })
    };
    check(
        &[("/10", scale("11")), ("/11", scale("10")), ("/7/inputs/images", json!(["10", 0]))],
        &["error cycle 10.: nodes feed each other in a circle: 10 → 11 → 10; unlink one of them"],
    );
}

#[test]
fn only_what_an_output_needs_is_checked() {
    let broken = json!({ "class_type": "KSampler", "inputs": { "steps": 0 } });
    check(&[("/20", broken)], &[]);
    // But an unknown class is refused anywhere.
    let unknown = json!({ "class_type": "Zzzz", "inputs": {} });
    check(
        &[("/20", unknown)],
        &[
            "error missing_node_class 20.: the server has no node class Zzzz; install the custom nodes that have it",
        ],
    );
}

#[test]
fn a_fault_that_spoils_one_of_two_outputs_is_a_warning() {
    let second =
        json!({ "class_type": "SaveImage", "inputs": { "filename_prefix": "x", "images": ["99", 0] } });
    check(
        &[("/20", second)],
        &["warning bad_linked_input 20.images: images is linked to node 99, which isn't there; \
           link it to an output of type IMAGE"],
    );
}

#[test]
fn a_misspelt_input_is_told() {
    check(
        &[("/5/inputs/denoise", Value::Null), ("/5/inputs/denoize", json!(1.0))],
        &[
            "error required_input_missing 5.denoise: denoise is required and missing; set it",
            "warning unknown_input 5.denoize: denoize is no input of KSampler, it is ignored; did you mean denoise",
        ],
    );
}

#[test]
fn inputs_that_grow_with_the_graph_are_taken_but_their_links_followed() {
    let mut document = graph("upscale").to_json();
    document["10"] = json!({ "class_type": "BatchImagesNode", "inputs": {
        "images.image0": ["1", 0], "images.image1": ["3", 0] } });
    document["11"] = json!({ "class_type": "ResizeImageMaskNode", "inputs": {
        "input": ["10", 0], "resize_type": "scale by multiplier", "resize_type.multiplier": 2.0,
        "scale_method": "area" } });
    document["4"]["inputs"]["images"] = json!(["11", 0]);
    assert_eq!(lines(&document, &info()), [""; 0]);
    document["10"]["inputs"]["images.image1"] = json!(["98", 0]);
    assert_eq!(
        lines(&document, &info()),
        ["error bad_linked_input 10.images.image1: images.image1 is linked to node 98, which isn't there; \
          link it to an output of type IMAGE"]
    );
}

#[test]
fn what_a_choice_brings_and_what_grows_is_checked_as_any_input() {
    let check = |pointer: &str, value: Value, expected: &[&str]| {
        let mut document = graph("upscale").to_json();
        document["10"] = json!({ "class_type": "BatchImagesNode", "inputs": {
            "images.image0": ["1", 0], "images.image1": ["3", 0] } });
        document["11"] = json!({ "class_type": "ResizeImageMaskNode", "inputs": {
            "input": ["10", 0], "resize_type": "scale by multiplier", "resize_type.multiplier": 2.0,
            "scale_method": "area" } });
        document["4"]["inputs"]["images"] = json!(["11", 0]);
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        let inputs = document.pointer_mut(parent).unwrap().as_object_mut().unwrap();
        if value.is_null() {
            inputs.shift_remove(key);
        } else {
            inputs.insert(key.to_owned(), value);
        }
        assert_eq!(lines(&document, &info()), expected, "{pointer}");
    };
    check(
        "/11/inputs/resize_type.multiplier",
        json!(0.0),
        &[
            "error value_smaller_than_min 11.resize_type.multiplier: resize_type.multiplier is 0, the least is 0.01",
        ],
    );
    check(
        "/11/inputs/resize_type.multiplier",
        Value::Null,
        &[
            "error required_input_missing 11.resize_type.multiplier: resize_type.multiplier is required and missing; \
           set it",
        ],
    );
    check(
        "/11/inputs/resize_type",
        json!("scale by multiplyer"),
        &[
            "warning value_not_in_list 11.resize_type: resize_type is \"scale by multiplyer\", which isn't among its \
           choices; choose one of scale by multiplier, scale total pixels, scale width",
        ],
    );
    check(
        "/10/inputs/images.image1",
        Value::Null,
        &["error required_input_missing 10.images.image1: images.image1 is required and missing; \
           link it to an output of type IMAGE"],
    );
    // Names may be left out in between.
    check("/10/inputs/images.image7", json!(["1", 0]), &[]);
    check(
        "/10/inputs/images.image1",
        json!(["2", 0]),
        &[
            "error return_type_mismatch 10.images.image1: images.image1 takes IMAGE, node 2 (UpscaleModelLoader) gives \
           UPSCALE_MODEL there",
        ],
    );
}

#[test]
fn both_shapes_of_a_combo_are_checked() {
    let mut document = graph("upscale").to_json();
    document["2"]["inputs"]["model_name"] = json!("RealESRGAN_x2plus.pth");
    assert_eq!(
        lines(&document, &info()),
        [
            "error missing_model 2.model_name: model_name names the model RealESRGAN_x2plus.pth, which the server \
          doesn't have in its folder upscale_models; did you mean RealESRGAN_x4plus.safetensors"
        ]
    );
    assert_eq!(
        lines(&document, &ObjectInfo::well_known()),
        [
            "error missing_model 2.model_name: model_name names the model RealESRGAN_x2plus.pth, which the server \
          doesn't have in its folder upscale_models; the server has none to choose from"
        ]
    );
}

#[test]
fn files_are_checked_when_it_is_known_which_there_are() {
    let check = |name: &str, uploaded: &[&str], expected: &[&str]| {
        let mut document = graph("upscale").to_json();
        document["1"]["inputs"]["image"] = json!(name);
        let uploaded: BTreeSet<String> = uploaded.iter().map(|name| (*name).to_owned()).collect();
        let options = Options { files: InputFiles::Known(&uploaded), ..Options::default() };
        let found = validate_with(&Graph::from_json(&document).unwrap(), &info(), &options);
        assert_eq!(found.iter().map(|d| d.code.as_str()).collect::<Vec<_>>(), expected, "{name}");
    };
    check("a.png", &[], &["file_not_found"]);
    check("a.png", &["a.png"], &[]);
    check("a.png [input]", &["a.png"], &[]);
    check("sub/a.png", &[], &[]);
    check("a.png [output]", &[], &[]);
    let mut document = graph("upscale").to_json();
    document["1"]["inputs"]["image"] = json!("whatever.png");
    assert_eq!(lines(&document, &info()), [""; 0]);
    document["1"]["inputs"]["image"] = json!(5);
    assert_eq!(
        lines(&document, &info()),
        ["error invalid_input_type 1.image: image is 5 (a number), it takes a file name"]
    );
}

#[test]
fn no_more_is_listed_than_a_person_reads() {
    let unknown = |n: usize| (n.to_string(), json!({ "class_type": format!("Unknown{n}"), "inputs": {} }));
    let document = Value::Object((0..5000).map(unknown).collect());
    let found = lines(&document, &info());
    assert_eq!(found.len(), 101);
    assert_eq!(found[100], "warning more_problems .: 4900 more problems are not listed");
}

#[test]
fn the_pack_of_a_missing_class_is_named_when_it_is_known() {
    let document = json!({ "1": { "class_type": "Zzzz" } });
    let packs = [("Zzzz".to_owned(), "somebodys-nodes".to_owned())].into_iter().collect();
    let options = Options { packs: Some(&packs), ..Options::default() };
    let found = validate_with(&Graph::from_json(&document).unwrap(), &info(), &options);
    assert_eq!(found[0].hint.as_deref(), Some("install somebodys-nodes, which has it"));
}
