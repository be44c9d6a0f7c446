//! Subgraphs: links through their sides, ids, modes.

use serde_json::{Value, json};

use super::{check, file, graph};

/// A link of a subgraph: `[id, from, slot, to, slot]`, where -10 and -20 are its own inputs and outputs.
pub(super) fn inner_links(links: &Value) -> Value {
    let link = |link: &Value| json!({ "id": link[0], "origin_id": link[1], "origin_slot": link[2], "target_id": link[3], "target_slot": link[4] });
    links.as_array().unwrap().iter().map(link).collect()
}

/// The definition `id`; inputs and outputs are `[name, type, [links]]`.
pub(super) fn definition(id: &str, inputs: &Value, outputs: &Value, nodes: &Value, links: &Value) -> Value {
    let slots = |slots: &Value| -> Value {
        let slot = |slot: &Value| json!({ "name": slot[0], "type": slot[1], "linkIds": slot[2] });
        slots.as_array().unwrap().iter().map(slot).collect()
    };
    json!({ "id": id, "name": id, "inputs": slots(inputs), "outputs": slots(outputs), "nodes": nodes,
        "links": inner_links(links) })
}

/// An encoder with its text as an input, and the host that stands for it.
pub(super) fn encoder() -> Value {
    definition(
        "enc",
        &json!([["clip", "CLIP", [1]], ["text", "STRING", [2]]]),
        &json!([["COND", "COND", [3]]]),
        &json!([{ "id": 11, "type": "Encode", "widgets_values": ["inside"], "inputs": [
            { "name": "clip", "type": "CLIP", "link": 1 },
            { "name": "text", "type": "STRING", "widget": { "name": "text" }, "link": 2 }] }]),
        &json!([[1, -10, 0, 11, 0], [2, -10, 1, 11, 1], [3, 11, 0, -20, 0]]),
    )
}

pub(super) fn with_definitions(mut file: Value, definitions: &[Value]) -> Value {
    file["definitions"] = json!({ "subgraphs": definitions });
    file
}

/// A loader (1), the host (2) and a joiner (3) of what it gives.
fn around(host: &Value) -> Value {
    let nodes = json!([{ "id": 1, "type": "Load" }, host,
        { "id": 3, "type": "Join", "inputs": [{ "name": "a", "type": "COND", "link": 2 }] }]);
    with_definitions(file(&nodes, &json!([[1, 1, 1, 2, 0, "CLIP"], [2, 2, 0, 3, 0, "COND"]])), &[encoder()])
}

fn host(mode: u64) -> Value {
    json!({ "id": 2, "type": "enc", "mode": mode, "widgets_values": ["outside"], "inputs": [
        { "name": "clip", "type": "CLIP", "link": 1 }, { "name": "text", "type": "STRING", "link": null }] })
}

#[test]
fn links_go_through_both_sides() {
    check(
        &around(&host(0)),
        &json!({
            "1": ["Load", { "name": "a.safetensors" }],
            "2:11": ["Encode", { "text": "outside", "clip": ["1", 1] }],
            "3": ["Join", { "a": ["2:11", 0] }],
        }),
    );
}

#[test]
fn what_is_in_a_subgraph_that_does_not_run_is_left_out() {
    for mode in [2, 4] {
        let join = json!(["Join", {}]);
        check(&around(&host(mode)), &json!({ "1": ["Load", { "name": "a.safetensors" }], "3": join }));
    }
}

