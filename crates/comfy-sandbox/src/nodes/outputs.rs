//! Nodes that read and write files, and those that show something.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use image::{DynamicImage, GrayImage, RgbImage};
use serde_json::{Value as Json, json};

use super::{
    Context, Produced, check_size,
    inputs::{Failure, Inputs},
    values::Value,
};
use crate::{
    data::{DataDir, Kind},
    digest::Digest,
    pictures, python,
};

/// How large a file is read.
const MAX_FILE_BYTES: u64 = 256 * 1024 * 1024;

/// Runs a node that reads, writes or shows; `None` for a class that does not.
pub(super) fn run(class_type: &str, inputs: &Inputs, cx: &Context<'_>) -> Option<Result<Produced, Failure>> {
    Some(match class_type {
        "LoadImage" => load_image(inputs, cx.data),
        "LoadImageMask" => load_mask(inputs, cx.data),
        "SaveImage" => {
            inputs.text("filename_prefix").and_then(|prefix| save(inputs, cx, Kind::Output, prefix))
        }
        "SaveAnimatedPNG" => save_animated(inputs, cx),
        "PreviewImage" => {
            let prefix = format!("ComfyUI_temp_{}", random_letters());
            save(inputs, cx, Kind::Temp, &prefix)
        }
        "SaveImageWebsocket" => send(inputs),
        "PreviewAny" => preview_any(inputs),
        _ => return None,
    })
}

/// The content of the file that a node reads; something new each time for a node that must run each time.
pub(super) fn fingerprint(class_type: &str, inputs: &Json, data: &DataDir) -> Option<Digest> {
    match class_type {
        "LoadImage" | "LoadImageMask" => {
            let path = data.resolve_annotated(inputs["image"].as_str()?)?;
            Some(Digest::of("file").with(read_file(&path).ok()?))
        }
        "SaveImageWebsocket" => Some(Digest::of("always").with(uuid::Uuid::new_v4().as_bytes())),
        _ => None,
    }
}

fn load(inputs: &Inputs, data: &DataDir) -> Result<DynamicImage, Failure> {
    let name = inputs.text("image")?;
    let path = data.resolve_annotated(name).ok_or_else(|| {
        Failure::new("FileNotFoundError", format!("no such file in the input folder: '{name}'"))
    })?;
    let bytes = read_file(&path)?;
    let picture = pictures::decode(&bytes).ok_or_else(|| {
        let path = python::repr(&Json::String(path.display().to_string()));
        Failure::new("PIL.UnidentifiedImageError", format!("cannot identify image file {path}\n"))
    })?;
    check_size(picture.width(), picture.height(), 1)?;
    Ok(picture)
}

fn read_file(path: &Path) -> Result<Vec<u8>, Failure> {
    let failed = |error: std::io::Error| Failure::new("OSError", error.to_string());
    if fs::metadata(path).map_err(failed)?.len() > MAX_FILE_BYTES {
        return Err(Failure::new("OSError", "the file is over the sandbox's limit"));
    }
    fs::read(path).map_err(failed)
}

/// What ComfyUI gives as the mask of a picture that has none.
fn no_mask() -> GrayImage {
    GrayImage::new(64, 64)
}

fn load_image(inputs: &Inputs, data: &DataDir) -> Result<Produced, Failure> {
    let picture = load(inputs, data)?;
    let mask =
        if picture.color().has_alpha() { channel(&picture, 3, |alpha| 255 - alpha) } else { no_mask() };
    let images = Value::Images(Arc::new(vec![picture.into_rgb8()]));
    Ok(Produced::many([images, Value::Masks(Arc::new(vec![mask]))]))
}

fn load_mask(inputs: &Inputs, data: &DataDir) -> Result<Produced, Failure> {
    let picture = load(inputs, data)?;
    let mask = match inputs.text("channel")? {
        "alpha" if picture.color().has_alpha() => channel(&picture, 3, |alpha| 255 - alpha),
        "alpha" => no_mask(),
        "green" => channel(&picture, 1, |green| green),
        "blue" => channel(&picture, 2, |blue| blue),
        _ => channel(&picture, 0, |red| red),
    };
    Ok(Produced::one(Value::Masks(Arc::new(vec![mask]))))
}

fn channel(picture: &DynamicImage, index: usize, map: impl Fn(u8) -> u8) -> GrayImage {
    let rgba = picture.to_rgba8();
    let bytes = rgba.as_raw().chunks_exact(4).map(|pixel| map(pixel[index])).collect();
    GrayImage::from_raw(rgba.width(), rgba.height(), bytes).unwrap_or_default()
}

fn save(inputs: &Inputs, cx: &Context<'_>, kind: Kind, prefix: &str) -> Result<Produced, Failure> {
    let pictures = inputs.images("images")?;
    let metadata = metadata(cx);
    let mut files = Files::new(cx.data, kind, prefix, pictures)?;
    let mut shown = Vec::new();
    for (index, picture) in pictures.iter().enumerate() {
        let (path, name) = files.next(index);
        let bytes =
            pictures::encode_rgb(picture, &metadata).map_err(|error| Failure::runtime(error.to_string()))?;
        fs::write(path, bytes).map_err(|error| Failure::new("OSError", error.to_string()))?;
        shown.push(json!({"filename": name, "subfolder": files.subfolder, "type": kind.name()}));
    }
    Ok(Produced { ui: Some(json!({"images": shown})), ..Produced::default() })
}

