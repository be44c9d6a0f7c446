mod families;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value, json};
use workflow_analyzer::edit::Lora;
use workflow_analyzer::{Graph, InputKind, ObjectInfo};

use super::{
    Control, Files, GraphRequest, ImageRequest, InputPicture, MAX_NODES, Plan, Source, Upload, find, image,
    is_runnable, read_document, workflow,
};
use crate::catalog::{Catalog, Origin, Workflow};
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
        files: Files::All,
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
    let plan = planned(&request(Source::Image { image: picture("dog"), strength: Some(0.4) }));
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
    let plan = planned(&request(Source::Image { image: large, strength: Some(0.5) }));
    let scale = only(&plan, "ImageScale");
    let (width, height) = (scale["width"].as_u64().unwrap(), scale["height"].as_u64().unwrap());
    assert!(
        width * height <= super::size::MAX_SOURCE_PIXELS
            && width * height > super::size::MAX_SOURCE_PIXELS / 2
    );
    assert!((width as f64 / height as f64 - 1.5).abs() < 0.02, "{width}x{height}");
    let plan = planned(&request(Source::Image { image: picture("small"), strength: Some(0.5) }));
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
    assert!(matches!(error, ServerError::NoModelInstalled(_)), "{error}");
}

/// Plans a run of a stored or given workflow.
fn run(of: &Workflow, parameters: Value, uploads: &[&str], files: Files) -> Result<Plan, ServerError> {
    let uploads = uploads.iter().map(|name| Upload { artifact: "a".into(), reference: (*name).into() });
    let Value::Object(parameters) = parameters else { panic!("{parameters}") };
    let request = GraphRequest { workflow: of, parameters, uploads: uploads.collect(), files };
    workflow("test", &installed(), request)
}

/// A shipped graph as somebody else's.
fn with_origin(name: &str, origin: Origin) -> Workflow {
    let shipped = find(&catalog(), None, name).unwrap();
    let mut workflow = shipped;
    workflow.origin = origin;
    for node in workflow.graph.nodes.values_mut().filter(|node| node.class_type == "CheckpointLoaderSimple") {
        node.inputs.insert("ckpt_name".into(), "my-sdxl.safetensors".into());
    }
    workflow
}

#[test]
fn a_shipped_workflow_runs_with_what_is_installed() {
    let catalog = catalog();
    let lora = &find(&catalog, None, "lora").unwrap();
    let refused = run(lora, json!({"prompt": "a boat", "3.no such input": 1}), &[], Files::All);
    assert!(refused.is_err(), "a parameter that has no place is an error");
    let plan = run(lora, json!({"prompt": "a boat"}), &[], Files::All).unwrap();
    assert_eq!(only(&plan, "LoraLoader")["lora_name"], "ink.safetensors");
    assert!(plan.warnings.iter().any(|warning| warning.contains("ink.safetensors")), "{:?}", plan.warnings);
    assert!(plan.weights.values().sum::<f64>() > 0.0);
    let plan = run(lora, json!({"lora": "ink.safetensors"}), &[], Files::All).unwrap();
    assert_eq!(plan.warnings, [""; 0], "it was named");
}

#[test]
fn the_seed_of_a_graph_is_kept_and_that_of_a_shipped_workflow_is_drawn() {
    let seed = |origin, parameters| {
        let plan = run(&with_origin("txt2img", origin), parameters, &[], Files::All).unwrap();
        assert_eq!(plan.seed, only(&plan, "KSampler")["seed"].as_u64(), "the seed that runs is told");
        plan.seed.unwrap()
    };
    let stored = seed(Origin::File, json!({}));
    assert_eq!(seed(Origin::Call, json!({})), stored);
    assert_eq!(
        stored,
        with_origin("txt2img", Origin::File)
            .graph
            .input("5", "seed")
            .unwrap()
            .as_value()
            .unwrap()
            .as_u64()
            .unwrap()
    );
    assert_ne!(seed(Origin::Shipped, json!({})), seed(Origin::Shipped, json!({})));
    for origin in [Origin::File, Origin::Call, Origin::Shipped] {
        assert_eq!(seed(origin, json!({"seed": 7})), 7);
        assert_eq!(seed(origin, json!({"5.seed": 8})), 8, "given by the node's id");
    }
}

#[test]
fn one_input_takes_one_value() {
    let workflow = with_origin("txt2img", Origin::Call);
    let error = run(&workflow, json!({"5.steps": 3, "steps": 4}), &[], Files::All).unwrap_err();
    assert!(matches!(&error, ServerError::InvalidArgument { field, .. } if field == "steps"), "{error}");
    assert!(error.to_string().contains("5.steps"), "{error}");
    run(&workflow, json!({"5.steps": 4, "steps": 4}), &[], Files::All).unwrap();
}

