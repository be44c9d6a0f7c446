//! Texts that change before they are sent.

use serde_json::json;

use super::super::text::{dynamic_prompt, replace_tokens};
use super::{check, check_inputs, file};

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

#[test]
fn a_node_is_known_by_its_name_or_its_title() {
    let nodes = json!([
        { "id": 1, "type": "Sample", "title": "Mine", "widgets_values": [42] },
        { "id": 2, "type": "Load", "title": "Other", "properties": { "Node name for S&R": "Model" } },
        { "id": 3, "type": "Save", "widgets_values": ["%Mine.seed%_%Model.name%_%Other.name%_%Nobody.name%"] },
    ]);
    check(
        &file(&nodes, &json!([])),
        &json!({
            "1": ["Sample", { "seed": 42, "steps": 20, "sampler": "euler" }],
            "2": ["Load", { "name": "a.safetensors" }],
            "3": ["Save", { "filename_prefix": "42_a.safetensors_a.safetensors_%Nobody.name%" }],
        }),
    );
}
