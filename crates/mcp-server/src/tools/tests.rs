//! The tools as a client sees them: an MCP server in this process, in front of the sandbox.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use auth::Principal;
use base64::Engine as _;
use job_queue::{JobFilter, JobState, NewJob};
use mcp_protocol::client::{CallOptions, Peer, PeerOptions};
use mcp_protocol::wire::CallToolResult;
use serde_json::{Map, Value, json};
use storage::NewArtifact;

use super::workflows::ListWorkflows;
use crate::app::{App, Running, Sharing};
use crate::error::ServerError;
use crate::inputs;
use crate::plan::{self, Files, GraphRequest};
use crate::serve;
use crate::settings::Settings;

struct Gateway {
    app: Arc<App>,
    running: Running,
    _folder: tempfile::TempDir,
}

impl Gateway {
    async fn start(change: impl FnOnce(&mut Settings)) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let mut settings = Settings {
            sandbox: true,
            sandbox_sampling_seconds: 0.0,
            data_dir: folder.path().join("data"),
            workflows_dir: folder.path().join("workflows"),
            ..Settings::default()
        };
        change(&mut settings);
        let running = App::start(settings, Sharing::Exclusive).await.unwrap();
        Self { app: Arc::clone(&running.app), running, _folder: folder }
    }

    /// Opens the server as this client.
    async fn client(&self, id: &str) -> Client {
        let principal = Principal { client_id: id.to_owned(), ..Principal::local() };
        let server = serve::server(&self.app).unwrap().with_extension(Arc::new(principal));
        let (near, far) = tokio::io::duplex(64 << 10);
        let (reader, writer) = tokio::io::split(far);
        tokio::spawn(async move { server.serve_stdio(reader, writer).await });
        let (reader, writer) = tokio::io::split(near);
        Client(Peer::connect_stdio(reader, writer, PeerOptions::default()).await.unwrap())
    }
}

struct Client(Peer);

impl Client {
    async fn call(&self, tool: &str, arguments: Value) -> CallToolResult {
        self.0.call_tool(tool, arguments, CallOptions::default()).await.unwrap()
    }

    async fn done(&self, tool: &str, arguments: Value) -> Value {
        let result = self.call(tool, arguments).await;
        assert!(!result.is_error, "{result:?}");
        result.structured_content.unwrap()
    }

    /// The code and the text of a refusal.
    async fn refused(&self, tool: &str, arguments: Value) -> (String, Value, String) {
        let result = self.call(tool, arguments).await;
        assert!(result.is_error, "{result:?}");
        let error = result.tool_error().unwrap();
        (error.code, error.data.map_or(Value::Null, |data| *data), error.message)
    }
}

fn small(prompt: &str) -> Value {
    json!({"prompt": prompt, "width": 64, "height": 64, "steps": 2})
}

fn with(mut base: Value, change: Value) -> Value {
    let Value::Object(change) = change else { panic!("{change}") };
    base.as_object_mut().unwrap().extend(change);
    base
}

fn png(alpha: u8) -> String {
    let mut out = std::io::Cursor::new(Vec::new());
    let picture = image::RgbaImage::from_pixel(64, 64, image::Rgba([9, 99, 199, alpha]));
    picture.write_to(&mut out, image::ImageFormat::Png).unwrap();
    base64::engine::general_purpose::STANDARD.encode(out.into_inner())
}

#[tokio::test]
async fn the_list_of_tools_is_small_and_complete() {
    let gateway = Gateway::start(|_| {}).await;
    let tools = gateway.client("a").await.0.list_tools().await.unwrap();
    let bytes = serde_json::to_string(&json!({"tools": tools})).unwrap().len();
    assert!(bytes < 10_000, "{bytes} bytes");
    for tool in &tools {
        assert!(tool.input_schema["properties"].is_object(), "{}: {}", tool.name, tool.input_schema);
    }
    let cancel = tools.iter().find(|tool| tool.name == "cancel_job").unwrap().annotations.unwrap();
    assert_eq!(
        (cancel.read_only, cancel.destructive, cancel.idempotent),
        (Some(false), Some(true), Some(true))
    );
    gateway.running.stop().await;
}

