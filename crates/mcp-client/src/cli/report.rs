//! Answers on standard output: one JSON document, or text for people.

use std::fmt::Write as _;
use std::io::Write as _;

use serde_json::Value;

use mcp_client::{Artifact, Job};

use super::progress::state_text;

/// Prints a JSON document.
pub(super) fn print_json(document: &Value) -> std::io::Result<()> {
    print(&format!("{document:#}"))
}

/// Prints a text and ends its last line.
pub(super) fn print(text: &str) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{}", text.trim_end())?;
    stdout.flush()
}

/// A server's text without control characters: they could drive the terminal.
pub(super) fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A job in a few lines.
pub(super) fn job(job: &Job) -> String {
    let mut text = format!("{}  {}\n", clean(&job.id), state_text(job));
    let mut line = |name: &str, value: Option<String>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            let _ = writeln!(text, "  {name:<9} {}", clean(&value));
        }
    };
    line("tool", job.tool.clone());
    line("workflow", job.workflow.clone());
    line("progress", job.progress.map(|progress| format!("{:.0} %", progress * 100.0)));
    line("seed", job.seed.map(|seed| seed.to_string()));
    line("created", Some(job.created_at.to_string()));
    line("took", took(job));
    if let Some(error) = &job.error {
        line("error", Some(error.message.clone()));
        line("try", error.remedy.clone());
    }
    for warning in job.warnings() {
        line("warning", Some(warning.to_owned()));
    }
    for artifact in &job.artifacts {
        line("artifact", Some(self::artifact(artifact)));
    }
    text
}

/// One line on how a job ended.
pub(super) fn summary(job: &Job) -> String {
    let mut text = format!("job {} {}", clean(&job.id), job.state.as_str());
    if let Some(took) = took(job) {
        let _ = write!(text, " in {took}");
    }
    if let Some(seed) = job.seed {
        let _ = write!(text, ", seed {seed}");
    }
    text
}

fn took(job: &Job) -> Option<String> {
    let span = job.finished_at?.duration_since(job.started_at?);
    Some(format!("{:.1} s", span.as_secs_f64()))
}

/// An artifact on one line: where it is, and what.
pub(super) fn artifact(artifact: &Artifact) -> String {
    let mut text = clean(artifact.url.as_deref().filter(|url| url.contains("://")).unwrap_or(&artifact.uri));
    if let (Some(width), Some(height)) = (artifact.width, artifact.height) {
        let _ = write!(text, "  {width}x{height}");
    }
    let _ = write!(text, "  {}  {}", clean(&artifact.media_type), size(artifact.bytes));
    text
}

pub(super) fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} bytes"),
        1_000..1_000_000 => format!("{:.0} kB", bytes as f64 / 1e3),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}

/// A tool's structured answer for people.
pub(super) fn answer(tool: &str, content: &Value) -> String {
    let known = match tool {
        "list_models" => models(content),
        "list_workflows" => workflows(content),
        "get_tools_manifest" => tools(content),
        _ => content
            .get("job")
            .and_then(|value| serde_json::from_value(value.clone()).ok())
            .map(|value| job(&value)),
    };
    known.unwrap_or_else(|| match content {
        Value::Object(fields) => fields_text(fields, 0),
        other => format!("{other:#}"),
    })
}

fn models(content: &Value) -> Option<String> {
    let mut text = String::new();
    for (kind, names) in content.get("models")?.as_object()? {
        let names = names.as_array()?;
        let none = if names.is_empty() { "  (none)" } else { "" };
        let _ = writeln!(text, "{}{none}", clean(kind));
        for name in names.iter().filter_map(Value::as_str) {
            let _ = writeln!(text, "  {}", clean(name));
        }
    }
    Some(text)
}

