//! Group nodes of old files.

use serde_json::json;

use super::{check, file};

#[test]
fn a_group_node_is_the_nodes_in_it() {
    let group = json!({
        "nodes": [
            { "type": "Encode", "index": 0, "widgets_values": ["inside"], "inputs": [{ "name": "clip", "type": "CLIP", "link": null }],
                "outputs": [{ "name": "COND", "type": "COND" }] },
            { "type": "Encode", "index": 1, "title": "Second", "widgets_values": ["other"],
                "inputs": [{ "name": "clip", "type": "CLIP", "link": null }], "outputs": [{ "name": "COND", "type": "COND" }] },
            { "type": "Join", "index": 2, "inputs": [{ "name": "a", "type": "COND" }, { "name": "b", "type": "COND" }],
                "outputs": [{ "name": "COND", "type": "COND" }] },
        ],
        "links": [[0, 0, 2, 0, 1, "COND"], [1, 0, 2, 1, 2, "COND"]],
        "external": [[1, 0, "COND"]],
    });
    let nodes = json!([
        { "id": 1, "type": "Load" },
        { "id": 2, "type": "workflow>both", "widgets_values": ["one", "two"], "inputs": [
            { "name": "clip", "type": "CLIP", "link": 1 }, { "name": "Second clip", "type": "CLIP", "link": 2 }] },
        { "id": 3, "type": "Join", "inputs": [
            { "name": "a", "type": "COND", "link": 3 }, { "name": "b", "type": "COND", "link": 4 }] },
    ]);
    let links = json!([
        [1, 1, 1, 2, 0, "CLIP"],
        [2, 1, 1, 2, 1, "CLIP"],
        [3, 2, 0, 3, 0, "COND"],
        [4, 2, 1, 3, 1, "COND"]
    ]);
    let mut document = file(&nodes, &links);
    document["extra"] = json!({ "groupNodes": { "both": group } });
    check(
        &document,
        &json!({
            "1": ["Load", { "name": "a.safetensors" }],
            "3": ["Join", { "a": ["54:52", 0], "b": ["54:53", 0] }],
            "54:51": ["Encode", { "text": "one", "clip": ["1", 1] }],
            "54:52": ["Encode", { "text": "two", "clip": ["1", 1] }],
            "54:53": ["Join", { "a": ["54:51", 0], "b": ["54:52", 0] }],
        }),
    );
}

#[test]
fn what_a_group_hides_is_not_linked() {
    let group = json!({
        "nodes": [{ "type": "Join", "index": 0, "inputs": [{ "name": "a", "type": "COND" }, { "name": "b", "type": "COND" }],
            "outputs": [{ "name": "COND", "type": "COND" }] }],
        "links": [],
        "config": { "0": { "input": { "a": { "visible": false }, "b": { "name": "second" } } } },
    });
    let nodes = json!([{ "id": 1, "type": "Encode", "widgets_values": ["x"] },
        { "id": 2, "type": "workflow/g", "inputs": [
            { "name": "a", "type": "COND", "link": 1 }, { "name": "second", "type": "COND", "link": 1 }] }]);
    let mut document = file(&nodes, &json!([[1, 1, 0, 2, 1, "COND"]]));
    document["extra"] = json!({ "groupNodes": { "g": group } });
    check(&document, &json!({ "1": ["Encode", { "text": "x" }], "52:51": ["Join", { "b": ["1", 0] }] }));
}
