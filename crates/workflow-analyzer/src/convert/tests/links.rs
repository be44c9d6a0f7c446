//! Links, and the nodes that only pass something on.

use serde_json::{Value, json};

use super::{check, file, graph};

const LOADED: &str = "a.safetensors";

/// A loader, and a node of this class and mode between its outputs and a text encoder and a sampler.
fn between(middle: Value) -> Value {
    let mut nodes = json!([
        { "id": 1, "type": "Load" },
        { "id": 3, "type": "Encode", "widgets_values": ["x"], "inputs": [{ "name": "clip", "type": "CLIP", "link": 4 }] },
        { "id": 4, "type": "Sample", "widgets_values": [1, "fixed"], "inputs": [{ "name": "model", "type": "MODEL", "link": 3 }] },
    ]);
    nodes.as_array_mut().unwrap().insert(1, middle);
    let links = json!([
        [1, 1, 0, 2, 0, "MODEL"],
        [2, 1, 1, 2, 1, "CLIP"],
        [3, 2, 0, 4, 0, "MODEL"],
        [4, 2, 1, 3, 0, "CLIP"]
    ]);
    file(&nodes, &links)
}

fn tune(mode: u64) -> Value {
    json!({ "id": 2, "type": "Tune", "mode": mode, "inputs": [
        { "name": "model", "type": "MODEL", "link": 1 }, { "name": "clip", "type": "CLIP", "link": 2 }] })
}

fn sample(model: &Value) -> Value {
    let mut inputs = json!({ "seed": 1, "steps": 20, "sampler": "euler" });
    if !model.is_null() {
        inputs["model"] = model.clone();
    }
    json!(["Sample", inputs])
}

#[test]
fn links_have_the_names_of_inputs() {
    check(
        &between(tune(0)),
        &json!({
            "1": ["Load", { "name": LOADED }],
            "2": ["Tune", { "model": ["1", 0], "clip": ["1", 1], "strength": 1.0 }],
            "3": ["Encode", { "text": "x", "clip": ["2", 1] }],
            "4": sample(&json!(["2", 0])),
        }),
    );
}

#[test]
fn a_bypassed_node_passes_on_what_fits() {
    check(
        &between(tune(4)),
        &json!({
            "1": ["Load", { "name": LOADED }],
            "3": ["Encode", { "text": "x", "clip": ["1", 1] }],
            "4": sample(&json!(["1", 0])),
        }),
    );
}

#[test]
fn a_muted_node_gives_nothing() {
    check(
        &between(tune(2)),
        &json!({ "1": ["Load", { "name": LOADED }], "3": ["Encode", { "text": "x" }], "4": sample(&Value::Null) }),
    );
}

#[test]
fn a_bypass_takes_the_input_of_the_same_place_first() {
    // The second of two inputs of the type is never asked, even if the first is not linked.
    let nodes = |a: Value, b: Value, slot: usize| {
        let nodes = json!([
            { "id": 1, "type": "Encode", "widgets_values": ["x"] },
            { "id": 2, "type": "Join", "mode": 4, "inputs": [
                { "name": "a", "type": "COND", "link": a }, { "name": "b", "type": "COND", "link": b }] },
            { "id": 3, "type": "Sample", "widgets_values": [1, "fixed"], "inputs": [
                { "name": "model", "type": "MODEL", "link": null }, { "name": "positive", "type": "COND", "link": 3 }] },
        ]);
        file(&nodes, &json!([[1, 1, 0, 2, slot, "COND"], [3, 2, 0, 3, 1, "COND"]]))
    };
    assert_eq!(graph(&nodes(json!(1), Value::Null, 0))["3"]["inputs"]["positive"], json!(["1", 0]));
    assert_eq!(graph(&nodes(Value::Null, json!(1), 1))["3"]["inputs"].get("positive"), None);
}

