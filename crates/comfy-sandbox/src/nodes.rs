//! The node classes at work: what `/object_info` promises, done on pixels or handed to the painter.

mod conditioning;
mod images;
pub(crate) mod inputs;
mod latents;
mod loaders;
mod masks;
mod outputs;
mod sampling;
#[cfg(test)]
mod tests;
pub(crate) mod values;

use bytes::Bytes;
use image::RgbImage;
use serde_json::Value as Json;

use self::{
    inputs::{Failure, Inputs},
    values::Value,
};
use crate::{data::DataDir, digest::Digest};

/// How many pixels the pictures of one value may have in all: 8192 by 4096.
const MAX_PIXELS: u64 = 32 * 1024 * 1024;

/// What a node may use beside its inputs.
pub(crate) struct Context<'a> {
    pub(crate) data: &'a DataDir,
    /// The graph, for the metadata of pictures.
    pub(crate) prompt: &'a Json,
    /// `extra_pnginfo` of the request's `extra_data`, for the same.
    pub(crate) extra_pnginfo: Option<&'a Json>,
}

/// What a node gives.
#[derive(Clone, Debug, Default)]
pub(crate) struct Produced {
    /// By slot.
    pub(crate) outputs: Vec<Value>,
    /// What an output node shows: the `output` of `executed`.
    pub(crate) ui: Option<Json>,
    /// A text for the websocket (binary event 3).
    pub(crate) text: Option<String>,
    /// PNG pictures that go out over the websocket as if they were previews.
    pub(crate) sent_images: Vec<Bytes>,
}

impl Produced {
    fn one(value: Value) -> Self {
        Self { outputs: vec![value], ..Self::default() }
    }

    fn many(outputs: impl Into<Vec<Value>>) -> Self {
        Self { outputs: outputs.into(), ..Self::default() }
    }
}

/// Runs a node. Slow for large pictures: not for the runtime's threads.
pub(crate) fn run(class_type: &str, inputs: &Inputs, cx: &Context<'_>) -> Result<Produced, Failure> {
    let families = [loaders::run, conditioning::run, latents::run, images::run, masks::run, sampling::run];
    for family in families {
        if let Some(result) = family(class_type, inputs) {
            return result;
        }
    }
    outputs::run(class_type, inputs, cx)
        .unwrap_or_else(|| Err(Failure::runtime(format!("the sandbox has no node class {class_type}"))))
}

/// How many steps a sampler's run takes; `None` for a class that isn't a sampler.
pub(crate) fn sampler_steps(class_type: &str, inputs: &Inputs) -> Option<u64> {
    sampling::steps(class_type, inputs)
}

/// How many steps a class that isn't a sampler reports while it works.
pub(crate) fn reported_steps(class_type: &str) -> Option<u64> {
    (class_type == "ImageUpscaleWithModel").then_some(1)
}

/// What beside its inputs decides whether a node's result can be used again.
pub(crate) fn fingerprint(class_type: &str, inputs: &Json, data: &DataDir) -> Option<Digest> {
    outputs::fingerprint(class_type, inputs, data)
}

/// The picture of a sampler's result that previews are made from.
pub(crate) fn preview_source(produced: &Produced) -> Option<&RgbImage> {
    match produced.outputs.first()? {
        Value::Latent(latent) => latent.frames.first()?.picture.as_deref(),
        _ => None,
    }
}

/// Refuses pictures that would fill the memory.
fn check_size(width: u32, height: u32, count: usize) -> Result<(), Failure> {
    if width == 0 || height == 0 {
        return Err(Failure::runtime(format!("a picture of {width}x{height} has no pixels")));
    }
    if u64::from(width) * u64::from(height) * count.max(1) as u64 > MAX_PIXELS {
        return Err(Failure::runtime(format!(
            "{count} pictures of {width}x{height} are over the sandbox's limit of {MAX_PIXELS} pixels"
        )));
    }
    Ok(())
}
