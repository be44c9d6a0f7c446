//! Batches, seeds, several ControlNets, names that people give, and what makes videos and sound.

use serde_json::{Value, json};

use super::{class_count, control, edited, value, way};
use crate::edit::{
    ControlNet, EditError, Mask, add_upscaler, attach_controlnets, set_batch, set_named, set_seed,
    to_img2img, to_inpaint,
};
use crate::tests::{graph, info, object, problems};
use crate::{Graph, InputKind, ObjectInfo, analyze};

#[test]
fn a_batch_is_set_where_the_sampling_starts() {
    let graph = edited("txt2img", |graph, info| set_batch(graph, info, 3));
    assert_eq!(value(&graph, "EmptyLatentImage", "batch_size"), [&json!(3)]);
    let graph = edited("custom_advanced", |graph, info| set_batch(graph, info, 4));
    assert_eq!(value(&graph, "EmptyLatentImage", "batch_size"), [&json!(4)]);

    // A picture is repeated, also behind a mask, and a repetition that is there gets the number.
    let graph = edited("img2img", |graph, info| set_batch(graph, info, 2));
    assert_eq!(way(&graph, "5", &["latent_image", "samples"]), ["RepeatLatentBatch:0", "VAEEncode:0"]);
    let twice = |graph: &mut Graph, info: &ObjectInfo| {
        set_batch(graph, info, 2)?;
        set_batch(graph, info, 5)
    };
    let graph = edited("img2img", twice);
    assert_eq!(value(&graph, "RepeatLatentBatch", "amount"), [&json!(5)]);
    assert_eq!(edited("img2img", |graph, info| set_batch(graph, info, 1)), crate::tests::graph("img2img"));
}

#[test]
fn a_batch_of_nothing_is_refused() {
    let refused = |name: &str, count| set_batch(&mut graph(name), &info(), count).unwrap_err().to_string();
    assert_eq!(refused("txt2img", 0), "batch_size is 0, it must be from 1 to 4096");
    assert_eq!(refused("txt2img", 5000), "batch_size is 5000, it must be from 1 to 4096");
    let reason = "cannot make a batch: no sampler of this workflow starts from a latent";
    assert_eq!(refused("upscale", 2), reason);
}

#[test]
fn a_seed_is_fresh_unless_it_is_given_and_told_either_way() {
    let mut graph = graph("hires_fix");
    let set = set_seed(&mut graph, &info(), None, u64::MAX).unwrap();
    assert_eq!(Value::Object(set.clone()), json!({ "seed": u64::MAX }));
    assert_eq!(value(&graph, "KSampler", "seed"), [&json!(u64::MAX), &json!(u64::MAX)]);

    let set = set_seed(&mut graph, &info(), Some(5), u64::MAX).unwrap();
    assert_eq!(Value::Object(set), json!({ "seed": 5 }));
    assert_eq!(value(&graph, "KSampler", "seed"), [&json!(5), &json!(5)]);

    let error = set_seed(&mut crate::tests::graph("upscale"), &info(), None, 1).unwrap_err();
    assert_eq!(error.to_string(), "cannot set the seed: nothing in this workflow takes a seed");
}

#[test]
fn several_seeds_become_fresh_and_can_be_set_again() {
    let mut document = graph("hires_fix").to_json();
    document["7"]["inputs"]["seed"] = json!(2);
    let (mut first, info) = (Graph::from_json(&document).unwrap(), info());
    let mut second = first.clone();
    let set = set_seed(&mut first, &info, None, 1_000).unwrap();
    assert_eq!(set["seed"], json!(1_000));
    assert_ne!(set["seed"], set["seed_2"]);
    let analysis = analyze(&second, &info);
    set_named(&mut second, &info, &analysis, &set).unwrap();
    assert_eq!(first, second);
}

#[test]
fn a_fresh_seed_keeps_the_bounds_of_its_input() {
    let mut info = info();
    let spec = info.classes.get_mut("KSampler").unwrap().inputs.get_mut("seed").unwrap();
    spec.kind = InputKind::Int { min: Some(1), max: Some(10), step: None };
    for random in [0, 1, 9, 10, u64::MAX] {
        let mut graph = graph("txt2img");
        let set = set_seed(&mut graph, &info, None, random).unwrap();
        assert!((1..=10).contains(&set["seed"].as_u64().unwrap()), "{set:?}");
        assert_eq!(problems(&graph, &info), "");
    }
}