fn workflows(content: &Value) -> Option<String> {
    let mut text = String::new();
    let field = |entry: &Value, name: &str| entry.get(name).and_then(Value::as_str).map(clean);
    for entry in content.get("workflows")?.as_array()? {
        let _ =
            writeln!(text, "{}  {}", field(entry, "name")?, field(entry, "description").unwrap_or_default());
        let parameters = entry.get("parameters").and_then(Value::as_array).into_iter().flatten();
        let parameters: Vec<String> = parameters.filter_map(Value::as_str).map(clean).collect();
        if !parameters.is_empty() {
            let _ = writeln!(text, "  parameters: {}", parameters.join(", "));
        }
        if entry.get("runnable") == Some(&Value::Bool(false)) {
            let missing = entry.get("missing").and_then(Value::as_array).into_iter().flatten();
            let missing: Vec<String> = missing.filter_map(Value::as_str).map(clean).collect();
            let why = if missing.is_empty() {
                "something that it needs is not installed".to_owned()
            } else {
                missing.join("; ")
            };
            let _ = writeln!(text, "  can't run on this ComfyUI: {why}");
        }
    }
    for entry in content.get("broken").and_then(Value::as_array).into_iter().flatten() {
        let problem = field(entry, "problem").unwrap_or_default();
        let _ = writeln!(text, "{}  (broken: {problem})", field(entry, "name").unwrap_or_default());
    }
    Some(text)
}

fn tools(content: &Value) -> Option<String> {
    let mut text = String::new();
    let field =
        |entry: &Value, name: &str| entry.get(name).and_then(Value::as_str).map(clean).unwrap_or_default();
    for tool in content.get("tools")?.as_array()? {
        let _ = writeln!(text, "{}  {}", field(tool, "name"), field(tool, "description"));
        for parameter in tool.get("parameters").and_then(Value::as_array).into_iter().flatten() {
            let mark = if parameter.get("required") == Some(&Value::Bool(true)) { "*" } else { " " };
            let (name, kind) = (field(parameter, "name"), field(parameter, "type"));
            let _ = writeln!(text, "  {mark} {name:<16} {kind:<8} {}", field(parameter, "description"));
        }
    }
    text.push_str("\n* = required\n");
    Some(text)
}

/// Any object as indented lines.
fn fields_text(fields: &serde_json::Map<String, Value>, depth: usize) -> String {
    let mut text = String::new();
    let indent = "  ".repeat(depth);
    for (name, value) in fields {
        let name = clean(&name.replace('_', " "));
        match value {
            Value::Null => {}
            Value::Object(inner) => {
                let _ = write!(text, "{indent}{name}\n{}", fields_text(inner, depth + 1));
            }
            Value::Array(items) if items.iter().all(Value::is_object) => {
                for item in items.iter().filter_map(Value::as_object) {
                    let _ = write!(text, "{indent}{name}\n{}", fields_text(item, depth + 1));
                }
            }
            Value::String(value) => {
                let _ = writeln!(text, "{indent}{name}: {}", clean(value));
            }
            other => {
                let _ = writeln!(text, "{indent}{name}: {other}");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn answers_are_text_for_people() {
        let cases = [
            (
                "list_models",
                json!({"models": {"loras": [], "vae": ["a\u{1b}[2J.safetensors"]}}),
                "loras  (none)\nvae\n  a [2J.safetensors\n",
            ),
            (
                "list_workflows",
                json!({"workflows": [{"name": "x", "description": null, "parameters": ["prompt"], "runnable": false},
                                      {"name": "z", "runnable": false, "missing": ["no vae/a.pt", "no node \u{1b}B"]}],
                       "broken": [{"name": "y", "problem": "no JSON"}]}),
                "x  \n  parameters: prompt\n  can't run on this ComfyUI: something that it needs is not installed\n\
                 z  \n  can't run on this ComfyUI: no vae/a.pt; no node  B\n\
                 y  (broken: no JSON)\n",
            ),
            (
                "get_queue_status",
                json!({"queued": 1, "backends": [{"url": "u", "reason": null}]}),
                "queued: 1\nbackends\n  url: u\n",
            ),
            (
                "get_job_status",
                json!({"job": {"id": "j", "state": "failed", "created_at": "2026-01-02T03:04:05Z",
                               "error": {"code": "c", "message": "out of\nmemory"}, "warnings": ["500 becomes 496"]}}),
                "j  failed\n  created   2026-01-02T03:04:05Z\n  error     out of memory\n  warning   500 becomes 496\n",
            ),
        ];
        for (tool, content, expected) in cases {
            assert_eq!(answer(tool, &content), expected, "{tool}");
        }
        // A shape from another version is shown as it is.
        assert_eq!(answer("list_models", &json!({"models": 3})), "models: 3\n");
    }
}
