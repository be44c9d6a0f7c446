//! Makes a graph start from an image, as a whole or where a mask is.

mod denoise;

use std::collections::{BTreeSet, HashSet};

use serde_json::{Value, json};

use super::rewire::{MAX_PLACES, Output, add, check_places, class, prune, relink, set, users, vae};
use super::{EditError, Mask};
use crate::analyze::file_input;
use crate::trace::Trace;
use crate::{ClassInfo, Graph, Input, InputKind, NodeId, ObjectInfo, Task, analyze};

/// Where the first samplers of a graph get their latents.
#[derive(Clone, Debug)]
pub(super) struct Source {
    sampler: NodeId,
    /// The latent that comes from no other latent.
    pub(super) latent: Output,
    /// The input of that node that takes an image; `None` for an empty latent.
    image_input: Option<String>,
    /// The input that names the image's file.
    file: Option<(NodeId, String)>,
    /// Inputs on the way that take a mask.
    mask_inputs: Vec<(NodeId, String)>,
}

/// Makes the first sampler start from an image of the input folder instead of an empty latent, with `denoise` from 0.0
/// (leave it) to 1.0 (ignore it). The result has the size of the image; see [`scale_source`]. A graph that already
/// starts from an image gets the new one. A batch stays one: the image is repeated.
pub fn to_img2img(graph: &mut Graph, info: &ObjectInfo, image: &str, denoise: f64) -> Result<(), EditError> {
    let mut edited = graph.clone();
    start_from_image(&mut edited, info, image, denoise, "start from an image")?;
    *graph = edited;
    Ok(())
}

/// As [`to_img2img`], and only what the mask covers is painted anew, with any `denoise`.
pub fn to_inpaint(
    graph: &mut Graph,
    info: &ObjectInfo,
    image: &str,
    mask: Mask<'_>,
    denoise: f64,
) -> Result<(), EditError> {
    let mut edited = graph.clone();
    start_from_image(&mut edited, info, image, denoise, "inpaint")?;
    let sources = sources(&Trace::new(&edited, info));
    let mut made = None;
    for source in &sources {
        let mask = match (&made, mask) {
            (Some(mask), _) => Output::clone(mask),
            (None, Mask::Image(name)) => {
                let loader = class(info, "LoadImageMask")?;
                let inputs = vec![("image", name.into()), ("channel", "red".into())];
                Output::new(&add(&mut edited, loader, "Mask", inputs), 0)
            }
            (None, Mask::Alpha) => alpha(&edited, info, source)?,
        };
        mask_latent(&mut edited, info, source, &mask)?;
        made = Some(mask);
    }
    *graph = edited;
    Ok(())
}

/// Scales the source image of a graph that starts from one to a size in pixels; with one side given, the other follows
/// the image's proportions; with both, what sticks out is cropped at the edges. A mask goes with it.
pub fn scale_source(
    graph: &mut Graph,
    info: &ObjectInfo,
    width: Option<u32>,
    height: Option<u32>,
) -> Result<(), EditError> {
    if width.is_none() && height.is_none() {
        return Ok(());
    }
    let scale = class(info, "ImageScale")?;
    let sources = sources(&Trace::new(graph, info));
    check_places(sources.len(), "scale the source image")?;
    let mut edited = graph.clone();
    let mut done = HashSet::new();
    for source in sources {
        let Some(input) = source.image_input else { continue };
        if !done.insert(source.latent.node.clone()) {
            continue;
        }
        scale_input(&mut edited, scale, &source.latent.node, &input, (width, height))?;
        if width.is_some() && height.is_some() {
            scale_masks(&mut edited, info, scale, &source.mask_inputs, (width, height))?;
        }
    }
    if done.is_empty() {
        let reason = "no sampler of this workflow starts from an image";
        return Err(EditError::NotPossible { edit: "scale the source image", reason });
    }
    *graph = edited;
    Ok(())
}

/// The way to scale that a class offers, the smoothest first.
pub(super) fn scale_method(class: &ClassInfo) -> Option<Input> {
    let Some(InputKind::Combo { options, .. }) = class.inputs.get("upscale_method").map(|spec| &spec.kind)
    else {
        return None;
    };
    let lanczos = options.iter().find(|option| *option == "lanczos");
    lanczos.or(options.first()).map(|option| Input::Value(option.clone()))
}

