//! Workflows of people: a folder that is watched, sidecars, tools made of them, and saving.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use mcp_protocol::client::Notice;
use mcp_protocol::wire::SubscriptionFilter;
use serde_json::{Value, json};
use tests::client::Client;
use tests::comfy::{self, ComfyProcess};
use tests::gateway::{Gateway, Setup};
use tests::images::{data_uri, difference, gradient};
use tests::wait::{LONG, until};

/// A change of the folder has to be live in this time.
const LIVE_IN: Duration = Duration::from_secs(2);

/// A graph of a person's, whose checkpoint is another machine's.
fn graph() -> Value {
    serde_json::from_str(include_str!("../../workflows/txt2img.json")).unwrap_or_default()
}

const SIDECAR: &str = r#"
title = "Portrait"
description = "A picture of somebody"
tool = true

[parameters.who]
target = "prompt"
description = "Whom it shows"
required = true

[parameters.size]
target = "width"
min = 64
max = 256
default = 128

[parameters.height]
default = 64

[parameters.steps]
default = 2

[parameters.variation]
target = "seed"
"#;

/// The model that the sandbox has, in a graph of a person's.
async fn with_model(client: &Client) -> Result<Value> {
    let models = client.call("list_models", json!({"kind": "checkpoints"})).await?;
    let text = models.structured()?.to_string();
    let start = text.find(".safetensors").context("no checkpoint")?;
    let name = text[..start].rsplit('"').next().context("no name")?;
    let mut graph = graph();
    for node in graph.as_object_mut().into_iter().flat_map(|nodes| nodes.values_mut()) {
        if node["class_type"] == "CheckpointLoaderSimple" {
            node["inputs"]["ckpt_name"] = format!("{name}.safetensors").into();
        }
    }
    Ok(graph)
}

async fn start() -> Result<(Gateway, Client)> {
    let gateway = Setup::sandbox(0.0)?.start().await?;
    let client = gateway.client().await?;
    Ok((gateway, client))
}

async fn tool(client: &Client, name: &str) -> Result<Option<Value>> {
    let tools = client.peer.list_tools().await?;
    let found = tools.into_iter().find(|tool| tool.name == name);
    Ok(found.map(serde_json::to_value).transpose()?)
}

async fn listed(client: &Client, name: &str) -> Result<Option<Value>> {
    let list = client.call("list_workflows", json!({"search": name})).await?;
    let found = list.structured()?["workflows"].as_array().cloned().unwrap_or_default();
    Ok(found.into_iter().find(|workflow| workflow["name"] == name))
}

async fn broken(client: &Client, name: &str) -> Result<Option<String>> {
    let list = client.call("list_workflows", json!({"search": name})).await?;
    let found = list.structured()?["broken"].as_array().cloned().unwrap_or_default();
    let found = found.into_iter().find(|broken| broken["name"] == name);
    Ok(found.and_then(|broken| Some(broken["problem"].as_str()?.to_owned())))
}

#[tokio::test]
async fn a_file_that_is_dropped_into_the_folder_is_a_tool_in_two_seconds() -> Result<()> {
    let (gateway, client) = start().await?;
    let filter = SubscriptionFilter { tools_list_changed: true, ..SubscriptionFilter::default() };
    let mut listening = client.peer.listen(filter).await?;
    ensure!(tool(&client, "portrait").await?.is_none());
    // The folder itself comes with the first file.
    let folder = gateway.setup().home().join("workflows");
    fs::create_dir(&folder)?;
    fs::write(folder.join("portrait.json"), with_model(&client).await?.to_string())?;
    fs::write(folder.join("portrait.toml"), SIDECAR)?;
    let dropped = Instant::now();
    let described = loop {
        let notice = tokio::time::timeout(LONG, listening.next()).await.context("nothing is told")??;
        ensure!(matches!(notice, Some(Notice::ToolsChanged)), "{notice:?}");
        if let Some(tool) = tool(&client, "portrait").await? {
            break tool;
        }
    };
    ensure!(dropped.elapsed() < LIVE_IN, "it took {:?}", dropped.elapsed());
    ensure!(described["description"] == "A picture of somebody", "{described}");
    let schema = &described["inputSchema"];
    ensure!(schema["required"] == json!(["who"]), "{schema}");
    let size = json!({"type": "integer", "minimum": 64, "maximum": 256, "default": 128});
    ensure!(schema["properties"]["size"] == size, "{schema}");
    let manifest = client.call("get_tools_manifest", json!({})).await?;
    ensure!(manifest.text().contains("\"portrait\""), "the manifest has it too");

    let made = client.finish("portrait", json!({"who": "a fox"})).await?.job()?;
    let again = client.finish("portrait", json!({"who": "a fox"})).await?.job()?;
    ensure!(made.artifacts[0].width == Some(128), "{made:?}");
    ensure!(made.seed.is_some() && made.seed != again.seed, "a seed that isn't given is drawn, and told");
    let same = client.finish("portrait", json!({"who": "a fox", "variation": made.seed})).await?.job()?;
    let (one, other) = (client.first_file(&made).await?, client.first_file(&same).await?);
    ensure!(difference(&one, &other)? < 0.01, "the same seed, the same picture");
    let refused = client.refused("portrait", json!({"who": "a fox", "size": 512})).await?;
    ensure!(refused.message.contains("size"), "{refused:?}");

    fs::remove_file(folder.join("portrait.json"))?;
    until("the tool goes", LONG, async || Ok(tool(&client, "portrait").await?.is_none().then_some(()))).await
}

