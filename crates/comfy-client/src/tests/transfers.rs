//! Uploads and downloads.

use super::fake::Fake;
use crate::{ComfyError, FileRef, Folder, Overwrite, Upload};

fn upload(filename: &str) -> Upload {
    Upload {
        filename: filename.to_owned(),
        subfolder: "a/b".to_owned(),
        media_type: "image/png".to_owned(),
        bytes: b"picture".as_slice().into(),
        folder: Folder::Input,
        overwrite: Overwrite::Never,
    }
}

fn file(filename: &str) -> FileRef {
    FileRef { filename: filename.to_owned(), subfolder: "x y".to_owned(), kind: "output".to_owned() }
}

#[tokio::test]
async fn an_upload_keeps_its_name_readable_and_takes_the_answers() {
    let fake = Fake::start("success").await;
    fake.answer_as("POST /upload/image", "upload_image_subfolder");
    let uploaded = fake.client().upload_image(upload("ünï (1).png")).await.unwrap();
    assert_eq!(uploaded.reference(), "a/b/up-test.png");
    let inner = fake.inner();
    let (_, headers, body) = &inner.requests[0];
    assert_eq!(headers["content-length"].to_str().unwrap(), body.len().to_string());
    let body = String::from_utf8_lossy(body);
    assert!(
        body.contains(
            "name=\"image\"; filename=\"ünï (1).png\"\r\nContent-Type: image/png\r\n\r\npicture\r\n"
        ),
        "{body}"
    );
    assert!(body.contains("name=\"subfolder\"\r\n\r\na/b\r\n"), "{body}");
    assert!(!body.contains("overwrite"), "{body}");
}

#[tokio::test]
async fn a_mask_names_its_original() {
    let fake = Fake::start("success").await;
    fake.answer_as("POST /upload/mask", "upload_mask");
    let mut upload = upload("mask.png");
    upload.overwrite = Overwrite::Always;
    let uploaded = fake.client().upload_mask(&file("a.png"), upload).await.unwrap();
    assert_eq!(uploaded.reference(), "clipspace/masked-64.png");
    let inner = fake.inner();
    let body = String::from_utf8_lossy(&inner.requests[0].2);
    let original = r#"{"filename":"a.png","subfolder":"x y","type":"output"}"#;
    assert!(body.contains(original) && body.contains("name=\"overwrite\"\r\n\r\ntrue\r\n"), "{body}");
}

#[tokio::test]
async fn refused_uploads_say_why() {
    let fake = Fake::start("success").await;
    fake.answer_as("POST /upload/image", "upload_too_big_413");
    let error = fake.client().upload_image(upload("a.png")).await.unwrap_err();
    let text = "comfyui answered 413 to /upload/image: Maximum request body size 1048576 exceeded.";
    assert_eq!(error.to_string(), text);
    assert!(error.remedy().unwrap().contains("--max-upload-size"));
    fake.answer_as("POST /upload/image", "upload_image_no_file");
    let error = fake.client().upload_image(upload("a.png")).await.unwrap_err();
    assert_eq!(error.to_string(), "comfyui answered 400 to /upload/image");
}

#[tokio::test]
async fn a_file_is_streamed() {
    let fake = Fake::start("success").await;
    let content = vec![7; 300_000];
    fake.answer("GET /view", 200, "image/png", content.clone());
    let client = fake.client();
    let view = client.view(&file("ü&a.png")).await.unwrap();
    assert_eq!((view.media_type.as_str(), view.len), ("image/png", Some(300_000)));
    assert_eq!(view.into_bytes(300_000).await.unwrap(), content);
    let view = client.view(&file("a.png")).await.unwrap();
    let error = view.into_bytes(299_999).await.unwrap_err();
    assert!(matches!(error, ComfyError::TooLarge { limit: 299_999, .. }), "{error}");
    fake.answer("GET /view", 404, "text/plain", "");
    let error = client.view(&file("a.png")).await.unwrap_err();
    assert!(matches!(error, ComfyError::Status { status: 404, .. }), "{error}");
}
