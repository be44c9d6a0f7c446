//! What reading, checking and changing a graph takes, against its size: `cargo xtask bench analyzer`.
#![expect(clippy::print_stdout, reason = "a command-line tool talks on stdout")]

mod graphs;

use std::hint::black_box;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use serde_json::{Value, json};
use tests::figures::{Figure, Limit, close};
use workflow_analyzer::edit::{self, Lora};
use workflow_analyzer::{Graph, ObjectInfo, analyze, convert, validate};

/// In nodes.
const SIZES: [usize; 4] = [500, 1_000, 2_000, 5_000];

/// The time per node in the largest graph, as a multiple of that in the smallest. The smallest fits a processor's own
/// cache and the largest doesn't, which alone makes up to 3; anything that isn't linear would make 10.
const GROWTH: f64 = 4.0;

/// Nodes per second of all steps together, in the largest graph.
const RATE: f64 = 10_000.0;

/// Each step is repeated for so long; the fastest run counts, as others on the machine only add to it.
const MEASURE: Duration = Duration::from_secs(1);

/// What is measured, by name.
const STEPS: [(&str, Step); 5] = [
    ("read", read),
    ("convert", convert_step),
    ("analyze", analyze_step),
    ("validate", validate_step),
    ("edit", edit_step),
];

type Step = fn(&Case) -> Result<()>;

/// A graph in all its forms.
struct Case {
    info: ObjectInfo,
    document: Value,
    editor_file: Value,
    graph: Graph,
}

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<ExitCode> {
    if cfg!(debug_assertions) {
        bail!("these figures say something of a release build alone: cargo xtask bench analyzer");
    }
    let heads: Vec<String> = STEPS.iter().map(|(name, _)| format!("{name:>9} ms")).collect();
    println!("{:>6}{}{:>12}", "nodes", heads.concat(), "nodes/s");
    let mut per_node: Vec<Vec<f64>> = Vec::new();
    let mut rate = 0.0;
    for size in SIZES {
        let case = Case::new(size)?;
        let nodes = case.graph.nodes.len() as f64;
        let seconds = STEPS.iter().map(|(_, step)| best(&case, *step)).collect::<Result<Vec<f64>>>()?;
        rate = nodes / seconds.iter().sum::<f64>();
        let shown: Vec<String> = seconds.iter().map(|seconds| format!("{:>12.3}", seconds * 1e3)).collect();
        println!("{:>6}{}{rate:>12.0}", case.graph.nodes.len(), shown.concat());
        per_node.push(seconds.into_iter().map(|seconds| seconds / nodes).collect());
    }
    let mut rows: Vec<Figure> =
        STEPS.iter().enumerate().map(|(n, (name, _))| growth(name, n, &per_node)).collect();
    rows.push(Figure {
        what: "all of it, largest graph".to_owned(),
        value: rate,
        limit: Limit::AtLeast(RATE),
        unit: "nodes/s",
    });
    let (table, code) = close(&rows);
    println!("\n{table}");
    Ok(code)
}

/// How much slower a node is in the largest graph than in the smallest.
fn growth(name: &str, step: usize, per_node: &[Vec<f64>]) -> Figure {
    let of = |row: Option<&Vec<f64>>| row.and_then(|row| row.get(step)).copied().unwrap_or(f64::NAN);
    let value = of(per_node.last()) / of(per_node.first());
    let what = format!("{name}: time per node, 5,000 nodes to 500");
    Figure { what, value, limit: Limit::AtMost(GROWTH), unit: "" }
}

/// The seconds of the fastest of many runs.
fn best(case: &Case, step: Step) -> Result<f64> {
    let start = Instant::now();
    let mut best = f64::INFINITY;
    while start.elapsed() < MEASURE {
        let run = Instant::now();
        step(case)?;
        best = best.min(run.elapsed().as_secs_f64());
    }
    Ok(best)
}

impl Case {
    fn new(size: usize) -> Result<Case> {
        let info = graphs::server();
        let document = graphs::graph(size);
        let graph = Graph::from_json(&document)?;
        let found = validate(&graph, &info);
        ensure!(found.is_empty(), "the graph to measure with isn't valid: {:?}", found.first());
        let editor_file = graphs::editor_file(&graph, &info);
        let converted = convert(&editor_file, &info)?.graph;
        let same = graph
            .nodes
            .iter()
            .all(|(id, node)| converted.nodes.get(id).is_some_and(|again| again.inputs == node.inputs));
        ensure!(same, "the editor's file of the graph to measure with becomes another graph");
        Ok(Case { info, document, editor_file, graph })
    }
}

fn read(case: &Case) -> Result<()> {
    black_box(Graph::from_json(&case.document)?);
    Ok(())
}

fn convert_step(case: &Case) -> Result<()> {
    black_box(convert(&case.editor_file, &case.info)?);
    Ok(())
}

fn analyze_step(case: &Case) -> Result<()> {
    let analysis = black_box(analyze(&case.graph, &case.info));
    ensure!(analysis.parameter("negative_prompt").is_some(), "the texts aren't found");
    Ok(())
}

fn validate_step(case: &Case) -> Result<()> {
    ensure!(black_box(validate(&case.graph, &case.info)).is_empty(), "the graph isn't valid");
    Ok(())
}

/// What a call with a prompt, a seed and two LoRAs does.
fn edit_step(case: &Case) -> Result<()> {
    let mut graph = case.graph.clone();
    let lora = Lora { name: "style.safetensors".to_owned(), strength_model: 1.0, strength_clip: 1.0 };
    edit::apply_loras(&mut graph, &case.info, &[lora.clone(), lora])?;
    let analysis = analyze(&graph, &case.info);
    let Value::Object(values) = json!({ "prompt": "a harbour", "steps": 4 }) else { return Ok(()) };
    edit::set_named(&mut graph, &case.info, &analysis, &values)?;
    black_box(edit::set_seed(&mut graph, &case.info, None, 7)?);
    black_box(graph);
    Ok(())
}
