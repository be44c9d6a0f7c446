//! The painter that stands in for diffusion models: a landscape that depends on every parameter, and on nothing else.

mod landscape;
mod lettering;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use image::{DynamicImage, GrayImage, RgbImage, imageops::FilterType};

use crate::{
    digest::Digest,
    nodes::values::{Conditioning, Control, Frame, Latent, Painted},
};

/// One run of a sampler.
#[derive(Clone, Debug)]
pub(crate) struct Sampling {
    /// The checkpoint with its LoRAs.
    pub(crate) model: Digest,
    pub(crate) positive: Conditioning,
    pub(crate) negative: Option<Conditioning>,
    pub(crate) cfg: f64,
    pub(crate) seed: u64,
    pub(crate) steps: u64,
    /// The sampler, the scheduler, and what else changes the way but not the subject.
    pub(crate) manner: Digest,
    /// How much of the input is painted over, 0 to 1.
    pub(crate) denoise: f64,
    pub(crate) latent: Latent,
}

/// Paints every frame of the latent.
pub(crate) fn sample(sampling: &Sampling) -> Latent {
    let latent = &sampling.latent;
    let mask = latent.mask.as_ref().map(|mask| fit_mask(mask, latent.width, latent.height));
    let frames = latent.frames.iter().enumerate();
    let frames = frames.map(|(index, frame)| paint_frame(sampling, index, frame, mask.as_ref())).collect();
    Latent { frames, trace: sampling.everything(0), ..latent.clone() }
}

/// What a picture looks like when `done` of the sampling (0 to 1) has been done, at most `side` pixels on its longest
/// side.
pub(crate) fn preview(picture: &RgbImage, done: f64, side: u32) -> RgbImage {
    let (width, height) = picture.dimensions();
    let scale = f64::from(side) / f64::from(width.max(height));
    let small = if scale < 1.0 {
        let scaled = |length: u32| ((f64::from(length) * scale).round() as u32).max(1);
        resize(picture, scaled(width), scaled(height), FilterType::Triangle)
    } else {
        picture.clone()
    };
    let mut noisy = small;
    let keep = (done.clamp(0.0, 1.0) * 256.0) as u16;
    let mut numbers = Digest::of("preview").with_number(done).numbers();
    for bytes in noisy.chunks_mut(8) {
        for (byte, noise) in bytes.iter_mut().zip(numbers.next().to_le_bytes()) {
            *byte = ((u16::from(*byte) * keep + u16::from(noise) * (256 - keep)) >> 8) as u8;
        }
    }
    noisy
}

/// Another size of a picture.
pub(crate) fn resize(picture: &RgbImage, width: u32, height: u32, filter: FilterType) -> RgbImage {
    if picture.dimensions() == (width, height) {
        return picture.clone();
    }
    DynamicImage::ImageRgb8(picture.clone()).resize_exact(width, height, filter).into_rgb8()
}

/// Another size of a mask.
pub(crate) fn fit_mask(mask: &GrayImage, width: u32, height: u32) -> GrayImage {
    if mask.dimensions() == (width, height) {
        return mask.clone();
    }
    DynamicImage::ImageLuma8(mask.clone()).resize_exact(width, height, FilterType::Triangle).into_luma8()
}

/// Puts `over` on `under` as far as the mask is set.
pub(crate) fn blend_masked(under: &RgbImage, over: &RgbImage, mask: &GrayImage) -> RgbImage {
    let mut out = under.clone();
    let pixels = out.chunks_exact_mut(3).zip(over.chunks_exact(3)).zip(mask.as_raw());
    for ((pixel, over), &alpha) in pixels {
        if alpha == u8::MAX {
            pixel.copy_from_slice(over);
        } else if alpha > 0 {
            for (channel, &over) in pixel.iter_mut().zip(over) {
                *channel = mix(*channel, over, alpha);
            }
        }
    }
    out
}

