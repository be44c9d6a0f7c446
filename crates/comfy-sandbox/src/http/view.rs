//! `/view`: a file, or a picture made from it.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::UNIX_EPOCH,
};

use axum::{
    body::Body,
    extract::{Query, State as Shared},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use image::{DynamicImage, RgbaImage};
use jiff::Timestamp;

use super::answers;
use crate::{
    data::{self, DataDir, Kind},
    pictures,
    state::State,
};

type Parameters = HashMap<String, String>;

pub(super) async fn view(
    Shared(state): Shared<Arc<State>>,
    Query(query): Query<Parameters>,
    headers: HeaderMap,
) -> Response {
    let path = match locate(&state.data, &query) {
        Ok(path) => path,
        Err(status) => return answers::empty(status),
    };
    let answer = tokio::task::spawn_blocking(move || answer(&path, &query, &headers)).await;
    answer.ok().flatten().unwrap_or_else(answers::trouble)
}

/// Where the file lies that is asked for.
fn locate(data: &DataDir, query: &Parameters) -> Result<PathBuf, StatusCode> {
    let asked = query.get("filename").ok_or(StatusCode::NOT_FOUND)?;
    let (name, annotated) = data::annotation(asked);
    if name.is_empty() || name.starts_with('/') || name.contains("..") {
        return Err(StatusCode::BAD_REQUEST);
    }
    let named = query.get("type").map_or("output", String::as_str);
    let kind = annotated.or_else(|| Kind::parse(named)).ok_or(StatusCode::BAD_REQUEST)?;
    let subfolder = query.get("subfolder").map_or("", String::as_str);
    let name = Path::new(name).file_name().and_then(|name| name.to_str()).ok_or(StatusCode::NOT_FOUND)?;
    let path = data.resolve(kind, subfolder, name).ok_or(StatusCode::FORBIDDEN)?;
    if path.is_file() { Ok(path) } else { Err(StatusCode::NOT_FOUND) }
}

/// `None` where ComfyUI raises an exception.
fn answer(path: &Path, query: &Parameters, headers: &HeaderMap) -> Option<Response> {
    let name = path.file_name()?.to_str()?;
    let (bytes, media_type) = if let Some(preview) = query.get("preview") {
        preview_of(path, preview)?
    } else if let Some(channel @ ("rgb" | "a")) = query.get("channel").map(String::as_str) {
        (channel_of(path, channel)?, "image/png")
    } else {
        return whole_file(path, name, headers);
    };
    let mut response = Body::from(bytes).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    response.headers_mut().insert(header::CONTENT_DISPOSITION, disposition(name)?);
    Some(response)
}

fn disposition(name: &str) -> Option<HeaderValue> {
    HeaderValue::from_bytes(format!("filename=\"{name}\"").as_bytes()).ok()
}

/// `format;quality`; a format that is neither WebP nor JPEG is WebP.
fn preview_of(path: &Path, preview: &str) -> Option<(Vec<u8>, &'static str)> {
    let picture = pictures::decode(&fs::read(path).ok()?)?;
    let (format, quality) = preview.split_once(';').unwrap_or((preview, "90"));
    if format == "jpeg" {
        let quality = quality.parse::<u8>().unwrap_or(90).clamp(1, 100);
        return Some((pictures::encode_jpeg(&picture.into_rgb8(), quality).ok()?, "image/jpeg"));
    }
    Some((pictures::encode_webp(&picture).ok()?, "image/webp"))
}

fn channel_of(path: &Path, channel: &str) -> Option<Vec<u8>> {
    let picture = pictures::decode(&fs::read(path).ok()?)?;
    if channel == "rgb" {
        return pictures::encode_rgb(&DynamicImage::into_rgb8(picture), &[]).ok();
    }
    let mut alpha: RgbaImage = picture.into_rgba8();
    for pixel in alpha.pixels_mut() {
        pixel.0 = [0, 0, 0, pixel.0[3]];
    }
    pictures::encode_rgba(&alpha, Vec::new()).ok()
}

/// The file as it is, with what a browser's cache and a broken download need.
fn whole_file(path: &Path, name: &str, headers: &HeaderMap) -> Option<Response> {
    let bytes = Bytes::from(fs::read(path).ok()?);
    let modified = fs::metadata(path).ok()?.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    let etag = format!("\"{:x}-{:x}\"", modified.as_nanos(), bytes.len());
    let modified = Timestamp::from_second(i64::try_from(modified.as_secs()).ok()?).ok()?;
    let last_modified =
        jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&modified).ok()?;

    let mut response = if is_unchanged(headers, &etag, modified) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ranged(&bytes, headers)
    };
    let out = response.headers_mut();
    let mut set = |name: HeaderName, value: &str| {
        out.insert(name, HeaderValue::from_str(value).unwrap_or(HeaderValue::from_static("")));
    };
    set(header::CONTENT_TYPE, data::media_type(name));
    set(header::ETAG, &etag);
    set(header::LAST_MODIFIED, &last_modified);
    set(header::ACCEPT_RANGES, "bytes");
    response.headers_mut().insert(header::CONTENT_DISPOSITION, disposition(name)?);
    Some(response)
}

fn is_unchanged(headers: &HeaderMap, etag: &str, modified: Timestamp) -> bool {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    if let Some(tags) = text(header::IF_NONE_MATCH) {
        return tags.split(',').any(|tag| tag.trim() == etag || tag.trim() == "*");
    }
    let since = text(header::IF_MODIFIED_SINCE);
    let since = since.and_then(|date| jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(date).ok());
    since.is_some_and(|since| modified <= since)
}

fn ranged(bytes: &Bytes, headers: &HeaderMap) -> Response {
    let asked = headers.get(header::RANGE).and_then(|value| value.to_str().ok());
    let Some(asked) = asked.and_then(|range| range.strip_prefix("bytes=")) else {
        return Body::from(bytes.clone()).into_response();
    };
    let total = bytes.len();
    let range = parse_range(asked, total);
    let Some((from, to)) = range else {
        let content_range = [(header::CONTENT_RANGE, format!("bytes */{total}"))];
        return (StatusCode::RANGE_NOT_SATISFIABLE, content_range).into_response();
    };
    let content_range = [(header::CONTENT_RANGE, format!("bytes {from}-{}/{total}", to - 1))];
    (StatusCode::PARTIAL_CONTENT, content_range, Body::from(bytes.slice(from..to))).into_response()
}

/// One range as `from..to`; `None` when it can't be satisfied.
fn parse_range(range: &str, total: usize) -> Option<(usize, usize)> {
    let (first, last) = range.split_once('-')?;
    let (from, to) = if first.is_empty() {
        (total.saturating_sub(last.parse().ok()?), total)
    } else if last.is_empty() {
        (first.parse().ok()?, total)
    } else {
        (first.parse().ok()?, last.parse::<usize>().ok()?.saturating_add(1).min(total))
    };
    (from < to).then_some((from, to))
}
