//! Nodes on pictures.

use std::sync::Arc;

use image::{
    DynamicImage, GrayImage, Luma, Rgb, RgbImage,
    imageops::{self, FilterType},
};

use super::{
    Produced, check_size,
    inputs::{Failure, Inputs},
    values::Value,
};
use crate::{
    digest::Digest,
    painter::{blend_masked, fit_mask, resize},
};

/// Runs a node on pictures; `None` for a class that isn't one.
pub(super) fn run(class_type: &str, inputs: &Inputs) -> Option<Result<Produced, Failure>> {
    Some(match class_type {
        "EmptyImage" => empty(inputs),
        "ImageScale" => scale(inputs),
        "ImageScaleBy" => scale_by(inputs),
        "ImageScaleToTotalPixels" => scale_to_total(inputs),
        "FluxKontextImageScale" => scale_to_kontext(inputs),
        "ImageUpscaleWithModel" => upscale_with_model(inputs),
        "ImageCrop" => crop(inputs),
        "ImageInvert" => each(inputs, |picture| {
            let mut out = picture.clone();
            out.iter_mut().for_each(|channel| *channel = 255 - *channel);
            out
        }),
        "ImageBlur" => blur(inputs),
        "ImageBatch" => batch(inputs),
        "ImageCompositeMasked" => composite(inputs),
        "ImagePadForOutpaint" => pad(inputs),
        "Canny" => canny(inputs),
        _ => return None,
    })
}

/// What the pictures show, in one digest.
pub(super) fn digest_of(pictures: &[RgbImage]) -> Digest {
    pictures.iter().fold(Digest::of("pictures"), |digest, picture| {
        digest.with(picture.width().to_le_bytes()).with(picture.as_raw())
    })
}

/// The filter that an `upscale_method` stands for.
pub(super) fn filter(method: &str) -> FilterType {
    match method {
        "nearest-exact" => FilterType::Nearest,
        "bicubic" => FilterType::CatmullRom,
        "lanczos" | "bislerp" => FilterType::Lanczos3,
        _ => FilterType::Triangle,
    }
}

fn images(pictures: Vec<RgbImage>) -> Produced {
    Produced::one(Value::Images(Arc::new(pictures)))
}

fn each(inputs: &Inputs, change: impl Fn(&RgbImage) -> RgbImage) -> Result<Produced, Failure> {
    Ok(images(inputs.images("image")?.iter().map(change).collect()))
}

/// The size of a batch.
fn dimensions(pictures: &[RgbImage]) -> (u32, u32) {
    pictures.first().map_or((0, 0), RgbImage::dimensions)
}

fn empty(inputs: &Inputs) -> Result<Produced, Failure> {
    let (width, height, count) =
        (inputs.size("width")?, inputs.size("height")?, inputs.size("batch_size")? as usize);
    check_size(width, height, count)?;
    let [_, red, green, blue] = inputs.size("color")?.to_be_bytes();
    Ok(images(vec![RgbImage::from_pixel(width, height, Rgb([red, green, blue])); count]))
}

fn scale(inputs: &Inputs) -> Result<Produced, Failure> {
    let pictures = inputs.images("image")?;
    let (old_width, old_height) = dimensions(pictures);
    let proportional = |length: u32, wanted: u32, other: u32| {
        ((f64::from(length) * f64::from(wanted) / f64::from(other)).round() as u32).max(1)
    };
    let (width, height) = match (inputs.size("width")?, inputs.size("height")?) {
        (0, 0) => (old_width, old_height),
        (0, height) => (proportional(old_width, height, old_height), height),
        (width, 0) => (width, proportional(old_height, width, old_width)),
        both => both,
    };
    let centered = inputs.text("crop")? == "center";
    resized(inputs, width, height, centered)
}

fn scale_by(inputs: &Inputs) -> Result<Produced, Failure> {
    let (width, height) = dimensions(inputs.images("image")?);
    let scale = inputs.number("scale_by")?;
    let size = |length: u32| (f64::from(length) * scale).round() as u32;
    resized(inputs, size(width), size(height), false)
}

fn scale_to_total(inputs: &Inputs) -> Result<Produced, Failure> {
    let (width, height) = dimensions(inputs.images("image")?);
    let total = inputs.number("megapixels")? * 1024.0 * 1024.0;
    let scale = (total / (f64::from(width) * f64::from(height)).max(1.0)).sqrt();
    let step = inputs.number("resolution_steps").unwrap_or(1.0).max(1.0);
    let size = |length: u32| ((f64::from(length) * scale / step).round() * step) as u32;
    resized(inputs, size(width), size(height), false)
}

