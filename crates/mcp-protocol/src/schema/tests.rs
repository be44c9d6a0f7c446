use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Normaliser, input, output};

/// A LoRA.
#[derive(Serialize, Deserialize, JsonSchema)]
struct Lora {
    /// Its file.
    name: String,
    strength: Option<f64>,
}

/// Which way.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Mode {
    Fast,
    Good,
}

/// All there is
/// to say.
#[derive(Serialize, Deserialize, JsonSchema)]
struct Args {
    /// What the picture
    /// shows.
    prompt: String,
    /// In pixels.
    #[schemars(range(min = 64, max = 4096))]
    width: Option<u32>,
    seed: Option<u64>,
    mode: Option<Mode>,
    /// Chained in order.
    #[serde(default)]
    loras: Vec<Lora>,
    base: Option<Lora>,
    overrides: Option<BTreeMap<String, Value>>,
    any: Option<Value>,
}

#[test]
fn inputs_say_only_what_a_model_needs() {
    let schema = input::<Args>();
    let expected = json!({
        "type": "object",
        "properties": {
            "prompt": {"type": "string", "description": "What the picture shows."},
            "width": {"type": "integer", "description": "In pixels.", "minimum": 64, "maximum": 4096},
            "seed": {"type": "integer", "minimum": 0},
            "mode": {"type": "string", "enum": ["fast", "good"], "description": "Which way."},
            "loras": {
                "type": "array",
                "description": "Chained in order.",
                "items": {"$ref": "#/$defs/Lora"},
                "default": [],
            },
            "base": {"$ref": "#/$defs/Lora"},
            "overrides": {"type": "object", "additionalProperties": true},
            "any": true,
        },
        "required": ["prompt"],
        "additionalProperties": false,
        "$defs": {
            "Lora": {
                "type": "object",
                "description": "A LoRA.",
                "properties": {
                    "name": {"type": "string", "description": "Its file."},
                    "strength": {"type": "number"},
                },
                "required": ["name"],
                "additionalProperties": false,
            },
        },
    });
    assert_eq!(schema, expected, "{schema:#}");
}

#[derive(Serialize, JsonSchema)]
struct NoArgs {}

#[derive(Serialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[expect(dead_code, reason = "only its schema is looked at")]
enum Report {
    /// It is done.
    Done { files: Vec<String> },
    /// Not yet.
    Waiting { position: Option<u32> },
}

#[test]
fn outputs_are_objects_without_descriptions() {
    let schema = output::<Report>();
    assert_eq!(schema["type"], "object");
    assert!(!schema.to_string().contains("description"), "{schema}");
    assert!(!schema.to_string().contains("null"), "{schema}");
    assert_eq!(input::<NoArgs>(), json!({"type": "object", "additionalProperties": false}));
}

#[test]
fn what_is_answered_fits_its_schema() {
    let schema = output::<Args>();
    let args = Args {
        prompt: "a dog".to_owned(),
        width: None,
        seed: Some(u64::MAX),
        mode: Some(Mode::Good),
        loras: vec![Lora { name: "x".to_owned(), strength: None }],
        base: None,
        overrides: Some(BTreeMap::from([("a".to_owned(), Value::Null)])),
        any: None,
    };
    let mut value = serde_json::to_value(args).expect("a value");
    Normaliser::new(&schema).normalise(&mut value);
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    assert!(validator.is_valid(&value), "{value} against {schema:#}");
    assert_eq!(value["seed"], json!(u64::MAX), "64 bits survive");
    assert_eq!(value["loras"], json!([{"name": "x"}]));
    assert_eq!(value["overrides"], json!({"a": null}), "a null that means something stays");
}

#[test]
fn nulls_and_whole_floats_are_what_models_send() {
    let schema = input::<Args>();
    let mut value = json!({
        "prompt": null, "width": 512.0, "seed": null, "mode": null, "base": {"name": "x", "strength": null},
        "loras": [{"name": "y", "strength": null}], "any": null,
    });
    Normaliser::new(&schema).normalise(&mut value);
    let expected = json!({
        "prompt": null, "width": 512, "base": {"name": "x"}, "loras": [{"name": "y"}], "any": null,
    });
    assert_eq!(value, expected, "a required null stays, so that it is an error");
}

#[derive(Deserialize, JsonSchema)]
#[expect(dead_code, reason = "only its schema is looked at")]
struct Tree {
    size: Option<u32>,
    children: Vec<Tree>,
}

#[test]
fn types_that_contain_themselves_end() {
    let schema = input::<Tree>();
    assert!(
        jsonschema::validator_for(&schema)
            .expect("a schema")
            .is_valid(&json!({"children": [{"children": []}]}))
    );
    let forest = Normaliser::new(&input::<BTreeMap<String, Tree>>());
    let mut value = json!({"a": {"size": null, "children": [{"size": 2.0, "children": []}]}});
    forest.normalise(&mut value);
    assert_eq!(value, json!({"a": {"children": [{"size": 2, "children": []}]}}));
}
