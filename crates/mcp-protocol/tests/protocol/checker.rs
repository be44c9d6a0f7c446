//! Holds what a server sends against the published schema of a revision.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex};

use jsonschema::Validator;
use serde_json::{Value, json};

/// A published revision, or the schema of an extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Revision {
    /// 2025-06-18.
    June2025,
    /// 2025-11-25.
    November2025,
    /// 2026-07-28.
    July2026,
    /// The tasks extension of 2026-07-28.
    Tasks,
}

impl Revision {
    /// The date on the wire.
    pub fn date(self) -> &'static str {
        match self {
            Revision::June2025 => "2025-06-18",
            Revision::November2025 => "2025-11-25",
            Revision::July2026 | Revision::Tasks => "2026-07-28",
        }
    }

    /// Whether requests carry their revision themselves.
    pub fn is_modern(self) -> bool {
        matches!(self, Revision::July2026 | Revision::Tasks)
    }

    fn text(self) -> &'static str {
        match self {
            Revision::June2025 => include_str!("schema/2025-06-18.json"),
            Revision::November2025 => include_str!("schema/2025-11-25.json"),
            Revision::July2026 => include_str!("schema/2026-07-28.json"),
            Revision::Tasks => include_str!("schema/tasks.json"),
        }
    }

    fn definitions(self) -> &'static str {
        if self == Revision::June2025 { "definitions" } else { "$defs" }
    }
}

/// What was asked, as far as the answer's shape depends on it.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The revision that the request is in.
    pub revision: Revision,
    /// Its method.
    pub method: String,
}

/// Why a message is forbidden, or `None`. `asked` is what the message answers.
pub fn finding(message: &Value, revision: Revision, asked: Option<&Asked>) -> Option<String> {
    let Some(object) = message.as_object() else { return Some("a message is no object".to_owned()) };
    let method = object.get("method").and_then(Value::as_str);
    match (method, object.contains_key("id")) {
        (Some(_), true) if revision.is_modern() => Some("a modern server sends no requests".to_owned()),
        (Some(_), true) => against(revision, "ServerRequest", message),
        (Some("notifications/tasks"), false) => against(Revision::Tasks, "TaskStatusNotification", message),
        (Some(_), false) => against(revision, "ServerNotification", message),
        (None, _) if object.contains_key("error") => error_finding(message, revision, asked),
        (None, _) => result_finding(message, asked?),
    }
}

fn error_finding(message: &Value, revision: Revision, asked: Option<&Asked>) -> Option<String> {
    match (revision, asked) {
        // An error about what can't be read has no id; the first revision has no shape for it.
        (Revision::June2025, None) => against(Revision::November2025, "JSONRPCErrorResponse", message),
        (Revision::June2025, Some(_)) => against(revision, "JSONRPCError", message),
        _ => against(revision, "JSONRPCErrorResponse", message),
    }
}

fn result_finding(message: &Value, asked: &Asked) -> Option<String> {
    let envelope =
        if asked.revision == Revision::June2025 { "JSONRPCResponse" } else { "JSONRPCResultResponse" };
    let revision = asked.revision;
    let result = &message["result"];
    let result_type = result.get("resultType").and_then(Value::as_str);
    let (schema, definition) = match (asked.method.as_str(), result_type) {
        (_, Some("input_required")) => (revision, "InputRequiredResult"),
        ("tools/call", Some("task")) => (Revision::Tasks, "CreateTaskResult"),
        ("initialize", _) => (revision, "InitializeResult"),
        ("server/discover", _) => (revision, "DiscoverResult"),
        ("tools/list", _) => (revision, "ListToolsResult"),
        ("tools/call", _) => (revision, "CallToolResult"),
        ("resources/list", _) => (revision, "ListResourcesResult"),
        ("resources/templates/list", _) => (revision, "ListResourceTemplatesResult"),
        ("resources/read", _) => (revision, "ReadResourceResult"),
        ("prompts/list", _) => (revision, "ListPromptsResult"),
        ("prompts/get", _) => (revision, "GetPromptResult"),
        ("completion/complete", _) => (revision, "CompleteResult"),
        ("subscriptions/listen", _) => (revision, "SubscriptionsListenResult"),
        ("tasks/get", _) => (Revision::Tasks, "GetTaskResult"),
        ("tasks/update" | "tasks/cancel", _) => (Revision::Tasks, "UpdateTaskResult"),
        _ => (revision, "EmptyResult"),
    };
    against(revision, envelope, message).or_else(|| against(schema, definition, result))
}

/// Holds a value against a definition.
fn against(revision: Revision, definition: &'static str, value: &Value) -> Option<String> {
    type Compiled = HashMap<(Revision, &'static str), Option<&'static Validator>>;
    static COMPILED: LazyLock<Mutex<Compiled>> = LazyLock::new(Mutex::default);
    let validator =
        *COMPILED.lock().unwrap().entry((revision, definition)).or_insert_with(|| {
            compile(revision, definition).map(|validator| &*Box::leak(Box::new(validator)))
        });
    let Some(validator) = validator else {
        return Some(format!("{} has no {definition}", revision.date()));
    };
    let errors: Vec<_> =
        validator.iter_errors(value).map(|error| format!("{error} at {}", error.instance_path())).collect();
    (!errors.is_empty()).then(|| format!("{definition} of {}: {}", revision.date(), errors.join("; ")))
}

/// `None` if the revision has no such definition.
fn compile(revision: Revision, definition: &str) -> Option<Validator> {
    let mut schema: Value = serde_json::from_str(revision.text()).unwrap();
    let definitions = revision.definitions();
    schema[definitions].get(definition)?;
    schema["$ref"] = json!(format!("#/{definitions}/{definition}"));
    Some(jsonschema::validator_for(&schema).unwrap())
}
