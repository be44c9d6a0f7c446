//! Latents: empty ones, encoded pictures, their masks and sizes.

use std::sync::Arc;

use image::{DynamicImage, GrayImage, Rgb, RgbImage, imageops::FilterType};

use super::{
    Produced, check_size,
    images::{digest_of, filter},
    inputs::{Failure, Inputs},
    masks,
    values::{Frame, Latent, Painted, Value},
};
use crate::{digest::Digest, painter};

/// A latent has one value for a square of so many pixels.
const CELL: u32 = 8;

/// Runs a node on latents; `None` for a class that isn't one.
pub(super) fn run(class_type: &str, inputs: &Inputs) -> Option<Result<Produced, Failure>> {
    Some(match class_type {
        "EmptyLatentImage" | "EmptySD3LatentImage" | "EmptyFlux2LatentImage" => empty(class_type, inputs),
        "VAEEncode" | "VAEEncodeTiled" => encode(inputs),
        "VAEDecode" | "VAEDecodeTiled" => decode(inputs),
        "VAEEncodeForInpaint" => inputs
            .integer("grow_mask_by")
            .and_then(|grow| encode_for_inpaint(inputs, grow.clamp(0, 64) as u32))
            .map(|latent| Produced::one(Value::Latent(latent))),
        "SetLatentNoiseMask" => set_mask(inputs),
        "LatentUpscale" => upscale(inputs),
        "LatentUpscaleBy" => upscale_by(inputs),
        "RepeatLatentBatch" => repeat(inputs),
        _ => return None,
    })
}

/// Encodes `pixels` and lets a sampler change the masked area alone, which turns grey, grown by so many pixels.
pub(super) fn encode_for_inpaint(inputs: &Inputs, grow: u32) -> Result<Latent, Failure> {
    let pixels = cropped(inputs.images("pixels")?)?;
    let (width, height) = pixels[0].dimensions();
    let mask = first_mask(inputs, width, height)?;
    let greyed: Vec<RgbImage> = pixels.iter().map(|picture| grey_out(picture, &mask)).collect();
    let grown = masks::grow(&mask, grow.div_ceil(2));
    let trace = trace_of(&greyed, inputs)?.with(grown.as_raw());
    Ok(Latent { mask: Some(Arc::new(grown)), trace, ..encoded(greyed) })
}

fn empty(class_type: &str, inputs: &Inputs) -> Result<Produced, Failure> {
    let cell = if class_type == "EmptyLatentImage" { CELL } else { 2 * CELL };
    let size = |name: &str| Ok::<u32, Failure>((inputs.size(name)? / cell).max(1) * cell);
    let (width, height, count) = (size("width")?, size("height")?, inputs.size("batch_size")? as usize);
    check_size(width, height, count)?;
    let frames = vec![Frame::default(); count];
    let latent = Latent { width, height, frames, mask: None, trace: Digest::of("empty") };
    Ok(Produced::one(Value::Latent(latent)))
}

fn encode(inputs: &Inputs) -> Result<Produced, Failure> {
    let pixels = cropped(inputs.images("pixels")?)?;
    let trace = trace_of(&pixels, inputs)?;
    Ok(Produced::one(Value::Latent(Latent { trace, ..encoded(pixels) })))
}

fn decode(inputs: &Inputs) -> Result<Produced, Failure> {
    let latent = inputs.latent("samples")?;
    let vae = inputs.vae("vae")?;
    check_size(latent.width, latent.height, latent.frames.len())?;
    let pictures = latent.frames.iter().map(|frame| decode_frame(latent, frame, vae)).collect();
    Ok(Produced::one(Value::Images(Arc::new(pictures))))
}

/// What was never painted decodes to grey. What was painted takes a slight tint, so that the wrong VAE shows.
fn decode_frame(latent: &Latent, frame: &Frame, vae: Digest) -> RgbImage {
    let Some(picture) = &frame.picture else {
        return RgbImage::from_pixel(latent.width, latent.height, Rgb([127; 3]));
    };
    let mut numbers = vae.numbers();
    let tint: [i16; 3] = std::array::from_fn(|_| numbers.below(13) as i16 - 6);
    let tinted = || {
        let mut tinted = RgbImage::clone(picture);
        for pixel in tinted.chunks_exact_mut(3) {
            for (channel, tint) in pixel.iter_mut().zip(tint) {
                *channel = (i16::from(*channel) + tint).clamp(0, 255) as u8;
            }
        }
        tinted
    };
    match &frame.painted {
        Painted::Nothing => RgbImage::clone(picture),
        Painted::Everything => tinted(),
        Painted::Masked(mask) => painter::blend_masked(picture, &tinted(), mask),
    }
}