#[test]
fn given_loras_take_the_place_of_a_shipped_workflows_own() {
    let mut request = request(Source::Text);
    request.workflow = Some("lora".into());
    request.loras = vec![Lora { name: "oil".into(), strength_model: 0.5, strength_clip: 0.5 }];
    let plan = planned(&request);
    let loader = only(&plan, "LoraLoader");
    assert_eq!(loader["lora_name"], "styles/oil.safetensors");
    let sampler = only(&plan, "KSampler");
    assert_eq!(linked(&plan, sampler, "model")["inputs"]["lora_name"], "styles/oil.safetensors");
    assert_eq!(plan.parameters["loras"], json!([{"name": "styles/oil.safetensors", "strength": 0.5}]));
    assert_eq!(plan.warnings, [""; 0]);
}

#[test]
fn what_was_chosen_is_told() {
    let plan = planned(&request(Source::Text));
    let expected = json!({"model": "my-sd15.safetensors", "width": 512, "height": 512, "batch_size": 1, "steps": 7,
        "cfg": 3.5, "sampler": "heun", "scheduler": "karras"});
    assert_eq!(Value::Object(plan.parameters), expected);

    let plan = planned(&request(Source::Image { image: picture("dog"), strength: Some(0.4) }));
    let told = |name: &str| plan.parameters.get(name).cloned();
    assert_eq!(
        (told("strength"), told("width"), told("height")),
        (Some(json!(0.4)), Some(json!(640)), Some(json!(480)))
    );
    assert_eq!(plan.warnings, [""; 0]);

    let mut controlled = request(Source::Text);
    let image = picture("edges");
    controlled.control = Some(Control { image, model: None, strength: 0.8, start: 0.0, end: 1.0 });
    let plan = planned(&controlled);
    assert_eq!(plan.parameters["controlnet"], "canny.safetensors");
    assert_eq!(plan.parameters["control_strength"], 0.8);
}

#[test]
fn a_size_that_is_changed_is_told() {
    let mut request = request(Source::Text);
    (request.width, request.height) = (Some(500), Some(328));
    let plan = planned(&request);
    assert!(plan.warnings[0].contains("500x328 becomes 496x328"), "{:?}", plan.warnings);

    let mut large = picture("photo");
    (large.width, large.height) = (6000, 4000);
    let source = Source::Image { image: large, strength: Some(0.5) };
    request.source = source.clone();
    (request.width, request.height) = (None, None);
    let plan = planned(&request);
    let size = format!("{}x{}", plan.parameters["width"], plan.parameters["height"]);
    assert_eq!(plan.warnings, [format!("the source image was scaled from 6000x4000 to {size}")]);

    request.width = Some(600);
    let plan = planned(&request);
    assert_eq!((&plan.parameters["width"], &plan.parameters["height"]), (&json!(600), &json!(400)));
}

#[test]
fn a_shipped_workflow_needs_its_images() {
    let catalog = catalog();
    let mut info = installed();
    // Every ComfyUI comes with this file, which is the placeholder too.
    let spec = info.classes.get_mut("LoadImage").unwrap().inputs.get_mut("image").unwrap();
    spec.kind = InputKind::Combo { options: vec![json!("example.png")], upload: true, multiselect: false };
    install(&mut info, "UpscaleModelLoader", "model_name", &["up.pth"]);
    let parameters =
        |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), json!("mcp-server/x.png"))).collect();
    let upload = || vec![Upload { artifact: "a".into(), reference: "mcp-server/x.png".into() }];
    for (name, images) in [
        ("img2img", &["image"][..]),
        ("inpaint", &["image", "mask"]),
        ("controlnet", &["control_image"]),
        ("upscale", &["image"]),
    ] {
        let stored = &find(&catalog, None, name).unwrap();
        assert!(is_runnable(&info, stored), "{name} can run, once it has its images");
        let plan = |given: &[&str]| {
            let request = GraphRequest {
                workflow: stored,
                parameters: parameters(given),
                uploads: upload(),
                files: Files::All,
            };
            workflow("test", &info, request)
        };
        for missing in images {
            let others: Vec<_> = images.iter().copied().filter(|image| image != missing).collect();
            let error = plan(&others).unwrap_err();
            let field = format!("parameters.{missing}");
            assert!(
                matches!(&error, ServerError::InvalidArgument { field: f, .. } if *f == field),
                "{error}"
            );
            assert!(error.to_string().contains("an image is needed"), "{error}");
        }
        plan(images).unwrap();
    }
    assert!(
        !is_runnable(&ObjectInfo::well_known(), &find(&catalog, None, "img2img").unwrap()),
        "without a model"
    );
}

