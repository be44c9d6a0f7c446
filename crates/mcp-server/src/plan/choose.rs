//! What is taken when a call doesn't say: the workflow's kind, the model files, the size.

use std::collections::HashSet;

use workflow_analyzer::{Analysis, Graph, Input, ObjectInfo};

use crate::catalog::shipped::{ModelFile, model_file};
use crate::error::ServerError;

/// How pictures can be made with what is installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Means {
    /// `CheckpointLoaderSimple`, with a file that holds everything.
    Checkpoint,
    /// `UNETLoader`, with text encoders and VAE in files of their own.
    DiffusionModel,
}

/// Checkpoints of other trades, by words in their names; never the first choice for a picture.
const OTHER_TRADES: [&str; 13] = [
    "refiner",
    "inpaint",
    "svd",
    "stable_video",
    "zero123",
    "stable_cascade",
    "audio",
    "upscale",
    "hunyuan3d",
    "cosmos",
    "ltx",
    "wan",
    "mochi",
];

/// Words by which a name tells the family of its model; a name that tells one is preferred to one that tells none.
const FAMILIES: [&str; 12] =
    ["sd15", "sd1.5", "v1-5", "sd_1", "sd2", "v2-1", "sdxl", "xl", "sd3", "flux", "dreamshaper", "realistic"];

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

/// Chooses by what is installed; a model that was asked for decides.
pub(super) fn means(info: &ObjectInfo, model: Option<&str>) -> Result<Means, ServerError> {
    let checkpoints = info.options("CheckpointLoaderSimple", "ckpt_name");
    let diffusion_models = info.options("UNETLoader", "unet_name");
    let Some(model) = model else {
        return if !checkpoints.is_empty() {
            Ok(Means::Checkpoint)
        } else if !diffusion_models.is_empty() {
            Ok(Means::DiffusionModel)
        } else {
            Err(ServerError::NoModelInstalled)
        };
    };
    if named(&checkpoints, model).is_some() {
        return Ok(Means::Checkpoint);
    }
    if named(&diffusion_models, model).is_some() {
        return Ok(Means::DiffusionModel);
    }
    Err(unknown("model", model, checkpoints.into_iter().chain(diffusion_models)))
}

/// The installed file of this name, with or without its folder and ending.
pub(super) fn named<'a>(options: &[&'a str], name: &str) -> Option<&'a str> {
    let stem = |path: &str| {
        let file = path.rsplit(['/', '\\']).next().unwrap_or(path).to_lowercase();
        file.rsplit_once('.').map_or(file.clone(), |(stem, _)| stem.to_owned())
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
    let wanted = |option: &&str| has(option, &["inpaint"]) || !has(option, &OTHER_TRADES);
    let default = default_model(options);
    let others = options.iter().copied().filter(wanted).filter(|option| Some(*option) != default);
    default.into_iter().chain(others).collect()
}

/// The first file that is likely to make a picture from a text.
pub(super) fn default_model<'a>(options: &[&'a str]) -> Option<&'a str> {
    let usable = || options.iter().copied().filter(|option| !has(option, &OTHER_TRADES));
    usable()
        .find(|option| has(option, &FAMILIES))
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

fn words(name: &str) -> HashSet<String> {
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem).to_lowercase();
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
