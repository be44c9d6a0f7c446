//! The configuration: a TOML or JSON file, then the environment, then flags, each above the one before.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use config::{Config, File, Map};
use schemars::JsonSchema;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use url::Url;

/// The files that are looked for in the working directory when none is named.
const DEFAULT_FILES: [&str; 3] = ["config.toml", "config.json", "config/config.toml"];

/// Keys of the Python original whose parts do not exist here: accepted, so that its file keeps working, and reported.
const RETIRED_KEYS: [&str; 4] = ["dashboard_host", "dashboard_port", "queue_save_path", "context_save_path"];

/// In characters.
const MIN_STATE_KEY: usize = 32;

/// Everything that can be configured. Each key is also an environment variable, in upper case.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The base URL of ComfyUI.
    #[schemars(with = "String")]
    pub comfyui_url: Url,
    /// The URL of ComfyUI's websocket, when it is not `/ws` under `comfyui_url`.
    #[schemars(with = "Option<String>")]
    pub comfyui_ws_url: Option<Url>,
    /// A token sent to ComfyUI as `Authorization: Bearer`, for a ComfyUI behind a proxy that asks for one.
    #[schemars(with = "Option<String>")]
    pub comfyui_token: Option<SecretString>,
    /// Headers sent to ComfyUI with every request.
    #[schemars(with = "BTreeMap<String, String>")]
    pub comfyui_headers: BTreeMap<String, SecretString>,
    /// The address to listen on.
    pub mcp_server_host: String,
    /// The port to listen on; 0 takes a free one.
    pub mcp_server_port: u16,
    /// The URL by which clients reach this server, when it is not the address it listens on. Used in links.
    #[schemars(with = "Option<String>")]
    pub public_url: Option<Url>,
    /// Origins (`https://host[:port]`) of web pages that may call this server, beside its own on loopback.
    pub allowed_origins: Vec<String>,
    /// Whether every door but health needs an API key.
    pub enable_auth: bool,
    /// The file with the clients' keys, permissions and rate limits. Read when `enable_auth` is set.
    pub auth_config_path: PathBuf,
    /// How many sessions of MCP's 2025 revisions may be open; one without a request for an hour is forgotten.
    #[schemars(range(min = 1))]
    pub max_sessions: usize,
    /// How many of them one client may have.
    #[schemars(range(min = 1))]
    pub max_sessions_per_client: usize,
    /// A secret text of at least 32 characters that signs what MCP clients bring back with the answer to a question.
    /// Without one it is made at each start; servers behind one address need the same.
    #[schemars(with = "Option<String>")]
    pub request_state_key: Option<SecretString>,
    /// How many jobs run at once.
    #[schemars(range(min = 1, max = 256))]
    pub max_concurrent_jobs: usize,
    /// How many jobs may wait in the queue.
    #[schemars(range(min = 1))]
    pub max_queued_jobs: usize,
    /// How many jobs of one client may wait in the queue.
    #[schemars(range(min = 1))]
    pub max_queued_jobs_per_client: usize,
    /// For how many days a finished job and its pictures are kept; 0 keeps them for ever.
    pub job_retention_days: u32,
    /// For how many seconds a call waits for its job before it answers with the job's id.
    #[schemars(range(max = 3600))]
    pub wait_seconds: u64,
    /// A folder of workflow files, which is watched; a file there replaces a shipped workflow of the same name.
    pub workflows_dir: PathBuf,
    /// Where the database and the pictures are kept.
    pub data_dir: PathBuf,
    /// The SQLite file, when it is not `gateway.db` in `data_dir`.
    pub db_path: Option<PathBuf>,
    /// The largest request body in bytes; an input image comes as base64 in one.
    #[schemars(range(min = 1024))]
    pub max_body_bytes: usize,
    /// What is logged: a level, or directives such as `info,mcp_server=debug`.
    pub log_level: String,
    /// `text` or `json`.
    pub log_format: LogFormat,
    /// A file that gets the log too, rotated each day: for instance `logs/mcp-server.log`.
    pub log_file: Option<PathBuf>,
    /// Runs the embedded sandbox in place of ComfyUI.
    pub sandbox: bool,
    /// How many seconds the sandbox takes for a sampler's run.
    pub sandbox_sampling_seconds: f64,
    /// Not used any more; accepted so that a file of the Python original still loads.
    pub dashboard_host: Option<String>,
    /// Not used any more; accepted so that a file of the Python original still loads.
    pub dashboard_port: Option<u16>,
    /// Not used any more: the queue is in the database.
    pub queue_save_path: Option<String>,
    /// Not used any more: sessions are in the database.
    pub context_save_path: Option<String>,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            comfyui_url: Url::parse("http://127.0.0.1:8188").expect("a valid URL"),
            comfyui_ws_url: None,
            comfyui_token: None,
            comfyui_headers: BTreeMap::new(),
            mcp_server_host: "127.0.0.1".into(),
            mcp_server_port: 9000,
            public_url: None,
            allowed_origins: Vec::new(),
            enable_auth: false,
            auth_config_path: "auth_config.json".into(),
            max_sessions: 1000,
            max_sessions_per_client: 100,
            request_state_key: None,
            max_concurrent_jobs: 2,
            max_queued_jobs: 1000,
            max_queued_jobs_per_client: 200,
            job_retention_days: 30,
            wait_seconds: 20,
            workflows_dir: "workflows".into(),
            data_dir: "data".into(),
            db_path: None,
            max_body_bytes: 64 << 20,
            log_level: "info".into(),
            log_format: LogFormat::Text,
            log_file: None,
            sandbox: false,
            sandbox_sampling_seconds: 1.0,
            dashboard_host: None,
            dashboard_port: None,
            queue_save_path: None,
            context_save_path: None,
        }
    }
}

