//! The workflows that can be run by name: the shipped ones, and the files of `workflows_dir` above them.
//!
//! A [`Catalog`] is what there was at one time; [`Live`] has the newest, and `watch` keeps it so. Documents are kept as
//! small texts and read for each use, which costs less than what is done with the graph then.

pub(crate) mod descriptor;
mod document;
pub(crate) mod expose;
mod folder;
pub(crate) mod save;
pub mod shipped;
#[cfg(test)]
mod tests;
pub(crate) mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch as channel;
use workflow_analyzer::{Binding, Graph, ObjectInfo};

use self::descriptor::{Descriptor, Seed};
pub use self::document::{Document, Opened};
use self::expose::Parameter;
use self::folder::Stamps;
use crate::plan::MAX_NODES;

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
    /// What its sidecar says.
    pub descriptor: Arc<Descriptor>,
    /// What the sidecar exposes; empty where it exposes nothing.
    pub parameters: Vec<Parameter>,
    /// The packs of custom nodes that have a class, by the class, as the editor's file says.
    pub packs: BTreeMap<String, String>,
    /// What of the editor's file couldn't be converted.
    pub problems: Vec<String>,
    /// The nodes, by their ids in the editor's file, for which the editor draws another number after each run.
    pub randomized: BTreeSet<String>,
}

/// Who wrote a workflow. In a shipped one the names of files and the seed are placeholders; in any other they are
/// meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Comes with the server.
    Shipped,
    /// A file of `workflows_dir`: the operator's.
    File,
    /// A file of `workflows_dir` that a client saved, where keys tell clients apart.
    Saved,
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
    /// What its sidecar says.
    pub descriptor: Arc<Descriptor>,
    document: Document,
    /// Of the files that it was read from.
    stamps: Stamps,
}

/// Why a stored workflow gives no graph.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// It is in the editor's format, and what ComfyUI has isn't known.
    #[error("it is in the editor's format and waits for ComfyUI, whose nodes have to be known to convert it")]
    Waiting,
    /// What is wrong with it and what to do.
    #[error("{0}")]
    Wrong(String),
}

impl From<String> for Unusable {
    fn from(problem: String) -> Self {
        Self::Wrong(problem)
    }
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
    current: channel::Sender<Arc<Catalog>>,
    refreshing: Mutex<()>,
}

impl Live {
    /// Reads the folder, which need not exist.
    pub fn load(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            current: channel::Sender::new(Arc::new(Catalog::load(folder))),
            refreshing: Mutex::new(()),
        }
    }

    /// The folder that it is made of.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The workflows as they are now.
    pub fn current(&self) -> Arc<Catalog> {
        Arc::clone(&self.current.borrow())
    }

    /// Tells of every change.
    pub fn subscribe(&self) -> channel::Receiver<Arc<Catalog>> {
        self.current.subscribe()
    }

    /// Reads what has changed in the folder. Takes its time: not for the runtime's threads.
    pub fn refresh(&self) {
        let _one = self.refreshing.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.current();
        let now = before.next(&self.folder);
        if now.generation != before.generation {
            tracing::info!(
                workflows = now.entries.len(),
                broken = now.broken.len(),
                "the workflows have changed"
            );
            self.current.send_replace(Arc::new(now));
        }
    }
}

impl Entry {
    /// A graph that a call brought.
    pub fn of_call(document: Document) -> Self {
        Self {
            name: "inline".to_owned(),
            description: None,
            origin: Origin::Call,
            descriptor: Arc::default(),
            document,
            stamps: Stamps::default(),
        }
    }

    /// The workflow of a file and the sidecar beside it, wherever they are.
    pub fn open(path: &Path) -> Result<Self, String> {
        folder::open(path)
    }

    /// The graph and what is known of it. Without `info`, what has to be converted waits, and not all of what a sidecar
    /// exposes is found.
    pub fn workflow(&self, info: Option<&ObjectInfo>) -> Result<Workflow, Unusable> {
        let Opened { mut graph, packs, problems, randomized } = self.document.open(info)?;
        // What a client sends has a limit, and an editor's file grows when it is converted.
        if matches!(self.origin, Origin::Saved | Origin::Call) && graph.nodes.len() > MAX_NODES {
            let problem = format!("it has {} nodes, and at most {MAX_NODES} are taken", graph.nodes.len());
            return Err(Unusable::Wrong(problem));
        }
        let parameters = expose::expose(&mut graph, &self.descriptor, info)
            .map_err(|fault| Unusable::Wrong(folder::in_sidecar(&self.name, &fault)))?;
        Ok(Workflow {
            name: self.name.clone(),
            description: self.description.clone(),
            graph,
            origin: self.origin,
            descriptor: Arc::clone(&self.descriptor),
            parameters,
            packs,
            problems,
            randomized,
        })
    }