/// The sizes that Kontext was trained on, as ComfyUI has them; the others are these turned.
const KONTEXT_SIZES: [(u32, u32); 9] = [
    (1024, 1024),
    (944, 1104),
    (880, 1184),
    (832, 1248),
    (800, 1328),
    (752, 1392),
    (720, 1456),
    (688, 1504),
    (672, 1568),
];

fn scale_to_kontext(inputs: &Inputs) -> Result<Produced, Failure> {
    let pictures = inputs.images("image")?;
    let (width, height) = dimensions(pictures);
    let aspect = f64::from(width) / f64::from(height.max(1));
    let turned = KONTEXT_SIZES.into_iter().map(|(width, height)| (height, width));
    let off = |(width, height): &(u32, u32)| (f64::from(*width) / f64::from(*height) - aspect).abs();
    let sizes = KONTEXT_SIZES.into_iter().chain(turned);
    let (width, height) = sizes.min_by(|a, b| off(a).total_cmp(&off(b))).unwrap_or((1024, 1024));
    check_size(width, height, pictures.len())?;
    each(inputs, |picture| {
        resize(&cut_to_aspect(picture, width, height), width, height, FilterType::Lanczos3)
    })
}

fn upscale_with_model(inputs: &Inputs) -> Result<Produced, Failure> {
    let (width, height) = dimensions(inputs.images("image")?);
    check_size(width * 2, height * 2, inputs.images("image")?.len())?;
    each(inputs, |picture| resize(picture, width * 2, height * 2, FilterType::CatmullRom))
}

fn resized(inputs: &Inputs, width: u32, height: u32, centered: bool) -> Result<Produced, Failure> {
    check_size(width, height, inputs.images("image")?.len())?;
    let method = filter(inputs.text("upscale_method")?);
    each(inputs, |picture| {
        if centered {
            resize(&cut_to_aspect(picture, width, height), width, height, method)
        } else {
            resize(picture, width, height, method)
        }
    })
}

/// Cuts the longer side on both ends, so that the picture has the proportions of the size.
fn cut_to_aspect(picture: &RgbImage, width: u32, height: u32) -> RgbImage {
    let (old_width, old_height) = picture.dimensions();
    let (old, new) = (f64::from(old_width) / f64::from(old_height), f64::from(width) / f64::from(height));
    let margin = |length: u32, keep: f64| (f64::from(length) * (1.0 - keep) / 2.0).round() as u32;
    let (x, y) =
        if old > new { (margin(old_width, new / old), 0) } else { (0, margin(old_height, old / new)) };
    let (keep_width, keep_height) = ((old_width - 2 * x).max(1), (old_height - 2 * y).max(1));
    DynamicImage::ImageRgb8(picture.clone()).crop_imm(x, y, keep_width, keep_height).into_rgb8()
}

fn crop(inputs: &Inputs) -> Result<Produced, Failure> {
    let (old_width, old_height) = dimensions(inputs.images("image")?);
    let x = inputs.size("x")?.min(old_width.saturating_sub(1));
    let y = inputs.size("y")?.min(old_height.saturating_sub(1));
    let width = inputs.size("width")?.min(old_width - x);
    let height = inputs.size("height")?.min(old_height - y);
    each(inputs, |picture| DynamicImage::ImageRgb8(picture.clone()).crop_imm(x, y, width, height).into_rgb8())
}

fn blur(inputs: &Inputs) -> Result<Produced, Failure> {
    let radius = inputs.integer("blur_radius")?;
    let sigma = inputs.number("sigma")?;
    if radius <= 0 {
        return each(inputs, RgbImage::clone);
    }
    // A kernel cut off at the radius spreads less than its sigma says.
    let weight = |offset: i64| (-(offset * offset) as f64 / (2.0 * sigma * sigma)).exp();
    let (mut total, mut spread) = (0.0, 0.0);
    for offset in -radius..=radius {
        total += weight(offset);
        spread += weight(offset) * (offset * offset) as f64;
    }
    let sigma = (spread / total).sqrt().max(0.05) as f32;
    each(inputs, |picture| DynamicImage::ImageRgb8(picture.clone()).blur(sigma).into_rgb8())
}