fn set_mask(inputs: &Inputs) -> Result<Produced, Failure> {
    let latent = inputs.latent("samples")?;
    let mask = first_mask(inputs, latent.width, latent.height)?;
    let trace = latent.trace.with(mask.as_raw());
    Ok(Produced::one(Value::Latent(Latent { mask: Some(Arc::new(mask)), trace, ..latent.clone() })))
}

fn upscale(inputs: &Inputs) -> Result<Produced, Failure> {
    let latent = inputs.latent("samples")?;
    let (width, height) = (inputs.size("width")?, inputs.size("height")?);
    let (width, height) = match (width, height) {
        (0, 0) => (latent.width, latent.height),
        (0, height) => (scaled(latent.width, f64::from(height) / f64::from(latent.height)), height),
        (width, 0) => (width, scaled(latent.height, f64::from(width) / f64::from(latent.width))),
        both => both,
    };
    resized(inputs, latent, width.max(64) / CELL * CELL, height.max(64) / CELL * CELL)
}

fn upscale_by(inputs: &Inputs) -> Result<Produced, Failure> {
    let latent = inputs.latent("samples")?;
    let scale = inputs.number("scale_by")?;
    resized(inputs, latent, scaled(latent.width, scale), scaled(latent.height, scale))
}

fn scaled(length: u32, scale: f64) -> u32 {
    ((f64::from(length / CELL) * scale).round() as u32).max(1) * CELL
}

fn resized(inputs: &Inputs, latent: &Latent, width: u32, height: u32) -> Result<Produced, Failure> {
    check_size(width, height, latent.frames.len())?;
    let method = filter(inputs.text("upscale_method")?);
    let resize = |frame: &Frame| Frame {
        picture: frame
            .picture
            .as_ref()
            .map(|picture| Arc::new(painter::resize(picture, width, height, method))),
        painted: match &frame.painted {
            Painted::Masked(mask) => Painted::Masked(Arc::new(painter::fit_mask(mask, width, height))),
            other => other.clone(),
        },
    };
    let frames = latent.frames.iter().map(resize).collect();
    let trace = latent.trace.with("upscale").with(inputs.text("upscale_method")?);
    Ok(Produced::one(Value::Latent(Latent { width, height, frames, trace, ..latent.clone() })))
}

fn repeat(inputs: &Inputs) -> Result<Produced, Failure> {
    let latent = inputs.latent("samples")?;
    let amount = inputs.size("amount")? as usize;
    check_size(latent.width, latent.height, latent.frames.len() * amount)?;
    let frames = std::iter::repeat_n(&latent.frames, amount).flatten().cloned().collect();
    Ok(Produced::one(Value::Latent(Latent { frames, ..latent.clone() })))
}

fn encoded(pictures: Vec<RgbImage>) -> Latent {
    let (width, height) = pictures.first().map_or((0, 0), RgbImage::dimensions);
    let frame = |picture| Frame { picture: Some(Arc::new(picture)), painted: Painted::Nothing };
    let frames = pictures.into_iter().map(frame).collect();
    Latent { width, height, frames, mask: None, trace: Digest::of("encoded") }
}

fn trace_of(pictures: &[RgbImage], inputs: &Inputs) -> Result<Digest, Failure> {
    Ok(digest_of(pictures).with("encoded").with_digest(inputs.vae("vae")?))
}

/// The pictures with sides that are whole numbers of cells, cut evenly from both ends as ComfyUI does.
fn cropped(pictures: &[RgbImage]) -> Result<Vec<RgbImage>, Failure> {
    let (width, height) = pictures.first().map_or((0, 0), RgbImage::dimensions);
    let (keep_width, keep_height) = (width / CELL * CELL, height / CELL * CELL);
    check_size(keep_width, keep_height, pictures.len())?;
    if (keep_width, keep_height) == (width, height) {
        return Ok(pictures.to_vec());
    }
    let (x, y) = (width % CELL / 2, height % CELL / 2);
    let crop = |picture: &RgbImage| {
        DynamicImage::ImageRgb8(picture.clone()).crop_imm(x, y, keep_width, keep_height).into_rgb8()
    };
    Ok(pictures.iter().map(crop).collect())
}

fn first_mask(inputs: &Inputs, width: u32, height: u32) -> Result<GrayImage, Failure> {
    let masks = inputs.masks("mask")?;
    let mask = masks.first().ok_or_else(|| Failure::runtime("the mask is an empty batch"))?;
    Ok(DynamicImage::ImageLuma8(mask.clone()).resize_exact(width, height, FilterType::Triangle).into_luma8())
}

fn grey_out(picture: &RgbImage, mask: &GrayImage) -> RgbImage {
    let mut out = picture.clone();
    for (pixel, &alpha) in out.chunks_exact_mut(3).zip(mask.as_raw()) {
        if alpha > 127 {
            pixel.fill(127);
        }
    }
    out
}
