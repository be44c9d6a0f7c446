//! The values of nodes that stand for a subgraph, in each way that files have had them.

use serde_json::{Value, json};

use super::subgraphs::{definition, with_definitions};
use super::{file, graph};

/// A sampler with `steps` and `seed` as inputs of the subgraph, in this order, and a second that takes the same steps.
fn document(host: &Value) -> Value {
    let sampler = |id: u64, steps: u64| {
        json!({ "id": id, "type": "Sample", "widgets_values": [1, "fixed", 10 * id, "heun"], "inputs": [
            { "name": "steps", "type": "INT", "widget": { "name": "steps" }, "link": steps },
            { "name": "seed", "type": "INT", "widget": { "name": "seed" }, "link": (id == 1).then_some(3) }] })
    };
    let definition = definition(
        "two",
        &json!([["steps", "INT", [1, 2]], ["seed", "INT", [3]]]),
        &json!([]),
        &json!([sampler(1, 1), sampler(2, 2), { "id": 5, "type": "Any", "inputs": [] }]),
        &json!([[1, -10, 0, 1, 0], [2, -10, 0, 2, 0], [3, -10, 1, 1, 1]]),
    );
    let mut node = json!({ "id": 9, "type": "two" });
    for (key, value) in host.as_object().unwrap() {
        node[key] = value.clone();
    }
    with_definitions(file(&json!([node]), &json!([])), &[definition])
}

/// The seed, and the steps of both samplers.
fn held(host: &Value) -> [Value; 3] {
    let graph = graph(&document(host));
    let of = |id: &str, input: &str| graph[id]["inputs"][input].clone();
    [of("9:1", "seed"), of("9:1", "steps"), of("9:2", "steps")]
}

#[test]
fn without_a_value_the_first_widget_inside_counts() {
    assert_eq!(held(&json!({})), [json!(1), json!(10), json!(10)]);
    assert_eq!(held(&json!({ "widgets_values": [] })), [json!(1), json!(10), json!(10)]);
    assert_eq!(held(&json!({ "widgets_values": [null, 3] })), [json!(3), json!(10), json!(10)]);
}

#[test]
fn values_are_in_the_order_of_the_inputs() {
    assert_eq!(held(&json!({ "widgets_values": [30, 3] })), [json!(3), json!(30), json!(30)]);
    assert_eq!(held(&json!({ "widgets_values": [30, 3, "fixed"] })), [json!(3), json!(30), json!(30)]);
    let shifted = held(&json!({ "widgets_values": ["gone", 30, 3] }));
    assert_eq!(shifted, [json!(30), json!("gone"), json!("gone")], "nothing is skipped");
    let named = json!({ "widgets_values": [30, 3], "widgets_values_named": { "steps": 0, "seed": 0 } });
    assert_eq!(held(&named), [json!(3), json!(30), json!(30)]);
}

#[test]
fn proxies_of_inputs_have_an_order_of_their_own() {
    let host = |values: Value| json!({ "widgets_values": values, "properties": { "proxyWidgets": [["-1", "seed"], ["-1", "steps"]] } });
    assert_eq!(held(&host(json!([3, 30]))), [json!(3), json!(30), json!(30)]);
    assert_eq!(held(&host(json!([]))), [json!(1), json!(10), json!(10)]);
}

#[test]
fn proxies_of_widgets_inside_become_inputs() {
    let host = |values: Value| {
        let proxies =
            json!([["2", "sampler"], ["1", "steps"], ["2", "4: 2: seed"], ["1", "$$preview"], ["8", "gone"]]);
        json!({ "widgets_values": values, "properties": { "proxyWidgets": proxies } })
    };
    let sampler = |host: &Value| {
        let graph = graph(&document(host));
        [graph["9:1"]["inputs"]["sampler"].clone(), graph["9:2"]["inputs"]["sampler"].clone()]
    };
    assert_eq!(sampler(&host(json!([]))), [json!("heun"), json!("heun")], "what is inside holds");
    assert_eq!(sampler(&host(json!(["euler", 5, 6]))), [json!("heun"), json!("euler")]);
    let document = document(&host(json!(["euler", 5, 6])));
    assert_eq!(graph(&document)["9:2"]["inputs"]["seed"], 6);
    assert_eq!(held(&host(json!(["euler", 5, 6])))[1], 5);
}

#[test]
fn a_proxy_of_one_host_is_none_of_another() {
    let mut document = document(&json!({ "widgets_values": ["euler"],
        "properties": { "proxyWidgets": [["2", "sampler"]] } }));
    document["nodes"].as_array_mut().unwrap().push(json!({ "id": 10, "type": "two" }));
    let graph = graph(&document);
    assert_eq!(graph["9:2"]["inputs"]["sampler"], "euler");
    assert_eq!(graph["10:2"]["inputs"]["sampler"], "heun");
}

