use std::fs;

use serde_json::{Value, json};
use workflow_analyzer::{Binding, ObjectInfo};

use super::save::{SaveError, Saving, plain_name};
use super::{Live, Origin, Unusable};

fn graph() -> Value {
    serde_json::from_str(include_str!("../../../../workflows/lora.json")).unwrap()
}

fn problem(live: &Live, name: &str) -> String {
    let catalog = live.current();
    let broken = catalog.broken().iter().find(|broken| broken.name == name);
    broken.map(|broken| broken.problem.clone()).unwrap_or_default()
}

#[test]
fn the_last_good_version_stays_until_the_new_one_can_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let live = Live::load(folder.path());
    let at = |name: &str| folder.path().join(name);
    let before = live.current().generation();
    fs::write(at("mine.json"), graph().to_string()).unwrap();
    live.refresh();
    let catalog = live.current();
    assert!(catalog.generation() > before && catalog.get("mine").unwrap().origin == Origin::File);

    let half = graph().to_string();
    fs::write(at("mine.json"), &half[..100]).unwrap();
    live.refresh();
    assert!(live.current().get("mine").unwrap().workflow(None).is_ok(), "the version before");
    assert!(problem(&live, "mine").contains("the version before it is used"), "{}", problem(&live, "mine"));

    fs::write(at("mine.toml"), "titel = 1").unwrap();
    fs::write(at("mine.json"), graph().to_string()).unwrap();
    live.refresh();
    assert!(problem(&live, "mine").starts_with("mine.toml, line 1: "), "{}", problem(&live, "mine"));

    fs::write(at("mine.toml"), "title = \"Mine\"\n[parameters.mood]\ntarget = \"2.text\"").unwrap();
    live.refresh();
    assert_eq!(problem(&live, "mine"), "");
    let mine = live.current().get("mine").unwrap().workflow(Some(&ObjectInfo::well_known())).unwrap();
    assert_eq!((mine.parameters[0].name.as_str(), mine.draws_seed(&[])), ("mood", true));
    let same = live.current().generation();
    live.refresh();
    assert_eq!(live.current().generation(), same, "nothing has changed");

    fs::remove_file(at("mine.json")).unwrap();
    live.refresh();
    assert!(live.current().get("mine").is_none() && problem(&live, "mine").contains("no mine.json"));
}

#[test]
fn a_sidecar_alone_is_for_a_shipped_workflow() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("txt2img.toml"), "tool = true").unwrap();
    fs::write(folder.path().join("nobody.toml"), "tool = true").unwrap();
    let live = Live::load(folder.path());
    let catalog = live.current();
    let shipped = catalog.get("txt2img").unwrap();
    assert!(shipped.origin == Origin::Shipped && shipped.descriptor.tool && shipped.description.is_some());
    assert!(problem(&live, "nobody").contains("no nobody.json"));
}

#[test]
fn what_can_lead_out_of_the_folder_is_no_name() {
    for name in ["portrait", "portrait.json", "My portrait (2)", "v1.5", "Füchse"] {
        assert_eq!(plain_name(name), Ok(name.trim_end_matches(".json")));
    }
    let long = "x".repeat(65);
    for name in [
        "",
        ".json",
        "..",
        "../x",
        "a/b",
        "a\\b",
        "/etc/x",
        ".hidden",
        "a\0b",
        "C:x",
        "x.",
        " x",
        "x\n",
        "a.json.json",
        "a.JSON",
        "a.Json.json",
        &long,
    ] {
        assert!(plain_name(name).is_err(), "{name:?}");
    }
}

#[test]
fn saving_replaces_nothing_unasked_and_never_what_is_anothers() {
    let folder = tempfile::tempdir().unwrap();
    let live = Live::load(folder.path());
    let document = graph();
    let save = |name: &str, client: Option<&str>, overwrite: bool| {
        live.save(&Saving { name, document: &document, client, overwrite })
    };
    save("mine", None, false).unwrap();
    assert_eq!(live.current().get("mine").unwrap().origin, Origin::File);
    assert!(matches!(save("mine", None, false), Err(SaveError::Exists(_))));
    assert!(matches!(save("txt2img", None, false), Err(SaveError::Exists(_))));
    save("mine", None, true).unwrap();
    save("txt2img", None, true).unwrap();

    assert!(matches!(save("mine", Some("a"), true), Err(SaveError::NotYours(_))), "the operator's");
    assert!(matches!(save("upscale", Some("a"), true), Err(SaveError::NotYours(_))), "shipped");
    save("hers", Some("a"), false).unwrap();
    assert_eq!(live.current().get("hers").unwrap().origin, Origin::Saved);
    assert!(matches!(save("hers", Some("b"), true), Err(SaveError::NotYours(_))));
    save("hers", Some("a"), true).unwrap();
    assert_eq!(live.current().get("hers").unwrap().descriptor.saved_by.as_deref(), Some("a"));
}

#[test]
fn a_nested_document_is_saved_in_little_more_than_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let live = Live::load(folder.path());
    let mut nested = json!(vec![1; 40_000]);
    for _ in 0..100 {
        nested = json!([nested]);
    }
    let mut document = graph();
    document["1"]["inputs"]["nested"] = nested;
    live.save(&Saving { name: "deep", document: &document, client: None, overwrite: false }).unwrap();
    let text = fs::read_to_string(folder.path().join("deep.json")).unwrap();
    assert!(text.len() < 200_000, "{} bytes", text.len());
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), document);
    live.save(&Saving { name: "flat", document: &graph(), client: None, overwrite: false }).unwrap();
    assert!(fs::read_to_string(folder.path().join("flat.json")).unwrap().lines().count() > 10);
}

#[cfg(unix)]
#[test]
fn a_link_in_the_folder_is_replaced_and_not_followed() {
    let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let target = elsewhere.path().join("precious.json");
    fs::write(&target, "{}").unwrap();
    std::os::unix::fs::symlink(&target, folder.path().join("mine.json")).unwrap();
    let live = Live::load(folder.path());
    let document = json!({"1": {"class_type": "A", "inputs": {}}});
    live.save(&Saving { name: "mine", document: &document, client: None, overwrite: true }).unwrap();
    assert_eq!(fs::read_to_string(&target).unwrap(), "{}");
    assert!(live.current().get("mine").is_some());
}

#[test]
fn a_seed_that_the_editor_draws_is_drawn_here() {
    let node = |control: &str| {
        json!({"nodes": [{"id": 5, "type": "KSampler", "inputs": [], "outputs": [], "properties": {},
            "widgets_values": [7, control, 20, 8, "euler", "normal", 1]}], "links": [], "version": 0.4})
    };
    let folder = tempfile::tempdir().unwrap();
    for control in ["randomize", "fixed"] {
        fs::write(folder.path().join(format!("{control}.json")), node(control).to_string()).unwrap();
    }
    let live = Live::load(folder.path());
    let draws = |name: &str| {
        let catalog = live.current();
        assert_eq!(catalog.get(name).unwrap().workflow(None).unwrap_err(), Unusable::Waiting);
        let workflow = catalog.get(name).unwrap().workflow(Some(&ObjectInfo::well_known())).unwrap();
        workflow.draws_seed(&[Binding { node: "5".into(), input: "seed".into() }])
    };
    assert_eq!((draws("randomize"), draws("fixed")), (true, false));
}
