use std::sync::Arc;

use image::{GrayImage, Luma, Rgb, RgbImage};

use super::*;

fn conditioning(text: &str) -> Conditioning {
    Conditioning { text: text.to_owned(), trace: Digest::of("text").with(text), controls: Vec::new() }
}

fn empty(width: u32, height: u32) -> Latent {
    Latent { width, height, frames: vec![Frame::default()], mask: None, trace: Digest::of("empty") }
}

fn encoded(picture: RgbImage) -> Latent {
    let (width, height) = picture.dimensions();
    let frame = Frame { picture: Some(Arc::new(picture)), painted: Painted::Nothing };
    Latent { width, height, frames: vec![frame], mask: None, trace: Digest::of("encoded") }
}

fn sampling() -> Sampling {
    Sampling {
        model: Digest::of("model"),
        positive: conditioning("a lighthouse at dawn"),
        negative: Some(conditioning("blurry")),
        cfg: 7.0,
        seed: 1,
        steps: 20,
        manner: Digest::of("euler"),
        denoise: 1.0,
        latent: empty(96, 64),
    }
}

fn picture(sampling: &Sampling) -> RgbImage {
    sample(sampling).frames[0].picture.as_deref().unwrap().clone()
}

#[test]
fn the_same_parameters_give_the_same_pixels() {
    assert_eq!(picture(&sampling()), picture(&sampling()));
    assert_eq!(picture(&sampling()).dimensions(), (96, 64));
}

#[test]
fn every_parameter_shows() {
    type Change = fn(&mut Sampling);
    let control = |strength| Control {
        images: Arc::new(vec![RgbImage::from_fn(96, 64, |x, _| Rgb([if x < 40 { 0 } else { 255 }; 3]))]),
        strength,
        trace: Digest::of("control"),
    };
    let cases: [(&str, Change); 9] = [
        ("model", |it| it.model = Digest::of("other")),
        ("prompt", |it| it.positive = conditioning("a lighthouse at dusk")),
        ("negative", |it| it.negative = Some(conditioning("ugly"))),
        ("no negative", |it| it.negative = None),
        ("cfg", |it| it.cfg = 7.5),
        ("seed", |it| it.seed = 2),
        ("steps", |it| it.steps = 21),
        ("manner", |it| it.manner = Digest::of("ddim")),
        ("size", |it| it.latent = empty(96, 72)),
    ];
    let mut seen = vec![("nothing", picture(&sampling()))];
    for (name, change) in cases {
        let mut changed = sampling();
        change(&mut changed);
        seen.push((name, picture(&changed)));
    }
    for strength in [0.5, 0.9] {
        let mut changed = sampling();
        changed.positive.controls.push(control(strength));
        seen.push(("control", picture(&changed)));
    }
    for (index, (name, one)) in seen.iter().enumerate() {
        for (other_name, other) in &seen[..index] {
            assert_ne!(one, other, "{name} and {other_name} give the same picture");
        }
    }
}

#[test]
fn edges_of_the_control_image_shine_through() {
    let mut controlled = sampling();
    controlled.positive.controls.push(Control {
        images: Arc::new(vec![RgbImage::from_fn(96, 64, |x, _| Rgb([if x < 40 { 0 } else { 255 }; 3]))]),
        strength: 1.0,
        trace: Digest::of("control"),
    });
    let (plain, controlled) = (picture(&sampling()), picture(&controlled));
    let light = |picture: &RgbImage| -> u32 {
        (10..50)
            .map(|y| picture.get_pixel(40, y).0.iter().map(|&channel| u32::from(channel)).sum::<u32>())
            .sum()
    };
    assert!(light(&controlled) > light(&plain) + 1000);
}

#[test]
fn less_denoising_keeps_more_of_the_input() {
    let source = RgbImage::from_fn(64, 64, |x, y| Rgb([(x * 4) as u8, (y * 4) as u8, 90]));
    let distance = |denoise: f64| -> u64 {
        let result = picture(&Sampling { denoise, latent: encoded(source.clone()), ..sampling() });
        result.iter().zip(source.iter()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum()
    };
    assert_eq!(distance(0.0), 0);
    assert!(distance(0.3) * 2 < distance(0.9), "{} and {}", distance(0.3), distance(0.9));
    assert!(distance(0.3) > 0);
}

#[test]
fn only_the_masked_area_changes() {
    let source = RgbImage::from_pixel(64, 64, Rgb([10, 200, 30]));
    let mut latent = encoded(source.clone());
    latent.mask = Some(Arc::new(GrayImage::from_fn(64, 64, |x, _| Luma([if x < 32 { 255 } else { 0 }]))));
    let result = picture(&Sampling { latent, ..sampling() });
    let changed = |x: u32| (0..64).filter(|&y| result.get_pixel(x, y) != source.get_pixel(x, y)).count();
    assert!((0..32).all(|x| changed(x) > 60));
    assert!((32..64).all(|x| changed(x) == 0));
}

#[test]
fn a_batch_shows_different_pictures() {
    let mut latent = empty(64, 64);
    latent.frames.push(Frame::default());
    let frames = sample(&Sampling { latent, ..sampling() }).frames;
    assert_ne!(frames[0].picture, frames[1].picture);
}

#[test]
fn a_color_of_the_prompt_colors_the_sky() {
    let sky =
        |text: &str| picture(&Sampling { positive: conditioning(text), ..sampling() }).get_pixel(0, 0).0;
    let [red, _, blue] = sky("a red sky");
    assert!(red > blue);
    let [red, _, blue] = sky("a blue sky");
    assert!(blue > red);
}

#[test]
fn painting_is_quick() {
    let started = std::time::Instant::now();
    let _ = picture(&Sampling { latent: empty(512, 512), ..sampling() });
    // Far above what it takes, far below what a test would wait for.
    assert!(started.elapsed().as_millis() < 1000, "{:?}", started.elapsed());
}

#[test]
fn the_picture_says_sandbox() {
    let signed = picture(&Sampling { latent: empty(256, 256), ..sampling() });
    let row: Vec<bool> =
        (256 - 43..256 - 2).map(|x| signed.get_pixel(x, 256 - 9).0 == [245, 245, 240]).collect();
    let dots: String = row.iter().map(|&ink| if ink { '#' } else { '.' }).collect();
    assert_eq!(dots, ".####..###..#...#.####..####...###..#...#");
}

#[test]
fn a_preview_is_small_and_ends_as_the_picture() {
    let big = RgbImage::from_pixel(1024, 512, Rgb([9, 9, 9]));
    assert_eq!(preview(&big, 0.5, 512).dimensions(), (512, 256));
    let small = RgbImage::from_pixel(8, 8, Rgb([9, 9, 9]));
    assert_eq!(preview(&small, 1.0, 512), small);
}
