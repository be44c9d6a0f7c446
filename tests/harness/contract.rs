//! What every ComfyUI does, as cases that run alike on a real one and on the sandbox.
//!
//! The names of models come from `/object_info`. A sandbox needs a sampling time of 0.3 s or more, so that there is
//! something to interrupt. Other clients may use the server meanwhile, as long as they don't interrupt or clear.

mod wire;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use reqwest::Method;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use url::Url;

use self::wire::{
    Models, Socket, ensure, get, history, image_graph, is_end, json_of, parsed, picture, post, refused,
    request, run, run_on, same, sample_png, seed, send_upload, sent, status, submit, text, upload,
};

/// What a case says: nothing, or what was otherwise than it should be.
pub type Outcome = Result<(), String>;

/// One case of the contract.
pub struct Case {
    /// What is checked, in words.
    pub name: &'static str,
    run: fn(Url) -> BoxFuture<'static, Outcome>,
}

impl Case {
    /// Checks it on the server with this base URL.
    pub async fn check(&self, base: &Url) -> Outcome {
        (self.run)(base.clone()).await
    }
}

impl std::fmt::Debug for Case {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Case").field("name", &self.name).finish_non_exhaustive()
    }
}

/// All cases, in the order in which a reader would ask.
pub fn cases() -> Vec<Case> {
    vec![
        case("the first frame of a websocket is the status with the client's id", |url| greets(url).boxed()),
        case("feature flags are answered when they come first, and ignored later", |url| flags(url).boxed()),
        case("a run tells of itself in order, and its picture can be fetched", |url| runs(url).boxed()),
        case("the same graph again is cached and shows its old file", |url| caches(url).boxed()),
        case("previews come as binary frames to who asked for them", |url| previews(url).boxed()),
        case("an image is painted over, within a mask, with a LoRA and a ControlNet", |url| {
            edits(url).boxed()
        }),
        case("image nodes compute pixels", |url| pixels(url).boxed()),
        case("a node that fails ends the run with an error in the history", |url| fails(url).boxed()),
        case("wrong graphs are refused with the reasons of their nodes", |url| refuses(url).boxed()),
        case("a waiting prompt is deleted, a running one interrupted, each by its id", |url| {
            stops(url).boxed()
        }),
        case("others hear of the queue alone", |url| bystands(url).boxed()),
        case("uploads keep their name or get a number, and stay in their folder", |url| uploads(url).boxed()),
        case("a mask is stored as the alpha of its original", |url| masks(url).boxed()),
        case("files are viewed whole, in part, and as previews", |url| views(url).boxed()),
        case("bodies that can't be read are answered 500 with a text", |url| breaks(url).boxed()),
        case("what is unknown is answered as it always was", |url| unknowns(url).boxed()),
    ]
}

fn case(name: &'static str, run: fn(Url) -> BoxFuture<'static, Outcome>) -> Case {
    Case { name, run }
}

async fn greets(url: Url) -> Outcome {
    for path in ["ws", "api/ws"] {
        let mut socket = Socket::open(&url, path, "contract-greets").await?;
        let first = socket.event().await?;
        same("type", &first["type"], &json!("status"))?;
        same("sid", &first["data"]["sid"], &json!("contract-greets"))?;
        ensure(
            first["data"]["status"]["exec_info"]["queue_remaining"].is_u64(),
            "queue_remaining is missing",
        )?;
    }
    Ok(())
}

async fn flags(url: Url) -> Outcome {
    let flags = json!({"type": "feature_flags", "data": {"supports_preview_metadata": true}});
    let mut socket = Socket::open(&url, "ws", "contract-flags").await?;
    socket.send(&flags).await?;
    let features = socket.until("feature_flags").await?;
    same("features", &features, &json_of(get(&url, "features").await?).await?)?;
    let mut late = Socket::open(&url, "ws", "contract-late").await?;
    late.send(&json!({"type": "hello"})).await?;
    late.send(&flags).await?;
    let (_, kinds) = run_on(&url, &mut late, "contract-late", &image_graph(1)).await?;
    ensure(!kinds.iter().any(|kind| kind == "feature_flags"), "late feature flags were answered")
}