    /// Whether both are the same workflow in the same version.
    fn is(&self, other: &Self) -> bool {
        let shipped = matches!(
            (&self.document, &other.document),
            (Document::Shipped(a), Document::Shipped(b)) if std::ptr::eq(*a, *b)
        );
        (shipped || self.stamps == other.stamps) && self.descriptor == other.descriptor
    }
}

impl Workflow {
    /// Whether a seed that a call doesn't give is drawn. In a person's own graph the seed is meant, unless the editor's file says
    /// that it is drawn after each run (`randomize`), or a sidecar makes
    /// the graph something to be called again and again; it may say that the seed is meant there too, or give one.
    pub fn draws_seed(&self, seed: &[Binding]) -> bool {
        let has_default = |name: &str| {
            self.descriptor.parameters.iter().any(|exposed| exposed.name == name && exposed.default.is_some())
        };
        let is_given = |parameter: &Parameter| parameter.bindings.iter().any(|at| seed.contains(at));
        if self.parameters.iter().any(|parameter| is_given(parameter) && has_default(&parameter.name)) {
            return false;
        }
        // A node of a subgraph has the ids of those that it stands in before its own.
        let own_id = |at: &Binding| at.node.rsplit(':').next().unwrap_or_default().to_owned();
        let is_random = seed.iter().any(|at| self.randomized.contains(&own_id(at)));
        match (self.descriptor.seed, self.origin) {
            (Some(seed), _) => seed == Seed::Random,
            (None, Origin::Shipped) => true,
            (None, Origin::File | Origin::Saved) => self.descriptor.is_callable() || is_random,
            (None, Origin::Call) => is_random,
        }
    }
}

impl Catalog {
    /// The shipped workflows, and the files of a folder, which need not exist. A file that can't be used is
    /// logged and kept in [`Catalog::broken`]; the others load.
    pub fn load(folder: &Path) -> Self {
        Self::default().next(folder)
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

    /// The names of the workflows that are new, other or gone.
    pub fn changes_since<'a>(&'a self, before: &'a Self) -> impl Iterator<Item = &'a str> {
        let is_other = |(name, entry): &(&'a String, &'a Arc<Entry>)| {
            before.entries.get(*name).is_none_or(|old| !old.is(entry))
        };
        let changed = self.entries.iter().filter(is_other).map(|(name, _)| name.as_str());
        let gone = before.entries.keys().filter(|name| !self.entries.contains_key(*name));
        changed.chain(gone.map(String::as_str))
    }

    /// What there is now, with what hasn't changed since taken over.
    fn next(&self, folder: &Path) -> Self {
        let mut next = Self::default();
        for shipped in shipped::SHIPPED {
            next.add(Entry {
                name: shipped.name.to_owned(),
                description: Some(shipped.description.to_owned()),
                origin: Origin::Shipped,
                descriptor: Arc::default(),
                document: Document::Shipped(shipped.graph),
                stamps: Stamps::default(),
            });
        }
        folder::add(&mut next, self, folder);
        let same = self.entries.len() == next.entries.len()
            && self.entries.iter().zip(&next.entries).all(|((a, old), (b, new))| a == b && old.is(new))
            && self.broken == next.broken;
        next.generation = if same { self.generation } else { self.generation + 1 };
        for broken in next.broken.iter().filter(|broken| !self.broken.contains(broken)) {
            tracing::warn!(
                workflow = %broken.name, problem = %broken.problem,
                "a workflow file can't be used; the others are loaded"
            );
        }
        next
    }

    fn add(&mut self, entry: Entry) {
        self.entries.insert(entry.name.clone(), Arc::new(entry));
    }

    fn refuse(&mut self, name: &str, problem: String) {
        self.broken.push(Broken { name: name.to_owned(), problem });
    }
}
