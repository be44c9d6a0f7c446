//! Binary websocket frames: previews and texts.

use bytes::{Buf as _, Bytes};
use serde::Deserialize;
use workflow_analyzer::NodeId;

/// A parsed frame. Images are slices of the frame, not copies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    /// Types 1 and 4.
    Preview {
        /// Only type 4 says whose it is.
        prompt_id: Option<String>,
        media_type: &'static str,
        image: Bytes,
    },
    /// Type 3; it doesn't say whose it is.
    Text { node: NodeId, text: String },
    /// A type that isn't known.
    Other(u32),
}

/// Why a frame can't be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("the frame ends too early")]
    Truncated,
    #[error("the image is neither jpeg, png nor webp")]
    ImageType,
    #[error("the metadata is not what comfyui sends")]
    Metadata,
    #[error("the text is not utf-8")]
    Text,
}

#[derive(Deserialize)]
struct Metadata {
    #[serde(default)]
    prompt_id: Option<String>,
    image_type: String,
}

/// Reads one frame: a big-endian `u32` type, and what belongs to it.
pub(crate) fn parse(mut frame: Bytes) -> Result<Frame, FrameError> {
    match take_u32(&mut frame)? {
        1 => {
            let media_type = match take_u32(&mut frame)? {
                1 => "image/jpeg",
                2 => "image/png",
                _ => return Err(FrameError::ImageType),
            };
            Ok(Frame::Preview { prompt_id: None, media_type, image: not_empty(frame)? })
        }
        3 => {
            let node = take_prefixed(&mut frame)?;
            let text = |bytes: Bytes| String::from_utf8(bytes.into()).map_err(|_| FrameError::Text);
            Ok(Frame::Text { node: text(node)?, text: text(frame)? })
        }
        4 => {
            let metadata = take_prefixed(&mut frame)?;
            let metadata: Metadata = serde_json::from_slice(&metadata).map_err(|_| FrameError::Metadata)?;
            let media_type = match metadata.image_type.as_str() {
                "image/jpeg" => "image/jpeg",
                "image/png" => "image/png",
                "image/webp" => "image/webp",
                _ => return Err(FrameError::ImageType),
            };
            Ok(Frame::Preview { prompt_id: metadata.prompt_id, media_type, image: not_empty(frame)? })
        }
        other => Ok(Frame::Other(other)),
    }
}

fn take_u32(frame: &mut Bytes) -> Result<u32, FrameError> {
    frame.try_get_u32().map_err(|_| FrameError::Truncated)
}

fn take_prefixed(frame: &mut Bytes) -> Result<Bytes, FrameError> {
    let len = usize::try_from(take_u32(frame)?).map_err(|_| FrameError::Truncated)?;
    if len > frame.len() {
        return Err(FrameError::Truncated);
    }
    Ok(frame.split_to(len))
}

fn not_empty(image: Bytes) -> Result<Bytes, FrameError> {
    if image.is_empty() { Err(FrameError::Truncated) } else { Ok(image) }
}

#[cfg(test)]
mod tests {
    use bytes::{BufMut as _, Bytes, BytesMut};
    use proptest::prelude::*;

    use super::{Frame, FrameError, parse};

    fn frame(kind: u32, parts: &[&[u8]]) -> Bytes {
        let mut bytes = BytesMut::new();
        bytes.put_u32(kind);
        for part in parts {
            bytes.put_slice(part);
        }
        bytes.freeze()
    }

    fn prefixed(part: &[u8]) -> Vec<u8> {
        [&(part.len() as u32).to_be_bytes(), part].concat()
    }

    #[test]
    fn recorded_frames() {
        let text = Bytes::from_static(include_bytes!("../fixtures/binary/event3_text.bin"));
        let expect = Frame::Text { node: "2".into(), text: "width: 64, height: 48\n batch size: 2".into() };
        assert_eq!(parse(text), Ok(expect));
        let jpeg = Bytes::from_static(include_bytes!("../fixtures/binary/event1_preview.bin"));
        let Ok(Frame::Preview { prompt_id: None, media_type: "image/jpeg", image }) = parse(jpeg) else {
            panic!("type 1")
        };
        assert!(image.starts_with(&[0xff, 0xd8, 0xff]));
        let png = Bytes::from_static(include_bytes!("../fixtures/binary/event1_png.bin"));
        let Ok(Frame::Preview { media_type: "image/png", image, .. }) = parse(png) else {
            panic!("type 1 png")
        };
        assert!(image.starts_with(b"\x89PNG"));
        let with_metadata = Bytes::from_static(include_bytes!("../fixtures/binary/event4_preview.bin"));
        let Ok(Frame::Preview { prompt_id: Some(id), image, .. }) = parse(with_metadata) else {
            panic!("type 4")
        };
        assert_eq!(id, "c1f2a621-3082-478b-b813-487fb3098d97");
        assert!(image.starts_with(&[0xff, 0xd8, 0xff]));
    }

    #[test]
    fn broken_frames_are_errors() {
        let check = |bytes: Bytes, expect| assert_eq!(parse(bytes), Err(expect));
        check(Bytes::new(), FrameError::Truncated);
        check(Bytes::from_static(&[0, 0, 0]), FrameError::Truncated);
        check(frame(1, &[]), FrameError::Truncated);
        check(frame(1, &[&[0, 0, 0, 1]]), FrameError::Truncated);
        check(frame(1, &[&[0, 0, 0, 9], b"x"]), FrameError::ImageType);
        check(frame(3, &[&[0xff, 0xff, 0xff, 0xff], b"2"]), FrameError::Truncated);
        check(frame(3, &[&prefixed(b"2"), b"\xff"]), FrameError::Text);
        check(frame(4, &[&prefixed(b"{"), b"x"]), FrameError::Metadata);
        check(frame(4, &[&prefixed(br#"{"image_type":"text/html"}"#), b"x"]), FrameError::ImageType);
        check(frame(4, &[&prefixed(br#"{"image_type":"image/png"}"#)]), FrameError::Truncated);
        assert_eq!(parse(frame(77, &[b"anything"])), Ok(Frame::Other(77)));
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(kind in 0u32..6, rest in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = parse(frame(kind, &[&rest]));
        }

        #[test]
        fn what_is_written_is_read(node in "[0-9:.]{0,12}", text in ".{0,40}", image in prop::collection::vec(any::<u8>(), 1..64)) {
            let written = frame(3, &[&prefixed(node.as_bytes()), text.as_bytes()]);
            prop_assert_eq!(parse(written), Ok(Frame::Text { node, text: text.clone() }));
            let metadata = serde_json::json!({ "prompt_id": text, "image_type": "image/webp" }).to_string();
            let written = frame(4, &[&prefixed(metadata.as_bytes()), &image]);
            let expect = Frame::Preview { prompt_id: Some(text), media_type: "image/webp", image: image.into() };
            prop_assert_eq!(parse(written), Ok(expect));
        }
    }
}
