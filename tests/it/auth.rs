//! The locks on the doors: who calls, what they may do, how often, and what they see.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use mcp_protocol::client::ClientError;
use mcp_protocol::error::{FORBIDDEN, RATE_LIMITED};
use serde_json::{Value, json};
use tests::client::{Client, http};
use tests::gateway::{Gateway, Setup};
use tests::raw::{Answer, Raw};
use tests::wait::LONG;

pub(crate) const ALICE: &str = "alice-has-a-long-secret-key";
pub(crate) const BOB: &str = "bob-has-a-long-secret-key-too";
pub(crate) const LISTER: &str = "lister-may-only-list-things";
const HASTY: &str = "hasty-may-call-three-times";

/// With the file of the original's shape.
pub(crate) async fn locked() -> Result<Gateway> {
    let limit = json!({"rate": 1000, "per": 60, "burst": 1000});
    let clients = json!({
        "alice": {"api_key": ALICE, "permissions": ["*"], "rate_limit": limit},
        "bob": {"api_key": BOB, "permissions": ["*"]},
        "lister": {"api_key": LISTER, "permissions": ["list_*", "get_tools_manifest"], "rate_limit": limit},
        "hasty": {"api_key": HASTY, "permissions": ["*"], "rate_limit": {"rate": 1, "per": 60, "burst": 3}},
    });
    let setup =
        Setup::sandbox(0.05)?.switch("--enable-auth").file("auth_config.json", clients.to_string())?;
    let gateway = setup.start().await?;
    // Hashing them takes its time, and holds nothing up.
    gateway.log().wait_for("the keys of the file are loaded", LONG).await?;
    Ok(gateway)
}

fn small(prompt: &str) -> Value {
    json!({"prompt": prompt, "width": 64, "height": 64})
}

#[tokio::test]
async fn without_a_good_key_every_door_is_shut_but_health() -> Result<()> {
    let gateway = locked().await?;
    for key in [None, Some("alice"), Some("alice-has-a-long-secret-kez")] {
        match Client::connect(gateway.base(), key).await.map_err(anyhow::Error::downcast::<ClientError>) {
            Err(Ok(ClientError::Unauthorized { .. })) => {}
            other => bail!("the key {key:?} opens: {other:?}"),
        }
    }
    let door = |path: &str, key: Option<(&str, &str)>| {
        let request = http().map(|http| http.get(format!("{}{path}", gateway.base())));
        let request = request.map(|request| match key {
            Some((name, value)) => request.header(name, value),
            None => request,
        });
        async move { anyhow::Ok(request?.send().await?) }
    };
    let artifact = "/artifacts/01900000-0000-7000-8000-000000000000";
    for key in [None, Some(("X-API-Key", "wrong")), Some(("Authorization", "Basic YTpi"))] {
        let answer = door(artifact, key).await?;
        ensure!(answer.status() == 401, "{key:?} answers {}", answer.status());
        ensure!(answer.headers().contains_key("www-authenticate"), "{:?}", answer.headers());
        let body: Value = answer.json().await?;
        ensure!(body["error"]["code"] == "unauthenticated", "{body}");
    }
    for key in [("X-API-Key", ALICE.to_owned()), ("Authorization", format!("Bearer {ALICE}"))] {
        let answer = door(artifact, Some((key.0, &key.1))).await?;
        ensure!(answer.status() == 404, "{} answers {}", key.0, answer.status());
    }
    let health = door("/health", None).await?;
    ensure!(health.status() == 200, "health answers {}", health.status());
    ensure!(!health.text().await?.contains("http://"), "health tells more than everybody may know");
    let raw = Raw::new(&gateway.mcp_url())?;
    let answer = raw.modern("tools/list", json!({})).await?;
    ensure!(answer.status == 401, "{answer:?}");
    Ok(())
}