#[test]
fn a_bypassed_subgraph_passes_on_what_fits() {
    let definition = definition(
        "tuned",
        &json!([["model", "MODEL", [1]]]),
        &json!([["MODEL", "MODEL", [2]]]),
        &json!([{ "id": 11, "type": "Tune", "inputs": [{ "name": "model", "type": "MODEL", "link": 1 }] }]),
        &json!([[1, -10, 0, 11, 0], [2, 11, 0, -20, 0]]),
    );
    let nodes = json!([{ "id": 1, "type": "Load" },
        { "id": 2, "type": "tuned", "mode": 4, "inputs": [{ "name": "model", "type": "MODEL", "link": 1 }] },
        { "id": 3, "type": "Tune", "inputs": [{ "name": "model", "type": "MODEL", "link": 2 }] }]);
    let links = json!([[1, 1, 0, 2, 0, "MODEL"], [2, 2, 0, 3, 0, "MODEL"]]);
    let graph = graph(&with_definitions(file(&nodes, &links), &[definition]));
    assert_eq!(graph["3"]["inputs"]["model"], json!(["1", 0]));
    assert!(graph.get("2:11").is_none());
}

#[test]
fn a_bypassed_node_inside_passes_on_too() {
    let mut document = around(&host(0));
    document["definitions"]["subgraphs"][0]["nodes"][0]["mode"] = json!(4);
    assert_eq!(graph(&document)["3"]["inputs"], json!({}), "no input fits");
    document["nodes"][2]["inputs"][0]["type"] = json!("*");
    document["nodes"][2]["type"] = json!("Any");
    document["nodes"][2]["inputs"][0]["name"] = json!("value");
    assert_eq!(graph(&document)["3"]["inputs"]["value"], json!(["1", 1]));
}

#[test]
fn a_definition_can_stand_in_several_places() {
    let mut document = around(&host(0));
    let mut second = host(0);
    second["id"] = json!(4);
    second["widgets_values"] = json!(["again"]);
    document["nodes"].as_array_mut().unwrap().push(second);
    let graph = graph(&document);
    assert_eq!(graph["2:11"]["inputs"]["text"], "outside");
    assert_eq!(graph["4:11"]["inputs"]["text"], "again");
}

#[test]
fn an_input_can_lead_straight_to_an_output() {
    let through = definition(
        "through",
        &json!([["a", "COND", [1]]]),
        &json!([["a", "COND", [1]]]),
        &json!([]),
        &json!([[1, -10, 0, -20, 0]]),
    );
    let nodes = json!([{ "id": 1, "type": "Encode", "widgets_values": ["x"] },
        { "id": 2, "type": "through", "inputs": [{ "name": "a", "type": "COND", "link": 1 }] },
        { "id": 3, "type": "Join", "inputs": [{ "name": "a", "type": "COND", "link": 2 }] }]);
    let links = json!([[1, 1, 0, 2, 0, "COND"], [2, 2, 0, 3, 0, "COND"]]);
    let graph = graph(&with_definitions(file(&nodes, &links), &[through]));
    assert_eq!(graph["3"]["inputs"], json!({ "a": ["1", 0] }));
}

#[test]
fn what_leads_nowhere_is_not_linked() {
    let mut document = around(&host(0));
    let definition = &mut document["definitions"]["subgraphs"][0];
    definition["outputs"][0]["linkIds"] = json!([]);
    definition["links"].as_array_mut().unwrap().pop();
    document["nodes"][1]["inputs"][0]["link"] = Value::Null;
    document["links"].as_array_mut().unwrap().remove(0);
    let graph = graph(&document);
    assert_eq!(graph["3"]["inputs"], json!({}));
    assert_eq!(graph["2:11"]["inputs"], json!({ "text": "outside" }));
}

