//! What kind of file an output is. ComfyUI tells it by what its machine knows of endings, which leaves out most of the
//! newer ones.

use comfy_client::OutputFile;

/// Endings with their media types, for files that ComfyUI's nodes save.
const TYPES: [(&str, &str); 30] = [
    ("png", "image/png"),
    ("apng", "image/apng"),
    ("jpg", "image/jpeg"),
    ("jpeg", "image/jpeg"),
    ("webp", "image/webp"),
    ("gif", "image/gif"),
    ("avif", "image/avif"),
    ("bmp", "image/bmp"),
    ("tif", "image/tiff"),
    ("tiff", "image/tiff"),
    ("exr", "image/x-exr"),
    ("mp4", "video/mp4"),
    ("m4v", "video/mp4"),
    ("webm", "video/webm"),
    ("mkv", "video/x-matroska"),
    ("mov", "video/quicktime"),
    ("flac", "audio/flac"),
    ("mp3", "audio/mpeg"),
    ("wav", "audio/wav"),
    ("ogg", "audio/ogg"),
    ("opus", "audio/ogg"),
    ("m4a", "audio/mp4"),
    ("aac", "audio/aac"),
    ("glb", "model/gltf-binary"),
    ("gltf", "model/gltf+json"),
    ("obj", "model/obj"),
    ("stl", "model/stl"),
    ("txt", "text/plain"),
    ("json", "application/json"),
    ("latent", "application/octet-stream"),
];

/// The media type of an output; `told` is what ComfyUI said.
pub(super) fn media_type(output: &OutputFile, told: &str) -> String {
    let ending = output.file.filename.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
    let ending = ending.unwrap_or_default();
    // `SaveAnimatedPNG` gives its files the ending of still ones.
    if ending == "png" && output.animated {
        return "image/apng".to_owned();
    }
    let known = TYPES.iter().find(|(known, _)| *known == ending);
    known.map_or_else(|| told.to_owned(), |(_, media_type)| (*media_type).to_owned())
}

/// Whether a small picture can stand for it.
pub(super) fn is_still(output: &OutputFile, media_type: &str) -> bool {
    !output.animated && ["image/png", "image/jpeg", "image/webp"].contains(&media_type)
}

#[cfg(test)]
mod tests {
    use comfy_client::{FileRef, OutputFile, OutputKind};

    use super::{is_still, media_type};

    #[test]
    fn an_output_is_what_its_ending_says() {
        let check = |name: &str, animated: bool, expected: &str, still: bool| {
            let file = FileRef { filename: name.into(), subfolder: String::new(), kind: "output".into() };
            let output = OutputFile { node: "1".into(), kind: OutputKind::Image, file, animated };
            let found = media_type(&output, "application/x-told");
            assert_eq!((found.as_str(), is_still(&output, &found)), (expected, still), "{name}");
        };
        check("a_00001_.png", false, "image/png", true);
        check("a_00001_.png", true, "image/apng", false);
        check("A.WEBP", false, "image/webp", true);
        check("a.webp", true, "image/webp", false);
        check("a.gif", false, "image/gif", false);
        check("a.mp4", true, "video/mp4", false);
        check("a.opus", false, "audio/ogg", false);
        check("mesh.glb", false, "model/gltf-binary", false);
        check("notes.txt", false, "text/plain", false);
        check("unheard.of", false, "application/x-told", false);
        check("none", false, "application/x-told", false);
    }
}
