//! Values for the parameters of a graph: set, and told.

use std::collections::HashMap;

use serde_json::{Map, Value, json};
use workflow_analyzer::{Analysis, Graph, analyze, edit};

use super::draft::Draft;
use crate::error::ServerError;

/// What a caller is told of a graph, beside its LoRAs.
const TOLD: [&str; 12] = [
    "model",
    "width",
    "height",
    "batch_size",
    "steps",
    "cfg",
    "guidance",
    "sampler",
    "scheduler",
    "denoise",
    "controlnet",
    "control_strength",
];

/// Sets the values. A workflow that draws its seed ([`Workflow::draws_seed`](crate::catalog::Workflow::draws_seed)) and isn't
/// given one gets a fresh one, so that the same call makes another picture.
pub(super) fn set(draft: &mut Draft<'_>, mut values: Map<String, Value>) -> Result<(), ServerError> {
    let analysis = analyze(&draft.graph, draft.info);
    check_negative(draft, &analysis, &mut values)?;
    let taken = bindings(&draft.graph, &analysis, &values)?;
    if let Some(seed) = analysis.parameter("seed")
        && draft.workflow.draws_seed(&seed.bindings)
        && !seed.bindings.iter().any(|at| taken.contains_key(&(at.node.as_str(), at.input.as_str())))
    {
        values.insert("seed".into(), fresh_seed().into());
    }
    // It was set before, under its installed name.
    values.remove("model");
    Ok(edit::set_parameters(&mut draft.graph, &analysis, &values)?)
}

/// A workflow without guidance has no place for a negative text. An empty one asks for nothing.
fn check_negative(
    draft: &Draft<'_>,
    analysis: &Analysis,
    values: &mut Map<String, Value>,
) -> Result<(), ServerError> {
    let name = "negative_prompt";
    if !draft.is_shipped() || analysis.parameter(name).is_some() || analysis.parameter("prompt").is_none() {
        return Ok(());
    }
    match values.get(name).map(|text| text.as_str() == Some("")) {
        Some(true) => {
            values.remove(name);
            Ok(())
        }
        Some(false) => Err(ServerError::InvalidArgument {
            field: name.into(),
            problem: format!(
                "the model of {} is run without guidance (cfg 1), so that it would have no effect; leave it out and say \
                 in the prompt what there shall be instead",
                draft.workflow.name
            ),
        }),
        None => Ok(()),
    }
}

/// Without guidance ComfyUI doesn't look at the negative text: one that was given is not dropped in silence.
pub(super) fn tell_unheard(draft: &mut Draft<'_>, analysis: &Analysis) {
    let value = |name: &str| analysis.parameter(name)?.value.as_ref();
    let text = value("negative_prompt").and_then(Value::as_str).unwrap_or_default();
    let is_unguided = value("cfg").and_then(Value::as_f64).is_some_and(|cfg| cfg.total_cmp(&1.0).is_eq());
    if is_unguided && !text.is_empty() && draft.named.contains(text) {
        draft.warnings.push("with cfg 1 the negative prompt has no effect".into());
    }
}

type Place<'a> = (&'a str, &'a str);

/// Which inputs the values go to. Two values for one input are an error: one of them would be dropped.
fn bindings<'a>(
    graph: &'a Graph,
    analysis: &'a Analysis,
    values: &Map<String, Value>,
) -> Result<HashMap<Place<'a>, Value>, ServerError> {
    let mut taken: HashMap<Place<'a>, (String, Value)> = HashMap::new();
    for (name, value) in values {
        for place in places(graph, analysis, name) {
            let before = taken.insert(place, (name.clone(), value.clone()));
            if let Some((other, _)) = before.filter(|(_, before)| before != value) {
                return Err(ServerError::InvalidArgument {
                    field: name.clone(),
                    problem: format!("`{other}` sets the same input to another value"),
                });
            }
        }
    }
    Ok(taken.into_iter().map(|(place, (_, value))| (place, value)).collect())
}

/// The inputs that a parameter's name or `node.input` stands for. Ids and names of inputs may hold points themselves.
fn places<'a>(graph: &'a Graph, analysis: &'a Analysis, name: &str) -> Vec<Place<'a>> {
    if let Some(parameter) = analysis.parameter(name) {
        return parameter.bindings.iter().map(|at| (at.node.as_str(), at.input.as_str())).collect();
    }
    let points = name.char_indices().filter(|(_, c)| *c == '.').map(|(at, _)| (&name[..at], &name[at + 1..]));
    let found = points.filter_map(|(node, input)| {
        let (id, node) = graph.nodes.get_key_value(node)?;
        Some((id.as_str(), node.inputs.get_key_value(input)?.0.as_str()))
    });
    found.take(1).collect()
}

/// A seed below 2^53, so that a client that reads numbers as doubles gives back the same one.
fn fresh_seed() -> u64 {
    uuid::Uuid::new_v4().as_u64_pair().0 >> 11
}

/// The seed that the graph runs with.
pub(super) fn seed(analysis: &Analysis) -> Option<u64> {
    analysis.parameter("seed")?.value.as_ref()?.as_u64()
}

/// What the graph runs with, whoever chose it.
pub(super) fn told(analysis: &Analysis) -> Map<String, Value> {
    let value = |name: &str| analysis.parameter(name).and_then(|parameter| parameter.value.clone());
    let mut told: Map<String, Value> =
        TOLD.iter().filter_map(|name| Some(((*name).to_owned(), value(name)?))).collect();
    let lora = |(suffix, name): (&str, &str)| match value(&format!("lora_strength{suffix}")) {
        Some(strength) => json!({"name": name, "strength": strength}),
        None => json!({"name": name}),
    };
    let loras: Vec<_> = loras(analysis).map(lora).collect();
    if !loras.is_empty() {
        told.insert("loras".into(), loras.into());
    }
    told
}

/// The LoRAs of a graph: what its parameters' names end in, and the file.
pub(super) fn loras(analysis: &Analysis) -> impl Iterator<Item = (&str, &str)> {
    analysis.parameters.iter().filter_map(|parameter| {
        let suffix = parameter.name.strip_prefix("lora")?;
        let number = suffix.strip_prefix('_').unwrap_or("1");
        let is_file = number.bytes().all(|byte| byte.is_ascii_digit());
        Some((suffix, parameter.value.as_ref()?.as_str()?)).filter(|_| is_file)
    })
}
