//! What is chosen by what is installed: hand-made lists of files for each family.

use serde_json::{Value, json};
use workflow_analyzer::ObjectInfo;

use super::super::{GraphRequest, Plan, Source, find, image, is_runnable, missing, model_choices, names};
use super::{Lora, catalog, install, linked, only, picture, request};
use crate::catalog::shipped::SHIPPED;
use crate::error::ServerError;

/// A ComfyUI with these files: checkpoints, diffusion models, text encoders, VAEs. Names that end in `.gguf` are
/// offered by the nodes for them alone.
struct Files<'a>(&'a [&'a str], &'a [&'a str], &'a [&'a str], &'a [&'a str]);

fn comfyui<'a>(files: &Files<'a>) -> ObjectInfo {
    let document = serde_json::from_str(include_str!("../../../fixtures/object_info.json")).unwrap();
    let mut info = ObjectInfo::from_json(document).unwrap();
    let Files(checkpoints, models, encoders, vaes) = files;
    let split = |files: &&[&'a str]| -> (Vec<&'a str>, Vec<&'a str>) {
        files.iter().copied().partition(|file| file.contains(".gguf"))
    };
    let (quantised, plain) = split(models);
    install(&mut info, "CheckpointLoaderSimple", "ckpt_name", checkpoints);
    install(&mut info, "UNETLoader", "unet_name", &plain);
    install(&mut info, "UnetLoaderGGUF", "unet_name", &quantised);
    let (_, plain) = split(encoders);
    for (class, files) in [("", &plain[..]), ("GGUF", encoders)] {
        install(&mut info, &format!("CLIPLoader{class}"), "clip_name", files);
        for input in ["clip_name1", "clip_name2", "clip_name3"] {
            for loader in ["DualCLIPLoader", "TripleCLIPLoader"] {
                if loader != "DualCLIPLoader" || input != "clip_name3" {
                    install(&mut info, &format!("{loader}{class}"), input, files);
                }
            }
        }
    }
    install(&mut info, "VAELoader", "vae_name", vaes);
    install(&mut info, "LoraLoader", "lora_name", &["ink.safetensors"]);
    info
}

/// What a prompt alone gives: the workflow, its size and steps, whether it takes a negative prompt; then checkpoints,
/// diffusion models, text encoders and VAEs, those marked that are to be taken.
const CASES: &str = "
txt2img 512 20 yes | *v1-5-pruned-emaonly.safetensors | | |
sdxl 1024 25 yes | sd_xl_refiner_1.0.safetensors *juggernautXL_v9.safetensors | | |
sd35 1024 20 yes | *sd3.5_large_fp8_scaled.safetensors | | |
sd35 1024 20 yes | *sd3.5_large.safetensors | | umt5_xxl_fp8.safetensors *t5xxl_fp16.safetensors *clip_g.safetensors *clip_l.safetensors | ae.safetensors
sd35 1024 20 yes | | *sd3.5_medium-Q4_0.gguf | *clip_l.safetensors *clip_g.safetensors | ae.safetensors *sd3_vae.safetensors
flux1_dev 1024 20 no | | wan2.1_t2v_1.3B_fp16.safetensors *FLUX/flux1-dev-fp8.safetensors | umt5_xxl_fp8_e4m3fn_scaled.safetensors *t5xxl_fp8_e4m3fn.safetensors qwen_3_4b.safetensors *ViT-L-14-TEXT-detail-improved.safetensors | flux2-vae.safetensors wan_2.1_vae.safetensors *flux_vae.safetensors
flux1_dev 1024 20 no | *flux1-dev-fp8.safetensors | | |
flux1_schnell 1024 4 no | | *flux1-schnell-Q4_K_S.gguf | *clip_l.safetensors *t5-v1_1-xxl-encoder-Q5_K_M.gguf | *ae.sft
flux2_dev 1024 20 no | | *flux2_dev_fp8mixed.safetensors | *mistral_3_small_flux2_fp8.safetensors clip_l.safetensors t5xxl_fp16.safetensors | ae.safetensors *flux2-vae.safetensors
flux2_klein 1024 4 no | | *flux-2-klein-4b-fp8.safetensors | qwen_3_8b_fp8mixed.safetensors *qwen_3_4b.safetensors | *full_encoder_small_decoder.safetensors
flux2_klein_base 1024 20 yes | | *flux-2-klein-base-9b-fp8.safetensors | qwen_3_4b.safetensors *qwen_3_8b_fp8mixed.safetensors | *flux2-vae.safetensors
qwen_image 1328 20 yes | | qwen_image_edit_2511_bf16.safetensors *qwen_image_2512_fp8_e4m3fn.safetensors | qwen_3_4b.safetensors *qwen_2.5_vl_7b_fp8_scaled.safetensors | ae.safetensors qwen_image_layered_vae.safetensors *qwen_image_vae.safetensors
qwen_image 1328 20 yes | | *Qwen-Image-Q4_K_M.gguf | *Qwen2.5-VL-7B-Instruct-Q4_K_M.gguf | *Qwen_Image-VAE.safetensors
z_image_turbo 1024 8 no | | *z_image_turbo_bf16.safetensors | *qwen_3_4b.safetensors | *ae.safetensors
z_image 1024 25 yes | | *z-image-base-Q8_0.gguf | *Qwen3-4B-Q4_K_M.gguf | *ae.safetensors
# What is complete comes before what isn't, and a name that tells something before one that tells nothing.
z_image_turbo 1024 8 no | mine.safetensors | flux1-dev.safetensors *z_image_turbo_bf16.safetensors | *qwen_3_4b.safetensors | *ae.safetensors
txt2img 512 20 yes | *mine.safetensors | flux1-dev.safetensors | qwen_3_4b.safetensors | ae.safetensors
# Kontext alone can paint from a text.
flux1_dev 1024 20 no | | *flux1-dev-kontext_fp8_scaled.safetensors | *clip_l.safetensors *t5xxl_fp16.safetensors | *ae.safetensors
# The encoders' names say nothing, and so nothing else.
flux1_dev 1024 20 no | | *flux1-dev.safetensors | qwen_3_4b.safetensors *one.safetensors *two.safetensors | qwen_image_vae.safetensors *three.safetensors
";

fn files_in(plan: &Plan) -> Vec<String> {
    let inputs =
        plan.graph.as_object().unwrap().values().flat_map(|node| node["inputs"].as_object().unwrap());
    let texts = inputs.filter_map(|(_, value)| value.as_str());
    let mut files: Vec<_> = texts.filter(|text| names::stem(text) != *text).map(str::to_owned).collect();
    files.sort();
    files
}

/// A call with a prompt and a seed alone.
fn plain(source: Source) -> super::ImageRequest {
    let mut request = request(source);
    request.parameters = json!({"prompt": "a fox", "seed": u64::MAX}).as_object().unwrap().clone();
    request
}

/// The node of which an input says what is sampled: the sampler itself, or the guider.
fn check_texts(plan: &Plan, negative: bool) {
    let nodes = plan.graph.as_object().unwrap();
    let holder = nodes
        .values()
        .find(|node| node["inputs"].get("positive").is_some() || node["class_type"] == "BasicGuider")
        .unwrap();
    let text = |input: &str| -> Option<Value> {
        let mut at = holder["inputs"].get(input)?[0].as_str()?.to_owned();
        loop {
            let inputs = &nodes[&at]["inputs"];
            if let Some(text) = inputs.get("text").or_else(|| inputs.get("prompt")) {
                return Some(text.clone());
            }
            if nodes[&at]["class_type"] == "ConditioningZeroOut" {
                return None;
            }
            at = inputs["conditioning"][0].as_str()?.to_owned();
        }
    };
    let positive = if holder["class_type"] == "BasicGuider" { "conditioning" } else { "positive" };
    assert_eq!(text(positive), Some(json!("a fox")), "{}", plan.graph);
    assert_eq!(text("negative").is_some(), negative, "{}", plan.graph);
    let seeds: Vec<_> = nodes
        .values()
        .filter_map(|node| node["inputs"].get("seed").or_else(|| node["inputs"].get("noise_seed")))
        .collect();
    assert!(!seeds.is_empty() && seeds.iter().all(|seed| **seed == json!(u64::MAX)), "{seeds:?}");
}

#[test]
fn a_prompt_alone_runs_on_whatever_family_is_installed() {
    for line in CASES.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let parts: Vec<Vec<&str>> = line.split('|').map(|part| part.split_whitespace().collect()).collect();
        let [head, lists @ ..] = &parts[..] else { panic!("{line}") };
        let mut expected: Vec<_> = lists.iter().flatten().filter_map(|file| file.strip_prefix('*')).collect();
        expected.sort_unstable();
        let lists: Vec<Vec<_>> = lists
            .iter()
            .map(|files| files.iter().map(|file| file.trim_start_matches('*')).collect())
            .collect();
        let info = comfyui(&Files(&lists[0], &lists[1], &lists[2], &lists[3]));
        let plan = image("test", &info, &catalog(), &plain(Source::Text)).unwrap();
        let told = |name: &str| plan.parameters[name].to_string();
        let (size, steps) = (told("width"), told("steps"));
        assert_eq!([plan.workflow.as_str(), &size, &steps], head[..3], "{line}");
        assert_eq!(told("height"), size, "{line}");
        assert_eq!(files_in(&plan), expected, "{line}");
        assert_eq!(plan.seed, Some(u64::MAX));
        check_texts(&plan, head[3] == "yes");
    }
}

/// A ComfyUI with one complete family beside another.
const SOME: Files<'_> = Files(
    &["sd15.safetensors"],
    &[
        "flux1-dev.safetensors",
        "flux1-dev-kontext_fp8_scaled.safetensors",
        "qwen_image_edit_2511_fp8mixed.safetensors",
        "flux-2-klein-4b.safetensors",
        "z_image_turbo_bf16.safetensors",
        "wan2.2_t2v_high_noise_14B_fp8_scaled.safetensors",
        "wan2.2_t2v_low_noise_14B_fp8_scaled.safetensors",
    ],
    &[
        "clip_l.safetensors",
        "t5xxl_fp16.safetensors",
        "qwen_2.5_vl_7b_fp8_scaled.safetensors",
        "qwen_3_4b.safetensors",
        "umt5_xxl_fp16.safetensors",
    ],
    &["ae.safetensors", "flux2-vae.safetensors", "qwen_image_vae.safetensors", "wan_2.1_vae.safetensors"],
);

#[test]
fn a_model_that_is_named_decides_on_the_family() {
    let info = comfyui(&SOME);
    for (model, workflow) in [
        ("sd15", "txt2img"),
        ("flux1-dev", "flux1_dev"),
        ("flux-2-klein-4b.safetensors", "flux2_klein"),
        ("z_image_turbo_bf16", "z_image_turbo"),
        ("qwen_image_edit_2511_fp8mixed", "qwen_image"),
    ] {
        let mut request = plain(Source::Text);
        request.model = Some(model.into());
        let plan = image("test", &info, &catalog(), &request).unwrap();
        assert_eq!(plan.workflow, workflow);
        assert!(plan.parameters["model"].as_str().unwrap().starts_with(model), "{:?}", plan.parameters);
    }
    let mut request = plain(Source::Text);
    request.model = Some("wan2.2_t2v_high_noise_14B_fp8_scaled".into());
    let error = image("test", &info, &catalog(), &request).unwrap_err().to_string();
    assert!(error.contains("Wan 2.2") && error.contains("list_workflows"), "{error}");
    (request.model, request.workflow) = (Some("sd15".into()), Some("flux1_dev".into()));
    let error = image("test", &info, &catalog(), &request).unwrap_err().to_string();
    assert!(error.contains("Stable Diffusion 1.5") && error.contains("Flux.1 dev"), "{error}");
    let choices = model_choices(&info, &catalog(), None).unwrap();
    assert_eq!(choices.first().map(String::as_str), Some("sd15.safetensors"));
    assert!(choices.contains(&"z_image_turbo_bf16.safetensors".to_owned()), "{choices:?}");
    assert!(!choices.iter().any(|choice| choice.contains("wan")), "{choices:?}");
}

#[test]
fn an_image_is_edited_in_the_way_of_the_family() {
    let info = comfyui(&SOME);
    let planned = |model: &str, source: Source| {
        let mut request = plain(source);
        request.model = Some(model.into());
        image("test", &info, &catalog(), &request).unwrap()
    };
    let source = |strength| Source::Image { image: picture("dog"), strength };
    for (model, strength, workflow) in [
        ("sd15", None, "img2img"),
        ("flux1-dev", None, "flux1_dev"),
        ("flux1-dev-kontext_fp8_scaled", None, "flux1_kontext"),
        ("flux1-dev-kontext_fp8_scaled", Some(0.5), "flux1_kontext"),
        ("qwen_image_edit_2511_fp8mixed", None, "qwen_image_edit"),
        ("flux-2-klein-4b", None, "flux2_klein_edit"),
        ("z_image_turbo_bf16", Some(0.5), "z_image_turbo"),
    ] {
        let plan = planned(model, source(strength));
        assert_eq!(plan.workflow, workflow, "{model}");
        assert_eq!(only(&plan, "LoadImage")["image"], "mcp-server/dog.png", "{model}");
        assert_eq!(plan.uploads.len(), 1, "{model}");
        let edits = workflow.ends_with("edit") || workflow.ends_with("kontext");
        if !edits || strength.is_some() {
            let told = strength.unwrap_or(0.75);
            assert_eq!(only(&plan, "KSampler")["denoise"], told, "{model}");
            assert_eq!(plan.parameters["strength"], told, "{model}");
        }
        check_texts(&plan, matches!(workflow, "img2img" | "qwen_image_edit"));
    }
    for model in ["sd15", "flux1-dev", "flux1-dev-kontext_fp8_scaled", "z_image_turbo_bf16"] {
        let mask = Some(picture("hat"));
        let plan = planned(model, Source::Inpaint { image: picture("dog"), mask, strength: 0.9 });
        let latent = linked(&plan, only(&plan, "KSampler"), "latent_image");
        assert_eq!(latent["class_type"], "SetLatentNoiseMask", "{model}");
        assert_eq!(only(&plan, "LoadImageMask")["image"], "mcp-server/hat.png", "{model}");
        assert_eq!(only(&plan, "KSampler")["denoise"], 0.9, "{model}");
    }
    // Flux.2 has no strength of its own: the first steps are left out.
    let plan = planned("flux-2-klein-4b", source(Some(0.5)));
    assert_eq!(only(&plan, "SplitSigmasDenoise")["denoise"], 0.5);
    assert_eq!(plan.workflow, "flux2_klein");
}

#[test]
fn the_first_qwen_image_edit_has_an_encoder_of_its_own() {
    let encoders = &["qwen_2.5_vl_7b_fp8_scaled.safetensors"];
    for (model, class, input) in [
        ("qwen_image_edit_fp8_e4m3fn.safetensors", "TextEncodeQwenImageEdit", "image"),
        ("qwen_image_edit_2509_fp8_e4m3fn.safetensors", "TextEncodeQwenImageEditPlus", "image1"),
    ] {
        let info = comfyui(&Files(&[], &[model], encoders, &["qwen_image_vae.safetensors"]));
        let source = Source::Image { image: picture("dog"), strength: None };
        let plan = image("test", &info, &catalog(), &plain(source)).unwrap();
        let encoder = linked(&plan, only(&plan, "KSampler"), "positive");
        assert_eq!(encoder["class_type"], class, "{model}");
        assert_eq!(
            (&encoder["inputs"]["prompt"], encoder["inputs"][input].is_array()),
            (&json!("a fox"), true)
        );
    }
}

#[test]
fn a_negative_prompt_that_would_have_no_effect_is_refused() {
    let info = comfyui(&SOME);
    let mut request = plain(Source::Text);
    request.model = Some("z_image_turbo_bf16".into());
    request.parameters.insert("negative_prompt".into(), "a dog".into());
    let error = image("test", &info, &catalog(), &request).unwrap_err();
    assert!(
        matches!(&error, ServerError::InvalidArgument { field, .. } if field == "negative_prompt"),
        "{error}"
    );
    request.parameters.insert("negative_prompt".into(), "".into());
    image("test", &info, &catalog(), &request).unwrap();
    request.loras = vec![Lora { name: "ink".into(), strength_model: 0.5, strength_clip: 0.5 }];
    let plan = image("test", &info, &catalog(), &request).unwrap();
    assert_eq!(only(&plan, "LoraLoader")["lora_name"], "ink.safetensors");
}

#[test]
fn where_guidance_is_off_a_negative_prompt_is_told_to_have_no_effect() {
    let info = comfyui(&SOME);
    let mut request = plain(Source::Text);
    request.parameters.insert("negative_prompt".into(), "a dog".into());
    for (cfg, told) in [(1.0, true), (7.0, false)] {
        request.parameters.insert("cfg".into(), cfg.into());
        let plan = image("test", &info, &catalog(), &request).unwrap();
        assert_eq!(plan.warnings.iter().any(|warning| warning.contains("no effect")), told, "cfg {cfg}");
    }
}

#[test]
fn a_size_is_rounded_as_the_latents_of_the_family_are() {
    let info = comfyui(&SOME);
    let mut request = plain(Source::Text);
    (request.width, request.height) = (Some(1000), Some(1000));
    for (model, expected) in
        [("flux-2-klein-4b", Some("multiples of 16: 1000x1000 becomes 992x992")), ("flux1-dev", None)]
    {
        request.model = Some(model.into());
        let plan = image("test", &info, &catalog(), &request).unwrap();
        let told = plan.warnings.iter().find(|warning| warning.contains("rounds"));
        assert_eq!(told.is_some(), expected.is_some(), "{model}: {told:?}");
        assert!(told.is_none_or(|told| expected.is_some_and(|expected| told.contains(expected))), "{told:?}");
    }
}

#[test]
fn what_is_missing_is_named_with_where_it_is_to_be_had() {
    let refusal = |files: Files<'_>, model: Option<&str>| {
        let mut request = plain(Source::Text);
        request.model = model.map(str::to_owned);
        let error = image("test", &comfyui(&files), &catalog(), &request).unwrap_err();
        (error.code(), error.remedy().unwrap())
    };
    let (code, remedy) = refusal(Files(&[], &[], &[], &[]), None);
    assert_eq!(code, "no_model_installed");
    assert!(remedy.contains("checkpoints/v1-5-pruned-emaonly-fp16.safetensors (https://"), "{remedy}");

    let z_image = &["z_image_turbo_bf16.safetensors"];
    let (code, remedy) = refusal(Files(&[], z_image, &["qwen_3_4b.safetensors"], &[]), None);
    assert_eq!(code, "no_model_installed");
    assert!(remedy.contains("vae/ae.safetensors (https://") && !remedy.contains("qwen"), "{remedy}");

    // Files of other families don't do.
    let others = &["umt5_xxl_fp16.safetensors", "clip_l.safetensors"];
    let (code, remedy) =
        refusal(Files(&[], z_image, others, &["wan_2.1_vae.safetensors"]), z_image.first().copied());
    assert_eq!(code, "missing_model");
    assert!(remedy.contains("qwen_3_4b") && remedy.contains("ae.safetensors"), "{remedy}");
}

