//! What can be read: jobs, pictures, workflows, installed models.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, bail, ensure};
use base64::Engine as _;
use mcp_protocol::client::{CallOptions, ClientError, PeerOptions};
use mcp_protocol::error::{FORBIDDEN, INVALID_PARAMS, RESOURCE_NOT_FOUND};
use mcp_protocol::wire::{
    CompleteParams, CompletionArgument, CompletionReference, Era, ProtocolVersion, ResourceDescription,
};
use serde_json::{Map, Value, json};
use tests::client::Client;
use tests::gateway::Setup;

use crate::auth::{ALICE, BOB, LISTER, locked};

const ERAS: [ProtocolVersion; 2] = [ProtocolVersion::LATEST, ProtocolVersion::LATEST_LEGACY];

fn small(prompt: &str) -> Value {
    json!({"prompt": prompt, "width": 64, "height": 64})
}

fn of(version: ProtocolVersion) -> PeerOptions {
    PeerOptions { newest: version, ..PeerOptions::default() }
}

async fn offered(client: &Client, template: &str, variable: &str, typed: &str) -> Result<Vec<String>> {
    let params = CompleteParams {
        reference: CompletionReference::Resource { uri: template.to_owned() },
        argument: CompletionArgument { name: variable.to_owned(), value: typed.to_owned() },
        context: None,
    };
    Ok(client.peer.complete(&params).await?.values)
}

fn uris(list: &[ResourceDescription]) -> BTreeSet<&str> {
    list.iter().map(|resource| resource.uri.as_str()).collect()
}