async fn runs(url: Url) -> Outcome {
    let models = Models::of(&url).await?;
    let graph = models.txt2img(64);
    let mut socket = Socket::open(&url, "ws", "contract-runs").await?;
    let (id, kinds) = run_on(&url, &mut socket, "contract-runs", &graph).await?;
    let expected = [
        "execution_start",
        "execution_cached",
        "progress_state",
        "executing",
        "progress",
        "executed",
        "execution_success",
        "executing",
    ];
    let mut seen = kinds.iter();
    for kind in expected {
        ensure(seen.any(|seen| seen == kind), &format!("{kind} is missing or out of place in {kinds:?}"))?;
    }
    let entry = history(&url, &id).await?;
    same("status", &entry["status"]["status_str"], &json!("success"))?;
    same("completed", &entry["status"]["completed"], &json!(true))?;
    same("id", &entry["prompt"][1], &json!(id))?;
    let bytes = picture(&url, &entry).await?;
    let decoded = image::load_from_memory(&bytes).map_err(|error| error.to_string())?;
    same("size", &json!([decoded.width(), decoded.height()]), &json!([64, 64]))?;
    ensure(bytes.windows(11).any(|bytes| bytes == b"tEXtprompt\0"), "the picture does not hold its graph")
}

async fn caches(url: Url) -> Outcome {
    let graph = image_graph(seed());
    let mut socket = Socket::open(&url, "ws", "contract-caches").await?;
    let (first, _) = run_on(&url, &mut socket, "contract-caches", &graph).await?;
    let (second, kinds) = run_on(&url, &mut socket, "contract-caches", &graph).await?;
    ensure(kinds.iter().any(|kind| kind == "executed"), "a cached output did not show itself")?;
    let (first, second) = (history(&url, &first).await?, history(&url, &second).await?);
    same("outputs", &second["outputs"], &first["outputs"])?;
    let cached = &second["status"]["messages"][1][1]["nodes"];
    ensure(cached.as_array().is_some_and(|nodes| nodes.len() == 3), &format!("cached were {cached}"))
}

async fn previews(url: Url) -> Outcome {
    let models = Models::of(&url).await?;
    let mut socket = Socket::open(&url, "ws", "contract-previews").await?;
    socket.send(&json!({"type": "feature_flags", "data": {"supports_preview_metadata": true}})).await?;
    let extra_data = json!({"preview_method": "latent2rgb"});
    let body =
        json!({"prompt": models.txt2img(64), "client_id": "contract-previews", "extra_data": extra_data});
    let id = submit(&url, &body).await?;
    let mut last = String::new();
    loop {
        match socket.next().await? {
            Message::Binary(frame) => {
                same("event", &json!(frame.get(..4)), &json!([0, 0, 0, 4]))?;
                let metadata = String::from_utf8_lossy(&frame).into_owned();
                return ensure(metadata.contains(&id), "the preview does not name its prompt");
            }
            // A server older than 0.8 sends previews only if it was started with them.
            Message::Text(text) if is_end(&text, &id) => {
                return ensure(last != "execution_error", "it failed");
            }
            Message::Text(text) => parsed(&text)?["type"].as_str().unwrap_or_default().clone_into(&mut last),
            _ => {}
        }
    }
}

