//! The names by which a call sets parameters: those that a sidecar gives, titles of nodes, and the analysis' own.

use std::collections::BTreeSet;

use serde_json::{Map, Value};
use workflow_analyzer::edit::{self, EditError};
use workflow_analyzer::{Analysis, Binding, InputKind, ObjectInfo, Parameter, analyze, nearest};

use crate::catalog::{Workflow, expose};
use crate::error::ServerError;

/// Names to offer instead of a wrong one.
const NEAREST: usize = 3;

/// The values under the names of the analysis, or as `node.input`. Those of the sidecar's parameters are checked against
/// its bounds, and all that it requires has to be there.
pub(super) fn resolve(
    info: &ObjectInfo,
    workflow: &Workflow,
    values: Map<String, Value>,
) -> Result<Map<String, Value>, ServerError> {
    let analysis = analyze(&workflow.graph, info);
    check_exposed(workflow, &values)?;
    let mut resolved: Map<String, Value> = Map::new();
    for (name, value) in values {
        for key in keys(info, workflow, &analysis, &name)? {
            if resolved.get(&key).is_some_and(|before| *before != value) {
                let problem = format!("another argument sets the same input, `{key}`, to another value");
                return Err(ServerError::InvalidArgument { field: name, problem });
            }
            resolved.insert(key, value.clone());
        }
    }
    Ok(resolved)
}

/// Which of the names stand for an image, that is for a file of the input folder. The first name that stands for
/// nothing is the error, as it is when the values are set: what else there is to offer isn't worked out for each.
pub fn images<'a>(
    info: &ObjectInfo,
    workflow: &Workflow,
    names: impl Iterator<Item = &'a String>,
) -> Result<BTreeSet<String>, ServerError> {
    let analysis = analyze(&workflow.graph, info);
    let is_upload = |at: &Binding| {
        let node = workflow.graph.nodes.get(&at.node);
        let spec = node.and_then(|node| info.input_of(node, &at.input));
        spec.is_some_and(|spec| matches!(spec.kind, InputKind::Combo { upload: true, .. }))
    };
    let mut images = BTreeSet::new();
    for name in names {
        let all = bindings(info, workflow, &analysis, name)?;
        if all.is_empty() {
            return Err(unknown(workflow, &analysis, name));
        }
        if all.iter().any(is_upload) {
            images.insert(name.clone());
        }
    }
    Ok(images)
}

fn check_exposed(workflow: &Workflow, values: &Map<String, Value>) -> Result<(), ServerError> {
    let exposed = &workflow.parameters;
    let missing =
        exposed.iter().find(|parameter| parameter.required && !values.contains_key(&parameter.name));
    if let Some(missing) = missing {
        return Err(ServerError::InvalidArgument {
            field: missing.name.clone(),
            problem: "it has to be given".into(),
        });
    }
    // What the node alone says is checked when it is set: there a part of a model's name is enough.
    let narrowed = exposed.iter().filter(|parameter| parameter.narrowed);
    let parameters = narrowed.map(|parameter| Parameter {
        name: parameter.name.clone(),
        bindings: parameter.bindings.clone(),
        kind: parameter.kind.clone(),
        value: parameter.value.clone(),
        default: None,
    });
    let analysis = Analysis { parameters: parameters.collect(), ..Analysis::default() };
    if analysis.parameters.is_empty() {
        return Ok(());
    }
    let of_them = values.iter().filter(|(name, _)| analysis.parameter(name).is_some());
    let values = of_them.map(|(name, value)| (name.clone(), value.clone())).collect();
    Ok(edit::set_parameters(&mut workflow.graph.clone(), &analysis, &values)?)
}

/// What the name is called in the analysis.
fn keys(
    info: &ObjectInfo,
    workflow: &Workflow,
    analysis: &Analysis,
    name: &str,
) -> Result<Vec<String>, ServerError> {
    let exposed = workflow.parameters.iter().any(|parameter| parameter.name == name);
    let bindings = bindings(info, workflow, analysis, name)?;
    let is_plain = |at: &Binding| format!("{}.{}", at.node, at.input) == name;
    if !exposed && (analysis.parameter(name).is_some() || bindings.iter().any(is_plain)) {
        return Ok(vec![name.to_owned()]);
    }
    if bindings.is_empty() {
        return Err(unknown(workflow, analysis, name));
    }
    let known = analysis.parameters.iter().find(|parameter| parameter.bindings == bindings);
    Ok(match known {
        Some(known) => vec![known.name.clone()],
        None => bindings.iter().map(|at| format!("{}.{}", at.node, at.input)).collect(),
    })
}

fn unknown(workflow: &Workflow, analysis: &Analysis, name: &str) -> ServerError {
    let exposed = workflow.parameters.iter().map(|parameter| parameter.name.as_str());
    let found = analysis.parameters.iter().map(|parameter| parameter.name.as_str());
    let near = nearest(name, exposed.chain(found), NEAREST).into_iter().map(str::to_owned).collect();
    let parameter = name.chars().take(120).collect();
    ServerError::Edit(EditError::UnknownParameter { parameter, nearest: near })
}

/// The inputs that the name stands for; empty if there are none.
fn bindings(
    info: &ObjectInfo,
    workflow: &Workflow,
    analysis: &Analysis,
    name: &str,
) -> Result<Vec<Binding>, ServerError> {
    if let Some(parameter) = workflow.parameters.iter().find(|parameter| parameter.name == name) {
        return Ok(parameter.bindings.clone());
    }
    Ok(expose::bindings(&workflow.graph, info, analysis, name)?.unwrap_or_default())
}
