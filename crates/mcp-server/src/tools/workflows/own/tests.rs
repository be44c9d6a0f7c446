use std::fs;

use workflow_analyzer::ObjectInfo;

use super::{MAX_TOOLS, unfit, wanted};
use crate::catalog::Catalog;

const GRAPH: &str = include_str!("../../../../../../workflows/txt2img.json");

/// The catalog of a folder with these workflows, each with its sidecar.
fn catalog(files: &[(&str, &str)]) -> Catalog {
    let folder = tempfile::tempdir().unwrap();
    for (name, sidecar) in files {
        // Not quite a shipped one.
        fs::write(folder.path().join(format!("{name}.json")), GRAPH.replace("lighthouse", "house")).unwrap();
        fs::write(folder.path().join(format!("{name}.toml")), sidecar).unwrap();
    }
    Catalog::load(folder.path())
}

#[test]
fn a_workflow_is_a_tool_under_a_name_that_is_free() {
    let long = format!("tool = true\ndescription = \"{}\"", "long ".repeat(110));
    let files =
        [("generate_image", "tool = true"), ("My portrait (2)", &long), ("quiet", "title = \"Not a tool\"")];
    let (tools, refused) = wanted(&catalog(&files), Some(&ObjectInfo::well_known()));
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert!(refused[0].name == "generate_image" && refused[0].problem.contains("rename"), "{refused:?}");
    let (workflow, tool) = &tools[0];
    assert_eq!(
        (tools.len(), workflow.as_str(), tool.name.as_str()),
        (1, "My portrait (2)", "My_portrait__2_")
    );
    assert!(tool.description.as_ref().unwrap().chars().count() <= 401);
    let properties = tool.input_schema["properties"].as_object().unwrap();
    assert_eq!(properties["seed"].get("default"), None, "it is drawn for each call");
    assert_eq!(properties["steps"]["maximum"], 10_000);
    assert!(!properties.contains_key("filename_prefix") && properties.contains_key("wait_seconds"));
}

#[test]
fn tools_are_few_and_the_others_are_told() {
    let names: Vec<_> = (0..MAX_TOOLS + 2).map(|number| format!("w{number:02}")).collect();
    let files: Vec<_> = names.iter().map(|name| (name.as_str(), "tool = true")).collect();
    let (tools, refused) = wanted(&catalog(&files), None);
    assert_eq!((tools.len(), refused.len()), (MAX_TOOLS, 2));
    let properties = tools[0].1.input_schema["properties"].as_object().unwrap();
    assert_eq!(properties["steps"]["type"], "integer", "also while ComfyUI isn't known");
    assert!(refused[0].problem.contains("run_workflow"), "{refused:?}");
}

#[test]
fn a_sidecar_that_does_not_fit_the_graph_is_told() {
    let files = [
        ("target", "[parameters.promt]"),
        ("bounds", "[parameters.steps]\nmin = 0"),
        ("crossed", "[parameters.steps]\nmin = 9\nmax = 4"),
        ("default", "[parameters.steps]\nmin = 4\nmax = 9\ndefault = 20"),
        ("fits", "[parameters.steps]\nmin = 4"),
    ];
    let (catalog, info) = (catalog(&files), ObjectInfo::well_known());
    let mut told: Vec<_> = catalog.broken().iter().map(|broken| broken.name.clone()).collect();
    for broken in unfit(&catalog, &info) {
        assert!(broken.problem.starts_with(&format!("{}.toml, line ", broken.name)), "{broken:?}");
        told.push(broken.name);
    }
    told.sort();
    assert_eq!(told, ["bounds", "crossed", "default", "target"]);
}
