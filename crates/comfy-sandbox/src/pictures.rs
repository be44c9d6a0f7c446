//! Reading pictures that may be hostile, and writing them: PNG with ComfyUI's text chunks, JPEG and WebP.

use std::{fmt::Write as _, io::Cursor};

use image::{
    DynamicImage, ExtendedColorType, ImageDecoder, ImageEncoder, ImageError, ImageReader, Limits, RgbImage,
    RgbaImage,
    codecs::{jpeg::JpegEncoder, webp::WebPEncoder},
};
use png::{BitDepth, ColorType, Compression, Encoder, EncodingError};
use serde_json::Value;

/// The longest side of a picture that is read.
const MAX_SIDE: u32 = 16_384;
/// How much memory decoding a picture may take.
const MAX_DECODED_BYTES: u64 = 256 * 1024 * 1024;

/// Decodes a PNG, JPEG or WebP, turned as its EXIF data say; `None` for what is none of them or too large.
pub(crate) fn decode(bytes: &[u8]) -> Option<DynamicImage> {
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().ok()?;
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_DECODED_BYTES);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().ok()?;
    let orientation = decoder.orientation().ok()?;
    let mut picture = DynamicImage::from_decoder(decoder).ok()?;
    picture.apply_orientation(orientation);
    Some(picture)
}

/// The text chunks of a PNG, by keyword.
pub(crate) fn text_chunks(bytes: &[u8]) -> Vec<(String, String)> {
    let Ok(reader) = png::Decoder::new(Cursor::new(bytes)).read_info() else { return Vec::new() };
    let chunks = &reader.info().uncompressed_latin1_text;
    chunks.iter().map(|chunk| (chunk.keyword.clone(), chunk.text.clone())).collect()
}

/// A PNG with a text chunk for each key, as ComfyUI's SaveImage writes `prompt` and `workflow`.
pub(crate) fn encode_rgb(picture: &RgbImage, metadata: &[(String, Value)]) -> Result<Vec<u8>, EncodingError> {
    let texts: Vec<_> = metadata.iter().map(|(key, value)| (key.clone(), ascii_json(value))).collect();
    encode(picture.as_raw(), picture.dimensions(), ColorType::Rgb, texts)
}

/// An animated PNG of pictures of one size, with text chunks as [`encode_rgb`] writes them.
pub(crate) fn encode_animation(
    pictures: &[RgbImage],
    fps: f64,
    metadata: &[(String, Value)],
) -> Result<Vec<u8>, EncodingError> {
    let (width, height) = pictures.first().map_or((0, 0), RgbImage::dimensions);
    let mut out = Vec::new();
    let mut encoder = Encoder::new(&mut out, width, height);
    encoder.set_color(ColorType::Rgb);
    encoder.set_depth(BitDepth::Eight);
    encoder.set_compression(Compression::Fast);
    for (key, value) in metadata {
        encoder.add_text_chunk(key.clone(), ascii_json(value))?;
    }
    if pictures.len() > 1 {
        encoder.set_animated(u32::try_from(pictures.len()).unwrap_or(u32::MAX), 0)?;
        let milliseconds = (1000.0 / fps).clamp(1.0, f64::from(u16::MAX)) as u16;
        encoder.set_frame_delay(milliseconds, 1000)?;
    }
    let mut writer = encoder.write_header()?;
    for picture in pictures {
        writer.write_image_data(picture.as_raw())?;
    }
    writer.finish()?;
    Ok(out)
}

/// A PNG with an alpha channel and these text chunks.
pub(crate) fn encode_rgba(
    picture: &RgbaImage,
    texts: Vec<(String, String)>,
) -> Result<Vec<u8>, EncodingError> {
    encode(picture.as_raw(), picture.dimensions(), ColorType::Rgba, texts)
}

fn encode(
    pixels: &[u8],
    (width, height): (u32, u32),
    color: ColorType,
    texts: Vec<(String, String)>,
) -> Result<Vec<u8>, EncodingError> {
    let mut out = Vec::new();
    let mut encoder = Encoder::new(&mut out, width, height);
    encoder.set_color(color);
    encoder.set_depth(BitDepth::Eight);
    encoder.set_compression(Compression::Fast);
    for (key, text) in texts {
        encoder.add_text_chunk(key, text)?;
    }
    let mut writer = encoder.write_header()?;
    writer.write_image_data(pixels)?;
    writer.finish()?;
    Ok(out)
}

/// A JPEG of this quality, 1 to 100.
pub(crate) fn encode_jpeg(picture: &RgbImage, quality: u8) -> Result<Vec<u8>, ImageError> {
    let mut out = Vec::new();
    JpegEncoder::new_with_quality(&mut out, quality).encode_image(picture)?;
    Ok(out)
}

/// A WebP without loss; the lossy kind has no encoder in pure Rust.
pub(crate) fn encode_webp(picture: &DynamicImage) -> Result<Vec<u8>, ImageError> {
    let mut out = Vec::new();
    let picture = picture.to_rgba8();
    let (width, height) = picture.dimensions();
    WebPEncoder::new_lossless(&mut out).write_image(
        picture.as_raw(),
        width,
        height,
        ExtendedColorType::Rgba8,
    )?;
    Ok(out)
}

/// JSON as Python's `json.dumps` writes it for a text chunk, whose characters are Latin-1: all else is escaped.
fn ascii_json(value: &Value) -> String {
    let json = value.to_string();
    if json.is_ascii() {
        return json;
    }
    let mut out = String::with_capacity(json.len());
    for character in json.chars() {
        if character.is_ascii() {
            out.push(character);
        } else {
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                // Writing to a string can't fail.
                let _ = write!(out, "\\u{unit:04x}");
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn text_chunks_hold_the_metadata_as_ascii() {
        let metadata = [("prompt".to_owned(), json!({"text": "ünï 🎨"}))];
        let bytes = encode_rgb(&RgbImage::new(4, 3), &metadata).unwrap();
        let reader = png::Decoder::new(Cursor::new(bytes)).read_info().unwrap();
        let chunk = &reader.info().uncompressed_latin1_text[0];
        assert_eq!((reader.info().width, reader.info().height, chunk.keyword.as_str()), (4, 3, "prompt"));
        assert!(chunk.text.is_ascii());
        assert_eq!(serde_json::from_str::<Value>(&chunk.text).unwrap(), metadata[0].1);
    }
}