/// All pictures as one that moves. The compression level is taken and not followed: it changes no pixel.
fn save_animated(inputs: &Inputs, cx: &Context<'_>) -> Result<Produced, Failure> {
    let pictures = inputs.images("images")?;
    let mut files = Files::new(cx.data, Kind::Output, inputs.text("filename_prefix")?, pictures)?;
    let (path, name) = files.next(0);
    let bytes = pictures::encode_animation(pictures, inputs.number("fps")?, &metadata(cx))
        .map_err(|error| Failure::runtime(error.to_string()))?;
    fs::write(path, bytes).map_err(|error| Failure::new("OSError", error.to_string()))?;
    let shown = json!({"filename": name, "subfolder": files.subfolder, "type": Kind::Output.name()});
    let ui = json!({"images": [shown], "animated": [pictures.len() != 1]});
    Ok(Produced { ui: Some(ui), ..Produced::default() })
}

fn metadata(cx: &Context<'_>) -> Vec<(String, Json)> {
    let mut metadata = vec![("prompt".to_owned(), cx.prompt.clone())];
    for (key, value) in cx.extra_pnginfo.and_then(Json::as_object).into_iter().flatten() {
        // A keyword of a text chunk has 1 to 79 Latin-1 characters.
        if !key.is_empty() && key.len() < 80 && key.is_ascii() {
            metadata.push((key.clone(), value.clone()));
        }
    }
    metadata
}

/// The names of the files that a prefix stands for: `prefix_00001_.png` and so on, after those that are there.
struct Files {
    folder: PathBuf,
    subfolder: String,
    stem: String,
    counter: u64,
}

impl Files {
    fn new(data: &DataDir, kind: Kind, prefix: &str, pictures: &[RgbImage]) -> Result<Self, Failure> {
        let prefix = expand(prefix, pictures);
        let outside = || {
            Failure::new("Exception", "**** ERROR: Saving image outside the output folder is not allowed.")
        };
        let path = data.resolve(kind, "", &prefix).ok_or_else(outside)?;
        let (Some(folder), Some(stem)) = (path.parent(), path.file_name()) else { return Err(outside()) };
        let folder = if path == data.folder(kind) { path.clone() } else { folder.to_owned() };
        let stem = if folder == path { String::new() } else { stem.to_string_lossy().into_owned() };
        fs::create_dir_all(&folder).map_err(|error| Failure::new("OSError", error.to_string()))?;
        let subfolder = folder.strip_prefix(data.folder(kind)).unwrap_or(Path::new(""));
        let subfolder = subfolder.to_string_lossy().into_owned();
        let counter = last_counter(&folder, &stem) + 1;
        Ok(Self { folder, subfolder, stem, counter })
    }

    fn next(&mut self, index: usize) -> (PathBuf, String) {
        let stem = self.stem.replace("%batch_num%", &index.to_string());
        let name = format!("{stem}_{:05}_.png", self.counter);
        self.counter += 1;
        (self.folder.join(&name), name)
    }
}

/// The highest counter among the files with this stem; 0 if there are none.
fn last_counter(folder: &Path, stem: &str) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let names = entries.filter_map(Result::ok).filter_map(|entry| entry.file_name().into_string().ok());
    let counter =
        |name: String| name.strip_prefix(stem)?.strip_prefix('_')?.split('_').next()?.parse::<u64>().ok();
    names.filter_map(counter).max().unwrap_or(0)
}

/// Fills in the size and the date.
fn expand(prefix: &str, pictures: &[RgbImage]) -> String {
    if !prefix.contains('%') {
        return prefix.to_owned();
    }
    let (width, height) = pictures.first().map_or((0, 0), RgbImage::dimensions);
    let now = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC);
    let two = |number: i8| format!("{number:02}");
    [
        ("%width%", width.to_string()),
        ("%height%", height.to_string()),
        ("%year%", now.year().to_string()),
        ("%month%", two(now.month())),
        ("%day%", two(now.day())),
        ("%hour%", two(now.hour())),
        ("%minute%", two(now.minute())),
        ("%second%", two(now.second())),
    ]
    .iter()
    .fold(prefix.to_owned(), |prefix, (name, value)| prefix.replace(name, value))
}

fn send(inputs: &Inputs) -> Result<Produced, Failure> {
    let encode = |picture: &RgbImage| {
        pictures::encode_rgb(picture, &[])
            .map(Bytes::from)
            .map_err(|error| Failure::runtime(error.to_string()))
    };
    let sent_images = inputs.images("images")?.iter().map(encode).collect::<Result<_, _>>()?;
    Ok(Produced { sent_images, ..Produced::default() })
}

fn preview_any(inputs: &Inputs) -> Result<Produced, Failure> {
    let text = match inputs.value("source")? {
        Value::Plain(Json::Bool(flag)) => flag.to_string(),
        Value::Plain(value) => python::text(value),
        other => format!("<{}>", other.kind()),
    };
    Ok(Produced { ui: Some(json!({"text": [text]})), ..Produced::default() })
}

/// Five letters that tell one PreviewImage's files from another's.
fn random_letters() -> String {
    let letter = |byte: &u8| char::from(b'a' + byte % 26);
    uuid::Uuid::new_v4().as_bytes().iter().take(5).map(letter).collect()
}