fn start_from_image(
    graph: &mut Graph,
    info: &ObjectInfo,
    image: &str,
    denoise: f64,
    edit: &'static str,
) -> Result<(), EditError> {
    check_makes_pictures(graph, info, edit)?;
    let (sources, vae) = {
        let trace = Trace::new(graph, info);
        (sources(&trace), vae(&trace))
    };
    if sources.is_empty() {
        return Err(EditError::NotPossible {
            edit,
            reason: "no sampler of this workflow starts from a latent",
        });
    }
    check_places(sources.len(), edit)?;
    let mut encoded = None;
    for source in &sources {
        if let Some((node, input)) = &source.file {
            set(graph, node, input, image.into());
        } else if source.image_input.is_none() {
            check_replaceable(graph, info, source, edit)?;
            let latent = if let Some(latent) = &encoded {
                Output::clone(latent)
            } else {
                let vae = vae.clone().ok_or(EditError::NotPossible { edit, reason: "it has no VAE" })?;
                encode(graph, info, image, &vae)?
            };
            replace_latent(graph, info, &source.latent, &latent);
            encoded = Some(latent);
        } else {
            let reason = "its source image doesn't come from a file";
            return Err(EditError::NotPossible { edit, reason });
        }
    }
    let samplers: BTreeSet<&NodeId> = sources.iter().map(|source| &source.sampler).collect();
    denoise::set_denoise(graph, info, &samplers, denoise)
}

/// A video or a sound doesn't start from one picture's latent; where a video takes a picture, it is a parameter.
fn check_makes_pictures(graph: &Graph, info: &ObjectInfo, edit: &'static str) -> Result<(), EditError> {
    let reason = match analyze(graph, info).task {
        Task::TextToVideo => "it makes a video of a text",
        Task::ImageToVideo | Task::VideoToVideo => "it makes a video; set what it starts from as a parameter",
        Task::TextToAudio => "it makes sound",
        _ => return Ok(()),
    };
    Err(EditError::NotPossible { edit, reason })
}

/// A node that makes the latent together with the conditioning (image to video) can't be done without.
fn check_replaceable(
    graph: &Graph,
    info: &ObjectInfo,
    source: &Source,
    edit: &'static str,
) -> Result<(), EditError> {
    let class = graph.nodes.get(&source.latent.node).and_then(|node| info.class(&node.class_type));
    if class.is_some_and(|class| class.outputs.iter().all(|output| output.kind == "LATENT")) {
        return Ok(());
    }
    Err(EditError::NotPossible { edit, reason: "what its sampler starts from is more than an empty latent" })
}

fn encode(graph: &mut Graph, info: &ObjectInfo, image: &str, vae: &Output) -> Result<Output, EditError> {
    let (load_image, encode) = (class(info, "LoadImage")?, class(info, "VAEEncode")?);
    let image = add(graph, load_image, "Source image", vec![("image", image.into())]);
    let inputs = vec![("pixels", Input::link(&image, 0)), ("vae", vae.link())];
    Ok(Output::new(&add(graph, encode, "Encode source image", inputs), 0))
}

fn replace_latent(graph: &mut Graph, info: &ObjectInfo, empty: &Output, latent: &Output) {
    let inputs = users(graph, empty);
    let batch = graph.input(&empty.node, "batch_size").and_then(Input::as_value).and_then(Value::as_u64);
    let repeat = info.class("RepeatLatentBatch");
    let latent = match (batch.filter(|count| *count > 1), repeat) {
        (Some(count), Some(repeat)) => {
            let inputs = vec![("samples", latent.link()), ("amount", json!(count).into())];
            Output::new(&add(graph, repeat, "Repeat for the batch", inputs), 0)
        }
        _ => latent.clone(),
    };
    relink(graph, &inputs, &latent);
    prune(graph, info, &empty.node);
}

/// The transparency of the source image, as the node that loads it gives it.
fn alpha(graph: &Graph, info: &ObjectInfo, source: &Source) -> Result<Output, EditError> {
    let loader = source.file.as_ref().and_then(|(id, _)| Some((id, graph.nodes.get(id)?)));
    let found = loader.and_then(|(id, node)| {
        let slot = info.class(&node.class_type)?.outputs.iter().position(|output| output.kind == "MASK")?;
        Some(Output::new(id, slot))
    });
    let reason = "what loads its source image gives no mask";
    found.ok_or(EditError::NotPossible { edit: "inpaint", reason })
}

fn mask_latent(
    graph: &mut Graph,
    info: &ObjectInfo,
    source: &Source,
    mask: &Output,
) -> Result<(), EditError> {
    if !source.mask_inputs.is_empty() {
        for (id, input) in &source.mask_inputs {
            let before = graph.input(id, input).and_then(Input::as_link).map(|(node, _)| node.to_owned());
            set(graph, id, input, mask.link());
            if let Some(before) = before {
                prune(graph, info, &before);
            }
        }
        return Ok(());
    }
    if let Some(set_mask) = info.class("SetLatentNoiseMask") {
        let inputs = users(graph, &source.latent);
        let masked = vec![("samples", source.latent.link()), ("mask", mask.link())];
        let masked = add(graph, set_mask, "Mask the latent", masked);
        relink(graph, &inputs, &Output::new(&masked, 0));
        return Ok(());
    }
    let encode = class(info, "VAEEncodeForInpaint")?;
    let inputs = graph.nodes.get(&source.latent.node).map(|node| node.inputs.clone()).unwrap_or_default();
    let mut inputs: Vec<(&str, Input)> =
        inputs.iter().map(|(name, input)| (name.as_str(), input.clone())).collect();
    inputs.push(("mask", mask.link()));
    let from = users(graph, &source.latent);
    let encoded = add(graph, encode, "Encode for inpainting", inputs);
    relink(graph, &from, &Output::new(&encoded, 0));
    prune(graph, info, &source.latent.node);
    Ok(())
}