#[tokio::test]
async fn a_sidecar_that_is_broken_says_where_and_takes_nothing_else_along() -> Result<()> {
    let (gateway, client) = start().await?;
    let graph = with_model(&client).await?.to_string();
    let folder = gateway.setup().home().join("workflows");
    fs::create_dir(&folder)?;
    for name in ["good", "bad"] {
        fs::write(folder.join(format!("{name}.json")), &graph)?;
    }
    fs::write(folder.join("bad.toml"), "title = \"Bad\"\ntoool = true\n")?;
    let problem = until("the problem is told", LONG, async || broken(&client, "bad").await).await?;
    ensure!(problem.contains("bad.toml, line 2") && problem.contains("`tool`"), "{problem}");
    ensure!(listed(&client, "good").await?.is_some_and(|good| good["runnable"] == true));

    // A target that isn't there shows when the graph is looked at.
    fs::write(folder.join("bad.toml"), "[parameters.who]\ntarget = \"promt\"\n")?;
    let entry = until("it is loaded", LONG, async || listed(&client, "bad").await).await?;
    ensure!(
        entry["missing"][0].as_str().is_some_and(|text| text.contains("line 1") && text.contains("prompt")),
        "{entry}"
    );
    let fits = async || Ok(broken(&client, "bad").await?.filter(|problem| problem.contains("line 1")));
    let problem = until("the target is told", LONG, fits).await?;
    ensure!(problem.contains("prompt"), "{problem}");

    // Half a file is no reason to lose the workflow that was there.
    fs::write(folder.join("good.json"), &graph[..graph.len() / 2])?;
    let problem = until("the half is seen", LONG, async || broken(&client, "good").await).await?;
    ensure!(problem.contains("version before"), "{problem}");
    client
        .finish("run_workflow", json!({"workflow": "good", "parameters": {"width": 64, "height": 64}}))
        .await?;
    Ok(())
}

