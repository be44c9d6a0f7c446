//! What is taken when a call doesn't say: the workflow's kind, the model files, the size.

use std::collections::{BTreeSet, HashSet};

use workflow_analyzer::{Analysis, Graph, Input, ObjectInfo};

use super::family::{Family, encoder_of, family_of, is_other_trade, vae_of};
use super::installed::{self, Fit, Loader, Model, Set};
use super::names;
use crate::catalog::Catalog;
use crate::catalog::shipped::{ModelFile, model_file};
use crate::error::ServerError;

/// Words in the names of models that were trained on a megapixel.
const MEGAPIXEL: [&str; 16] = [
    "xl",
    "pony",
    "illustrious",
    "noob",
    "sd3",
    "flux",
    "chroma",
    "qwen",
    "hidream",
    "lumina",
    "z_image",
    "z-image",
    "auraflow",
    "playground",
    "kolors",
    "pixart",
];

/// What a picture is made from, as far as it decides on the workflow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Task {
    Text,
    /// An image, as the text says.
    Edit,
    /// An image, and how far to go from it.
    Image,
    Inpaint,
}

/// What was chosen to run a workflow with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Chosen<'a> {
    /// A family's files.
    Set(Set<'a>),
    /// A model of which nothing is known.
    File(&'a str),
    /// Nothing yet: the workflow was named.
    Nothing,
}

impl Chosen<'_> {
    /// The model.
    pub(super) fn model(&self) -> Option<&str> {
        match self {
            Self::Set(set) => set.models.first().map(|model| model.file),
            Self::File(file) => Some(file),
            Self::Nothing => None,
        }
    }
}

/// The first ControlNet that isn't of another family than the model.
pub(super) fn controlnet<'a>(options: &[&'a str], model: &str) -> Option<&'a str> {
    options.iter().copied().find(|option| goes_with("controlnet", option, model))
}

/// A ControlNet for the model, where one is known.
pub(super) fn example_controlnet(model: &str) -> Option<&'static ModelFile> {
    let is_sd15 = |family: &Family| family.from_text == Some("txt2img");
    model_file("control_v11p_sd15_canny_fp16.safetensors").filter(|_| family_of(model).is_none_or(is_sd15))
}

/// The workflow that a family has for the task.
fn workflow_of(family: &Family, task: Task) -> Option<&'static str> {
    let from_text = family.from_text;
    match task {
        Task::Edit if family.edit.is_some() => family.edit,
        Task::Image | Task::Inpaint if family.is_editor => family.edit,
        Task::Edit | Task::Image if from_text == Some("txt2img") => Some("img2img"),
        Task::Inpaint if from_text == Some("txt2img") => Some("inpaint"),
        _ => from_text,
    }
}

/// The workflow for a model of which nothing is known.
fn generic(loader: Loader, task: Task) -> &'static str {
    match (loader, task) {
        (Loader::Diffusion | Loader::Gguf, _) => "txt2img_diffusion_model",
        (Loader::Checkpoint, Task::Text) => "txt2img",
        (Loader::Checkpoint, Task::Edit | Task::Image) => "img2img",
        (Loader::Checkpoint, Task::Inpaint) => "inpaint",
    }
}

/// Chooses workflow and files by what is installed; a model that was asked for decides on the family.
pub(super) fn choose<'a>(
    info: &'a ObjectInfo,
    catalog: &Catalog,
    model: Option<&str>,
    task: Task,
) -> Result<(&'static str, Chosen<'a>), ServerError> {
    if let Some(name) = model {
        return for_model(info, installed::named(info, name)?, task);
    }
    let mut ranked = ranked(info, task);
    ranked.sort_by_key(|(rank, ..)| *rank);
    let best = ranked.into_iter().find(|(_, workflow, ..)| has_classes(info, catalog, workflow));
    let best = best.map(|(_, workflow, chosen, _)| (workflow, chosen));
    best.ok_or_else(|| ServerError::NoModelInstalled(installed::smallest_missing(info)))
}

fn for_model<'a>(
    info: &'a ObjectInfo,
    model: Model<'a>,
    task: Task,
) -> Result<(&'static str, Chosen<'a>), ServerError> {
    let Some(family) = family_of(model.file) else {
        return Ok((generic(model.loader, task), Chosen::File(model.file)));
    };
    let Some(workflow) = workflow_of(family, task) else {
        return Err(ServerError::InvalidArgument {
            field: "model".into(),
            problem: format!(
                "{} is of {}, which makes no pictures; see list_workflows",
                model.file, family.name
            ),
        });
    };
    let set = installed::complete(info, family, model, Fit::Possible).map_err(|files| {
        ServerError::MissingModels { what: format!("{} ({})", model.file, family.name), files }
    })?;
    Ok((workflow, Chosen::Set(set)))
}

