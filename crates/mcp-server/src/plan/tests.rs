use std::path::Path;

use serde_json::{Map, Value, json};
use workflow_analyzer::edit::Lora;
use workflow_analyzer::{InputKind, ObjectInfo};

use super::{Control, GraphRequest, ImageRequest, InputPicture, Plan, Source, find, image, workflow};
use crate::catalog::Catalog;
use crate::error::ServerError;

fn install(info: &mut ObjectInfo, class: &str, input: &str, files: &[&str]) {
    let spec = info.classes.get_mut(class).and_then(|class| class.inputs.get_mut(input)).unwrap();
    let options = files.iter().map(|file| json!(file)).collect();
    spec.kind = InputKind::Combo { options, upload: false, multiselect: false };
}

fn installed() -> ObjectInfo {
    let mut info = ObjectInfo::well_known();
    install(
        &mut info,
        "CheckpointLoaderSimple",
        "ckpt_name",
        &["broken.ckpt", "my-sd15.safetensors", "my-sdxl.safetensors"],
    );
    install(&mut info, "LoraLoader", "lora_name", &["ink.safetensors", "styles/oil.safetensors"]);
    install(&mut info, "ControlNetLoader", "control_net_name", &["canny.safetensors"]);
    info
}

fn catalog() -> Catalog {
    Catalog::load(Path::new("no such folder"))
}

fn picture(name: &str) -> InputPicture {
    InputPicture {
        artifact: format!("id-of-{name}"),
        reference: format!("mcp-server/{name}.png"),
        width: 640,
        height: 480,
    }
}

fn request(source: Source) -> ImageRequest {
    let parameters = json!({"prompt": "a fox", "negative_prompt": "a dog", "seed": u64::MAX, "steps": 7, "cfg": 3.5,
        "sampler": "heun", "scheduler": "karras"});
    ImageRequest {
        workflow: None,
        model: None,
        source,
        width: None,
        height: None,
        parameters: parameters.as_object().unwrap().clone(),
        loras: Vec::new(),
        control: None,
    }
}

fn planned(request: &ImageRequest) -> Plan {
    image("test", &installed(), &catalog(), request).unwrap()
}

/// The inputs of the only node of a class.
fn only<'a>(plan: &'a Plan, class: &str) -> &'a Map<String, Value> {
    let nodes = plan.graph.as_object().unwrap().values();
    let found: Vec<_> = nodes.filter(|node| node["class_type"] == class).collect();
    assert_eq!(found.len(), 1, "{class} in {}", plan.graph);
    found[0]["inputs"].as_object().unwrap()
}

/// The node that an input is linked to.
fn linked<'a>(plan: &'a Plan, inputs: &Map<String, Value>, name: &str) -> &'a Value {
    &plan.graph[inputs[name][0].as_str().unwrap()]
}

#[test]
fn every_parameter_arrives_where_it_belongs() {
    let plan = planned(&request(Source::Text));
    let sampler = only(&plan, "KSampler");
    assert_eq!(linked(&plan, sampler, "positive")["inputs"]["text"], "a fox");
    assert_eq!(linked(&plan, sampler, "negative")["inputs"]["text"], "a dog");
    assert_eq!(sampler["seed"], json!(u64::MAX), "all 64 bits");
    assert_eq!((&sampler["steps"], &sampler["cfg"]), (&json!(7), &json!(3.5)));
    assert_eq!((&sampler["sampler_name"], &sampler["scheduler"]), (&json!("heun"), &json!("karras")));
    assert_eq!(plan.seed, Some(u64::MAX));
    assert_eq!(only(&plan, "CheckpointLoaderSimple")["ckpt_name"], "my-sd15.safetensors");
}

#[test]
fn the_size_goes_with_the_model_unless_it_is_given() {
    let cases = [
        (None, None, None, (512, 512)),
        (Some("my-sdxl"), None, None, (1024, 1024)),
        (Some("my-sdxl.safetensors"), Some(640), Some(448), (640, 448)),
    ];
    for (model, width, height, expected) in cases {
        let mut request = request(Source::Text);
        request.model = model.map(str::to_owned);
        (request.width, request.height) = (width, height);
        let plan = planned(&request);
        let latent = only(&plan, "EmptyLatentImage");
        assert_eq!(
            (&latent["width"], &latent["height"]),
            (&json!(expected.0), &json!(expected.1)),
            "{model:?}"
        );
    }
}

#[test]
fn a_seed_that_is_not_given_is_fresh_and_told() {
    let mut request = request(Source::Text);
    request.parameters.remove("seed");
    let (first, second) = (planned(&request), planned(&request));
    assert_ne!(first.seed, second.seed);
    assert_eq!(only(&first, "KSampler")["seed"], json!(first.seed.unwrap()));
    assert!(first.seed.unwrap() < 1 << 53, "a client that reads numbers as doubles gives the same one back");
}

