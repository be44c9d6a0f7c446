//! What is said when a file can't be converted as it is.

use serde_json::json;

use super::{alone, converted, file, info};
use crate::{ConvertError, ConvertProblemKind, convert};

#[test]
fn a_class_that_is_missing_is_named_with_its_pack() {
    let nodes = json!([
        { "id": 1, "type": "Load" },
        { "id": 2, "type": "Strange", "title": "Mine", "properties": { "cnr_id": "strange-pack" }, "widgets_values": [1, "fixed", "x"],
            "inputs": [{ "name": "model", "type": "MODEL", "link": 1 },
                { "name": "seed", "type": "INT", "widget": { "name": "seed" }, "link": null },
                { "name": "how", "type": "COMBO", "widget": { "name": "how" }, "link": null }] },
        { "id": 3, "type": "Stranger", "properties": { "aux_id": "someone/else" }, "widgets_values": { "a": 1 } },
        { "id": 4, "type": "Strangest", "mode": 2 },
    ]);
    let conversion = converted(&file(&nodes, &json!([[1, 1, 0, 2, 0, "MODEL"]])));
    let graph = conversion.graph.to_json();
    assert_eq!(graph["2"]["class_type"], "Strange");
    assert_eq!(graph["2"]["inputs"], json!({ "seed": 1, "how": "x", "model": ["1", 0] }));
    assert_eq!(graph["3"]["inputs"], json!({ "a": 1 }));
    let [first, second] = conversion.problems.as_slice() else { panic!("{:?}", conversion.problems) };
    assert_eq!((first.node.as_str(), first.title.as_str()), ("2", "Mine"));
    let kind = ConvertProblemKind::MissingClass {
        class: "Strange".to_owned(),
        pack: Some("strange-pack".to_owned()),
    };
    assert_eq!(first.kind, kind);
    assert!(first.hint.contains("strange-pack") && second.hint.contains("someone/else"));
}

#[test]
fn a_subgraph_that_is_missing_is_told() {
    let conversion = converted(&alone("718c27c7-5353-5f26-8e1f-978f5dd1069d", json!([])));
    assert!(conversion.problems[0].message.contains("subgraph"), "{:?}", conversion.problems);
}

#[test]
fn links_that_lead_nowhere_are_told() {
    let nodes = json!([{ "id": 4, "type": "Tune", "inputs": [
        { "name": "model", "type": "MODEL", "link": 1 }, { "name": "clip", "type": "CLIP", "link": 2 }] }]);
    let problems = converted(&file(&nodes, &json!([[1, 77, 0, 4, 0, "MODEL"]]))).problems;
    let inputs: Vec<_> = problems
        .iter()
        .map(|problem| match &problem.kind {
            ConvertProblemKind::DanglingLink { input } => input.as_str(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(inputs, ["model", "clip"]);
}

#[test]
fn a_circle_of_reroutes_is_told() {
    let reroute = |id: u64, link: u64| json!({ "id": id, "type": "Reroute", "inputs": [{ "name": "", "type": "*", "link": link }] });
    let nodes = json!([reroute(1, 1), reroute(2, 2),
        { "id": 4, "type": "Tune", "inputs": [{ "name": "model", "type": "MODEL", "link": 3 }] }]);
    let links = json!([[1, 2, 0, 1, 0, "*"], [2, 1, 0, 2, 0, "*"], [3, 1, 0, 4, 0, "MODEL"]]);
    let problems = converted(&file(&nodes, &links)).problems;
    assert_eq!(problems[0].kind, ConvertProblemKind::CircularLink { input: "model".to_owned() });
}

#[test]
fn a_table_that_the_editor_can_not_read_is_refused() {
    assert_eq!(convert(&file(&json!([]), &json!([null])), &info()), Err(ConvertError::BrokenLinks));
}

#[test]
fn two_nodes_with_one_id_are_told() {
    let host = super::subgraphs::definition(
        "s",
        &json!([]),
        &json!([]),
        &json!([{ "id": "b", "type": "Load" }]),
        &json!([]),
    );
    let nodes = json!([{ "id": "a:b", "type": "Load" }, { "id": "a", "type": "s" }]);
    let conversion = converted(&super::subgraphs::with_definitions(file(&nodes, &json!([])), &[host]));
    assert_eq!(conversion.graph.nodes.len(), 1);
    assert_eq!(conversion.problems[0].kind, ConvertProblemKind::DuplicateId);
}
