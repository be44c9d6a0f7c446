mod more;

use serde_json::{Value, json};

use super::{
    ControlNet, EditError, Lora, Mask, add_image_scale, add_upscaler, apply_loras, attach_controlnet,
    scale_source, set_parameters, to_img2img, to_inpaint,
};
use crate::tests::{graph, info, object, problems};
use crate::{Graph, Input, ObjectInfo, analyze};

fn lora(name: &str, strength: f64) -> Lora {
    Lora { name: name.to_owned(), strength_model: strength, strength_clip: strength / 2.0 }
}

fn control() -> ControlNet {
    ControlNet {
        model: "tiny-controlnet.safetensors".to_owned(),
        image: "pose.png".to_owned(),
        strength: 0.8,
        start: 0.1,
        end: 0.9,
    }
}

/// Edits the graph of that name; it must be valid after it.
fn edited(name: &str, edit: impl FnOnce(&mut Graph, &ObjectInfo) -> Result<(), EditError>) -> Graph {
    let info = info();
    let mut graph = graph(name);
    edit(&mut graph, &info).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(problems(&graph, &info), "", "{name}");
    graph
}

/// Follows inputs from a node and tells the classes on the way: `5.model` → `LoraLoader`, and so on.
fn way(graph: &Graph, start: &str, inputs: &[&str]) -> Vec<String> {
    let mut at = start.to_owned();
    let mut classes = Vec::new();
    for input in inputs {
        let (node, slot) =
            graph.input(&at, input).and_then(Input::as_link).unwrap_or_else(|| panic!("{at}.{input}"));
        at = node.to_owned();
        classes.push(format!("{}:{slot}", graph.nodes[node].class_type));
    }
    classes
}

fn value<'a>(graph: &'a Graph, class: &str, input: &str) -> Vec<&'a Value> {
    let nodes = graph.nodes.values().filter(|node| node.class_type == class);
    nodes.filter_map(|node| node.inputs.get(input)?.as_value()).collect()
}

fn class_count(graph: &Graph, class: &str) -> usize {
    graph.nodes.values().filter(|node| node.class_type == class).count()
}

#[test]
fn parameters_arrive_at_the_nodes_where_they_belong() {
    let graph = edited("base_and_refiner", |graph, info| {
        let analysis = analyze(graph, info);
        let values = json!({
            "prompt": "a gate",
            "negative_prompt": "rain",
            "seed": u64::MAX,
            "steps": 7.0,
            "cfg": 3,
            "10.end_at_step": 9,
        });
        set_parameters(graph, &analysis, &object(values))
    });
    for (node, input, expected) in [
        ("3", "text", json!("a gate")),
        ("8", "text", json!("a gate")),
        ("4", "text", json!("rain")),
        ("9", "text", json!("rain")),
        ("6", "noise_seed", json!(u64::MAX)),
        ("10", "noise_seed", json!(u64::MAX)),
        ("6", "steps", json!(7)),
        ("10", "cfg", json!(3)),
        ("10", "end_at_step", json!(9)),
        ("6", "end_at_step", json!(4)),
    ] {
        assert_eq!(graph.input(node, input).and_then(Input::as_value), Some(&expected), "{node}.{input}");
    }
}

#[test]
fn values_that_do_not_fit_are_refused_and_nothing_is_set() {
    for (values, expected) in [
        (json!({ "step": 5 }), "the workflow has no parameter step; did you mean steps"),
        (json!({ "quux": 5 }), "the workflow has no parameter quux"),
        (json!({ "steps": "20" }), "steps takes an integer, not a string"),
        (json!({ "steps": 20.5 }), "steps takes an integer, not a number"),
        (json!({ "steps": 0 }), "steps is 0, it must be from 1 to 10000"),
        (json!({ "seed": -1 }), "seed is -1, it must be from 0 to 18446744073709551615"),
        (json!({ "cfg": 100.5 }), "cfg is 100.5, it must be from 0 to 100"),
        (json!({ "prompt": ["5", 0] }), "prompt takes a string, not a list"),
        (json!({ "sampler": "eulr" }), "sampler eulr is not available; did you mean euler or"),
        (json!({ "model": "dreamshaper" }), "model dreamshaper is not available"),
        (json!({ "5.model": "x" }), "5.model is linked to node 1; set it there"),
        (json!({ "5.steps": "x" }), "5.steps takes an integer, not a string"),
        (json!({ "7.filename_prefix": 5 }), "7.filename_prefix takes a string, not a number"),
        (json!({ "99.steps": 5 }), "the workflow has no parameter 99.steps"),
    ] {
        let (before, info) = (graph("txt2img"), info());
        let mut graph = before.clone();
        let mut all = object(json!({ "prompt": "new", "width": 64 }));
        all.extend(object(values));
        let error = set_parameters(&mut graph, &analyze(&before, &info), &all).unwrap_err();
        assert!(error.to_string().starts_with(expected), "{error}, not {expected}");
        assert_eq!(graph, before);
    }
}

