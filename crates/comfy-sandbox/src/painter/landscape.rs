//! A landscape: sky, sun, stars and hills, in colours that the prompt gives.

use image::{Rgb, RgbImage};

use crate::digest::{Digest, Numbers};

/// Colours that a prompt may name, with their hue in degrees.
const COLORS: [(&str, f64); 9] = [
    ("red", 0.0),
    ("orange", 30.0),
    ("gold", 45.0),
    ("yellow", 55.0),
    ("green", 120.0),
    ("cyan", 180.0),
    ("blue", 220.0),
    ("purple", 280.0),
    ("pink", 330.0),
];
const HILLS: usize = 4;
/// More stars than this can't be told apart.
const MAX_STARS: u64 = 200;

/// What to paint.
pub(super) struct Scene<'a> {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) text: &'a str,
    pub(super) subject: Digest,
    pub(super) model: Digest,
    pub(super) against: Option<Digest>,
    pub(super) saturation: f64,
    pub(super) stars: u64,
    pub(super) seed: Digest,
    pub(super) manner: Digest,
    pub(super) everything: Digest,
}

/// Paints it. The same scene gives the same pixels.
pub(super) fn paint(scene: &Scene<'_>) -> RgbImage {
    let palette = Palette::of(scene);
    let mut picture = RgbImage::new(scene.width, scene.height);
    paint_sky(&mut picture, &palette);
    let mut numbers = scene.seed.with_digest(scene.model).numbers();
    paint_sun(&mut picture, &palette, &mut numbers);
    paint_stars(&mut picture, scene, &mut numbers);
    paint_hills(&mut picture, scene, &palette);
    paint_dust(&mut picture, scene.everything);
    picture
}

struct Palette {
    zenith: Rgb<u8>,
    horizon: Rgb<u8>,
    sun: Rgb<u8>,
    hills: [Rgb<u8>; HILLS],
}

impl Palette {
    fn of(scene: &Scene<'_>) -> Self {
        let mut numbers = scene.subject.with_digest(scene.model).numbers();
        let hue = named_hue(scene.text).unwrap_or_else(|| numbers.within(0.0, 360.0));
        let turn = numbers.within(20.0, 80.0);
        // What is not wanted makes the air hazier, each wish in its own way.
        let haze = scene.against.map_or(0.0, |against| against.numbers().within(0.05, 0.35));
        let saturation = (0.35 + scene.saturation / (scene.saturation + 12.0) * 0.6) * (1.0 - haze);
        let hill = |layer: usize| {
            let depth = layer as f64 / (HILLS - 1) as f64;
            color(
                hue + 150.0 + turn * depth,
                saturation * (0.5 + depth / 2.0),
                0.62 - 0.42 * depth + haze * 0.3,
            )
        };
        Self {
            zenith: color(hue, saturation, 0.45 + haze),
            horizon: color(hue + turn, saturation * 0.6, 0.95),
            sun: color(hue + turn + 20.0, saturation * 0.35, 1.0),
            hills: std::array::from_fn(hill),
        }
    }
}

/// The hue of the first colour that the text names.
fn named_hue(text: &str) -> Option<f64> {
    let mut words = text.split(|character: char| !character.is_alphabetic());
    words
        .find_map(|word| COLORS.iter().find(|(name, _)| word.eq_ignore_ascii_case(name)))
        .map(|(_, hue)| *hue)
}

fn paint_sky(picture: &mut RgbImage, palette: &Palette) {
    let (width, height) = picture.dimensions();
    let row = width as usize * 3;
    for (y, line) in picture.chunks_exact_mut(row).enumerate() {
        let color = between(palette.zenith, palette.horizon, y as f64 / f64::from(height));
        let (first, rest) = line.split_at_mut(3);
        first.copy_from_slice(&color.0);
        // Doubling copies are one call for many pixels, which a debug build notices.
        let mut done = 3.min(rest.len());
        rest[..done].copy_from_slice(&color.0[..done]);
        while done < rest.len() {
            let length = done.min(rest.len() - done);
            rest.copy_within(..length, done);
            done += length;
        }
    }
}

fn paint_sun(picture: &mut RgbImage, palette: &Palette, numbers: &mut Numbers) {
    let (width, height) = picture.dimensions();
    let radius = f64::from(width.min(height)) * numbers.within(0.06, 0.13);
    let center =
        (f64::from(width) * numbers.within(0.12, 0.88), f64::from(height) * numbers.within(0.14, 0.42));
    disc(picture, center, radius * 1.35, between(palette.sun, palette.horizon, 0.6));
    disc(picture, center, radius, palette.sun);
}

