//! The answers of a real ComfyUI, recorded, and the sandbox's beside them.

use serde_json::{Value, json};

use super::*;
use crate::config::SandboxConfig;

fn validate_with(prompt: &Value, targets: Option<&[String]>) -> Verdict {
    let data = DataDir::open(None).unwrap();
    std::fs::write(data.folder(crate::data::Kind::Input).join("there.png"), "x").unwrap();
    validate(&Catalog::new(SandboxConfig::default().models), &data, prompt, targets)
}

/// What of the errors a recording holds: all but tracebacks and the configurations of inputs.
fn comparable(node_errors: &Value) -> Value {
    let mut out = node_errors.clone();
    for node in out.as_object_mut().into_iter().flat_map(serde_json::Map::values_mut) {
        let outputs = node["dependent_outputs"].as_array_mut().unwrap();
        outputs.sort_by_key(ToString::to_string);
        for error in node["errors"].as_array_mut().unwrap() {
            let mut names: Vec<_> = error["extra_info"].as_object().unwrap().keys().cloned().collect();
            names.sort();
            error["extra_info"] = json!(names);
        }
    }
    out
}

#[test]
fn answers_as_the_recordings_do() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("../../fixtures/validation.json")).unwrap();
    assert!(cases.len() > 20);
    for case in &cases {
        let name = &case["name"];
        match validate_with(&case["prompt"], None) {
            Verdict::Accepted { node_errors, .. } => {
                assert_eq!(case["status"], 200, "{name}: {node_errors}");
                assert_eq!(comparable(&node_errors), case["node_errors"], "{name}");
            }
            Verdict::Refused { error, node_errors } => {
                assert_eq!(case["status"], 400, "{name}: {error}");
                assert_eq!(error["type"], case["error"]["type"], "{name}");
                assert_eq!(error["message"], case["error"]["message"], "{name}");
                assert_eq!(error["details"], case["error"]["details"], "{name}");
                assert_eq!(comparable(&node_errors), case["node_errors"], "{name}");
            }
            Verdict::Broken => assert_eq!(case["status"], 500, "{name}"),
        }
    }
}

fn save(images: &Value) -> Value {
    json!({"class_type": "SaveImage", "inputs": {"images": images, "filename_prefix": "x"}})
}

#[test]
fn values_are_converted_to_the_types_of_the_inputs() {
    let prompt = json!({
        "1": {"class_type": "EmptyImage", "inputs": {"width": "64", "height": 48.9, "batch_size": true, "color": 0}},
        "2": save(&json!(["1", 0])),
    });
    let Verdict::Accepted { graph, outputs, .. } = validate_with(&prompt, None) else { panic!("refused") };
    assert_eq!(graph["1"]["inputs"], json!({"width": 64, "height": 48, "batch_size": 1, "color": 0}));
    assert_eq!(outputs, ["2"]);
}

#[test]
fn only_the_targets_are_asked_for() {
    let image = json!({"class_type": "LoadImage", "inputs": {"image": "there.png"}});
    let prompt = json!({"1": image, "2": save(&json!(["1", 0])), "3": save(&json!(["9", 0]))});
    let Verdict::Accepted { outputs, node_errors, .. } = validate_with(&prompt, Some(&["2".to_owned()]))
    else {
        panic!("refused")
    };
    assert_eq!((outputs, node_errors), (vec!["2".to_owned()], json!({})));
}

#[test]
fn a_name_that_leads_out_of_the_input_folder_is_no_file() {
    for name in ["../input/there.png", "/etc/hostname", "nowhere.png"] {
        let image = json!({"class_type": "LoadImage", "inputs": {"image": name}});
        let Verdict::Refused { node_errors, .. } =
            validate_with(&json!({"1": image, "2": save(&json!(["1", 0]))}), None)
        else {
            panic!("{name} was accepted")
        };
        assert_eq!(node_errors["1"]["errors"][0]["type"], "custom_validation_failed", "{name}");
    }
}

#[test]
fn a_chain_without_end_is_refused_and_exhausts_nothing() {
    let mut prompt = serde_json::Map::new();
    for id in 0..4000_u32 {
        let source = json!([(id + 1).to_string(), 0]);
        prompt.insert(id.to_string(), json!({"class_type": "ImageInvert", "inputs": {"image": source}}));
    }
    prompt.insert("out".to_owned(), save(&json!(["0", 0])));
    assert!(matches!(validate_with(&Value::Object(prompt), None), Verdict::Refused { .. }));
}
