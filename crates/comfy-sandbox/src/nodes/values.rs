//! What flows along the links of a graph.

use std::sync::Arc;

use image::{GrayImage, RgbImage};
use serde_json::Value as Json;

use crate::digest::Digest;

/// A value of a node's output. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    /// A number, a text or a flag.
    Plain(Json),
    /// A batch of pictures of one size.
    Images(Arc<Vec<RgbImage>>),
    /// A batch of masks of one size: 255 is set.
    Masks(Arc<Vec<GrayImage>>),
    Latent(Latent),
    Conditioning(Conditioning),
    Model(Digest),
    Clip(Digest),
    Vae(Digest),
    ControlNet(Digest),
    UpscaleModel,
    Noise(Noise),
    Guider(Guider),
    Sampler(String),
    Sigmas(Sigmas),
}

/// A latent is symbolic: it holds pictures in place of their encoding, or nothing yet.
#[derive(Clone, Debug)]
pub(crate) struct Latent {
    /// In pixels.
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) frames: Vec<Frame>,
    /// Where a sampler may change it; everywhere if there is none.
    pub(crate) mask: Option<Arc<GrayImage>>,
    /// What made it.
    pub(crate) trace: Digest,
}

/// One picture of a latent batch.
#[derive(Clone, Debug, Default)]
pub(crate) struct Frame {
    /// None: empty.
    pub(crate) picture: Option<Arc<RgbImage>>,
    /// Whether the painter painted any of it.
    pub(crate) painted: Painted,
}

/// How much of a picture the painter painted.
#[derive(Clone, Debug, Default)]
pub(crate) enum Painted {
    #[default]
    Nothing,
    Everything,
    /// As far as this mask is set.
    Masked(Arc<GrayImage>),
}

/// What a picture is to show, or not to show.
#[derive(Clone, Debug)]
pub(crate) struct Conditioning {
    /// The texts, for colours and mood.
    pub(crate) text: String,
    /// Everything about it but the control images.
    pub(crate) trace: Digest,
    pub(crate) controls: Vec<Control>,
}

/// A control image whose edges are to shine through.
#[derive(Clone, Debug)]
pub(crate) struct Control {
    pub(crate) images: Arc<Vec<RgbImage>>,
    pub(crate) strength: f64,
    /// The model and the range of steps.
    pub(crate) trace: Digest,
}

/// What a custom sampler starts from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Noise {
    Seeded(u64),
    None,
}

/// A model with what guides it.
#[derive(Clone, Debug)]
pub(crate) struct Guider {
    pub(crate) model: Digest,
    pub(crate) positive: Conditioning,
    pub(crate) negative: Option<Conditioning>,
    pub(crate) cfg: f64,
}

/// The schedule of a custom sampler.
#[derive(Clone, Debug)]
pub(crate) struct Sigmas {
    pub(crate) steps: u64,
    pub(crate) denoise: f64,
    pub(crate) trace: Digest,
}

impl Value {
    /// The type's name, as in `/object_info`.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Plain(_) => "value",
            Self::Images(_) => "IMAGE",
            Self::Masks(_) => "MASK",
            Self::Latent(_) => "LATENT",
            Self::Conditioning(_) => "CONDITIONING",
            Self::Model(_) => "MODEL",
            Self::Clip(_) => "CLIP",
            Self::Vae(_) => "VAE",
            Self::ControlNet(_) => "CONTROL_NET",
            Self::UpscaleModel => "UPSCALE_MODEL",
            Self::Noise(_) => "NOISE",
            Self::Guider(_) => "GUIDER",
            Self::Sampler(_) => "SAMPLER",
            Self::Sigmas(_) => "SIGMAS",
        }
    }
}
