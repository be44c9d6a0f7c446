//! Pictures for tests: made, read, and compared by their pixels.

use std::io::Cursor;

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image::{DynamicImage, ImageFormat, Rgba, RgbaImage};
use serde_json::Value;

/// A PNG with a gradient, so that every part of it is different.
pub fn gradient(width: u32, height: u32) -> Result<Vec<u8>> {
    encode(RgbaImage::from_fn(width, height, |x, y| {
        Rgba([(x * 255 / width) as u8, (y * 255 / height) as u8, 128, 255])
    }))
}

/// A PNG that is white on its left half and black on its right.
pub fn left_half(width: u32, height: u32) -> Result<Vec<u8>> {
    encode(RgbaImage::from_fn(width, height, |x, _| {
        let level = if x < width / 2 { 255 } else { 0 };
        Rgba([level, level, level, 255])
    }))
}

fn encode(picture: RgbaImage) -> Result<Vec<u8>> {
    let mut out = Cursor::new(Vec::new());
    DynamicImage::from(picture).write_to(&mut out, ImageFormat::Png)?;
    Ok(out.into_inner())
}

/// As a `data:` URI of a PNG.
pub fn data_uri(png: &[u8]) -> String {
    format!("data:image/png;base64,{}", STANDARD.encode(png))
}

/// Reads a picture of any format.
pub fn decode(bytes: &[u8]) -> Result<DynamicImage> {
    image::load_from_memory(bytes).context("not a picture")
}

/// How far apart two pictures of one size are, as the mean difference of their colours: 0 is equal, 255 is most.
pub fn difference(one: &[u8], other: &[u8]) -> Result<f64> {
    let (one, other) = (decode(one)?.to_rgb8(), decode(other)?.to_rgb8());
    ensure!(
        one.dimensions() == other.dimensions(),
        "{:?} and {:?} pixels",
        one.dimensions(),
        other.dimensions()
    );
    let sum: u64 = one.iter().zip(other.iter()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    Ok(sum as f64 / one.len() as f64)
}

/// The inputs of the first node of a class, in the graph that ComfyUI wrote into the PNG.
pub fn node_inputs(png: &[u8], class: &str) -> Result<Value> {
    let graph = graph(png)?;
    let nodes = graph.as_object().context("the graph is no object")?;
    let node = nodes.values().find(|node| node["class_type"] == class);
    Ok(node.with_context(|| format!("the picture's graph has no {class}"))?["inputs"].clone())
}

/// The texts of the graph's encoders that the sampler takes as positive and as negative.
pub fn prompts(png: &[u8]) -> Result<(String, String)> {
    let graph = graph(png)?;
    let sampler = node_inputs(png, "KSampler")?;
    let text = |input: &str| {
        let id = sampler[input][0].as_str().unwrap_or_default();
        graph[id]["inputs"]["text"].as_str().unwrap_or_default().to_owned()
    };
    Ok((text("positive"), text("negative")))
}

/// The graph that ComfyUI wrote into the PNG.
pub fn graph(png: &[u8]) -> Result<Value> {
    let reader = png::Decoder::new(Cursor::new(png)).read_info().context("not a PNG")?;
    let info = reader.info();
    let plain = info.uncompressed_latin1_text.iter().find(|chunk| chunk.keyword == "prompt");
    let text = if let Some(chunk) = plain {
        chunk.text.clone()
    } else {
        let chunk = info.utf8_text.iter().find(|chunk| chunk.keyword == "prompt");
        chunk.context("the PNG holds no graph")?.get_text()?
    };
    serde_json::from_str(&text).context("the PNG's graph is not JSON")
}
