//! Which value belongs to which widget.

use serde_json::{Value, json};

use super::{alone, check, check_inputs, converted, file};

#[test]
fn values_are_in_the_order_of_the_class() {
    check_inputs(
        "Sample",
        json!([5, "fixed", 30, "heun"]),
        &json!({ "seed": 5, "steps": 30, "sampler": "heun" }),
    );
}

#[test]
fn what_changes_a_value_after_a_run_has_a_place_and_is_not_sent() {
    // Of a class that says nothing about it, seeds alone have it; a class can also say no.
    check_inputs("Forced", json!([64, 9, "fixed"]), &json!({ "height": 64, "seed": 9 }));
    check_inputs("Fixed", json!([1, 2]), &json!({ "seed": 1, "after": 2 }));
    check_inputs("Number", json!([4, "randomize"]), &json!({ "value": 4 }));
}

#[test]
fn a_value_that_is_missing_moves_the_rest() {
    check_inputs(
        "Sample",
        json!([5, 30, "heun"]),
        &json!({ "seed": 5, "steps": "heun", "sampler": "euler" }),
    );
}

#[test]
fn what_is_absent_has_its_default() {
    let defaults = json!({ "seed": 7, "steps": 20, "sampler": "euler" });
    check_inputs("Sample", Value::Null, &defaults);
    check_inputs("Sample", json!([]), &defaults);
    check_inputs("Sample", json!([5, "fixed"]), &json!({ "seed": 5, "steps": 20, "sampler": "euler" }));
    let kinds = json!({ "flag": false, "number": 0, "line": "", "lines": "", "choice": "x", "file": "f.png",
        "curve": { "__type__": "CURVE", "__value__": { "points": [] } }, "view": { "__value__": ["", ""] },
        "colour": "#ffffff", "region": { "x": 0, "y": 0, "width": 512, "height": 512 }, "last": 3 });
    check_inputs("Kinds", Value::Null, &kinds);
}

#[test]
fn values_are_sent_as_they_are() {
    let values = json!(["no", "1.5", null, null, "z", "fixed", "", "g.png", [[0, 1]], 5, { "x": 1 }, 1, 2, 3, 4, 99, "button", "more"]);
    let kinds = json!({ "flag": "no", "number": "1.5", "line": null, "lines": "", "choice": "z", "file": "g.png",
        "curve": { "__type__": "CURVE", "__value__": [[0, 1]] }, "view": { "__value__": ["", ""] }, "colour": 5,
        "region": { "x": 1 }, "last": 99 });
    check_inputs("Kinds", values, &kinds);
    // A list would be taken for a link.
    check_inputs("Load", json!([["1", 0]]), &json!({ "name": { "__value__": ["1", 0] } }));
    check_inputs("Load", json!([{ "a": [1] }]), &json!({ "name": { "a": [1] } }));
    // A text area has nothing but text.
    check_inputs("Encode", json!([5]), &json!({ "text": "5" }));
    let seed = u64::MAX;
    check_inputs("Sample", json!([seed]), &json!({ "seed": seed, "steps": 20, "sampler": "euler" }));
}

#[test]
fn a_list_that_holds_nothing_takes_its_first_choice() {
    check_inputs(
        "Sample",
        json!([null, "fixed", null, null]),
        &json!({ "seed": null, "steps": null, "sampler": "euler" }),
    );
    let pick = json!({ "how": "exact", "how.width": 512, "how.height": 256, "method": "nearest" });
    check_inputs("Pick", json!([null, "nearest"]), &pick);
}

#[test]
fn a_text_area_holds_what_javascript_makes_of_a_value() {
    for (value, text) in [
        (json!(8.0), "8"),
        (json!(0.5), "0.5"),
        (json!(1e21), "1e+21"),
        (json!(1e-7), "1e-7"),
        (json!(true), "true"),
        (json!([1.0, null, ["a"]]), "1,,a"),
        (json!({ "a": 1 }), "[object Object]"),
    ] {
        check_inputs("Encode", json!([value]), &json!({ "text": text }));
    }
}

#[test]
fn inputs_that_became_links_alone_had_values_in_old_files() {
    check_inputs("Forced", json!([1, 2, 3, "fixed", 4, "fixed"]), &json!({ "height": 2, "seed": 3 }));
    check_inputs("Forced", json!([2, 3, "fixed"]), &json!({ "height": 2, "seed": 3 }));
}

#[test]
fn values_can_have_names() {
    // All of them are read in their order, and fewer not at all.
    check_inputs(
        "Sample",
        json!({ "a": 1, "b": "fixed", "steps": 3, "sampler": "heun" }),
        &json!({ "seed": 1, "steps": 3, "sampler": "heun" }),
    );
    check_inputs(
        "Sample",
        json!({ "steps": 3, "seed": 1 }),
        &json!({ "seed": 7, "steps": 20, "sampler": "euler" }),
    );
    // A list beside names is what counts: some names are out of date.
    let mut document = alone("Load", json!(["b.safetensors"]));
    document["nodes"][0]["widgets_values_named"] = json!({ "name": "old" });
    check(&document, &json!({ "1": ["Load", { "name": "b.safetensors" }] }));
}