async fn edits(url: Url) -> Outcome {
    let models = Models::of(&url).await?;
    upload(&url, "contract-edit.png", sample_png(64), &[("overwrite", "true")]).await?;
    let mut graph = models.txt2img(64);
    let load = json!({"class_type": "LoadImage", "inputs": {"image": "contract-edit.png"}});
    graph["10"] = load;
    graph["11"] = json!({"class_type": "VAEEncode", "inputs": {"pixels": ["10", 0], "vae": ["4", 2]}});
    graph["3"]["inputs"]["latent_image"] = json!(["11", 0]);
    graph["3"]["inputs"]["denoise"] = json!(0.6);
    let mut inpaint = graph.clone();
    inpaint["11"] = json!({"class_type": "VAEEncodeForInpaint", "inputs": {
        "pixels": ["10", 0], "vae": ["4", 2], "mask": ["10", 1], "grow_mask_by": 6}});
    let mut lora = graph.clone();
    lora["12"] = json!({"class_type": "LoraLoader", "inputs": {
        "model": ["4", 0], "clip": ["4", 1], "lora_name": models.lora, "strength_model": 0.8, "strength_clip": 0.8}});
    lora["3"]["inputs"]["model"] = json!(["12", 0]);
    lora["6"]["inputs"]["clip"] = json!(["12", 1]);
    let mut control = graph.clone();
    control["13"] =
        json!({"class_type": "ControlNetLoader", "inputs": {"control_net_name": models.control_net}});
    control["14"] = json!({"class_type": "ControlNetApplyAdvanced", "inputs": {
        "positive": ["6", 0], "negative": ["7", 0], "control_net": ["13", 0], "image": ["10", 0],
        "strength": 0.8, "start_percent": 0.0, "end_percent": 1.0}});
    control["3"]["inputs"]["positive"] = json!(["14", 0]);
    control["3"]["inputs"]["negative"] = json!(["14", 1]);
    for (name, graph) in [("img2img", graph), ("inpaint", inpaint), ("LoRA", lora), ("ControlNet", control)] {
        let entry = run(&url, &graph).await.map_err(|error| format!("{name}: {error}"))?;
        same(name, &entry["status"]["status_str"], &json!("success"))?;
        picture(&url, &entry).await?;
    }
    Ok(())
}

async fn pixels(url: Url) -> Outcome {
    let entry = run(&url, &image_graph(0x12_34_56)).await?;
    let bytes = picture(&url, &entry).await?;
    let decoded = image::load_from_memory(&bytes).map_err(|error| error.to_string())?.into_rgb8();
    same("size", &json!(decoded.dimensions()), &json!([96, 48]))?;
    same("color", &json!(decoded.get_pixel(5, 5).0), &json!([0x12, 0x34, 0x56]))
}

async fn fails(url: Url) -> Outcome {
    upload(&url, "contract-no-image.png", b"no picture".to_vec(), &[("overwrite", "true")]).await?;
    let graph = json!({
        "1": {"class_type": "LoadImage", "inputs": {"image": "contract-no-image.png"}},
        "2": {"class_type": "SaveImage", "inputs": {"filename_prefix": "contract", "images": ["1", 0]}},
    });
    let entry = run(&url, &graph).await?;
    same("status", &entry["status"]["status_str"], &json!("error"))?;
    let messages = entry["status"]["messages"].as_array().cloned().unwrap_or_default();
    let error =
        messages.iter().find(|message| message[0] == "execution_error").ok_or("no execution_error")?;
    same("node", &error[1]["node_id"], &json!("1"))?;
    same("class", &error[1]["node_type"], &json!("LoadImage"))?;
    same("type", &error[1]["exception_type"], &json!("PIL.UnidentifiedImageError"))
}

async fn refuses(url: Url) -> Outcome {
    let models = Models::of(&url).await?;
    let change = |node: &str, input: &str, value: Value| {
        let mut graph = models.txt2img(64);
        graph[node]["inputs"][input] = value;
        graph
    };
    let mut unknown_class = image_graph(1);
    unknown_class["2"]["class_type"] = json!("NoSuchNode");
    let nodes = [
        (change("3", "steps", json!(0)), "3", "value_smaller_than_min"),
        (change("3", "cfg", json!(1000)), "3", "value_bigger_than_max"),
        (change("3", "steps", json!("many")), "3", "invalid_input_type"),
        (change("3", "sampler_name", json!("nope")), "3", "value_not_in_list"),
        (change("3", "model", json!(["6", 0])), "3", "return_type_mismatch"),
        (change("3", "model", json!(["4"])), "3", "bad_linked_input"),
        (change("8", "samples", json!(["99", 0])), "8", "exception_during_inner_validation"),
        (change("9", "images", json!(["99", 0])), "9", "exception_during_validation"),
    ];
    for (graph, node, kind) in nodes {
        let answer = refused(&url, &graph, "prompt_outputs_failed_validation").await?;
        same(kind, &answer["node_errors"][node]["errors"][0]["type"], &json!(kind))?;
        same(kind, &answer["node_errors"][node]["dependent_outputs"], &json!(["9"]))?;
    }
    refused(&url, &unknown_class, "invalid_prompt").await?;
    refused(&url, &json!({}), "prompt_no_outputs").await?;
    let ui_format = post(&url, "prompt", &json!({"prompt": {"last_node_id": 9, "nodes": []}})).await?;
    status(&ui_format, 500)?;
    let accepted = change("3", "steps", json!("2"));
    same("status", &run(&url, &accepted).await?["status"]["status_str"], &json!("success"))
}