#[tokio::test]
async fn a_workflow_is_saved_described_and_run() -> Result<()> {
    let (gateway, client) = start().await?;
    let graph = with_model(&client).await?;
    let saved = client.call("save_workflow", json!({"name": "mine", "graph": graph})).await?;
    let saved = saved.structured()?.clone();
    ensure!(saved["workflow"]["runnable"] == true, "{saved}");
    ensure!(gateway.setup().home().join("workflows/mine.json").is_file());
    let described = client.call("describe_workflow", json!({"workflow": "mine"})).await?;
    let described = described.structured()?.clone();
    let steps = described["parameters"].as_array().into_iter().flatten().find(|one| one["name"] == "steps");
    ensure!(steps.is_some_and(|steps| steps["type"] == "integer" && steps["min"] == 1), "{described}");
    ensure!(described["seed"] == "fixed" && described["needs"]["models"][0]["folder"] == "checkpoints");

    // By name, as node.input, and by the title of a node.
    let parameters =
        json!({"Positive prompt": "a cat", "width": 64, "height": 64, "2.text": "a cat", "seed": 7});
    let job =
        client.finish("run_workflow", json!({"workflow": "mine", "parameters": parameters})).await?.job()?;
    ensure!(job.seed == Some(7), "{job:?}");
    let twice = json!({"Positive prompt": "a cat", "2.text": "a dog"});
    client.refused("run_workflow", json!({"workflow": "mine", "parameters": twice})).await?;
    let refused =
        client.refused("run_workflow", json!({"workflow": "mine", "parameters": {"stepps": 1}})).await?;
    ensure!(refused.message.contains("steps"), "{refused:?}");

    // Who listens to it is told of the next version.
    let mut listening = client.peer.subscribe("comfy://workflows/mine").await?;
    client.call("save_workflow", json!({"name": "mine", "graph": graph, "overwrite": true})).await?;
    let notice = tokio::time::timeout(LONG, listening.next()).await.context("nothing is told")??;
    ensure!(matches!(notice, Some(Notice::ResourceUpdated { .. })), "{notice:?}");

    // What a picture was made with is in the picture; the folder of its run isn't told.
    let artifact = job.artifacts[0].uri.clone();
    client.call("save_workflow", json!({"name": "from a picture", "image": artifact})).await?;
    let file = client.first_file(&job).await?;
    client.call("save_workflow", json!({"name": "from data", "image": data_uri(&file)})).await?;
    fs::write(gateway.setup().home().join("workflows/dropped.png"), &file)?;
    let dropped = until("the picture is a workflow", LONG, async || listed(&client, "dropped").await).await?;
    ensure!(dropped["runnable"] == true, "{dropped}");
    let stored = client.read_json("comfy://workflows/from%20a%20picture").await?;
    ensure!(stored["graph"].to_string().contains("a cat") && !stored["graph"].to_string().contains("mcp/"));
    let data = data_uri(&gradient(8, 8)?);
    let refused = client.refused("save_workflow", json!({"name": "x", "image": data})).await?;
    ensure!(refused.message.contains("no workflow"), "{refused:?}");
    Ok(())
}

#[tokio::test]
async fn nothing_is_saved_outside_of_the_folder_or_over_something_else() -> Result<()> {
    let (gateway, client) = start().await?;
    let graph = with_model(&client).await?;
    for name in
        ["../evil", "/tmp/evil", "a/b", "..", ".hidden", "a\\b", "", "x\u{0}y", "..\\..\\evil", "evil.json/x"]
    {
        let refused = client.refused("save_workflow", json!({"name": name, "graph": graph})).await?;
        ensure!(refused.message.contains("name"), "{name:?}: {refused:?}");
    }
    ensure!(!gateway.setup().home().join("evil.json").exists());
    let refused = client.refused("save_workflow", json!({"name": "txt2img", "graph": graph})).await?;
    ensure!(refused.message.contains("overwrite"), "{refused:?}");
    client.call("save_workflow", json!({"name": "mine", "graph": graph})).await?;
    client.refused("save_workflow", json!({"name": "mine", "graph": graph})).await?;
    client.call("save_workflow", json!({"name": "mine", "graph": graph, "overwrite": true})).await?;
    for graph in [json!({}), json!({"1": {"inputs": {}}}), json!({"1": 5})] {
        client.refused("save_workflow", json!({"name": "junk", "graph": graph})).await?;
    }
    let names: Vec<_> =
        fs::read_dir(gateway.setup().home().join("workflows"))?.flatten().map(|e| e.file_name()).collect();
    ensure!(names.len() == 1, "{names:?}");
    Ok(())
}

