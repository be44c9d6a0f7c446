//! What the cases speak with: plain HTTP, a websocket, and graphs from the models that the server has.

use std::sync::LazyLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::{SinkExt as _, StreamExt as _};
use reqwest::multipart::{Form, Part};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use url::Url;

use super::Outcome;

/// How long any one answer or event may take; a real one on a CPU is slow.
const PATIENCE: Duration = Duration::from_mins(1);

static HTTP: LazyLock<Result<reqwest::Client, String>> = LazyLock::new(|| {
    // The client wants a TLS library even for plain HTTP; an error says that there is one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().map_err(text)
});

/// The first model of each kind that the cases need.
pub(super) struct Models {
    checkpoint: Value,
    pub(super) lora: Value,
    pub(super) control_net: Value,
}

impl Models {
    pub(super) async fn of(url: &Url) -> Result<Self, String> {
        Ok(Self {
            checkpoint: model(url, "CheckpointLoaderSimple", "ckpt_name").await?,
            lora: model(url, "LoraLoader", "lora_name").await?,
            control_net: model(url, "ControlNetLoader", "control_net_name").await?,
        })
    }

    /// Text to a picture of this size, in two steps, with a seed that was never used.
    pub(super) fn txt2img(&self, size: u32) -> Value {
        json!({
            "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": self.checkpoint}},
            "5": {"class_type": "EmptyLatentImage", "inputs": {"width": size, "height": size, "batch_size": 1}},
            "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a lighthouse", "clip": ["4", 1]}},
            "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "blurry", "clip": ["4", 1]}},
            "3": {"class_type": "KSampler", "inputs": {
                "seed": seed(), "steps": 2, "cfg": 2.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0,
                "model": ["4", 0], "positive": ["6", 0], "negative": ["7", 0], "latent_image": ["5", 0]}},
            "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 2]}},
            "9": {"class_type": "SaveImage", "inputs": {"filename_prefix": "contract", "images": ["8", 0]}},
        })
    }
}

/// The first usable option of a loader's combo, in either of its shapes.
async fn model(url: &Url, class_type: &str, input: &str) -> Result<Value, String> {
    let info = json_of(get(url, &format!("object_info/{class_type}")).await?).await?;
    let spec = &info[class_type]["input"]["required"][input];
    let options = spec[0].as_array().or_else(|| spec[1]["options"].as_array());
    // The live set-up has a checkpoint that is broken on purpose.
    let usable = options.and_then(|options| {
        options.iter().find(|name| !name.as_str().is_some_and(|name| name.starts_with("corrupt")))
    });
    usable.cloned().ok_or_else(|| format!("{class_type} has no models"))
}

/// A picture of one colour, scaled and saved: no model needed.
pub(super) fn image_graph(color: u64) -> Value {
    json!({
        "1": {"class_type": "EmptyImage", "inputs": {
            "width": 64, "height": 64, "batch_size": 1, "color": color % 0x0100_0000}},
        "2": {"class_type": "ImageScale", "inputs": {
            "image": ["1", 0], "upscale_method": "nearest-exact", "width": 96, "height": 48, "crop": "disabled"}},
        "3": {"class_type": "SaveImage", "inputs": {"filename_prefix": "contract", "images": ["2", 0]}},
    })
}

/// A PNG whose right half is transparent.
pub(super) fn sample_png(side: u32) -> Vec<u8> {
    let picture = image::RgbaImage::from_fn(side, side, |x, y| {
        image::Rgba([x.to_le_bytes()[0], y.to_le_bytes()[0], 90, if x < side / 2 { 255 } else { 0 }])
    });
    let mut bytes = std::io::Cursor::new(Vec::new());
    // Writing to memory can't fail.
    let _ = picture.write_to(&mut bytes, image::ImageFormat::Png);
    bytes.into_inner()
}

/// A number that no other run has used.
pub(super) fn seed() -> u64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(elapsed.as_nanos() % u128::from(u32::MAX)).unwrap_or_default()
}

/// An open websocket.
pub(super) struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    pub(super) async fn open(url: &Url, path: &str, client_id: &str) -> Result<Self, String> {
        let mut url = url.join(path).map_err(text)?;
        url.set_scheme("ws").map_err(|()| "the base URL is not http")?;
        url.query_pairs_mut().append_pair("clientId", client_id);
        Ok(Self(connect_async(url.as_str()).await.map_err(text)?.0))
    }

    pub(super) async fn send(&mut self, message: &Value) -> Outcome {
        self.0.send(Message::text(message.to_string())).await.map_err(text)
    }

    pub(super) async fn next(&mut self) -> Result<Message, String> {
        let next = tokio::time::timeout(PATIENCE, self.0.next()).await;
        next.map_err(|_| "no event came in time")?.ok_or("the socket ended")?.map_err(text)
    }

    /// The next text message.
    pub(super) async fn event(&mut self) -> Result<Value, String> {
        loop {
            if let Message::Text(text) = self.next().await? {
                return parsed(&text);
            }
        }
    }

    /// Reads on to an event of this type, and gives its data.
    pub(super) async fn until(&mut self, kind: &str) -> Result<Value, String> {
        loop {
            let mut event = self.event().await?;
            if event["type"] == kind {
                return Ok(event["data"].take());
            }
        }
    }

    /// Reads on to the end of a prompt, and gives the types of the text messages on the way.
    pub(super) async fn until_end(&mut self, id: &str) -> Result<Vec<String>, String> {
        let mut kinds = Vec::new();
        loop {
            if let Message::Text(text) = self.next().await? {
                kinds.push(parsed(&text)?["type"].as_str().unwrap_or_default().to_owned());
                if is_end(&text, id) {
                    return Ok(kinds);
                }
            }
        }
    }
}