#[test]
fn a_choice_brings_inputs_of_its_own() {
    check_inputs(
        "Pick",
        json!(["exact", 10, 20, "nearest"]),
        &json!({ "how": "exact", "how.width": 10, "how.height": 20, "method": "nearest" }),
    );
    check_inputs(
        "Pick",
        json!(["like", false, "nearest"]),
        &json!({ "how": "like", "how.crop": false, "method": "nearest" }),
    );
    check_inputs("Pick", json!(["gone", 10, 20, "nearest"]), &json!({ "how": "gone", "method": 10 }));
    check_inputs(
        "Pick",
        Value::Null,
        &json!({ "how": "exact", "how.width": 512, "how.height": 256, "method": "area" }),
    );
}

#[test]
fn an_input_of_a_choice_can_be_linked() {
    let nodes = json!([
        { "id": 1, "type": "Sample" },
        { "id": 2, "type": "Number", "widgets_values": [9, "fixed"] },
        { "id": 3, "type": "Pick", "widgets_values": ["like", false, "area"],
            "inputs": [{ "name": "how.other", "type": "LATENT", "link": 1 }] },
        { "id": 4, "type": "Pick", "widgets_values": ["exact", 1, 2, "area"],
            "inputs": [{ "name": "how.height", "type": "INT", "widget": { "name": "how.height" }, "link": 2 }] },
    ]);
    let links = json!([[1, 1, 0, 3, 0, "LATENT"], [2, 2, 0, 4, 0, "INT"]]);
    check(
        &file(&nodes, &links),
        &json!({
            "1": ["Sample", { "seed": 7, "steps": 20, "sampler": "euler" }],
            "2": ["Number", { "value": 9 }],
            "3": ["Pick", { "how": "like", "how.crop": false, "method": "area", "how.other": ["1", 0] }],
            "4": ["Pick", { "how": "exact", "how.width": 1, "how.height": ["2", 0], "method": "area" }],
        }),
    );
}

#[test]
fn inputs_that_grow_are_sent_where_they_are_linked() {
    let nodes = json!([
        { "id": 1, "type": "Sample" },
        { "id": 2, "type": "Batch", "inputs": [
            { "name": "all.one0", "type": "LATENT", "link": 1 }, { "name": "all.one1", "type": "LATENT", "link": null },
            { "name": "all.one2", "type": "LATENT", "link": 2 }, { "name": "all.one3", "type": "LATENT", "link": null }] },
    ]);
    let links = json!([[1, 1, 0, 2, 0, "LATENT"], [2, 1, 0, 2, 2, "LATENT"]]);
    let sample = json!(["Sample", { "seed": 7, "steps": 20, "sampler": "euler" }]);
    let batch = json!(["Batch", { "all.one0": ["1", 0], "all.one2": ["1", 0] }]);
    check(&file(&nodes, &links), &json!({ "1": sample, "2": batch }));
}

#[test]
fn what_extensions_of_the_editor_add_is_sent_too() {
    let mut info = super::info();
    let others = crate::ObjectInfo::from_json(json!({
        "CustomCombo": { "input": { "required": { "choice": ["COMBO", { "options": [] }] } }, "output": ["STRING"] },
        "SaveGLB": { "input": { "required": { "filename_prefix": ["STRING", { "default": "3d" }] } }, "output": [] },
    }));
    info.classes.extend(others.unwrap().classes);
    let inputs = |class: &str, values: Value| {
        crate::convert(&alone(class, values), &info).unwrap().graph.to_json()["1"]["inputs"].clone()
    };
    assert_eq!(
        inputs("CustomCombo", json!(["b", 0, "a", "b", "", "c"])),
        json!({ "choice": "b", "index": 1, "option1": "a", "option2": "b", "option3": "" })
    );
    assert_eq!(inputs("CustomCombo", json!(["x", 3, "a"]))["index"], -1);
    assert_eq!(
        inputs("CustomCombo", json!(["", 0, "a", ""]))["index"],
        1,
        "the empty one to write the next into"
    );
    assert_eq!(inputs("CustomCombo", json!(["a", 7, "a"]))["option2"], "");
    assert_eq!(inputs("CustomCombo", Value::Null), json!({ "choice": "", "index": -1, "option1": "" }));
    assert_eq!(inputs("SaveGLB", json!(["x"])), json!({ "filename_prefix": "x", "image": "" }));
}

#[test]
fn classes_that_were_renamed_have_their_new_name() {
    let info = crate::ObjectInfo::well_known();
    let graph = crate::convert(&alone("T2IAdapterLoader", json!(["c.safetensors"])), &info).unwrap().graph;
    assert_eq!(graph.nodes["1"].class_type, "ControlNetLoader");
    let values = json!([1, "fixed", 20, 8, "sample_euler", "normal", 1]);
    let graph = crate::convert(&alone("KSampler", values), &info).unwrap().graph;
    assert_eq!(graph.to_json()["1"]["inputs"]["sampler_name"], "euler");
}

#[test]
fn notes_are_left_out() {
    let nodes =
        json!([{ "id": 1, "type": "Note", "widgets_values": ["hi"] }, { "id": 2, "type": "MarkdownNote" }]);
    let conversion = converted(&file(&nodes, &json!([])));
    assert!(conversion.graph.nodes.is_empty() && conversion.problems.is_empty());
}
