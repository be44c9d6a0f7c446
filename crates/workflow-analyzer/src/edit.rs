//! Changes to any graph: set parameters, and put LoRAs, ControlNets, source images, masks and upscalers in.
//!
//! Each edit leaves the graph untouched when it returns an error.

use serde_json::{Map, Value};
use thiserror::Error;

use crate::{Analysis, Graph, ObjectInfo};

/// A LoRA to apply.
#[derive(Clone, Debug, PartialEq)]
pub struct Lora {
    /// The file, as the server's `LoraLoader` lists it.
    pub name: String,
    /// How strongly the diffusion model is changed; 1.0 is full, negative values are allowed.
    pub strength_model: f64,
    /// How strongly the text encoder is changed.
    pub strength_clip: f64,
}

/// A ControlNet to attach.
#[derive(Clone, Debug, PartialEq)]
pub struct ControlNet {
    /// The file, as the server's `ControlNetLoader` lists it.
    pub model: String,
    /// The control image in the server's input folder: `name`, `subfolder/name`, perhaps with ` [temp]`.
    pub image: String,
    /// From 0.0 (no effect) over 1.0 to 10.0.
    pub strength: f64,
    /// Where in the sampling it starts to act, from 0.0 to 1.0.
    pub start: f64,
    /// Where it ends to act, from 0.0 to 1.0.
    pub end: f64,
}

/// Where an inpainting mask comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mask<'a> {
    /// An image in the server's input folder; what is white there is painted anew.
    Image(&'a str),
    /// The transparent part of the source image itself is painted anew.
    Alpha,
}

/// Why an edit can't be made.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum EditError {
    /// The graph has no such parameter.
    #[error("the workflow has no parameter {parameter}{}", meant(.nearest))]
    UnknownParameter {
        /// The name that was given.
        parameter: String,
        /// Names that look like it.
        nearest: Vec<String>,
    },
    /// The value has the wrong type.
    #[error("{parameter} takes {expected}, not {found}")]
    WrongType {
        /// The parameter.
        parameter: String,
        /// What it takes, with its article.
        expected: &'static str,
        /// The JSON type that came, with its article.
        found: &'static str,
    },
    /// The number is out of bounds.
    #[error("{parameter} is {value}, it must be {bounds}")]
    OutOfRange {
        /// The parameter.
        parameter: String,
        /// The value that was given.
        value: String,
        /// `at least 1`, `at most 10000`, `from 1 to 10000`.
        bounds: String,
    },
    /// The value isn't among the choices.
    #[error("{parameter} {value} is not available{}", meant(.nearest))]
    NotInList {
        /// The parameter.
        parameter: String,
        /// The value that was given.
        value: String,
        /// Choices that look like it.
        nearest: Vec<String>,
    },
    /// The server lacks a node class that the edit needs.
    #[error("the server has no node class {class}")]
    MissingClass {
        /// The class.
        class: &'static str,
    },
    /// The graph has no place for it.
    #[error("cannot {edit}: {reason}")]
    NotPossible {
        /// What was tried: `apply a LoRA`.
        edit: &'static str,
        /// What the graph lacks.
        reason: &'static str,
    },
}

/// Sets parameters by their names in `analysis`, or inputs as `node.input` where the graph already holds a value.
///
/// All are checked against type, bounds and choices before the first is set.
pub fn set_parameters(
    graph: &mut Graph,
    analysis: &Analysis,
    values: &Map<String, Value>,
) -> Result<(), EditError> {
    let _ = (graph, analysis, values);
    Ok(())
}

/// Chains LoRAs, in the order given, behind every model that feeds a sampler and the text encoders that go with it;
/// LoRAs that the graph already has stay behind them. Where there is no text encoder, only the model is changed.
pub fn apply_loras(graph: &mut Graph, info: &ObjectInfo, loras: &[Lora]) -> Result<(), EditError> {
    let _ = (graph, info, loras);
    Ok(())
}

/// Puts a ControlNet between the conditioning and every sampler or guider, behind ControlNets that are already there.
pub fn attach_controlnet(
    graph: &mut Graph,
    info: &ObjectInfo,
    control: &ControlNet,
) -> Result<(), EditError> {
    let _ = (graph, info, control);
    Ok(())
}

/// Makes the first sampler start from an image of the input folder instead of an empty latent, with `denoise` from 0.0
/// (leave it) to 1.0 (ignore it). The result has the size of the image; see [`scale_source`]. A graph that already
/// starts from an image gets the new one.
pub fn to_img2img(graph: &mut Graph, info: &ObjectInfo, image: &str, denoise: f64) -> Result<(), EditError> {
    let _ = (graph, info, image, denoise);
    Ok(())
}

/// As [`to_img2img`], and only what the mask covers is painted anew.
pub fn to_inpaint(
    graph: &mut Graph,
    info: &ObjectInfo,
    image: &str,
    mask: Mask<'_>,
    denoise: f64,
) -> Result<(), EditError> {
    let _ = (graph, info, image, mask, denoise);
    Ok(())
}

/// Scales the source image of a graph that starts from one to a size in pixels; with one side given, the other follows
/// the image's proportions; with both, what sticks out is cropped at the edges.
pub fn scale_source(
    graph: &mut Graph,
    info: &ObjectInfo,
    width: Option<u32>,
    height: Option<u32>,
) -> Result<(), EditError> {
    let _ = (graph, info, width, height);
    Ok(())
}

/// Enlarges every image with an upscaling model before it is put out; the factor is the model's own.
pub fn add_upscaler(graph: &mut Graph, info: &ObjectInfo, model: &str) -> Result<(), EditError> {
    let _ = (graph, info, model);
    Ok(())
}

/// Scales every image by a factor before it is put out, without a model.
pub fn add_image_scale(graph: &mut Graph, info: &ObjectInfo, factor: f64) -> Result<(), EditError> {
    let _ = (graph, info, factor);
    Ok(())
}

/// `; did you mean a or b` for an error's text, or nothing.
fn meant(nearest: &[String]) -> String {
    if nearest.is_empty() { String::new() } else { format!("; did you mean {}", nearest.join(" or ")) }
}
