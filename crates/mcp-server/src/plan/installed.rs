//! What is installed of a family: which of its models, and the text encoders and VAE that go with it.

use std::collections::BTreeSet;

use workflow_analyzer::{ObjectInfo, analyze};

use super::choose;
use super::family::{Encoders, FAMILIES, Family, Part, encoder_of, family_of, is_other_trade, vae_of};
use crate::catalog::shipped::{ModelFile, model_file};
use crate::catalog::{Origin, Workflow};
use crate::error::ServerError;

/// A model file, and which loader offers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Model<'a> {
    pub(super) file: &'a str,
    pub(super) loader: Loader,
}

/// What loads a model file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loader {
    /// Everything in one file.
    Checkpoint,
    /// The diffusion model alone.
    Diffusion,
    /// The same, quantised: a node of the pack ComfyUI-GGUF.
    Gguf,
}

/// Files that go together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Set<'a> {
    /// One, or two for a family that needs both.
    pub(super) models: Vec<Model<'a>>,
    /// None: those in the checkpoint.
    pub(super) encoders: Vec<&'a str>,
    /// The `type` of the text encoders' loader.
    pub(super) kind: &'static str,
    /// None: that in the checkpoint.
    pub(super) vae: Option<&'a str>,
}

/// How sure a file must be of the family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// Its name says so.
    Named,
    /// Its name says nothing else.
    Possible,
}

impl Loader {
    /// The class and its input that names the file.
    pub(super) fn class(self) -> (&'static str, &'static str) {
        match self {
            Self::Checkpoint => ("CheckpointLoaderSimple", "ckpt_name"),
            Self::Diffusion => ("UNETLoader", "unet_name"),
            Self::Gguf => ("UnetLoaderGGUF", "unet_name"),
        }
    }
}

/// All model files, checkpoints first.
pub(super) fn models(info: &ObjectInfo) -> Vec<Model<'_>> {
    let loaders = [Loader::Checkpoint, Loader::Diffusion, Loader::Gguf];
    let offered = loaders.into_iter().flat_map(|loader| {
        let (class, input) = loader.class();
        info.options(class, input).into_iter().map(move |file| Model { file, loader })
    });
    offered.collect()
}

/// The model file of this name, with or without its folder and ending.
pub(super) fn named<'a>(info: &'a ObjectInfo, name: &str) -> Result<Model<'a>, ServerError> {
    let models = models(info);
    let files: Vec<_> = models.iter().map(|model| model.file).collect();
    // One file may be offered by two loaders; the first is the one for it.
    let distinct: BTreeSet<_> = files.iter().copied().collect();
    let file = choose::named(&distinct.into_iter().collect::<Vec<_>>(), name)
        .ok_or_else(|| choose::unknown("model", name, files.into_iter()))?;
    let found = models.into_iter().find(|model| model.file == file);
    found.ok_or_else(|| choose::unknown("model", name, std::iter::empty()))
}

/// The files to run a model of a family with; else what is missing.
pub(super) fn complete<'a>(
    info: &'a ObjectInfo,
    family: &Family,
    model: Model<'a>,
    fit: Fit,
) -> Result<Set<'a>, Vec<&'static ModelFile>> {
    let mut missing = Vec::new();
    let models = halves(info, family, model, &mut missing);
    let (mut encoders, mut kind) = (Vec::new(), "");
    let mut vae = None;
    if let Some(wanted) = &family.encoders {
        kind = wanted.kind;
        let found = find_encoders(info, wanted, fit);
        match (model.loader, found) {
            (Loader::Checkpoint, Ok(found)) if needs_encoders(family, model.file) => encoders = found,
            (Loader::Checkpoint, _) => {}
            (_, Ok(found)) => encoders = found,
            (_, Err(parts)) => missing.extend(parts.into_iter().filter_map(listed)),
        }
    } else if model.loader != Loader::Checkpoint {
        // No workflow takes it apart.
        missing.extend(family.checkpoint.and_then(model_file));
    }
    if let (Some(part), false) = (family.vae, model.loader == Loader::Checkpoint) {
        vae = find_vae(info, part, fit);
        if vae.is_none() {
            missing.extend(listed(part).or_else(|| family.checkpoint.and_then(model_file)));
        }
    }
    if missing.is_empty() { Ok(Set { models, encoders, kind, vae }) } else { Err(missing) }
}