/// Sets the size where the image is already scaled, or else puts a node in between that scales it.
fn scale_input(
    graph: &mut Graph,
    scale: &ClassInfo,
    id: &str,
    input: &str,
    (width, height): (Option<u32>, Option<u32>),
) -> Result<(), EditError> {
    // For ImageScale 0 means: in proportion.
    let (width_value, height_value) = (json!(width.unwrap_or(0)), json!(height.unwrap_or(0)));
    super::rewire::check(scale, "width", "width", &width_value)?;
    super::rewire::check(scale, "height", "height", &height_value)?;
    let Some((from, slot)) = graph.input(id, input).and_then(Input::as_link) else { return Ok(()) };
    let from = Output::new(from, slot);
    let crop = if width.is_some() && height.is_some() { "center" } else { "disabled" };
    let is_scaled = graph.nodes.get(&from.node).is_some_and(|node| node.class_type == scale.name);
    let target = if is_scaled {
        from.node
    } else {
        let mut inputs = vec![("image", from.link())];
        inputs.extend(scale_method(scale).map(|method| ("upscale_method", method)));
        let new = add(graph, scale, "Scale source image", inputs);
        set(graph, id, input, Input::link(&new, 0));
        new
    };
    for (name, value) in [("width", width_value), ("height", height_value), ("crop", json!(crop))] {
        set(graph, &target, name, Input::Value(value));
    }
    Ok(())
}

/// A mask is stretched to the latent; one of other proportions than the cropped image must be cropped like it.
fn scale_masks(
    graph: &mut Graph,
    info: &ObjectInfo,
    scale: &ClassInfo,
    inputs: &[(NodeId, String)],
    size: (Option<u32>, Option<u32>),
) -> Result<(), EditError> {
    for (id, input) in inputs {
        let Some((from, slot)) = graph.input(id, input).and_then(Input::as_link) else { continue };
        let mask = Output::new(from, slot);
        let from_image = graph.nodes.get(&mask.node).filter(|node| node.class_type == "ImageToMask");
        if from_image.is_some() {
            scale_input(graph, scale, &mask.node, "image", size)?;
            continue;
        }
        let (to_image, to_mask) = (class(info, "MaskToImage")?, class(info, "ImageToMask")?);
        let image = add(graph, to_image, "Mask as image", vec![("mask", mask.link())]);
        let back = vec![("image", Input::link(&image, 0)), ("channel", "red".into())];
        let back = add(graph, to_mask, "Image as mask", back);
        scale_input(graph, scale, &back, "image", size)?;
        set(graph, id, input, Input::link(&back, 0));
    }
    Ok(())
}

/// The latents that the first samplers start from. A second pass starts from the first one's result and is left alone.
/// No more are looked for than an edit would refuse.
pub(super) fn sources(trace: &Trace<'_>) -> Vec<Source> {
    let mut sampled = HashSet::new();
    let mut found = Vec::new();
    let mut seen = HashSet::new();
    for &id in &trace.live {
        if found.len() > MAX_PLACES {
            break;
        }
        let edges = trace.edges(id);
        let is_sampler = trace.is_sampler(id);
        if is_sampler || edges.iter().any(|edge| sampled.contains(edge.from.node)) {
            let is_first = !edges.iter().any(|edge| sampled.contains(edge.from.node));
            sampled.insert(id);
            if is_sampler && is_first {
                for edge in edges.iter().filter(|edge| edge.kind == "LATENT") {
                    found.extend(latent_sources(trace, id, trace.upstream(edge.from, "LATENT", &mut seen)));
                }
            }
        }
    }
    found
}

fn latent_sources(trace: &Trace<'_>, sampler: &str, way: Vec<crate::trace::Port<'_>>) -> Vec<Source> {
    let masks = way.iter().flat_map(|port| {
        let edges = trace.edges_of(port.node, "MASK");
        edges.into_iter().map(|edge| (port.node.to_owned(), edge.input.to_owned()))
    });
    let mask_inputs: Vec<_> = masks.collect();
    let sources =
        way.into_iter().filter(|port| trace.passed(*port, "LATENT").is_empty()).take(MAX_PLACES + 1);
    let sources = sources.map(|port| {
        let image = trace.edges_of(port.node, "IMAGE").into_iter().next();
        let file = image.and_then(|edge| {
            let images = trace.upstream(edge.from, "IMAGE", &mut HashSet::new());
            images
                .iter()
                .find_map(|image| Some((image.node.to_owned(), file_input(trace, image.node)?.to_owned())))
        });
        Source {
            sampler: sampler.to_owned(),
            latent: port.into(),
            image_input: image.map(|edge| edge.input.to_owned()),
            file,
            mask_inputs: mask_inputs.clone(),
        }
    });
    sources.collect()
}
