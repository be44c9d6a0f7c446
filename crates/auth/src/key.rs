//! API keys: what is stored of one, and how a new one is made.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::hash::HashError;
use crate::principal::{Permissions, Principal, RateLimit};

/// Longest name of a client, in bytes.
const MAX_CLIENT_ID_BYTES: usize = 128;
/// Letters of the public part: no look-alikes (Crockford's base 32).
const ID_ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const ID_CHARS: usize = 8;
const SECRET_BYTES: usize = 32;
/// 32 bytes in base64url without padding.
const SECRET_CHARS: usize = 43;

/// What is stored of a key. The key itself is shown once, when it is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// Unique; names the key in lists and for revocation. `config:<client>` for a key of the configuration
    /// file.
    pub id: String,
    /// The client that the key belongs to.
    pub client_id: String,
    /// How the key is found without hashing: the public part of a key made here, or a short tag of another.
    /// Not unique.
    pub lookup: String,
    /// Argon2id, as a PHC string.
    pub hash: String,
    /// What the key allows.
    pub permissions: Permissions,
    /// How often its client may call.
    pub rate_limit: Option<RateLimit>,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on it is refused.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// Where it comes from.
    pub source: KeySource,
}

impl ApiKey {
    /// The caller that this key stands for.
    pub fn principal(&self) -> Principal {
        Principal {
            client_id: self.client_id.clone(),
            key_id: Some(self.id.clone()),
            permissions: self.permissions.clone(),
            rate_limit: self.rate_limit,
        }
    }
}

/// Where a key comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeySource {
    /// Made by [`generate_key`].
    Created,
    /// Read from the file of keys; replaced as a whole when that is read again.
    ConfigFile,
}

/// What a key is to allow.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// The client that the key belongs to: 1 to 128 bytes, no control characters.
    pub client_id: String,
    /// What the key allows.
    pub permissions: Permissions,
    /// How often its client may call; `None` = no limit.
    pub rate_limit: Option<RateLimit>,
    /// From when on it is refused; `None` = never.
    pub expires_at: Option<Timestamp>,
}

/// Why a key could not be made.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The client's name is empty, too long, or has control characters.
    #[error("`{client_id}` can't be a client's name: give 1 to {MAX_CLIENT_ID_BYTES} printable characters")]
    ClientId {
        /// The name, with what isn't printable escaped.
        client_id: String,
    },
    /// The key would be expired from the start.
    #[error("the key would expire in the past, at {expires_at}")]
    ExpiresInThePast {
        /// The time that was given.
        expires_at: Timestamp,
    },
    /// Two clients of the file have one key.
    #[error("the clients `{first}` and `{second}` have the same key")]
    Shared {
        /// A client.
        first: String,
        /// Another client.
        second: String,
    },
    /// Hashing failed.
    #[error("the key could not be hashed")]
    Hash(#[source] HashError),
}

/// Makes a key `ck_<8 characters>_<43 characters>`: the text, to be shown once, and what is stored of it.
///
/// Blocks for some ten milliseconds: not on the runtime.
pub fn generate_key(new: NewKey, now: Timestamp) -> Result<(SecretString, ApiKey), KeyError> {
    check_client_id(&new.client_id)?;
    if let Some(expires_at) = new.expires_at.filter(|at| *at <= now) {
        return Err(KeyError::ExpiresInThePast { expires_at });
    }
    let id = random_id()?;
    let mut secret = [0u8; SECRET_BYTES];
    getrandom::fill(&mut secret).map_err(|e| KeyError::Hash(HashError::Random(e)))?;
    let text = format!("ck_{id}_{}", URL_SAFE_NO_PAD.encode(secret));
    let key = ApiKey {
        lookup: lookup_of(&text),
        id,
        client_id: new.client_id,
        hash: crate::hash::hash(text.as_bytes()).map_err(KeyError::Hash)?,
        permissions: new.permissions,
        rate_limit: new.rate_limit,
        created_at: now,
        expires_at: new.expires_at,
        revoked_at: None,
        source: KeySource::Created,
    };
    Ok((SecretString::from(text), key))
}

/// How a key is found in the store: `ck_<8 characters>` of a key made here; of any other text `cfg_` and 16
/// bits of its SHA-256, which is enough to find a few candidates and too little to test a guess against.
pub(crate) fn lookup_of(text: &str) -> String {
    if let Some(id) = public_part(text) {
        return format!("ck_{id}");
    }
    let digest = Sha256::digest(text.as_bytes());
    format!("cfg_{:02x}{:02x}", digest[0], digest[1])
}

fn public_part(text: &str) -> Option<&str> {
    let (id, secret) = text.strip_prefix("ck_")?.split_at_checked(ID_CHARS)?;
    let secret = secret.strip_prefix('_')?;
    let well_formed = id.bytes().all(|b| ID_ALPHABET.contains(&b))
        && secret.len() == SECRET_CHARS
        && secret.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    well_formed.then_some(id)
}

pub(crate) fn check_client_id(client_id: &str) -> Result<(), KeyError> {
    let printable = !client_id.chars().any(char::is_control);
    if client_id.trim().is_empty() || client_id.len() > MAX_CLIENT_ID_BYTES || !printable {
        let client_id = client_id.chars().take(MAX_CLIENT_ID_BYTES).flat_map(char::escape_debug).collect();
        return Err(KeyError::ClientId { client_id });
    }
    Ok(())
}

fn random_id() -> Result<String, KeyError> {
    let mut bytes = [0u8; ID_CHARS];
    getrandom::fill(&mut bytes).map_err(|e| KeyError::Hash(HashError::Random(e)))?;
    Ok(bytes.iter().map(|byte| char::from(ID_ALPHABET[usize::from(byte % 32)])).collect())
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    fn new_key(client_id: &str) -> NewKey {
        NewKey {
            client_id: client_id.to_owned(),
            permissions: Permissions::all(),
            rate_limit: None,
            expires_at: None,
        }
    }

    #[test]
    fn a_new_key_has_the_documented_form_and_is_found_by_its_public_part() {
        let (secret, key) = generate_key(new_key("alice"), Timestamp::UNIX_EPOCH).unwrap();
        let text = secret.expose_secret();
        assert_eq!(text.len(), 3 + 8 + 1 + 43);
        assert!(text.starts_with(&format!("ck_{}_", key.id)));
        assert_eq!(key.lookup, format!("ck_{}", key.id));
        assert_eq!(lookup_of(text), key.lookup);
        assert!(!key.hash.contains(&text[12..]));
    }

    #[test]
    fn other_texts_are_found_by_a_short_tag() {
        for text in ["secret", "", "ck_", "ck_short_x", "ck_äöüäöüäö", "ck_abcdefgh_x"] {
            let lookup = lookup_of(text);
            assert!(lookup.starts_with("cfg_") && lookup.len() == 8, "{text}: {lookup}");
        }
    }

    #[test]
    fn broken_requests_are_refused() {
        for client_id in ["", "  ", "a\nb", &"x".repeat(129)] {
            assert!(matches!(
                generate_key(new_key(client_id), Timestamp::UNIX_EPOCH),
                Err(KeyError::ClientId { .. })
            ));
        }
        let past = NewKey { expires_at: Some(Timestamp::UNIX_EPOCH), ..new_key("alice") };
        assert!(matches!(generate_key(past, Timestamp::UNIX_EPOCH), Err(KeyError::ExpiresInThePast { .. })));
    }
}