/// Why the configuration cannot be used. The text names the key and where it stands.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The named file is not there.
    #[error("the configuration file {} does not exist; check --config or CONFIG_PATH", .0.display())]
    NoFile(PathBuf),
    /// A key that does not exist, with the nearest that does.
    #[error("unknown configuration key `{key}` in {origin}{}", nearest_hint(.nearest.as_deref()))]
    UnknownKey {
        /// The key as it was written.
        key: String,
        /// The file or the environment.
        origin: String,
        /// The known key that is nearest to it.
        nearest: Option<String>,
    },
    /// A file that cannot be read, or a value of the wrong type.
    #[error("the configuration cannot be read")]
    Unreadable(#[source] Box<config::ConfigError>),
    /// A value that has the right type and makes no sense.
    #[error("configuration key `{key}`: {problem}")]
    Invalid {
        /// The key.
        key: &'static str,
        /// What is wrong, and what is expected.
        problem: String,
    },
}

fn nearest_hint(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |name| format!("; did you mean `{name}`?"))
}

/// Where the settings come from.
#[derive(Debug, Default)]
pub struct Sources {
    /// The file, when it was named.
    pub file: Option<PathBuf>,
    /// The environment, passed in so that a test can give its own.
    pub environment: BTreeMap<String, String>,
    /// Keys set by flags.
    pub overrides: Vec<(&'static str, String)>,
}

/// The settings and what a person should be told about them.
#[derive(Debug)]
pub struct Loaded {
    /// The merged settings.
    pub settings: Settings,
    /// The file that was read.
    pub file: Option<PathBuf>,
    /// Keys that were given and have no effect any more.
    pub retired: Vec<&'static str>,
}

/// Reads and merges all sources.
pub fn load(sources: &Sources) -> Result<Loaded, SettingsError> {
    let file = locate(sources)?;
    let mut builder = Config::builder();
    if let Some(path) = &file {
        builder = builder.add_source(File::from(path.as_path()));
    }
    let known = known_keys();
    builder = builder.add_source(environment(&known, &sources.environment)?);
    for (key, value) in &sources.overrides {
        builder = builder.set_override(*key, value.as_str()).map_err(unreadable)?;
    }
    let merged = builder.build().map_err(unreadable)?;
    let retired = refuse_unknown(&merged, &known, file.as_deref())?;
    let settings: Settings = merged.try_deserialize().map_err(unreadable)?;
    settings.check()?;
    Ok(Loaded { settings, file, retired })
}

fn unreadable(error: config::ConfigError) -> SettingsError {
    SettingsError::Unreadable(Box::new(error))
}

fn locate(sources: &Sources) -> Result<Option<PathBuf>, SettingsError> {
    let named = sources.file.clone().or_else(|| sources.environment.get("CONFIG_PATH").map(PathBuf::from));
    match named {
        Some(path) if path.is_file() => Ok(Some(path)),
        Some(path) => Err(SettingsError::NoFile(path)),
        None => Ok(DEFAULT_FILES.iter().map(PathBuf::from).find(|path| path.is_file())),
    }
}

/// Only known keys are taken from the environment: it holds much that is not ours. A value is text and is read as what
/// its key wants; a list is separated by commas, a table is JSON.
fn environment(known: &[String], variables: &BTreeMap<String, String>) -> Result<Config, SettingsError> {
    let mut builder = Config::builder();
    for key in known {
        let Some(value) = variables.get(&key.to_uppercase()).filter(|value| !value.is_empty()) else {
            continue;
        };
        builder = match key.as_str() {
            "allowed_origins" => {
                let list: Vec<_> = value.split(',').map(|item| item.trim().to_owned()).collect();
                builder.set_override(key, list)
            }
            "comfyui_headers" => {
                let table: BTreeMap<String, String> = serde_json::from_str(value).map_err(|error| {
                    let problem = format!("expected a JSON object of texts in COMFYUI_HEADERS: {error}");
                    SettingsError::Invalid { key: "comfyui_headers", problem }
                })?;
                builder.set_override(key, config::Value::from(Map::from_iter(table)))
            }
            _ => builder.set_override(key, value.as_str()),
        }
        .map_err(unreadable)?;
    }
    builder.build().map_err(unreadable)
}

fn known_keys() -> Vec<String> {
    let schema = schemars::schema_for!(Settings);
    schema
        .get("properties")
        .and_then(|properties| properties.as_object())
        .map(|properties| properties.keys().cloned().collect())
        .unwrap_or_default()
}

fn refuse_unknown(
    merged: &Config,
    known: &[String],
    file: Option<&Path>,
) -> Result<Vec<&'static str>, SettingsError> {
    let table = merged.clone().try_deserialize::<Map<String, config::Value>>().map_err(unreadable)?;
    for key in table.keys() {
        if !known.iter().any(|name| name == key) {
            let nearest = workflow_analyzer::nearest(key, known.iter().map(String::as_str), 1);
            return Err(SettingsError::UnknownKey {
                key: key.clone(),
                origin: file.map_or_else(|| "the environment".into(), |path| path.display().to_string()),
                nearest: nearest.first().map(ToString::to_string),
            });
        }
    }
    Ok(RETIRED_KEYS.into_iter().filter(|key| table.contains_key(*key)).collect())
}