#[tokio::test]
async fn a_key_stands_for_one_job_and_is_looked_up_first() {
    let gateway = Gateway::start(|_| {}).await;
    let client = gateway.client("a").await;
    let keyed = |change: Value| with(with(small("a"), json!({"idempotency_key": "k"})), change);
    let first = client.done("generate_image", keyed(json!({}))).await["job"].clone();
    // The same arguments in another order, waiting longer, and with the original's name of one.
    let again = json!({"idempotency_key": "k", "steps": 2, "height": 64, "wait_seconds": 5, "width": 64, "prompt": "a"});
    let again = client.done("generate_image", again).await["job"].clone();
    assert_eq!((&again["id"], &again["seed"]), (&first["id"], &first["seed"]));
    for (tool, arguments) in [
        ("generate_image", keyed(json!({"prompt": "b"}))),
        ("generate_image", keyed(json!({"steps": 3}))),
        ("run_workflow", json!({"workflow": "txt2img", "idempotency_key": "k"})),
        // It is not even looked whether this is an image.
        ("img2img", json!({"prompt": "a", "image": "%%%", "idempotency_key": "k"})),
    ] {
        let (code, data, message) = client.refused(tool, arguments).await;
        assert_eq!(
            (code.as_str(), &data["field"]),
            ("invalid_arguments", &json!("idempotency_key")),
            "{message}"
        );
    }
    let other = gateway.client("b").await.done("generate_image", keyed(json!({"prompt": "b"}))).await;
    assert_ne!(other["job"]["id"], first["id"], "the key is another's");
    gateway.running.stop().await;
}

