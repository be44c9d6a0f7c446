//! Uploads and what `/view` gives of them.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::client::{Client, sample_png, txt2img};
use crate::{Sandbox, SandboxConfig};

#[tokio::test]
async fn a_name_that_is_taken_gets_a_number() {
    let client = Client::start(Duration::ZERO).await;
    let name = |answer: &Value| answer["name"].as_str().unwrap().to_owned();
    let first = client.upload("a.png", sample_png()).await;
    assert_eq!(first, json!({"name": "a.png", "subfolder": "", "type": "input"}));
    assert_eq!(name(&client.upload("a.png", sample_png()).await), "a.png");
    assert_eq!(name(&client.upload("a.png", b"other".to_vec()).await), "a (1).png");
    let overwrite = [("overwrite", "1"), ("subfolder", "x/y"), ("type", "temp")];
    let answer = client.upload_with("upload/image", "ü.png", b"third".to_vec(), &overwrite).await;
    let answer: Value = answer.json().await.unwrap();
    assert_eq!(answer, json!({"name": "ü.png", "subfolder": "x/y", "type": "temp"}));
    let viewed = client.get("view?filename=%C3%BC.png&subfolder=x/y&type=temp").await;
    assert_eq!(viewed.text().await.unwrap(), "third");
}

#[tokio::test]
async fn uploads_that_are_none_are_refused() {
    let client = Client::start(Duration::ZERO).await;
    let outside =
        client.upload_with("upload/image", "a.png", sample_png(), &[("subfolder", "../../x")]).await;
    assert_eq!(outside.status(), StatusCode::BAD_REQUEST);
    let bogus = client.upload_with("upload/image", "a.png", sample_png(), &[("type", "bogus")]).await;
    assert_eq!(bogus.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let raw = [
        ("../../evil.png", StatusCode::BAD_REQUEST),
        ("/etc/evil.png", StatusCode::INTERNAL_SERVER_ERROR),
        ("dir/part.png", StatusCode::INTERNAL_SERVER_ERROR),
        ("", StatusCode::INTERNAL_SERVER_ERROR),
    ];
    for (name, status) in raw {
        let body = format!(
            "--X\r\nContent-Disposition: form-data; name=\"image\"; filename=\"{name}\"\r\n\r\nbytes\r\n--X--\r\n"
        );
        let request = client.request(Method::POST, "upload/image").body(body);
        let answer = request.header("content-type", "multipart/form-data; boundary=X").send().await.unwrap();
        assert_eq!(answer.status(), status, "{name}");
    }
    assert_eq!(client.post("upload/image", &json!({"image": "x"})).await.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused() {
    let config = SandboxConfig { max_body_bytes: 1000, ..SandboxConfig::default() };
    let mut client = Client::start(Duration::ZERO).await;
    client.sandbox = Sandbox::start(config).await.unwrap();
    let answer = client.post("prompt", &json!({"prompt": "x".repeat(2000)})).await;
    assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(answer.text().await.unwrap(), "Maximum request body size 1000 exceeded.");
    let answer = client.upload_with("upload/image", "a.png", vec![0; 2000], &[]).await;
    assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(client.json("features").await["max_upload_size"], 1000);
}

#[tokio::test]
async fn a_mask_gives_its_alpha_to_the_original() {
    let client = Client::start(Duration::ZERO).await;
    let original = image::RgbaImage::from_pixel(64, 64, image::Rgba([200, 100, 50, 255]));
    client.upload("original.png", crate::pictures::encode_rgba(&original, Vec::new()).unwrap()).await;
    let fields =
        [("original_ref", r#"{"filename": "original.png", "type": "input"}"#), ("subfolder", "clipspace")];
    let answer = client.upload_with("upload/mask", "masked.png", sample_png(), &fields).await;
    let answer: Value = answer.json().await.unwrap();
    assert_eq!(answer, json!({"name": "masked.png", "subfolder": "clipspace", "type": "input"}));
    let bytes =
        client.get("view?filename=masked.png&subfolder=clipspace&type=input").await.bytes().await.unwrap();
    let masked = image::load_from_memory(&bytes).unwrap().into_rgba8();
    assert_eq!(
        (masked.get_pixel(0, 0).0, masked.get_pixel(63, 0).0),
        ([200, 100, 50, 255], [200, 100, 50, 0])
    );

    let fields = [("original_ref", r#"{"filename": "nowhere.png"}"#)];
    let answer = client.upload_with("upload/mask", "lost.png", sample_png(), &fields).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(client.get("view?filename=lost.png&type=input").await.status(), StatusCode::NOT_FOUND);
    let answer = client.upload_with("upload/mask", "lost.png", sample_png(), &[]).await;
    assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
}

#[tokio::test]
async fn view_gives_ranges_and_knows_what_the_client_has() {
    let client = Client::start(Duration::ZERO).await;
    let bytes = sample_png();
    client.upload("a.png", bytes.clone()).await;
    let whole = client.get("view?filename=a.png&type=input").await;
    assert_eq!(whole.headers()["content-disposition"], "filename=\"a.png\"");
    let (etag, modified) = (whole.headers()["etag"].clone(), whole.headers()["last-modified"].clone());
    assert_eq!(whole.bytes().await.unwrap(), bytes);
    let with = async |name: &'static str, value: reqwest::header::HeaderValue| {
        let request = client.request(Method::GET, "view?filename=a.png%20[input]").header(name, value);
        request.send().await.unwrap()
    };
    assert_eq!(with("if-none-match", etag).await.status(), StatusCode::NOT_MODIFIED);
    assert_eq!(with("if-modified-since", modified).await.status(), StatusCode::NOT_MODIFIED);
    let part = with("range", "bytes=1-3".parse().unwrap()).await;
    assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(part.headers()["content-range"], format!("bytes 1-3/{}", bytes.len()));
    assert_eq!(part.bytes().await.unwrap(), "PNG");
    let beyond = with("range", "bytes=99999-".parse().unwrap()).await;
    assert_eq!(beyond.status(), StatusCode::RANGE_NOT_SATISFIABLE);
}

#[tokio::test]
async fn view_makes_previews_and_channels() {
    let client = Client::start(Duration::ZERO).await;
    client.upload("a.png", sample_png()).await;
    client.upload("a.txt", b"text".to_vec()).await;
    let cases = [
        ("preview=webp;50", "image/webp"),
        ("preview=jpeg;80", "image/jpeg"),
        ("preview=png", "image/webp"),
        ("channel=rgb", "image/png"),
        ("channel=a", "image/png"),
    ];
    for (query, media_type) in cases {
        let answer = client.get(&format!("view?filename=a.png&type=input&{query}")).await;
        assert_eq!(answer.headers()["content-type"], media_type, "{query}");
        assert!(answer.headers().get("etag").is_none(), "{query}");
        let picture = image::load_from_memory(&answer.bytes().await.unwrap()).unwrap();
        assert_eq!(
            picture.color().has_alpha(),
            query == "channel=a" || media_type == "image/webp",
            "{query}"
        );
    }
    let text = client.get("view?filename=a.txt&type=input&preview=webp").await;
    assert_eq!(text.status(), StatusCode::INTERNAL_SERVER_ERROR);
}

#[tokio::test]
async fn view_never_leaves_its_folders() {
    let client = Client::start(Duration::ZERO).await;
    let cases = [
        ("view", StatusCode::NOT_FOUND),
        ("view?filename=", StatusCode::BAD_REQUEST),
        ("view?filename=../../x", StatusCode::BAD_REQUEST),
        ("view?filename=/etc/hostname", StatusCode::BAD_REQUEST),
        ("view?filename=hostname&subfolder=../", StatusCode::FORBIDDEN),
        ("view?filename=hostname&subfolder=/etc", StatusCode::FORBIDDEN),
        ("view?filename=x.png&type=bogus", StatusCode::BAD_REQUEST),
        ("view?filename=x.png", StatusCode::NOT_FOUND),
    ];
    for (path, status) in cases {
        assert_eq!(client.get(path).await.status(), status, "{path}");
    }
}

#[tokio::test]
async fn a_saved_picture_holds_its_graph() {
    let client = Client::start(Duration::ZERO).await;
    let mut listener = client.listen("me").await;
    let extra = json!({"extra_pnginfo": {"workflow": {"id": "ü"}}, "api_key_comfy_org": "secret"});
    let id = client.submit(&json!({"prompt": txt2img(), "client_id": "me", "extra_data": extra})).await;
    listener.until_done(&id).await;
    let bytes = client.get("view?filename=t_00001_.png").await.bytes().await.unwrap();
    let chunks = crate::pictures::text_chunks(&bytes);
    let chunk = |index: usize| serde_json::from_str::<Value>(&chunks[index].1).unwrap();
    assert_eq!((chunks[0].0.as_str(), chunk(0)), ("prompt", txt2img()));
    assert_eq!((chunks[1].0.as_str(), chunk(1)), ("workflow", json!({"id": "ü"})));
    assert!(!client.json("history").await.to_string().contains("secret"));
}
