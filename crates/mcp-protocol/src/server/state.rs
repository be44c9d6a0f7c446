//! `requestState`: what a modern request brings back from its earlier rounds, sealed so that nobody can change it, use it for
//! another request or as somebody else, or keep it for long (2026-07-28, basic/patterns/mrtr: server requirements).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac as _};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

/// A person may take this long to answer, in seconds.
const VALID_FOR: i64 = 3600;

/// The key that states are sealed with.
#[derive(Clone)]
pub(crate) struct Seal {
    key: [u8; 32],
}

/// What is sealed.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct State {
    /// Whose request it is.
    #[serde(rename = "o")]
    pub(crate) owner: Option<String>,
    /// Which request it is: [`fingerprint`].
    #[serde(rename = "r")]
    pub(crate) request: String,
    /// Unix time, in seconds.
    #[serde(rename = "e")]
    pub(crate) expires: i64,
    /// The answers of earlier rounds, by key.
    #[serde(rename = "a")]
    pub(crate) answers: Map<String, Value>,
}

impl State {
    pub(crate) fn new(owner: Option<String>, request: String, answers: Map<String, Value>) -> State {
        State { owner, request, expires: Timestamp::now().as_second() + VALID_FOR, answers }
    }
}

impl Seal {
    pub(crate) fn new(key: [u8; 32]) -> Seal {
        Seal { key }
    }

    /// A key of this process alone; `None` where the system gives no random numbers.
    pub(crate) fn random() -> Option<Seal> {
        let mut key = [0; 32];
        getrandom::fill(&mut key).ok()?;
        Some(Seal { key })
    }

    pub(crate) fn seal(&self, state: &State) -> String {
        let payload = serde_json::to_vec(state).unwrap_or_default();
        let tag = self.mac(&payload).finalize().into_bytes();
        format!("{}.{}", URL_SAFE_NO_PAD.encode(payload), URL_SAFE_NO_PAD.encode(tag))
    }

    /// The state, if this key has sealed it and it is still valid.
    pub(crate) fn open(&self, sealed: &str) -> Option<State> {
        let (payload, tag) = sealed.split_once('.')?;
        let payload = URL_SAFE_NO_PAD.decode(payload).ok()?;
        let tag = URL_SAFE_NO_PAD.decode(tag).ok()?;
        self.mac(&payload).verify_slice(&tag).ok()?;
        let state: State = serde_json::from_slice(&payload).ok()?;
        (state.expires >= Timestamp::now().as_second()).then_some(state)
    }

    fn mac(&self, payload: &[u8]) -> Hmac<Sha256> {
        // HMAC fills a short key up to its block with zeros.
        let mut block = [0; 64];
        block[..self.key.len()].copy_from_slice(&self.key);
        let mut mac = Hmac::<Sha256>::new(&block.into());
        mac.update(payload);
        mac
    }
}

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seal")
    }
}

/// A digest of a request: its method, what it names, and its arguments whatever their order.
pub(crate) fn fingerprint(method: &str, target: &str, arguments: &Value) -> String {
    let mut hasher = Sha256::new();
    for part in [method, target] {
        hasher.update(part.len().to_le_bytes());
        hasher.update(part);
    }
    hash(&mut hasher, arguments);
    URL_SAFE_NO_PAD.encode(hasher.finalize())
}

fn hash(hasher: &mut Sha256, value: &Value) {
    match value {
        Value::Array(items) => {
            hasher.update([b'[']);
            for item in items {
                hash(hasher, item);
            }
            hasher.update([b']']);
        }
        Value::Object(object) => {
            hasher.update([b'{']);
            let mut members: Vec<_> = object.iter().collect();
            members.sort_by_key(|(name, _)| *name);
            for (name, member) in members {
                hash(hasher, &Value::String(name.clone()));
                hash(hasher, member);
            }
            hasher.update([b'}']);
        }
        scalar => {
            let text = scalar.to_string();
            hasher.update(text.len().to_le_bytes());
            hasher.update(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::{Map, json};

    use super::{Seal, State, fingerprint};

    fn state() -> State {
        let answers = Map::from_iter([("name".to_owned(), json!({"action": "accept"}))]);
        State::new(Some("alice".to_owned()), fingerprint("tools/call", "t", &json!({})), answers)
    }

    #[test]
    fn a_sealed_state_opens_with_the_same_key_alone() {
        let seal = Seal::new([1; 32]);
        let sealed = seal.seal(&state());
        assert_eq!(seal.open(&sealed).as_ref().map(|state| &state.answers), Some(&state().answers));
        assert_eq!(Seal::new([2; 32]).open(&sealed), None);
    }

    #[test]
    fn no_byte_of_it_can_be_changed() {
        let seal = Seal::random().unwrap();
        let sealed = seal.seal(&state());
        for position in 0..sealed.len() {
            let mut changed = sealed.clone().into_bytes();
            changed[position] = if changed[position] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(seal.open(&changed), None, "{position}");
        }
        for junk in ["", ".", "a.b", "e30.", &sealed[..sealed.len() - 1]] {
            assert_eq!(seal.open(junk), None, "{junk}");
        }
    }

    #[test]
    fn it_does_not_last() {
        let seal = Seal::random().unwrap();
        let old = State { expires: Timestamp::now().as_second() - 1, ..state() };
        assert_eq!(seal.open(&seal.seal(&old)), None);
    }

    #[test]
    fn a_fingerprint_is_of_the_request_and_not_of_its_order() {
        let one = fingerprint("tools/call", "t", &json!({"a": 1, "b": [1, {"x": 2, "y": 3}]}));
        assert_eq!(one, fingerprint("tools/call", "t", &json!({"b": [1, {"y": 3, "x": 2}], "a": 1})));
        let others = [
            fingerprint("prompts/get", "t", &json!({"a": 1, "b": [1, {"x": 2, "y": 3}]})),
            fingerprint("tools/call", "u", &json!({"a": 1, "b": [1, {"x": 2, "y": 3}]})),
            fingerprint("tools/call", "t", &json!({"a": 2, "b": [1, {"x": 2, "y": 3}]})),
            fingerprint("tools/call", "t", &json!({"a": 1, "b": [{"x": 2, "y": 3}, 1]})),
        ];
        assert!(others.iter().all(|other| *other != one));
    }
}