#[test]
fn an_image_to_be_uploaded_is_set_unchecked() {
    let graph = edited("inpaint", |graph, info| {
        let values = json!({ "image": "sub/new.png [temp]", "mask": "m.png" });
        set_parameters(graph, &analyze(graph, info), &object(values))
    });
    assert_eq!(value(&graph, "LoadImage", "image"), [&json!("sub/new.png [temp]")]);
    assert_eq!(value(&graph, "LoadImageMask", "image"), [&json!("m.png")]);
}

#[test]
fn loras_are_chained_in_order_for_model_and_clip() {
    let loras = [lora("tiny-lora.safetensors", 1.0), lora("more_details.safetensors", -0.5)];
    let graph = edited("txt2img", |graph, info| apply_loras(graph, info, &loras));
    let chain = ["LoraLoader:0", "LoraLoader:0", "CheckpointLoaderSimple:0"];
    assert_eq!(way(&graph, "5", &["model", "model", "model"]), chain);
    for text in ["2", "3"] {
        let chain = ["LoraLoader:1", "LoraLoader:1", "CheckpointLoaderSimple:1"];
        assert_eq!(way(&graph, text, &["clip", "clip", "clip"]), chain);
    }
    assert_eq!(way(&graph, "6", &["vae"]), ["CheckpointLoaderSimple:2"]);
    let found = analyze(&graph, &info());
    let shown = |name: &str| found.parameter(name).and_then(|parameter| parameter.value.clone()).unwrap();
    assert_eq!(shown("lora"), "tiny-lora.safetensors");
    assert_eq!(shown("lora_2"), "more_details.safetensors");
    assert_eq!(shown("lora_strength_2"), -0.5);
    assert_eq!(shown("lora_clip_strength_2"), -0.25);
}

#[test]
fn loras_that_are_there_stay_behind_the_new_ones() {
    let graph = edited("base_and_refiner", |graph, info| {
        apply_loras(graph, info, &[lora("more_details.safetensors", 1.0)])
    });
    let chain = ["LoraLoader:0", "LoraLoader:0", "CheckpointLoaderSimple:0"];
    assert_eq!(way(&graph, "6", &["model", "model", "model"]), chain);
    // The refiner is a model of its own and gets the LoRA too.
    assert_eq!(way(&graph, "10", &["model", "model"]), ["LoraLoader:0", "CheckpointLoaderSimple:0"]);
    assert_eq!(way(&graph, "8", &["clip", "clip"]), ["LoraLoader:1", "CheckpointLoaderSimple:1"]);
    assert_eq!(class_count(&graph, "LoraLoader"), 3);
}

#[test]
fn a_lora_reaches_split_models_guiders_and_clip_layers() {
    let one = [lora("tiny-lora.safetensors", 1.0)];
    let graph = edited("txt2img_diffusion_model", |graph, info| apply_loras(graph, info, &one));
    assert_eq!(way(&graph, "5", &["model", "model"]), ["LoraLoader:0", "UNETLoader:0"]);
    assert_eq!(way(&graph, "2", &["clip", "clip"]), ["LoraLoader:1", "DualCLIPLoader:0"]);

    let graph = edited("custom_advanced", |graph, info| apply_loras(graph, info, &one));
    assert_eq!(way(&graph, "10", &["guider", "model"]), ["CFGGuider:0", "LoraLoader:0"]);
    assert_eq!(way(&graph, "8", &["model"]), ["LoraLoader:0"]);

    let graph = edited("regional", |graph, info| apply_loras(graph, info, &one));
    assert_eq!(way(&graph, "11", &["clip", "clip"]), ["CLIPSetLastLayer:0", "LoraLoader:1"]);
}

