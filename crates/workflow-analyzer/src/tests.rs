//! What all tests of this crate start from, and properties of any graph whatever.

use std::fmt::Write as _;

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::edit::{self, ControlNet, Lora, Mask};
use crate::{Graph, Input, InputKind, ObjectInfo, Severity, analyze, convert, input, inputs, validate};

/// The well-known classes on a server that has one model of each kind, and those that the shipped workflows name.
pub(crate) fn info() -> ObjectInfo {
    let mut info = ObjectInfo::well_known();
    for (class, input, names) in [
        (
            "CheckpointLoaderSimple",
            "ckpt_name",
            vec!["tiny-sd15.safetensors", "v1-5-pruned-emaonly-fp16.safetensors"],
        ),
        ("UNETLoader", "unet_name", vec!["flux1-dev.safetensors"]),
        ("DualCLIPLoader", "clip_name1", vec!["clip_l.safetensors", "t5xxl_fp8_e4m3fn_scaled.safetensors"]),
        ("DualCLIPLoader", "clip_name2", vec!["clip_l.safetensors", "t5xxl_fp8_e4m3fn_scaled.safetensors"]),
        ("VAELoader", "vae_name", vec!["ae.safetensors"]),
        ("LoraLoader", "lora_name", vec!["more_details.safetensors", "tiny-lora.safetensors"]),
        ("LoraLoaderModelOnly", "lora_name", vec!["more_details.safetensors", "tiny-lora.safetensors"]),
        (
            "ControlNetLoader",
            "control_net_name",
            vec!["control_v11p_sd15_canny_fp16.safetensors", "tiny-controlnet.safetensors"],
        ),
        ("UpscaleModelLoader", "model_name", vec!["RealESRGAN_x4plus.safetensors"]),
    ] {
        let spec = info.classes.get_mut(class).and_then(|class| class.inputs.get_mut(input)).unwrap();
        let InputKind::Combo { options, .. } = &mut spec.kind else { panic!("{class}.{input} is no combo") };
        *options = names.into_iter().map(Value::from).collect();
    }
    info
}

/// Every graph of `tests-data/` and of the shipped workflows, by name.
pub(crate) const GRAPHS: [(&str, &str); 15] = [
    ("base_and_refiner", include_str!("../tests-data/base_and_refiner.json")),
    ("basic_guider", include_str!("../tests-data/basic_guider.json")),
    ("custom_advanced", include_str!("../tests-data/custom_advanced.json")),
    ("hires_fix", include_str!("../tests-data/hires_fix.json")),
    ("inpaint_alpha", include_str!("../tests-data/inpaint_alpha.json")),
    ("primitives", include_str!("../tests-data/primitives.json")),
    ("regional", include_str!("../tests-data/regional.json")),
    ("two_controlnets", include_str!("../tests-data/two_controlnets.json")),
    ("controlnet", include_str!("../../../workflows/controlnet.json")),
    ("img2img", include_str!("../../../workflows/img2img.json")),
    ("inpaint", include_str!("../../../workflows/inpaint.json")),
    ("lora", include_str!("../../../workflows/lora.json")),
    ("txt2img", include_str!("../../../workflows/txt2img.json")),
    ("txt2img_diffusion_model", include_str!("../../../workflows/txt2img_diffusion_model.json")),
    ("upscale", include_str!("../../../workflows/upscale.json")),
];

pub(crate) fn graph(name: &str) -> Graph {
    let (_, text) = GRAPHS.iter().find(|(known, _)| *known == name).unwrap();
    Graph::from_json(&serde_json::from_str(text).unwrap()).unwrap()
}

pub(crate) fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        other => panic!("{other} is no object"),
    }
}