/// Stable Diffusion 3.5 comes as checkpoints with and without text encoders; the repacked ones have them.
fn needs_encoders(family: &Family, file: &str) -> bool {
    let file = file.to_lowercase();
    family.encoders.as_ref().is_some_and(|encoders| encoders.kind == "sd3")
        && !["fp8_scaled", "clip"].iter().any(|word| file.contains(word))
}

/// The model, and the other half of a pair of models.
fn halves<'a>(
    info: &'a ObjectInfo,
    family: &Family,
    model: Model<'a>,
    missing: &mut Vec<&'static ModelFile>,
) -> Vec<Model<'a>> {
    let [high, low] = family.models else { return vec![model] };
    let is_low = |file: &str| file.to_lowercase().contains("low");
    let twin = model.file.to_lowercase();
    let twin = if is_low(&twin) { twin.replace("low", "high") } else { twin.replace("high", "low") };
    let is_other = |other: &Model<'_>| {
        family_of(other.file).is_some_and(|of| std::ptr::eq(of, family))
            && is_low(other.file) != is_low(model.file)
    };
    let others: Vec<_> = models(info).into_iter().filter(is_other).collect();
    let other = others.iter().find(|other| other.file.to_lowercase() == twin).or(others.first());
    match other {
        Some(other) if is_low(model.file) => vec![*other, model],
        Some(other) => vec![model, *other],
        None => {
            missing.extend(model_file(if is_low(model.file) { high } else { low }));
            vec![model]
        }
    }
}

fn listed(part: Part) -> Option<&'static ModelFile> {
    part.file().and_then(model_file)
}

/// The text encoders that are offered; the quantised ones last.
fn encoder_files(info: &ObjectInfo) -> Vec<&str> {
    let mut files = Vec::new();
    for class in ["CLIPLoader", "CLIPLoaderGGUF"] {
        let more = info.options(class, "clip_name");
        files.extend(more.into_iter().filter(|file| !files.contains(file)).collect::<Vec<_>>());
    }
    if files.is_empty() {
        files = info.options("DualCLIPLoader", "clip_name1");
    }
    files
}

fn find_encoders<'a>(info: &'a ObjectInfo, wanted: &Encoders, fit: Fit) -> Result<Vec<&'a str>, Vec<Part>> {
    let files = encoder_files(info);
    let of = |part: &Part| files.iter().copied().find(|file| encoder_of(file) == Some(*part));
    let mut found: Vec<&str> = wanted.parts.iter().filter_map(of).collect();
    if fit == Fit::Possible {
        let may_be = |file: &&str| encoder_of(file).is_none_or(|part| wanted.parts.contains(&part));
        for file in files.iter().copied().filter(may_be) {
            if found.len() < wanted.least && !found.contains(&file) {
                found.push(file);
            }
        }
    }
    if found.len() >= wanted.least {
        return Ok(found);
    }
    Err(wanted.parts.iter().copied().filter(|part| of(part).is_none()).collect())
}

fn find_vae(info: &ObjectInfo, part: Part, fit: Fit) -> Option<&str> {
    let files = info.options("VAELoader", "vae_name");
    let known = files.iter().copied().find(|file| vae_of(file) == Some(part));
    // ComfyUI offers `pixel_space` itself.
    let may_be = |file: &&str| vae_of(file).is_none() && *file != "pixel_space";
    known.or_else(|| files.into_iter().find(may_be).filter(|_| fit == Fit::Possible))
}

/// The files for a workflow of a family, with the model that is asked for or the first that is there; `None` for a
/// workflow that is for no family.
pub(super) fn for_workflow<'a>(
    info: &'a ObjectInfo,
    workflow: &str,
    model: Option<&str>,
) -> Result<Option<Set<'a>>, ServerError> {
    let families: Vec<_> = FAMILIES.iter().filter(|family| is_for(family, workflow)).collect();
    let Some(first) = families.first() else { return Ok(None) };
    let missing = |files| ServerError::MissingModels { what: format!("the workflow {workflow}"), files };
    if let Some(model) = model {
        let model = named(info, model)?;
        let family = family_of(model.file);
        if let Some(other) = family.filter(|family| !families.iter().any(|one| one.is_like(family))) {
            return Err(ServerError::InvalidArgument {
                field: "model".into(),
                problem: format!(
                    "{} is of {}, and the workflow {workflow} is for {}",
                    model.file, other.name, first.name
                ),
            });
        }
        let set = complete(info, family.unwrap_or(first), model, Fit::Possible);
        return set.map(Some).map_err(missing);
    }
    let mut least: Option<Vec<&'static ModelFile>> = None;
    for family in &families {
        match of_family(info, family) {
            Ok(set) => return Ok(Some(set)),
            // Of equally many, those of the later family: of klein that is the smaller model.
            Err(files) if least.as_ref().is_none_or(|least| files.len() <= least.len()) => {
                least = Some(files);
            }
            Err(_) => {}
        }
    }
    Err(missing(least.unwrap_or_default()))
}