#[test]
fn without_a_text_encoder_only_the_model_gets_the_lora() {
    let info = info();
    let mut graph = graph("custom_advanced");
    // Conditioning that comes from a class nobody knows, without any clip.
    let unknown = json!({ "2": { "class_type": "LoadConditioning", "inputs": { "file": "x" } } });
    graph.nodes.extend(Graph::from_json(&unknown).unwrap().nodes);
    apply_loras(&mut graph, &info, &[lora("tiny-lora.safetensors", 1.0)]).unwrap();
    assert_eq!(way(&graph, "5", &["model", "model"]), ["LoraLoaderModelOnly:0", "CheckpointLoaderSimple:0"]);
    assert_eq!(class_count(&graph, "LoraLoader"), 0);
}

#[test]
fn a_controlnet_stands_between_both_conditionings_and_the_sampler() {
    let graph = edited("txt2img", |graph, info| attach_controlnet(graph, info, &control()));
    assert_eq!(
        way(&graph, "5", &["positive", "positive"]),
        ["ControlNetApplyAdvanced:0", "CLIPTextEncode:0"]
    );
    assert_eq!(
        way(&graph, "5", &["negative", "negative"]),
        ["ControlNetApplyAdvanced:1", "CLIPTextEncode:0"]
    );
    assert_eq!(way(&graph, "5", &["positive", "vae"])[1], "CheckpointLoaderSimple:2");
    assert_eq!(value(&graph, "LoadImage", "image"), [&json!("pose.png")]);
    let found = analyze(&graph, &info());
    assert_eq!(found.parameter("prompt").unwrap().bindings[0].node, "2");
    assert_eq!(found.parameter("negative_prompt").unwrap().bindings[0].node, "3");
    assert_eq!(found.parameter("control_end").unwrap().value, Some(json!(0.9)));

    // One node serves both passes, which share their texts.
    let graph = edited("hires_fix", |graph, info| attach_controlnet(graph, info, &control()));
    assert_eq!(class_count(&graph, "ControlNetApplyAdvanced"), 1);
    assert_eq!(way(&graph, "7", &["negative"]), ["ControlNetApplyAdvanced:1"]);

    // A guider without a negative.
    let graph = edited("basic_guider", |graph, info| attach_controlnet(graph, info, &control()));
    assert_eq!(
        way(&graph, "5", &["conditioning", "positive"]),
        ["ControlNetApplyAdvanced:0", "CLIPTextEncode:0"]
    );

    // Behind those that are there.
    let graph = edited("controlnet", |graph, info| attach_controlnet(graph, info, &control()));
    let chain = ["ControlNetApplyAdvanced:1", "ControlNetApplyAdvanced:1", "CLIPTextEncode:0"];
    assert_eq!(way(&graph, "5", &["negative", "negative", "negative"]), chain);
}

#[test]
fn an_old_server_gets_the_old_controlnet_node() {
    let mut info = info();
    info.classes.remove("ControlNetApplyAdvanced");
    let mut graph = graph("txt2img");
    attach_controlnet(&mut graph, &info, &control()).unwrap();
    assert_eq!(problems(&graph, &info), "");
    assert_eq!(way(&graph, "5", &["positive", "conditioning"]), ["ControlNetApply:0", "CLIPTextEncode:0"]);
    assert_eq!(way(&graph, "5", &["negative"]), ["CLIPTextEncode:0"]);
}

#[test]
fn an_empty_latent_becomes_an_encoded_image() {
    let graph = edited("txt2img", |graph, info| to_img2img(graph, info, "cat.png", 0.6));
    assert_eq!(way(&graph, "5", &["latent_image", "pixels"]), ["VAEEncode:0", "LoadImage:0"]);
    assert_eq!(way(&graph, "5", &["latent_image", "vae"])[1], "CheckpointLoaderSimple:2");
    assert_eq!(value(&graph, "KSampler", "denoise"), [&json!(0.6)]);
    assert_eq!(class_count(&graph, "EmptyLatentImage"), 0);
    assert_eq!(analyze(&graph, &info()).task, crate::Task::ImageToImage);

    // A batch stays one.
    let graph = edited("regional", |graph, info| to_img2img(graph, info, "cat.png", 0.6));
    assert_eq!(way(&graph, "4", &["latent_image", "samples"]), ["RepeatLatentBatch:0", "VAEEncode:0"]);
    assert_eq!(value(&graph, "RepeatLatentBatch", "amount"), [&json!(2)]);

    // A graph that starts from an image gets the new one, in place.
    let graph = edited("img2img", |graph, info| to_img2img(graph, info, "cat.png", 0.3));
    assert_eq!(value(&graph, "LoadImage", "image"), [&json!("cat.png")]);
    assert_eq!(value(&graph, "KSampler", "denoise"), [&json!(0.3)]);
    assert_eq!(class_count(&graph, "VAEEncode"), 1);
}