/// How gladly a model is taken when none is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// Its name tells its family, and all that goes with it is there.
    Known,
    /// A checkpoint that says nothing of itself.
    Checkpoint,
    /// Made to edit pictures, and can make them.
    Editor,
    /// A diffusion model that says nothing of itself, or lacks files of the right names.
    Possible,
    /// A checkpoint for something else.
    Other,
}

type Ranked<'a> = (Rank, &'static str, Chosen<'a>, &'a str);

/// Every model that can do the task, in the order of the lists, if this ComfyUI is new enough.
fn ranked(info: &ObjectInfo, task: Task) -> Vec<Ranked<'_>> {
    let mut ranked = Vec::new();
    for model in installed::models(info) {
        let family = family_of(model.file).filter(|family| workflow_of(family, task).is_some());
        let is_checkpoint = model.loader == Loader::Checkpoint;
        if is_other_trade(model.file) && !is_wanted_edit(family, task) {
            if is_checkpoint && family.is_none_or(|family| family.encoders.is_none()) {
                ranked.push((Rank::Other, generic(model.loader, task), Chosen::File(model.file), model.file));
            }
            continue;
        }
        let Some(family) = family else {
            if family_of(model.file).is_none() && (is_checkpoint || has_parts(info)) {
                let rank = if is_checkpoint { Rank::Checkpoint } else { Rank::Possible };
                ranked.push((rank, generic(model.loader, task), Chosen::File(model.file), model.file));
            }
            continue;
        };
        let Some(workflow) = workflow_of(family, task) else { continue };
        let rank = if family.is_editor && task != Task::Edit { Rank::Editor } else { Rank::Known };
        if let Ok(set) = installed::complete(info, family, model, Fit::Named) {
            ranked.push((rank, workflow, Chosen::Set(set), model.file));
        } else if let Ok(set) = installed::complete(info, family, model, Fit::Possible) {
            ranked.push((Rank::Possible, workflow, Chosen::Set(set), model.file));
        }
    }
    ranked
}

/// Whether the family is there for the very task, whatever else its name tells.
fn is_wanted_edit(family: Option<&Family>, task: Task) -> bool {
    task == Task::Edit && family.is_some_and(|family| family.is_editor)
}

/// Whether there is a text encoder and a VAE at all.
fn has_parts(info: &ObjectInfo) -> bool {
    !info.options("DualCLIPLoader", "clip_name1").is_empty()
        && !info.options("VAELoader", "vae_name").is_empty()
}

/// Whether this ComfyUI is new enough for a workflow.
fn has_classes(info: &ObjectInfo, catalog: &Catalog, workflow: &str) -> bool {
    let workflow = catalog.get(workflow).and_then(|entry| entry.workflow(Some(info)).ok());
    let loaders = ["CheckpointLoaderSimple", "UNETLoader", "CLIPLoader", "DualCLIPLoader", "VAELoader"];
    workflow.is_some_and(|workflow| {
        let mut classes = workflow.graph.nodes.values().map(|node| node.class_type.as_str());
        classes.all(|class| loaders.contains(&class) || info.class(class).is_some())
    })
}

/// The models that make pictures, the default first.
pub(super) fn paintable<'a>(info: &'a ObjectInfo, catalog: &Catalog) -> Vec<&'a str> {
    let mut ranked = ranked(info, Task::Text);
    ranked.sort_by_key(|(rank, ..)| *rank);
    let workflows: BTreeSet<_> = ranked.iter().map(|(_, workflow, ..)| *workflow).collect();
    let able: Vec<_> = workflows.into_iter().filter(|name| has_classes(info, catalog, name)).collect();
    ranked.retain(|(_, workflow, ..)| able.contains(workflow));
    // What is for something else is offered where there is nothing else; one for inpainting may be wanted.
    let only = ranked.iter().all(|(rank, ..)| *rank == Rank::Other);
    let offered = |file: &str, rank: Rank| only || rank != Rank::Other || has(file, &["inpaint"]);
    ranked.into_iter().filter(|(rank, _, _, file)| offered(file, *rank)).map(|(.., file)| file).collect()
}