#[test]
fn a_bypass_without_a_fitting_input_gives_nothing() {
    let nodes = json!([
        { "id": 1, "type": "Load" },
        { "id": 2, "type": "Encode", "mode": 4, "inputs": [{ "name": "clip", "type": "CLIP", "link": 1 }] },
        { "id": 3, "type": "Join", "inputs": [{ "name": "a", "type": "COND", "link": 2 }] },
        { "id": 4, "type": "Any", "inputs": [{ "name": "value", "type": "*", "link": 3 }] },
    ]);
    let links = json!([[1, 1, 1, 2, 0, "CLIP"], [2, 2, 0, 3, 0, "COND"], [3, 2, 0, 4, 0, "*"]]);
    let graph = graph(&file(&nodes, &links));
    assert_eq!(graph["3"]["inputs"], json!({}));
    assert_eq!(graph["4"]["inputs"]["value"], json!(["1", 1]), "anything fits: the input of the same place");
}

#[test]
fn reroutes_pass_on_unless_they_are_muted() {
    let nodes = |mode: u64| {
        json!([
            { "id": 1, "type": "Load" },
            { "id": 2, "type": "Reroute", "mode": 0, "inputs": [{ "name": "", "type": "*", "link": 1 }] },
            { "id": 5, "type": "Reroute", "mode": mode, "inputs": [{ "name": "", "type": "*", "link": 2 }] },
            { "id": 4, "type": "Sample", "widgets_values": [1, "fixed"], "inputs": [{ "name": "model", "type": "MODEL", "link": 3 }] },
        ])
    };
    let links = json!([[1, 1, 0, 2, 0, "*"], [2, 2, 0, 5, 0, "*"], [3, 5, 0, 4, 0, "MODEL"]]);
    let load = json!(["Load", { "name": LOADED }]);
    for mode in [0, 4] {
        check(&file(&nodes(mode), &links), &json!({ "1": load, "4": sample(&json!(["1", 0])) }));
    }
    check(&file(&nodes(2), &links), &json!({ "1": load, "4": sample(&Value::Null) }));
}

#[test]
fn what_is_kept_under_a_name_is_found_by_it() {
    let nodes = json!([
        { "id": 1, "type": "Load" },
        { "id": 2, "type": "SetNode", "widgets_values": ["m"], "inputs": [{ "name": "MODEL", "type": "MODEL", "link": 1 }] },
        { "id": 3, "type": "GetNode", "widgets_values": ["m"] },
        { "id": 5, "type": "GetNode", "widgets_values": ["nothing"] },
        { "id": 4, "type": "Tune", "inputs": [
            { "name": "model", "type": "MODEL", "link": 2 }, { "name": "clip", "type": "CLIP", "link": 3 }] },
    ]);
    let links = json!([[1, 1, 0, 2, 0, "MODEL"], [2, 3, 0, 4, 0, "MODEL"], [3, 5, 0, 4, 1, "CLIP"]]);
    let conversion = super::converted(&file(&nodes, &links));
    assert_eq!(conversion.graph.to_json()["4"]["inputs"], json!({ "model": ["1", 0], "strength": 1.0 }));
    assert_eq!(conversion.problems.len(), 1, "{:?}", conversion.problems);
}

#[test]
fn a_link_takes_the_place_of_a_value() {
    let nodes = |mode: u64| {
        json!([
            { "id": 1, "type": "Number", "mode": mode, "widgets_values": [3, "fixed"] },
            { "id": 4, "type": "Sample", "widgets_values": [1, "fixed", 30], "inputs": [
                { "name": "steps", "type": "INT", "widget": { "name": "steps" }, "link": 1 }] },
        ])
    };
    let links = json!([[1, 1, 0, 4, 0, "INT"]]);
    assert_eq!(graph(&file(&nodes(0), &links))["4"]["inputs"]["steps"], json!(["1", 0]));
    assert_eq!(
        graph(&file(&nodes(2), &links))["4"]["inputs"]["steps"],
        json!(30),
        "without the link the value counts"
    );
}

