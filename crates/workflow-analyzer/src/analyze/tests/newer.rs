//! Graphs as people build them now: switches, text nodes, sizes taken from pictures, videos, services.

use serde_json::{Value, json};

use super::parameters;
use crate::tests::{graph, info, object};
use crate::{Graph, InputKind, ObjectInfo, Task, analyze};

/// Classes beside the well-known ones, as `object_info` tells them.
fn more_info() -> ObjectInfo {
    let classes = json!({
        "ComfySwitchNode": { "input": { "required": {
            "switch": ["BOOLEAN", {}],
            "on_false": ["COMFY_MATCHTYPE_V3", { "template": { "template_id": "switch", "allowed_types": "*" } }],
            "on_true": ["COMFY_MATCHTYPE_V3", { "template": { "template_id": "switch", "allowed_types": "*" } }] } },
            "output": ["COMFY_MATCHTYPE_V3"], "output_name": ["output"] },
        "PrimitiveBoolean": { "input": { "required": { "value": ["BOOLEAN", {}] } }, "output": ["BOOLEAN"] },
        "PrimitiveInt": { "input": { "required": {
            "value": ["INT", { "min": -9_223_372_036_854_775_807_i64, "max": 9_223_372_036_854_775_807_i64 }] } },
            "output": ["INT"] },
        "PreviewAny": { "input": { "required": { "source": ["*", {}] } }, "output": ["STRING"], "output_node": true },
        "StringReplace": { "input": { "required": {
            "string": ["STRING", { "multiline": true }], "find": ["STRING", {}], "replace": ["STRING", {}] } },
            "output": ["STRING"] },
        "GetImageSize": { "input": { "required": { "image": ["IMAGE"] } }, "output": ["INT", "INT", "INT"],
            "output_name": ["width", "height", "batch_size"] },
        "ImageScaleToTotalPixels": { "input": { "required": {
            "image": ["IMAGE"], "upscale_method": [["lanczos"]],
            "megapixels": ["FLOAT", { "default": 1.0, "min": 0.01, "max": 16.0 }] } }, "output": ["IMAGE"] },
        "ResolutionSelector": { "input": { "required": {
            "aspect_ratio": ["COMBO", { "options": ["1:1", "16:9"] }],
            "megapixels": ["FLOAT", { "default": 1.0, "min": 0.1, "max": 16.0 }],
            "multiple": ["INT", { "default": 8 }] } }, "output": ["INT", "INT"], "output_name": ["width", "height"] },
        "LoadVideo": { "input": { "required": { "file": ["COMBO", { "options": [], "video_upload": true }] } },
            "output": ["VIDEO"] },
        "GetVideoComponents": { "input": { "required": { "video": ["VIDEO"] } },
            "output": ["IMAGE", "AUDIO", "FLOAT"], "output_name": ["images", "audio", "fps"] },
        "CreateVideo": { "input": { "required": { "images": ["IMAGE"], "fps": ["FLOAT", { "default": 30.0 }] } },
            "output": ["VIDEO"] },
        "SaveVideo": { "input": { "required": { "video": ["VIDEO"], "filename_prefix": ["STRING", {}] } },
            "output": [], "output_node": true },
        "EmptyHunyuanLatentVideo": { "input": { "required": {
            "width": ["INT", {}], "height": ["INT", {}], "length": ["INT", { "min": 1 }], "batch_size": ["INT", {}] } },
            "output": ["LATENT"] },
        "EmptyLatentAudio": { "input": { "required": { "seconds": ["FLOAT", {}], "batch_size": ["INT", {}] } },
            "output": ["LATENT"] },
        "VAEDecodeAudio": { "input": { "required": { "samples": ["LATENT"], "vae": ["VAE"] } }, "output": ["AUDIO"] },
        "SaveAudio": { "input": { "required": { "audio": ["AUDIO"], "filename_prefix": ["STRING", {}] } },
            "output": [], "output_node": true },
        "TextEncodeWithImage": { "input": { "required": {
            "clip": ["CLIP"], "prompt": ["STRING", { "multiline": true }] }, "optional": { "image1": ["IMAGE"] } },
            "output": ["CONDITIONING"] },
        "ServiceImage": { "input": { "required": {
            "prompt": ["STRING", { "multiline": true }], "seed": ["INT", { "min": 0 }],
            "aspect_ratio": [["1:1", "3:2"], { "default": "1:1" }] } }, "output": ["IMAGE"] },
        "ModelPatchLoader": { "input": { "required": { "name": [["canny_patch.safetensors"]] } },
            "output": ["MODEL_PATCH"] },
        "DiffsynthControlnet": { "input": { "required": {
            "model": ["MODEL"], "model_patch": ["MODEL_PATCH"], "vae": ["VAE"], "image": ["IMAGE"],
            "strength": ["FLOAT", { "default": 1.0, "min": -10.0, "max": 10.0 }] } }, "output": ["MODEL"] },
    });
    let mut all = info();
    all.classes.extend(ObjectInfo::from_json(classes).unwrap().classes);
    all
}

