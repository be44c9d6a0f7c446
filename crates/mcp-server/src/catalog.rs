//! The workflows that can be run by name: the shipped ones, and the files of `workflows_dir` above them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;
use workflow_analyzer::Graph;

/// The largest workflow file that is read, in bytes.
const MAX_FILE: u64 = 16 << 20;

/// The workflows that come with the server.
const SHIPPED: [(&str, &str, &str); 7] = [
    ("txt2img", include_str!("../../../workflows/txt2img.json"), "text to image with a checkpoint"),
    (
        "txt2img_diffusion_model",
        include_str!("../../../workflows/txt2img_diffusion_model.json"),
        "text to image with separate diffusion model, text encoder and VAE files",
    ),
    ("img2img", include_str!("../../../workflows/img2img.json"), "changes an image by a text"),
    ("inpaint", include_str!("../../../workflows/inpaint.json"), "repaints the masked part of an image"),
    ("controlnet", include_str!("../../../workflows/controlnet.json"), "text to image, guided by an image"),
    ("lora", include_str!("../../../workflows/lora.json"), "text to image with a LoRA"),
    ("upscale", include_str!("../../../workflows/upscale.json"), "enlarges an image with an upscale model"),
];

/// A workflow that can be run.
#[derive(Debug, Clone)]
pub struct Workflow {
    /// The file's name without `.json`.
    pub name: String,
    /// What it does, for shipped ones.
    pub description: Option<String>,
    /// The nodes.
    pub graph: Graph,
    /// Who wrote it.
    pub origin: Origin,
}

/// Who wrote a workflow. In a shipped one the names of files and the seed are placeholders; in any other they are
/// meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Comes with the server.
    Shipped,
    /// A file of `workflows_dir`: the operator's.
    File,
    /// A graph that a call brought.
    Call,
}

/// A file that is not a workflow.
#[derive(Debug, Clone)]
pub struct Broken {
    /// The file's name without `.json`.
    pub name: String,
    /// What is wrong with it and what to do.
    pub problem: String,
}

/// All workflows.
#[derive(Debug, Default)]
pub struct Catalog {
    workflows: BTreeMap<String, Arc<Workflow>>,
    broken: Vec<Broken>,
}

impl Catalog {
    /// The shipped workflows, and the files of a folder, which need not exist. A file that can't be used is
    /// logged and kept in [`Catalog::broken`]; the others load.
    pub fn load(folder: &Path) -> Self {
        let mut catalog = Self::default();
        for (name, text, description) in SHIPPED {
            catalog.add(name, text.as_bytes(), Origin::Shipped, Some(description));
        }
        catalog.add_folder(folder);
        catalog
    }

    /// The workflow of this name.
    pub fn get(&self, name: &str) -> Option<&Arc<Workflow>> {
        self.workflows.get(name.strip_suffix(".json").unwrap_or(name))
    }

    /// All workflows by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Workflow>> {
        self.workflows.values()
    }

    /// The files that could not be used.
    pub fn broken(&self) -> &[Broken] {
        &self.broken
    }

    fn add_folder(&mut self, folder: &Path) {
        let entries = match std::fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                tracing::debug!(folder = %folder.display(), "there is no workflow folder; the shipped ones are used");
                return;
            }
            Err(error) => {
                tracing::warn!(folder = %folder.display(), %error, "the workflow folder can't be read");
                return;
            }
        };
        let mut files: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        files.sort();
        for path in files {
            if path.extension().is_some_and(|extension| extension == "json") && path.is_file() {
                self.add_file(&path);
            }
        }
    }

    fn add_file(&mut self, path: &Path) {
        let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let read = match path.metadata() {
            Ok(metadata) if metadata.len() > MAX_FILE => {
                Err(format!("it is {} bytes long, and at most {MAX_FILE} are read", metadata.len()))
            }
            _ => std::fs::read(path).map_err(|error| format!("it can't be read: {error}")),
        };
        match read {
            Ok(bytes) => self.add(&name, &bytes, Origin::File, None),
            Err(problem) => self.refuse(&name, problem),
        }
    }

    fn add(&mut self, name: &str, bytes: &[u8], origin: Origin, description: Option<&str>) {
        let graph = serde_json::from_slice::<Value>(bytes)
            .map_err(|error| format!("it is not JSON: {error}"))
            .and_then(|json| Graph::from_json(&json).map_err(|error| error.to_string()));
        match graph {
            // The folder of a checkout holds the shipped files themselves.
            Ok(graph) if self.workflows.get(name).is_some_and(|shipped| shipped.graph == graph) => {}
            Ok(graph) => {
                let description = description.map(str::to_owned);
                let workflow = Workflow { name: name.to_owned(), description, graph, origin };
                self.workflows.insert(name.to_owned(), Arc::new(workflow));
            }
            Err(problem) => self.refuse(name, problem),
        }
    }

    fn refuse(&mut self, name: &str, problem: String) {
        tracing::warn!(workflow = %name, %problem, "a workflow file can't be used; the others are loaded");
        self.broken.push(Broken { name: name.to_owned(), problem });
    }
}