#[test]
fn a_primitive_writes_its_value_into_widgets() {
    for mode in [0, 2, 4] {
        let nodes = json!([
            { "id": 1, "type": "PrimitiveNode", "mode": mode, "widgets_values": [12, "fixed"] },
            { "id": 2, "type": "Reroute", "inputs": [{ "name": "", "type": "*", "link": 2 }] },
            { "id": 4, "type": "Sample", "widgets_values": [1, "fixed", 30], "inputs": [
                { "name": "steps", "type": "INT", "widget": { "name": "steps" }, "link": 1 },
                { "name": "seed", "type": "INT", "widget": { "name": "seed" }, "link": 3 }] },
        ]);
        let links = json!([[1, 1, 0, 4, 0, "INT"], [2, 1, 0, 2, 0, "INT"], [3, 2, 0, 4, 1, "INT"]]);
        // A reroute has no widget, so that nothing goes beyond it.
        let sample = json!(["Sample", { "seed": 1, "steps": 12, "sampler": "euler" }]);
        check(&file(&nodes, &links), &json!({ "4": sample }));
    }
}

#[test]
fn the_first_link_of_a_primitive_decides_what_it_holds() {
    let mut info = super::info();
    let others = crate::ObjectInfo::from_json(json!({
        "Size": { "input": { "required": { "width": ["INT", { "min": 16, "max": 100 }], "x": ["INT", { "max": 50 }],
            "name": ["STRING"], "model": ["MODEL"] } }, "output": [] } }));
    info.classes.extend(others.unwrap().classes);
    let sizes = |kind: &str, targets: &[&str]| {
        let input = |(at, name): (usize, &&str)| json!({ "name": name, "type": "*", "link": at });
        let inputs: Value = targets.iter().enumerate().map(input).collect();
        let links: Value = (0..targets.len()).map(|at| json!([at, 1, 0, 2, 9 + at, "*"])).collect();
        let nodes = json!([{ "id": 1, "type": "PrimitiveNode", "widgets_values": [9000], "outputs": [{ "type": kind }] },
            { "id": 2, "type": "Size", "widgets_values": [20, 30, "x"], "inputs": inputs }]);
        let graph = crate::convert(&file(&nodes, &links), &info).unwrap().graph.to_json();
        ["width", "x"].map(|name| graph["2"]["inputs"][name].clone())
    };
    assert_eq!(sizes("INT", &["width"]), [9000, 30], "no bounds but those that several have in common");
    assert_eq!(sizes("INT", &["width", "x"]), [50, 50]);
    assert_eq!(sizes("STRING", &["width", "x"]), [20, 20], "another type than the widget has");
    assert_eq!(sizes("INT", &["model", "x"]), [20, 30], "nothing to be the widget of");
}

#[test]
fn a_primitive_may_fill_in_values_of_nodes() {
    let nodes = json!([
        { "id": 1, "type": "PrimitiveNode", "widgets_values": ["seed %Sample.seed%"],
            "properties": { "Run widget replace on values": true } },
        { "id": 2, "type": "Encode", "inputs": [{ "name": "text", "type": "STRING", "widget": { "name": "text" }, "link": 1 }] },
        { "id": 3, "type": "Sample", "widgets_values": [5] },
    ]);
    let graph = graph(&file(&nodes, &json!([[1, 1, 0, 2, 0, "STRING"]])));
    assert_eq!(graph["2"]["inputs"]["text"], "seed 5");
}

#[test]
fn inputs_are_known_by_name() {
    // `steps` comes first in the file; `gone` belonged to a widget, `extra` to nothing.
    let nodes = json!([
        { "id": 1, "type": "Number", "widgets_values": [3, "fixed"] },
        { "id": 4, "type": "Sample", "widgets_values": [1, "fixed"], "inputs": [
            { "name": "steps", "type": "INT", "link": 1 },
            { "name": "gone", "type": "INT", "widget": { "name": "gone" }, "link": 2 },
            { "name": "extra", "type": "INT", "link": 3 },
            { "name": "unlinked", "type": "INT", "link": null }] },
    ]);
    let links = json!([[1, 1, 0, 4, 0, "INT"], [2, 1, 0, 4, 1, "INT"], [3, 1, 0, 4, 2, "INT"]]);
    assert_eq!(
        graph(&file(&nodes, &links))["4"]["inputs"],
        json!({ "seed": 1, "steps": ["1", 0], "sampler": "euler", "extra": ["1", 0] })
    );
}

