//! Endpoints that answer in one piece, and how they are reached.

use std::time::Duration;

use secrecy::SecretString;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};
use workflow_analyzer::InputKind;

use super::fake::{Fake, Recording};
use crate::{
    ComfyAuth, ComfyClient, ComfyConfig, ComfyError, Features, FreeRequest, Standing, UnreachableReason,
};

async fn fake() -> std::sync::Arc<Fake> {
    Fake::start("success").await
}

#[tokio::test]
async fn what_is_installed() {
    let fake = fake().await;
    let client = fake.client();
    fake.answer_as("GET /system_stats", "system_stats");
    let stats = client.system_stats().await.unwrap();
    assert_eq!(stats.system.comfyui_version.as_deref(), Some("0.8.0"));
    assert_eq!((stats.devices.len(), stats.devices[0].kind.as_str()), (1, "cpu"));
    assert!(stats.system.extra.contains_key("argv"));
    fake.answer_as("GET /features", "features");
    let features = client.features().await.unwrap();
    assert_eq!((features.supports_preview_metadata, features.max_upload_size), (true, Some(104_857_600.0)));
    fake.answer_as("GET /models", "models");
    assert!(client.model_folders().await.unwrap().contains(&"loras".to_owned()));
    fake.answer_as("GET /models/checkpoints", "models_checkpoints");
    assert_eq!(client.models("checkpoints").await.unwrap(), ["corrupt.safetensors", "tiny-sd15.safetensors"]);
    fake.answer_as("GET /embeddings", "embeddings");
    assert_eq!(client.embeddings().await.unwrap().len(), 1);
    fake.answer_as("GET /object_info/KSampler", "object_info_KSampler");
    let info = client.object_info_of("KSampler").await.unwrap();
    let seed = &info.classes["KSampler"].inputs["seed"];
    assert!(
        matches!(seed.kind, InputKind::Int { max: Some(max), .. } if max == i128::from(u64::MAX)),
        "{seed:?}"
    );
}

#[tokio::test]
async fn what_is_not_there() {
    let fake = fake().await;
    let client = fake.client();
    let error = client.models("nope").await.unwrap_err();
    assert!(matches!(error, ComfyError::Status { status: 404, .. }), "{error}");
    assert!(matches!(client.models("..").await, Err(ComfyError::InvalidArgument(_))));
    assert_eq!(client.features().await.unwrap(), Features::default());
    assert_eq!(client.history("no-such-id").await.unwrap(), None);
    assert!(matches!(client.standing("no-such-id").await.unwrap(), Standing::Unknown));
}

#[tokio::test]
async fn the_queue_is_in_order() {
    let fake = fake().await;
    fake.answer_as("GET /queue", "queue_busy");
    let queue = fake.client().queue().await.unwrap();
    assert_eq!(queue.running.len(), 1);
    assert_eq!(queue.running[0].client_id(), Some("rec-q"));
    let numbers: Vec<_> = queue.pending.iter().map(|item| item.number).collect();
    assert!(numbers.len() > 1 && numbers.is_sorted(), "{numbers:?}");
    let second = queue.pending[1].prompt_id.clone();
    let standing = fake.client().standing(&second).await.unwrap();
    assert!(matches!(standing, Standing::Pending { before: 1, .. }), "{standing:?}");
}

#[tokio::test]
async fn what_custom_nodes_leave_in_the_queue_is_survived() {
    let fake = fake().await;
    let queue = r#"{"queue_running":[[1,"p",{"3":{"is_changed":[NaN]}},{"client_id":null},["9"],"more"]],"queue_pending":[]}"#;
    fake.answer("GET /queue", 200, "application/json", queue);
    assert!(matches!(fake.client().standing("p").await.unwrap(), Standing::Running(_)));
    let history = r#"{"q":{"prompt":[3,"q",{"3":{"is_changed":[NaN]}}],"outputs":{"1":null,"2":{"text":"one","images":[null,{"x":1}],"gifs":[{"filename":"a.gif"}]}},"status":null}}"#;
    fake.answer("GET /history/q", 200, "application/json", history);
    let entry = fake.client().history("q").await.unwrap().unwrap();
    assert_eq!((entry.files().len(), entry.texts().len(), entry.number()), (1, 1, Some(3.0)));
}

#[tokio::test]
async fn memory_is_given_back_with_a_body() {
    let fake = fake().await;
    fake.answer("POST /free", 200, "text/plain", "");
    fake.client().free(FreeRequest { unload_models: true, free_memory: false }).await.unwrap();
    let inner = fake.inner();
    let body: serde_json::Value = serde_json::from_slice(&inner.requests[0].2).unwrap();
    assert_eq!(body, json!({ "unload_models": true, "free_memory": false }));
}

#[tokio::test]
async fn answers_have_a_limit() {
    let fake = fake().await;
    let mut config = fake.config();
    config.max_response_bytes = 1000;
    let client = ComfyClient::new(&config).unwrap();
    fake.answer("GET /embeddings", 200, "application/json", format!("[\"{}\"]", "x".repeat(2000)));
    let error = client.embeddings().await.unwrap_err();
    assert_eq!(error.to_string(), "comfyui's answer to /embeddings is over the limit of 1000 bytes");
}

