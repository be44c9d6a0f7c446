//! Changes to any graph: set parameters, and put LoRAs, ControlNets, source images, masks and upscalers in.
//!
//! Each edit leaves the graph untouched when it returns an error.

mod batch;
mod control;
mod lora;
mod parameters;
mod rewire;
mod seed;
mod source;
#[cfg(test)]
mod tests;
mod upscale;

use thiserror::Error;

pub use batch::set_batch;
pub use control::{attach_controlnet, attach_controlnets};
pub use lora::apply_loras;
pub use parameters::{set_named, set_parameters};
pub use seed::set_seed;
pub use source::{scale_source, to_img2img, to_inpaint};
pub use upscale::{add_image_scale, add_upscaler};

/// How many similar names an error offers.
const NEAREST: usize = 3;

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
    /// The parameter is the output of another node, which would win over a value.
    #[error("{parameter} is linked to node {node}; set it there")]
    Linked {
        /// The parameter, as `node.input`.
        parameter: String,
        /// The node that it is linked to.
        node: String,
    },
    /// Several nodes have the title.
    #[error("{parameter} may be that of the nodes {}; name one by its id", nodes.join(", "))]
    Ambiguous {
        /// The parameter, as `Title.input`.
        parameter: String,
        /// The ids of the nodes.
        nodes: Vec<String>,
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

/// `; did you mean a or b` for an error's text, or nothing.
fn meant(nearest: &[String]) -> String {
    if nearest.is_empty() { String::new() } else { format!("; did you mean {}", nearest.join(" or ")) }
}