#[test]
fn the_table_of_links_is_right_where_an_input_is_wrong() {
    let nodes = |link: Value| {
        json!([{ "id": 1, "type": "Load" },
            { "id": 4, "type": "Tune", "inputs": [{ "name": "model", "type": "MODEL", "link": link }] }])
    };
    let links = json!([[1, 1, 0, 4, 0, "MODEL"]]);
    for wrong in [json!(99), Value::Null] {
        assert_eq!(graph(&file(&nodes(wrong), &links))["4"]["inputs"]["model"], json!(["1", 0]));
    }
    assert_eq!(graph(&file(&nodes(json!(1)), &json!([])))["4"]["inputs"].get("model"), None);
}

#[test]
fn the_table_says_where_a_link_leads() {
    // The one that the sampler names leads to the other node.
    let nodes = json!([
        { "id": 1, "type": "Load" },
        { "id": 3, "type": "Tune", "inputs": [{ "name": "model", "type": "MODEL", "link": 1 }] },
        { "id": 4, "type": "Sample", "widgets_values": [1], "inputs": [{ "name": "model", "type": "MODEL", "link": 1 }] },
    ]);
    let graph = graph(&file(&nodes, &json!([[1, 1, 0, 3, 0, "MODEL"]])));
    assert_eq!(graph["3"]["inputs"]["model"], json!(["1", 0]));
    assert_eq!(graph["4"]["inputs"].get("model"), None);
}

#[test]
fn a_slot_that_no_input_names_is_counted_as_the_class_counts() {
    // The file has `negative` first; the second slot of the class is `positive`.
    let nodes = json!([
        { "id": 1, "type": "Encode", "widgets_values": [""] },
        { "id": 4, "type": "Sample", "widgets_values": [1], "inputs": [
            { "name": "negative", "type": "COND", "link": null }, { "name": "model", "type": "MODEL", "link": null }] },
    ]);
    let graph = graph(&file(&nodes, &json!([[1, 1, 0, 4, 1, "COND"]])));
    assert_eq!(graph["4"]["inputs"]["positive"], json!(["1", 0]));
}

#[test]
fn one_link_leads_to_one_slot() {
    let nodes = |a: Value| {
        json!([
            { "id": 1, "type": "Encode", "widgets_values": ["x"] },
            { "id": 2, "type": "Encode", "widgets_values": ["y"] },
            { "id": 3, "type": "Join", "inputs": [
                { "name": "a", "type": "COND", "link": a }, { "name": "b", "type": "COND", "link": 2 }] },
        ])
    };
    let links = json!([[1, 1, 0, 3, 0, "COND"], [2, 2, 0, 3, 0, "COND"]]);
    assert_eq!(graph(&file(&nodes(json!(1)), &links))["3"]["inputs"], json!({ "a": ["1", 0] }));
    let named = graph(&file(&nodes(Value::Null), &links));
    assert_eq!(named["3"]["inputs"], json!({ "b": ["2", 0] }), "of two origins the one that an input names");
}

#[test]
fn an_input_that_is_there_twice_has_the_last_link() {
    let nodes = json!([
        { "id": 1, "type": "Encode", "widgets_values": ["x"] },
        { "id": 3, "type": "Join", "inputs": [
            { "name": "a", "type": "COND", "link": null }, { "name": "a", "type": "COND", "link": 1 }] },
    ]);
    let graph = graph(&file(&nodes, &json!([[1, 1, 0, 3, 1, "COND"]])));
    assert_eq!(graph["3"]["inputs"], json!({ "a": ["1", 0] }));
}

#[test]
fn newer_files_write_links_as_objects() {
    let nodes = json!([{ "id": "a", "type": "Load" },
        { "id": 4, "type": "Tune", "inputs": [{ "name": "model", "type": "MODEL", "link": 1 }] }]);
    let link = json!({ "id": 1, "origin_id": "a", "origin_slot": 0, "target_id": 4, "target_slot": 0, "type": "MODEL" });
    let mut document = file(&nodes, &json!([link]));
    assert_eq!(
        graph(&document)["4"]["inputs"].get("model"),
        None,
        "the editor doesn't read them in older ones"
    );
    document["version"] = json!(1);
    assert_eq!(graph(&document)["4"]["inputs"]["model"], json!(["a", 0]));
}
