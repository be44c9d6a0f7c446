use serde_json::{Value, json};

use super::{Graph, GraphError, Input, MAX_NODES};

#[test]
fn documents_that_are_no_graph_are_refused_with_the_reason() {
    let nested = (0..100).fold(json!(1), |inner, _| json!({ "x": inner }));
    let node = |inputs: Value| json!({ "7": { "class_type": "SaveImage", "inputs": inputs } });
    let many: Value = Value::Object((0..600).map(|n| (n.to_string(), json!(1))).collect());
    let cases = [
        (json!([]), "a workflow is a JSON object of nodes by id, this is a list"),
        (json!("hello"), "a workflow is a JSON object of nodes by id, this is a string"),
        (json!({}), "the workflow has no nodes"),
        (
            json!({ "last_node_id": 3, "last_link_id": 2, "nodes": [{ "id": 1, "type": "EmptyImage" }], "links": [] }),
            "this workflow is in the editor's format; export it with Workflow → Export (API)",
        ),
        (json!({ "7": [] }), "node 7 is a list, a node is an object with class_type and inputs"),
        (json!({ "7": { "inputs": {} } }), "node 7 has no class_type"),
        (json!({ "7": { "class_type": 5, "inputs": {} } }), "node 7 has no class_type"),
        (node(json!([1])), "the inputs of node 7 are a list, not an object"),
        (node(json!({ "x": nested })), "input x of node 7 is nested deeper than 64 levels"),
        (node(many), "node 7 has 600 inputs, the limit is 512"),
    ];
    for (document, expected) in cases {
        let error = Graph::from_json(&document).expect_err(expected);
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn too_many_nodes_are_refused() {
    let node = json!({ "class_type": "SaveImage", "inputs": {} });
    let document: Value = Value::Object((0..=MAX_NODES).map(|id| (id.to_string(), node.clone())).collect());
    assert_eq!(Graph::from_json(&document), Err(GraphError::TooManyNodes { count: MAX_NODES + 1 }));
}

#[test]
fn a_graph_comes_out_as_it_went_in() {
    let document = json!({
        "3": {
            "class_type": "KSampler",
            "inputs": {
                "seed": 18_446_744_073_709_551_615_u64,
                "noise_seed": -9_223_372_036_854_775_808_i64,
                "cfg": 1.0,
                "model": ["12:4", 2],
                "odd": ["4"],
                "number": [4, 0],
                "list": { "__value__": ["a", 0] },
                "nothing": null,
            },
            "_meta": { "title": "Sampler" },
        },
        "a b": { "class_type": "SaveImage", "inputs": {} },
    });
    let graph = Graph::from_json(&document).unwrap();
    assert_eq!(graph.to_json(), document);
    assert_eq!(graph.input("3", "model"), Some(&Input::link("12:4", 2)));
    assert!(graph.input("3", "number").unwrap().as_link().is_none());
}

#[test]
fn a_saved_request_and_nodes_without_inputs_are_read() {
    let document = json!({ "client_id": "x", "prompt": { "1": { "class_type": "PreviewAny" } } });
    let graph = Graph::from_json(&document).unwrap();
    assert_eq!(graph.nodes["1"].class_type, "PreviewAny");
}

#[test]
fn a_fresh_id_is_not_taken() {
    for (ids, expected) in [
        (vec!["1", "7", "3"], "8"),
        (vec!["a", "b:2"], "1"),
        (vec!["18446744073709551615", "1"], "2"),
        (vec!["007"], "8"),
    ] {
        let node = json!({ "class_type": "SaveImage" });
        let document = Value::Object(ids.iter().map(|id| ((*id).to_owned(), node.clone())).collect());
        assert_eq!(Graph::from_json(&document).unwrap().fresh_id(), expected, "{ids:?}");
    }
}
