use std::collections::BTreeSet;

use serde_json::{Value, json};
use workflow_analyzer::{Graph, InputKind, ObjectInfo, Severity, analyze, validate};

use super::{MODEL_FILES, SHIPPED, model_file};

fn graph(text: &str) -> Graph {
    Graph::from_json(&serde_json::from_str::<Value>(text).unwrap()).unwrap()
}

/// The classes that the shipped workflows use, of ComfyUI 0.25, with the files that the graphs name installed.
fn info() -> ObjectInfo {
    let document = serde_json::from_str(include_str!("../../../fixtures/object_info.json")).unwrap();
    let mut info = ObjectInfo::from_json(document).unwrap();
    info.classes.extend(ObjectInfo::well_known().classes.into_iter().filter(|(name, _)| {
        ["ControlNetLoader", "UpscaleModelLoader", "ImageUpscaleWithModel"].contains(&name.as_str())
    }));
    for shipped in SHIPPED {
        for (_, node) in &graph(shipped.graph).nodes {
            for (name, input) in &node.inputs {
                let file = input.as_value().and_then(Value::as_str).filter(|name| model_file(name).is_some());
                let spec =
                    info.classes.get_mut(&node.class_type).and_then(|class| class.inputs.get_mut(name));
                if let (Some(file), Some(spec)) = (file, spec)
                    && let InputKind::Combo { options, .. } = &mut spec.kind
                {
                    options.push(json!(file));
                }
            }
        }
    }
    info
}

#[test]
fn every_shipped_workflow_is_valid_for_a_comfyui_that_has_its_files() {
    let info = info();
    for shipped in SHIPPED {
        let found = validate(&graph(shipped.graph), &info);
        let errors: Vec<_> = found.iter().filter(|found| found.severity == Severity::Error).collect();
        let images = |text: &str| text.contains("mask.png") || text.contains("example.png");
        let errors: Vec<_> = errors.iter().filter(|error| !images(&error.message)).collect();
        assert!(errors.is_empty(), "{}: {errors:?}", shipped.name);
    }
}

#[test]
fn every_file_that_a_shipped_workflow_names_has_a_folder_and_a_place_to_get_it() {
    let info = info();
    for shipped in SHIPPED {
        let needs = analyze(&graph(shipped.graph), &info).needs;
        assert!(!needs.models.is_empty(), "{}", shipped.name);
        for needed in needs.models {
            let file = model_file(&needed.name).unwrap_or_else(|| panic!("{}: {needed:?}", shipped.name));
            assert_eq!(file.folder, needed.folder, "{}: {}", shipped.name, file.file);
        }
    }
    let names: BTreeSet<_> = MODEL_FILES.iter().map(|file| file.file).collect();
    assert_eq!(names.len(), MODEL_FILES.len(), "a file is listed twice");
    for file in MODEL_FILES {
        let Some(url) = file.url else { continue };
        assert!(url.starts_with("https://huggingface.co/") && url.ends_with(file.file), "{url}");
    }
}

#[test]
fn every_shipped_workflow_offers_what_people_set() {
    let info = info();
    for shipped in SHIPPED.iter().filter(|shipped| shipped.name != "upscale") {
        let analysis = analyze(&graph(shipped.graph), &info);
        let has = |name: &str| analysis.parameter(name).is_some();
        for name in ["prompt", "seed", "steps", "sampler", "model", "filename_prefix"] {
            assert!(has(name), "{} has no {name}", shipped.name);
        }
        let name = shipped.name;
        let edits = name.ends_with("edit") || ["flux1_kontext", "img2img", "inpaint"].contains(&name);
        let animates = name.ends_with("i2v");
        assert_eq!(has("image"), edits || animates, "{name}");
        assert_eq!(has("width") && has("height"), !edits, "{name}");
        assert_eq!(has("frames") && has("fps"), name.starts_with("wan"), "{name}");
        let plain = ["flux1", "flux2_dev", "flux2_klein_edit", "z_image_turbo"];
        let plain = plain.iter().any(|start| name.starts_with(start)) || name == "flux2_klein";
        assert_eq!(has("negative_prompt"), !plain, "{name}");
        let second = analysis.parameters.iter().find(|parameter| parameter.name == "seed_2");
        assert!(second.is_none(), "{name} has two seeds");
    }
}
