//! Which of the links arrive where inputs come and go.

use serde_json::{Value, json};

use super::file;
use crate::{Conversion, ConvertProblemKind, ObjectInfo, convert};

/// A node whose choice brings a width and images, with so many of those linked. With or without the width in the file.
fn edited(choice: &str, with_width: bool, count: u64) -> Conversion {
    let info = ObjectInfo::from_json(json!({
        "Load": { "output": ["IMAGE"] },
        "Edit": { "input": { "required": {
            "prompt": ["STRING"],
            "model": ["COMFY_DYNAMICCOMBO_V3", { "options": [{ "key": "one", "inputs": { "required": {
                "width": ["INT"],
                "images": ["COMFY_AUTOGROW_V3", { "template": {
                    "input": { "required": { "image": ["IMAGE", {}] } }, "names": ["i1", "i2", "i3", "i4"], "min": 0 } }],
            } } }] }] } },
            "output": [] },
    }));
    let slot = |n: u64| n - u64::from(!with_width);
    let input = |n: u64| json!({ "name": format!("model.images.i{n}"), "type": "IMAGE", "link": n });
    let width = with_width.then(
        || json!({ "name": "model.width", "type": "INT", "widget": { "name": "model.width" }, "link": null }),
    );
    let inputs: Value = width.into_iter().chain((1..=count).map(input)).collect();
    let nodes = json!([{ "id": 1, "type": "Load" },
        { "id": 2, "type": "Edit", "inputs": inputs, "widgets_values": ["p", choice, 5] }]);
    let links: Value = (1..=count).map(|n| json!([n, 1, n, 2, slot(n), "IMAGE"])).collect();
    convert(&file(&nodes, &links), &info.unwrap()).unwrap()
}

/// Which link comes into which input.
fn links(conversion: &Conversion) -> Value {
    let inputs = &conversion.graph.nodes["2"].inputs;
    inputs.iter().filter_map(|(name, input)| Some((name.clone(), Value::from(input.as_link()?.1)))).collect()
}

#[test]
fn links_arrive_at_the_inputs_of_their_names() {
    let conversion = edited("one", true, 2);
    assert_eq!(links(&conversion), json!({ "model.images.i1": 1, "model.images.i2": 2 }));
    assert!(conversion.problems.is_empty(), "{:?}", conversion.problems);
}

#[test]
fn a_link_is_lost_with_the_input_that_it_lay_on() {
    let conversion = edited("one", false, 3);
    assert_eq!(links(&conversion), json!({ "model.images.i1": 1, "model.images.i2": 2 }));
    let lost = ConvertProblemKind::LostLink { input: "model.images.i3".to_owned() };
    assert_eq!(conversion.problems[0].kind, lost);
}

#[test]
fn without_the_choice_a_link_stays_on_the_slot_that_has_its_number() {
    assert_eq!(links(&edited("gone", false, 2)), json!({ "prompt": 1 }));
}