#[test]
fn every_family_workflow_tells_what_it_lacks_and_runs_when_it_is_there() {
    let nothing = comfyui(&Files(&[], &[], &[], &[]));
    let full = comfyui(&SOME);
    for shipped in SHIPPED.iter().filter(|shipped| shipped.name != "upscale" && shipped.name != "controlnet")
    {
        let workflow = find(&catalog(), Some(&nothing), shipped.name).unwrap();
        let lacks = missing(&nothing, &workflow);
        assert!(!lacks.is_empty() && !is_runnable(&nothing, &workflow), "{}", shipped.name);
        let there = [
            "txt2img",
            "img2img",
            "inpaint",
            "lora",
            "txt2img_diffusion_model",
            "flux1_dev",
            "flux1_kontext",
            "flux2_klein",
            "flux2_klein_edit",
            "qwen_image_edit",
            "z_image_turbo",
            "wan22_t2v",
        ];
        let runs = is_runnable(&full, &workflow);
        assert_eq!(runs, there.contains(&shipped.name), "{}: {:?}", shipped.name, missing(&full, &workflow));
        assert_eq!(missing(&full, &workflow).is_empty(), runs, "{}", shipped.name);
    }
}

#[test]
fn what_a_workflow_lacks_is_of_one_family() {
    let nothing = comfyui(&Files(&[], &[], &[], &[]));
    let lacks = |name: &str| {
        let workflow = find(&catalog(), Some(&nothing), name).unwrap();
        let mut files: Vec<_> = missing(&nothing, &workflow).iter().map(|file| file.file).collect();
        files.sort_unstable();
        files
    };
    assert_eq!(
        lacks("flux2_klein"),
        ["flux-2-klein-4b.safetensors", "flux2-vae.safetensors", "qwen_3_4b.safetensors"]
    );
    assert_eq!(lacks("flux1_dev"), ["flux1-dev-fp8.safetensors"]);
    assert_eq!(lacks("sd35"), ["sd3.5_large_fp8_scaled.safetensors"]);
    assert_eq!(
        lacks("wan22_i2v"),
        [
            "umt5_xxl_fp8_e4m3fn_scaled.safetensors",
            "wan2.2_i2v_high_noise_14B_fp8_scaled.safetensors",
            "wan2.2_i2v_low_noise_14B_fp8_scaled.safetensors",
            "wan_2.1_vae.safetensors",
        ]
    );
}