/// What is wrong with a graph, one line each.
pub(crate) fn problems(graph: &Graph, info: &ObjectInfo) -> String {
    validate(graph, info).into_iter().filter(|d| d.severity == Severity::Error).fold(
        String::new(),
        |mut text, d| {
            let _ = writeln!(text, "{} {:?} {:?}: {}", d.code.as_str(), d.node, d.input, d.message);
            text
        },
    )
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop_oneof![".{0,8}", "[0-9]{1,2}", Just("class_type".to_owned())].prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        let key = prop_oneof![
            ".{0,4}",
            "[0-9]",
            Just("class_type".to_owned()),
            Just("inputs".to_owned()),
            Just("_meta".to_owned()),
            Just("input".to_owned()),
            Just("required".to_owned()),
            Just("output".to_owned()),
            Just("nodes".to_owned()),
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((key, inner), 0..6)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// Graphs of well-known classes, wired at random: circles, wrong types, missing nodes and all.
fn any_graph() -> impl Strategy<Value = Value> {
    let classes: Vec<(String, Vec<String>)> = {
        let mut classes: Vec<_> = ObjectInfo::well_known().classes.into_iter().collect();
        classes.sort_by(|(a, _), (b, _)| a.cmp(b));
        classes.into_iter().map(|(name, class)| (name, class.inputs.into_keys().collect())).collect()
    };
    let input = prop_oneof![
        4 => (0..20_u8, 0..3_usize).prop_map(|(node, slot)| json!([node.to_string(), slot])),
        1 => any::<i64>().prop_map(Value::from),
        1 => any::<f64>().prop_map(Value::from),
        1 => ".{0,12}".prop_map(Value::from),
        1 => any_json(),
    ];
    let node = (prop::sample::select(classes), prop::collection::vec(input, 12)).prop_map(
        |((name, inputs), values)| {
            let class_type = if values[0].is_boolean() { "NoSuchClass".to_owned() } else { name };
            let inputs: Map<String, Value> = inputs.into_iter().zip(values).collect();
            json!({ "class_type": class_type, "inputs": inputs })
        },
    );
    prop::collection::vec(node, 1..16).prop_map(|nodes| {
        Value::Object(nodes.into_iter().enumerate().map(|(id, node)| (id.to_string(), node)).collect())
    })
}

/// Everything that can be done to a graph; nothing of it may panic.
fn exercise(graph: &Graph, info: &ObjectInfo) {
    let analysis = analyze(graph, info);
    validate(graph, info);
    let values =
        analysis.parameters.iter().filter_map(|p| Some((p.name.clone(), p.value.clone()?))).collect();
    let _ = edit::set_parameters(&mut graph.clone(), &analysis, &values);
    for parameter in inputs(graph, info) {
        assert!(input(graph, info, &parameter.name).is_ok(), "{parameter:?}");
    }
    for edit in &EDITS {
        let mut edited = graph.clone();
        if (edit.1)(&mut edited, info).is_err() {
            assert_eq!(&edited, graph, "{} failed and left something behind", edit.0);
        }
    }
}

type Edit = fn(&mut Graph, &ObjectInfo) -> Result<(), edit::EditError>;

const EDITS: [(&str, Edit); 10] = [
    ("two LoRAs", |graph, info| {
        let lora = |strength| Lora {
            name: "tiny-lora.safetensors".to_owned(),
            strength_model: strength,
            strength_clip: strength / 2.0,
        };
        edit::apply_loras(graph, info, &[lora(1.0), lora(-0.5)])
    }),
    ("a ControlNet", |graph, info| {
        let control = ControlNet {
            model: "tiny-controlnet.safetensors".to_owned(),
            image: "control.png".to_owned(),
            strength: 0.8,
            start: 0.0,
            end: 0.9,
        };
        edit::attach_controlnet(graph, info, &control)
    }),
    ("an image", |graph, info| edit::to_img2img(graph, info, "source.png", 0.5)),
    ("a mask", |graph, info| edit::to_inpaint(graph, info, "source.png", Mask::Image("mask.png"), 0.5)),
    ("the image's alpha", |graph, info| edit::to_inpaint(graph, info, "source.png", Mask::Alpha, 1.0)),
    ("a size", |graph, info| edit::scale_source(graph, info, Some(96), Some(64))),
    ("an upscaler", |graph, info| edit::add_upscaler(graph, info, "RealESRGAN_x4plus.safetensors")),
    ("a batch", |graph, info| edit::set_batch(graph, info, 3)),
    ("a seed", |graph, info| edit::set_seed(graph, info, None, u64::MAX).map(|_| ())),
    ("a factor", |graph, info| edit::add_image_scale(graph, info, 1.5)),
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_json_is_read_without_a_panic(document in any_json(), classes in any_json()) {
        let info = ObjectInfo::from_json(classes).unwrap_or_default();
        if let Ok(conversion) = convert(&document, &info) {
            exercise(&conversion.graph, &info);
        }
        if let Ok(graph) = Graph::from_json(&document) {
            exercise(&graph, &info);
            exercise(&graph, &ObjectInfo::well_known());
        }
    }

    #[test]
    fn any_wiring_is_handled_without_a_panic(document in any_graph()) {
        let graph = Graph::from_json(&document).unwrap();
        prop_assert_eq!(&Graph::from_json(&graph.to_json()).unwrap(), &graph);
        exercise(&graph, &info());
        exercise(&graph, &ObjectInfo::default());
    }

    #[test]
    fn edits_in_any_order_keep_a_converted_graph_valid(
        name in prop::sample::select(GRAPHS.iter().map(|(name, _)| *name).collect::<Vec<_>>()),
        edits in prop::collection::vec(0..EDITS.len(), 1..6),
    ) {
        let info = info();
        let conversion = convert(&editor_file(&graph(name), &info), &info).unwrap();
        prop_assert!(conversion.problems.is_empty(), "{:?}", conversion.problems);
        let mut graph = conversion.graph;
        prop_assert_eq!(problems(&graph, &info), "");
        for edit in edits {
            if (EDITS[edit].1)(&mut graph, &info).is_ok() {
                let problems = problems(&graph, &info);
                prop_assert!(problems.is_empty(), "{} in {}: {}", EDITS[edit].0, name, problems);
            }
        }
        let analysis = analyze(&graph, &info);
        let values = analysis.parameters.iter().filter_map(|p| Some((p.name.clone(), p.value.clone()?))).collect();
        let before = graph.clone();
        edit::set_parameters(&mut graph, &analysis, &values).unwrap();
        prop_assert_eq!(graph, before, "setting what is set already changes nothing");
    }
}

/// The graph as the editor would save it.
fn editor_file(graph: &Graph, info: &ObjectInfo) -> Value {
    let mut links = Vec::new();
    let mut nodes = Vec::new();
    for (id, node) in &graph.nodes {
        let class = &info.classes[&node.class_type];
        let (mut sockets, mut values) = (Vec::new(), Vec::new());
        for (name, spec) in &class.inputs {
            let held = node.inputs.get(name);
            if let Some(Input::Link { node: from, slot }) = held {
                links.push(json!([
                    links.len() + 1,
                    id_number(from),
                    slot,
                    id_number(id),
                    sockets.len(),
                    "*"
                ]));
                let widget = spec.editor.widget.map(|_| json!({ "name": name }));
                sockets.push(json!({ "name": name, "type": "*", "link": links.len(), "widget": widget }));
            }
            if spec.editor.widget.is_some() {
                let first = match &spec.kind {
                    InputKind::Combo { options, .. } => options.first(),
                    _ => None,
                };
                let value = held.and_then(Input::as_value).or(spec.default.as_ref()).or(first);
                values.push(value.cloned().unwrap_or_default());
            }
            if ["seed", "noise_seed"].contains(&name.as_str()) {
                values.push("fixed".into());
            }
        }
        // The button for uploads is the last of the widgets.
        if class.inputs.values().any(|spec| spec.editor.upload_button) {
            values.push("image".into());
        }
        let outputs: Vec<Value> =
            class.outputs.iter().map(|output| json!({ "name": output.name, "type": output.kind })).collect();
        nodes.push(json!({ "id": id_number(id), "type": node.class_type, "mode": 0, "title": node.title,
            "inputs": sockets, "outputs": outputs, "widgets_values": values }));
    }
    json!({ "nodes": nodes, "links": links, "version": 0.4 })
}

fn id_number(id: &str) -> u64 {
    id.parse().unwrap()
}

#[test]
fn what_the_editor_saves_of_a_graph_becomes_that_graph_again() {
    let info = info();
    for (name, _) in GRAPHS {
        let graph = graph(name);
        let converted = convert(&editor_file(&graph, &info), &info).unwrap().graph;
        for (id, node) in &graph.nodes {
            let again = &converted.nodes[id];
            for (input, value) in &node.inputs {
                assert_eq!(again.inputs.get(input), Some(value), "{name}: {id}.{input}");
            }
        }
    }
}

/// A chain of conditioning nodes between a text and a sampler.
fn chain(length: usize) -> Value {
    let mut nodes = object(graph("txt2img").to_json());
    let mut last = "2".to_owned();
    for n in 0..length {
        let id = (n + 100).to_string();
        let inputs = json!({ "conditioning": [last, 0], "strength": 1.0 });
        nodes.insert(id.clone(), json!({ "class_type": "FluxGuidance", "inputs": inputs }));
        last = id;
    }
    nodes["5"]["inputs"]["positive"] = json!([last, 0]);
    Value::Object(nodes)
}

#[test]
fn a_very_long_way_is_followed_to_its_end() {
    let document = chain(8_000);
    let graph = Graph::from_json(&document).unwrap();
    let info = info();
    let analysis = analyze(&graph, &info);
    assert_eq!(analysis.parameter("prompt").unwrap().bindings[0].node, "2");
    assert!(!validate(&graph, &info).is_empty(), "the chain lacks its guidance");
}

#[test]
fn many_samplers_in_a_row_take_linear_time() {
    let mut nodes = object(graph("txt2img").to_json());
    let sampler = nodes["5"].clone();
    let mut last = "4".to_owned();
    for n in 0..2_000 {
        let id = (n + 100).to_string();
        let mut node = sampler.clone();
        node["inputs"]["latent_image"] = json!([last, 0]);
        nodes.insert(id.clone(), node);
        last = id;
    }
    nodes["5"]["inputs"]["latent_image"] = json!([last, 0]);
    let graph = Graph::from_json(&Value::Object(nodes)).unwrap();
    let info = info();
    let analysis = analyze(&graph, &info);
    assert_eq!(analysis.parameter("seed").unwrap().bindings.len(), 2_001);
    assert_eq!(problems(&graph, &info), "");
}

#[test]
fn a_circle_of_many_nodes_is_one_short_diagnostic() {
    let mut document = chain(5_000);
    document["100"]["inputs"]["conditioning"] = json!(["5099", 0]);
    let graph = Graph::from_json(&document).unwrap();
    let diagnostics = validate(&graph, &info());
    assert_eq!(diagnostics[0].code.as_str(), "cycle");
    assert!(diagnostics[0].message.len() < 200, "{}", diagnostics[0].message);
    analyze(&graph, &info());
}

#[test]
fn a_chain_of_ten_thousand_nodes_is_edited_and_what_it_fed_is_gone() {
    let info = info();
    let mut nodes = object(chain(10_000));
    // The text is behind all of them, and so is what an edit would take away.
    nodes["5"]["inputs"]["latent_image"] = json!(["99", 0]);
    nodes.insert(
        "99".to_owned(),
        json!({ "class_type": "EmptyLatentImage", "inputs": { "width": ["100", 0] } }),
    );
    let mut graph = Graph::from_json(&Value::Object(nodes)).unwrap();
    assert_eq!(analyze(&graph, &info).parameter("prompt").unwrap().bindings[0].node, "2");
    assert_eq!(validate(&graph, &info).len(), 101);
    edit::to_img2img(&mut graph, &info, "source.png", 0.5).unwrap();
    assert!(graph.nodes.contains_key("100") && !graph.nodes.contains_key("99"));
}

#[test]
fn a_graph_made_to_be_walked_again_and_again_is_walked_once() {
    // Every sampler starts from its own picture, and all pictures are scaled one after the other.
    let mut nodes = object(graph("img2img").to_json());
    let (sampler, encode) = (nodes["5"].clone(), json!({ "class_type": "VAEEncode" }));
    let mut last = "8".to_owned();
    for n in 0..500 {
        let [scaled, encoded, result] = [0, 1, 2].map(|of| (1_000 + 3 * n + of).to_string());
        let inputs = json!({ "image": [last, 0], "upscale_method": "area", "scale_by": 1.0 });
        nodes.insert(scaled.clone(), json!({ "class_type": "ImageScaleBy", "inputs": inputs }));
        let mut node = encode.clone();
        node["inputs"] = json!({ "pixels": [scaled, 0], "vae": ["1", 2] });
        nodes.insert(encoded.clone(), node);
        let mut node = sampler.clone();
        node["inputs"]["latent_image"] = json!([encoded, 0]);
        nodes.insert(result.clone(), node);
        let inputs = json!({ "samples": [result, 0], "vae": ["1", 2] });
        nodes.insert(format!("d{n}"), json!({ "class_type": "VAEDecode", "inputs": inputs }));
        let inputs = json!({ "images": [format!("d{n}"), 0], "filename_prefix": "x" });
        nodes.insert(format!("s{n}"), json!({ "class_type": "SaveImage", "inputs": inputs }));
        last = scaled;
    }
    let (mut graph, info) = (Graph::from_json(&Value::Object(nodes)).unwrap(), info());
    assert_eq!(problems(&graph, &info), "");
    let error = edit::to_img2img(&mut graph, &info, "source.png", 0.5).unwrap_err();
    assert!(error.to_string().ends_with("in more than 64 places"), "{error}");
}
