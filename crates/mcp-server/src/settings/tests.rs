use std::collections::BTreeMap;

use secrecy::ExposeSecret as _;

use super::{Settings, SettingsError, Sources, json_schema, load};

fn with_file(name: &str, text: &str, variables: &[(&str, &str)]) -> Result<Settings, String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(name);
    std::fs::write(&file, text).unwrap();
    let environment = variables.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    let sources = Sources { file: Some(file), environment: environment.collect(), overrides: Vec::new() };
    load(&sources).map(|loaded| loaded.settings).map_err(|error| text_of(&error))
}

fn text_of(error: &SettingsError) -> String {
    let source = std::error::Error::source(error);
    source.map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
}

#[test]
fn each_source_stands_above_the_one_before() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.toml");
    std::fs::write(&file, "mcp_server_port = 1\nmax_concurrent_jobs = 1\nwait_seconds = 1\n").unwrap();
    let environment = BTreeMap::from([
        ("MAX_CONCURRENT_JOBS".to_owned(), "2".to_owned()),
        ("WAIT_SECONDS".to_owned(), "2".to_owned()),
        ("ALLOWED_ORIGINS".to_owned(), "https://a.example,https://b.example".to_owned()),
        ("PATH".to_owned(), "/bin".to_owned()),
    ]);
    let sources =
        Sources { file: Some(file), environment, overrides: vec![("wait_seconds", "3".to_owned())] };
    let settings = load(&sources).unwrap().settings;
    assert_eq!((settings.mcp_server_port, settings.max_concurrent_jobs, settings.wait_seconds), (1, 2, 3));
    assert_eq!(settings.allowed_origins, ["https://a.example", "https://b.example"]);
}

#[test]
fn the_file_of_the_python_original_loads() {
    let text = r#"{
        "comfyui_url": "http://localhost:8188", "comfyui_ws_url": "ws://localhost:8188/ws",
        "mcp_server_host": "0.0.0.0", "mcp_server_port": 9000, "dashboard_host": "0.0.0.0", "dashboard_port": 8080,
        "enable_auth": true, "auth_config_path": "auth_config.json", "workflows_dir": "workflows",
        "db_path": "data/mcp_server.db", "queue_save_path": "data/queue_state.json", "max_concurrent_jobs": 3
    }"#;
    let settings = with_file("config.json", text, &[]).unwrap();
    assert!(settings.enable_auth);
    assert_eq!(settings.database().to_str(), Some("data/mcp_server.db"));
    assert_eq!(settings.max_concurrent_jobs, 3);
    assert_eq!(settings.comfyui_ws_url.unwrap().as_str(), "ws://localhost:8188/ws");
}

#[test]
fn what_is_wrong_is_named() {
    let cases = [
        ("comfyui_urll = \"http://x\"", "unknown configuration key `comfyui_urll`"),
        ("comfyui_urll = \"http://x\"", "did you mean `comfyui_url`?"),
        ("mcp_server_port = \"abc\"", "`mcp_server_port`"),
        ("mcp_server_port = 70000", "`mcp_server_port`"),
        ("comfyui_url = \"ftp://x\"", "comfyui_url"),
        ("comfyui_url = \"nonsense\"", "comfyui_url"),
        ("max_concurrent_jobs = 0", "max_concurrent_jobs"),
        ("log_format = \"xml\"", "log_format"),
        ("mcp_server_port = ", "config.toml"),
    ];
    for (text, expected) in cases {
        let error = with_file("config.toml", text, &[]).unwrap_err();
        assert!(error.contains(expected), "{text}: {error}");
    }
    let error = with_file("config.toml", "", &[("ENABLE_AUTH", "perhaps")]).unwrap_err();
    assert!(error.contains("enable_auth"), "{error}");
}

#[test]
fn text_in_the_environment_stays_text() {
    let variables =
        [("COMFYUI_TOKEN", "007"), ("DATA_DIR", "0123"), ("COMFYUI_HEADERS", r#"{"X-Number": "1e5"}"#)];
    let settings = with_file("config.toml", "", &variables).unwrap();
    assert_eq!(settings.comfyui_token.unwrap().expose_secret(), "007");
    assert_eq!(settings.data_dir.to_str(), Some("0123"));
    assert_eq!(settings.comfyui_headers["X-Number"].expose_secret(), "1e5");
    let error = with_file("config.toml", "", &[("COMFYUI_HEADERS", "nonsense")]).unwrap_err();
    assert!(error.contains("comfyui_headers"), "{error}");
}

#[test]
fn a_token_is_not_shown() {
    let settings = with_file("config.toml", "comfyui_token = \"hush\"", &[]).unwrap();
    assert!(!format!("{settings:?}").contains("hush"));
}

#[test]
fn the_example_has_every_key_with_its_default() {
    let example = include_str!("../../../../config/example.toml");
    let shown = with_file("config.toml", example, &[]).unwrap();
    assert_eq!(format!("{shown:?}"), format!("{:?}", Settings::default()));
    let schema = json_schema();
    let retired = super::RETIRED_KEYS;
    for key in schema["properties"].as_object().unwrap().keys().filter(|key| !retired.contains(&key.as_str()))
    {
        assert!(example.contains(&format!("{key} = ")), "config/example.toml lacks {key}");
    }
}

#[test]
fn the_published_schema_is_the_present_one() {
    let published = include_str!("../../../../docs/configuration.schema.json");
    let published: serde_json::Value = serde_json::from_str(published).unwrap();
    assert!(published == json_schema(), "run `mcp-server config schema > docs/configuration.schema.json`");
}