/// A client's permission is for the workflow's tool by its name; what it saved itself is no more trusted than what it sends.
#[tokio::test]
async fn with_keys_a_workflow_is_allowed_by_its_name() -> Result<()> {
    let setup = Setup::sandbox(0.0)?.switch("--enable-auth");
    let keys = json!({
        "alice": {"api_key": "alice-alice-alice", "permissions": ["*"]},
        "bob": {"api_key": "bob-bob-bob-bob", "permissions": ["portrait"]},
    });
    let mut setup = setup.file("auth_config.json", keys.to_string())?;
    setup = setup.file("workflows/portrait.toml", SIDECAR)?;
    setup = setup.file("workflows/portrait.json", graph().to_string())?;
    let gateway = setup.start().await?;
    let alice = gateway.client_with_key("alice-alice-alice").await?;
    let graph = with_model(&alice).await?;
    fs::write(gateway.setup().home().join("workflows/portrait.json"), graph.to_string())?;
    let runs = async || Ok(listed(&alice, "portrait").await?.filter(|entry| entry["runnable"] == true));
    until("the model is there", LONG, runs).await?;

    let bob = gateway.client_with_key("bob-bob-bob-bob").await?;
    let job = bob.start("portrait", json!({"who": "a fox"})).await?;
    bob.succeeded(&job.id).await?;
    for (tool, arguments) in [
        ("run_workflow", json!({"workflow": "portrait"})),
        ("save_workflow", json!({"name": "his", "graph": graph})),
        ("list_workflows", json!({})),
    ] {
        ensure!(bob.raw_call(tool, arguments).await.is_err(), "{tool}");
    }

    let mut loads = graph.clone();
    loads["90"] = json!({"class_type": "LoadImage", "inputs": {"image": "secret.png [output]"}});
    loads["91"] = json!({"class_type": "PreviewImage", "inputs": {"images": ["90", 0]}});
    alice.call("save_workflow", json!({"name": "hers", "graph": loads})).await?;
    let refused = alice.refused("run_workflow", json!({"workflow": "hers"})).await?;
    ensure!(refused.message.contains("90.image"), "{refused:?}");
    let refused = alice
        .refused("save_workflow", json!({"name": "portrait", "graph": graph, "overwrite": true}))
        .await?;
    ensure!(refused.message.contains("isn't yours"), "{refused:?}");
    Ok(())
}

/// Texts and what moves come as what they are.
#[tokio::test]
async fn what_is_no_still_picture_is_an_artifact_of_its_kind() -> Result<()> {
    let (_gateway, client) = start().await?;
    let empty = json!({"class_type": "EmptyImage", "inputs": {"width": 16, "height": 16, "batch_size": 3, "color": 255}});
    let save = json!({"class_type": "SaveAnimatedPNG",
        "inputs": {"images": ["1", 0], "filename_prefix": "x", "fps": 6.0, "compress_level": 4}});
    let text = json!({"class_type": "PreviewAny", "inputs": {"source": "what was found"}});
    let reply = client.finish("run_workflow", json!({"graph": {"1": empty, "2": save, "3": text}})).await?;
    let artifact = &reply.job()?.artifacts[0];
    ensure!(artifact.media_type == "image/apng", "{artifact:?}");
    ensure!(reply.images().is_empty(), "a picture that moves has no still one");
    ensure!(reply.text().contains("what was found"), "{}", reply.text());
    let whole = client.call("get_image", json!({"artifact_id": artifact.uri})).await?;
    let (bytes, media_type) = whole.images().pop().context("no image")?;
    ensure!(media_type == "image/apng" && bytes == client.file(artifact).await?, "{media_type}");
    Ok(())
}

/// What the editor saves runs as it is, once ComfyUI is known.
#[tokio::test]
async fn a_file_of_the_editor_waits_for_comfyui_and_runs_then() -> Result<()> {
    let node = |id: u64, class: &str, inputs: Value, outputs: Value, values: Value| {
        json!({"id": id, "type": class, "pos": [0, 0], "size": [1, 1], "flags": {}, "order": id, "mode": 0,
            "inputs": inputs, "outputs": outputs, "properties": {}, "widgets_values": values})
    };
    let image = json!([{"name": "IMAGE", "type": "IMAGE", "links": [1]}]);
    let images = json!([{"name": "images", "type": "IMAGE", "link": 1}]);
    let document = json!({"last_node_id": 2, "last_link_id": 1, "version": 0.4, "groups": [], "extra": {}, "config": {},
        "nodes": [node(1, "EmptyImage", json!([]), image, json!([24, 16, 1, 255])),
            node(2, "SaveImage", images, json!([]), json!(["edited"]))],
        "links": [[1, 1, 0, 2, 0, "IMAGE"]]});
    let address = comfy::free_address().await?;
    let setup = Setup::comfyui(&format!("http://{address}"))?;
    let gateway = setup.file("workflows/edited.json", document.to_string())?.start().await?;
    let client = gateway.client().await?;
    let entry = listed(&client, "edited").await?.context("it is not listed")?;
    ensure!(entry["missing"][0].as_str().is_some_and(|text| text.contains("waits for ComfyUI")), "{entry}");

    let _comfy = ComfyProcess::start(address, 0.0).await?;
    let runs = async || Ok(listed(&client, "edited").await?.filter(|entry| entry["runnable"] == true));
    until("ComfyUI is known", LONG, runs).await?;
    let parameters = json!({"1.width": 40});
    let job = client
        .finish("run_workflow", json!({"workflow": "edited", "parameters": parameters}))
        .await?
        .job()?;
    ensure!((job.artifacts[0].width, job.artifacts[0].height) == (Some(40), Some(16)), "{job:?}");
    let job = client.finish("run_workflow", json!({"graph": document})).await?.job()?;
    ensure!(job.artifacts[0].width == Some(24), "{job:?}");
    Ok(())
}

