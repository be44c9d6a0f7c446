//! `mcp-server workflow convert`: the graph that ComfyUI runs, out of a file that its editor saved.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::Value;
use workflow_analyzer::{Graph, convert, is_editor_format, metadata};

use super::object_info;
use crate::settings::Settings;

/// A larger file is refused; the largest that people share have some megabytes.
const MAX_FILE: u64 = 64 << 20;

/// What pictures begin with that may hold a workflow.
const PICTURES: [&[u8]; 2] = [b"\x89PNG", b"RIFF"];

/// Converted, but not all of it.
const WITH_PROBLEMS: u8 = 3;

/// What `workflow convert` takes.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub struct ConvertArgs {
    /// A workflow as the editor saves it, or a PNG or WebP that holds one; one in the API format is printed as it is.
    pub file: PathBuf,
    /// What ComfyUI has, as its `GET /object_info` answers; it is asked itself when this is not given.
    #[arg(long, value_name = "FILE")]
    pub object_info: Option<PathBuf>,
}

const EXIT_CODES: &str = "\
The graph is printed on standard output, what is wrong with it on standard error.

Exit codes:
  0  converted
  1  not converted: the file can't be read or used, or ComfyUI isn't known
  2  the command line is wrong
  3  converted, with problems such as a node class that ComfyUI doesn't have";

/// Prints the graph to `out` and problems to `problems`.
pub async fn run(
    settings: &Settings,
    args: &ConvertArgs,
    out: &mut impl Write,
    problems: &mut impl Write,
) -> anyhow::Result<ExitCode> {
    let file = args.file.display();
    let document = read(&args.file)?;
    if !is_editor_format(&document) {
        let graph = Graph::from_json(&document).with_context(|| format!("{file} is no workflow"))?;
        print(&graph, out)?;
        return Ok(ExitCode::SUCCESS);
    }
    let info = object_info(settings, args.object_info.as_deref()).await;
    let info = match (info, &args.object_info) {
        (Err(error), None) => {
            bail!(
                "ComfyUI isn't known ({error:#}); start it, or name its answer to GET /object_info with --object-info"
            )
        }
        (info, _) => info?,
    };
    let conversion = convert(&document, &info).with_context(|| format!("{file} can't be converted"))?;
    print(&conversion.graph, out)?;
    for problem in &conversion.problems {
        let (node, title) = (&problem.node, &problem.title);
        writeln!(problems, "node {node} ({title}): {}; {}", problem.message, problem.hint)?;
    }
    Ok(if conversion.problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(WITH_PROBLEMS) })
}

fn read(path: &Path) -> anyhow::Result<Value> {
    let file = path.display();
    let size = std::fs::metadata(path).with_context(|| format!("{file} can't be read"))?.len();
    if size > MAX_FILE {
        bail!("{file} has {size} bytes, the limit is {MAX_FILE}");
    }
    let bytes = std::fs::read(path).with_context(|| format!("{file} can't be read"))?;
    if !PICTURES.iter().any(|signature| bytes.starts_with(signature)) {
        return serde_json::from_slice(&bytes).with_context(|| format!("{file} is not JSON"));
    }
    let found = metadata::read(&bytes).with_context(|| format!("{file} can't be used"))?;
    found.into_document().with_context(|| format!("{file} holds no workflow"))
}

/// Whoever reads only the first lines has what they wanted.
fn print(graph: &Graph, out: &mut impl Write) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(&graph.to_json())?;
    let _ = writeln!(out, "{text}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{self, Sources};

    async fn converted(
        workflow: &Value,
        object_info: Option<&Value>,
    ) -> (anyhow::Result<ExitCode>, String, String) {
        // A client of ComfyUI can't be made without one; another test may have set it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, json: &Value| {
            let path = folder.path().join(name);
            std::fs::write(&path, json.to_string()).unwrap();
            path
        };
        let args = ConvertArgs {
            file: write("workflow.json", workflow),
            object_info: object_info.map(|info| write("object_info.json", info)),
        };
        let overrides = vec![("comfyui_url", "http://127.0.0.1:1".to_owned())];
        let settings = settings::load(&Sources { overrides, ..Sources::default() }).unwrap().settings;
        let (mut out, mut problems) = (Vec::new(), Vec::new());
        let code = run(&settings, &args, &mut out, &mut problems).await;
        (code, String::from_utf8(out).unwrap(), String::from_utf8(problems).unwrap())
    }

    fn workflow(class: &str) -> Value {
        serde_json::json!({ "version": 0.4, "links": [], "nodes": [
            { "id": 1, "type": class, "title": "Mine", "widgets_values": ["x"], "properties": { "cnr_id": "a-pack" } }] })
    }

    #[tokio::test]
    async fn the_graph_is_printed_and_problems_apart() {
        let info =
            serde_json::json!({ "Save": { "input": { "required": { "name": ["STRING"] } }, "output": [] } });
        let (code, out, problems) = converted(&workflow("Save"), Some(&info)).await;
        assert_eq!(code.unwrap(), ExitCode::SUCCESS);
        assert_eq!(serde_json::from_str::<Value>(&out).unwrap()["1"]["inputs"]["name"], "x");
        assert_eq!(problems, "");
        let (code, out, problems) = converted(&workflow("Gone"), Some(&info)).await;
        assert_eq!(code.unwrap(), ExitCode::from(WITH_PROBLEMS));
        assert!(
            out.contains("Gone") && problems.contains("node 1 (Mine)") && problems.contains("a-pack"),
            "{problems}"
        );
    }

    #[tokio::test]
    async fn without_comfyui_the_option_is_named() {
        let (code, out, _) = converted(&workflow("Save"), None).await;
        let error = format!("{:#}", code.unwrap_err());
        assert!(out.is_empty() && error.contains("--object-info"), "{error}");
    }

    #[tokio::test]
    async fn a_graph_that_is_converted_already_stays() {
        let graph = serde_json::json!({ "1": { "class_type": "Save", "inputs": { "name": "x" } } });
        let (code, out, _) = converted(&graph, None).await;
        assert_eq!(code.unwrap(), ExitCode::SUCCESS);
        assert_eq!(serde_json::from_str::<Value>(&out).unwrap(), graph);
    }
}
