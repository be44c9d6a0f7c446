//! `/upload/image` and `/upload/mask`.

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use axum::{
    body::Body,
    extract::{FromRequest, Multipart, Request, State as Shared},
    http::StatusCode,
    response::Response,
};
use bytes::Bytes;
use serde_json::{Value, json};

use super::answers;
use crate::{
    data::{self, DataDir, Kind},
    pictures,
    state::State,
};

/// A form that was uploaded.
struct Form {
    name: String,
    bytes: Bytes,
    fields: HashMap<String, String>,
}

/// Why an upload was not taken.
enum Refusal {
    /// 400 without a word.
    Bad,
    /// An exception.
    Trouble,
}

impl From<io::Error> for Refusal {
    fn from(_: io::Error) -> Self {
        Self::Trouble
    }
}

pub(super) async fn image(Shared(state): Shared<Arc<State>>, request: Request) -> Response {
    upload(state, request, |_, form| Ok(form.bytes.clone())).await
}

/// Takes the alpha channel of the upload into the picture that `original_ref` names, and saves that.
pub(super) async fn mask(Shared(state): Shared<Arc<State>>, request: Request) -> Response {
    upload(state, request, masked).await
}

async fn upload(
    state: Arc<State>,
    request: Request,
    content: fn(&DataDir, &Form) -> Result<Bytes, Refusal>,
) -> Response {
    let form = match read_form(request, state.max_body_bytes).await {
        Ok(Some(form)) => form,
        Ok(None) => return answers::empty(StatusCode::BAD_REQUEST),
        Err(answer) => return answer,
    };
    let stored = tokio::task::spawn_blocking(move || store(&state.data, &form, content)).await;
    match stored {
        Ok(Ok(answer)) => answers::json(&answer),
        Ok(Err(Refusal::Bad)) => answers::empty(StatusCode::BAD_REQUEST),
        Ok(Err(Refusal::Trouble)) | Err(_) => answers::trouble(),
    }
}

/// The form with its file; `None` when there is no file under `image`.
async fn read_form(request: Request, limit: usize) -> Result<Option<Form>, Response> {
    let (parts, body) = request.into_parts();
    let bytes = answers::body(body, limit).await?;
    let request = Request::from_parts(parts, Body::from(bytes));
    let Ok(mut multipart) = Multipart::from_request(request, &()).await else { return Ok(None) };
    let mut file = None;
    let mut fields = HashMap::new();
    while let Some(field) = multipart.next_field().await.map_err(|_| answers::trouble())? {
        let name = field.name().unwrap_or_default().to_owned();
        let file_name = field.file_name().map(str::to_owned);
        let bytes = field.bytes().await.map_err(|_| answers::trouble())?;
        match file_name {
            Some(file_name) if name == "image" => file = Some((file_name, bytes)),
            _ => {
                fields.insert(name, String::from_utf8_lossy(&bytes).into_owned());
            }
        }
    }
    let file = file.filter(|(_, bytes)| !bytes.is_empty());
    Ok(file.map(|(name, bytes)| Form { name, bytes, fields }))
}

fn store(
    data: &DataDir,
    form: &Form,
    content: fn(&DataDir, &Form) -> Result<Bytes, Refusal>,
) -> Result<Value, Refusal> {
    let field = |name: &str| form.fields.get(name).map(String::as_str);
    let kind = field("type").map_or(Ok(Kind::Input), |kind| Kind::parse(kind).ok_or(Refusal::Trouble))?;
    let subfolder = field("subfolder").unwrap_or_default();
    // ComfyUI makes the subfolder but not a folder within the name, and fails at a name without a file.
    let folder = data.resolve(kind, subfolder, "").ok_or(Refusal::Bad)?;
    if Path::new(&form.name).is_absolute() {
        return Err(Refusal::Trouble);
    }
    let path = data.resolve(kind, subfolder, &form.name).ok_or(Refusal::Bad)?;
    if form.name.is_empty() || path.parent() != Some(folder.as_path()) {
        return Err(Refusal::Trouble);
    }
    fs::create_dir_all(&folder)?;
    let overwrites = field("overwrite").is_some_and(|overwrite| overwrite == "true" || overwrite == "1");
    let (path, name) =
        if overwrites { (path, form.name.clone()) } else { free_name(&folder, &form.name, &form.bytes)? };
    if overwrites || !path.exists() {
        match content(data, form) {
            Ok(bytes) => fs::write(&path, bytes)?,
            // A mask for a picture that isn't there: ComfyUI says that all is well, and writes nothing.
            Err(Refusal::Bad) => {}
            Err(refusal) => return Err(refusal),
        }
    }
    Ok(json!({"name": name, "subfolder": subfolder, "type": kind.name()}))
}

/// The name itself, or `name (1)` and so on when a file with other content has it.
fn free_name(folder: &Path, name: &str, bytes: &[u8]) -> Result<(PathBuf, String), Refusal> {
    let (stem, extension) = match name.rfind('.') {
        Some(dot) if dot > 0 => name.split_at(dot),
        _ => (name, ""),
    };
    let mut free = name.to_owned();
    for count in 1_u32.. {
        let path = folder.join(&free);
        if !path.exists() || fs::read(&path)? == bytes {
            return Ok((path, free));
        }
        free = format!("{stem} ({count}){extension}");
    }
    Err(Refusal::Trouble)
}

fn masked(data: &DataDir, form: &Form) -> Result<Bytes, Refusal> {
    let reference = form.fields.get("original_ref").and_then(|text| serde_json::from_str::<Value>(text).ok());
    let reference = reference.ok_or(Refusal::Trouble)?;
    let name = reference["filename"].as_str().ok_or(Refusal::Trouble)?;
    let (name, annotated) = data::annotation(name);
    let named = || Kind::parse(reference["type"].as_str().unwrap_or("output"));
    let kind = annotated.or_else(named).ok_or(Refusal::Bad)?;
    let path = data.resolve(kind, reference["subfolder"].as_str().unwrap_or_default(), name);
    let original = path.and_then(|path| fs::read(path).ok()).ok_or(Refusal::Bad)?;
    let picture = pictures::decode(&original).ok_or(Refusal::Trouble)?;
    let mask = pictures::decode(&form.bytes).ok_or(Refusal::Trouble)?.into_rgba8();
    let mut picture = picture.into_rgba8();
    if picture.dimensions() != mask.dimensions() {
        return Err(Refusal::Trouble);
    }
    for (pixel, mask) in picture.pixels_mut().zip(mask.pixels()) {
        pixel.0[3] = mask.0[3];
    }
    let texts = pictures::text_chunks(&original);
    pictures::encode_rgba(&picture, texts).map(Bytes::from).map_err(|_| Refusal::Trouble)
}
