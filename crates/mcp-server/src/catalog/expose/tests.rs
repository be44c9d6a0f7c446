use serde_json::{Value, json};
use workflow_analyzer::{Graph, InputKind, ObjectInfo, analyze};

use super::{Parameter, bindings, expose};
use crate::catalog::descriptor::Descriptor;

fn graph() -> Graph {
    let mut json: Value =
        serde_json::from_str(include_str!("../../../../../workflows/txt2img.json")).unwrap();
    json["90"] = json!({"class_type": "Note", "inputs": {"text": "x"}, "_meta": {"title": "Mood"}});
    json["91"] = json!({"class_type": "Pair", "inputs": {"a": 1, "b": 2.5}, "_meta": {"title": "Pair"}});
    json["92"] = json!({"class_type": "Note", "inputs": {"text": "x"}, "_meta": {"title": "Twin"}});
    json["93"] = json!({"class_type": "Note", "inputs": {"text": "x"}, "_meta": {"title": "Twin"}});
    Graph::from_json(&json).unwrap()
}

fn exposed(sidecar: &str) -> Result<Vec<Parameter>, String> {
    let descriptor = Descriptor::parse(sidecar).unwrap();
    let told = |fault: crate::catalog::descriptor::Fault| format!("{}: {}", fault.line, fault.problem);
    expose(&mut graph(), &descriptor, Some(&ObjectInfo::well_known())).map_err(told)
}

#[test]
fn a_target_is_a_parameter_an_input_or_a_title() {
    let graph = graph();
    let info = ObjectInfo::well_known();
    let analysis = analyze(&graph, &info);
    let place = |name: &str| {
        let found = bindings(&graph, &info, &analysis, name).unwrap()?;
        Some(format!("{}.{}", found[0].node, found[0].input))
    };
    assert!(place("prompt").is_some());
    for (name, expected) in [
        ("90.text", Some("90.text")),
        ("Mood", Some("90.text")),
        ("Mood.text", Some("90.text")),
        ("Pair.b", Some("91.b")),
        ("Pair", None),
        ("90.nothing", None),
    ] {
        assert_eq!(place(name).as_deref(), expected, "{name}");
    }
    let ambiguous = bindings(&graph, &info, &analysis, "Twin").unwrap_err().to_string();
    assert!(ambiguous.contains("92, 93"), "{ambiguous}");
}

#[test]
fn bounds_and_choices_are_within_those_of_the_node() {
    let all = exposed(
        "[parameters.steps]\nmin = 4\nmax = 12\ndefault = 8\n[parameters.mood]\ntarget = \"Mood\"\n\
         choices = [\"calm\", \"merry\"]\n[parameters.seed]\ndefault = \"18446744073709551615\"",
    )
    .unwrap();
    assert_eq!(all[0].kind, InputKind::Int { min: Some(4), max: Some(12), step: None }, "{:?}", all[0]);
    assert_eq!(all[0].value, Some(json!(8)));
    assert!(matches!(&all[1].kind, InputKind::Combo { options, .. } if options.len() == 2));
    assert_eq!(all[2].value, Some(json!(u64::MAX)));

    for (sidecar, expected) in [
        ("[parameters.steps]\nmin = 0", "1: `min` 0 is outside"),
        ("\n[parameters.steps]\nmax = 1e9", "2: `max` 1000000000 is outside"),
        ("[parameters.steps]\ndefault = 0", "outside of the bounds"),
        ("[parameters.steps]\nmin = 20000", "nothing is within"),
        ("[parameters.steps]\nmin = 1.5", "integers"),
        ("[parameters.prompt]\nmin = 1", "no number"),
        ("[parameters.cfg]\ndefault = \"x\"", "no number"),
        ("[parameters.promt]", "nearest: prompt"),
        ("[parameters.x]\ntarget = \"Twin\"", "92, 93"),
    ] {
        let problem = exposed(sidecar).unwrap_err();
        assert!(problem.contains(expected), "{sidecar:?}: {problem}");
    }
}

#[test]
fn a_default_stands_in_the_graph() {
    let mut graph = graph();
    let descriptor = Descriptor::parse("[parameters.mood]\ntarget = \"Mood\"\ndefault = \"calm\"").unwrap();
    expose(&mut graph, &descriptor, None).unwrap();
    assert_eq!(graph.input("90", "text").unwrap().as_value(), Some(&json!("calm")));
}
