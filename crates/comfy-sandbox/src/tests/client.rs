//! A small client: HTTP and one websocket.

use std::time::Duration;

use futures::{SinkExt, StreamExt};
use image::RgbImage;
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, tungstenite::Message};

use crate::{Sandbox, SandboxConfig};

/// How long a test waits for what is to come.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) struct Client {
    pub(super) sandbox: Sandbox,
    http: reqwest::Client,
}

/// An open websocket.
pub(super) struct Listener(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Client {
    pub(super) async fn start(sampling_time: Duration) -> Self {
        let config = SandboxConfig { sampling_time, ..SandboxConfig::default() };
        Self { sandbox: Sandbox::start(config).await.unwrap(), http: http() }
    }

    pub(super) fn request(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, self.sandbox.url().join(path).unwrap())
    }

    pub(super) async fn get(&self, path: &str) -> Response {
        self.request(reqwest::Method::GET, path).send().await.unwrap()
    }

    pub(super) async fn json(&self, path: &str) -> Value {
        let response = self.get(path).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        response.json().await.unwrap()
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> Response {
        self.request(reqwest::Method::POST, path).json(body).send().await.unwrap()
    }

    /// Submits and gives the prompt's id.
    pub(super) async fn submit(&self, body: &Value) -> String {
        let response = self.post("prompt", body).await;
        let status = response.status();
        let answer: Value = response.json().await.unwrap();
        assert_eq!(status, StatusCode::OK, "{answer}");
        answer["prompt_id"].as_str().unwrap().to_owned()
    }

    /// Runs a graph and gives its entry of the history.
    pub(super) async fn run(&self, graph: &Value) -> Value {
        let mut listener = self.listen("run").await;
        let id = self.submit(&json!({"prompt": graph, "client_id": "run"})).await;
        listener.until_done(&id).await;
        listener.close().await;
        self.json(&format!("history/{id}")).await[&id].take()
    }

    /// Runs a graph that saves one picture, and reads that.
    pub(super) async fn picture(&self, graph: &Value) -> RgbImage {
        let entry = self.run(graph).await;
        let file = entry["outputs"].as_object().unwrap().values().next().unwrap()["images"][0].clone();
        let (name, kind) = (file["filename"].as_str().unwrap(), file["type"].as_str().unwrap());
        let bytes = self.get(&format!("view?filename={name}&type={kind}")).await.bytes().await.unwrap();
        image::load_from_memory(&bytes).unwrap().into_rgb8()
    }

    pub(super) async fn upload(&self, name: &str, bytes: Vec<u8>) -> Value {
        self.upload_with("upload/image", name, bytes, &[]).await.json().await.unwrap()
    }

    pub(super) async fn upload_with(
        &self,
        path: &str,
        name: &str,
        bytes: Vec<u8>,
        fields: &[(&str, &str)],
    ) -> Response {
        let file = reqwest::multipart::Part::bytes(bytes).file_name(name.to_owned());
        let mut form = reqwest::multipart::Form::new().part("image", file);
        for (name, value) in fields {
            form = form.text((*name).to_owned(), (*value).to_owned());
        }
        self.request(reqwest::Method::POST, path).multipart(form).send().await.unwrap()
    }

    /// Opens a websocket and waits for its first frame.
    pub(super) async fn listen(&self, client_id: &str) -> Listener {
        let mut listener = self.listen_at(&format!("ws?clientId={client_id}")).await;
        assert_eq!(listener.event().await["data"]["sid"], client_id);
        listener
    }

    pub(super) async fn listen_at(&self, path: &str) -> Listener {
        let mut url = self.sandbox.url().join(path).unwrap();
        url.set_scheme("ws").unwrap();
        Listener(tokio_tungstenite::connect_async(url.as_str()).await.unwrap().0)
    }
}

impl Listener {
    /// The next message; `None` when the socket has ended.
    pub(super) async fn next(&mut self) -> Option<Message> {
        let next = tokio::time::timeout(PATIENCE, self.0.next()).await.expect("nothing came in time");
        next.and_then(Result::ok)
    }

    /// The next text message.
    pub(super) async fn event(&mut self) -> Value {
        loop {
            if let Message::Text(text) = self.next().await.expect("the socket ended") {
                return serde_json::from_str(&text).unwrap();
            }
        }
    }

    /// Reads on to the event of this type.
    pub(super) async fn until(&mut self, kind: &str) -> Value {
        loop {
            let event = self.event().await;
            if event["type"] == kind {
                return event["data"].clone();
            }
        }
    }

    /// Reads on to the end of this prompt.
    pub(super) async fn until_done(&mut self, prompt_id: &str) {
        loop {
            let executing = self.until("executing").await;
            if executing["node"].is_null() && executing["prompt_id"] == prompt_id {
                return;
            }
        }
    }

    pub(super) async fn send(&mut self, message: &Value) {
        self.0.send(Message::text(message.to_string())).await.unwrap();
    }

    pub(super) async fn close(mut self) {
        self.0.close(None).await.unwrap();
        while self.next().await.is_some() {}
    }
}

fn http() -> reqwest::Client {
    // The client wants a TLS provider even for plain HTTP; a second installation is refused, which is fine.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap()
}

/// A PNG that is left half white, and whose right half is transparent.
pub(super) fn sample_png() -> Vec<u8> {
    let picture = image::RgbaImage::from_fn(64, 64, |x, y| {
        let light = if x < 32 { 255 } else { (y * 2) as u8 };
        image::Rgba([light, (x * 3) as u8, 40, if x < 32 { 255 } else { 0 }])
    });
    crate::pictures::encode_rgba(&picture, Vec::new()).unwrap()
}

/// The text-to-image graph that everyone knows.
pub(super) fn txt2img() -> Value {
    json!({
        "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "sandbox-sd15.safetensors"}},
        "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 96, "height": 64, "batch_size": 1}},
        "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a lighthouse", "clip": ["4", 1]}},
        "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "blurry", "clip": ["4", 1]}},
        "3": {"class_type": "KSampler", "inputs": {
            "seed": 42, "steps": 4, "cfg": 7.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0,
            "model": ["4", 0], "positive": ["6", 0], "negative": ["7", 0], "latent_image": ["5", 0]}},
        "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 2]}},
        "9": {"class_type": "SaveImage", "inputs": {"filename_prefix": "t", "images": ["8", 0]}},
    })
}

/// The same with so many steps.
pub(super) fn with_steps(steps: u32) -> Value {
    let mut graph = txt2img();
    graph["3"]["inputs"]["steps"] = json!(steps);
    graph
}
