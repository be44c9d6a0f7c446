use std::sync::Arc;

use image::{GrayImage, Luma, Rgb, RgbImage, RgbaImage};
use serde_json::{Value as Json, json};

use super::*;

fn inputs(plain: &Json, values: Vec<(&str, Value)>) -> Inputs {
    let mut inputs = Inputs::default();
    for (name, value) in plain.as_object().unwrap() {
        inputs.insert(name, Value::Plain(value.clone()));
    }
    for (name, value) in values {
        inputs.insert(name, value);
    }
    inputs
}

fn one(picture: RgbImage) -> Value {
    Value::Images(Arc::new(vec![picture]))
}

fn mask(mask: GrayImage) -> Value {
    Value::Masks(Arc::new(vec![mask]))
}

/// Runs a node without a data folder of its own to speak of.
fn run_node(class_type: &str, inputs: &Inputs) -> Result<Vec<Value>, Failure> {
    let data = DataDir::open(None).unwrap();
    run(class_type, inputs, &Context { data: &data, prompt: &Json::Null, extra_pnginfo: None })
        .map(|produced| produced.outputs)
}

fn picture(class_type: &str, inputs: &Inputs) -> RgbImage {
    match &run_node(class_type, inputs).unwrap()[0] {
        Value::Images(images) => images[0].clone(),
        other => panic!("{class_type} gave a {}", other.kind()),
    }
}

fn mask_of(class_type: &str, inputs: &Inputs, slot: usize) -> GrayImage {
    match &run_node(class_type, inputs).unwrap()[slot] {
        Value::Masks(masks) => masks[0].clone(),
        other => panic!("{class_type} gave a {}", other.kind()),
    }
}

/// Black, with a white left half.
fn half(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, _| Rgb([if x < width / 2 { 255 } else { 0 }; 3]))
}

#[test]
fn sizes_are_those_that_were_asked_for() {
    let source = || vec![("image", one(half(100, 50)))];
    let cases = [
        (
            "ImageScale",
            json!({"width": 64, "height": 32, "upscale_method": "lanczos", "crop": "disabled"}),
            (64, 32),
        ),
        (
            "ImageScale",
            json!({"width": 0, "height": 25, "upscale_method": "area", "crop": "center"}),
            (50, 25),
        ),
        ("ImageScaleBy", json!({"scale_by": 1.5, "upscale_method": "nearest-exact"}), (150, 75)),
        ("ImageUpscaleWithModel", json!({}), (200, 100)),
        ("ImageCrop", json!({"x": 90, "y": 10, "width": 30, "height": 30}), (10, 30)),
        (
            "ImagePadForOutpaint",
            json!({"left": 8, "top": 0, "right": 16, "bottom": 8, "feathering": 0}),
            (124, 58),
        ),
        ("ImageBlur", json!({"blur_radius": 5, "sigma": 2.0}), (100, 50)),
    ];
    for (class_type, plain, size) in cases {
        assert_eq!(picture(class_type, &inputs(&plain, source())).dimensions(), size, "{class_type}");
    }
}

#[test]
fn a_centered_crop_keeps_the_middle() {
    let plain = json!({"width": 50, "height": 50, "upscale_method": "nearest-exact", "crop": "center"});
    let result = picture("ImageScale", &inputs(&plain, vec![("image", one(half(100, 50)))]));
    assert_eq!((result.get_pixel(5, 5).0[0], result.get_pixel(45, 5).0[0]), (255, 0));
}

#[test]
fn pixels_change_as_the_node_says() {
    let inverted = picture("ImageInvert", &inputs(&json!({}), vec![("image", one(half(8, 8)))]));
    assert_eq!((inverted.get_pixel(0, 0).0, inverted.get_pixel(7, 0).0), ([0; 3], [255; 3]));
    let blurred = picture(
        "ImageBlur",
        &inputs(&json!({"blur_radius": 3, "sigma": 2.0}), vec![("image", one(half(32, 8)))]),
    );
    let middle = blurred.get_pixel(16, 4).0[0];
    assert!((60..200).contains(&middle), "{middle}");
    let empty = picture(
        "EmptyImage",
        &inputs(&json!({"width": 4, "height": 4, "batch_size": 1, "color": 0x12_34_56}), vec![]),
    );
    assert_eq!(empty.get_pixel(0, 0).0, [0x12, 0x34, 0x56]);
}

#[test]
fn a_composite_changes_the_masked_part_alone() {
    let under = RgbImage::from_pixel(16, 16, Rgb([10; 3]));
    let over = RgbImage::from_pixel(8, 8, Rgb([200; 3]));
    let left = GrayImage::from_fn(8, 8, |x, _| Luma([if x < 4 { 255 } else { 0 }]));
    let plain = json!({"x": 4, "y": 2, "resize_source": false});
    let values = vec![("destination", one(under)), ("source", one(over)), ("mask", mask(left))];
    let result = picture("ImageCompositeMasked", &inputs(&plain, values));
    let pixels = [(3, 2, 10), (4, 2, 200), (7, 9, 200), (8, 9, 10), (4, 10, 10)];
    for (x, y, value) in pixels {
        assert_eq!(result.get_pixel(x, y).0, [value; 3], "at {x},{y}");
    }
}

