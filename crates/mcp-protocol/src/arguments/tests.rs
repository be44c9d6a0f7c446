use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::ArgumentCheck;
use crate::schema;

#[derive(Deserialize, JsonSchema)]
#[expect(dead_code, reason = "only the schema is looked at")]
struct Args {
    prompt: String,
    #[schemars(range(min = 64, max = 4096))]
    width: Option<u32>,
    sampler: Option<Sampler>,
    loras: Option<Vec<Lora>>,
}

#[derive(Deserialize, JsonSchema)]
#[expect(dead_code, reason = "only the schema is looked at")]
struct Lora {
    name: String,
    strength: Option<f64>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Sampler {
    Euler,
    DpmFast,
}

fn check(arguments: Value) -> Result<Map<String, Value>, String> {
    let check = ArgumentCheck::new(schema::input::<Args>()).expect("a schema");
    let Value::Object(arguments) = arguments else { panic!("arguments are an object") };
    check.check(arguments).map_err(|error| {
        assert_eq!(error.code, "invalid_arguments");
        error.message
    })
}

#[test]
fn each_problem_names_its_field_and_what_would_be_right() {
    let cases = [
        (json!({}), "`prompt` is required"),
        (json!({"prompt": 7}), "`prompt` has to be of type string, not 7"),
        (json!({"prompt": null}), "`prompt` has to be of type string, not null"),
        (
            json!({"prompt": "", "width": "wide"}),
            r#"`width` has to be of type integer, not the string "wide""#,
        ),
        (json!({"prompt": "", "width": 9000}), "`width` has to be at most 4096, not 9000"),
        (json!({"prompt": "", "width": 1}), "`width` has to be at least 64, not 1"),
        (json!({"prompt": "", "widht": 64}), "`widht` is not an argument; did you mean `width`?"),
        (
            json!({"prompt": "", "zzz": 1}),
            "`zzz` is not an argument; there are: prompt, width, sampler, loras",
        ),
        (
            json!({"prompt": "", "sampler": "eular"}),
            r#"`sampler` has to be one of "euler", "dpm_fast", not the string "eular"; did you mean "euler"?"#,
        ),
        (json!({"prompt": "", "loras": [{"name": "a"}, {"strength": 1}]}), "`loras[1].name` is required"),
        (
            json!({"prompt": "", "loras": [{"name": "a", "strenght": 1}]}),
            "`loras[0].strenght` is not an argument; did you mean `strength`?",
        ),
        (json!({"widht": 1}), "`widht` is not an argument; did you mean `width`?; `prompt` is required"),
    ];
    for (arguments, message) in cases {
        let problem = check(arguments.clone()).expect_err("a problem");
        let both: Vec<&str> = message.split("; `prompt` is").collect();
        assert!(both.iter().all(|part| problem.contains(part)), "{arguments}: {problem}");
    }
}

#[test]
fn what_fits_passes() {
    let passed = check(json!({"prompt": "a", "width": 512.0, "sampler": null, "loras": null})).expect("fits");
    assert_eq!(Value::Object(passed), json!({"prompt": "a", "width": 512}));
}

#[test]
fn large_values_are_not_repeated() {
    let message = check(json!({"prompt": "", "width": "x".repeat(100_000)})).expect_err("a problem");
    assert!(message.len() < 300, "{message}");
}

#[test]
fn schemas_that_cannot_be_used() {
    for schema in [json!({}), json!({"type": "string"}), json!({"type": "object", "properties": 7})] {
        assert!(ArgumentCheck::new(schema.clone()).is_err(), "{schema}");
    }
}