impl Settings {
    fn check(&self) -> Result<(), SettingsError> {
        let invalid = |key, problem: &str| Err(SettingsError::Invalid { key, problem: problem.into() });
        if !matches!(self.comfyui_url.scheme(), "http" | "https") {
            return invalid("comfyui_url", "expected an http or https URL, such as http://127.0.0.1:8188");
        }
        if let Some(url) = &self.comfyui_ws_url
            && !matches!(url.scheme(), "ws" | "wss")
        {
            return invalid("comfyui_ws_url", "expected a ws or wss URL, such as ws://127.0.0.1:8188/ws");
        }
        if !(1..=256).contains(&self.max_concurrent_jobs) {
            return invalid("max_concurrent_jobs", "expected a number from 1 to 256");
        }
        if self.max_queued_jobs == 0 || self.max_queued_jobs_per_client == 0 {
            return invalid("max_queued_jobs", "expected at least 1, and max_queued_jobs_per_client too");
        }
        if self.max_sessions == 0 || self.max_sessions_per_client == 0 {
            return invalid("max_sessions", "expected at least 1, and max_sessions_per_client too");
        }
        if self
            .request_state_key
            .as_ref()
            .is_some_and(|key| key.expose_secret().chars().count() < MIN_STATE_KEY)
        {
            return invalid("request_state_key", "expected at least 32 characters that nobody can guess");
        }
        if self.wait_seconds > 3600 {
            return invalid("wait_seconds", "expected at most 3600");
        }
        if self.max_body_bytes < 1024 {
            return invalid("max_body_bytes", "expected at least 1024");
        }
        if !(0.0..=600.0).contains(&self.sandbox_sampling_seconds) {
            return invalid("sandbox_sampling_seconds", "expected a number from 0 to 600");
        }
        Ok(())
    }

    /// The SQLite file.
    pub fn database(&self) -> PathBuf {
        self.db_path.clone().unwrap_or_else(|| self.data_dir.join("gateway.db"))
    }

    /// The folder of the pictures.
    pub fn artifacts_dir(&self) -> PathBuf {
        self.data_dir.join("artifacts")
    }

    /// How long finished jobs are kept.
    pub fn job_retention(&self) -> Duration {
        match self.job_retention_days {
            0 => Duration::from_hours(24 * 365 * 100),
            days => Duration::from_hours(24 * u64::from(days)),
        }
    }

    /// Whether the address is reachable from this machine alone.
    pub fn is_loopback(&self) -> bool {
        self.mcp_server_host == "localhost"
            || self
                .mcp_server_host
                .trim_matches(['[', ']'])
                .parse::<IpAddr>()
                .is_ok_and(|ip| ip.is_loopback())
    }
}

/// The JSON schema of the file, for editors and for docs/.
pub fn json_schema() -> serde_json::Value {
    schemars::schema_for!(Settings).to_value()
}

#[cfg(test)]
mod tests;
