//! The workspace's dependency graph, as the rules look at it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    path::Path,
};

use anyhow::{Context, Result};
use cargo_metadata::{CargoOpt, DependencyKind, Metadata, MetadataCommand, Node, Package, PackageId};

/// All members, by name.
#[derive(Default)]
pub(crate) struct Workspace {
    pub(crate) crates: BTreeMap<String, Crate>,
    /// The names under `[workspace.dependencies]`.
    pub(crate) shared: BTreeSet<String>,
}

/// One member.
#[derive(Default)]
pub(crate) struct Crate {
    /// What it names under `[dependencies]` and `[build-dependencies]`.
    pub(crate) normal: BTreeSet<String>,
    /// What it names under `[dev-dependencies]`.
    pub(crate) dev: BTreeSet<String>,
    /// Every package below it through normal dependencies, with the way there (`a → b → c`).
    pub(crate) tree: BTreeMap<String, String>,
    /// Whether its manifest says `lints.workspace = true`.
    pub(crate) inherits_lints: bool,
    /// Dependencies whose version it gives itself.
    pub(crate) own_versions: BTreeSet<String>,
}

/// Reads the graph of all members with all features on.
pub(crate) fn read(root: &Path) -> Result<Workspace> {
    let metadata = MetadataCommand::new()
        .current_dir(root)
        .features(CargoOpt::AllFeatures)
        .exec()
        .context("cargo can't read the dependency graph")?;
    let mut workspace = Workspace::default();
    for package in metadata.workspace_packages() {
        workspace.crates.insert(package.name.to_string(), member(&metadata, package)?);
    }
    let manifest = manifest(&root.join("Cargo.toml"))?;
    if let Some(shared) = manifest.get("workspace").and_then(|table| table.get("dependencies")?.as_table()) {
        workspace.shared = shared.keys().cloned().collect();
    }
    Ok(workspace)
}

fn member(metadata: &Metadata, package: &Package) -> Result<Crate> {
    let named = |dev: bool| {
        let kind = move |kind| (kind == DependencyKind::Development) == dev;
        package.dependencies.iter().filter(move |d| kind(d.kind)).map(|d| d.name.clone()).collect()
    };
    let manifest = manifest(package.manifest_path.as_std_path())?;
    Ok(Crate {
        normal: named(false),
        dev: named(true),
        tree: tree(metadata, package),
        inherits_lints: is_true(manifest.get("lints").and_then(|lints| lints.get("workspace"))),
        own_versions: own_versions(&manifest),
    })
}

fn manifest(path: &Path) -> Result<toml::Table> {
    let text = std::fs::read_to_string(path).with_context(|| format!("could not read {}", path.display()))?;
    text.parse().with_context(|| format!("{} is not TOML", path.display()))
}

fn is_true(value: Option<&toml::Value>) -> bool {
    value.and_then(toml::Value::as_bool) == Some(true)
}

/// The dependencies in all tables of a manifest that don't say `workspace = true`.
pub(crate) fn own_versions(manifest: &toml::Table) -> BTreeSet<String> {
    let targets = manifest.get("target").and_then(toml::Value::as_table);
    std::iter::once(manifest)
        .chain(targets.into_iter().flat_map(|all| all.values().filter_map(toml::Value::as_table)))
        .flat_map(|table| {
            ["dependencies", "dev-dependencies", "build-dependencies"].map(|key| table.get(key))
        })
        .filter_map(|table| table?.as_table())
        .flatten()
        .filter(|(_, dependency)| !is_true(dependency.get("workspace")))
        .map(|(name, _)| name.clone())
        .collect()
}

/// Everything below a package through normal and build dependencies, breadth first: the shortest way is told.
fn tree(metadata: &Metadata, package: &Package) -> BTreeMap<String, String> {
    let nodes: HashMap<&PackageId, &Node> =
        metadata.resolve.iter().flat_map(|resolve| &resolve.nodes).map(|node| (&node.id, node)).collect();
    let mut ways = BTreeMap::new();
    let mut next = VecDeque::from([(&package.id, package.name.to_string())]);
    while let Some((id, way)) = next.pop_front() {
        let Some(node) = nodes.get(id) else { continue };
        for dependency in &node.deps {
            let needed = dependency.dep_kinds.iter().any(|kind| kind.kind != DependencyKind::Development);
            let name = metadata[&dependency.pkg].name.to_string();
            if needed && !ways.contains_key(&name) {
                let way = format!("{way} → {name}");
                ways.insert(name, way.clone());
                next.push_back((&dependency.pkg, way));
            }
        }
    }
    ways
}