/// What is inferred is told on the command line too, and becomes a sidecar that is good.
#[tokio::test]
async fn a_file_is_inspected_and_gets_its_sidecar() -> Result<()> {
    let sandbox = comfy::sandbox(Duration::ZERO).await?;
    let setup = Setup::comfyui(sandbox.url().as_str())?.file("mine/x.json", graph().to_string())?;
    let inspected = setup.run(&["workflow", "inspect", "mine/x.json", "--json"]).await?;
    let report: Value = serde_json::from_str(&inspected.stdout)?;
    let named =
        |name: &str| report["parameters"].as_array().into_iter().flatten().any(|one| one["name"] == name);
    ensure!(named("prompt") && named("steps") && report["task"] == "text_to_image", "{report}");
    ensure!(report["missing"][0].as_str().is_some_and(|text| text.contains(".safetensors")), "{report}");
    ensure!(!setup.home().join("mine/x.toml").exists(), "nothing is written unasked");

    let written = setup.run(&["workflow", "inspect", "mine/x.json", "--write"]).await?;
    ensure!(written.code == Some(0) && written.stdout.contains("written: mine/x.toml"), "{}", written.stdout);
    let again = setup.run(&["workflow", "inspect", "mine/x.json", "--write"]).await?;
    ensure!(again.code == Some(1) && again.stderr.contains("--force"), "{}", again.stderr);
    // What was written can be read, and exposes the same.
    let read = setup.run(&["workflow", "inspect", "mine/x.json", "--json"]).await?;
    let read: Value = serde_json::from_str(&read.stdout)?;
    ensure!(read["seed"] == "random" && read["title"] == "x", "{read}");
    let count = |report: &Value| report["parameters"].as_array().map(Vec::len);
    ensure!(count(&read) == count(&report), "{read}");
    Ok(())
}

/// A shipped workflow needs no file to be a tool, and takes images as the other tools do.
#[tokio::test]
async fn a_shipped_workflow_is_a_tool_when_a_sidecar_says_so() -> Result<()> {
    let setup = Setup::sandbox(0.0)?.file("workflows/upscale.toml", "tool = true\ntitle = \"Enlarge\"\n")?;
    // Of a name that is taken nobody is left in doubt.
    let gateway = setup.file("workflows/img2img.toml", "tool = true\n")?.start().await?;
    let client = gateway.client().await?;
    let described = tool(&client, "upscale").await?.context("it is no tool")?;
    ensure!(
        described["title"] == "Enlarge" && described["inputSchema"]["required"] == json!(["image"]),
        "{described}"
    );
    let problem = broken(&client, "img2img").await?.context("nothing is said")?;
    ensure!(problem.contains("there is a tool `img2img` already"), "{problem}");

    let job = client.finish("upscale", json!({"image": data_uri(&gradient(16, 8)?)})).await?.job()?;
    ensure!(job.artifacts[0].width > Some(16) && job.tool.as_deref() == Some("upscale"), "{job:?}");
    let larger = client.finish("upscale", json!({"image": job.artifacts[0].uri})).await?.job()?;
    ensure!(larger.artifacts[0].width > job.artifacts[0].width, "{larger:?}");
    client.refused("upscale", json!({})).await?;
    let refused = client.refused("upscale", json!({"image": "nothing"})).await?;
    ensure!(refused.message.contains("image") && !refused.message.contains("parameters."), "{refused:?}");
    Ok(())
}