fn batch(inputs: &Inputs) -> Result<Produced, Failure> {
    let (first, second) = (inputs.images("image1")?, inputs.images("image2")?);
    let (width, height) = dimensions(first);
    check_size(width, height, first.len() + second.len())?;
    let fitted = second.iter().map(|picture| resize(picture, width, height, FilterType::Triangle));
    Ok(images(first.iter().cloned().chain(fitted).collect()))
}

fn composite(inputs: &Inputs) -> Result<Produced, Failure> {
    let destination = inputs.images("destination")?;
    let source = inputs.images("source")?;
    let (x, y) = (inputs.size("x")?, inputs.size("y")?);
    let resize_source = inputs.flag("resize_source")?;
    let masks = inputs.masks("mask").ok();
    let one = |(index, under): (usize, &RgbImage)| {
        let Some(over) = source.get(index % source.len().max(1)) else { return under.clone() };
        let over = if resize_source {
            resize(over, under.width(), under.height(), FilterType::Triangle)
        } else {
            over.clone()
        };
        let mask = masks.and_then(|masks| masks.get(index % masks.len().max(1)));
        let alpha = mask.map_or_else(
            || GrayImage::from_pixel(over.width(), over.height(), Luma([255])),
            |mask| fit_mask(mask, over.width(), over.height()),
        );
        place(under, &over, &alpha, x, y)
    };
    Ok(images(destination.iter().enumerate().map(one).collect()))
}

fn place(under: &RgbImage, over: &RgbImage, alpha: &GrayImage, x: u32, y: u32) -> RgbImage {
    let mut layer = under.clone();
    let mut mask = GrayImage::new(under.width(), under.height());
    imageops::replace(&mut layer, over, x.into(), y.into());
    imageops::replace(&mut mask, alpha, x.into(), y.into());
    blend_masked(under, &layer, &mask)
}

fn pad(inputs: &Inputs) -> Result<Produced, Failure> {
    let pictures = inputs.images("image")?;
    let (old_width, old_height) = dimensions(pictures);
    let margins = [inputs.size("left")?, inputs.size("top")?, inputs.size("right")?, inputs.size("bottom")?];
    let [left, top, right, bottom] = margins;
    let (width, height) = (old_width + left + right, old_height + top + bottom);
    check_size(width, height, pictures.len())?;
    let padded = |picture: &RgbImage| {
        let mut out = RgbImage::from_pixel(width, height, Rgb([127; 3]));
        imageops::replace(&mut out, picture, left.into(), top.into());
        out
    };
    let feathering = inputs.size("feathering")?;
    let feathered = feathering > 0 && feathering * 2 < old_width && feathering * 2 < old_height;
    let mask = GrayImage::from_fn(width, height, |x, y| {
        let inside = (left..left + old_width).contains(&x) && (top..top + old_height).contains(&y);
        if !inside {
            return Luma([255]);
        }
        let distance = edge_distance(x - left, y - top, (old_width, old_height), margins);
        if !feathered || distance >= feathering {
            return Luma([0]);
        }
        let nearness = f64::from(feathering - distance) / f64::from(feathering);
        Luma([(nearness * nearness * 255.0).round() as u8])
    });
    let pictures = pictures.iter().map(padded).collect();
    Ok(Produced::many([Value::Images(Arc::new(pictures)), Value::Masks(Arc::new(vec![mask]))]))
}

/// How far a place in the old picture is from the nearest side that has a margin.
fn edge_distance(x: u32, y: u32, (width, height): (u32, u32), margins: [u32; 4]) -> u32 {
    let distances = [x, y, width - x, height - y];
    let bordered = distances.into_iter().zip(margins).filter(|(_, margin)| *margin > 0);
    bordered.map(|(distance, _)| distance).min().unwrap_or(u32::MAX)
}

fn canny(inputs: &Inputs) -> Result<Produced, Failure> {
    let bound = f64::midpoint(inputs.number("low_threshold")?, inputs.number("high_threshold")?) * 128.0;
    each(inputs, |picture| {
        let luma = DynamicImage::ImageRgb8(picture.clone()).into_luma8();
        let value = |x: u32, y: u32| i32::from(luma.get_pixel(x, y).0[0]);
        RgbImage::from_fn(picture.width(), picture.height(), |x, y| {
            let across = value(x, y) - value(x.saturating_sub(1), y);
            let down = value(x, y) - value(x, y.saturating_sub(1));
            Rgb([if f64::from(across.abs() + down.abs()) > bound { 255 } else { 0 }; 3])
        })
    })
}