#[test]
fn subgraphs_stand_in_subgraphs() {
    let outer = definition(
        "outer",
        &json!([["clip", "CLIP", [1]], ["words", "STRING", [2]]]),
        &json!([["COND", "COND", [3]]]),
        &json!([{ "id": 7, "type": "enc", "widgets_values": ["middle"], "inputs": [
            { "name": "clip", "type": "CLIP", "link": 1 },
            { "name": "text", "type": "STRING", "widget": { "name": "text" }, "link": 2 }] }]),
        &json!([[1, -10, 0, 7, 0], [2, -10, 1, 7, 1], [3, 7, 0, -20, 0]]),
    );
    let document = |values: Value, mode: u64| {
        let mut host = host(0);
        host["type"] = json!("outer");
        host["inputs"][1]["name"] = json!("words");
        host["widgets_values"] = values;
        let mut document = around(&host);
        let mut outer = outer.clone();
        outer["nodes"][0]["mode"] = json!(mode);
        document["definitions"]["subgraphs"].as_array_mut().unwrap().push(outer);
        document
    };
    let graph_of = |values, mode| graph(&document(values, mode));
    let joined = graph_of(json!(["outside"]), 0);
    assert_eq!(joined["2:7:11"]["inputs"], json!({ "text": "outside", "clip": ["1", 1] }));
    assert_eq!(joined["3"]["inputs"]["a"], json!(["2:7:11", 0]));
    assert_eq!(
        graph_of(json!([]), 0)["2:7:11"]["inputs"]["text"],
        "middle",
        "the innermost value that is set"
    );
    // Only at the root is what doesn't run left out with all that is in it.
    let muted = graph_of(json!(["outside"]), 2);
    assert_eq!(muted["3"]["inputs"], json!({}));
    assert_eq!(muted["2:7:11"]["inputs"]["text"], "outside");
}

#[test]
fn ids_that_are_taken_are_given_anew() {
    let mut document = around(&host(0));
    document["last_node_id"] = json!(3);
    let definition = &mut document["definitions"]["subgraphs"][0];
    definition["nodes"][0]["id"] = json!(1);
    for (link, end) in [(0, "target_id"), (1, "target_id"), (2, "origin_id")] {
        definition["links"][link][end] = json!(1);
    }
    let graph = graph(&document);
    assert_eq!(graph["3"]["inputs"]["a"], json!(["2:4", 0]));
    assert_eq!(graph["2:4"]["inputs"]["text"], "outside");
}

#[test]
fn a_primitive_inside_writes_its_value() {
    let mut document = around(&host(0));
    let definition = &mut document["definitions"]["subgraphs"][0];
    definition["inputs"].as_array_mut().unwrap().pop();
    definition["links"][1] = inner_links(&json!([[2, 12, 0, 11, 1]]))[0].clone();
    let primitive = json!({ "id": 12, "type": "PrimitiveNode", "widgets_values": ["written"] });
    definition["nodes"].as_array_mut().unwrap().push(primitive);
    assert_eq!(graph(&document)["2:11"]["inputs"]["text"], "written");
}

#[test]
fn a_node_that_is_there_twice_gets_a_number_at_the_root_and_goes_inside() {
    let twin = json!([{ "id": 60, "type": "Load" }, { "id": 60, "type": "Any" }]);
    let inner = definition("twins", &json!([]), &json!([]), &twin, &json!([]));
    let tune =
        json!({ "id": 2, "type": "Tune", "inputs": [{ "name": "model", "type": "MODEL", "link": 1 }] });
    let nodes = json!([{ "id": 1, "type": "Load" }, tune, tune, { "id": 59, "type": "twins" }]);
    let document = with_definitions(file(&nodes, &json!([[1, 1, 0, 2, 0, "MODEL"]])), &[inner]);
    check(
        &document,
        &json!({
            "1": ["Load", { "name": "a.safetensors" }],
            "2": ["Tune", { "model": ["1", 0], "strength": 1.0 }],
            "61": ["Tune", { "strength": 1.0 }],
            "59:60": ["Load", { "name": "a.safetensors" }],
        }),
    );
}

#[test]
fn definitions_may_stand_in_definitions() {
    let nodes = json!([{ "id": 4, "type": "enc", "widgets_values": ["deep"] }]);
    let mut outer = definition("outer", &json!([]), &json!([]), &nodes, &json!([]));
    outer["definitions"] = json!({ "subgraphs": [encoder()] });
    let document = with_definitions(super::alone("outer", Value::Null), &[outer]);
    check(&document, &json!({ "1:4:11": ["Encode", { "text": "deep" }] }));
}
