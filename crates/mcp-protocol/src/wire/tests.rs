use jsonrpsee::types::ErrorObject;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{CallToolResult, Content, Message, ParseError, ProtocolVersion, RequestId, request, response};

fn outcome(text: &str) -> String {
    match Message::parse(text.as_bytes()) {
        Ok(Message::Request(request)) => format!("request {:?} {}", request.id, request.method),
        Ok(Message::Notification { method, .. }) => format!("notification {method}"),
        Ok(Message::Response(response)) => {
            format!("response {:?} ok={}", response.id, response.payload.is_ok())
        }
        Err(ParseError::Syntax(_)) => "syntax".to_owned(),
        Err(ParseError::Invalid { id, .. }) => format!("invalid {id:?}"),
    }
}

#[test]
fn envelopes() {
    let cases = [
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#, "request Number(1) ping"),
        (r#"{"jsonrpc":"2.0","id":-1,"method":"ping"}"#, "request Number(-1) ping"),
        (r#"{"jsonrpc":"2.0","id":"a","method":"ping"}"#, r#"request String("a") ping"#),
        (r#"{"jsonrpc":"2.0","method":"ping\u002fpong"}"#, "notification ping/pong"),
        (r#"{"jsonrpc":"2.0","id":1,"result":null}"#, "response Some(Number(1)) ok=true"),
        (r#"{"jsonrpc":"2.0","error":{"code":-1,"message":"m"}}"#, "response None ok=false"),
        (r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, "invalid None"),
        (r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#, "invalid None"),
        (r#"{"jsonrpc":"2.0","id":18446744073709551615,"method":"ping"}"#, "invalid None"),
        (r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#, "invalid Some(Number(1))"),
        (r#"{"id":1,"method":"ping"}"#, "invalid Some(Number(1))"),
        (r#"{"jsonrpc":"2.0","id":1,"method":7}"#, "invalid Some(Number(1))"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":[1]}"#, "invalid Some(Number(1))"),
        (r#"{"jsonrpc":"2.0","id":1}"#, "invalid Some(Number(1))"),
        (
            r#"{"jsonrpc":"2.0","id":1,"result":1,"error":{"code":1,"message":"m"}}"#,
            "invalid Some(Number(1))",
        ),
        (r#" [{"jsonrpc":"2.0","id":1,"method":"ping"}]"#, "invalid None"),
        ("7", "invalid None"),
        ("", "syntax"),
        ("{", "syntax"),
        ("nonsense", "syntax"),
    ];
    for (text, expected) in cases {
        assert_eq!(outcome(text), expected, "{text}");
    }
}

#[test]
fn written_messages() {
    let id = RequestId::Number(-7);
    let text = request(&id, "ping", &json!({})).expect("a request");
    assert_eq!(text, r#"{"jsonrpc":"2.0","id":-7,"method":"ping","params":{}}"#);
    let error = Err(ErrorObject::owned::<()>(-32700, "bad", None));
    assert_eq!(response(None, &error), r#"{"jsonrpc":"2.0","error":{"code":-32700,"message":"bad"}}"#);
}

#[test]
fn versions() {
    for version in ProtocolVersion::SUPPORTED {
        assert_eq!(version.as_str().parse(), Ok(version));
        assert_eq!(json!(version), json!(version.as_str()));
    }
    assert!("2025-03-26".parse::<ProtocolVersion>().is_err());
}

#[test]
fn results_survive_the_wire() {
    let link = Content::ResourceLink {
        uri: "pictures://artifacts/1".to_owned(),
        name: "1.png".to_owned(),
        title: None,
        description: None,
        mime_type: Some("image/png".to_owned()),
        size: Some(5),
    };
    let result = CallToolResult {
        content: vec![Content::text("hello"), Content::image(&b"\x00\x01"[..], "image/png"), link],
        structured_content: Some(json!({"a": 1})),
        ..CallToolResult::default()
    };
    let written = serde_json::to_value(&result).expect("a result");
    assert_eq!(
        written,
        json!({
            "content": [
                {"type": "text", "text": "hello"},
                {"type": "image", "data": "AAE=", "mimeType": "image/png"},
                {"type": "resource_link", "uri": "pictures://artifacts/1", "name": "1.png", "mimeType": "image/png", "size": 5},
            ],
            "structuredContent": {"a": 1},
        })
    );
    assert_eq!(serde_json::from_value::<CallToolResult>(written).expect("a result"), result);
    let newer = json!({"content": [{"type": "hologram", "depth": 3}]});
    let read: CallToolResult = serde_json::from_value(newer).expect("a result of a later revision");
    assert_eq!(read.content, [Content::Unknown]);
}

proptest! {
    #[test]
    fn junk_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        _ = Message::parse(&bytes);
    }

    #[test]
    fn almost_messages_never_panic(id in "(1|-1|null|\"x\"|\\{\\}|1e9|[0-9]{1,30})", rest in "[a-z\"{}:,\\[\\]0-9 ]{0,40}") {
        _ = Message::parse(format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"m",{rest}}}"#).as_bytes());
    }

    #[test]
    fn every_id_comes_back(number in any::<i64>(), text in ".*") {
        for id in [RequestId::Number(number), RequestId::String(text.clone())] {
            let written = request(&id, "m", &Value::Null).expect("a request");
            let Ok(Message::Request(read)) = Message::parse(written.replace(r#","params":null"#, "").as_bytes()) else {
                return Err(TestCaseError::fail("not a request"));
            };
            prop_assert_eq!(read.id, id);
        }
    }
}
