//! Messages of all sorts: right ones, nearly right ones, and noise.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};

use crate::server::{PROMPTS, TASK, TOOLS, URIS};

/// What requests and notifications name.
pub(crate) const METHODS: [&str; 22] = [
    "initialize",
    "notifications/initialized",
    "notifications/cancelled",
    "ping",
    "logging/setLevel",
    "server/discover",
    "tools/list",
    "tools/call",
    "tools/call",
    "resources/list",
    "resources/templates/list",
    "resources/read",
    "resources/subscribe",
    "resources/unsubscribe",
    "prompts/list",
    "prompts/get",
    "completion/complete",
    "subscriptions/listen",
    "tasks/get",
    "tasks/update",
    "tasks/cancel",
    "tools/",
];

/// Any JSON, not too deep.
pub(crate) fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|number| json!(number)),
        select(vec!["", "add", "test://one", "2026-07-28", "name", "\u{0}\u{1F600}", "1"])
            .prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((key(), inner), 0..4).prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn key() -> impl Strategy<Value = String> {
    prop_oneof![
        select(vec![
            "name",
            "uri",
            "arguments",
            "cursor",
            "_meta",
            "taskId",
            "level",
            "ref",
            "argument",
            "value",
            "type",
            "notifications",
            "inputResponses",
            "requestState",
            "a",
            "b",
            "words",
            "progressToken",
            "requestId",
        ])
        .prop_map(str::to_owned),
        ".{0,8}",
    ]
}

/// Parameters that fit the method.
fn fitting(method: &str) -> BoxedStrategy<Value> {
    let version = select(vec!["2025-06-18", "2025-11-25", "2026-07-28", "1999-01-01"]);
    let typed = (select(vec!["ref/prompt", "ref/resource", "ref/x"]), ".{0,3}");
    match method {
        "initialize" => version
            .prop_map(|version| {
                let client = json!({"name": "x", "version": "1"});
                json!({"protocolVersion": version, "capabilities": {"elicitation": {}}, "clientInfo": client})
            })
            .boxed(),
        "tools/call" => call().boxed(),
        "resources/read" | "resources/subscribe" | "resources/unsubscribe" => {
            select(URIS.to_vec()).prop_map(|uri| json!({"uri": uri})).boxed()
        }
        "prompts/get" => (select(PROMPTS.to_vec()), any::<bool>())
            .prop_map(|(name, with)| {
                if with { json!({"name": name, "arguments": {"name": "Ada"}}) } else { json!({"name": name}) }
            })
            .boxed(),
        "completion/complete" => typed
            .prop_map(|(kind, typed)| {
                let reference = json!({"type": kind, "name": "greet", "uri": "test://{name}"});
                json!({"ref": reference, "argument": {"name": "name", "value": typed}})
            })
            .boxed(),
        "logging/setLevel" => {
            select(vec!["debug", "error", "loud"]).prop_map(|level| json!({"level": level})).boxed()
        }
        "subscriptions/listen" => Just(json!({"notifications": {
            "toolsListChanged": true, "resourceSubscriptions": URIS, "taskIds": [TASK],
        }}))
        .boxed(),
        "tasks/get" | "tasks/update" | "tasks/cancel" => {
            select(vec![TASK, "task-2"]).prop_map(|id| json!({"taskId": id, "inputResponses": {}})).boxed()
        }
        "notifications/cancelled" => (0_i64..4).prop_map(|id| json!({"requestId": id})).boxed(),
        _ => prop_oneof![
            3 => Just(json!({})),
            1 => "[A-Za-z0-9_-]{0,12}".prop_map(|cursor| json!({"cursor": cursor})),
        ]
        .boxed(),
    }
}

fn call() -> impl Strategy<Value = Value> {
    let answers = json!({"name": {"action": "accept", "content": {"name": "Ada"}}, "roots": {"roots": []}});
    let tool = || select(TOOLS.to_vec());
    prop_oneof![
        tool().prop_map(|name| json!({"name": name})),
        (tool(), json_value()).prop_map(|(name, arguments)| json!({"name": name, "arguments": arguments})),
        (tool(), any::<i64>(), any::<f64>())
            .prop_map(|(name, a, b)| json!({"name": name, "arguments": {"a": a, "b": b}})),
        Just(json!({"name": "ask", "inputResponses": answers})),
        (tool(), json_value(), ".{0,20}").prop_map(|(name, responses, state)| {
            json!({"name": name, "inputResponses": responses, "requestState": state})
        }),
    ]
}