#[tokio::test]
async fn both_ways_to_show_a_key_work_over_mcp() -> Result<()> {
    let gateway = locked().await?;
    let bearer = format!("Bearer {ALICE}");
    for (name, value) in [("X-API-Key", ALICE), ("Authorization", bearer.as_str())] {
        let raw = Raw::new(&gateway.mcp_url())?.header(name, value);
        let answer = raw.modern("tools/call", json!({"name": "get_queue_status", "arguments": {}})).await?;
        ensure!(answer.status == 200, "{name}: {answer:?}");
    }
    let ended = gateway.run_cli(&["--api-key", ALICE, "queue"]).await?;
    ensure!(ended.code == Some(0), "{ended:?}");
    let refused = gateway.run_cli(&["queue"]).await?;
    ensure!(refused.code == Some(4), "{refused:?}");
    Ok(())
}

#[tokio::test]
async fn a_key_allows_its_tools_alone() -> Result<()> {
    let gateway = locked().await?;
    let lister = gateway.client_with_key(LISTER).await?;
    lister.call("list_models", json!({})).await?;
    lister.call("get_tools_manifest", json!({})).await?;
    for tool in ["generate_image", "get_queue_status", "get_image"] {
        match lister.raw_call(tool, json!({"prompt": "x"})).await {
            Err(ClientError::Forbidden { message }) => ensure!(message.contains(tool), "{message}"),
            other => bail!("{tool} answers {other:?}"),
        }
    }
    let raw = Raw::new(&gateway.mcp_url())?.header("X-API-Key", LISTER);
    let answer =
        raw.modern("tools/call", json!({"name": "cancel_job", "arguments": {"job_id": "x"}})).await?;
    ensure!(answer.status == 403 && answer.response()?["error"]["code"] == FORBIDDEN, "{answer:?}");
    let door = lister.get("/artifacts/01900000-0000-7000-8000-000000000000").await?;
    ensure!(door.status() == 403, "the door for artifacts answers {}", door.status());
    let ended = gateway.run_cli(&["--api-key", LISTER, "generate", "x"]).await?;
    ensure!(ended.code == Some(4), "{ended:?}");
    Ok(())
}

fn check_limited(answer: &Answer) -> Result<()> {
    ensure!(answer.status == 429, "{answer:?}");
    let error = &answer.response()?["error"];
    ensure!(error["code"] == RATE_LIMITED, "{error}");
    let wait = error["data"]["retryAfterMs"].as_u64().context("no time to wait")?;
    ensure!((50_000..=60_000).contains(&wait), "one call in 60 s, and the wait is {wait} ms");
    let header: u64 = answer.header("retry-after").context("no Retry-After")?.parse()?;
    ensure!(header == wait.div_ceil(1000), "Retry-After says {header} s, the error {wait} ms");
    Ok(())
}

/// The bucket is the client's, whatever door it uses, and nobody else's.
#[tokio::test]
async fn calls_are_limited() -> Result<()> {
    let gateway = locked().await?;
    let raw = Raw::new(&gateway.mcp_url())?.header("X-API-Key", HASTY);
    let call = json!({"name": "get_queue_status", "arguments": {}});
    for _ in 0..2 {
        let answer = raw.modern("tools/call", call.clone()).await?;
        ensure!(answer.status == 200, "{answer:?}");
    }
    let door = format!("{}/artifacts/01900000-0000-7000-8000-000000000000", gateway.base());
    let third = http()?.get(&door).header("X-API-Key", HASTY).send().await?;
    ensure!(third.status() == 404, "the third answers {}", third.status());
    check_limited(&raw.modern("tools/call", call.clone()).await?)?;
    let fourth = http()?.get(&door).header("X-API-Key", HASTY).send().await?;
    ensure!(fourth.status() == 429 && fourth.headers().contains_key("retry-after"), "{fourth:?}");
    // Looking costs nothing, and the others go on.
    ensure!(raw.modern("tools/list", json!({})).await?.status == 200);
    gateway.client_with_key(ALICE).await?.call("get_queue_status", json!({})).await?;
    let client = gateway.client_with_key(HASTY).await?;
    match client.raw_call("get_queue_status", json!({})).await {
        Err(ClientError::RateLimited { retry_after: Some(wait), .. }) => {
            ensure!(wait > Duration::from_secs(50), "{wait:?}");
        }
        other => bail!("{other:?}"),
    }
    let ended = gateway.run_cli(&["--api-key", HASTY, "queue"]).await?;
    ensure!(ended.code == Some(5), "{ended:?}");
    Ok(())
}