/// The shipped txt2img with nodes added and inputs set, by JSON pointer.
fn changed(nodes: Value, inputs: &[(&str, Value)]) -> Graph {
    let mut document = graph("txt2img").to_json();
    document.as_object_mut().unwrap().extend(object(nodes));
    for (pointer, value) in inputs {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        document.pointer_mut(parent).unwrap()[key] = value.clone();
    }
    Graph::from_json(&document).unwrap()
}

#[track_caller]
fn check(graph: &Graph, task: Task, expected: &[&str]) -> Vec<String> {
    let found = parameters(graph, &more_info());
    assert_eq!(analyze(graph, &more_info()).task, task, "{found:#?}");
    for line in expected {
        assert!(found.iter().any(|found| found == line), "{line} in {found:#?}");
    }
    found
}

#[test]
fn only_the_open_side_of_a_switch_counts() {
    let switch = |on: &str, off: Value| {
        json!({ "class_type": "ComfySwitchNode",
                "inputs": { "switch": ["20", 0], "on_true": [on, 0], "on_false": off } })
    };
    let lora = json!({ "class_type": "LoraLoaderModelOnly", "inputs": {
        "model": ["1", 0], "lora_name": "tiny-lora.safetensors", "strength_model": 1.0 } });
    let nodes = |fast: bool| {
        json!({
            "20": { "class_type": "PrimitiveBoolean", "inputs": { "value": fast } },
            "21": { "class_type": "PrimitiveInt", "inputs": { "value": 4 } },
            "22": { "class_type": "PrimitiveInt", "inputs": { "value": 30 } },
            "23": switch("21", json!(["22", 0])),
            "24": lora,
            "25": switch("24", json!(["1", 0])),
        })
    };
    let inputs = [("/5/inputs/steps", json!(["23", 0])), ("/5/inputs/model", json!(["25", 0]))];
    check(
        &changed(nodes(true), &inputs),
        Task::TextToImage,
        &["steps = 4 @ 21.value", r#"lora = "tiny-lora.safetensors" @ 24.lora_name"#],
    );
    let found = check(&changed(nodes(false), &inputs), Task::TextToImage, &["steps = 30 @ 22.value"]);
    assert!(!found.iter().any(|line| line.starts_with("lora")), "{found:#?}");
}

#[test]
fn a_text_is_found_behind_what_is_made_of_it() {
    let nodes = json!({
        "20": { "class_type": "PrimitiveStringMultiline", "inputs": { "value": "a heron" } },
        "21": { "class_type": "PrimitiveStringMultiline", "inputs": { "value": "A photo of IT, film grain" } },
        "22": { "class_type": "StringReplace",
                "inputs": { "string": ["21", 0], "find": "IT", "replace": ["20", 0] } },
        "23": { "class_type": "PreviewAny", "inputs": { "source": ["22", 0] } },
    });
    let graph = changed(nodes, &[("/2/inputs/text", json!(["23", 0]))]);
    check(&graph, Task::TextToImage, &[r#"prompt = "a heron" @ 20.value"#]);
}

#[test]
fn a_size_that_is_worked_out_is_set_where_that_starts() {
    let sized = [("/4/inputs/width", json!(["20", 0])), ("/4/inputs/height", json!(["20", 1]))];
    let nodes = json!({ "20": { "class_type": "ResolutionSelector", "inputs": {
        "aspect_ratio": "16:9", "megapixels": 1.5, "multiple": 8 } } });
    check(
        &changed(nodes, &sized),
        Task::TextToImage,
        &[r#"aspect_ratio = "16:9" @ 20.aspect_ratio"#, "megapixels = 1.5 @ 20.megapixels"],
    );

    let nodes = json!({
        "20": { "class_type": "GetImageSize", "inputs": { "image": ["21", 0] } },
        "21": { "class_type": "ImageScaleToTotalPixels",
                "inputs": { "image": ["22", 0], "upscale_method": "lanczos", "megapixels": 0.5 } },
        "22": { "class_type": "LoadImage", "inputs": { "image": "example.png" } },
    });
    let found = parameters(&changed(nodes, &sized), &more_info());
    for line in [r#"image = "example.png" @ 22.image"#, "megapixels = 0.5 @ 21.megapixels"] {
        assert!(found.iter().any(|found| found == line), "{line} in {found:#?}");
    }
}

#[test]
fn pictures_shown_beside_the_text_make_it_an_edit() {
    let nodes = json!({
        "2": { "class_type": "TextEncodeWithImage",
               "inputs": { "clip": ["1", 1], "prompt": "at night", "image1": ["22", 0] } },
        "22": { "class_type": "LoadImage", "inputs": { "image": "example.png" } },
    });
    let expected = [r#"prompt = "at night" @ 2.prompt"#, r#"image = "example.png" @ 22.image"#];
    check(&changed(nodes, &[]), Task::ImageEdit, &expected);
}

#[test]
fn videos_and_sound_are_told_by_what_is_put_out() {
    let nodes = json!({
        "4": { "class_type": "EmptyHunyuanLatentVideo",
               "inputs": { "width": 64, "height": 48, "length": 17, "batch_size": 1 } },
        "7": { "class_type": "SaveVideo", "inputs": { "video": ["20", 0], "filename_prefix": "v" } },
        "20": { "class_type": "CreateVideo", "inputs": { "images": ["6", 0], "fps": 16.0 } },
    });
    check(
        &changed(nodes.clone(), &[]),
        Task::TextToVideo,
        &["frames = 17 @ 4.length", "fps = 16.0 @ 20.fps"],
    );

    let mut from_video = object(nodes);
    from_video.extend(object(json!({
        "4": { "class_type": "VAEEncode", "inputs": { "pixels": ["22", 0], "vae": ["1", 2] } },
        "21": { "class_type": "LoadVideo", "inputs": { "file": "walk.mp4" } },
        "22": { "class_type": "GetVideoComponents", "inputs": { "video": ["21", 0] } },
    })));
    let graph = changed(Value::Object(from_video), &[]);
    check(&graph, Task::VideoToVideo, &[r#"video = "walk.mp4" @ 21.file"#]);

    let nodes = json!({
        "4": { "class_type": "EmptyLatentAudio", "inputs": { "seconds": 47.5, "batch_size": 1 } },
        "6": { "class_type": "VAEDecodeAudio", "inputs": { "samples": ["5", 0], "vae": ["1", 2] } },
        "7": { "class_type": "SaveAudio", "inputs": { "audio": ["6", 0], "filename_prefix": "a" } },
    });
    check(&changed(nodes, &[]), Task::TextToAudio, &["seconds = 47.5 @ 4.seconds"]);
}

#[test]
fn a_node_of_a_service_is_set_like_a_sampler() {
    let nodes = json!({
        "6": { "class_type": "ServiceImage",
               "inputs": { "prompt": "a kite", "seed": 5, "aspect_ratio": "3:2" } },
    });
    let graph = changed(nodes, &[]);
    let expected =
        [r#"prompt = "a kite" @ 6.prompt"#, "seed = 5 @ 6.seed", r#"aspect_ratio = "3:2" @ 6.aspect_ratio"#];
    check(&graph, Task::TextToImage, &expected);
}

#[test]
fn a_controlnet_that_patches_the_model_is_one() {
    let nodes = json!({
        "20": { "class_type": "ModelPatchLoader", "inputs": { "name": "canny_patch.safetensors" } },
        "21": { "class_type": "LoadImage", "inputs": { "image": "example.png" } },
        "22": { "class_type": "DiffsynthControlnet", "inputs": {
            "model": ["1", 0], "model_patch": ["20", 0], "vae": ["1", 2], "image": ["21", 0], "strength": 0.6 } },
    });
    let expected = [
        r#"controlnet = "canny_patch.safetensors" @ 20.name"#,
        r#"control_image = "example.png" @ 21.image"#,
        "control_strength = 0.6 @ 22.strength",
    ];
    check(&changed(nodes, &[("/5/inputs/model", json!(["22", 0]))]), Task::TextToImage, &expected);
}

#[test]
fn what_is_set_in_one_place_for_several_must_suit_all() {
    let nodes = json!({ "20": { "class_type": "PrimitiveInt", "inputs": { "value": 7 } } });
    let bounds = |inputs: &[(&str, Value)]| {
        let analysis = analyze(&changed(nodes.clone(), inputs), &more_info());
        match analysis.parameter("seed").unwrap().kind {
            InputKind::Int { min, max, .. } => (min.unwrap(), max.unwrap()),
            _ => panic!("a seed is an integer"),
        }
    };
    let linked = json!(["20", 0]);
    // ComfyUI holds the primitive to its own bounds too.
    assert_eq!(bounds(&[("/5/inputs/seed", linked.clone())]), (0, i64::MAX.into()));
    assert_eq!(bounds(&[("/5/inputs/seed", linked.clone()), ("/5/inputs/steps", linked)]), (1, 10_000));
}
