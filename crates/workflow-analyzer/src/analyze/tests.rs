mod inputs;
mod newer;

use serde_json::json;

use super::{Task, analyze};
use crate::tests::{GRAPHS, graph, info, problems};
use crate::{Graph, InputKind, ObjectInfo};

/// Each parameter as `name = value @ node.input …`.
fn parameters(graph: &Graph, info: &ObjectInfo) -> Vec<String> {
    let analysis = analyze(graph, info);
    let lines = analysis.parameters.into_iter().map(|parameter| {
        let bindings: Vec<String> =
            parameter.bindings.iter().map(|binding| format!("{}.{}", binding.node, binding.input)).collect();
        format!("{} = {} @ {}", parameter.name, parameter.value.unwrap_or_default(), bindings.join(" "))
    });
    lines.collect()
}

fn check(name: &str, expected: &[&str]) {
    assert_eq!(parameters(&graph(name), &info()), expected, "{name}");
}

#[test]
fn texts_are_told_apart_by_where_their_links_end() {
    check(
        "regional",
        &[
            r#"prompt = "a castle" @ 11.text"#,
            r#"prompt_2 = "a red dragon" @ 12.text"#,
            r#"prompt_3 = "in the style of an etching" @ 13.text"#,
            r#"negative_prompt = "watermark" @ 10.text"#,
            "width = 64 @ 3.width",
            "height = 96 @ 3.height",
            "batch_size = 2 @ 3.batch_size",
            "seed = 18446744073709551615 @ 4.seed",
            "steps = 2 @ 4.steps",
            "cfg = 2.5 @ 4.cfg",
            r#"sampler = "euler" @ 4.sampler_name"#,
            r#"scheduler = "normal" @ 4.scheduler"#,
            "denoise = 1.0 @ 4.denoise",
            r#"model = "tiny-sd15.safetensors" @ 1.ckpt_name"#,
            "clip_skip = -2 @ 2.stop_at_clip_layer",
            r#"filename_prefix = "regional" @ 6.filename_prefix"#,
        ],
    );
}

#[test]
fn settings_are_found_behind_guiders_schedulers_and_noise() {
    check(
        "custom_advanced",
        &[
            r#"prompt = "a lake" @ 2.text"#,
            "width = 64 @ 9.width",
            "height = 64 @ 9.height",
            "batch_size = 1 @ 9.batch_size",
            "seed = 7 @ 6.noise_seed",
            "steps = 3 @ 8.steps",
            "cfg = 1.5 @ 5.cfg",
            "guidance = 3.5 @ 3.guidance",
            r#"sampler = "euler" @ 7.sampler_name"#,
            r#"scheduler = "simple" @ 8.scheduler"#,
            "denoise = 1.0 @ 8.denoise",
            r#"model = "tiny-sd15.safetensors" @ 1.ckpt_name"#,
            r#"filename_prefix = "custom" @ 12.filename_prefix"#,
        ],
    );
}

#[test]
fn what_several_samplers_share_is_one_parameter() {
    check(
        "base_and_refiner",
        &[
            r#"prompt = "a tower" @ 3.text 8.text"#,
            r#"negative_prompt = "mist" @ 4.text 9.text"#,
            "width = 64 @ 5.width",
            "height = 64 @ 5.height",
            "batch_size = 1 @ 5.batch_size",
            "seed = 3 @ 6.noise_seed 10.noise_seed",
            "steps = 5 @ 6.steps 10.steps",
            "cfg = 2.0 @ 6.cfg 10.cfg",
            r#"sampler = "euler" @ 6.sampler_name 10.sampler_name"#,
            r#"scheduler = "normal" @ 6.scheduler 10.scheduler"#,
            r#"model = "tiny-sd15.safetensors" @ 7.ckpt_name 1.ckpt_name"#,
            r#"lora = "tiny-lora.safetensors" @ 2.lora_name"#,
            "lora_strength = 0.7 @ 2.strength_model",
            "lora_clip_strength = 0.5 @ 2.strength_clip",
            r#"filename_prefix = "refined" @ 12.filename_prefix"#,
        ],
    );
    check(
        "hires_fix",
        &[
            r#"prompt = "a boat" @ 2.text"#,
            r#"negative_prompt = "fog" @ 3.text"#,
            "width = 64 @ 4.width",
            "height = 64 @ 4.height",
            "batch_size = 1 @ 4.batch_size",
            "seed = 1 @ 5.seed 7.seed",
            "steps = 4 @ 5.steps",
            "steps_2 = 2 @ 7.steps",
            "cfg = 2.0 @ 5.cfg 7.cfg",
            r#"sampler = "euler" @ 5.sampler_name 7.sampler_name"#,
            r#"scheduler = "normal" @ 5.scheduler 7.scheduler"#,
            "denoise = 1.0 @ 5.denoise",
            "denoise_2 = 0.5 @ 7.denoise",
            r#"model = "tiny-sd15.safetensors" @ 1.ckpt_name"#,
            "upscale_factor = 1.5 @ 6.scale_by",
            r#"filename_prefix = "hires" @ 9.filename_prefix"#,
        ],
    );
}