#[tokio::test]
async fn everything_that_is_listed_or_linked_can_be_read() -> Result<()> {
    let gateway = Setup::sandbox(0.0)?.start().await?;
    let reply = gateway.client().await?.finish("generate_image", small("a fox")).await?;
    let made = reply.job()?;
    let picture = gateway.client().await?.first_file(&made).await?;
    for version in ERAS {
        let client = gateway.client_with(of(version)).await?;
        let list = client.peer.list_resources().await?;
        for resource in &list {
            let contents = client.read(&resource.uri).await.with_context(|| resource.uri.clone())?;
            ensure!(contents.uri == resource.uri && contents.mime_type == resource.mime_type, "{contents:?}");
        }
        let job = format!("comfy://jobs/{}", made.id);
        let listed = uris(&list);
        for uri in [job.as_str(), "comfy://workflows/txt2img", "comfy://models/checkpoints"] {
            ensure!(listed.contains(uri), "{uri} is not listed: {listed:?}");
        }
        let status = client.call("get_job_status", json!({"job_id": made.id})).await?;
        ensure!(client.read_json(&job).await? == *status.structured()?, "{job}");

        let link = reply.links().pop().context("no link")?;
        let contents = client.read(&link).await?;
        ensure!(contents.mime_type.as_deref() == Some("image/png"), "{:?}", contents.mime_type);
        ensure!(contents.bytes().as_ref() == Some(&picture), "{link} is another picture");
        let preview = client.read(&format!("{link}/preview")).await?;
        tests::images::decode(&preview.bytes().context("no bytes")?)?;

        let workflow = client.read_json("comfy://workflows/txt2img").await?;
        ensure!(workflow["runnable"] == true && workflow["graph"].is_object(), "{workflow}");
        let rerun = json!({"graph": workflow["graph"], "parameters": {"model": "sandbox-sd15", "steps": 2}});
        client.finish("run_workflow", rerun).await?;
        let models = client.read_json("comfy://models/loras").await?;
        ensure!(
            models["models"] == json!(["sandbox-style.safetensors", "sandbox-detail.safetensors"]),
            "{models}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn what_a_template_wants_can_be_completed() -> Result<()> {
    let gateway = Setup::sandbox(0.0)?.start().await?;
    let client = gateway.client().await?;
    let job = client.finish("generate_image", small("a fox")).await?.job()?;
    let templates = client.peer.list_resource_templates().await?;
    for (template, variable, typed, expected) in [
        ("comfy://jobs/{id}", "id", &job.id[..8], job.id.as_str()),
        ("comfy://artifacts/{id}", "id", "", job.artifacts[0].id.as_str()),
        ("comfy://artifacts/{id}/preview", "id", "", job.artifacts[0].id.as_str()),
        ("comfy://workflows/{name}", "name", "TXT", "txt2img"),
        ("comfy://models/{kind}", "kind", "lo", "loras"),
    ] {
        ensure!(templates.iter().any(|known| known.uri_template == template), "{template} is not told");
        let values = offered(&client, template, variable, typed).await?;
        ensure!(values.first().is_some_and(|value| value == expected), "{template}: {values:?}");
        let uri = template.replace(&format!("{{{variable}}}"), expected);
        client.read(&uri).await.with_context(|| uri.clone())?;
    }
    ensure!(offered(&client, "comfy://jobs/{id}", "id", "no such").await?.is_empty());
    // Another spelling of a URI is read, but what is told of is spelled as it is listed.
    let spelled = format!("comfy://jobs/%{:X}{}", job.id.as_bytes()[0], &job.id[1..]);
    client.read(&spelled).await?;
    ensure!(client.peer.subscribe(&spelled).await?.agreed().resource_subscriptions.is_empty());
    Ok(())
}

#[tokio::test]
async fn what_is_not_there_is_said_in_the_words_of_the_era() -> Result<()> {
    let gateway = Setup::sandbox(0.0)?.start().await?;
    for version in ERAS {
        let client = gateway.client_with(of(version)).await?;
        let expected = match version.era() {
            Era::Legacy => RESOURCE_NOT_FOUND,
            Era::Modern => INVALID_PARAMS,
        };
        for uri in [
            "comfy://jobs/01900000-0000-7000-8000-000000000000",
            "comfy://jobs/x",
            "comfy://artifacts/01900000-0000-7000-8000-000000000000",
            "comfy://artifacts/..%2F..%2Fgateway.db",
            "comfy://workflows/nothing",
            "comfy://models/nothing",
            "comfy://nothing",
            "file:///etc/passwd",
        ] {
            match client.peer.read_resource(uri, CallOptions::default()).await {
                Err(ClientError::Rpc { code, message, .. }) => {
                    ensure!(code == expected && message.contains("no resource"), "{uri}: {code} {message}");
                }
                other => bail!("{uri} is answered with {other:?}"),
            }
        }
        let cursor = Map::from_iter([("cursor".to_owned(), json!("elsewhere"))]);
        match client.peer.request("resources/list", cursor, CallOptions::default()).await {
            Err(ClientError::Rpc { code: INVALID_PARAMS, .. }) => {}
            other => bail!("{other:?}"),
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_long_list_comes_in_pages() -> Result<()> {
    let graph = json!({
        "1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 0}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "own"}},
    });
    let mut setup = Setup::sandbox(0.0)?;
    for number in 0..150 {
        setup = setup.file(&format!("workflows/own {number}.json"), graph.to_string())?;
    }
    let gateway = setup.start().await?;
    let client = gateway.client().await?;
    let mut jobs = Vec::new();
    for prompt in ["one", "two"] {
        jobs.push(client.finish("generate_image", small(prompt)).await?.job()?.id);
    }
    let result = client.peer.request("resources/list", Map::new(), CallOptions::default()).await?;
    let first: Value = serde_json::from_str(result.get())?;
    ensure!(first["resources"].as_array().is_some_and(|page| page.len() == 100), "{first}");
    let list = client.peer.list_resources().await?;
    ensure!(uris(&list).len() == list.len(), "something is listed twice");
    let own = list.iter().filter(|resource| resource.name.starts_with("own ")).count();
    ensure!(own == 150, "{own} workflows are listed");
    let newest_first = list.iter().filter(|resource| resource.uri.starts_with("comfy://jobs/"));
    let listed: Vec<_> = newest_first.map(|resource| resource.name.clone()).collect();
    ensure!(listed.iter().eq(jobs.iter().rev()), "{listed:?}");
    let own = list.iter().find(|resource| resource.name == "own 149").context("own 149 is missing")?;
    ensure!(own.uri == "comfy://workflows/own%20149", "{}", own.uri);
    ensure!(client.read_json(&own.uri).await?["graph"] == graph);
    Ok(())
}

/// A file that no message has room for: the way to it, and what it looks like.
#[tokio::test]
async fn a_file_that_is_too_large_for_a_message_is_pointed_to() -> Result<()> {
    let gateway = Setup::sandbox(0.0)?.start().await?;
    let client = gateway.client().await?;
    let side = 1700_u32;
    // Noise can't be compressed.
    let mut state = 1_u32;
    let noise = (0..side * side * 3).map(|_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    });
    let picture = image::RgbImage::from_raw(side, side, noise.collect()).context("too few bytes")?;
    let mut png = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut png, image::ImageFormat::Png)?;
    let png = png.into_inner();
    ensure!(png.len() > 7 << 20, "the picture has only {} bytes", png.len());
    let encoded = base64::engine::general_purpose::STANDARD.encode(&png);
    let arguments = json!({"prompt": "x", "image": encoded, "width": 64, "height": 64});
    client.start("img2img", arguments).await?;

    let input = offered(&client, "comfy://artifacts/{id}", "id", "").await?.pop().context("no artifact")?;
    let uri = format!("comfy://artifacts/{input}");
    let result = client.peer.read_resource(&uri, CallOptions::default()).await?;
    let [told, preview] = &result.contents[..] else { bail!("{} contents", result.contents.len()) };
    let text = told.text.as_deref().context("no text")?;
    let url = format!("{}/artifacts/{input}", gateway.base());
    ensure!(text.contains(&url) && text.contains(&format!("{} bytes", png.len())), "{text}");
    let fetched = client.get(&format!("/artifacts/{input}")).await?.bytes().await?;
    ensure!(fetched == png, "the URL gives other bytes");
    let small = tests::images::decode(&preview.bytes().context("no preview")?)?;
    ensure!(small.width() <= 512, "the preview is {} px wide", small.width());
    Ok(())
}

#[tokio::test]
async fn another_clients_jobs_and_pictures_are_not_there() -> Result<()> {
    let gateway = locked().await?;
    let (alice, bob) = (gateway.client_with_key(ALICE).await?, gateway.client_with_key(BOB).await?);
    let job = alice.finish("generate_image", small("a secret")).await?.job()?;
    let uris = [
        format!("comfy://jobs/{}", job.id),
        format!("comfy://artifacts/{}", job.artifacts[0].id),
        format!("comfy://artifacts/{}/preview", job.artifacts[0].id),
    ];
    for uri in &uris {
        alice.read(uri).await.with_context(|| uri.clone())?;
        match bob.peer.read_resource(uri, CallOptions::default()).await {
            Err(ClientError::Rpc { code: INVALID_PARAMS, message, .. }) => {
                ensure!(message.contains("no resource"), "{message}");
            }
            other => bail!("{uri} is answered with {other:?}"),
        }
    }
    ensure!(bob.peer.list_resources().await?.iter().all(|listed| !listed.uri.starts_with("comfy://jobs/")));
    ensure!(offered(&bob, "comfy://jobs/{id}", "id", "").await?.is_empty());
    ensure!(offered(&bob, "comfy://artifacts/{id}", "id", "").await?.is_empty());
    let subscription = bob.peer.subscribe(&uris[0]).await?;
    ensure!(subscription.agreed().resource_subscriptions.is_empty(), "{:?}", subscription.agreed());
    Ok(())
}

#[tokio::test]
async fn reading_takes_the_permission_of_the_tool_that_gives_the_same() -> Result<()> {
    let gateway = locked().await?;
    let lister = gateway.client_with_key(LISTER).await?;
    lister.read_json("comfy://models/vae").await?;
    lister.read_json("comfy://workflows/txt2img").await?;
    for uri in ["comfy://jobs/x", "comfy://artifacts/x"] {
        match lister.peer.read_resource(uri, CallOptions::default()).await {
            Err(ClientError::Forbidden { .. }) => {}
            other => bail!("{uri} is answered with {other:?}"),
        }
    }
    let raw = tests::raw::Raw::new(&gateway.mcp_url())?.header("X-API-Key", LISTER);
    let answer = raw.modern("resources/read", json!({"uri": "comfy://jobs/x"})).await?;
    ensure!(answer.status == 403 && answer.response()?["error"]["code"] == FORBIDDEN, "{answer:?}");
    Ok(())
}
