//! What callers notice of authentication.

use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;

use super::*;
use crate::principal::{Permissions, RateLimit};
use crate::store::MemoryKeyStore;

fn new_key(client_id: &str) -> NewKey {
    NewKey {
        client_id: client_id.to_owned(),
        permissions: Permissions::new(["generate_image"]).unwrap(),
        rate_limit: Some(RateLimit::new(10, 60, 20).unwrap()),
        expires_at: None,
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn authenticator() -> Authenticator {
    Authenticator::new(Arc::new(MemoryKeyStore::default()))
}

fn entry(client_id: &str, api_key: &str) -> ClientEntry {
    ClientEntry {
        client_id: client_id.to_owned(),
        api_key: SecretString::from(api_key),
        permissions: Permissions::all(),
        rate_limit: None,
    }
}

fn remembered(authenticator: &Authenticator) -> usize {
    authenticator.inner.verified().len()
}

#[tokio::test]
async fn a_key_becomes_its_principal() {
    let authenticator = authenticator();
    let (text, key) = authenticator.create(new_key("alice"), at(0)).await.unwrap();
    let principal = authenticator.authenticate(text.expose_secret(), at(1)).await.unwrap();
    assert_eq!(principal, key.principal());
    assert!(principal.may("generate_image") && !principal.may("cancel_job"));
}

#[tokio::test]
async fn what_is_no_key_is_refused_with_one_text() {
    let authenticator = authenticator();
    let (text, key) = authenticator.create(new_key("alice"), at(0)).await.unwrap();
    let right = text.expose_secret().to_owned();
    let mut wrong_secret = right.clone();
    wrong_secret.replace_range(12..13, if right.as_bytes()[12] == b'A' { "B" } else { "A" });
    let long = "x".repeat(100_000);
    for wrong in
        [wrong_secret.as_str(), "nonsense", "ck_", &right[..right.len() - 1], &key.hash, &key.id, &long]
    {
        let error = authenticator.authenticate(wrong, at(1)).await.unwrap_err();
        assert!(matches!(error, AuthError::Invalid), "{error:?}");
        assert_eq!(error.to_string(), "the api key is not valid");
    }
    let missing = authenticator.authenticate("", at(1)).await.unwrap_err();
    assert!(matches!(missing, AuthError::Missing), "{missing:?}");
    assert_eq!(remembered(&authenticator), 0, "failures are not remembered");
}

#[tokio::test]
async fn a_revocation_counts_at_once() {
    let store: Arc<dyn KeyStore> = Arc::new(MemoryKeyStore::default());
    let authenticator = Authenticator::new(Arc::clone(&store));
    let (text, key) = authenticator.create(new_key("alice"), at(0)).await.unwrap();
    authenticator.authenticate(text.expose_secret(), at(1)).await.unwrap();
    assert_eq!(remembered(&authenticator), 1);
    assert!(authenticator.revoke(&key.id, at(2)).await.unwrap());
    assert_eq!(remembered(&authenticator), 0);
    let error = authenticator.authenticate(text.expose_secret(), at(2)).await.unwrap_err();
    assert!(matches!(error, AuthError::Revoked), "{error:?}");
    assert_eq!(error.to_string(), AuthError::Invalid.to_string(), "outside they look the same");
    assert!(!authenticator.revoke("unknown", at(2)).await.unwrap());

    let (text, key) = authenticator.create(new_key("bob"), at(0)).await.unwrap();
    authenticator.authenticate(text.expose_secret(), at(3)).await.unwrap();
    store.revoke(&key.id, at(3)).await.unwrap();
    let error = authenticator.authenticate(text.expose_secret(), at(3)).await.unwrap_err();
    assert!(matches!(error, AuthError::Revoked), "by another process too: {error:?}");
}

#[tokio::test]
async fn an_expired_key_is_refused_also_when_remembered() {
    let authenticator = authenticator();
    let new = NewKey { expires_at: Some(at(100)), ..new_key("alice") };
    let (text, _) = authenticator.create(new, at(0)).await.unwrap();
    authenticator.authenticate(text.expose_secret(), at(99)).await.unwrap();
    let error = authenticator.authenticate(text.expose_secret(), at(100)).await.unwrap_err();
    assert!(matches!(error, AuthError::Expired), "{error:?}");
}

#[tokio::test]
async fn a_success_is_remembered_for_a_minute() {
    let authenticator = authenticator();
    let (text, _) = authenticator.create(new_key("alice"), at(0)).await.unwrap();
    authenticator.authenticate(text.expose_secret(), at(10)).await.unwrap();
    let is_fresh = |now| authenticator.inner.verified().values().all(|verified| verified.is_fresh(at(now)));
    assert!(is_fresh(10) && is_fresh(69));
    assert!(!is_fresh(70) && !is_fresh(9));
}

#[tokio::test]
async fn many_calls_with_one_key_verify_it_few_times() {
    let authenticator = authenticator();
    let (text, _) = authenticator.create(new_key("alice"), at(0)).await.unwrap();
    let calls = (0..50).map(|_| {
        let (authenticator, text) = (authenticator.clone(), text.clone());
        tokio::spawn(async move { authenticator.authenticate(text.expose_secret(), at(1)).await })
    });
    for call in calls.collect::<Vec<_>>() {
        call.await.unwrap().unwrap();
    }
    let runs = authenticator.inner.runs.load(Ordering::Relaxed);
    assert!((1..=MAX_VERIFYING).contains(&runs), "{runs} runs of argon2");
}

#[tokio::test]
async fn too_many_verifications_are_refused() {
    let authenticator = authenticator();
    let (text, _) = authenticator.create(new_key("alice"), at(0)).await.unwrap();
    let _slots = authenticator.inner.verifying.acquire_many(2).await.unwrap();
    let _waiting = authenticator.inner.waiting.acquire_many(64).await.unwrap();
    let error = authenticator.authenticate(text.expose_secret(), at(1)).await.unwrap_err();
    assert!(matches!(error, AuthError::Busy), "{error:?}");
}

#[tokio::test]
async fn what_is_remembered_is_bounded() {
    let authenticator = authenticator();
    let (_, key) = authenticator.create(new_key("alice"), at(0)).await.unwrap();
    for n in 0..3000u32 {
        let mut digest = [0u8; 32];
        digest[..4].copy_from_slice(&n.to_be_bytes());
        let presented = Presented { text: SecretString::from(""), digest, lookup: String::new() };
        authenticator.inner.remember(&key, &presented, at(i64::from(n) / 1000));
    }
    assert_eq!(remembered(&authenticator), MAX_REMEMBERED);
}

#[tokio::test]
async fn keys_of_the_file_work_while_they_are_being_hashed() {
    let authenticator = authenticator();
    let load = authenticator.load_config(vec![entry("alice", "alice's"), entry("bob", "bob's")], at(0));
    let call = {
        let authenticator = authenticator.clone();
        tokio::spawn(async move { authenticator.authenticate("bob's", at(1)).await })
    };
    assert_eq!(tokio::spawn(load).await.unwrap().unwrap(), 2);
    assert_eq!(call.await.unwrap().unwrap().client_id, "bob");
    authenticator.load_config(vec![entry("alice", "alice's")], at(2)).await.unwrap();
    let error = authenticator.authenticate("bob's", at(2)).await.unwrap_err();
    assert!(matches!(error, AuthError::Invalid), "no longer in the file: {error:?}");
    assert_eq!(authenticator.authenticate("alice's", at(2)).await.unwrap().client_id, "alice");
}

#[tokio::test]
async fn a_load_that_is_given_up_holds_nobody_up() {
    let authenticator = authenticator();
    drop(authenticator.load_config(vec![entry("alice", "alice's")], at(0)));
    let error = authenticator.authenticate("alice's", at(1)).await.unwrap_err();
    assert!(matches!(error, AuthError::Invalid), "{error:?}");
}

/// A store that counts its reads and then fails.
#[derive(Default)]
struct Broken {
    reads: AtomicUsize,
}

#[async_trait]
impl KeyStore for Broken {
    async fn insert(&self, _: &ApiKey) -> Result<(), KeyStoreError> {
        Err(KeyStoreError::Unavailable("down".into()))
    }
    async fn find_by_lookup(&self, _: &str) -> Result<Vec<ApiKey>, KeyStoreError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        Err(KeyStoreError::Unavailable("down".into()))
    }
    async fn list(&self) -> Result<Vec<ApiKey>, KeyStoreError> {
        Err(KeyStoreError::Unavailable("down".into()))
    }
    async fn revoke(&self, _: &str, _: Timestamp) -> Result<bool, KeyStoreError> {
        Err(KeyStoreError::Unavailable("down".into()))
    }
    async fn replace_config_keys(&self, _: Vec<ApiKey>) -> Result<(), KeyStoreError> {
        Err(KeyStoreError::Unavailable("down".into()))
    }
}

#[tokio::test]
async fn a_store_that_is_down_lets_nobody_in() {
    let store = Arc::new(Broken::default());
    let authenticator = Authenticator::new(Arc::clone(&store) as Arc<dyn KeyStore>);
    let error = authenticator.authenticate("anything", at(1)).await.unwrap_err();
    assert!(matches!(error, AuthError::Store(_)), "{error:?}");
    assert_eq!(error.to_string(), "the api key can't be looked up now", "no internals");
    assert_eq!(store.reads.load(Ordering::Relaxed), 1);
}
