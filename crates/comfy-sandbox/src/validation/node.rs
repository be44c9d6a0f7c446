//! The checks of one node and of those that it is linked to.

use std::cmp::Ordering;

use indexmap::IndexMap;
use serde_json::{Map, Value, json};

use crate::{
    catalog::{Catalog, InputSpec},
    data::DataDir,
    python::{self, Exception},
};

/// A chain of links longer than this ends as Python's recursion limit ends it: invalid, without a reason.
pub(crate) const MAX_DEPTH: usize = 200;
/// Longer lists of options are left out of the answer.
const MAX_LISTED_OPTIONS: usize = 20;

/// Checks the nodes of one graph, each once.
pub(super) struct Checker<'a> {
    catalog: &'a Catalog,
    data: &'a DataDir,
    graph: Map<String, Value>,
    /// Whether each node that was checked is valid, and the reasons if it isn't.
    checked: IndexMap<String, (bool, Vec<Value>)>,
    /// The nodes whose checks are under way.
    path: Vec<String>,
}

/// What came of one input.
enum Outcome {
    /// It is fine, with this value in the place of the one that came.
    Converted(Value),
    Fine,
    Wrong(Value),
    /// What it is linked to is invalid; that node has the reasons.
    WrongUpstream,
}

impl<'a> Checker<'a> {
    pub(super) fn new(catalog: &'a Catalog, data: &'a DataDir, graph: Map<String, Value>) -> Self {
        Self { catalog, data, graph, checked: IndexMap::new(), path: Vec::new() }
    }

    /// Whether an output node and all it needs are valid.
    pub(super) fn check_output(&mut self, id: &str) -> bool {
        let checked = self.check(id);
        checked.unwrap_or_else(|exception| {
            self.path.clear();
            let reason = json!({
                "type": "exception_during_validation",
                "message": "Exception when validating node",
                "details": exception.message,
                "extra_info": {"exception_type": exception.kind, "traceback": traceback()},
            });
            self.checked.insert(id.to_owned(), (false, vec![reason]));
            false
        })
    }

    pub(super) fn reasons(&self, id: &str) -> &[Value] {
        self.checked.get(id).map_or(&[], |(_, reasons)| reasons)
    }

    /// The invalid nodes that have reasons.
    pub(super) fn wrong(&self) -> impl Iterator<Item = (&String, &Vec<Value>)> {
        self.checked
            .iter()
            .filter(|(_, (valid, reasons))| !valid && !reasons.is_empty())
            .map(|(id, (_, reasons))| (id, reasons))
    }

    pub(super) fn class_type(&self, id: &str) -> Value {
        self.graph.get(id).map(|node| node["class_type"].clone()).unwrap_or_default()
    }

    pub(super) fn into_graph(self) -> Map<String, Value> {
        self.graph
    }

    fn check(&mut self, id: &str) -> Result<bool, Exception> {
        if let Some((valid, _)) = self.checked.get(id) {
            return Ok(*valid);
        }
        if self.path.len() >= MAX_DEPTH || self.path.iter().any(|node| node == id) {
            return Ok(false);
        }
        self.path.push(id.to_owned());
        let (valid, reasons) = self.check_inputs(id)?;
        self.path.pop();
        self.checked.insert(id.to_owned(), (valid, reasons));
        Ok(valid)
    }

    fn check_inputs(&mut self, id: &str) -> Result<(bool, Vec<Value>), Exception> {
        let class_type = python::text(&self.class_type(id));
        let inputs = self.graph.get(id).and_then(|node| node.get("inputs"));
        let Some(inputs) = inputs.cloned() else {
            return Err(Exception::key_error(&json!("inputs")));
        };
        let Value::Object(inputs) = inputs else {
            return Err(Exception::type_error("argument of this type is not a mapping"));
        };
        let mut valid = true;
        let mut reasons = Vec::new();
        for spec in self.catalog.inputs(&class_type, self.data) {
            let outcome = match inputs.get(&spec.name) {
                Some(Value::Array(link)) => self.check_link(&spec, link)?,
                Some(value) => self.check_value(&class_type, &spec, value),
                None if spec.required => Outcome::Wrong(missing(&spec)),
                None => Outcome::Fine,
            };
            match outcome {
                Outcome::Fine => {}
                Outcome::Converted(value) => self.graph[id]["inputs"][&spec.name] = value,
                Outcome::Wrong(reason) => reasons.push(reason),
                Outcome::WrongUpstream => valid = false,
            }
        }
        Ok((valid && reasons.is_empty(), reasons))
    }

