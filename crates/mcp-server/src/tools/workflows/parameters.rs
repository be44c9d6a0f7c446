//! What a parameter takes, shown and as a schema.

use serde::Serialize;
use serde_json::{Map, Value, json};
use workflow_analyzer::InputKind;

use crate::catalog::expose::Parameter;

/// Choices that are shown; the others are counted.
const MAX_SHOWN: usize = 12;
/// Choices that a tool's schema has room for: of a longer list, such as all checkpoints, the schema says nothing.
const MAX_ENUM: usize = 24;
/// Of their texts, in bytes.
const MAX_ENUM_BYTES: usize = 800;
/// Of a description in a tool's schema, in characters.
const MAX_DESCRIPTION: usize = 200;
/// Of a value that is shown, in characters.
const MAX_VALUE: usize = 300;
/// How an image is given.
const IMAGE: &str = "Artifact id or URI, data: URI, or base64";

/// A parameter as a person or an agent is shown it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ParameterView {
    pub(crate) name: String,
    pub(crate) r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) title: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) min: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max: Option<Value>,
    /// The first of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) choices: Vec<Value>,
    /// How many there are beside them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) more_choices: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) default: Option<Value>,
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) required: bool,
    /// The inputs that get the value, as `node.input`.
    pub(crate) sets: Vec<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes it like that")]
fn is_false(flag: &bool) -> bool {
    !flag
}

impl From<&Parameter> for ParameterView {
    fn from(parameter: &Parameter) -> Self {
        let (min, max) = bounds(&parameter.kind);
        let choices = choices(&parameter.kind);
        Self {
            name: parameter.name.clone(),
            r#type: type_name(&parameter.kind),
            title: parameter.title.clone(),
            description: parameter.description.clone(),
            min,
            max,
            choices: choices.iter().take(MAX_SHOWN).cloned().collect(),
            more_choices: choices.len().checked_sub(MAX_SHOWN).filter(|more| *more > 0),
            default: parameter.value.as_ref().map(shortened),
            required: parameter.required,
            sets: parameter.bindings.iter().map(|at| format!("{}.{}", at.node, at.input)).collect(),
        }
    }
}

/// The schema of a parameter as an argument of a tool.
pub(super) fn schema(parameter: &Parameter) -> Value {
    let mut schema = Map::new();
    if let Some(name) = json_type(&parameter.kind) {
        schema.insert("type".into(), name.into());
    }
    let text =
        parameter.description.as_ref().or(parameter.title.as_ref()).map(|text| cut(text, MAX_DESCRIPTION));
    let text = if is_image(&parameter.kind) {
        Some(text.map_or(IMAGE.to_owned(), |text| format!("{text} ({IMAGE})")))
    } else {
        text
    };
    if let Some(text) = text {
        schema.insert("description".into(), text.into());
    }
    let (min, max) = bounds(&parameter.kind);
    schema.extend(min.map(|min| ("minimum".to_owned(), min)));
    schema.extend(max.map(|max| ("maximum".to_owned(), max)));
    let choices = choices(&parameter.kind);
    let bytes: usize = choices.iter().map(|choice| choice.to_string().len() + 1).sum();
    if !choices.is_empty() && choices.len() <= MAX_ENUM && bytes <= MAX_ENUM_BYTES {
        schema.insert("enum".into(), choices.into());
    }
    let short = |value: &&Value| value.to_string().len() <= MAX_DESCRIPTION;
    if let Some(default) = parameter.value.as_ref().filter(short).filter(|_| !is_image(&parameter.kind)) {
        schema.insert("default".into(), default.clone());
    }
    Value::Object(schema)
}

pub(super) fn is_image(kind: &InputKind) -> bool {
    matches!(kind, InputKind::Combo { upload: true, .. })
}

/// The text, at most so many characters of it.
pub(super) fn cut(text: &str, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

fn shortened(value: &Value) -> Value {
    match value.as_str() {
        Some(text) => cut(text, MAX_VALUE).into(),
        None if value.to_string().len() <= MAX_VALUE => value.clone(),
        None => json!("…"),
    }
}

fn type_name(kind: &InputKind) -> &'static str {
    match kind {
        InputKind::Int { .. } => "integer",
        InputKind::Float { .. } => "number",
        InputKind::String { .. } => "text",
        InputKind::Boolean => "boolean",
        InputKind::Combo { upload: true, .. } => "image",
        InputKind::Combo { .. } => "choice",
        InputKind::Link { .. } | InputKind::Dynamic { .. } => "any",
    }
}

fn json_type(kind: &InputKind) -> Option<&'static str> {
    match kind {
        InputKind::Int { .. } => Some("integer"),
        InputKind::Float { .. } => Some("number"),
        InputKind::String { .. } => Some("string"),
        InputKind::Boolean => Some("boolean"),
        InputKind::Combo { options, multiselect: false, .. } => {
            options.iter().all(Value::is_string).then_some("string")
        }
        _ => None,
    }
}

/// The bounds that say something: none beyond what a number can be.
fn bounds(kind: &InputKind) -> (Option<Value>, Option<Value>) {
    /// Larger ones stand for no bound at all.
    const LARGE: i128 = 1 << 53;
    match kind {
        InputKind::Int { min, max, .. } => {
            let plain = |bound: &i128| i64::try_from(*bound).ok().filter(|_| bound.abs() < LARGE);
            (min.as_ref().and_then(plain).map(Value::from), max.as_ref().and_then(plain).map(Value::from))
        }
        InputKind::Float { min, max, .. } => {
            let plain = |bound: &f64| Some(Value::from(*bound)).filter(|_| bound.abs() < LARGE as f64);
            (min.as_ref().and_then(plain), max.as_ref().and_then(plain))
        }
        _ => (None, None),
    }
}

/// What may be chosen; of images nothing: a call brings its own.
fn choices(kind: &InputKind) -> Vec<Value> {
    match kind {
        InputKind::Combo { options, upload: false, multiselect: false } => options.clone(),
        _ => Vec::new(),
    }
}