/// As many as there were steps.
fn paint_stars(picture: &mut RgbImage, scene: &Scene<'_>, numbers: &mut Numbers) {
    let radius = (f64::from(scene.width.min(scene.height)) / 220.0).max(0.6);
    for _ in 0..scene.stars.min(MAX_STARS) {
        let center =
            (numbers.within(0.0, f64::from(scene.width)), numbers.within(0.0, f64::from(scene.height) * 0.5));
        disc(picture, center, radius, Rgb([255, 252, 235]));
    }
}

fn paint_hills(picture: &mut RgbImage, scene: &Scene<'_>, palette: &Palette) {
    let (width, height) = (scene.width as usize, scene.height as usize);
    let mut numbers = scene.seed.with_digest(scene.manner).numbers();
    let ridges: Vec<Vec<u32>> = (0..HILLS).map(|layer| ridge(width, height, layer, &mut numbers)).collect();
    let top = ridges.iter().flatten().copied().min().unwrap_or(0) as usize;
    for (y, line) in picture.chunks_exact_mut(width * 3).enumerate().skip(top) {
        for (x, pixel) in line.chunks_exact_mut(3).enumerate() {
            // The nearest hill that reaches up to here hides the others.
            if let Some(layer) = (0..HILLS).rev().find(|&layer| ridges[layer][x] as usize <= y) {
                pixel.copy_from_slice(&palette.hills[layer].0);
            }
        }
    }
}

/// For each column, the row where a hill begins.
fn ridge(width: usize, height: usize, layer: usize, numbers: &mut Numbers) -> Vec<u32> {
    let base = 0.52 + 0.12 * layer as f64 + numbers.within(-0.03, 0.03);
    let mut waves = [(0.0, 0.0, 0.0); 4];
    for (index, wave) in waves.iter_mut().enumerate() {
        let octave = f64::from(1 << index);
        *wave =
            (octave * numbers.within(2.0, 5.0), numbers.within(0.0, std::f64::consts::TAU), 0.055 / octave);
    }
    let row = |x: usize| {
        let along = x as f64 / width as f64;
        let swing: f64 =
            waves.iter().map(|(frequency, phase, swing)| (along * frequency + phase).sin() * swing).sum();
        ((base + swing) * height as f64).clamp(0.0, height as f64) as u32
    };
    (0..width).map(row).collect()
}

/// A speck here and there, placed by everything: two pictures with one parameter between them are never the same.
fn paint_dust(picture: &mut RgbImage, everything: Digest) {
    let (width, height) = picture.dimensions();
    let mut numbers = everything.numbers();
    for _ in 0..(u64::from(width) * u64::from(height) / 256).clamp(16, 20_000) {
        let pixel = picture.get_pixel_mut(numbers.below(width), numbers.below(height));
        let amount = 12 + numbers.below(24) as u8;
        pixel.0 = pixel.0.map(|channel| if channel < 128 { channel + amount } else { channel - amount });
    }
}

fn disc(picture: &mut RgbImage, (x, y): (f64, f64), radius: f64, color: Rgb<u8>) {
    let (width, height) = picture.dimensions();
    let row = |y: f64| y.clamp(0.0, f64::from(height)) as u32;
    for line in row(y - radius)..row(y + radius + 1.0) {
        let off = f64::from(line) - y;
        let half = (radius * radius - off * off).max(0.0).sqrt();
        let column = |x: f64| x.clamp(0.0, f64::from(width)) as u32;
        for at in column(x - half)..column(x + half) {
            picture.put_pixel(at, line, color);
        }
    }
}

fn between(from: Rgb<u8>, to: Rgb<u8>, part: f64) -> Rgb<u8> {
    let channel = |index: usize| {
        let (from, to) = (f64::from(from.0[index]), f64::from(to.0[index]));
        (from + (to - from) * part) as u8
    };
    Rgb([channel(0), channel(1), channel(2)])
}

/// A colour by hue (degrees), saturation and value (0 to 1).
fn color(hue: f64, saturation: f64, value: f64) -> Rgb<u8> {
    let (saturation, value) = (saturation.clamp(0.0, 1.0), value.clamp(0.0, 1.0));
    let channel = |turn: f64| {
        let position = (turn + hue.rem_euclid(360.0) / 60.0).rem_euclid(6.0);
        let dip = position.min(4.0 - position).clamp(0.0, 1.0);
        ((value - value * saturation * dip) * 255.0).round() as u8
    };
    Rgb([channel(5.0), channel(3.0), channel(1.0)])
}