/// Whether a message says that this prompt is over.
pub(super) fn is_end(message: &str, id: &str) -> bool {
    parsed(message).is_ok_and(|event| {
        event["type"] == "executing" && event["data"]["node"].is_null() && event["data"]["prompt_id"] == id
    })
}

pub(super) fn parsed(message: &str) -> Result<Value, String> {
    serde_json::from_str(message).map_err(text)
}

/// Runs a graph for the client of an open socket: its id, and the types of what came.
pub(super) async fn run_on(
    url: &Url,
    socket: &mut Socket,
    client_id: &str,
    graph: &Value,
) -> Result<(String, Vec<String>), String> {
    let id = submit(url, &json!({"prompt": graph, "client_id": client_id})).await?;
    let kinds = socket.until_end(&id).await?;
    Ok((id, kinds))
}

/// Runs a graph and gives its entry of the history.
pub(super) async fn run(url: &Url, graph: &Value) -> Result<Value, String> {
    let client_id = format!("contract-{}", seed());
    let mut socket = Socket::open(url, "ws", &client_id).await?;
    let (id, _) = run_on(url, &mut socket, &client_id, graph).await?;
    history(url, &id).await
}

pub(super) async fn submit(url: &Url, body: &Value) -> Result<String, String> {
    let answer = json_of(post(url, "prompt", body).await?).await?;
    answer["prompt_id"].as_str().map(str::to_owned).ok_or_else(|| format!("not accepted: {answer}"))
}

/// The answer to a graph that is refused with this error.
pub(super) async fn refused(url: &Url, graph: &Value, kind: &str) -> Result<Value, String> {
    let answer = post(url, "prompt", &json!({"prompt": graph})).await?;
    status(&answer, 400)?;
    let answer = json_of(answer).await?;
    same("error", &answer["error"]["type"], &json!(kind))?;
    Ok(answer)
}

pub(super) async fn history(url: &Url, id: &str) -> Result<Value, String> {
    Ok(json_of(get(url, &format!("history/{id}")).await?).await?[id].take())
}

/// The first picture among the outputs.
pub(super) async fn picture(url: &Url, entry: &Value) -> Result<Vec<u8>, String> {
    let file =
        entry["outputs"].as_object().and_then(|outputs| outputs.values().next()).ok_or("no outputs")?;
    let file = &file["images"][0];
    let field = |name: &str| file[name].as_str().unwrap_or_default().to_owned();
    let mut path = url.join("view").map_err(text)?;
    path.query_pairs_mut()
        .append_pair("filename", &field("filename"))
        .append_pair("subfolder", &field("subfolder"))
        .append_pair("type", &field("type"));
    let answer = get(url, path.as_str()).await?;
    status(&answer, 200)?;
    Ok(answer.bytes().await.map_err(text)?.to_vec())
}

pub(super) async fn upload(
    url: &Url,
    name: &str,
    bytes: Vec<u8>,
    fields: &[(&str, &str)],
) -> Result<Value, String> {
    json_of(send_upload(url, "upload/image", name, bytes, fields).await?).await
}

pub(super) async fn send_upload(
    url: &Url,
    path: &str,
    name: &str,
    bytes: Vec<u8>,
    fields: &[(&str, &str)],
) -> Result<Response, String> {
    let mut form = Form::new().part("image", Part::bytes(bytes).file_name(name.to_owned()));
    for (name, value) in fields {
        form = form.text((*name).to_owned(), (*value).to_owned());
    }
    sent(request(url, Method::POST, path)?.multipart(form)).await
}

pub(super) fn request(url: &Url, method: Method, path: &str) -> Result<RequestBuilder, String> {
    let http = HTTP.as_ref().map_err(Clone::clone)?;
    Ok(http.request(method, url.join(path).map_err(text)?))
}

pub(super) async fn sent(request: RequestBuilder) -> Result<Response, String> {
    request.send().await.map_err(text)
}

pub(super) async fn get(url: &Url, path: &str) -> Result<Response, String> {
    sent(request(url, Method::GET, path)?).await
}

pub(super) async fn post(url: &Url, path: &str, body: &Value) -> Result<Response, String> {
    sent(request(url, Method::POST, path)?.json(body)).await
}

pub(super) async fn json_of(answer: Response) -> Result<Value, String> {
    let body = answer.text().await.map_err(text)?;
    serde_json::from_str(&body).map_err(|_| format!("not JSON: {body}"))
}

pub(super) fn ensure(holds: bool, otherwise: &str) -> Outcome {
    if holds { Ok(()) } else { Err(otherwise.to_owned()) }
}

pub(super) fn same(what: &str, found: &Value, expected: &Value) -> Outcome {
    ensure(found == expected, &format!("{what} is {found}, not {expected}"))
}

pub(super) fn status(answer: &Response, expected: u16) -> Outcome {
    let found = answer.status().as_u16();
    ensure(found == expected, &format!("{} answers {found}, not {expected}", answer.url()))
}

pub(super) fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
