use std::io::Write as _;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use proptest::prelude::*;
use serde_json::json;

use super::{MAX_TEXT, Metadata, MetadataError, PNG, read};

const PROMPT: &str = r#"{"3": {"class_type": "KSampler", "inputs": {"cfg": NaN, "text": "a \"NaN\" \\"}}}"#;

fn chunk(kind: &[u8], data: &[u8]) -> Vec<u8> {
    let length = u32::try_from(data.len()).unwrap().to_be_bytes();
    [&length[..], kind, data, b"\0\0\0\0"].concat()
}

fn png(chunks: &[Vec<u8>]) -> Vec<u8> {
    [PNG.to_vec(), chunk(b"IHDR", &[0; 13]), chunks.concat(), chunk(b"IEND", b"")].concat()
}

fn deflated(text: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

/// A WebP file with one directory of texts.
fn webp(texts: &[&str], big_endian: bool) -> Vec<u8> {
    let short = |number: u16| if big_endian { number.to_be_bytes() } else { number.to_le_bytes() };
    let long = |number: usize| {
        let number = u32::try_from(number).unwrap();
        if big_endian { number.to_be_bytes() } else { number.to_le_bytes() }
    };
    let mut tiff = if big_endian { b"MM\0*".to_vec() } else { b"II*\0".to_vec() };
    tiff.extend(long(8));
    tiff.extend(short(u16::try_from(texts.len()).unwrap()));
    let mut place = 8 + 2 + 12 * texts.len() + 4;
    for text in texts {
        tiff.extend([short(0x10f), short(2)].concat());
        tiff.extend([long(text.len() + 1), long(place)].concat());
        place += text.len() + 1;
    }
    tiff.extend(long(0));
    for text in texts {
        tiff.extend(text.bytes().chain([0]));
    }
    let exif = [b"EXIF", &u32::try_from(tiff.len()).unwrap().to_le_bytes()[..], &tiff].concat();
    let odd = [b"VP8 ", &3_u32.to_le_bytes()[..], b"abc\0"].concat();
    [&b"RIFF\0\0\0\0WEBP"[..], &odd, &exif].concat()
}

#[test]
fn every_spelling_of_a_text_in_a_png_is_read() {
    let expected = json!({"3": {"class_type": "KSampler", "inputs": {"cfg": null, "text": "a \"NaN\" \\"}}});
    let packed = deflated(PROMPT.as_bytes());
    for chunk in [
        chunk(b"tEXt", &[b"prompt\0", PROMPT.as_bytes()].concat()),
        chunk(b"zTXt", &[b"prompt\0\0", &packed[..]].concat()),
        chunk(b"iTXt", &[b"prompt\0\0\0en\0p\0", PROMPT.as_bytes()].concat()),
        chunk(b"iTXt", &[b"prompt\0\x01\0\0\0", &packed[..]].concat()),
    ] {
        let other = super::tests::chunk(b"tEXt", b"Software\0ComfyUI");
        let read = read(&png(&[other, chunk])).unwrap();
        assert_eq!(read, Metadata { prompt: Some(expected.clone()), workflow: None });
    }
}

#[test]
fn the_texts_of_a_webp_are_read_in_both_orders_of_bytes() {
    let workflow = format!("workflow:{}", json!({"nodes": [], "links": []}));
    let prompt = format!("prompt:{PROMPT}");
    for big_endian in [false, true] {
        let read = read(&webp(&["a camera", &workflow, &prompt], big_endian)).unwrap();
        assert_eq!(read.workflow, Some(json!({"nodes": [], "links": []})));
        assert_eq!(read.prompt.unwrap()["3"]["class_type"], "KSampler");
    }
}

#[test]
fn a_document_is_told_by_what_it_holds() {
    let graph = json!({"1": {"class_type": "A", "inputs": {}}});
    let editor = json!({"nodes": [], "links": []});
    let both = json!({"prompt": graph, "workflow": editor});
    for (document, prompt, workflow) in [(&graph, true, false), (&editor, false, true), (&both, true, true)] {
        let read = read(document.to_string().as_bytes()).unwrap();
        assert_eq!((read.prompt.is_some(), read.workflow.is_some()), (prompt, workflow), "{document}");
    }
}

#[test]
fn what_gives_no_workflow_says_why() {
    let text = |text: &[u8]| png(&[chunk(b"tEXt", &[b"prompt\0", text].concat())]);
    let bomb = deflated(&vec![b' '; MAX_TEXT + 1]);
    let cases = [
        (b"GIF89a".to_vec(), "neither"),
        (Vec::new(), "neither"),
        (png(&[]), "holds no workflow"),
        (webp(&["a camera"], false), "holds no workflow"),
        (text(b"{\"a\":"), "not JSON"),
        (text(b"[1]"), "holds no workflow"),
        (png(&[chunk(b"zTXt", &[b"workflow\0\0", &bomb[..]].concat())]), "longer than"),
    ];
    for (bytes, expected) in cases {
        let error = read(&bytes).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
    assert!(matches!(read(b"{} x"), Err(MetadataError::NotJson { key: "document", .. })));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes: Vec<u8>, cut in 0_usize..400, at in 0_usize..400, byte: u8) {
        let _ = read(&bytes);
        let whole = webp(&["prompt:{}", "workflow:{}"], bytes.len() % 2 == 0);
        let png = png(&[chunk(b"iTXt", b"prompt\0\x01\0\0\0abc"), chunk(b"tEXt", b"prompt\0{}")]);
        for mut file in [whole, png] {
            if let Some(place) = file.get_mut(at) {
                *place = byte;
            }
            file.truncate(file.len().saturating_sub(cut));
            let _ = read(&file);
        }
    }
}

fn stripped(bytes: &[u8], piece: usize) -> Vec<u8> {
    let mut stripper = super::PngStripper::default();
    let mut kept: Vec<u8> = bytes.chunks(piece).flat_map(|piece| stripper.push(piece)).collect();
    kept.extend(stripper.finish());
    kept
}

#[test]
fn the_texts_of_a_png_are_taken_out_and_nothing_else() {
    let pixels = || chunk(b"IDAT", &[7; 100]);
    let texts = [b"tEXt", b"zTXt", b"iTXt", b"eXIf", b"comf"].map(|kind| chunk(kind, b"prompt\0{}"));
    let full = [texts[..2].concat(), pixels(), texts[2..].concat(), chunk(b"pHYs", &[0; 9])];
    let plain = png(&[pixels(), chunk(b"pHYs", &[0; 9])]);
    for piece in [1, 7, 8, 1000] {
        assert_eq!(stripped(&png(&full), piece), plain);
        assert_eq!(stripped(&plain, piece), plain);
        assert_eq!(stripped(&plain[..plain.len() - 15], piece), plain[..plain.len() - 15], "cut off");
        assert_eq!(stripped(b"RIFF is another kind of file", piece), b"RIFF is another kind of file");
        assert_eq!(stripped(b"\x89PN", piece), b"\x89PN");
    }
}

#[test]
fn a_text_that_comes_again_and_again_is_read_once() {
    let zeros = [b"[0".as_slice(), b",0".repeat(MAX_TEXT / 2 - 10).as_slice(), b"]"].concat();
    let again = chunk(b"zTXt", &[b"prompt\0\0", deflated(&zeros).as_slice()].concat());
    let started = std::time::Instant::now();
    let error = read(&png(&vec![again; 500])).unwrap_err();
    assert_eq!(error, MetadataError::NoWorkflow);
    assert!(started.elapsed().as_secs() < 60, "{:?}", started.elapsed());
}