#[tokio::test]
async fn answers_have_a_limit_whatever_they_announce() {
    let endless = format!("Transfer-Encoding: chunked\r\n\r\n{}", "10\r\n[[[[[[[[[[[[[[[[\r\n".repeat(100));
    for answer in [endless.as_str(), "Content-Length: 99999999999\r\n\r\n["] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let answer = format!("HTTP/1.1 200 OK\r\n{answer}");
        let server = tokio::spawn(async move {
            let (mut connection, _) = listener.accept().await.unwrap();
            let mut request = [0; 4096];
            assert!(connection.read(&mut request).await.unwrap() > 0);
            connection.write_all(answer.as_bytes()).await.unwrap();
            // Open until the client has enough.
            let _ = connection.read(&mut request).await;
        });
        let mut config = ComfyConfig::new(url.parse().unwrap());
        config.max_response_bytes = 1000;
        let error = ComfyClient::new(&config).unwrap().embeddings().await.unwrap_err();
        assert!(matches!(error, ComfyError::TooLarge { limit: 1000, .. }), "{error}");
        server.await.unwrap();
    }
}

#[tokio::test]
async fn another_web_server_is_recognised() {
    let fake = fake().await;
    let client = fake.client();
    fake.answer("GET /queue", 200, "text/html", "<!doctype html>");
    let error = client.queue().await.unwrap_err();
    assert!(matches!(error, ComfyError::InvalidBody { .. }), "{error}");
    assert!(error.remedy().unwrap().contains("another web server"));
    fake.answer("GET /queue", 302, "text/html", "");
    let error = client.queue().await.unwrap_err();
    assert!(matches!(error, ComfyError::Status { status: 302, .. }), "{error}");
}

#[tokio::test]
async fn no_answer_is_a_time_out() {
    let fake = fake().await;
    fake.inner().submission = super::fake::Submission::AnswerStuck;
    let mut config = fake.config();
    config.request_timeout = Duration::from_millis(50);
    let graph = Recording::read("success").graph;
    let request = crate::PromptRequest {
        prompt: &graph,
        prompt_id: "p",
        client_id: None,
        extra_data: &serde_json::Map::new(),
        position: crate::QueuePosition::Number(0.5),
    };
    let error = ComfyClient::new(&config).unwrap().submit(&request).await.unwrap_err();
    assert!(matches!(error, ComfyError::Timeout { .. }) && error.is_retryable(), "{error}");
}

#[tokio::test]
async fn unknown_hosts_and_wrong_schemes_are_named() {
    let check = async |url: &str, expect: UnreachableReason| {
        let mut config = ComfyConfig::new(url.parse().unwrap());
        config.connect_timeout = Duration::from_secs(2);
        let error = ComfyClient::new(&config).unwrap().queue().await.unwrap_err();
        assert!(
            matches!(error, ComfyError::Unreachable { reason, .. } if reason == expect),
            "{url}: {error:?}"
        );
    };
    check("http://no-such-host.invalid:8188", UnreachableReason::Dns).await;
    // Another test may have been faster.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let fake = fake().await;
    let https = fake.url().as_str().replace("http:", "https:");
    check(&https, UnreachableReason::Tls).await;
    let error = ComfyClient::new(&ComfyConfig::new("ftp://host/".parse().unwrap())).unwrap_err();
    assert!(matches!(error, ComfyError::InvalidArgument(_)), "{error}");
}

#[tokio::test]
async fn a_protected_comfyui_behind_a_prefix() {
    let recording = Recording::read("success");
    let fake = Fake::at("/tools/comfy", recording.clone()).await;
    let mut url = fake.url();
    url.set_username("an%20agent").unwrap();
    url.set_password(Some("p%C3%A4ss%2Bword")).unwrap();
    let mut config = ComfyConfig { base_url: url, ..fake.config() };
    config.headers.push(("X-Team".to_owned(), SecretString::from("blue")));
    let client = ComfyClient::new(&config).unwrap();
    assert_eq!(client.url(), fake.url().as_str(), "without credentials");
    let mut execution = client.run(super::request(&recording.graph)).await.unwrap();
    let events = super::brief(&super::all(&mut execution).await);
    assert_eq!(events[1], "WebSocket");
    // "an agent:päss+word"
    let expect = "Basic YW4gYWdlbnQ6cMOkc3Mrd29yZA==";
    let inner = fake.inner();
    assert!(inner.requests.iter().any(|(request, ..)| request == "GET /ws"));
    for (request, headers, _) in &inner.requests {
        assert_eq!(headers["authorization"], expect, "{request}");
        assert_eq!(headers["x-team"], "blue", "{request}");
        assert!(!headers.contains_key("origin"), "{request}");
    }
}

#[tokio::test]
async fn a_socket_elsewhere_and_a_bearer_token() {
    let recording = Recording::read("success");
    let fake = Fake::with(recording.clone()).await;
    for path in ["/", "/ws"] {
        let mut config = fake.config();
        config.auth = Some(ComfyAuth::Bearer("secret".into()));
        config.ws_url = Some(format!("ws://127.0.0.1:{}{path}", fake.link.port).parse().unwrap());
        let client = ComfyClient::new(&config).unwrap();
        let mut execution = client.run(super::request(&recording.graph)).await.unwrap();
        let events = super::brief(&super::all(&mut execution).await);
        assert_eq!(events[1], "WebSocket", "{path}");
    }
    assert!(fake.inner().requests.iter().all(|(_, headers, _)| headers["authorization"] == "Bearer secret"));
    let shown = format!("{:?}", fake.client());
    assert!(!shown.contains("secret"), "{shown}");
}

#[test]
fn headers_that_would_break_things_are_refused() {
    for (name, value) in
        [("Origin", "http://evil"), ("Sec-WebSocket-Key", "x"), ("a b", "x"), ("X-Ok", "a\nb")]
    {
        let mut config = ComfyConfig::new("http://127.0.0.1:1".parse().unwrap());
        config.headers.push((name.to_owned(), SecretString::from(value)));
        let error = ComfyClient::new(&config).unwrap_err();
        assert!(matches!(error, ComfyError::InvalidArgument(_)), "{name}: {error}");
    }
}