    fn check_link(&mut self, spec: &InputSpec, link: &[Value]) -> Result<Outcome, Exception> {
        let [node, slot] = link else { return Ok(Outcome::Wrong(bad_link(spec, link))) };
        let Some(source) = node.as_str().filter(|node| self.graph.contains_key(*node)) else {
            return Err(missing_key(node));
        };
        let outputs = Catalog::outputs(&python::text(&self.class_type(source)));
        let received = output_type(outputs, slot)?;
        if !types_match(received, spec.kind()) {
            return Ok(Outcome::Wrong(mismatch(spec, link, received)));
        }
        let depth = self.path.len();
        match self.check(source) {
            Ok(true) => Ok(Outcome::Fine),
            Ok(false) => Ok(Outcome::WrongUpstream),
            Err(exception) => {
                self.path.truncate(depth);
                // The exception is told of the node that raised it, with the input of the one that asked.
                let reason = inner_exception(spec, link, &exception);
                self.checked.insert(source.to_owned(), (false, vec![reason]));
                Ok(Outcome::WrongUpstream)
            }
        }
    }

    fn check_value(&self, class_type: &str, spec: &InputSpec, value: &Value) -> Outcome {
        let value = value.get("__value__").unwrap_or(value);
        let converted = match spec.kind().as_str() {
            Some("INT") => python::int(value),
            Some("FLOAT") => python::float(value),
            Some("STRING") => Ok(Value::String(python::text(value))),
            Some("BOOLEAN") => Ok(Value::Bool(python::truthy(value))),
            _ => Ok(value.clone()),
        };
        let converted = match converted {
            Ok(converted) => converted,
            Err(exception) => return Outcome::Wrong(unconvertible(spec, value, &exception)),
        };
        if checks_itself(class_type, &spec.name) {
            return self.check_file(spec, converted);
        }
        if let Some(reason) = out_of_bounds(spec, &converted).or_else(|| not_an_option(spec, &converted)) {
            return Outcome::Wrong(reason);
        }
        Outcome::Converted(converted)
    }

    /// What LoadImage checks in the place of its list of options: files in subfolders and of other folders are fine.
    fn check_file(&self, spec: &InputSpec, value: Value) -> Outcome {
        let name = python::text(&value);
        if self.data.resolve_annotated(&name).is_some() {
            return Outcome::Converted(value);
        }
        let details = format!("{} - Invalid image file: {name}", spec.name);
        let message = "Custom validation failed for node";
        let info = json!({"input_name": spec.name});
        Outcome::Wrong(reason("custom_validation_failed", message, &details, &info))
    }
}

fn reason(kind: &str, message: &str, details: &str, extra_info: &Value) -> Value {
    json!({"type": kind, "message": message, "details": details, "extra_info": extra_info})
}

fn bad_link(spec: &InputSpec, link: &[Value]) -> Value {
    let message = "Bad linked input, must be a length-2 list of [node_id, slot_index]";
    let info = json!({"input_name": spec.name, "input_config": spec.config, "received_value": link});
    reason("bad_linked_input", message, &spec.name, &info)
}

fn mismatch(spec: &InputSpec, link: &[Value], received: &Value) -> Value {
    let (received_text, expected) = (python::text(received), python::text(spec.kind()));
    let details = format!("{}, received_type({received_text}) mismatch input_type({expected})", spec.name);
    let info = json!({
        "input_name": spec.name, "input_config": spec.config, "received_type": received, "linked_node": link,
    });
    reason("return_type_mismatch", "Return type mismatch between linked nodes", &details, &info)
}

