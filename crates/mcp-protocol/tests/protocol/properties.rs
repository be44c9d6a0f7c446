//! The properties themselves, over stdio and over HTTP.

use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{TestCaseError, TestRunner};
use serde_json::{Value, json};

use crate::checker::{Asked, Revision, finding};
use crate::conversation::{converse, exchange};
use crate::messages::{Line, METHODS, json_value, line, message};

fn cases(number: u32) -> ProptestConfig {
    ProptestConfig { cases: number, failure_persistence: None, ..ProptestConfig::default() }
}

fn headers_for(body: &Value, odd: Option<(usize, String)>) -> Vec<(String, String)> {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
    let target = ["name", "uri", "taskId"].iter().find_map(|name| body.get("params")?.get(name)?.as_str());
    let mut headers = vec![
        ("content-type", "application/json".to_owned()),
        ("accept", "application/json, text/event-stream".to_owned()),
        ("mcp-protocol-version", "2026-07-28".to_owned()),
        ("mcp-method", text(body.get("method"))),
        ("mcp-name", target.unwrap_or_default().to_owned()),
    ];
    if let Some((place, value)) = odd {
        let place = place % headers.len();
        headers[place].1 = value;
    }
    headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn over_a_connection(lines: Vec<Line>, legacy: Option<Revision>) -> Result<(), TestCaseError> {
    let lines: Vec<_> = lines.into_iter().map(|line| line.0).collect();
    converse(&lines, legacy).map(drop).map_err(TestCaseError::fail)
}

proptest! {
    #![proptest_config(cases(192))]

    #[test]
    fn a_modern_connection_answers_what_the_schema_allows(lines in vec(line(true), 1..12)) {
        over_a_connection(lines, None)?;
    }

    #[test]
    fn a_connection_of_2025_11_25_answers_what_the_schema_allows(lines in vec(line(false), 1..12)) {
        over_a_connection(lines, Some(Revision::November2025))?;
    }

    #[test]
    fn a_connection_of_2025_06_18_answers_what_the_schema_allows(lines in vec(line(false), 1..12)) {
        over_a_connection(lines, Some(Revision::June2025))?;
    }
}

proptest! {
    #![proptest_config(cases(512))]

    #[test]
    fn a_modern_post_is_answered_as_the_schema_allows(
        body in message(true),
        odd in proptest::option::weighted(0.2, (0_usize..5, ".{0,20}")),
    ) {
        let headers = headers_for(&body, odd);
        exchange(&headers, body.to_string().as_bytes()).map_err(TestCaseError::fail)?;
    }

    #[test]
    fn any_body_is_answered(
        body in prop_oneof![line(true), json_value().prop_map(|json| Line(json.to_string().into_bytes()))],
    ) {
        let headers = headers_for(&json!({"method": "tools/list"}), None);
        exchange(&headers, &body.0).map_err(TestCaseError::fail)?;
    }
}

/// Without this the properties could hold for want of anything that gets through.
#[test]
fn the_messages_reach_every_method() {
    let mut runner = TestRunner::deterministic();
    let mut reached = BTreeSet::new();
    for modern in [true, false] {
        let messages: Vec<Value> = (0..1000)
            .map(|id| {
                let mut message = message(modern).new_tree(&mut runner).unwrap().current();
                message["id"] = json!(id);
                message
            })
            .collect();
        for some in messages.chunks(100) {
            let lines: Vec<_> = some.iter().map(|message| message.to_string().into_bytes()).collect();
            let answers = converse(&lines, (!modern).then_some(Revision::November2025)).unwrap();
            for answer in answers.iter().filter(|answer| answer.get("result").is_some()) {
                let asked = some.iter().find(|message| message["id"] == answer["id"]);
                let result_type = answer["result"]["resultType"].as_str().unwrap_or("legacy");
                let method = asked.and_then(|message| message["method"].as_str()).unwrap_or_default();
                reached.insert(format!("{method} {result_type}"));
            }
        }
    }
    let requests = METHODS.iter().filter(|name| !name.starts_with("notifications/") && **name != "tools/");
    for method in requests.filter(|name| **name != "subscriptions/listen") {
        assert!(
            reached.iter().any(|reached| reached.starts_with(&format!("{method} "))),
            "{method}: {reached:?}"
        );
    }
    for kind in ["tools/call input_required", "tools/call task", "resources/read input_required"] {
        assert!(reached.contains(kind), "{kind}: {reached:?}");
    }
}

#[test]
fn the_checker_finds_what_is_forbidden() {
    let asked = |method: &str| Asked { revision: Revision::July2026, method: method.to_owned() };
    let list = json!({"jsonrpc": "2.0", "id": 1, "result": {"resultType": "complete", "tools": [], "ttlMs": 1, "cacheScope": "public"}});
    assert_eq!(finding(&list, Revision::July2026, Some(&asked("tools/list"))), None);
    for (forbidden, method) in [
        (json!({"jsonrpc": "2.0", "id": 1, "result": {"tools": [], "resultType": "complete"}}), "tools/list"),
        (json!({"jsonrpc": "2.0", "id": null, "error": {"code": 1, "message": ""}}), "tools/list"),
        (json!({"jsonrpc": "2.0", "id": 1, "error": {"code": "1", "message": ""}}), "tools/list"),
        (json!({"jsonrpc": "2.0", "id": 1, "method": "roots/list"}), "tools/call"),
        (json!({"jsonrpc": "2.0", "method": "notifications/unknown"}), "tools/call"),
    ] {
        assert!(finding(&forbidden, Revision::July2026, Some(&asked(method))).is_some(), "{forbidden}");
    }
}