#[test]
fn values_are_found_where_primitives_hold_them() {
    let found = parameters(&graph("primitives"), &info());
    for expected in [
        r#"prompt = "a fox" @ 2.value"#,
        "width = 64 @ 6.value",
        "denoise = 1.0 @ 8.value",
        "steps = 2 @ 9.steps",
    ] {
        assert!(found.iter().any(|line| line == expected), "{expected} in {found:#?}");
    }
    // The bounds and the default are those of the node that uses the value.
    let analysis = analyze(&graph("primitives"), &info());
    assert!(matches!(
        analysis.parameter("denoise").unwrap().kind,
        InputKind::Float { min: Some(0.0), max: Some(1.0), .. }
    ));
    assert_eq!(analysis.parameter("denoise").unwrap().default, Some(json!(1.0)));
}

#[test]
fn images_masks_and_control_images_are_told_apart() {
    for (name, task, expected) in [
        ("img2img", Task::ImageToImage, vec![r#"image = "example.png" @ 8.image"#]),
        (
            "inpaint",
            Task::Inpaint,
            vec![r#"image = "example.png" @ 8.image"#, r#"mask = "mask.png" @ 9.image"#],
        ),
        (
            "inpaint_alpha",
            Task::Inpaint,
            vec![r#"image = "masked-64.png" @ 4.image"#, "width = 64 @ 5.width", "height = 64 @ 5.height"],
        ),
        (
            "two_controlnets",
            Task::TextToImage,
            vec![
                r#"controlnet = "tiny-controlnet.safetensors" @ 4.control_net_name"#,
                r#"control_image = "upload-64.png" @ 5.image"#,
                r#"control_image_2 = "mask-64.png" @ 7.image"#,
                "control_strength = 0.5 @ 6.strength",
                "control_strength_2 = 0.5 @ 9.strength",
                "control_start_2 = 0.1 @ 9.start_percent",
                "control_end_2 = 0.9 @ 9.end_percent",
            ],
        ),
        (
            "upscale",
            Task::Upscale,
            vec![
                r#"image = "example.png" @ 1.image"#,
                r#"upscale_model = "RealESRGAN_x4plus.safetensors" @ 2.model_name"#,
            ],
        ),
    ] {
        let (graph, info) = (graph(name), info());
        assert_eq!(analyze(&graph, &info).task, task, "{name}");
        let found = parameters(&graph, &info);
        for line in expected {
            assert!(found.iter().any(|found| found == line), "{line} in {name}: {found:#?}");
        }
        let masks = found.iter().filter(|line| line.starts_with("mask")).count();
        assert_eq!(masks, usize::from(name == "inpaint"), "{name}: {found:#?}");
    }
}

#[test]
fn split_models_are_parameters_of_their_kinds() {
    let found = parameters(&graph("txt2img_diffusion_model"), &info());
    for expected in [
        r#"model = "flux1-dev.safetensors" @ 1.unet_name"#,
        r#"clip = "clip_l.safetensors" @ 8.clip_name1"#,
        r#"clip_2 = "t5xxl_fp8_e4m3fn_scaled.safetensors" @ 8.clip_name2"#,
        r#"clip_type = "flux" @ 8.type"#,
        r#"vae = "ae.safetensors" @ 9.vae_name"#,
    ] {
        assert!(found.iter().any(|line| line == expected), "{expected} in {found:#?}");
    }
}

#[test]
fn an_unknown_class_between_text_and_sampler_is_passed_by_the_types_around_it() {
    let mut document = graph("txt2img").to_json();
    document["20"] = json!({ "class_type": "SomebodysMixer", "inputs": { "a": ["2", 0], "b": ["3", 0] } });
    document["21"] = json!({ "class_type": "SomebodysFilter", "inputs": { "conditioning": ["3", 0] } });
    document["5"]["inputs"]["positive"] = json!(["21", 0]);
    document["5"]["inputs"]["negative"] = json!(["2", 0]);
    let found = parameters(&Graph::from_json(&document).unwrap(), &info());
    assert!(found[0].starts_with("prompt = \"blurry"), "{found:#?}");
    assert!(found[1].starts_with("negative_prompt = \"a lighthouse"), "{found:#?}");
}

#[test]
fn an_unknown_sampler_is_understood_by_what_goes_into_it() {
    let mut document = graph("txt2img").to_json();
    document["5"]["class_type"] = json!("SomebodysSampler");
    let graph = Graph::from_json(&document).unwrap();
    let analysis = analyze(&graph, &info());
    assert_eq!(analysis.task, Task::TextToImage);
    for name in ["prompt", "negative_prompt", "seed", "steps", "width", "model"] {
        assert!(analysis.parameter(name).is_some(), "{name}");
    }
}

#[test]
fn what_no_output_needs_is_no_parameter() {
    let mut document = graph("txt2img").to_json();
    document["30"] = json!({ "class_type": "LoadImage", "inputs": { "image": "unused.png" } });
    let analysis = analyze(&Graph::from_json(&document).unwrap(), &info());
    assert!(analysis.parameter("image").is_none());
    assert!(analysis.needs.classes.contains("LoadImage"), "ComfyUI refuses unknown classes anywhere");
    assert!(!analysis.weights.contains_key("30"));
}

#[test]
fn needs_name_the_folders_of_the_files() {
    let needs = |name: &str| {
        let needs = analyze(&graph(name), &info()).needs;
        let models = needs.models.into_iter();
        models
            .map(|model| format!("{}/{} @ {}.{}", model.folder, model.name, model.node, model.input))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        needs("txt2img_diffusion_model"),
        [
            "diffusion_models/flux1-dev.safetensors @ 1.unet_name",
            "text_encoders/clip_l.safetensors @ 8.clip_name1",
            "text_encoders/t5xxl_fp8_e4m3fn_scaled.safetensors @ 8.clip_name2",
            "vae/ae.safetensors @ 9.vae_name",
        ]
    );
    assert_eq!(needs("upscale"), ["upscale_models/RealESRGAN_x4plus.safetensors @ 2.model_name"]);
    assert_eq!(needs("lora")[1], "loras/more_details.safetensors @ 8.lora_name");
}

#[test]
fn sampling_outweighs_the_rest_and_grows_with_steps_and_pixels() {
    let weight = |steps: u64, width: u64| {
        let mut document = graph("txt2img").to_json();
        document["5"]["inputs"]["steps"] = json!(steps);
        document["4"]["inputs"]["width"] = json!(width);
        let analysis = analyze(&Graph::from_json(&document).unwrap(), &info());
        let weights = &analysis.weights;
        let all: f64 = weights.values().sum();
        assert!((analysis.cost - all).abs() < 1e-6 * all);
        (weights["5"], all)
    };
    let (sampler, all) = weight(20, 512);
    assert!(sampler > 0.8 * all, "{sampler} of {all}");
    assert!((weight(40, 512).0 / sampler - 2.0).abs() < 1e-9);
    assert!((weight(20, 1024).0 / sampler - 2.0).abs() < 1e-9);
    assert!((sampler - 20.0).abs() < 1e-9, "twenty steps of one 512 × 512 image");
    assert!(weight(u64::MAX, u64::MAX).1.is_finite());
}

#[test]
fn every_graph_here_is_valid_and_has_outputs() {
    for (name, _) in GRAPHS {
        assert_eq!(problems(&graph(name), &info()), "", "{name}");
        assert!(!analyze(&graph(name), &info()).outputs.is_empty(), "{name}");
    }
}

#[test]
fn a_graph_is_read_even_when_no_server_was_asked() {
    let analysis = analyze(&graph("txt2img"), &ObjectInfo::default());
    assert!(analysis.outputs.is_empty());
    assert_eq!(analysis.needs.models[0].folder, "checkpoints");
}