/// The installed file of this name, with or without its folder and ending.
pub(super) fn named<'a>(options: &[&'a str], name: &str) -> Option<&'a str> {
    let stem = |path: &str| {
        let file = path.rsplit(['/', '\\']).next().unwrap_or(path);
        names::stem(file).to_lowercase()
    };
    let matching: Vec<_> =
        options.iter().copied().filter(|option| option.eq_ignore_ascii_case(name)).collect();
    if let [exact] = matching[..] {
        return Some(exact);
    }
    if let Some(exact) = options.iter().copied().find(|option| *option == name) {
        return Some(exact);
    }
    let wanted = stem(name);
    let mut same: Vec<_> = options.iter().copied().filter(|option| stem(option) == wanted).collect();
    match same.len() {
        1 => same.pop(),
        _ => None,
    }
}

/// The error for a name that is not there, with the nearest that are.
pub(super) fn unknown<'a>(field: &str, name: &str, options: impl Iterator<Item = &'a str>) -> ServerError {
    let nearest = workflow_analyzer::nearest(name, options, 3);
    ServerError::UnknownName {
        field: field.to_owned(),
        name: name.to_owned(),
        nearest: nearest.into_iter().map(str::to_owned).collect(),
    }
}

fn has(option: &str, words: &[&str]) -> bool {
    let name = option.to_lowercase();
    words.iter().any(|word| name.contains(word))
}

/// The files that a person could want for a picture, the default first: all but those of other trades. One for
/// inpainting may be wanted; the person knows for what.
pub(super) fn wanted<'a>(options: &[&'a str]) -> Vec<&'a str> {
    let wanted = |option: &&str| has(option, &["inpaint"]) || !is_other_trade(option);
    let default = default_model(options);
    let others = options.iter().copied().filter(wanted).filter(|option| Some(*option) != default);
    default.into_iter().chain(others).collect()
}

/// The first file that is likely to make a picture from a text in a workflow for any: one of a family whose
/// checkpoints are complete, else one of which nothing is known.
pub(super) fn default_model<'a>(options: &[&'a str]) -> Option<&'a str> {
    let usable = || options.iter().copied().filter(|option| !is_other_trade(option));
    let is_plain = |option: &&str| family_of(option).is_some_and(|family| family.encoders.is_none());
    usable()
        .find(is_plain)
        .or_else(|| usable().find(|option| family_of(option).is_none()))
        .or_else(|| usable().next())
        .or_else(|| options.first().copied())
}

/// Width and height that suit a model, by its name.
pub(super) fn default_size(model: &str) -> (u64, u64) {
    let name = model.to_lowercase();
    if MEGAPIXEL.iter().any(|word| name.contains(word)) { (1024, 1024) } else { (512, 512) }
}

/// Puts installed files in the place of a shipped workflow's placeholders.
pub(super) fn fill_models(
    graph: &mut Graph,
    analysis: &Analysis,
    info: &ObjectInfo,
) -> Result<(), ServerError> {
    let mut main = String::new();
    let mut taken: HashSet<String> = HashSet::new();
    for model in &analysis.needs.models {
        let Some(node) = graph.nodes.get_mut(&model.node) else { continue };
        let options = info.options(&node.class_type, &model.input);
        let file = if options.contains(&model.name.as_str()) {
            model.name.clone()
        } else {
            let options: Vec<_> =
                options.into_iter().filter(|option| goes_with(&model.folder, option, &main)).collect();
            suited(&model.name, &options, &main, &taken)
                .ok_or_else(|| ServerError::NothingInstalled {
                    kind: model.folder.clone(),
                    class: node.class_type.clone(),
                    example: model_file(&model.name).map(ModelFile::place),
                })?
                .to_owned()
        };
        if matches!(model.folder.as_str(), "checkpoints" | "diffusion_models") {
            main.clone_from(&file);
        }
        node.inputs.insert(model.input.clone(), Input::Value(file.clone().into()));
        taken.insert(file);
    }
    set_clip_type(graph, info, &main);
    Ok(())
}

/// Of several files of a kind, the one whose name goes with the placeholder (a T5 for a T5) and shares most words with
/// the main model's. A file is not taken twice where there is another.
fn suited<'a>(
    placeholder: &str,
    options: &[&'a str],
    main: &str,
    taken: &HashSet<String>,
) -> Option<&'a str> {
    let kind = ["t5", "clip_l", "clip_g"].into_iter().find(|kind| placeholder.contains(kind));
    let free: Vec<_> = options.iter().copied().filter(|option| !taken.contains(*option)).collect();
    let of_kind = free.iter().copied().filter(|option| {
        let name = option.to_lowercase().replace('-', "_");
        kind.is_some_and(|kind| name.contains(kind))
    });
    let candidates: Vec<_> = match of_kind.collect::<Vec<_>>() {
        matching if !matching.is_empty() => matching,
        _ if !free.is_empty() => free,
        _ => options.to_vec(),
    };
    if main.is_empty() {
        return default_model(&candidates);
    }
    let wanted = words(main);
    let shared = |option: &&str| words(option).intersection(&wanted).count();
    // The first of the best: `max_by_key` would take the last.
    candidates.into_iter().rev().max_by_key(shared)
}

