//! `cargo xtask corpus`: the conversion from the editor's format, held against what the editor itself sent.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use serde_json::Value;
use workflow_analyzer::{ObjectInfo, analyze, convert};

mod compare;
#[cfg(test)]
mod tests;

/// What `cargo xtask corpus` takes.
#[derive(Args)]
pub(crate) struct Options {
    /// The folder of pairs, or of loose files.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Where what came out is written, in the same layout.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// The node classes; without it object_info.json of the folder, or else the classes that the product knows.
    #[arg(long, value_name = "FILE")]
    object_info: Option<PathBuf>,
    /// How many differences of one file are printed.
    #[arg(long, value_name = "N", default_value_t = 5)]
    differences: usize,
}

/// Converts everything and says what differs; fails unless all is equal.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let info = object_info(options)?;
    let ui = options.dir.join("ui");
    if !ui.is_dir() {
        return loose(options, &info);
    }
    let (mut equal, mut files) = (0, 0);
    for set in sorted(&ui)? {
        for file in sorted(&set)? {
            if file.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            files += 1;
            if pair(options, &info, &file)? {
                equal += 1;
            }
        }
    }
    ensure!(files > 0, "there is no file below {}", ui.display());
    println!("{equal} equal of {files}");
    Ok(if equal == files { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Converts one file, writes what came out and prints how it differs from the pair's other half.
fn pair(options: &Options, info: &ObjectInfo, file: &Path) -> Result<bool> {
    let name = file.strip_prefix(options.dir.join("ui"))?;
    let api = Path::new("api").join(name);
    let expected = read(&options.dir.join(&api))?;
    // What the editor can't load it sends nothing of, and neither do we.
    let (got, error) = match convert(&read(file)?, info) {
        Ok(conversion) => (conversion.graph.to_json(), None),
        Err(error) => (Value::Object(serde_json::Map::new()), Some(error)),
    };
    if let Some(out) = &options.out {
        let path = out.join(&api);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).with_context(|| format!("can't make {}", folder.display()))?;
        }
        fs::write(&path, serde_json::to_vec_pretty(&got)?)
            .with_context(|| format!("can't write {}", path.display()))?;
    }
    let differences = compare::differences(&expected, &got);
    if let Some(error) = error.filter(|_| !differences.is_empty()) {
        println!("{}: {error}", name.display());
    }
    for difference in differences.iter().take(options.differences) {
        println!("{}: {difference}", name.display());
    }
    if differences.len() > options.differences {
        println!("{}: and {} more", name.display(), differences.len() - options.differences);
    }
    Ok(differences.is_empty())
}

/// Converts and analyses every workflow among the files of a folder.
fn loose(options: &Options, info: &ObjectInfo) -> Result<ExitCode> {
    let mut documents = Vec::new();
    let mut folders = vec![options.dir.clone()];
    while let Some(folder) = folders.pop() {
        for path in sorted(&folder)? {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "json") {
                documents.push((path.clone(), read(&path)?));
            }
        }
    }
    let start = Instant::now();
    let (mut converted, mut nodes, mut problems, mut refused) = (0, 0, 0, 0);
    for (path, document) in &documents {
        if !workflow_analyzer::is_editor_format(document) {
            continue;
        }
        match convert(document, info) {
            Ok(conversion) => {
                analyze(&conversion.graph, info);
                converted += 1;
                nodes += conversion.graph.nodes.len();
                problems += conversion.problems.len();
            }
            Err(error) => {
                refused += 1;
                println!("{}: {error}", path.display());
            }
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{converted} workflows with {nodes} nodes converted and analysed in {seconds:.2} s, {problems} problems"
    );
    println!("{} files are no workflows", documents.len() - converted - refused);
    Ok(if refused == 0 && converted > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn object_info(options: &Options) -> Result<ObjectInfo> {
    let beside = options.dir.join("object_info.json");
    match &options.object_info {
        Some(file) => Ok(ObjectInfo::from_json(read(file)?)?),
        None if beside.is_file() => Ok(ObjectInfo::from_json(read(&beside)?)?),
        None => Ok(ObjectInfo::well_known()),
    }
}

fn read(path: &Path) -> Result<Value> {
    let bytes = fs::read(path).with_context(|| format!("can't read {}", path.display()))?;
    serde_json::from_slice(&bytes).with_context(|| format!("{} isn't JSON", path.display()))
}

fn sorted(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("can't read {}", folder.display()))?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}
