//! `mcp-server workflow inspect`: what is found in a file, and the sidecar that says so.

use std::fmt::Write as _;
use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::Args;
use serde::Serialize;
use serde_json::Value;
use workflow_analyzer::{Analysis, Diagnostic, ObjectInfo, Options, Severity, analyze, validate_with};

use super::object_info;
use crate::catalog::{Entry, Workflow, expose, save};
use crate::error::line;
use crate::plan;
use crate::settings::Settings;
use crate::tools::workflows::{Needs, ParameterView};

/// What `workflow inspect` takes.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// A workflow in the API or the editor's format, or a PNG or WebP that ComfyUI saved.
    pub file: PathBuf,
    /// What ComfyUI has, as its `GET /object_info` answers; it is asked itself when this is not given.
    #[arg(long, value_name = "FILE")]
    pub object_info: Option<PathBuf>,
    /// Make the sidecar, NAME.toml beside the file.
    #[arg(long)]
    pub write: bool,
    /// Replace a sidecar that is there.
    #[arg(long, requires = "write")]
    pub force: bool,
    /// One JSON document on standard output.
    #[arg(long)]
    pub json: bool,
}

/// What was found.
#[derive(Debug, Serialize)]
struct Report {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    task: String,
    nodes: usize,
    tool: bool,
    seed: &'static str,
    parameters: Vec<ParameterView>,
    needs: Needs,
    /// Unknown where ComfyUI isn't known.
    #[serde(skip_serializing_if = "Option::is_none")]
    missing: Option<Vec<String>>,
    diagnostics: Vec<Found>,
    /// What of the editor's file couldn't be converted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sidecar: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
struct Found {
    code: &'static str,
    severity: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<String>,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    #[serde(skip)]
    line: String,
}

/// Prints what is found in the file, and writes the sidecar if that is asked.
pub async fn run(settings: &Settings, args: &InspectArgs, out: &mut impl Write) -> anyhow::Result<()> {
    let info = object_info(settings, args.object_info.as_deref()).await;
    let info = match (info, &args.object_info) {
        (Ok(info), _) => Some(info),
        (Err(error), Some(_)) => return Err(error),
        (Err(error), None) => {
            eprintln!(
                "ComfyUI isn't known ({error:#}), so what is missing isn't either; name an --object-info"
            );
            None
        }
    };
    let entry = Entry::open(&args.file).map_err(|problem| anyhow::anyhow!(problem));
    let entry = entry.with_context(|| format!("{} can't be used", args.file.display()))?;
    let well_known = ObjectInfo::well_known();
    let known = info.as_ref().unwrap_or(&well_known);
    let workflow =
        entry.workflow(Some(known)).with_context(|| format!("{} can't be used", args.file.display()))?;
    let analysis = analyze(&workflow.graph, known);
    let written = if args.write { Some(write(args, &workflow, &analysis)?) } else { None };
    let report = Report { sidecar: written, ..report(&workflow, &analysis, info.as_ref()) };
    let text = if args.json { serde_json::to_string_pretty(&report)? + "\n" } else { shown(&report) };
    // Whoever reads only the first lines has what they wanted.
    let _ = out.write_all(text.as_bytes());
    Ok(())
}

fn report(workflow: &Workflow, analysis: &Analysis, info: Option<&ObjectInfo>) -> Report {
    let seed = analysis.parameter("seed").map(|seed| seed.bindings.as_slice()).unwrap_or_default();
    let options = Options { packs: Some(&workflow.packs), ..Options::default() };
    let diagnostics = info.map(|info| validate_with(&workflow.graph, info, &options)).unwrap_or_default();
    Report {
        name: workflow.name.clone(),
        title: workflow.descriptor.title.clone(),
        description: workflow.description.clone(),
        task: workflow.descriptor.task.clone().unwrap_or_else(|| analysis.task.as_str().to_owned()),
        nodes: workflow.graph.nodes.len(),
        tool: workflow.descriptor.tool,
        seed: if workflow.draws_seed(seed) { "random" } else { "fixed" },
        parameters: expose::settable(workflow, analysis).iter().map(ParameterView::from).collect(),
        needs: Needs::of(analysis),
        missing: info.map(|info| plan::reasons(info, workflow)),
        diagnostics: diagnostics.iter().map(Found::from).collect(),
        problems: workflow.problems.clone(),
        sidecar: None,
    }
}

impl From<&Diagnostic> for Found {
    fn from(found: &Diagnostic) -> Self {
        Self {
            code: found.code.as_str(),
            severity: if found.severity == Severity::Error { "error" } else { "warning" },
            node: found.node.clone(),
            title: found.title.clone(),
            input: found.input.clone(),
            message: found.message.clone(),
            hint: found.hint.clone(),
            line: line(found),
        }
    }
}

fn shown(report: &Report) -> String {
    let mut text = format!("{}: {}, {} nodes\n", report.name, report.task, report.nodes);
    let mut say = |line: String| text.push_str(&(line + "\n"));
    for (name, value) in [("title", &report.title), ("description", &report.description)] {
        if let Some(value) = value {
            say(format!("{name}: {value}"));
        }
    }
    say(format!("tool: {}", if report.tool { "yes" } else { "no" }));
    say(format!("seed: {}", report.seed));
    say("parameters:".to_owned());
    for parameter in &report.parameters {
        say(format!("  {}", parameter_line(parameter)));
    }
    say(format!("needs the nodes: {}", report.needs.nodes.join(", ")));
    for model in &report.needs.models {
        say(format!("needs the file: {}{}", folder(&model.folder), model.file));
    }
    match &report.missing {
        None => {}
        Some(missing) if missing.is_empty() => say("nothing is missing".to_owned()),
        Some(missing) => missing.iter().for_each(|line| say(format!("missing: {line}"))),
    }
    // The errors are what is missing.
    for found in report.diagnostics.iter().filter(|found| found.severity == "warning") {
        say(format!("{} {}: {}", found.severity, found.code, found.line));
    }
    for problem in &report.problems {
        say(format!("not converted: {problem}"));
    }
    if let Some(sidecar) = &report.sidecar {
        say(format!("written: {}", sidecar.display()));
    }
    text
}

fn folder(name: &str) -> String {
    if name.is_empty() { String::new() } else { format!("{name}/") }
}

fn parameter_line(parameter: &ParameterView) -> String {
    let mut line = format!("{} ({}", parameter.name, parameter.r#type);
    match (&parameter.min, &parameter.max) {
        (Some(min), Some(max)) => _ = write!(line, " from {min} to {max}"),
        (Some(min), None) => _ = write!(line, " from {min}"),
        (None, Some(max)) => _ = write!(line, " up to {max}"),
        (None, None) => {}
    }
    if !parameter.choices.is_empty() {
        let choices: Vec<_> = parameter.choices.iter().map(plain).collect();
        let more = parameter.more_choices.map(|more| format!(" and {more} more")).unwrap_or_default();
        let _ = write!(line, ": {}{more}", choices.join(", "));
    }
    let _ = write!(line, ") sets {}", parameter.sets.join(", "));
    if let Some(default) = &parameter.default {
        let _ = write!(line, "; {default} if it isn't given");
    }
    line
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Writes the sidecar; one that a person wrote stays, unless it is to be replaced.
fn write(args: &InspectArgs, workflow: &Workflow, analysis: &Analysis) -> anyhow::Result<PathBuf> {
    let path = args.file.with_extension("toml");
    if path.symlink_metadata().is_ok() && !args.force {
        bail!("{} is there already; --force replaces it", path.display());
    }
    let text = sidecar(workflow, analysis);
    save::replace(&path, text.as_bytes()).with_context(|| format!("{} can't be written", path.display()))?;
    Ok(path)
}

/// A sidecar that exposes what was found, with what else can be said as comments.
fn sidecar(workflow: &Workflow, analysis: &Analysis) -> String {
    let name = toml::Value::from(workflow.name.as_str());
    let task = analysis.task.as_str();
    let mut text = format!(
        "title = {name}\n# task = \"{task}\"\n# description = \"What it does, for whoever chooses a workflow\"\n\n\
         # Whether it is a tool of its own.\ntool = false\n\n\
         # \"random\": a fresh seed for each call that gives none; \"fixed\": the one of the file.\nseed = \"random\"\n\n\
         # What calls can set. Take out what they should not; `target` is needed under another name.\n"
    );
    for parameter in expose::settable(workflow, analysis) {
        let view = ParameterView::from(&parameter);
        let _ = writeln!(text, "\n[parameters.{}]", view.name);
        let _ =
            writeln!(text, "# target = {}", toml::Value::from(view.sets.first().map_or("", String::as_str)));
        for (key, bound) in [("min", &view.min), ("max", &view.max)] {
            if let Some(bound) = bound {
                let _ = writeln!(text, "# {key} = {bound}");
            }
        }
        if let Some(default) = parameter.value.as_ref().filter(|value| is_short(value)) {
            let _ = writeln!(text, "# default = {}", toml_text(default));
        }
    }
    text
}

fn is_short(value: &Value) -> bool {
    value.to_string().len() <= 200
}

fn toml_text(value: &Value) -> String {
    match value {
        // On one line; JSON escapes as TOML does, but for one character.
        Value::String(_) => value.to_string().replace('\u{7f}', "\\u007f"),
        // Integers of TOML end at 2^63.
        Value::Number(number) if number.as_i64().is_none() && number.is_u64() => format!("\"{number}\""),
        other => other.to_string(),
    }
}