#[test]
fn the_strength_is_set_where_the_graph_has_one() {
    let at = |name: &str, class: &str, input: &str| {
        let graph = edited(name, |graph, info| to_img2img(graph, info, "cat.png", 0.25));
        value(&graph, class, input).into_iter().cloned().collect::<Vec<_>>()
    };
    assert_eq!(at("hires_fix", "KSampler", "denoise"), [json!(0.25), json!(0.5)], "only the first pass");
    assert_eq!(at("custom_advanced", "BasicScheduler", "denoise"), [json!(0.25)]);
    assert_eq!(at("primitives", "PrimitiveFloat", "value"), [json!(0.25)]);
    assert_eq!(at("basic_guider", "SplitSigmasDenoise", "denoise"), [json!(0.25)]);
    // 5 steps, of which the base does 4: the last quarter starts at step 4, the base still has to do one.
    assert_eq!(at("base_and_refiner", "KSamplerAdvanced", "start_at_step"), [json!(3), json!(4)]);
}

#[test]
fn what_a_mask_covers_is_painted_anew() {
    let from_file = |graph: &mut Graph, info: &ObjectInfo| {
        to_inpaint(graph, info, "cat.png", Mask::Image("hole.png"), 0.8)
    };
    let graph = edited("txt2img", from_file);
    assert_eq!(way(&graph, "5", &["latent_image", "mask"]), ["SetLatentNoiseMask:0", "LoadImageMask:0"]);
    assert_eq!(way(&graph, "5", &["latent_image", "samples"])[1], "VAEEncode:0");
    assert_eq!(analyze(&graph, &info()).task, crate::Task::Inpaint);

    let graph = edited("txt2img", |graph, info| to_inpaint(graph, info, "cat.png", Mask::Alpha, 0.8));
    assert_eq!(way(&graph, "5", &["latent_image", "mask"]), ["SetLatentNoiseMask:0", "LoadImage:1"]);
    assert_eq!(class_count(&graph, "LoadImage"), 1);

    let graph = edited("img2img", from_file);
    assert_eq!(way(&graph, "5", &["latent_image", "mask"]), ["SetLatentNoiseMask:0", "LoadImageMask:0"]);

    // A graph with a mask gets the new one instead; what made the old one is gone.
    let graph = edited("inpaint_alpha", from_file);
    assert_eq!(way(&graph, "8", &["latent_image", "mask"]), ["VAEEncodeForInpaint:0", "LoadImageMask:0"]);
    assert_eq!(class_count(&graph, "GrowMask"), 0);
    let graph = edited("inpaint", from_file);
    assert_eq!(value(&graph, "LoadImageMask", "image"), [&json!("hole.png")]);

    let mut info = info();
    info.classes.remove("SetLatentNoiseMask");
    let mut graph = crate::tests::graph("txt2img");
    to_inpaint(&mut graph, &info, "cat.png", Mask::Alpha, 1.0).unwrap();
    assert_eq!(problems(&graph, &info), "");
    assert_eq!(way(&graph, "5", &["latent_image", "mask"]), ["VAEEncodeForInpaint:0", "LoadImage:1"]);
    assert_eq!(class_count(&graph, "VAEEncode"), 0);
}

#[test]
fn the_source_image_is_scaled_when_asked() {
    let graph = edited("img2img", |graph, info| scale_source(graph, info, Some(640), None));
    assert_eq!(way(&graph, "5", &["latent_image", "pixels", "image"])[1..], ["ImageScale:0", "LoadImage:0"]);
    assert_eq!(value(&graph, "ImageScale", "height"), [&json!(0)], "in proportion");
    assert_eq!(value(&graph, "ImageScale", "crop"), [&json!("disabled")]);

    // Where it is scaled already, only the numbers change; the mask is cropped like the image.
    let graph = edited("inpaint_alpha", |graph, info| scale_source(graph, info, Some(96), Some(48)));
    assert_eq!(value(&graph, "ImageScale", "width"), [&json!(96), &json!(96)]);
    let mask = ["VAEEncodeForInpaint:0", "ImageToMask:0", "ImageScale:0", "MaskToImage:0", "GrowMask:0"];
    assert_eq!(way(&graph, "8", &["latent_image", "mask", "image", "image", "mask"]), mask);
    let again = |graph: &mut Graph, info: &ObjectInfo| {
        scale_source(graph, info, Some(96), Some(48))?;
        scale_source(graph, info, Some(32), Some(32))
    };
    let graph = edited("inpaint_alpha", again);
    assert_eq!(value(&graph, "ImageScale", "width"), [&json!(32), &json!(32)]);

    let unchanged = edited("img2img", |graph, info| scale_source(graph, info, None, None));
    assert_eq!(unchanged, crate::tests::graph("img2img"));
}