/// What a client may say of itself.
fn capabilities() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => Just(json!({"elicitation": {}, "roots": {}, "extensions": {"io.modelcontextprotocol/tasks": {}}})),
        1 => Just(json!({})),
        1 => Just(json!({"elicitation": {}, "roots": {}})),
        1 => Just(json!({"extensions": {"io.modelcontextprotocol/tasks": {}}, "sampling": {}})),
        1 => json_value(),
    ]
}

fn modern_meta() -> impl Strategy<Value = Value> {
    let version = prop_oneof![9 => Just(json!("2026-07-28")), 1 => json_value()];
    let level = prop_oneof![Just(json!("debug")), Just(json!("loud")), json_value()];
    (version, capabilities(), proptest::option::of(level), proptest::option::of(0_i64..9)).prop_map(
        |(version, capabilities, level, token)| {
            let mut meta = Map::new();
            meta.insert("io.modelcontextprotocol/protocolVersion".to_owned(), version);
            meta.insert("io.modelcontextprotocol/clientCapabilities".to_owned(), capabilities);
            meta.extend(level.map(|level| ("io.modelcontextprotocol/logLevel".to_owned(), level)));
            meta.extend(token.map(|token| ("progressToken".to_owned(), json!(token))));
            Value::Object(meta)
        },
    )
}

fn id() -> impl Strategy<Value = Option<Value>> {
    prop_oneof![
        6 => any::<i64>().prop_map(|id| Some(json!(id))),
        2 => "[a-z]{0,4}".prop_map(|id| Some(json!(id))),
        1 => Just(None),
        1 => json_value().prop_map(Some),
    ]
}

/// A message as JSON. `modern` puts what the modern era wants into most of them.
pub(crate) fn message(modern: bool) -> impl Strategy<Value = Value> {
    let fits = select(METHODS.to_vec())
        .prop_flat_map(|method| fitting(method).prop_map(move |params| (json!(method), Some(params))));
    let does_not = (select(METHODS.to_vec()), proptest::option::of(json_value()))
        .prop_map(|(method, params)| (json!(method), params));
    let odd = (json_value(), proptest::option::of(json_value()));
    let call = prop_oneof![10 => fits, 2 => does_not, 1 => odd];
    let meta = if modern {
        prop_oneof![9 => modern_meta().prop_map(Some), 1 => json_value().prop_map(Some), 1 => Just(None)]
            .boxed()
    } else {
        prop_oneof![
            8 => Just(None),
            2 => (0_i64..9).prop_map(|token| Some(json!({"progressToken": token}))),
            1 => modern_meta().prop_map(Some),
            1 => json_value().prop_map(Some),
        ]
        .boxed()
    };
    let extra = proptest::option::weighted(0.1, (key(), json_value()));
    (id(), call, meta, extra).prop_map(|(id, (method, params), meta, extra)| {
        let mut message = Map::from_iter([("jsonrpc".to_owned(), json!("2.0"))]);
        message.extend(id.map(|id| ("id".to_owned(), id)));
        message.insert("method".to_owned(), method);
        let params = match (params, meta) {
            (Some(Value::Object(mut params)), Some(meta)) => {
                params.insert("_meta".to_owned(), meta);
                Some(Value::Object(params))
            }
            (None, Some(meta)) => Some(json!({"_meta": meta})),
            (params, _) => params,
        };
        message.extend(params.map(|params| ("params".to_owned(), params)));
        message.extend(extra);
        Value::Object(message)
    })
}

/// What stands on one line, shown as text.
#[derive(Clone)]
pub(crate) struct Line(pub(crate) Vec<u8>);

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(&self.0))
    }
}

/// A line: mostly a message, sometimes a part of one, or noise.
pub(crate) fn line(modern: bool) -> impl Strategy<Value = Line> {
    prop_oneof![
        12 => message(modern).prop_map(|message| message.to_string().into_bytes()),
        1 => (message(modern), any::<prop::sample::Index>()).prop_map(|(message, cut)| {
            let text = message.to_string().into_bytes();
            text[..cut.index(text.len())].to_vec()
        }),
        1 => vec(any::<u8>(), 0..64),
        1 => json_value().prop_map(|value| value.to_string().into_bytes()),
        1 => (1_usize..4000).prop_map(|depth| "[".repeat(depth).into_bytes()),
        1 => (1_usize..4000).prop_map(|depth| {
            format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{}"#, r#"{"a":"#.repeat(depth)).into_bytes()
        }),
    ]
    .prop_map(|mut line| {
        line.retain(|byte| *byte != b'\n');
        Line(line)
    })
}
