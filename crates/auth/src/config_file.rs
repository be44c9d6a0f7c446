//! The file of clients and their keys, `auth_config.json`, in the form that the original server had.
//!
//! ```json
//! {"alice": {"api_key": "…", "permissions": ["generate_image", "list_*"],
//!            "rate_limit": {"rate": 10, "per": 60, "burst": 20}}}
//! ```
//! The clients may stand under a key `clients`. No error quotes a key.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value};

use crate::hash;
use crate::key::{ApiKey, KeyError, KeySource, check_client_id, lookup_of};
use crate::principal::{InvalidPermission, Permissions, RateLimit};

/// Largest file that is read, in bytes.
const MAX_FILE_BYTES: u64 = 1024 * 1024;
/// Longest key, in bytes.
pub(crate) const MAX_KEY_BYTES: usize = 512;
/// A key shorter than this can be guessed.
const SHORT_KEY_BYTES: usize = 16;
const FIELDS: [&str; 3] = ["api_key", "permissions", "rate_limit"];

/// One client of the file.
#[derive(Clone, Debug)]
pub struct ClientEntry {
    /// The client's name.
    pub client_id: String,
    /// Its key, in plain.
    pub api_key: SecretString,
    /// What it may do.
    pub permissions: Permissions,
    /// How often it may call.
    pub rate_limit: Option<RateLimit>,
}

/// Why the file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigFileError {
    /// It can't be read.
    #[error("the file of api keys {path} can't be read; create it, or correct auth_config_path")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is too big to be meant.
    #[error("the file of api keys {path} is larger than {MAX_FILE_BYTES} bytes")]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// It isn't JSON.
    #[error("the file of api keys {path} is not valid JSON")]
    Json {
        /// The file.
        path: PathBuf,
        /// Line and column.
        #[source]
        source: serde_json::Error,
    },
    /// It is JSON, but not an object of clients.
    #[error("the file of api keys {path} must hold an object with one member for each client")]
    Shape {
        /// The file.
        path: PathBuf,
    },
    /// A client is broken.
    #[error("client `{client}` in the file of api keys {path} is broken")]
    Client {
        /// The file.
        path: PathBuf,
        /// The client's name.
        client: String,
        /// What is wrong with it.
        #[source]
        source: EntryError,
    },
}

