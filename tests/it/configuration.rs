//! The configuration: a file, the environment and flags, and what is said of a bad one.

use anyhow::{Result, ensure};
use serde_json::json;
use tests::gateway::Setup;

async fn max_concurrent_jobs(setup: &Setup) -> Result<u64> {
    let gateway = setup.start().await?;
    let status = gateway.client().await?.call("get_queue_status", json!({})).await?;
    gateway.terminate().await?;
    Ok(status.structured()?["max_concurrent_jobs"].as_u64().unwrap_or_default())
}

#[tokio::test]
async fn flags_stand_above_the_environment_and_that_above_the_file() -> Result<()> {
    let setup = Setup::new()?.file("config.toml", "sandbox = true\nmax_concurrent_jobs = 3\n")?;
    ensure!(max_concurrent_jobs(&setup).await? == 3);
    let setup = setup.variable("MAX_CONCURRENT_JOBS", "4");
    ensure!(max_concurrent_jobs(&setup).await? == 4);
    ensure!(max_concurrent_jobs(&setup.flag("--max-concurrent-jobs", 5)).await? == 5);
    Ok(())
}

/// The file of the Python original, as its users have it.
#[tokio::test]
async fn the_originals_file_is_taken() -> Result<()> {
    let original = json!({
        "comfyui_url": "http://127.0.0.1:9", "comfyui_ws_url": "ws://127.0.0.1:9/ws",
        "mcp_server_host": "127.0.0.1", "mcp_server_port": 0, "enable_auth": false,
        "auth_config_path": "auth_config.json", "max_concurrent_jobs": 6, "workflows_dir": "workflows",
        "dashboard_host": "127.0.0.1", "dashboard_port": 9001, "queue_save_path": "queue.json",
    });
    let setup = Setup::new()?.file("old.json", original.to_string())?.flag("--config", "old.json");
    let gateway = setup.start().await?;
    ensure!(gateway.log().count("dashboard_port") == 1, "{}", gateway.log().tail());
    ensure!(max_concurrent_jobs_of(&gateway).await? == 6);
    Ok(())
}

async fn max_concurrent_jobs_of(gateway: &tests::gateway::Gateway) -> Result<u64> {
    let status = gateway.client().await?.call("get_queue_status", json!({})).await?;
    Ok(status.structured()?["max_concurrent_jobs"].as_u64().unwrap_or_default())
}

/// Each names the key, and says what is expected.
#[tokio::test]
async fn what_is_wrong_is_named() -> Result<()> {
    let cases = [
        (
            "comfyui_ulr = \"http://127.0.0.1:8188\"",
            vec!["comfyui_ulr", "did you mean `comfyui_url`", "config.toml"],
        ),
        ("max_concurrent_jobs = \"many\"", vec!["max_concurrent_jobs"]),
        ("max_concurrent_jobs = 0", vec!["max_concurrent_jobs", "1 to 256"]),
        ("comfyui_url = \"ftp://127.0.0.1\"", vec!["comfyui_url", "http"]),
        ("comfyui_ws_url = \"http://127.0.0.1/ws\"", vec!["comfyui_ws_url", "ws"]),
        ("mcp_server_port = 70000", vec!["mcp_server_port"]),
        ("log_format = \"xml\"", vec!["log_format"]),
        ("this is not TOML", vec!["config.toml"]),
    ];
    for (text, parts) in cases {
        let setup = Setup::new()?.file("config.toml", format!("{text}\n"))?;
        for command in [&["config", "check"][..], &["serve"]] {
            let ended = setup.run(command).await?;
            ensure!(ended.code == Some(1), "{text}: {ended:?}");
            for part in &parts {
                ensure!(ended.stderr.contains(part), "{text}: {part:?} is not in {}", ended.stderr);
            }
        }
    }
    let missing = Setup::new()?.flag("--config", "none.toml").run(&["config", "check"]).await?;
    ensure!(missing.code == Some(1) && missing.stderr.contains("none.toml"), "{missing:?}");
    let level = Setup::new()?.flag("--log-level", "info,=,").run(&["serve"]).await?;
    ensure!(level.code == Some(1) && level.stderr.contains("log_level"), "{level:?}");
    Ok(())
}

#[tokio::test]
async fn a_good_one_is_told() -> Result<()> {
    let ended =
        Setup::new()?.flag("--port", 9123).variable("ENABLE_AUTH", "true").run(&["config", "check"]).await?;
    ensure!(ended.code == Some(0), "{ended:?}");
    for part in ["127.0.0.1:9123", "authentication: on", "http://127.0.0.1:8188"] {
        ensure!(ended.stdout.contains(part), "{part:?} is not in {}", ended.stdout);
    }
    let schema = Setup::new()?.run(&["config", "schema"]).await?;
    let schema: serde_json::Value = serde_json::from_str(&schema.stdout)?;
    ensure!(schema["properties"]["comfyui_url"].is_object(), "{schema}");
    Ok(())
}

/// Whoever listens beyond this machine without keys is told so.
#[tokio::test]
async fn an_open_server_says_so_loudly() -> Result<()> {
    let open = Setup::sandbox(0.0)?.flag("--host", "0.0.0.0").start().await?;
    ensure!(open.log().count("THIS SERVER IS OPEN") == 1, "{}", open.log().tail());
    let locked = Setup::sandbox(0.0)?.flag("--host", "0.0.0.0").switch("--enable-auth").start().await?;
    ensure!(locked.log().count("THIS SERVER IS OPEN") == 0, "{}", locked.log().tail());
    let own = Setup::sandbox(0.0)?.start().await?;
    ensure!(own.log().count("THIS SERVER IS OPEN") == 0, "{}", own.log().tail());
    Ok(())
}