#[tokio::test]
async fn a_failed_job_is_an_error_of_the_tool_that_made_it() {
    let gateway = Gateway::start(|_| {}).await;
    let client = gateway.client("a").await;
    // The sandbox fails to make latents of a size that is no size for it.
    let broken = json!({"class_type": "LoadImage", "inputs": {"image": "nowhere/to be found.png"}});
    let save = json!({"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "x"}});
    let result = client.call("run_workflow", json!({"graph": {"1": broken, "2": save}})).await;
    assert!(result.is_error, "{result:?}");
    let job = &result.structured_content.as_ref().unwrap()["job"];
    assert_eq!(
        (&job["state"], &job["error"]["code"]),
        (&json!("failed"), &json!(result.tool_error().unwrap().code))
    );
    let text = serde_json::to_string(&result.content).unwrap();
    assert!(text.contains(job["error"]["message"].as_str().unwrap().split('"').next().unwrap()), "{text}");
    for tool in ["get_job_status", "wait_for_job"] {
        let told = client.done(tool, json!({"job_id": job["id"]})).await;
        assert_eq!(told["job"]["state"], "failed", "{tool} did what it was asked");
    }
    gateway.running.stop().await;
}

#[tokio::test]
async fn parameters_are_few_and_their_names_short() {
    let gateway = Gateway::start(|_| {}).await;
    let client = gateway.client("a").await;
    let many: Map<_, _> = (0..513).map(|number| (format!("p{number}.x"), json!(1))).collect();
    let long = Map::from_iter([("x".repeat(513), json!(1))]);
    for (parameters, field) in [(many, "parameters"), (long, "parameters.xxx")] {
        let arguments = json!({"workflow": "txt2img", "parameters": parameters});
        let (code, data, message) = client.refused("run_workflow", arguments).await;
        assert_eq!(code, "invalid_arguments", "{message}");
        assert!(data["field"].as_str().unwrap().starts_with(field) && message.contains("512"), "{message}");
    }
    gateway.running.stop().await;
}

#[tokio::test]
async fn a_tool_runs_the_workflow_that_has_its_name_now() {
    let gateway = Gateway::start(|_| {}).await;
    let folder = gateway.app.settings.workflows_dir.clone();
    std::fs::create_dir_all(&folder).unwrap();
    let graph = include_str!("../../../../workflows/txt2img.json").replace("lighthouse", "house");
    let at = |name: &str, ending: &str| folder.join(format!("{name}.{ending}"));
    std::fs::write(at("my own", "json"), graph).unwrap();
    std::fs::write(at("my own", "toml"), "tool = true\ndescription = \"Mine\"").unwrap();
    gateway.app.catalog.refresh();
    let client = gateway.client("a").await;
    let call = async || client.call("my_own", json!({"width": 64, "height": 64, "steps": 1})).await;
    // What ComfyUI has changes the description once, which makes the tool anew by itself.
    gateway.app.pool.installed().await.unwrap();
    for (old, new) in [("my own", "my(own"), ("my(own", "my)own"), ("my)own", "my own")] {
        for ending in ["json", "toml"] {
            std::fs::rename(at(old, ending), at(new, ending)).unwrap();
        }
        gateway.app.catalog.refresh();
        // A tool that still runs what is gone says so by the old name.
        let renamed = async || while format!("{:?}", call().await).contains(old) {};
        tokio::time::timeout(Duration::from_secs(20), renamed()).await.expect("the new name is used");
    }
    gateway.running.stop().await;
}

#[tokio::test]
async fn progress_ends_at_a_hundred() {
    let gateway = Gateway::start(|settings| settings.sandbox_sampling_seconds = 0.05).await;
    let client = gateway.client("a").await;
    let updates = Arc::new(Mutex::new(Vec::new()));
    let taken = Arc::clone(&updates);
    let options = CallOptions::default().progress(move |update| taken.lock().unwrap().push(update));
    let result = client.0.call_tool("generate_image", small("a"), options).await.unwrap();
    assert_eq!(result.structured_content.unwrap()["job"]["state"], "succeeded");
    let updates = updates.lock().unwrap().clone();
    let last = updates.last().unwrap();
    assert_eq!((last.progress, last.message.as_deref()), (100.0, Some("done")), "{updates:?}");
    gateway.running.stop().await;
}

#[tokio::test]
async fn a_job_whose_caller_leaves_while_it_is_stored_is_cancelled() {
    let gateway = Gateway::start(|settings| settings.sandbox_sampling_seconds = 30.0).await;
    let app = &gateway.app;
    let all = JobFilter { owner: Some("a".into()), states: Vec::new(), limit: 10, before: None };
    let catalog = app.catalog.current();
    let plan = app.planned(move |info| {
        let workflow = &plan::find(&catalog, Some(info), "txt2img")?;
        let (parameters, uploads) = (Map::new(), Vec::new());
        plan::workflow("x", info, GraphRequest { workflow, parameters, uploads, files: Files::All })
    });
    let new = NewJob::new("a", "run_workflow", serde_json::to_value(plan.await.unwrap()).unwrap());
    let mut submitting = Box::pin(crate::jobs::submit(app, new));
    assert!(futures::poll!(&mut submitting).is_pending());
    drop(submitting);
    let stored = async {
        loop {
            match app.queue.list(&all).await.unwrap().pop() {
                Some(job) => break job,
                None => tokio::task::yield_now().await,
            }
        }
    };
    let job = tokio::time::timeout(Duration::from_secs(10), stored).await.unwrap();
    let until = tokio::time::Instant::now() + Duration::from_secs(10);
    let job = app.queue.wait(&job.id, until).await.unwrap().unwrap();
    assert_eq!(job.state, JobState::Cancelled);
    gateway.running.stop().await;
}

#[tokio::test]
async fn inpainting_needs_a_place_to_paint() {
    let gateway = Gateway::start(|_| {}).await;
    let client = gateway.client("a").await;
    let inpaint = |image: String| json!({"prompt": "a", "steps": 2, "image": image});
    let (_, data, message) = client.refused("inpaint", inpaint(png(255))).await;
    assert_eq!(data["field"], "mask", "{message}");
    client.done("inpaint", inpaint(png(0))).await;
    client.done("inpaint", with(inpaint(png(255)), json!({"mask": png(255)}))).await;
    gateway.running.stop().await;
}

#[tokio::test]
async fn an_image_of_a_workflow_is_named_by_its_parameter() {
    let gateway = Gateway::start(|_| {}).await;
    let client = gateway.client("a").await;
    for image in [json!({}), json!({"image": "%%%"})] {
        let arguments = json!({"workflow": "upscale", "parameters": image});
        let (_, data, message) = client.refused("run_workflow", arguments).await;
        assert_eq!(data["field"], "parameters.image", "{message}");
    }
    let listed = client.done("list_workflows", json!({})).await;
    let workflows = listed["workflows"].as_array().unwrap();
    for name in ["txt2img", "txt2img_diffusion_model", "img2img", "inpaint", "controlnet", "lora", "upscale"]
    {
        let workflow = workflows.iter().find(|workflow| workflow["name"] == name).unwrap();
        assert_eq!(workflow["runnable"], true, "{workflow}");
    }
    let found = client.done("list_workflows", json!({"search": "upsc"})).await;
    assert_eq!(found["workflows"].as_array().unwrap().len(), 1);
    let made =
        client.done("run_workflow", json!({"workflow": "upscale", "parameters": {"image": png(255)}})).await;
    let uri = made["job"]["artifacts"][0]["uri"].as_str().unwrap();
    client.done("img2img", json!({"prompt": "a", "steps": 2, "image": uri})).await;
    gateway.running.stop().await;
}

#[tokio::test]
async fn a_picture_of_known_size_is_not_decoded_again() {
    let gateway = Gateway::start(|_| {}).await;
    let artifacts = &gateway.app.artifacts;
    let principal = Principal { client_id: "a".into(), ..Principal::local() };
    let new = NewArtifact {
        job_id: None,
        owner: "a".into(),
        media_type: "image/png".into(),
        file_name: "x.png".into(),
        source: None,
    };
    let bytes = futures::stream::iter([Ok::<_, std::io::Error>(bytes::Bytes::from_static(b"no picture"))]);
    let id = artifacts.create(new, bytes, jiff::Timestamp::now()).await.unwrap().id;
    let picture = || inputs::picture(&gateway.app, &principal, "image", &id);
    assert!(matches!(picture().await, Err(ServerError::InvalidImage { .. })), "its size is not known yet");
    artifacts.set_image_info(&id, 640, 480, None).await.unwrap();
    let picture = picture().await.unwrap();
    assert_eq!((picture.width, picture.height), (640, 480));
    gateway.running.stop().await;
}

#[tokio::test]
async fn workflows_are_analysed_once_for_what_is_installed() {
    let gateway = Gateway::start(|_| {}).await;
    let list = ListWorkflows::new(&gateway.app);
    let first = list.entries().await.unwrap();
    assert!(Arc::ptr_eq(&first, &list.entries().await.unwrap()));
    gateway.running.stop().await;
}

#[tokio::test]
async fn a_client_with_a_key_sees_its_own_pictures_alone() {
    let gateway = Gateway::start(|settings| settings.enable_auth = true).await;
    let (alice, bob) = (gateway.client("alice").await, gateway.client("bob").await);
    let made = alice.done("generate_image", small("a secret")).await;
    let artifact = &made["job"]["artifacts"][0];
    let load = json!({"class_type": "LoadImage", "inputs": {"image": "x.png"}});
    let save = json!({"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "x"}});
    let graph = json!({"1": load, "2": save});
    let stolen = format!("{} [output]", artifact["file_name"].as_str().unwrap());
    for image in [stolen.as_str(), artifact["uri"].as_str().unwrap()] {
        let arguments = json!({"graph": graph, "parameters": {"1.image": image}});
        bob.refused("run_workflow", arguments).await;
    }
    let mut named = graph.clone();
    named["1"]["inputs"]["image"] = stolen.into();
    let (_, data, _) = bob.refused("run_workflow", json!({"graph": named})).await;
    assert_eq!(data["field"], "1.image");
    let own = json!({"graph": graph, "parameters": {"1.image": artifact["uri"]}});
    alice.done("run_workflow", own).await;

    let backend = bob.done("get_queue_status", json!({})).await["backends"][0].clone();
    assert_eq!(backend["state"], "up");
    assert!(backend.get("url").is_none() && backend.get("version").is_some(), "{backend}");
    gateway.running.stop().await;
}

#[tokio::test]
async fn what_takes_a_core_is_bounded_and_beside_the_runtime() {
    let gateway = Gateway::start(|_| {}).await;
    let (release, held) = std::sync::mpsc::channel::<()>();
    let held = Arc::new(Mutex::new(held));
    let holding = || {
        let held = Arc::clone(&held);
        gateway.app.off_runtime(move || held.lock().unwrap().recv().unwrap())
    };
    // On the runtime, which has one thread here, the first would never end.
    let (mut first, mut second) = (Box::pin(holding()), Box::pin(holding()));
    let mut third = Box::pin(gateway.app.off_runtime(|| ()));
    for work in [&mut first, &mut second] {
        assert!(futures::poll!(work).is_pending());
    }
    assert!(futures::poll!(&mut third).is_pending());
    // Those who leave don't make room: their work goes on.
    drop((first, second));
    assert!(futures::poll!(&mut third).is_pending());
    release.send(()).unwrap();
    third.await.unwrap();
    release.send(()).unwrap();
    gateway.running.stop().await;
}

#[tokio::test]
async fn a_job_that_is_tried_again_tells_its_failure_as_a_message() {
    let mut job = {
        let gateway = Gateway::start(|_| {}).await;
        let payload = json!({"workflow": "txt2img", "graph": {}, "seed": 5, "warnings": ["careful"]});
        let job =
            gateway.app.queue.submit(NewJob::new("a", "generate_image", payload)).await.unwrap().into_job();
        gateway.running.stop().await;
        job
    };
    job.error = Some(job_queue::JobError {
        code: "comfyui_lost".into(),
        message: "gone".into(),
        remedy: None,
        retryable: true,
    });
    for (state, attempt, message) in [
        (JobState::Queued, 1, Some("attempt 1 failed: gone, trying again")),
        (JobState::Running, 2, Some("attempt 1 failed: gone, trying again")),
        (JobState::Failed, 3, None),
        (JobState::Cancelled, 1, None),
    ] {
        (job.state, job.attempt) = (state, attempt);
        let view = crate::views::JobView::new(&job);
        assert_eq!((view.message.as_deref(), view.error.is_some()), (message, state == JobState::Failed));
        assert_eq!((view.workflow.as_str(), view.seed, view.warnings.len()), ("txt2img", Some(5), 1));
    }
}

#[test]
fn a_full_share_is_told_as_the_callers_own() {
    let own = ServerError::from(job_queue::QueueError::OwnerFull { limit: 7 });
    assert!(own.to_string().contains("7 of your jobs"), "{own}");
    assert_eq!(own.code(), ServerError::from(job_queue::QueueError::Full { limit: 7 }).code());
    let kind = ServerError::UnknownName { field: "kind".into(), name: "x".into(), nearest: Vec::new() };
    assert!(kind.remedy().unwrap().contains("without `kind`"));
}