/// What is wrong with one client of the file.
#[derive(Debug, thiserror::Error)]
pub enum EntryError {
    /// It isn't an object.
    #[error("it must be an object with `api_key`, `permissions` and perhaps `rate_limit`")]
    Shape,
    /// A field that isn't known.
    #[error("`{field}` is unknown; the fields are `api_key`, `permissions` and `rate_limit`")]
    UnknownField {
        /// The field.
        field: String,
    },
    /// No key, or one that can't be sent in a header.
    #[error("`api_key` must be a text of 1 to {MAX_KEY_BYTES} printable ASCII characters without spaces")]
    Key,
    /// The permissions are missing or of the wrong type.
    #[error("`permissions` must be a list of tool names; [\"*\"] allows everything")]
    Permissions,
    /// A permission is broken.
    #[error("`permissions` is broken")]
    Permission(#[source] InvalidPermission),
    /// The limit is broken.
    #[error("`rate_limit` is broken; give {{\"rate\": 10, \"per\": 60, \"burst\": 20}}")]
    RateLimit(#[source] serde_json::Error),
    /// The client's name is broken, or its key is another client's too.
    #[error("it can't be used")]
    Use(#[source] KeyError),
}

/// Reads the file. Blocks; meant for the start of the server.
pub fn read(path: &Path) -> Result<Vec<ClientEntry>, ConfigFileError> {
    let unreadable = |source| ConfigFileError::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(unreadable)?;
    let mut text = Vec::new();
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut text).map_err(unreadable)?;
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err(ConfigFileError::TooLarge { path: path.to_owned() });
    }
    let value: Value = serde_json::from_slice(&text)
        .map_err(|source| ConfigFileError::Json { path: path.to_owned(), source })?;
    let clients = clients_of(&value).ok_or_else(|| ConfigFileError::Shape { path: path.to_owned() })?;
    let mut entries: Vec<ClientEntry> = Vec::with_capacity(clients.len());
    for (client, value) in clients {
        let entry = entry(client, value, &entries).map_err(|source| ConfigFileError::Client {
            path: path.to_owned(),
            client: client.chars().flat_map(char::escape_debug).take(128).collect(),
            source,
        })?;
        if entry.api_key.expose_secret().len() < SHORT_KEY_BYTES {
            tracing::warn!(client.id = %entry.client_id, "a key shorter than {SHORT_KEY_BYTES} characters");
        }
        entries.push(entry);
    }
    Ok(entries)
}

fn clients_of(value: &Value) -> Option<&Map<String, Value>> {
    let top = value.as_object()?;
    match top.get("clients") {
        // A client may be called `clients`.
        Some(Value::Object(inner))
            if top.len() == 1 && !inner.get("api_key").is_some_and(Value::is_string) =>
        {
            Some(inner)
        }
        _ => Some(top),
    }
}

fn entry(client: &str, value: &Value, others: &[ClientEntry]) -> Result<ClientEntry, EntryError> {
    check_client_id(client).map_err(EntryError::Use)?;
    let fields = value.as_object().ok_or(EntryError::Shape)?;
    if let Some(field) = fields.keys().find(|field| !FIELDS.contains(&field.as_str())) {
        let field = field.chars().flat_map(char::escape_debug).take(64).collect();
        return Err(EntryError::UnknownField { field });
    }
    let api_key = fields.get("api_key").and_then(Value::as_str).filter(|key| is_usable(key));
    let api_key = api_key.ok_or(EntryError::Key)?;
    if let Some(other) = others.iter().find(|other| other.api_key.expose_secret() == api_key) {
        let (first, second) = (other.client_id.clone(), client.to_owned());
        return Err(EntryError::Use(KeyError::Shared { first, second }));
    }
    let permissions = fields.get("permissions").and_then(Value::as_array).ok_or(EntryError::Permissions)?;
    let permissions: Option<Vec<&str>> = permissions.iter().map(Value::as_str).collect();
    let permissions = Permissions::new(permissions.ok_or(EntryError::Permissions)?);
    let rate_limit = match fields.get("rate_limit") {
        None | Some(Value::Null) => None,
        Some(limit) => Some(serde_json::from_value(limit.clone()).map_err(EntryError::RateLimit)?),
    };
    Ok(ClientEntry {
        client_id: client.to_owned(),
        api_key: SecretString::from(api_key),
        permissions: permissions.map_err(EntryError::Permission)?,
        rate_limit,
    })
}

fn is_usable(key: &str) -> bool {
    !key.is_empty() && key.len() <= MAX_KEY_BYTES && key.bytes().all(|b| b.is_ascii_graphic())
}

/// Turns the clients of the file into keys. A client whose stored key verifies keeps its hash, its time and
/// its revocation; a new or changed one is hashed. Blocks for some ten milliseconds for each client.
pub fn hash_entries(
    entries: &[ClientEntry],
    stored: &[ApiKey],
    now: Timestamp,
) -> Result<Vec<ApiKey>, KeyError> {
    entries.iter().map(|entry| hash_entry(entry, stored, now)).collect()
}

fn hash_entry(entry: &ClientEntry, stored: &[ApiKey], now: Timestamp) -> Result<ApiKey, KeyError> {
    let id = format!("config:{}", entry.client_id);
    let text = entry.api_key.expose_secret();
    let lookup = lookup_of(text);
    let same = stored.iter().find(|key| {
        let candidate = key.source == KeySource::ConfigFile && key.id == id && key.lookup == lookup;
        // A hash that can't be read is made anew.
        candidate && hash::verify(text.as_bytes(), &key.hash).unwrap_or(false)
    });
    let (hash, created_at, revoked_at) = match same {
        Some(key) => (key.hash.clone(), key.created_at, key.revoked_at),
        None => (hash::hash(text.as_bytes()).map_err(KeyError::Hash)?, now, None),
    };
    Ok(ApiKey {
        id,
        client_id: entry.client_id.clone(),
        lookup,
        hash,
        permissions: entry.permissions.clone(),
        rate_limit: entry.rate_limit,
        created_at,
        expires_at: None,
        revoked_at,
        source: KeySource::ConfigFile,
    })
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    fn read_text(text: &str) -> Result<Vec<ClientEntry>, ConfigFileError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("auth_config.json");
        std::fs::write(&path, text).unwrap();
        read(&path)
    }

