//! The workflows that can be run by name: the shipped ones, and the files of `workflows_dir` above them.
//!
//! A [`Catalog`] is what there was at one time; [`Live`] has the newest. Documents are kept as text and read for each
//! use, which costs less than what is done with the graph then.

mod document;
mod folder;
pub mod shipped;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use workflow_analyzer::{Graph, ObjectInfo};

pub use self::document::Document;

/// A workflow that can be run.
#[derive(Debug, Clone)]
pub struct Workflow {
    /// The file's name without its ending.
    pub name: String,
    /// What it does.
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

/// A stored workflow as it is kept.
#[derive(Debug)]
pub struct Entry {
    /// The file's name without its ending.
    pub name: String,
    /// What it does.
    pub description: Option<String>,
    /// Who wrote it.
    pub origin: Origin,
    document: Document,
}

/// A file that is not a workflow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// The file's name without its ending.
    pub name: String,
    /// What is wrong with it and what to do.
    pub problem: String,
}

/// All workflows at one time.
#[derive(Debug, Default)]
pub struct Catalog {
    entries: BTreeMap<String, Arc<Entry>>,
    broken: Vec<Broken>,
    /// Grows with every change.
    generation: u64,
}

/// The newest catalog.
#[derive(Debug)]
pub struct Live {
    folder: PathBuf,
    current: RwLock<Arc<Catalog>>,
}

impl Live {
    /// Reads the folder, which need not exist.
    pub fn load(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), current: RwLock::new(Arc::new(Catalog::load(folder))) }
    }

    /// The folder that it is made of.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The workflows as they are now.
    pub fn current(&self) -> Arc<Catalog> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Entry {
    /// The graph and what is known of it.
    pub fn workflow(&self, info: Option<&ObjectInfo>) -> Result<Workflow, String> {
        Ok(Workflow {
            name: self.name.clone(),
            description: self.description.clone(),
            graph: self.document.graph(info)?,
            origin: self.origin,
        })
    }
}

impl Catalog {
    /// The shipped workflows, and the files of a folder, which need not exist. A file that can't be used is
    /// logged and kept in [`Catalog::broken`]; the others load.
    pub fn load(folder: &Path) -> Self {
        let mut catalog = Self::shipped();
        folder::add(&mut catalog, folder);
        catalog
    }

    /// The workflow of this name.
    pub fn get(&self, name: &str) -> Option<&Arc<Entry>> {
        self.entries.get(name.strip_suffix(".json").unwrap_or(name))
    }

    /// All workflows by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.entries.values()
    }

    /// The files that could not be used.
    pub fn broken(&self) -> &[Broken] {
        &self.broken
    }

    /// Differs between two catalogs of one [`Live`].
    pub fn generation(&self) -> u64 {
        self.generation
    }

    fn shipped() -> Self {
        let mut catalog = Self::default();
        for shipped in shipped::SHIPPED {
            catalog.add(Entry {
                name: shipped.name.to_owned(),
                description: Some(shipped.description.to_owned()),
                origin: Origin::Shipped,
                document: Document::Shipped(shipped.graph),
            });
        }
        catalog
    }

    fn add(&mut self, entry: Entry) {
        self.entries.insert(entry.name.clone(), Arc::new(entry));
    }

    fn refuse(&mut self, name: &str, problem: String) {
        tracing::warn!(workflow = %name, %problem, "a workflow file can't be used; the others are loaded");
        self.broken.push(Broken { name: name.to_owned(), problem });
    }
}