impl Sampling {
    /// All parameters in one digest, so that none can be lost without a trace.
    fn everything(&self, frame: usize) -> Digest {
        let digest = Digest::of("sampling")
            .with_digest(self.model)
            .with_digest(self.positive.everything())
            .with_digest(self.negative.as_ref().map_or_else(|| Digest::of("none"), Conditioning::everything))
            .with_number(self.cfg)
            .with_integer(i128::from(self.seed))
            .with_integer(i128::from(self.steps))
            .with_digest(self.manner)
            .with_number(self.denoise)
            .with_digest(self.latent.trace);
        digest.with_integer(frame as i128)
    }
}

impl Conditioning {
    fn everything(&self) -> Digest {
        self.controls.iter().fold(self.trace, |digest, control| {
            digest.with_digest(control.trace).with_number(control.strength)
        })
    }
}

fn paint_frame(sampling: &Sampling, index: usize, frame: &Frame, mask: Option<&GrayImage>) -> Frame {
    let (width, height) = (sampling.latent.width, sampling.latent.height);
    let mut picture = landscape::paint(&landscape::Scene {
        width,
        height,
        text: &sampling.positive.text,
        subject: sampling.positive.trace,
        model: sampling.model,
        against: sampling.negative.as_ref().map(|negative| negative.trace),
        saturation: sampling.cfg,
        stars: sampling.steps,
        seed: Digest::of("seed").with_integer(i128::from(sampling.seed)).with_integer(index as i128),
        manner: sampling.manner,
        everything: sampling.everything(index),
    });
    for control in &sampling.positive.controls {
        draw_edges(&mut picture, control, index);
    }
    lettering::sign(&mut picture);
    if let Some(source) = &frame.picture {
        blend(&mut picture, source, sampling.denoise);
    }
    let painted = match (mask, &frame.picture) {
        (Some(mask), Some(source)) => {
            picture = blend_masked(source, &picture, mask);
            Painted::Masked(Arc::new(mask.clone()))
        }
        _ if sampling.denoise > 0.0 => Painted::Everything,
        _ => frame.painted.clone(),
    };
    Frame { picture: Some(Arc::new(picture)), painted }
}

/// Lets the source show through what denoising leaves of it.
fn blend(picture: &mut RgbImage, source: &RgbImage, denoise: f64) {
    let alpha = (denoise.clamp(0.0, 1.0) * 255.0).round() as u8;
    if alpha == u8::MAX || picture.dimensions() != source.dimensions() {
        return;
    }
    for (channel, &source) in picture.iter_mut().zip(source.as_raw()) {
        *channel = mix(source, *channel, alpha);
    }
}

/// Lightens the picture along the edges of the control image.
fn draw_edges(picture: &mut RgbImage, control: &Control, index: usize) {
    let Some(image) = control.images.get(index % control.images.len().max(1)) else { return };
    let (width, height) = picture.dimensions();
    let image = DynamicImage::ImageRgb8(image.clone()).resize_exact(width, height, FilterType::Triangle);
    let luma = image.into_luma8();
    let strength = (control.strength.clamp(0.0, 1.0) * 256.0) as u16;
    let row = width as usize;
    let (luma, pixels) = (luma.as_raw(), picture.as_flat_samples_mut().samples);
    for y in 1..height as usize {
        for at in y * row + 1..(y + 1) * row {
            let edge = luma[at].abs_diff(luma[at - 1]).max(luma[at].abs_diff(luma[at - row]));
            if edge > 12 {
                let alpha = ((u16::from(edge.saturating_mul(4)) * strength) >> 8) as u8;
                for channel in &mut pixels[at * 3..at * 3 + 3] {
                    *channel = mix(*channel, 250, alpha);
                }
            }
        }
    }
}

fn mix(under: u8, over: u8, alpha: u8) -> u8 {
    let (under, over, alpha) = (u32::from(under), u32::from(over), u32::from(alpha));
    ((under * (255 - alpha) + over * alpha + 127) / 255) as u8
}
