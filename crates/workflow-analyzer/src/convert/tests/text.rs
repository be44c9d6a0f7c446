//! Texts that change before they are sent.

use serde_json::{Value, json};

use super::super::text::{dynamic_prompt, replace_tokens};
use super::{check_inputs, file};

#[test]
fn a_prompt_loses_comments_and_has_its_first_choices() {
    let cases = [
        ("a {red|blue} fox", "a red fox"),
        ("{a|b}{|c}", "a"),
        ("{a {b|c} d|e}", "a b d"),
        ("{x|{y|z}} w", "x w"),
        ("{one}", "one"),
        (r"\{a|b\}", "{a|b}"),
        (r"a\|b \n", r"a|b \n"),
        ("a // all of this\nb", "a \nb"),
        ("a /* this\n */ b", "a  b"),
        ("a /* open", "a /* open"),
        ("a / b | c } d", "a / b | c } d"),
        ("{a|b", "a"),
    ];
    for (text, expected) in cases {
        assert_eq!(dynamic_prompt(text), expected, "{text}");
    }
}

#[test]
fn only_prompts_have_choices() {
    check_inputs("Encode", json!(["{a|b} // c"]), &json!({ "text": "a " }));
    let kinds = json!([true, 1, "{a|b}", "{a|b} // c"]);
    let graph = super::graph(&super::alone("Kinds", kinds));
    assert_eq!(graph["1"]["inputs"]["line"], "{a|b}");
    assert_eq!(graph["1"]["inputs"]["lines"], "{a|b} // c");
}

#[test]
fn names_of_files_take_values_of_nodes() {
    let name = |node: &str, widget: &str| (node == "S" && widget == "seed").then(|| "a/b:7".to_owned());
    let cases = [
        ("%S.seed%_%S.nope%_%T.seed%", "a_b_7_%S.nope%_%T.seed%"),
        ("%width%_100%", "%width%_100%"),
        ("%%S.seed%", "%a_b_7"),
        ("%S.seed.x%", "%S.seed.x%"),
        ("%date:yyyy-MM-dd hh:mm:ss%", "%year%-%month%-%day% %hour%:%minute%:%second%"),
    ];
    for (text, expected) in cases {
        assert_eq!(replace_tokens(text, name), expected, "{text}");
    }
}

/// What the name of a file becomes in a graph with these nodes.
fn named(name: &str, others: &Value, definitions: &[Value]) -> String {
    let mut info = super::info();
    let mut save = info.classes["Save"].clone();
    save.name = "SaveImage".to_owned();
    info.classes.insert(save.name.clone(), save);
    let mut nodes = others.as_array().unwrap().clone();
    nodes.push(json!({ "id": 40, "type": "SaveImage", "widgets_values": [name] }));
    let document = super::subgraphs::with_definitions(file(&nodes.into(), &json!([])), definitions);
    let graph = crate::convert(&document, &info).unwrap().graph.to_json();
    graph["40"]["inputs"]["filename_prefix"].as_str().unwrap().to_owned()
}

#[test]
fn a_node_is_known_by_its_name_or_its_title() {
    let nodes = json!([
        { "id": 1, "type": "Sample", "title": "Mine", "widgets_values": [42] },
        { "id": 2, "type": "Load", "title": "Other", "properties": { "Node name for S&R": "Model" } },
        { "id": 3, "type": "Tune", "widgets_values": [8.0] },
    ]);
    let name = "%Mine.seed%_%Model.name%_%Other.name%_%Nobody.name%_%Tune.strength%_%Sample.steps%";
    let expected = "42_a.safetensors_a.safetensors_%Nobody.name%_8_20";
    assert_eq!(named(name, &nodes, &[]), expected);
    // The editor fills in nothing for a class that isn't its own.
    check_inputs(
        "Save",
        json!(["%Save.filename_prefix%"]),
        &json!({ "filename_prefix": "%Save.filename_prefix%" }),
    );
}

#[test]
fn the_nodes_of_a_subgraph_come_before_it_in_the_search() {
    let nodes = json!([{ "id": 2, "type": "enc", "title": "Encode", "widgets_values": ["outside"] },
        { "id": 3, "type": "Encode", "widgets_values": ["later"] }]);
    let encoder = super::subgraphs::encoder();
    assert_eq!(named("%Encode.text%", &nodes, std::slice::from_ref(&encoder)), "inside");
    let nodes = json!([{ "id": 2, "type": "enc", "title": "Mine", "widgets_values": ["outside"] }]);
    assert_eq!(named("%Mine.text%", &nodes, &[encoder]), "outside");
}