/// A graph of a call's own that saves what its node 1 gives.
fn saving(node: Value) -> Workflow {
    let save = json!({"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "x"}});
    let nodes = Map::from_iter([("1".to_owned(), node), ("2".to_owned(), save)]);
    let graph = Graph::from_json(&Value::Object(nodes)).unwrap();
    Workflow {
        name: "inline".into(),
        description: None,
        graph,
        origin: Origin::Call,
        descriptor: Arc::default(),
        parameters: Vec::new(),
        packs: BTreeMap::new(),
        problems: Vec::new(),
        randomized: BTreeSet::new(),
    }
}

#[test]
fn where_clients_are_told_apart_a_graph_loads_its_own_images_alone() {
    let load = |name: Value| saving(json!({"class_type": "LoadImage", "inputs": {"image": name}}));
    let own = "mcp-server/own.png";
    run(&load(json!(own)), json!({}), &[own], Files::Own).unwrap();
    for name in [
        json!("example.png"),
        json!("mcp-server/other.png"),
        json!("ComfyUI_00001_.png [output]"),
        json!("ComfyUI_temp_abcde_00001_.png [temp]"),
        json!({"__value__": ["example.png"]}),
        json!(["2", 0]),
    ] {
        let error = run(&load(name.clone()), json!({}), &[own], Files::Own).unwrap_err();
        assert!(
            matches!(&error, ServerError::InvalidArgument { field, .. } if field == "1.image"),
            "{name}: {error}"
        );
        assert!(error.to_string().contains("artifact"), "{error}");
    }
    let named = run(&load(json!(own)), json!({"1.image": "y.png [output]"}), &[own], Files::Own);
    assert!(named.is_err(), "a parameter that names another file");
    let outputs = saving(json!({"class_type": "LoadImageOutput", "inputs": {"image": "x.png"}}));
    let error = run(&outputs, json!({}), &[], Files::Own).unwrap_err();
    assert!(error.to_string().contains("LoadImageOutput"), "{error}");

    // A class that the gateway knows nothing of, but for the names that it is given.
    let mut info = installed();
    let custom = json!({"LoadAny": {"input": {"required": {"path": ["STRING", {}]}}, "output": ["IMAGE"]}});
    info.classes.extend(ObjectInfo::from_json(custom).unwrap().classes);
    let name = "x.png [output]";
    let refused_and_not = [
        (json!(name), true),
        (json!({"__value__": name}), true),
        (json!({"__value__": ["x.png", [name]]}), true),
        (json!("x.png"), false),
    ];
    for (path, refused) in refused_and_not {
        let of = saving(json!({"class_type": "LoadAny", "inputs": {"path": path}}));
        let (parameters, uploads) = (Map::new(), Vec::new());
        let request = GraphRequest { workflow: &of, parameters, uploads, files: Files::Own };
        assert_eq!(workflow("test", &info, request).is_err(), refused, "{path}");
    }

    // A file that is chosen with what another input chooses.
    let image = json!({"required": {"file": [["x.png"], {"image_upload": true}]}});
    let source = json!(["COMFY_DYNAMICCOMBO_V3", {"options": [{"key": "file", "inputs": image}]}]);
    let custom = json!({"LoadBy": {"input": {"required": {"source": source}}, "output": ["IMAGE"]}});
    info.classes.extend(ObjectInfo::from_json(custom).unwrap().classes);
    let of = saving(json!({"class_type": "LoadBy", "inputs": {"source": "file", "source.file": "x.png"}}));
    let request =
        GraphRequest { workflow: &of, parameters: Map::new(), uploads: Vec::new(), files: Files::Own };
    assert!(workflow("test", &info, request).unwrap_err().to_string().contains("artifact"));

    // Without keys there is one user, who has put these files there.
    run(&load(json!("x/y.png")), json!({}), &[], Files::All).unwrap();
    run(&load(json!("ComfyUI_00001_.png [output]")), json!({}), &[], Files::All).unwrap();
    // What the operator's own workflow loads is the operator's choice; what a call puts in its place is not.
    let mut stored = load(json!("logos/ours.png"));
    stored.origin = Origin::File;
    run(&stored, json!({}), &[], Files::Own).unwrap();
    assert!(run(&stored, json!({"1.image": "logos/theirs.png"}), &[], Files::Own).is_err());
}

#[test]
fn results_are_saved_under_names_that_nobody_guesses() {
    let empty = json!({"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 0}});
    let prefix = |parameters| {
        let plan = run(&saving(empty.clone()), parameters, &[], Files::All).unwrap();
        only(&plan, "SaveImage")["filename_prefix"].as_str().unwrap().to_owned()
    };
    let (first, second) = (prefix(json!({})), prefix(json!({})));
    assert!(first.starts_with("mcp/") && first.ends_with("/x") && first.len() > 32, "{first}");
    assert_ne!(first, second);
    assert!(prefix(json!({"filename_prefix": "/mine/of today"})).ends_with("/mine/of today"));
}

#[test]
fn a_graph_that_is_too_large_is_refused_with_the_limit() {
    let graph = |nodes: usize| -> Value {
        (0..nodes).map(|id| (id.to_string(), json!({"class_type": "PreviewAny", "inputs": {}}))).collect()
    };
    assert!(read_document(&graph(MAX_NODES)).is_ok());
    let wrapped = json!({"prompt": graph(MAX_NODES + 1)});
    for large in [graph(MAX_NODES + 1), wrapped] {
        let error = read_document(&large).unwrap_err();
        assert!(matches!(&error, ServerError::InvalidArgument { field, .. } if field == "graph"), "{error}");
        assert!(error.to_string().contains(&MAX_NODES.to_string()), "{error}");
    }
}
