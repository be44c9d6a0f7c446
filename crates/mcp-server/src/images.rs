//! Pictures: what an agent sends, checked before it goes anywhere, and the small previews that it gets back.

use std::io::Cursor;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use bytes::Bytes;
use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, ImageFormat, ImageReader, Limits};

/// The longest side of a preview, in pixels.
pub const PREVIEW_SIDE: u32 = 512;
/// The largest preview, in bytes: it goes into an agent's context.
pub const PREVIEW_BYTES: usize = 64 << 10;
/// The longest side of a picture that is taken in, in pixels.
const MAX_SIDE: u32 = 16_384;
/// What decoding one picture may allocate, in bytes.
const MAX_DECODED_BYTES: u64 = 512 << 20;

/// A picture whose bytes were read and whose header was understood.
#[derive(Debug, Clone)]
pub struct Picture {
    /// The bytes as they came.
    pub bytes: Bytes,
    /// `image/png`, `image/jpeg` or `image/webp`.
    pub media_type: &'static str,
    /// The ending that goes with the media type, without the dot.
    pub extension: &'static str,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
}

/// A small version of a picture.
#[derive(Debug, Clone)]
pub struct Preview {
    /// `image/webp` or `image/jpeg`.
    pub media_type: &'static str,
    /// The encoded picture, at most the size that was asked.
    pub bytes: Bytes,
}

/// Why bytes are not a picture that can be used.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    /// Text that is neither base64 nor a data URI.
    #[error("it is not base64, a data: URI, or the id of an artifact")]
    NotBase64,
    /// A URL: nothing is fetched for a client.
    #[error("it is a URL, and this server fetches none")]
    Url,
    /// The bytes are of no known format.
    #[error("it is not a PNG, JPEG or WebP image")]
    UnknownFormat,
    /// The header was read, the rest is broken.
    #[error("the {format} image is broken")]
    Broken {
        /// `PNG`, `JPEG` or `WebP`.
        format: &'static str,
        /// What the decoder said.
        #[source]
        source: image::ImageError,
    },
    /// A picture that would take too much memory.
    #[error("it is {width}x{height} pixels, and at most {MAX_SIDE} on a side are taken")]
    TooLarge {
        /// Pixels.
        width: u32,
        /// Pixels.
        height: u32,
    },
}

/// Decodes a data URI or bare base64.
pub fn decode_text(text: &str) -> Result<Bytes, PictureError> {
    let text = text.trim();
    if text.starts_with("http://") || text.starts_with("https://") {
        return Err(PictureError::Url);
    }
    let encoded = match text.strip_prefix("data:") {
        Some(rest) => rest.split_once(";base64,").ok_or(PictureError::NotBase64)?.1,
        None => text,
    };
    let encoded: String = encoded.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    [&STANDARD, &STANDARD_NO_PAD, &URL_SAFE, &URL_SAFE_NO_PAD]
        .into_iter()
        .find_map(|engine| engine.decode(&encoded).ok())
        .filter(|bytes| !bytes.is_empty())
        .map(Bytes::from)
        .ok_or(PictureError::NotBase64)
}

/// Checks that the bytes are a whole picture, by decoding it. Takes time: call it off the runtime.
pub fn inspect(bytes: Bytes) -> Result<Picture, PictureError> {
    let (media_type, extension, _) = format_of(&bytes)?;
    let decoded = decode(&bytes)?;
    Ok(Picture { media_type, extension, width: decoded.width(), height: decoded.height(), bytes })
}

/// Width, height and a preview of an encoded picture. Takes time: call it off the runtime.
pub fn preview(bytes: &[u8]) -> Result<(u32, u32, Preview), PictureError> {
    let decoded = decode(bytes)?;
    let preview = shrink(&decoded, PREVIEW_SIDE, PREVIEW_BYTES);
    Ok((decoded.width(), decoded.height(), preview))
}

/// An encoded picture, made to fit `side` pixels and `max_bytes`. Takes time: call it off the runtime.
pub fn resize(bytes: &[u8], side: u32, max_bytes: usize) -> Result<Preview, PictureError> {
    Ok(shrink(&decode(bytes)?, side, max_bytes))
}

type Format = (&'static str, &'static str, ImageFormat);

fn format_of(bytes: &[u8]) -> Result<Format, PictureError> {
    match image::guess_format(bytes) {
        Ok(ImageFormat::Png) => Ok(("image/png", "png", ImageFormat::Png)),
        Ok(ImageFormat::Jpeg) => Ok(("image/jpeg", "jpg", ImageFormat::Jpeg)),
        Ok(ImageFormat::WebP) => Ok(("image/webp", "webp", ImageFormat::WebP)),
        _ => Err(PictureError::UnknownFormat),
    }
}

