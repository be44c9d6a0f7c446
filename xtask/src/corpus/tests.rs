use serde_json::json;

use super::compare::differences;

#[test]
fn ids_of_nodes_in_subgraphs_may_differ_consistently() {
    let expected = json!({
        "1": { "class_type": "A", "inputs": { "x": 8, "from": ["2:3", 0] }, "_meta": { "title": "one" } },
        "2:3": { "class_type": "B", "inputs": { "y": ["2:4", 1], "list": [1, 2] } },
        "2:4": { "class_type": "B", "inputs": {} },
    });
    let mut got = json!({
        "1": { "class_type": "A", "inputs": { "x": 8.0, "from": ["2:9", 0] } },
        "2:9": { "class_type": "B", "inputs": { "y": ["2:3", 1], "list": [1, 2] } },
        "2:3": { "class_type": "B", "inputs": {} },
    });
    assert_eq!(differences(&expected, &got), Vec::<String>::new());
    got["2:9"]["inputs"]["y"] = json!(["2:3", 0]);
    assert!(!differences(&expected, &got).is_empty(), "another output");
    got["2:9"]["inputs"]["y"] = json!(["2:9", 1]);
    assert!(!differences(&expected, &got).is_empty(), "another node");
}

#[test]
fn ids_outside_of_subgraphs_stay() {
    let expected = json!({ "1": { "class_type": "A", "inputs": {} } });
    let got = json!({ "2": { "class_type": "A", "inputs": {} } });
    assert!(!differences(&expected, &got).is_empty());
}

#[test]
fn nodes_that_look_the_same_are_told_apart_by_what_they_lead_to() {
    let graph = |a: &str, b: &str| {
        json!({
            a: { "class_type": "Load", "inputs": {} },
            b: { "class_type": "Load", "inputs": {} },
            "8": { "class_type": "Save", "inputs": { "image": [a, 0] } },
            "9": { "class_type": "Save", "inputs": { "image": [b, 0] } },
        })
    };
    assert_eq!(differences(&graph("5:1", "5:2"), &graph("5:2", "5:1")), Vec::<String>::new());
    let mut both = graph("5:1", "5:2");
    both["9"]["inputs"]["image"] = json!(["5:1", 0]);
    assert!(!differences(&graph("5:1", "5:2"), &both).is_empty());
}
