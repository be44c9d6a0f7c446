use serde_json::json;

use super::{Descriptor, Seed};

#[test]
fn a_sidecar_says_what_a_workflow_is_for() {
    let text = r#"
title = "Portrait"
description = "A head and shoulders picture"
tool = true
seed = "random"

[parameters.who]
target = "6.text"
required = true

[parameters.age]
min = 18
max = 90.5
default = 30

[parameters.mood]
choices = ["calm", "merry"]
"#;
    let read = Descriptor::parse(text).unwrap();
    assert_eq!((read.title.as_deref(), read.tool, read.seed), (Some("Portrait"), true, Some(Seed::Random)));
    let names: Vec<_> = read.parameters.iter().map(|parameter| parameter.name.as_str()).collect();
    assert_eq!(names, ["who", "age", "mood"], "in the order of the text");
    assert_eq!(read.parameters[0].target.as_deref(), Some("6.text"));
    assert_eq!(read.parameters[1].default, Some(json!(30)));
    assert_eq!(read.parameters[1].max.as_ref().and_then(serde_json::Number::as_f64), Some(90.5));
    assert_eq!(read.parameters[2].choices, Some(vec![json!("calm"), json!("merry")]));
    assert_eq!(Descriptor::parse("").unwrap(), Descriptor::default());
}

#[test]
fn a_fault_names_its_line_and_what_to_write() {
    let cases = [
        ("tool = true\ntitel = \"x\"", 2, "did you mean `title`"),
        ("\n\ntool = \"yes\"", 3, "true or false"),
        ("[parameters.a]\nminimum = 1", 2, "did you mean `min`"),
        ("[parameters.a]\n\n[parameters.b]\nmin = \"x\"", 4, "is a number"),
        ("[parameters.\"a b\"]", 1, "can't name a parameter"),
        ("\n[parameters.priority]", 2, "another name"),
        ("parameters = 1", 1, "[parameters.NAME]"),
        ("seed = 7", 1, "\"random\" or \"fixed\""),
        ("title = ", 1, ""),
        ("[parameters.a]\nchoices = []", 2, "1 to 200"),
        ("[parameters.a]\ndefault = [1]", 2, "a text, a number"),
        ("tool = true\ntool = false", 2, "duplicate"),
    ];
    for (text, line, problem) in cases {
        let fault = Descriptor::parse(text).unwrap_err();
        assert!(fault.line == line && fault.problem.contains(problem), "{text:?}: {fault:?}");
    }
    let long = format!("description = \"{}\"", "x".repeat(700));
    assert!(Descriptor::parse(&long).unwrap_err().problem.contains("at most 600"));
}
