use serde_json::{Value, json};

use super::{InputKind, Nested, ObjectInfo, Shown, WidgetKind};

fn kind(spec: &Value) -> InputKind {
    let document = json!({ "A": { "input": { "required": { "x": spec } }, "output": [] } });
    let mut info = ObjectInfo::from_json(document).unwrap();
    info.classes.get_mut("A").and_then(|class| class.inputs.shift_remove("x")).unwrap().kind
}

#[test]
fn every_way_of_writing_an_input_is_read() {
    let combo = |options: &[&str]| InputKind::Combo {
        options: options.iter().map(|option| json!(option)).collect(),
        upload: false,
        multiselect: false,
    };
    let link = |types: &[&str]| InputKind::Link { types: types.iter().map(|t| (*t).to_owned()).collect() };
    let dynamic = |name: &str| InputKind::Dynamic { name: name.to_owned() };
    let cases = [
        (
            json!(["INT", { "min": 0, "max": 18_446_744_073_709_551_615_u64 }]),
            InputKind::Int { min: Some(0), max: Some(18_446_744_073_709_551_615), step: None },
        ),
        (
            json!(["INT", { "min": 1.0, "max": 1e30, "step": "x" }]),
            InputKind::Int { min: Some(1), max: Some(1e30 as i128), step: None },
        ),
        (
            json!(["FLOAT", { "min": 0, "step": 0.5 }]),
            InputKind::Float { min: Some(0.0), max: None, step: Some(0.5) },
        ),
        (json!(["FLOAT"]), InputKind::Float { min: None, max: None, step: None }),
        (json!(["STRING", { "multiline": true }]), InputKind::String { multiline: true }),
        (json!(["BOOLEAN", 5]), InputKind::Boolean),
        (json!([["a", "b"], {}]), combo(&["a", "b"])),
        (json!([[]]), combo(&[])),
        (json!(["COMBO", { "options": ["a", "b"], "multiselect": false }]), combo(&["a", "b"])),
        (json!(["COMBO", { "remote": {} }]), dynamic("COMBO")),
        (
            json!([["x.png"], { "image_upload": true }]),
            InputKind::Combo { options: vec![json!("x.png")], upload: true, multiselect: false },
        ),
        (json!(["MODEL"]), link(&["MODEL"])),
        (json!("PROMPT"), link(&["PROMPT"])),
        (json!(["IMAGE, MASK"]), link(&["IMAGE", "MASK"])),
        (json!(["COMFY_AUTOGROW_V3", { "template": {} }]), dynamic("COMFY_AUTOGROW_V3")),
        (json!([]), dynamic("")),
        (json!(7), dynamic("")),
    ];
    for (spec, expected) in cases {
        assert_eq!(kind(&spec), expected, "{spec}");
    }
}

#[test]
fn classes_of_any_shape_do_not_stop_the_others() {
    let document = json!({
        "Odd": { "input": 5, "output": "x" },
        "NotEven": 7,
        "Old": { "input": { "required": null, "hidden": { "p": "PROMPT" } }, "output": [["a", "b"], "MODEL"] },
        "Fine": { "input": { "optional": { "vae": ["VAE"] } }, "output": ["IMAGE"], "output_node": true },
    });
    let info = ObjectInfo::from_json(document).unwrap();
    assert_eq!(info.classes.len(), 3);
    let old = info.class("Old").unwrap();
    assert!(old.inputs.is_empty());
    assert_eq!(old.outputs.iter().map(|output| output.kind.as_str()).collect::<Vec<_>>(), ["COMBO", "MODEL"]);
    let fine = info.class("Fine").unwrap();
    assert!(fine.output_node && !fine.inputs["vae"].required && fine.takes("VAE") && fine.gives("IMAGE"));
    assert!(ObjectInfo::from_json(json!([])).is_err());
}

#[test]
fn the_well_known_classes_are_there() {
    let info = ObjectInfo::well_known();
    assert!(info.options("KSampler", "sampler_name").contains(&"euler"));
    assert!(info.options("CheckpointLoaderSimple", "ckpt_name").is_empty());
    assert!(info.class("SaveImage").unwrap().output_node);
    assert!(info.options("NoSuchClass", "x").is_empty());
}

#[test]
fn what_the_editor_makes_of_inputs_is_kept() {
    let document = json!({ "A": {
        "input": {
            "required": {
                "b": ["INT", { "control_after_generate": "fixed" }],
                "a": ["STRING", { "multiline": true, "dynamicPrompts": true }],
                "size": ["COMFY_DYNAMICCOMBO_V3", { "options": [
                    { "key": "as it is", "inputs": {} },
                    { "key": "other", "inputs": { "required": { "width": ["INT", { "default": 8 }] } } },
                    "odd",
                ] }],
            },
            "optional": {
                "link": ["INT", { "forceInput": true, "control_after_generate": false }],
                "all": ["COMFY_AUTOGROW_V3", { "template": {
                    "input": { "required": { "image": ["IMAGE", {}] } }, "prefix": "image", "min": 1, "max": 9 } }],
                "one": ["COMFY_MATCHTYPE_V3", { "template": { "allowed_types": "IMAGE, MASK" } }],
                "path": ["STRING,FILE_3D", { "widgetType": "STRING" }],
                "file": [["x.png"], { "image_upload": true }],
            },
        },
        "input_order": { "required": ["a", "b"], "optional": ["gone"] },
        "output": [],
    } });
    let info = ObjectInfo::from_json(document).unwrap();
    let inputs = &info.class("A").unwrap().inputs;
    let names: Vec<_> = inputs.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        ["a", "b", "size", "link", "all", "one", "path", "file"],
        "the order that the server gives"
    );
    let editor = |name: &str| &inputs[name].editor;
    assert_eq!(
        (editor("b").control, editor("link").control, editor("a").control),
        (Some(true), Some(false), None)
    );
    assert!(
        editor("a").dynamic_prompts && editor("link").shown == Shown::Socket && editor("file").upload_button
    );
    assert_eq!(editor("path").widget, Some(WidgetKind::Text));
    assert_eq!(editor("one").widget, None);
    assert_eq!(editor("one").nested.as_deref(), Some(&Nested::AnyOf(vec!["IMAGE".into(), "MASK".into()])));
    let Some(Nested::Options(options)) = editor("size").nested.as_deref() else {
        panic!("{:?}", editor("size"))
    };
    assert_eq!(options.iter().map(|option| option.key.as_str()).collect::<Vec<_>>(), ["as it is", "other"]);
    assert_eq!(options[1].inputs["width"].default, Some(json!(8)));
    let Some(Nested::Grow(grow)) = editor("all").nested.as_deref() else { panic!("{:?}", editor("all")) };
    assert_eq!((grow.prefix.as_str(), grow.min, grow.max), ("image", 1, Some(9)));
    assert!(grow.input.kind.takes("IMAGE"));
}