fn decode(bytes: &[u8]) -> Result<DynamicImage, PictureError> {
    let (_, name, format) = format_of(bytes)?;
    let name = match name {
        "png" => "PNG",
        "jpg" => "JPEG",
        _ => "WebP",
    };
    let broken = |source| PictureError::Broken { format: name, source };
    let reader = || {
        let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
        let mut limits = Limits::default();
        limits.max_alloc = Some(MAX_DECODED_BYTES);
        reader.limits(limits);
        reader
    };
    let (width, height) = reader().into_dimensions().map_err(broken)?;
    if width == 0 || height == 0 || width > MAX_SIDE || height > MAX_SIDE {
        return Err(PictureError::TooLarge { width, height });
    }
    reader().decode().map_err(broken)
}

/// Lossy all the way down: quality first, then the size, until it fits.
fn shrink(decoded: &DynamicImage, side: u32, max_bytes: usize) -> Preview {
    let mut side = side;
    loop {
        let small = if decoded.width().max(decoded.height()) > side {
            decoded.thumbnail(side, side)
        } else {
            decoded.clone()
        };
        let flat = flatten(&small);
        for quality in [85, 70, 50, 30] {
            if let Some(bytes) = encode_jpeg(&flat, quality)
                && (bytes.len() <= max_bytes || side <= 16)
            {
                return Preview { media_type: "image/jpeg", bytes: Bytes::from(bytes) };
            }
        }
        side = (side / 2).max(16);
    }
}

/// JPEG knows no transparency; what shows through is white.
fn flatten(picture: &DynamicImage) -> image::RgbImage {
    if !picture.color().has_alpha() {
        return picture.to_rgb8();
    }
    let source = picture.to_rgba8();
    image::RgbImage::from_fn(source.width(), source.height(), |x, y| {
        let [r, g, b, a] = source.get_pixel(x, y).0;
        let over = |c: u8| ((u32::from(c) * u32::from(a) + 255 * (255 - u32::from(a))) / 255) as u8;
        image::Rgb([over(r), over(g), over(b)])
    })
}

fn encode_jpeg(picture: &image::RgbImage, quality: u8) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    JpegEncoder::new_with_quality(&mut out, quality).encode_image(picture).ok()?;
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(width: u32, height: u32) -> Vec<u8> {
        let mut state = 7_u32;
        let picture = image::RgbImage::from_fn(width, height, |_, _| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            image::Rgb([(state >> 24) as u8, (state >> 16) as u8, (state >> 8) as u8])
        });
        let mut out = Cursor::new(Vec::new());
        picture.write_to(&mut out, ImageFormat::Png).unwrap();
        out.into_inner()
    }

    #[test]
    fn a_preview_of_noise_keeps_to_its_bounds() {
        let (width, height, preview) = preview(&noise(1400, 900)).unwrap();
        assert_eq!((width, height), (1400, 900));
        assert!(preview.bytes.len() <= PREVIEW_BYTES, "{} bytes", preview.bytes.len());
        let shown = image::load_from_memory(&preview.bytes).unwrap();
        assert!(shown.width() <= PREVIEW_SIDE && shown.height() <= PREVIEW_SIDE);
    }

    #[test]
    fn every_spelling_of_base64_is_read() {
        let bytes = noise(5, 3);
        for text in [
            STANDARD.encode(&bytes),
            STANDARD_NO_PAD.encode(&bytes),
            URL_SAFE.encode(&bytes),
            format!("data:image/png;base64,{}", STANDARD.encode(&bytes)),
            format!("  {}\n", STANDARD.encode(&bytes)),
        ] {
            assert_eq!(decode_text(&text).unwrap(), bytes);
        }
    }

    #[test]
    fn what_is_no_picture_is_named() {
        let mut cut = noise(64, 64);
        cut.truncate(300);
        let cases: [(&str, Result<Picture, PictureError>, &str); 4] = [
            ("text", inspect(Bytes::from_static(b"hello there")), "not a PNG, JPEG or WebP"),
            ("cut", inspect(Bytes::from(cut)), "the PNG image is broken"),
            ("url", decode_text("https://example.com/a.png").and_then(inspect), "it is a URL"),
            ("junk", decode_text("%%%").and_then(inspect), "not base64"),
        ];
        for (name, result, expected) in cases {
            let message = result.unwrap_err().to_string();
            assert!(message.contains(expected), "{name}: {message}");
        }
    }
}