#[tokio::test]
async fn jobs_and_artifacts_are_seen_by_their_owner_alone() -> Result<()> {
    let gateway = locked().await?;
    let (alice, bob) = (gateway.client_with_key(ALICE).await?, gateway.client_with_key(BOB).await?);
    let job = alice.finish("generate_image", small("a secret")).await?.job()?;
    let artifact = &job.artifacts[0].id;
    alice.file(&job.artifacts[0]).await?;
    for (tool, arguments) in [
        ("get_job_status", json!({"job_id": job.id})),
        ("wait_for_job", json!({"job_id": job.id})),
        ("cancel_job", json!({"job_id": job.id})),
        ("get_image", json!({"artifact_id": artifact})),
        ("img2img", json!({"prompt": "x", "image": artifact})),
    ] {
        bob.refused(tool, arguments).await?.expect("not_found", &[])?;
    }
    let door = bob.get(&format!("/artifacts/{artifact}")).await?;
    ensure!(door.status() == 404, "another's artifact answers {}", door.status());
    let status = bob.call("get_queue_status", json!({})).await?;
    ensure!(status.structured()?["yours"]["succeeded"] == 0, "{:?}", status.structured()?);

    let keyed = |mut arguments: Value| {
        arguments["idempotency_key"] = "the same".into();
        arguments
    };
    let first = alice.start("generate_image", keyed(small("one"))).await?;
    let other = bob.start("generate_image", keyed(small("two"))).await?;
    ensure!(first.id != other.id, "one client's idempotency key gives another's job");
    Ok(())
}

/// A session belongs to whoever opened it.
#[tokio::test]
async fn a_session_is_of_no_use_to_another() -> Result<()> {
    let gateway = locked().await?;
    let (_, session) = Raw::new(&gateway.mcp_url())?.header("X-API-Key", ALICE).initialize().await?;
    let stranger = Raw::new(&gateway.mcp_url())?.header("X-API-Key", BOB);
    let answer = stranger.legacy(&session, "tools/list", json!({})).await?;
    ensure!(answer.status == 404, "{answer:?}");
    Ok(())
}

#[tokio::test]
async fn a_broken_file_of_keys_is_refused_without_quoting_it() -> Result<()> {
    let secret = "a-secret-that-nobody-may-read";
    let cases = [
        ("{".to_owned(), "auth_config.json"),
        (json!({"eve": {"api_key": secret, "permissions": "all"}}).to_string(), "permissions"),
        (json!({"eve": {"api_key": secret, "permissions": [], "rate_limt": 1}}).to_string(), "rate_limt"),
        (
            json!({"eve": {"api_key": secret, "permissions": [], "rate_limit": {"rate": 0}}}).to_string(),
            "rate_limit",
        ),
    ];
    for (text, part) in cases {
        let setup = Setup::sandbox(0.0)?.switch("--enable-auth").flag("--port", 0);
        let ended = setup.file("auth_config.json", &text)?.run(&["serve"]).await?;
        ensure!(ended.code == Some(1) && ended.stderr.contains(part), "{text}: {ended:?}");
        ensure!(!ended.stderr.contains(secret), "the key is in the log: {}", ended.stderr);
    }
    Ok(())
}

/// Neither the database nor the log holds a key.
#[tokio::test]
async fn keys_are_kept_as_hashes() -> Result<()> {
    let gateway = locked().await?;
    gateway.client_with_key(ALICE).await?.call("get_queue_status", json!({})).await?;
    let log = gateway.log().lines().join("\n");
    ensure!(!log.contains(ALICE), "a key is in the log");
    let (data, _setup) = (gateway.data(), gateway.setup().clone());
    gateway.terminate().await?;
    for entry in std::fs::read_dir(data)? {
        let path = entry?.path();
        if path.is_file() {
            let bytes = std::fs::read(&path)?;
            let found = bytes.windows(ALICE.len()).any(|window| window == ALICE.as_bytes());
            ensure!(!found, "a key is in {}", path.display());
        }
    }
    Ok(())
}