fn inner_exception(spec: &InputSpec, link: &[Value], exception: &Exception) -> Value {
    let info = json!({
        "input_name": spec.name, "input_config": spec.config,
        "exception_message": exception.message, "exception_type": exception.kind,
        "traceback": traceback(), "linked_node": link,
    });
    let message = "Exception when validating inner node";
    reason("exception_during_inner_validation", message, &exception.message, &info)
}

fn traceback() -> Value {
    json!(["  comfy-sandbox, validation\n"])
}

fn checks_itself(class_type: &str, input: &str) -> bool {
    matches!((class_type, input), ("LoadImage" | "LoadImageMask", "image"))
}

fn missing(spec: &InputSpec) -> Value {
    let info = json!({"input_name": spec.name});
    reason("required_input_missing", "Required input is missing", &spec.name, &info)
}

fn missing_key(key: &Value) -> Exception {
    match key {
        Value::Array(_) => Exception::type_error("unhashable type: 'list'"),
        Value::Object(_) => Exception::type_error("unhashable type: 'dict'"),
        key => Exception::key_error(key),
    }
}

fn output_type<'v>(outputs: &'v [Value], slot: &Value) -> Result<&'v Value, Exception> {
    let Some(slot) = slot.as_i64() else {
        return Err(Exception::type_error("tuple indices must be integers or slices, not str"));
    };
    let slot = usize::try_from(slot).ok().and_then(|slot| outputs.get(slot));
    slot.ok_or_else(|| Exception { kind: "IndexError", message: "tuple index out of range".to_owned() })
}

/// Types are names, perhaps several with commas between; `*` fits all; a combo fits one with the same options.
fn types_match(received: &Value, expected: &Value) -> bool {
    let (Some(received), Some(expected)) = (received.as_str(), expected.as_str()) else {
        return received == expected || (expected.is_array() && received == "COMBO");
    };
    let mut kinds = received.split(',').map(str::trim);
    kinds.all(|kind| {
        kind == "*" || expected.split(',').any(|wanted| wanted.trim() == kind || wanted.trim() == "*")
    })
}

fn unconvertible(spec: &InputSpec, value: &Value, exception: &str) -> Value {
    let kind = python::text(spec.kind());
    let message = format!("Failed to convert an input value to a {kind} value");
    let details = format!("{}, {}, {exception}", spec.name, python::text(value));
    let info = json!({
        "input_name": spec.name, "input_config": spec.config, "received_value": value,
        "exception_message": exception,
    });
    reason("invalid_input_type", &message, &details, &info)
}

fn out_of_bounds(spec: &InputSpec, value: &Value) -> Option<Value> {
    let beyond = |bound: &str, order: Ordering| {
        spec.setting(bound).filter(|bound| python::compare(value, bound) == Some(order))
    };
    let shown = python::text(value);
    let (kind, message) = if let Some(min) = beyond("min", Ordering::Less) {
        ("value_smaller_than_min", format!("Value {shown} smaller than min of {}", python::text(min)))
    } else if let Some(max) = beyond("max", Ordering::Greater) {
        ("value_bigger_than_max", format!("Value {shown} bigger than max of {}", python::text(max)))
    } else {
        return None;
    };
    let info = json!({"input_name": spec.name, "input_config": spec.config, "received_value": value});
    Some(reason(kind, &message, &spec.name, &info))
}

fn not_an_option(spec: &InputSpec, value: &Value) -> Option<Value> {
    let options = spec.options()?;
    if options.contains(value) {
        return None;
    }
    let (listed, config) = if options.len() > MAX_LISTED_OPTIONS {
        (format!("(list of length {})", options.len()), Value::Null)
    } else {
        (python::repr(&json!(options)), spec.config.clone())
    };
    let details = format!("{}: '{}' not in {listed}", spec.name, python::text(value));
    let info = json!({"input_name": spec.name, "input_config": config, "received_value": value});
    Some(reason("value_not_in_list", "Value not in list", &details, &info))
}