#[test]
fn a_video_is_sampled_by_both_models_with_what_was_given() {
    let info = comfyui(&SOME);
    let workflow = find(&catalog(), Some(&info), "wan22_t2v").unwrap();
    let given = json!({"prompt": "a fox", "negative_prompt": "a dog", "seed": u64::MAX, "steps": 8, "cfg": 2.5, "frames": 33,
        "width": 320, "fps": 24});
    let Value::Object(parameters) = given else { panic!("{given}") };
    let uploads = Vec::new();
    let request = GraphRequest { workflow: &workflow, parameters, uploads, files: super::Files::All };
    let plan = super::workflow("test", &info, request).unwrap();
    let samplers: Vec<_> = plan
        .graph
        .as_object()
        .unwrap()
        .values()
        .filter(|node| node["class_type"] == "SamplerCustom")
        .collect();
    for (sampler, half) in samplers.iter().zip(["high", "low"]) {
        let inputs = sampler["inputs"].as_object().unwrap();
        assert_eq!((&inputs["noise_seed"], &inputs["cfg"]), (&json!(u64::MAX), &json!(2.5)));
        assert_eq!(linked(&plan, inputs, "positive")["inputs"]["text"], "a fox");
        assert_eq!(linked(&plan, inputs, "negative")["inputs"]["text"], "a dog");
        let shift = linked(&plan, inputs, "model")["inputs"].as_object().unwrap();
        let file = linked(&plan, shift, "model")["inputs"]["unet_name"].as_str().unwrap();
        assert!(file.contains(half), "{file} for the {half} noise");
    }
    assert_eq!(samplers.len(), 2);
    assert_eq!(only(&plan, "BasicScheduler")["steps"], 8);
    let latent = only(&plan, "EmptyHunyuanLatentVideo");
    assert_eq!((&latent["width"], &latent["length"]), (&json!(320), &json!(33)));
    assert_eq!(only(&plan, "CreateVideo")["fps"], 24);
    assert_eq!(files_in(&plan).len(), 4, "{:?}", files_in(&plan));
}
