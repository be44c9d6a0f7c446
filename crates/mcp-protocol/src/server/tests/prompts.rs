//! Prompts and completion.

use serde_json::{Value, json};

use super::server;
use crate::testing::Caller;

#[tokio::test]
async fn a_prompt_is_filled() {
    let caller = Caller::of(&server()).await;
    let arguments = json!({"name": "Ada", "language": "French"});
    let filled = caller.ask("prompts/get", json!({"name": "greeting", "arguments": arguments})).await;
    assert_eq!(filled["description"], "Greets somebody.");
    let content = json!({"type": "text", "text": "Greet Ada in French."});
    assert_eq!(filled["messages"], json!([{"role": "user", "content": content}]));
    let short = caller.ask("prompts/get", json!({"name": "greeting", "arguments": {"name": "Ada"}})).await;
    assert_eq!(short["messages"][0]["content"]["text"], "Greet Ada in English.");
}

#[tokio::test]
async fn arguments_that_do_not_fit_are_named() {
    let caller = Caller::of(&server()).await;
    let cases = [
        (json!({"name": "greeting"}), r#"prompt greeting needs the argument "name""#),
        (json!({"name": "greeting", "arguments": {"name": 12}}), r#"argument "name" has to be a string"#),
        (
            json!({"name": "greeting", "arguments": {"name": "Ada", "tone": "warm"}}),
            r#"prompt greeting has no argument "tone"; it has: name, language"#,
        ),
        (json!({"name": "greetings"}), r#"there is no prompt "greetings"; did you mean "greeting"?"#),
        (json!({"name": "poem"}), r#"there is no prompt "poem"; prompts/list names those there are"#),
    ];
    for (params, message) in cases {
        let refused = caller.refused("prompts/get", params).await;
        assert_eq!((&refused["code"], &refused["message"]), (&json!(-32602), &json!(message)));
    }
    assert_eq!(caller.code("prompts/get", json!({"name": "greeting", "arguments": ["Ada"]})).await, -32602);
}

fn of_prompt(name: &str, argument: &str, value: &str) -> Value {
    json!({"ref": {"type": "ref/prompt", "name": name}, "argument": {"name": argument, "value": value}})
}

#[tokio::test]
async fn completion_gives_a_hundred_at_most() {
    let caller = Caller::of(&server()).await;
    let names = caller.ask("completion/complete", of_prompt("greeting", "name", "")).await;
    let values = names["completion"]["values"].as_array().unwrap();
    assert_eq!((values.len(), &values[99]), (100, &json!("name-99")));
    assert_eq!(names["completion"]["hasMore"], true);
}

#[tokio::test]
async fn completion_goes_by_what_is_typed_and_known() {
    let caller = Caller::of(&server()).await;
    let mut params = of_prompt("greeting", "language", "eng");
    let nothing = caller.ask("completion/complete", params.clone()).await;
    assert_eq!(nothing["completion"], json!({"values": []}));
    params["context"] = json!({"arguments": {"name": "Ada"}});
    let languages = caller.ask("completion/complete", params).await;
    let expected = json!({"values": ["English", "Old English"], "total": 2, "hasMore": false});
    assert_eq!(languages["completion"], expected, "those that begin with it come first");

    let of_template = |uri: &str| {
        let argument = json!({"name": "id", "value": "1"});
        json!({"ref": {"type": "ref/resource", "uri": uri}, "argument": argument})
    };
    let ids = caller.ask("completion/complete", of_template("test://a/{id}")).await;
    assert_eq!(ids["completion"]["values"], json!(["1", "12"]));
    let none = caller.ask("completion/complete", of_template("test://b/{id}")).await;
    assert_eq!(none["completion"]["values"], json!([]));

    for params in
        [of_prompt("poem", "name", ""), json!({"ref": {"type": "ref/tool", "name": "echo"}}), json!({})]
    {
        assert_eq!(caller.code("completion/complete", params).await, -32602);
    }
}
