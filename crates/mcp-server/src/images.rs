//! Pictures: what an agent sends, checked before it goes anywhere, and the small previews that it gets back.

use std::io::Cursor;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use bytes::Bytes;
use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, ImageFormat, ImageReader, Limits};
use tokio::sync::Semaphore;

/// The longest side of a preview, in pixels.
pub const PREVIEW_SIDE: u32 = 512;
/// The largest preview, in bytes: it goes into an agent's context.
pub const PREVIEW_BYTES: usize = 64 << 10;
/// The longest side of a picture that is taken in, in pixels.
const MAX_SIDE: u32 = 16_384;
/// The most pixels of a picture that is decoded: a square of 8192.
const MAX_PIXELS: u64 = 64 << 20;
/// What decoding one picture may allocate, in bytes.
const MAX_DECODED_BYTES: u64 = 512 << 20;
/// How many pictures are decoded at once.
const MAX_AT_ONCE: usize = 2;

/// For the whole process: each decoding may take half a gigabyte and a core, whoever asks for it.
static DECODING: Semaphore = Semaphore::const_new(MAX_AT_ONCE);

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
    #[error("it is {width}x{height} pixels; at most {MAX_SIDE} on a side and {} megapixels are taken", MAX_PIXELS >> 20)]
    TooLarge {
        /// Pixels.
        width: u32,
        /// Pixels.
        height: u32,
    },
    /// The decoder itself gave up.
    #[error("it can't be decoded")]
    Undecodable,
}

/// Checks that the bytes are a whole picture, by decoding it.
pub async fn inspect(bytes: Bytes) -> Result<Picture, PictureError> {
    bounded(move || whole(bytes)).await
}

/// The picture that a data URI or bare base64 holds, checked in the same way.
pub async fn from_text(text: String) -> Result<Picture, PictureError> {
    bounded(move || whole(decode_text(&text)?)).await
}

/// The bytes that a data URI or bare base64 holds, unlooked at.
pub async fn bytes_of(text: String) -> Result<Bytes, PictureError> {
    bounded(move || decode_text(&text)).await
}

/// Width, height and a preview of an encoded picture.
pub async fn preview(bytes: Bytes) -> Result<(u32, u32, Preview), PictureError> {
    bounded(move || {
        let decoded = decode(&bytes)?;
        let preview = shrink(&decoded, PREVIEW_SIDE, PREVIEW_BYTES);
        Ok((decoded.width(), decoded.height(), preview))
    })
    .await
}

/// An encoded picture, made to fit `side` pixels and `max_bytes`.
pub async fn resize(bytes: Bytes, side: u32, max_bytes: usize) -> Result<Preview, PictureError> {
    bounded(move || Ok(shrink(&decode(&bytes)?, side, max_bytes))).await
}

/// Whether any pixel of an encoded picture lets something through.
pub async fn has_transparency(bytes: Bytes) -> Result<bool, PictureError> {
    bounded(move || {
        let decoded = decode(&bytes)?;
        Ok(decoded.color().has_alpha() && decoded.to_rgba8().pixels().any(|pixel| pixel.0[3] < u8::MAX))
    })
    .await
}

/// The ending of the names of files of a media type that is taken in.
pub fn extension(media_type: &str) -> Option<&'static str> {
    match media_type {
        "image/png" => Some("png"),
        "image/jpeg" => Some("jpg"),
        "image/webp" => Some("webp"),
        _ => None,
    }
}

/// The only way to the decoders: off the runtime, and few at once. A caller that leaves doesn't end the work, so the
/// permit goes along with it.
async fn bounded<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, PictureError> + Send + 'static,
) -> Result<T, PictureError> {
    let permit = DECODING.acquire().await.map_err(|_| PictureError::Undecodable)?;
    let done = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        work()
    });
    done.await.unwrap_or(Err(PictureError::Undecodable))
}

fn decode_text(text: &str) -> Result<Bytes, PictureError> {
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

fn whole(bytes: Bytes) -> Result<Picture, PictureError> {
    let (media_type, extension, _) = format_of(&bytes)?;
    let decoded = decode(&bytes)?;
    Ok(Picture { media_type, extension, width: decoded.width(), height: decoded.height(), bytes })
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
    let pixels = u64::from(width) * u64::from(height);
    if pixels == 0 || width > MAX_SIDE || height > MAX_SIDE || pixels > MAX_PIXELS {
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

    #[tokio::test]
    async fn a_preview_of_noise_keeps_to_its_bounds() {
        let (width, height, preview) = preview(noise(1400, 900).into()).await.unwrap();
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

    /// A PNG with a header alone.
    fn header(width: u32, height: u32) -> Vec<u8> {
        let mut bytes = noise(1, 1);
        bytes[16..20].copy_from_slice(&width.to_be_bytes());
        bytes[20..24].copy_from_slice(&height.to_be_bytes());
        let sum = crc32(&bytes[12..29]);
        bytes[29..33].copy_from_slice(&sum.to_be_bytes());
        bytes
    }

    fn crc32(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(u32::MAX, |crc, byte| {
            (0..8)
                .fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg()))
        })
    }

    #[tokio::test]
    async fn what_is_no_picture_is_named() {
        let mut cut = noise(64, 64);
        cut.truncate(300);
        let cases = [
            ("text", inspect(Bytes::from_static(b"hello there")).await, "not a PNG, JPEG or WebP"),
            ("cut", inspect(Bytes::from(cut)).await, "the PNG image is broken"),
            ("pixels", inspect(header(8192, 8193).into()).await, "64 megapixels"),
            ("side", inspect(header(16_385, 2).into()).await, "at most 16384 on a side"),
            ("url", from_text("https://example.com/a.png".into()).await, "it is a URL"),
            ("junk", from_text("%%%".into()).await, "not base64"),
        ];
        for (name, result, expected) in cases {
            let message = result.unwrap_err().to_string();
            assert!(message.contains(expected), "{name}: {message}");
        }
    }

    #[tokio::test]
    async fn few_pictures_are_decoded_at_once() {
        let all = DECODING.acquire_many(MAX_AT_ONCE as u32).await.unwrap();
        let bytes = Bytes::from(noise(8, 8));
        let mut waiting = [
            Box::pin(async { inspect(bytes.clone()).await.map(drop) }) as futures::future::BoxFuture<'_, _>,
            Box::pin(async { preview(bytes.clone()).await.map(drop) }),
            Box::pin(async { resize(bytes.clone(), 4, 999).await.map(drop) }),
            Box::pin(async { has_transparency(bytes.clone()).await.map(drop) }),
            Box::pin(async { from_text(STANDARD.encode(&bytes)).await.map(drop) }),
        ];
        for (number, picture) in waiting.iter_mut().enumerate() {
            assert!(futures::poll!(picture).is_pending(), "{number} passed by");
        }
        drop(all);
        for picture in waiting {
            picture.await.unwrap();
        }
    }

    #[tokio::test]
    async fn transparency_is_seen_in_pixels_and_not_in_the_format() {
        let encoded = |alpha: u8| {
            let mut picture = image::RgbaImage::from_pixel(4, 4, image::Rgba([1, 2, 3, 255]));
            picture.put_pixel(2, 2, image::Rgba([1, 2, 3, alpha]));
            let mut out = Cursor::new(Vec::new());
            picture.write_to(&mut out, ImageFormat::Png).unwrap();
            Bytes::from(out.into_inner())
        };
        assert!(has_transparency(encoded(254)).await.unwrap());
        assert!(!has_transparency(encoded(255)).await.unwrap());
        assert!(!has_transparency(noise(4, 4).into()).await.unwrap());
    }
}
