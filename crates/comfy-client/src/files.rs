//! Files: uploads into ComfyUI's folders, and fetching what it made.

use std::fmt;

use bytes::{Bytes, BytesMut};
use futures::{StreamExt as _, stream::BoxStream};
use reqwest::{
    Method,
    header::{CONTENT_LENGTH, CONTENT_TYPE},
    multipart::{Form, Part},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    ComfyClient, ComfyError,
    transport::{FIRST_CAPACITY, success},
};

/// A file in one of ComfyUI's folders.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FileRef {
    /// Without folders.
    pub filename: String,
    /// Inside the folder, with forward slashes; empty at its top.
    #[serde(default)]
    pub subfolder: String,
    /// `output`, `input` or `temp`.
    #[serde(rename = "type", default = "output")]
    pub kind: String,
}

impl FileRef {
    /// The object that an output node lists; `None` for something else (a text, a mark).
    pub(crate) fn from_output(item: &Value) -> Option<Self> {
        Self::deserialize(item).ok().filter(|file| !file.filename.is_empty())
    }
}

/// The top folder that an upload goes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Folder {
    /// What `LoadImage` lists.
    #[default]
    Input,
    /// Emptied when ComfyUI starts.
    Temp,
    /// Beside the results.
    Output,
}

impl Folder {
    fn as_str(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Temp => "temp",
            Self::Output => "output",
        }
    }
}

/// What happens when the name is taken by other content. The same content keeps the name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overwrite {
    /// The new file becomes `name (1).png`.
    #[default]
    Never,
    /// The old file is replaced.
    Always,
}

/// A file to upload.
#[derive(Clone, Debug)]
pub struct Upload {
    /// The wanted name; what can't be in one is replaced. ComfyUI may choose another: use the answer's.
    pub filename: String,
    /// Inside `folder`; made if it isn't there.
    pub subfolder: String,
    /// Such as `image/png`.
    pub media_type: String,
    /// The content; ComfyUI takes 100 MB unless it is told otherwise.
    pub bytes: Bytes,
    /// Where to.
    pub folder: Folder,
    /// Whether it may replace another.
    pub overwrite: Overwrite,
}

/// Where ComfyUI put an upload.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Uploaded {
    /// Not always the name that was asked for.
    pub name: String,
    /// Inside the folder.
    #[serde(default)]
    pub subfolder: String,
    /// `input`, `temp` or `output`.
    #[serde(rename = "type", default = "input")]
    pub kind: String,
}

impl Uploaded {
    /// The text for `LoadImage` and its like: `subfolder/name`, followed by ` [output]` or ` [temp]` outside of input.
    pub fn reference(&self) -> String {
        let mut text = self.name.clone();
        if !self.subfolder.is_empty() {
            text = format!("{}/{text}", self.subfolder.trim_end_matches('/'));
        }
        if self.kind != "input" {
            text = format!("{text} [{}]", self.kind);
        }
        text
    }

    /// The same file for [`ComfyClient::view`].
    pub fn file(&self) -> FileRef {
        FileRef { filename: self.name.clone(), subfolder: self.subfolder.clone(), kind: self.kind.clone() }
    }
}

/// A file on its way here.
pub struct ViewStream {
    /// As ComfyUI tells it, `application/octet-stream` if it doesn't.
    pub media_type: String,
    /// Bytes, if known beforehand.
    pub len: Option<u64>,
    /// The content. Not limited in size; a pause longer than the request time-out ends it with an error.
    pub stream: BoxStream<'static, Result<Bytes, ComfyError>>,
}

impl ViewStream {
    /// The whole content, or [`ComfyError::TooLarge`] over `limit` bytes.
    pub async fn into_bytes(mut self, limit: usize) -> Result<Bytes, ComfyError> {
        let too_large = || ComfyError::TooLarge { path: "/view".to_owned(), limit };
        let len = self.len.unwrap_or_default();
        if len > limit as u64 {
            return Err(too_large());
        }
        let mut bytes = BytesMut::with_capacity((len as usize).min(FIRST_CAPACITY));
        while let Some(chunk) = self.stream.next().await {
            let chunk = chunk?;
            if bytes.len() + chunk.len() > limit {
                return Err(too_large());
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes.freeze())
    }
}

impl fmt::Debug for ViewStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { media_type, len, stream: _ } = self;
        f.debug_struct("ViewStream").field("media_type", media_type).field("len", len).finish_non_exhaustive()
    }
}

impl ComfyClient {
    /// Puts an image (or any other file) into one of ComfyUI's folders.
    pub async fn upload_image(&self, upload: Upload) -> Result<Uploaded, ComfyError> {
        self.upload(&["upload", "image"], upload, None).await
    }

    /// Puts a mask there: a copy of `original` whose alpha channel is the alpha channel of the upload.
    ///
    /// ComfyUI answers with success and writes nothing when `original` doesn't exist.
    pub async fn upload_mask(&self, original: &FileRef, upload: Upload) -> Result<Uploaded, ComfyError> {
        self.upload(&["upload", "mask"], upload, Some(original)).await
    }