#[test]
fn masks_are_made_grown_and_inverted() {
    let dot = GrayImage::from_fn(9, 9, |x, y| Luma([if (x, y) == (4, 4) { 255 } else { 0 }]));
    let grown = mask_of(
        "GrowMask",
        &inputs(&json!({"expand": 2, "tapered_corners": true}), vec![("mask", mask(dot.clone()))]),
        0,
    );
    assert_eq!(grown.iter().map(|&value| u32::from(value) / 255).sum::<u32>(), 25);
    let shrunk = mask_of(
        "GrowMask",
        &inputs(&json!({"expand": -2, "tapered_corners": true}), vec![("mask", mask(grown))]),
        0,
    );
    assert_eq!(shrunk, dot);
    let inverted = mask_of("InvertMask", &inputs(&json!({}), vec![("mask", mask(dot))]), 0);
    assert_eq!((inverted.get_pixel(4, 4).0[0], inverted.get_pixel(0, 0).0[0]), (0, 255));
    let padded = mask_of(
        "ImagePadForOutpaint",
        &inputs(
            &json!({"left": 8, "top": 0, "right": 0, "bottom": 0, "feathering": 0}),
            vec![("image", one(half(8, 8)))],
        ),
        1,
    );
    assert_eq!((padded.get_pixel(7, 0).0[0], padded.get_pixel(8, 0).0[0]), (255, 0));
}

#[test]
fn load_image_gives_the_picture_and_the_inverse_of_its_alpha() {
    let data = DataDir::open(None).unwrap();
    let source = RgbaImage::from_fn(6, 4, |x, _| image::Rgba([9, 8, 7, if x < 3 { 255 } else { 0 }]));
    source.save(data.folder(crate::data::Kind::Input).join("cut.png")).unwrap();
    std::fs::write(data.folder(crate::data::Kind::Input).join("bad.png"), "no picture").unwrap();
    let cx = Context { data: &data, prompt: &Json::Null, extra_pnginfo: None };
    let outputs = run("LoadImage", &inputs(&json!({"image": "cut.png"}), vec![]), &cx).unwrap().outputs;
    let [Value::Images(images), Value::Masks(masks)] = outputs.as_slice() else { panic!("{outputs:?}") };
    assert_eq!(images[0].get_pixel(0, 0).0, [9, 8, 7]);
    assert_eq!((masks[0].get_pixel(0, 0).0[0], masks[0].get_pixel(5, 0).0[0]), (0, 255));
    let failure = run("LoadImage", &inputs(&json!({"image": "bad.png"}), vec![]), &cx).unwrap_err();
    assert_eq!(failure.kind, "PIL.UnidentifiedImageError");
}

#[test]
fn saved_files_are_counted_on_and_stay_in_the_output_folder() {
    let data = DataDir::open(None).unwrap();
    let cx = Context {
        data: &data,
        prompt: &json!({"1": {}}),
        extra_pnginfo: Some(&json!({"workflow": {"id": 1}})),
    };
    let save = |prefix: &str| {
        let inputs = inputs(&json!({"filename_prefix": prefix}), vec![("images", one(half(8, 8)))]);
        run("SaveImage", &inputs, &cx).map(|produced| produced.ui.unwrap()["images"][0].clone())
    };
    let file =
        |name: &str, subfolder: &str| json!({"filename": name, "subfolder": subfolder, "type": "output"});
    assert_eq!(save("cat").unwrap(), file("cat_00001_.png", ""));
    assert_eq!(save("cat").unwrap(), file("cat_00002_.png", ""));
    assert_eq!(save("cat_a").unwrap(), file("cat_a_00001_.png", ""));
    assert_eq!(save("sub/dir/cat").unwrap(), file("cat_00001_.png", "sub/dir"));
    assert_eq!(save("w%width%").unwrap(), file("w8_00001_.png", ""));
    for prefix in ["../escape", "/tmp/escape", "a/../../escape"] {
        assert!(save(prefix).unwrap_err().message.contains("outside the output folder"), "{prefix}");
    }
}

#[test]
fn a_picture_that_would_fill_the_memory_is_refused() {
    let plain = json!({"width": 16384, "height": 16384, "batch_size": 4096, "color": 0});
    let failure = run_node("EmptyImage", &inputs(&plain, vec![])).unwrap_err();
    assert!(failure.message.contains("limit"), "{}", failure.message);
}

#[test]
fn encoding_cuts_to_whole_cells_and_decoding_gives_the_pixels_back() {
    let vae = || ("vae", Value::Vae(Digest::of("vae")));
    let latent = run_node("VAEEncode", &inputs(&json!({}), vec![("pixels", one(half(100, 50))), vae()]))
        .unwrap()
        .remove(0);
    let decoded = picture("VAEDecode", &inputs(&json!({}), vec![("samples", latent), vae()]));
    assert_eq!(decoded.dimensions(), (96, 48));
    assert_eq!((decoded.get_pixel(0, 0).0, decoded.get_pixel(95, 0).0), ([255; 3], [0; 3]));
}
