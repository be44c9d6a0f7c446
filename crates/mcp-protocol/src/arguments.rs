//! Arguments against the input schema, with answers that a model can act on.

use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::paths::{Location, LocationSegment};
use jsonschema::{ValidationError, Validator};
use serde_json::{Map, Value, json};

use crate::error::quoted;
use crate::nearest::nearest;
use crate::schema::Normaliser;
use crate::tool::ToolError;

/// A compiled input schema.
#[derive(Debug)]
pub(crate) struct ArgumentCheck {
    schema: Value,
    normaliser: Normaliser,
    validator: Validator,
}

impl ArgumentCheck {
    /// Fails with the reason if the schema isn't one, or isn't that of an object.
    pub(crate) fn new(schema: Value) -> Result<ArgumentCheck, String> {
        if schema.get("type").is_none_or(|kind| kind != "object") {
            return Err(r#"its root has to have the type "object""#.to_owned());
        }
        let validator =
            jsonschema::draft202012::options().build(&schema).map_err(|error| error.to_string())?;
        Ok(ArgumentCheck { normaliser: Normaliser::new(&schema), schema, validator })
    }

    /// The arguments as the tool wants them, or every problem with them.
    pub(crate) fn check(&self, arguments: Map<String, Value>) -> Result<Map<String, Value>, ToolError> {
        const MOST: usize = 10;
        let mut arguments = Value::Object(arguments);
        self.normaliser.normalise(&mut arguments);
        if self.validator.is_valid(&arguments) {
            let Value::Object(arguments) = arguments else { return Ok(Map::new()) };
            return Ok(arguments);
        }
        let mut problems: Vec<Problem> = self
            .validator
            .iter_errors(&arguments)
            .take(MOST)
            .flat_map(|error| self.problems(&error))
            .collect();
        problems.truncate(MOST);
        let message = problems.iter().map(Problem::text).collect::<Vec<_>>().join("; ");
        let list: Vec<Value> = problems
            .iter()
            .map(|problem| json!({ "field": problem.field, "message": problem.message }))
            .collect();
        Err(ToolError::new(ToolError::INVALID_ARGUMENTS, message).data(json!({ "problems": list })))
    }

    fn problems(&self, error: &ValidationError<'_>) -> Vec<Problem> {
        let path = error.instance_path();
        match error.kind() {
            ValidationErrorKind::AdditionalProperties { unexpected } => {
                let known = self.known_at(path);
                unexpected.iter().map(|name| unknown(&child(path, name), name, &known)).collect()
            }
            ValidationErrorKind::Required { property } => {
                let field = child(path, property.as_str().unwrap_or_default());
                vec![Problem { field, message: "is required".to_owned() }]
            }
            kind => vec![Problem { field: dotted(path), message: expectation(kind, error) }],
        }
    }

    /// The names of the properties that the object at `path` may have.
    fn known_at(&self, path: &Location) -> Vec<String> {
        let mut at = &self.schema;
        for segment in path.segments() {
            at = self.resolve(at);
            let next = match segment {
                LocationSegment::Property(name) => {
                    at.get("properties").and_then(|all| all.get(name.as_ref()))
                }
                LocationSegment::Index(_) => at.get("items"),
            };
            let Some(next) = next else { return Vec::new() };
            at = next;
        }
        let properties = self.resolve(at).get("properties").and_then(Value::as_object);
        properties.map(|all| all.keys().cloned().collect()).unwrap_or_default()
    }

    fn resolve<'a>(&'a self, schema: &'a Value) -> &'a Value {
        let target = schema.get("$ref").and_then(Value::as_str).and_then(|target| target.strip_prefix('#'));
        target.and_then(|pointer| self.schema.pointer(pointer)).unwrap_or(schema)
    }
}

struct Problem {
    /// Dotted, with indexes in brackets; empty for the arguments as a whole.
    field: String,
    message: String,
}

impl Problem {
    fn text(&self) -> String {
        if self.field.is_empty() {
            return self.message.clone();
        }
        format!("`{}` {}", self.field, self.message)
    }
}

fn unknown(field: &str, name: &str, known: &[String]) -> Problem {
    let message = match nearest(name, known.iter().map(String::as_str)) {
        Some(near) => format!("is not an argument; did you mean `{near}`?"),
        None if known.is_empty() => "is not an argument; there are none here".to_owned(),
        None => format!("is not an argument; there are: {}", known.join(", ")),
    };
    Problem { field: field.to_owned(), message }
}

fn expectation(kind: &ValidationErrorKind, error: &ValidationError<'_>) -> String {
    let got = describe(error.instance());
    match kind {
        ValidationErrorKind::Type { kind: TypeKind::Single(kind) } => {
            format!("has to be of type {kind}, not {got}")
        }
        ValidationErrorKind::Minimum { limit } => format!("has to be at least {limit}, not {got}"),
        ValidationErrorKind::Maximum { limit } => format!("has to be at most {limit}, not {got}"),
        ValidationErrorKind::ExclusiveMinimum { limit } => format!("has to be above {limit}, not {got}"),
        ValidationErrorKind::ExclusiveMaximum { limit } => format!("has to be below {limit}, not {got}"),
        ValidationErrorKind::MinLength { limit } => format!("has to have at least {limit} characters"),
        ValidationErrorKind::MaxLength { limit } => format!("has to have at most {limit} characters"),
        ValidationErrorKind::MinItems { limit } => format!("has to have at least {limit} items"),
        ValidationErrorKind::MaxItems { limit } => format!("has to have at most {limit} items"),
        ValidationErrorKind::Enum { options } => one_of(options, error.instance(), &got),
        ValidationErrorKind::AnyOf { .. } | ValidationErrorKind::OneOfNotValid { .. } => {
            format!("fits none of the forms it may have; got {got}")
        }
        _ => format!("is not valid: {}; got {got}", error.masked()),
    }
}

fn one_of(options: &Value, instance: &Value, got: &str) -> String {
    let options = options.as_array().map(Vec::as_slice).unwrap_or_default();
    let list = options.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let near = instance.as_str().and_then(|name| nearest(name, options.iter().filter_map(Value::as_str)));
    match near {
        Some(near) => format!("has to be one of {list}, not {got}; did you mean {}?", json!(near)),
        None => format!("has to be one of {list}, not {got}"),
    }
}

/// What came, without its bulk.
fn describe(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(text) => format!("the string {}", quoted(text)),
        Value::Array(items) => format!("an array of {}", items.len()),
        Value::Object(_) => "an object".to_owned(),
    }
}

fn dotted(path: &Location) -> String {
    let mut text = String::new();
    for segment in path.segments() {
        match segment {
            LocationSegment::Property(name) if text.is_empty() => text.push_str(&name),
            LocationSegment::Property(name) => text.extend([".", name.as_ref()]),
            LocationSegment::Index(index) => text.extend(["[", &index.to_string(), "]"]),
        }
    }
    text
}

fn child(path: &Location, name: &str) -> String {
    match dotted(path) {
        parent if parent.is_empty() => name.to_owned(),
        parent => format!("{parent}.{name}"),
    }
}

#[cfg(test)]
mod tests;
