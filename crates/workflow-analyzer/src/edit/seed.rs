//! Fresh seeds.

use serde_json::{Map, Value};

use super::{EditError, set_parameters};
use crate::{Graph, InputKind, ObjectInfo, Parameter, analyze};

/// Gives every seed of the graph a new value and returns what was set, by the names of the parameters: `seed`, `seed_2`
/// and so on. `given` is for the first one; what isn't given follows from `random`, which the caller draws, and is
/// brought into the bounds of the input. With a `given` seed the others keep theirs, so that the same call makes the
/// same picture. [`set_parameters`] sets what is returned here again.
pub fn set_seed(
    graph: &mut Graph,
    info: &ObjectInfo,
    given: Option<u64>,
    random: u64,
) -> Result<Map<String, Value>, EditError> {
    let analysis = analyze(graph, info);
    let is_seed = |parameter: &&Parameter| parameter.name == "seed" || parameter.name.starts_with("seed_");
    let seeds: Vec<&Parameter> = analysis.parameters.iter().filter(is_seed).collect();
    if seeds.is_empty() {
        let reason = "nothing in this workflow takes a seed";
        return Err(EditError::NotPossible { edit: "set the seed", reason });
    }
    let values: Map<String, Value> = match given {
        Some(seed) => [("seed".to_owned(), Value::from(seed))].into_iter().collect(),
        None => seeds.iter().zip(0..).map(|(seed, n)| (seed.name.clone(), fresh(seed, random, n))).collect(),
    };
    set_parameters(graph, &analysis, &values)?;
    Ok(values)
}

/// A number of the input's bounds; each of several seeds gets another.
fn fresh(seed: &Parameter, random: u64, n: u64) -> Value {
    // The golden ratio of 64 bits: steps of it are far from each other.
    let random = random.wrapping_add(n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let (min, max) = match seed.kind {
        InputKind::Int { min, max, .. } => (min.unwrap_or(0), max.unwrap_or(u64::MAX.into())),
        _ => (0, u64::MAX.into()),
    };
    let min = min.clamp(0, u64::MAX.into());
    let count = (max.min(u64::MAX.into()) - min).max(0) + 1;
    Value::from(u64::try_from(min + i128::from(random) % count).unwrap_or(0))
}