async fn stops(url: Url) -> Outcome {
    let mut graph = Models::of(&url).await?.txt2img(64);
    graph["3"]["inputs"]["steps"] = json!(3000);
    let mut socket = Socket::open(&url, "ws", "contract-stops").await?;
    let id = submit(&url, &json!({"prompt": graph, "client_id": "contract-stops"})).await?;
    let waiting = format!("contract-waits-{}", seed());
    graph["3"]["inputs"]["seed"] = json!(seed());
    let answer = submit(&url, &json!({"prompt": graph, "prompt_id": waiting})).await?;
    same("own id", &json!(answer), &json!(waiting))?;
    while socket.until("executing").await?["node"] != "3" {}
    post(&url, "interrupt", &json!({"prompt_id": waiting})).await?;
    post(&url, "queue", &json!({"delete": [waiting, id, "nobody"]})).await?;
    let queue = json_of(get(&url, "queue").await?).await?;
    let text = queue.to_string();
    ensure(!text.contains(&waiting), "a deleted prompt still waits")?;
    ensure(queue["queue_running"].to_string().contains(&id), "deleting stopped the running prompt")?;
    post(&url, "interrupt", &json!({"prompt_id": id})).await?;
    let interrupted = socket.until("execution_interrupted").await?;
    same("node", &interrupted["node_id"], &json!("3"))?;
    socket.until_end(&id).await?;
    let entry = history(&url, &id).await?;
    same("status", &entry["status"]["status_str"], &json!("error"))?;
    same("completed", &entry["status"]["completed"], &json!(false))?;
    same("a deleted one", &json_of(get(&url, &format!("history/{waiting}")).await?).await?, &json!({}))
}

async fn bystands(url: Url) -> Outcome {
    let mut bystander = Socket::open(&url, "ws", "contract-bystander").await?;
    run(&url, &image_graph(seed())).await?;
    // Its own run ends what it hears.
    let (_, kinds) = run_on(&url, &mut bystander, "contract-bystander", &image_graph(seed())).await?;
    let before = kinds.iter().take_while(|kind| *kind != "execution_start");
    let others: Vec<_> = before.filter(|kind| *kind != "status").collect();
    ensure(others.is_empty(), &format!("a bystander heard {others:?}"))
}

async fn uploads(url: Url) -> Outcome {
    let name = format!("contract-{}", seed());
    let first = upload(&url, &format!("{name}.png"), sample_png(8), &[]).await?;
    same("first", &first, &json!({"name": format!("{name}.png"), "subfolder": "", "type": "input"}))?;
    let again = upload(&url, &format!("{name}.png"), sample_png(8), &[]).await?;
    same("same content", &again, &first)?;
    let other = upload(&url, &format!("{name}.png"), sample_png(16), &[]).await?;
    same("other content", &other["name"], &json!(format!("{name} (1).png")))?;
    let fields = [("subfolder", "contract/deep"), ("type", "temp")];
    let deep = upload(&url, "a.png", sample_png(8), &fields).await?;
    same("subfolder", &deep["subfolder"], &json!("contract/deep"))?;
    let outside =
        send_upload(&url, "upload/image", "a.png", sample_png(8), &[("subfolder", "../../x")]).await?;
    status(&outside, 400)?;
    let bogus = send_upload(&url, "upload/image", "a.png", sample_png(8), &[("type", "bogus")]).await?;
    status(&bogus, 500)
}

