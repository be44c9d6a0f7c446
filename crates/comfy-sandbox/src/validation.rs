//! What ComfyUI answers to a graph before it goes into the queue: the same checks, with the same texts.

mod node;
#[cfg(test)]
mod tests;

use indexmap::IndexMap;
use serde_json::{Map, Value, json};

use self::node::Checker;
pub(crate) use self::node::MAX_DEPTH;
use crate::{catalog::Catalog, data::DataDir};

/// More nodes than this are refused; ComfyUI has no bound.
const MAX_NODES: usize = 5000;

/// What became of a graph.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Verdict {
    Accepted {
        /// The graph with its values converted to the types of the inputs.
        graph: Value,
        /// The output nodes that can run.
        outputs: Vec<String>,
        /// What is wrong with those that can't.
        node_errors: Value,
    },
    Refused {
        error: Value,
        node_errors: Value,
    },
    /// ComfyUI's handler raises an exception: 500 with a text.
    Broken,
}

/// Checks a graph. `targets` restricts the output nodes that are asked for.
pub(crate) fn validate(
    catalog: &Catalog,
    data: &DataDir,
    prompt: &Value,
    targets: Option<&[String]>,
) -> Verdict {
    let graph = match prompt {
        Value::Object(graph) => graph.clone(),
        Value::Array(items) if items.is_empty() => Map::new(),
        Value::String(text) if text.is_empty() => Map::new(),
        _ => return Verdict::Broken,
    };
    if graph.len() > MAX_NODES {
        let message = format!("The sandbox takes no more than {MAX_NODES} nodes.");
        return refused("invalid_prompt", &message, "", json!({}));
    }
    let outputs = match find_outputs(&graph, targets) {
        Ok(outputs) if outputs.is_empty() => {
            return refused("prompt_no_outputs", "Prompt has no outputs", "", json!({}));
        }
        Ok(outputs) => outputs,
        Err(verdict) => return *verdict,
    };
    check_outputs(Checker::new(catalog, data, graph), &outputs)
}

/// The error of a whole prompt, as `POST /prompt` gives it.
pub(crate) fn error(kind: &str, message: &str, details: &str) -> Value {
    json!({"type": kind, "message": message, "details": details, "extra_info": {}})
}

fn refused(kind: &str, message: &str, details: &str, node_errors: Value) -> Verdict {
    Verdict::Refused { error: error(kind, message, details), node_errors }
}

fn find_outputs(graph: &Map<String, Value>, targets: Option<&[String]>) -> Result<Vec<String>, Box<Verdict>> {
    let mut outputs = Vec::new();
    for (id, node) in graph {
        let class_type = match node {
            Value::Object(node) => node.get("class_type"),
            // A text or a list can be asked whether it holds something; a number can't, and raises.
            Value::Array(_) | Value::String(_) => None,
            Value::Null | Value::Bool(_) | Value::Number(_) => return Err(Box::new(Verdict::Broken)),
        };
        let place = format!("Node ID '#{id}'");
        let Some(class_type) = class_type else {
            let message = "Cannot execute because a node is missing the class_type property.";
            return Err(Box::new(refused("invalid_prompt", message, &place, json!({}))));
        };
        if class_type.is_array() || class_type.is_object() {
            return Err(Box::new(Verdict::Broken));
        }
        let class_type = crate::python::text(class_type);
        if !Catalog::has_class(&class_type) {
            let message = format!("Cannot execute because node {class_type} does not exist.");
            return Err(Box::new(refused("invalid_prompt", &message, &place, json!({}))));
        }
        if Catalog::is_output(&class_type) && targets.is_none_or(|targets| targets.contains(id)) {
            outputs.push(id.clone());
        }
    }
    Ok(outputs)
}

fn check_outputs(mut checker: Checker<'_>, outputs: &[String]) -> Verdict {
    let mut good = Vec::new();
    let mut details = Vec::new();
    let mut node_errors: IndexMap<String, (Value, Vec<String>)> = IndexMap::new();
    for output in outputs {
        if checker.check_output(output) {
            good.push(output.clone());
            continue;
        }
        for reason in checker.reasons(output) {
            details.push(format!("{}: {}", text(&reason["message"]), text(&reason["details"])));
        }
        // A node downstream of a wrong one is invalid too but has no reasons of its own, and is not reported.
        for (id, reasons) in checker.wrong() {
            let entry = node_errors.entry(id.clone()).or_insert_with(|| (json!(reasons), Vec::new()));
            entry.1.push(output.clone());
        }
    }
    let node_errors: Map<String, Value> = node_errors
        .into_iter()
        .map(|(id, (errors, dependent_outputs))| {
            let class_type = checker.class_type(&id);
            let error =
                json!({"errors": errors, "dependent_outputs": dependent_outputs, "class_type": class_type});
            (id, error)
        })
        .collect();
    let node_errors = Value::Object(node_errors);
    if good.is_empty() {
        let message = "Prompt outputs failed validation";
        return refused("prompt_outputs_failed_validation", message, &details.join("\n"), node_errors);
    }
    Verdict::Accepted { graph: Value::Object(checker.into_graph()), outputs: good, node_errors }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