    const ALICE: &str = r#"{"alice": {"api_key": "alice-has-a-long-key",
        "permissions": ["generate_image", "list_*"],
        "rate_limit": {"rate": 10, "per": 60, "burst": 20}}}"#;

    #[test]
    fn the_form_of_the_original_is_read_with_and_without_a_wrapper() {
        for text in [ALICE.to_owned(), format!(r#"{{"clients": {ALICE}}}"#)] {
            let entries = read_text(&text).unwrap();
            assert_eq!(entries.len(), 1);
            assert_eq!(entries[0].client_id, "alice");
            assert_eq!(entries[0].api_key.expose_secret(), "alice-has-a-long-key");
            assert!(entries[0].permissions.allow("list_models"));
            assert_eq!(entries[0].rate_limit, Some(RateLimit::new(10, 60, 20).unwrap()));
        }
        let named = r#"{"clients": {"api_key": "0123456789abcdef", "permissions": ["*"]}}"#;
        assert_eq!(read_text(named).unwrap()[0].client_id, "clients");
        assert!(read_text("{}").unwrap().is_empty());
    }

    #[test]
    fn a_broken_file_is_named_without_its_keys() {
        let check = |text: &str, part: &str| {
            let error = read_text(text).unwrap_err();
            let mut message = error.to_string();
            let mut source = error.source();
            while let Some(cause) = source {
                message = format!("{message}: {cause}");
                source = cause.source();
            }
            assert!(message.contains("auth_config.json"), "{message}");
            assert!(message.contains(part), "{part:?} in {message}");
            assert!(!message.contains("hunter2"), "{message}");
        };
        check("", "not valid JSON");
        check("[]", "one member for each client");
        check(r#"{"alice": "hunter2"}"#, "`alice`");
        check(r#"{"alice": {"api_key": "hunter2"}}"#, "`permissions` must be a list");
        check(r#"{"alice": {"permissions": ["*"]}}"#, "`api_key` must be a text");
        check(r#"{"alice": {"api_key": 5, "permissions": ["*"]}}"#, "`api_key` must be a text");
        check(r#"{"alice": {"api_key": "hunter2 ", "permissions": ["*"]}}"#, "without spaces");
        check(r#"{"alice": {"api_key": "hunter2", "permissions": ["a*b"]}}"#, "`a*b` is not a permission");
        check(r#"{"alice": {"api_key": "hunter2", "permissions": [1]}}"#, "`permissions` must be a list");
        check(r#"{"alice": {"api_key": "hunter2", "permission": []}}"#, "`permission` is unknown");
        check(
            r#"{"alice": {"api_key": "hunter2", "permissions": ["*"], "rate_limit": {"rate": 0}}}"#,
            "rate_limit.rate must be at least 1",
        );
        check(
            r#"{"a": {"api_key": "hunter2", "permissions": ["*"]},
                "b": {"api_key": "hunter2", "permissions": ["*"]}}"#,
            "`a` and `b` have the same key",
        );
        check(r#"{"": {"api_key": "hunter2", "permissions": ["*"]}}"#, "can't be a client's name");
        let missing = read(Path::new("/nonexistent/auth_config.json")).unwrap_err();
        assert!(missing.to_string().contains("auth_config_path"), "{missing}");
    }

    #[test]
    fn a_key_is_hashed_once_and_again_when_it_changes() {
        let entries = read_text(ALICE).unwrap();
        let first = hash_entries(&entries, &[], Timestamp::UNIX_EPOCH).unwrap();
        assert!(!first[0].hash.contains("alice-has"));
        let mut stored = first.clone();
        stored[0].revoked_at = Some(Timestamp::UNIX_EPOCH);
        let later = Timestamp::from_second(100).unwrap();
        assert_eq!(hash_entries(&entries, &stored, later).unwrap(), stored, "the revocation stays");
        let changed = read_text(&ALICE.replace("long-key", "other-key")).unwrap();
        let again = hash_entries(&changed, &stored, later).unwrap();
        assert_ne!(again[0].hash, first[0].hash);
        assert_eq!((again[0].created_at, again[0].revoked_at), (later, None));
    }
}