    async fn upload(
        &self,
        path: &[&str],
        upload: Upload,
        original: Option<&FileRef>,
    ) -> Result<Uploaded, ComfyError> {
        let within = self.http.upload_timeout(upload.bytes.len());
        let request = self.http.request(Method::POST, path).multipart(form(upload, original)?);
        self.http.fetch(request, path, within).await
    }

    /// Fetches a file. 404 when it isn't there.
    pub async fn view(&self, file: &FileRef) -> Result<ViewStream, ComfyError> {
        const PATH: &[&str] = &["view"];
        let query = [("filename", &file.filename), ("subfolder", &file.subfolder), ("type", &file.kind)];
        let request = self.http.request(Method::GET, PATH).query(&query);
        let answer = async { success(self.http.send(request, PATH).await?, PATH).await };
        let response = self.http.within(PATH, self.http.request_timeout, answer).await?;
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        let media_type = header(CONTENT_TYPE).unwrap_or("application/octet-stream").to_owned();
        let len = header(CONTENT_LENGTH).and_then(|len| len.parse().ok());
        let http = self.http.clone();
        let stream = futures::stream::try_unfold(response, move |mut response| {
            let http = http.clone();
            async move {
                let chunk = async { response.chunk().await.map_err(|error| http.failure(error, PATH)) };
                let chunk = http.within(PATH, http.request_timeout, chunk).await?;
                Ok(chunk.map(|chunk| (chunk, response)))
            }
        });
        Ok(ViewStream { media_type, len, stream: stream.boxed() })
    }
}

fn form(upload: Upload, original: Option<&FileRef>) -> Result<Form, ComfyError> {
    let len = upload.bytes.len() as u64;
    let part = Part::stream_with_length(upload.bytes, len)
        .file_name(plain_name(&upload.filename))
        .mime_str(&upload.media_type)
        .map_err(|_| ComfyError::InvalidArgument(format!("{:?} is not a media type", upload.media_type)))?;
    let mut form = Form::new()
        // ComfyUI doesn't decode names: `ü` would stay `%C3%BC`.
        .percent_encode_noop()
        .part("image", part)
        .text("type", upload.folder.as_str());
    if !upload.subfolder.is_empty() {
        form = form.text("subfolder", upload.subfolder);
    }
    if upload.overwrite == Overwrite::Always {
        form = form.text("overwrite", "true");
    }
    if let Some(original) = original {
        let reference = serde_json::to_string(original)
            .map_err(|_| ComfyError::InvalidArgument("the original can't be named in JSON".to_owned()))?;
        form = form.text("original_ref", reference);
    }
    Ok(form)
}

/// A name that survives a form header and is no path; at most 200 bytes, with its extension.
fn plain_name(name: &str) -> String {
    const MAX: usize = 200;
    let name = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let clean = |c: char| if c.is_control() || "\"<>:|?*%".contains(c) { '_' } else { c };
    let name: String = name.trim().trim_start_matches('.').chars().map(clean).collect();
    if name.is_empty() {
        return "upload".to_owned();
    }
    if name.len() <= MAX {
        return name;
    }
    let extension = name.rfind('.').map(|at| &name[at..]).filter(|extension| extension.len() <= 16);
    let extension = extension.unwrap_or_default();
    format!("{}{extension}", &name[..name.floor_char_boundary(MAX - extension.len())])
}

fn output() -> String {
    "output".to_owned()
}

fn input() -> String {
    "input".to_owned()
}

#[cfg(test)]
mod tests {
    use super::{Uploaded, plain_name};

    #[test]
    fn names_are_made_harmless() {
        let check = |name: &str, expect: &str| assert_eq!(plain_name(name), expect, "{name:?}");
        check("cat.png", "cat.png");
        check("ünï cödé (1).png", "ünï cödé (1).png");
        check("../../etc/passwd", "passwd");
        check("C:\\pictures\\cat.png", "cat.png");
        check("a\"b\r\nc.png", "a_b__c.png");
        check("..", "upload");
        check("", "upload");
        let long = plain_name(&format!("{}.png", "ü".repeat(300)));
        assert!(long.len() <= 200 && long.ends_with("ü.png"), "{long}");
    }

    #[test]
    fn references_name_folder_and_place() {
        let check = |name: &str, subfolder: &str, kind: &str, expect: &str| {
            let uploaded =
                Uploaded { name: name.to_owned(), subfolder: subfolder.to_owned(), kind: kind.to_owned() };
            assert_eq!(uploaded.reference(), expect);
        };
        check("a (1).png", "", "input", "a (1).png");
        check("a.png", "x/y", "input", "x/y/a.png");
        check("a.png", "", "temp", "a.png [temp]");
        check("a.png", "x", "output", "x/a.png [output]");
    }
}