#[test]
fn several_controlnets_stand_one_behind_the_other_or_none_does() {
    let second = ControlNet { image: "depth.png".to_owned(), strength: 0.4, ..control() };
    let both = [control(), second.clone()];
    let graph = edited("custom_advanced", |graph, info| attach_controlnets(graph, info, &both));
    let chain = ["ControlNetApplyAdvanced:0", "ControlNetApplyAdvanced:0", "FluxGuidance:0"];
    assert_eq!(way(&graph, "5", &["positive", "positive", "positive"]), chain);
    let found = analyze(&graph, &info());
    for (name, expected) in [("control_image", "pose.png"), ("control_image_2", "depth.png")] {
        assert_eq!(found.parameter(name).unwrap().value, Some(json!(expected)), "{name}");
    }

    let before = crate::tests::graph("txt2img");
    let mut graph = before.clone();
    let wrong = ControlNet { model: "nothing like it".to_owned(), ..second };
    attach_controlnets(&mut graph, &info(), &[control(), wrong]).unwrap_err();
    assert_eq!(graph, before);
}

#[test]
fn any_input_is_set_by_the_name_of_its_node_and_checked_against_its_class() {
    let set = |values: Value| {
        let (mut graph, info) = (graph("hires_fix"), info());
        let analysis = analyze(&graph, &info);
        set_named(&mut graph, &info, &analysis, &object(values)).map(|()| graph)
    };
    let graph =
        set(json!({ "Second pass.denoise": 0.7, "first pass.steps": 9, "LatentUpscaleBy.scale_by": 2 }));
    let graph = graph.unwrap();
    assert_eq!(value(&graph, "KSampler", "denoise"), [&json!(1.0), &json!(0.7)]);
    assert_eq!(value(&graph, "KSampler", "steps"), [&json!(9), &json!(2)]);
    assert_eq!(value(&graph, "LatentUpscaleBy", "scale_by"), [&json!(2)]);
    for (values, expected) in [
        (json!({ "6.upscale_method": "magic" }), "6.upscale_method magic is not available"),
        (json!({ "Second pass.denoise": 7 }), "Second pass.denoise is 7, it must be from 0 to 1"),
        (json!({ "KSampler.steps": 7 }), "KSampler.steps may be that of the nodes 5, 7; name one by its id"),
        (json!({ "stepz": 7 }), "the workflow has no parameter stepz; did you mean steps"),
    ] {
        let error = set(values).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}, not {expected}");
    }
}

/// The shipped txt2img, but its pictures become a video.
fn video() -> (Graph, ObjectInfo) {
    let mut info = info();
    let classes = json!({
        "CreateVideo": { "input": { "required": { "images": ["IMAGE"], "fps": ["FLOAT", {}] } }, "output": ["VIDEO"] },
        "SaveVideo": { "input": { "required": { "video": ["VIDEO"] } }, "output": [], "output_node": true },
    });
    info.classes.extend(ObjectInfo::from_json(classes).unwrap().classes);
    let mut document = graph("txt2img").to_json();
    document["7"] = json!({ "class_type": "SaveVideo", "inputs": { "video": ["20", 0] } });
    document["20"] = json!({ "class_type": "CreateVideo", "inputs": { "images": ["6", 0], "fps": 16 } });
    (Graph::from_json(&document).unwrap(), info)
}

#[test]
fn a_video_is_enlarged_picture_by_picture() {
    let (mut graph, info) = video();
    add_upscaler(&mut graph, &info, "RealESRGAN_x4plus.safetensors").unwrap();
    assert_eq!(problems(&graph, &info), "");
    let chain = ["CreateVideo:0", "ImageUpscaleWithModel:0", "VAEDecode:0"];
    assert_eq!(way(&graph, "7", &["video", "images", "image"]), chain);
    assert_eq!(class_count(&graph, "UpscaleModelLoader"), 1);
}

#[test]
fn a_video_does_not_start_from_a_picture_instead_of_a_latent() {
    let (before, info) = video();
    let mut graph = before.clone();
    let refused: [Result<(), EditError>; 2] = [
        to_img2img(&mut graph, &info, "cat.png", 0.5),
        to_inpaint(&mut graph, &info, "cat.png", Mask::Alpha, 0.5),
    ];
    let texts = refused.map(|refused| refused.unwrap_err().to_string());
    let reason = "it makes a video of a text";
    assert_eq!(texts, [format!("cannot start from an image: {reason}"), format!("cannot inpaint: {reason}")]);
    assert_eq!(graph, before);
}