#[test]
fn images_are_enlarged_before_they_are_put_out() {
    let graph = edited("hires_fix", |graph, info| add_upscaler(graph, info, "RealESRGAN_x4plus.safetensors"));
    assert_eq!(way(&graph, "9", &["images", "image"]), ["ImageUpscaleWithModel:0", "VAEDecode:0"]);
    assert_eq!(way(&graph, "11", &["images", "image"]), ["ImageUpscaleWithModel:0", "VAEDecode:0"]);
    assert_eq!(class_count(&graph, "UpscaleModelLoader"), 1);

    let graph = edited("txt2img", |graph, info| add_image_scale(graph, info, 1.5));
    assert_eq!(way(&graph, "7", &["images", "image"]), ["ImageScaleBy:0", "VAEDecode:0"]);
    assert_eq!(value(&graph, "ImageScaleBy", "upscale_method"), [&json!("lanczos")]);
}

#[test]
fn edits_that_make_no_sense_are_refused_with_the_reason() {
    type Edit = fn(&mut Graph, &ObjectInfo) -> Result<(), EditError>;
    let cases: [(&str, Edit, &str); 12] = [
        (
            "upscale",
            |graph, info| apply_loras(graph, info, &[lora("tiny-lora.safetensors", 1.0)]),
            "cannot apply a LoRA: no sampler in this workflow has a diffusion model",
        ),
        (
            "txt2img",
            |graph, info| apply_loras(graph, info, &[lora("tiny-lra", 1.0)]),
            "lora tiny-lra is not available; did you mean tiny-lora.safetensors",
        ),
        (
            "txt2img",
            |graph, info| apply_loras(graph, info, &[lora("tiny-lora.safetensors", 101.0)]),
            "strength_model is 101, it must be from -100 to 100",
        ),
        (
            "upscale",
            |graph, info| attach_controlnet(graph, info, &control()),
            "cannot attach a ControlNet: no sampler in this workflow has a positive conditioning",
        ),
        (
            "txt2img",
            |graph, info| {
                attach_controlnet(graph, info, &ControlNet { model: "canny".to_owned(), ..control() })
            },
            "controlnet canny is not available; did you mean control_v11p_sd15_canny_fp16.safetensors",
        ),
        (
            "txt2img",
            |graph, info| attach_controlnet(graph, info, &ControlNet { strength: f64::NAN, ..control() }),
            "control_strength takes a number, not null",
        ),
        (
            "txt2img",
            |graph, info| to_img2img(graph, info, "x.png", 1.5),
            "denoise is 1.5, it must be from 0 to 1",
        ),
        (
            "upscale",
            |graph, info| to_img2img(graph, info, "x.png", 0.5),
            "cannot start from an image: no sampler of this workflow starts from a latent",
        ),
        (
            "txt2img",
            |graph, info| scale_source(graph, info, Some(64), None),
            "cannot scale the source image: no sampler of this workflow starts from an image",
        ),
        (
            "img2img",
            |graph, info| scale_source(graph, info, Some(u32::MAX), None),
            "width is 4294967295, it must be from 0 to 16384",
        ),
        ("txt2img", |graph, info| add_upscaler(graph, info, "4x"), "upscale_model 4x is not available"),
        (
            "txt2img",
            |graph, _| add_image_scale(graph, &ObjectInfo::default(), 2.0),
            "cannot scale the image: no output node of this workflow takes an image",
        ),
    ];
    for (name, edit, expected) in cases {
        let before = graph(name);
        let mut graph = before.clone();
        let error = edit(&mut graph, &info()).expect_err(expected);
        assert_eq!(error.to_string(), expected);
        assert_eq!(graph, before);
    }
}

#[test]
fn a_missing_class_is_named() {
    let mut info = info();
    info.classes.remove("LoraLoader");
    let error = apply_loras(&mut graph("txt2img"), &info, &[lora("tiny-lora.safetensors", 1.0)]).unwrap_err();
    assert_eq!(error, EditError::MissingClass { class: "LoraLoader" });
    assert_eq!(error.to_string(), "the server has no node class LoraLoader");
}