#[test]
fn loras_and_a_controlnet_are_put_in() {
    let mut request = request(Source::Text);
    let lora =
        |name: &str, strength| Lora { name: name.into(), strength_model: strength, strength_clip: 0.25 };
    request.loras = vec![lora("ink", 0.5), lora("oil.safetensors", -1.0)];
    let image = picture("edges");
    request.control = Some(Control { image, model: None, strength: 0.8, start: 0.1, end: 0.9 });
    let plan = planned(&request);
    let loaders: Vec<_> =
        plan.graph.as_object().unwrap().values().filter(|node| node["class_type"] == "LoraLoader").collect();
    let mut names: Vec<_> =
        loaders.iter().map(|node| node["inputs"]["lora_name"].as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["ink.safetensors", "styles/oil.safetensors"]);
    let control = only(&plan, "ControlNetApplyAdvanced");
    assert_eq!(
        (&control["strength"], &control["start_percent"], &control["end_percent"]),
        (&json!(0.8), &json!(0.1), &json!(0.9))
    );
    assert_eq!(only(&plan, "LoadImage")["image"], "mcp-server/edges.png");
    assert_eq!(plan.uploads.len(), 1);
}

#[test]
fn an_image_and_a_mask_are_loaded_and_the_strength_is_kept() {
    let plan = planned(&request(Source::Image { image: picture("dog"), strength: 0.4 }));
    assert_eq!(only(&plan, "KSampler")["denoise"], 0.4);
    assert_eq!(only(&plan, "LoadImage")["image"], "mcp-server/dog.png");
    let source = Source::Inpaint { image: picture("dog"), mask: Some(picture("hat")), strength: 0.9 };
    let plan = planned(&request(source));
    assert_eq!(only(&plan, "KSampler")["denoise"], 0.9);
    let uploads: Vec<_> = plan.uploads.iter().map(|upload| upload.artifact.as_str()).collect();
    assert_eq!(uploads, ["id-of-dog", "id-of-hat"]);
    let text = plan.graph.to_string();
    assert!(text.contains("mcp-server/dog.png") && text.contains("mcp-server/hat.png"));
}

#[test]
fn a_large_image_is_scaled_before_it_is_sampled() {
    let mut large = picture("photo");
    (large.width, large.height) = (6000, 4000);
    let plan = planned(&request(Source::Image { image: large, strength: 0.5 }));
    let scale = only(&plan, "ImageScale");
    let (width, height) = (scale["width"].as_u64().unwrap(), scale["height"].as_u64().unwrap());
    assert!(width * height <= super::MAX_SOURCE_PIXELS && width * height > super::MAX_SOURCE_PIXELS / 2);
    assert!((width as f64 / height as f64 - 1.5).abs() < 0.02, "{width}x{height}");
    let plan = planned(&request(Source::Image { image: picture("small"), strength: 0.5 }));
    assert!(!plan.graph.to_string().contains("ImageScale"));
}

#[test]
fn what_is_not_there_is_named_with_the_nearest() {
    let refusal = |change: &dyn Fn(&mut ImageRequest)| {
        let mut request = request(Source::Text);
        change(&mut request);
        image("test", &installed(), &catalog(), &request).unwrap_err().to_string()
    };
    let lora = |name: &str| vec![Lora { name: name.into(), strength_model: 1.0, strength_clip: 1.0 }];
    let cases = [
        (refusal(&|request| request.model = Some("my-sd51".into())), "my-sd15.safetensors"),
        (refusal(&|request| request.workflow = Some("txt2imgg".into())), "`txt2img`"),
        (refusal(&|request| request.loras = lora("inc")), "ink.safetensors"),
        (refusal(&|request| _ = request.parameters.insert("sampler".into(), "eulre".into())), "euler"),
        (refusal(&|request| _ = request.parameters.insert("guidance".into(), 3.into())), "guidance"),
    ];
    for (message, expected) in cases {
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn without_a_model_it_says_so() {
    let error = image("test", &ObjectInfo::well_known(), &catalog(), &request(Source::Text)).unwrap_err();
    assert!(matches!(error, ServerError::NoModelInstalled), "{error}");
}

#[test]
fn a_shipped_workflow_runs_with_what_is_installed() {
    let catalog = catalog();
    let parameters = json!({"prompt": "a boat", "3.no such input": 1}).as_object().unwrap().clone();
    let run = |parameters| {
        let request =
            GraphRequest { workflow: find(&catalog, "lora").unwrap(), parameters, uploads: Vec::new() };
        workflow("test", &installed(), request)
    };
    assert!(run(parameters.clone()).is_err(), "a parameter that has no place is an error");
    let plan = run(Map::from_iter([("prompt".to_owned(), json!("a boat"))])).unwrap();
    assert_eq!(only(&plan, "LoraLoader")["lora_name"], "ink.safetensors");
    assert!(plan.weights.values().sum::<f64>() > 0.0);
}
