//! Nodes on masks.

use std::sync::Arc;

use image::{GrayImage, Luma, RgbImage};
use serde_json::Value as Json;

use super::{
    Produced, check_size,
    inputs::{Failure, Inputs},
    values::Value,
};

/// Runs a node on masks; `None` for a class that isn't one.
pub(super) fn run(class_type: &str, inputs: &Inputs) -> Option<Result<Produced, Failure>> {
    Some(match class_type {
        "MaskToImage" => to_image(inputs),
        "ImageToMask" => from_image(inputs),
        "InvertMask" => mapped(inputs, |value| 255 - value),
        "ThresholdMask" => threshold(inputs),
        "GrowMask" => grow_node(inputs),
        "SolidMask" => solid(inputs),
        "PrimitiveInt"
        | "PrimitiveFloat"
        | "PrimitiveString"
        | "PrimitiveStringMultiline"
        | "PrimitiveBoolean" => inputs.value("value").cloned().map(Produced::one),
        "GetImageSize" => image_size(inputs),
        _ => return None,
    })
}

/// The mask with every set area so many pixels larger on each side.
pub(super) fn grow(mask: &GrayImage, radius: u32) -> GrayImage {
    if radius == 0 {
        return mask.clone();
    }
    let (width, height) = mask.dimensions();
    let mut out = mask.clone();
    for row in out.chunks_exact_mut(width.max(1) as usize) {
        let grown = grow_line(row, radius as usize);
        row.copy_from_slice(&grown);
    }
    for x in 0..width {
        let column: Vec<u8> = (0..height).map(|y| out.get_pixel(x, y).0[0]).collect();
        for (y, value) in grow_line(&column, radius as usize).into_iter().enumerate() {
            out.put_pixel(x, y as u32, Luma([value]));
        }
    }
    out
}

/// The highest value within `radius` of each place. Two passes over blocks of a window's size (van Herk), so that
/// the time does not depend on the radius.
fn grow_line(line: &[u8], radius: usize) -> Vec<u8> {
    let radius = radius.min(line.len());
    let window = 2 * radius + 1;
    let padded: Vec<u8> = std::iter::repeat_n(0, radius)
        .chain(line.iter().copied())
        .chain(std::iter::repeat_n(0, radius + window))
        .collect();
    let mut ahead = padded.clone();
    let mut behind = padded;
    for block in ahead.chunks_mut(window) {
        for at in 1..block.len() {
            block[at] = block[at].max(block[at - 1]);
        }
    }
    for block in behind.chunks_mut(window) {
        for at in (1..block.len()).rev() {
            block[at - 1] = block[at - 1].max(block[at]);
        }
    }
    (0..line.len()).map(|at| behind[at].max(ahead[at + window - 1])).collect()
}

fn mapped(inputs: &Inputs, map: impl Fn(u8) -> u8) -> Result<Produced, Failure> {
    let mut masks = Vec::clone(inputs.masks("mask")?);
    for value in masks.iter_mut().flat_map(|mask| mask.iter_mut()) {
        *value = map(*value);
    }
    Ok(Produced::one(Value::Masks(Arc::new(masks))))
}

fn threshold(inputs: &Inputs) -> Result<Produced, Failure> {
    let bound = inputs.number("value")? * 255.0;
    mapped(inputs, |value| if f64::from(value) > bound { 255 } else { 0 })
}

fn grow_node(inputs: &Inputs) -> Result<Produced, Failure> {
    let expand = inputs.integer("expand")?;
    let radius = expand.unsigned_abs().min(16_384) as u32;
    let change = |mask: &GrayImage| {
        if expand >= 0 {
            return grow(mask, radius);
        }
        let mut inverted = mask.clone();
        inverted.iter_mut().for_each(|value| *value = 255 - *value);
        let mut grown = grow(&inverted, radius);
        grown.iter_mut().for_each(|value| *value = 255 - *value);
        grown
    };
    let masks = inputs.masks("mask")?.iter().map(change).collect();
    Ok(Produced::one(Value::Masks(Arc::new(masks))))
}

fn solid(inputs: &Inputs) -> Result<Produced, Failure> {
    let (width, height) = (inputs.size("width")?, inputs.size("height")?);
    check_size(width, height, 1)?;
    let value = (inputs.number("value")? * 255.0).round() as u8;
    let mask = GrayImage::from_pixel(width, height, Luma([value]));
    Ok(Produced::one(Value::Masks(Arc::new(vec![mask]))))
}

fn to_image(inputs: &Inputs) -> Result<Produced, Failure> {
    let picture = |mask: &GrayImage| {
        let bytes = mask.as_raw().iter().flat_map(|&value| [value; 3]).collect();
        RgbImage::from_raw(mask.width(), mask.height(), bytes).unwrap_or_default()
    };
    let pictures = inputs.masks("mask")?.iter().map(picture).collect();
    Ok(Produced::one(Value::Images(Arc::new(pictures))))
}

fn from_image(inputs: &Inputs) -> Result<Produced, Failure> {
    let channel = match inputs.text("channel")? {
        "red" => 0,
        "green" => 1,
        "blue" => 2,
        _ => {
            let message = "index 3 is out of bounds for dimension 3 with size 3";
            return Err(Failure::new("IndexError", message));
        }
    };
    let mask = |picture: &RgbImage| {
        let bytes = picture.as_raw().chunks_exact(3).map(|pixel| pixel[channel]).collect();
        GrayImage::from_raw(picture.width(), picture.height(), bytes).unwrap_or_default()
    };
    let masks = inputs.images("image")?.iter().map(mask).collect();
    Ok(Produced::one(Value::Masks(Arc::new(masks))))
}

fn image_size(inputs: &Inputs) -> Result<Produced, Failure> {
    let images = inputs.images("image")?;
    let (width, height) = images.first().map_or((0, 0), RgbImage::dimensions);
    let plain = |number: u64| Value::Plain(Json::from(number));
    Ok(Produced {
        outputs: vec![plain(width.into()), plain(height.into()), plain(images.len() as u64)],
        text: Some(format!("width: {width}, height: {height}\n batch size: {}", images.len())),
        ..Produced::default()
    })
}