#[test]
fn a_primitive_can_be_a_widget_of_the_host() {
    let host = |values: Value| {
        let mut document = document(&json!({ "widgets_values": values,
            "properties": { "proxyWidgets": [["7", "value"]] } }));
        let inner = &mut document["definitions"]["subgraphs"][0];
        let primitive = json!({ "id": 7, "type": "PrimitiveNode", "widgets_values": [44, "fixed"] });
        inner["nodes"].as_array_mut().unwrap().push(primitive);
        inner["nodes"][1]["inputs"][1]["link"] = json!(4);
        let link = super::subgraphs::inner_links(&json!([[4, 7, 0, 2, 1]]))[0].clone();
        inner["links"].as_array_mut().unwrap().push(link);
        graph(&document)["9:2"]["inputs"]["seed"].clone()
    };
    assert_eq!(host(json!([])), 1, "what the first widget has that it is linked to");
    assert_eq!(host(json!([55])), 55);
}

#[test]
fn what_an_editor_could_not_place_keeps_its_value() {
    let entry = |original: Value, value: Value| {
        json!({ "originalEntry": original, "hostValue": value,
        "reason": "missingSubgraphInput", "attemptedAtVersion": 1 })
    };
    let mut kept = vec![
        entry(json!(["-1", "steps"]), json!(31)),
        entry(json!(["-1", "gone"]), json!(1)),
        entry(json!(["-1", "steps"]), json!(32)),
        entry(json!(["1", "seed"]), Value::Null),
    ];
    let host = |kept: &[Value]| json!({ "widgets_values": [30, 3], "properties": { "proxyWidgetErrorQuarantine": kept } });
    assert_eq!(held(&host(&kept)), [json!(3), json!(31), json!(31)]);
    kept.push(json!({ "originalEntry": ["-1", "seed"] }));
    assert_eq!(held(&host(&kept)), [json!(3), json!(30), json!(30)], "all of it is read, or nothing");
}

#[test]
fn a_value_goes_to_inputs_without_a_widget_too() {
    let inner = definition(
        "both",
        &json!([["value", "INT", [1, 2]]]),
        &json!([]),
        &json!([{ "id": 1, "type": "Any", "inputs": [{ "name": "value", "type": "*", "link": 1 }] },
            { "id": 2, "type": "Number", "widgets_values": [8], "inputs": [
                { "name": "value", "type": "INT", "widget": { "name": "value" }, "link": 2 }] }]),
        &json!([[1, -10, 0, 1, 0], [2, -10, 0, 2, 0]]),
    );
    let nodes = |values: Value| json!([{ "id": 9, "type": "both", "widgets_values": values }]);
    let value = |values, id: &str| {
        let document = with_definitions(file(&nodes(values), &json!([])), std::slice::from_ref(&inner));
        graph(&document)[id]["inputs"]["value"].clone()
    };
    assert_eq!([value(json!([5]), "9:1"), value(json!([5]), "9:2")], [5, 5]);
    assert_eq!([value(json!([]), "9:1"), value(json!([]), "9:2")], [8, 8]);
    assert_eq!(value(json!([[5]]), "9:1"), json!({ "__value__": [5] }));
}

#[test]
fn a_link_to_the_host_takes_the_place_of_its_value() {
    let host =
        json!({ "widgets_values": [30, 3], "inputs": [{ "name": "steps", "type": "INT", "link": 1 }] });
    let mut document = document(&host);
    document["nodes"]
        .as_array_mut()
        .unwrap()
        .push(json!({ "id": 20, "type": "Number", "widgets_values": [4] }));
    document["links"] = json!([[1, 20, 0, 9, 0, "INT"]]);
    let graph = graph(&document);
    assert_eq!(graph["9:1"]["inputs"]["steps"], json!(["20", 0]));
    assert_eq!(graph["9:1"]["inputs"]["seed"], 3);
}

#[test]
fn a_custom_combo_counts_the_choice_of_its_host() {
    let mut info = super::info();
    let combo = crate::ObjectInfo::from_json(json!({
        "CustomCombo": { "input": { "required": { "choice": ["COMBO", { "options": [] }] } }, "output": ["STRING"] } }));
    info.classes.extend(combo.unwrap().classes);
    let inner = definition(
        "pick",
        &json!([["choice", "COMBO", [1]]]),
        &json!([]),
        &json!([{ "id": 1, "type": "CustomCombo", "widgets_values": ["a", 0, "a", "b", ""], "inputs": [
            { "name": "choice", "type": "COMBO", "widget": { "name": "choice" }, "link": 1 }] }]),
        &json!([[1, -10, 0, 1, 0]]),
    );
    let nodes = json!([{ "id": 9, "type": "pick", "widgets_values": ["b"] }]);
    let document = with_definitions(file(&nodes, &json!([])), &[inner]);
    let graph = crate::convert(&document, &info).unwrap().graph.to_json();
    let inputs = &graph["9:1"]["inputs"];
    assert_eq!([&inputs["choice"], &inputs["index"]], [&json!("b"), &json!(1)]);
}