async fn masks(url: Url) -> Outcome {
    upload(&url, "contract-original.png", sample_png(16), &[("overwrite", "true")]).await?;
    let original = r#"{"filename": "contract-original.png", "type": "input"}"#;
    let fields = [("original_ref", original), ("subfolder", "clipspace"), ("overwrite", "true")];
    status(&send_upload(&url, "upload/mask", "contract-masked.png", sample_png(16), &fields).await?, 200)?;
    let stored = get(&url, "view?filename=contract-masked.png&subfolder=clipspace&type=input").await?;
    let stored =
        image::load_from_memory(&stored.bytes().await.map_err(text)?).map_err(|error| error.to_string())?;
    same("alpha", &json!(stored.into_rgba8().get_pixel(15, 0).0[3]), &json!(0))?;
    let missing = [("original_ref", r#"{"filename": "nowhere.png"}"#)];
    status(&send_upload(&url, "upload/mask", "contract-lost.png", sample_png(16), &missing).await?, 200)?;
    status(&get(&url, "view?filename=contract-lost.png&type=input").await?, 404)
}

async fn views(url: Url) -> Outcome {
    upload(&url, "contract-view.png", sample_png(32), &[("overwrite", "true")]).await?;
    let path = "view?filename=contract-view.png&type=input";
    let whole = get(&url, path).await?;
    let etag = whole.headers().get("etag").cloned().ok_or("no ETag")?;
    same("bytes", &json!(whole.bytes().await.map_err(text)?.len()), &json!(sample_png(32).len()))?;
    let unchanged = sent(request(&url, Method::GET, path)?.header("if-none-match", etag)).await?;
    status(&unchanged, 304)?;
    let part = sent(request(&url, Method::GET, path)?.header("range", "bytes=1-3")).await?;
    status(&part, 206)?;
    same("range", &json!(part.bytes().await.map_err(text)?.to_vec()), &json!(b"PNG"))?;
    for (query, media_type) in
        [("preview=webp;50", "image/webp"), ("preview=jpeg", "image/jpeg"), ("channel=a", "image/png")]
    {
        let answer = get(&url, &format!("{path}&{query}")).await?;
        let found = answer.headers().get("content-type").and_then(|value| value.to_str().ok());
        same(query, &json!(found), &json!(media_type))?;
    }
    for (path, code) in [
        ("view", 404),
        ("view?filename=", 400),
        ("view?filename=../../x", 400),
        ("view?filename=x&subfolder=../", 403),
        ("view?filename=contract-nowhere.png", 404),
        ("view?filename=x.png&type=bogus", 400),
    ] {
        status(&get(&url, path).await?, code).map_err(|error| format!("{path}: {error}"))?;
    }
    Ok(())
}

async fn breaks(url: Url) -> Outcome {
    for (path, body) in [("prompt", "{"), ("prompt", ""), ("queue", ""), ("free", "")] {
        let answer = sent(request(&url, Method::POST, path)?.body(body)).await?;
        status(&answer, 500).map_err(|error| format!("{path} {body:?}: {error}"))?;
        let found = answer.text().await.map_err(text)?;
        same(path, &json!(found), &json!("500 Internal Server Error\n\nServer got itself in trouble"))?;
    }
    let none = post(&url, "prompt", &json!({"client_id": "x"})).await?;
    status(&none, 400)?;
    same("type", &json_of(none).await?["error"]["type"], &json!("no_prompt"))
}

async fn unknowns(url: Url) -> Outcome {
    for path in ["history/nobody", "object_info/NoSuchNode"] {
        same(path, &json_of(get(&url, path).await?).await?, &json!({}))?;
    }
    for path in ["models/nope", "no/such/path", "prompt/"] {
        status(&get(&url, path).await?, 404).map_err(|error| format!("{path}: {error}"))?;
    }
    status(&sent(request(&url, Method::PUT, "prompt")?).await?, 405)?;
    let foreign = request(&url, Method::GET, "system_stats")?.header("origin", "http://evil.example");
    status(&sent(foreign).await?, 403)
}