/// A file that is of another family by its name goes with no model of this one.
fn goes_with(folder: &str, file: &str, main: &str) -> bool {
    let Some(family) = family_of(main) else { return true };
    match folder {
        "text_encoders" => {
            let parts = family.encoders.as_ref().map_or(&[][..], |encoders| encoders.parts);
            encoder_of(file).is_none_or(|part| parts.contains(&part))
        }
        "vae" => vae_of(file).is_none_or(|part| Some(part) == family.vae),
        "loras" | "controlnet" => {
            family_of(file).is_none_or(|of| of.is_like(family) && of.from_text == family.from_text)
        }
        _ => true,
    }
}

fn words(name: &str) -> HashSet<String> {
    let stem = names::stem(name).to_lowercase();
    stem.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// A pair of text encoders is read in a way of its own for each family.
fn set_clip_type(graph: &mut Graph, info: &ObjectInfo, main: &str) {
    let main = main.to_lowercase();
    let known = [
        ("sd3", "sd3"),
        ("xl", "sdxl"),
        ("hunyuan", "hunyuan_video"),
        ("hidream", "hidream"),
        ("flux", "flux"),
    ];
    let Some((_, kind)) = known.into_iter().find(|(word, _)| main.contains(word)) else { return };
    for node in graph.nodes.values_mut().filter(|node| node.class_type == "DualCLIPLoader") {
        if info.options("DualCLIPLoader", "type").contains(&kind) {
            node.inputs.insert("type".into(), Input::Value(kind.into()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_model_makes_pictures() {
        let cases: [(&[&str], Option<&str>); 5] = [
            (&["a.safetensors", "b.safetensors"], Some("a.safetensors")),
            (&["broken.ckpt", "tiny-sd15.safetensors"], Some("tiny-sd15.safetensors")),
            (
                &["sd_xl_refiner_1.0.safetensors", "sd_xl_base_1.0.safetensors"],
                Some("sd_xl_base_1.0.safetensors"),
            ),
            (&["svd_xt.safetensors"], Some("svd_xt.safetensors")),
            (&[], None),
        ];
        for (options, expected) in cases {
            assert_eq!(default_model(options), expected, "{options:?}");
        }
    }

    #[test]
    fn a_person_is_offered_what_makes_pictures() {
        let cases: [(&[&str], &[&str]); 3] = [
            (
                &["svd_xt.pt", "a.pt", "sd15-inpainting.pt", "sdxl.pt", "sd_xl_refiner_1.0.pt"],
                &["sdxl.pt", "a.pt", "sd15-inpainting.pt"],
            ),
            (&["svd_xt.pt"], &["svd_xt.pt"]),
            (&[], &[]),
        ];
        for (options, expected) in cases {
            assert_eq!(wanted(options), expected, "{options:?}");
        }
    }

    #[test]
    fn names_are_found_without_folder_and_ending() {
        let options = ["sdxl/base.safetensors", "sd15/base.ckpt", "Other.safetensors"];
        let cases = [
            ("sdxl/base.safetensors", Some("sdxl/base.safetensors")),
            ("other", Some("Other.safetensors")),
            ("OTHER.safetensors", Some("Other.safetensors")),
            ("base", None),
            ("nothing", None),
        ];
        for (name, expected) in cases {
            assert_eq!(named(&options, name), expected, "{name}");
        }
    }

    #[test]
    fn companions_go_with_the_main_model() {
        let taken = HashSet::from(["clip_l.safetensors".to_owned()]);
        let encoders = ["clip_g.safetensors", "clip_l.safetensors", "t5xxl_fp16.safetensors"];
        let cases = [
            (
                suited("t5xxl_fp8.safetensors", &encoders, "flux1-dev.safetensors", &taken),
                "t5xxl_fp16.safetensors",
            ),
            (
                suited("clip_l.safetensors", &["only.safetensors"], "x.safetensors", &taken),
                "only.safetensors",
            ),
            (
                suited("ae.safetensors", &["tiny-vae.pt", "tiny-sd3-vae.pt"], "tiny-sd3.pt", &taken),
                "tiny-sd3-vae.pt",
            ),
        ];
        for (found, expected) in cases {
            assert_eq!(found, Some(expected));
        }
    }
}