/// Kontext can paint from a text too, and a workflow's own family comes first.
fn is_for(family: &Family, workflow: &str) -> bool {
    let is_plain = family.encoders.is_none() && workflow == "txt2img";
    family.has_workflow(workflow) && !is_plain && (!family.is_editor || family.edit == Some(workflow))
}

/// The first complete set of a family; else the smallest that is missing.
pub(super) fn of_family<'a>(
    info: &'a ObjectInfo,
    family: &Family,
) -> Result<Set<'a>, Vec<&'static ModelFile>> {
    let is_of = |model: &Model<'_>| {
        let other = is_other_trade(model.file) && family.from_text.is_some();
        !other && family_of(model.file).is_some_and(|of| std::ptr::eq(of, family))
    };
    let mut least = nothing_of(info, family);
    for model in models(info).into_iter().filter(is_of) {
        match complete(info, family, model, Fit::Named) {
            Ok(set) => return Ok(set),
            Err(missing) if missing.len() < least.len() => least = missing,
            Err(_) => {}
        }
    }
    Err(least)
}

/// What to install where there is no model of the family: a checkpoint, or the parts that aren't there.
fn nothing_of(info: &ObjectInfo, family: &Family) -> Vec<&'static ModelFile> {
    let mut parts: Vec<_> = family.models.iter().filter_map(|file| model_file(file)).collect();
    if let Some(wanted) = &family.encoders
        && let Err(missing) = find_encoders(info, wanted, Fit::Named)
    {
        parts.extend(missing.into_iter().filter_map(listed));
    }
    if let Some(part) = family.vae
        && find_vae(info, part, Fit::Named).is_none()
    {
        parts.extend(listed(part));
    }
    match family.checkpoint.and_then(model_file) {
        Some(checkpoint) if family.models.is_empty() || parts.len() > 1 => vec![checkpoint],
        _ => parts,
    }
}

/// The smallest set that makes pictures: what a family lacks of which something is there already, or else the
/// smallest model that makes them.
pub(super) fn smallest_missing(info: &ObjectInfo) -> Vec<&'static ModelFile> {
    let lacks = |family: &'static Family| Some((family, of_family(info, family).err()?));
    let painters = FAMILIES.iter().filter(|family| family.from_text.is_some()).filter_map(lacks);
    let total = |family: &Family| {
        1 + family.encoders.as_ref().map_or(0, |encoders| encoders.least) + usize::from(family.vae.is_some())
    };
    let begun = painters.filter(|(family, missing)| {
        family.encoders.is_some()
            && !missing.is_empty()
            && missing.len() < total(family)
            && models(info)
                .iter()
                .any(|model| family_of(model.file).is_some_and(|of| std::ptr::eq(of, *family)))
    });
    let smallest = begun.map(|(_, missing)| missing).min_by_key(Vec::len);
    smallest.unwrap_or_else(|| model_file("v1-5-pruned-emaonly-fp16.safetensors").into_iter().collect())
}

/// The model files that a shipped workflow lacks here, and where they are to be had; empty for any other.
pub fn missing(info: &ObjectInfo, workflow: &Workflow) -> Vec<&'static ModelFile> {
    if workflow.origin != Origin::Shipped {
        return Vec::new();
    }
    match for_workflow(info, &workflow.name, None) {
        Err(ServerError::MissingModels { files, .. }) => files,
        Ok(Some(_)) | Err(_) => Vec::new(),
        // A generic one takes any file of the kind.
        Ok(None) => {
            let needs = analyze(&workflow.graph, info).needs.models;
            let lacks = needs.iter().filter(|model| {
                let class = workflow.graph.nodes.get(&model.node).map(|node| node.class_type.as_str());
                class.is_some_and(|class| info.options(class, &model.input).is_empty())
            });
            lacks.filter_map(|model| model_file(&model.name)).collect()
        }
    }
}
