//! The suite that every [`KeyStore`] passes.

use std::sync::Arc;

use jiff::Timestamp;

use crate::key::{ApiKey, KeySource};
use crate::principal::{Permissions, RateLimit};
use crate::store::{KeyStore, KeyStoreError};

/// Runs the suite, with an empty store for each case; panics where the store breaks the contract.
pub async fn run(make: impl AsyncFn() -> Arc<dyn KeyStore>) {
    keeps_every_field(&*make().await).await;
    finds_by_lookup(&*make().await).await;
    refuses_a_taken_id(&*make().await).await;
    revokes_once(&*make().await).await;
    replaces_the_keys_of_the_file(&*make().await).await;
    replaces_all_or_nothing(&*make().await).await;
}

fn key(id: &str, source: KeySource) -> ApiKey {
    ApiKey {
        id: id.to_owned(),
        client_id: format!("client of {id}"),
        lookup: format!("ck_{id}"),
        hash: format!("$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ${id}"),
        permissions: Permissions::new(["generate_image", "list_*"]).expect("a pattern"),
        rate_limit: Some(RateLimit::new(10, 60, 20).expect("a limit")),
        created_at: Timestamp::from_millisecond(1_700_000_000_123).expect("a time"),
        expires_at: Some(Timestamp::from_millisecond(1_800_000_000_456).expect("a time")),
        revoked_at: None,
        source,
    }
}

async fn keeps_every_field(store: &dyn KeyStore) {
    assert_eq!(store.list().await.expect("list"), []);
    let full = key("full", KeySource::Created);
    let bare = ApiKey {
        permissions: Permissions::default(),
        rate_limit: None,
        expires_at: None,
        created_at: full.created_at + jiff::SignedDuration::from_secs(1),
        ..key("bare", KeySource::ConfigFile)
    };
    store.insert(&bare).await.expect("insert");
    store.insert(&full).await.expect("insert");
    assert_eq!(store.list().await.expect("list"), [full, bare], "oldest first");
}

async fn finds_by_lookup(store: &dyn KeyStore) {
    let one = ApiKey { lookup: "cfg_00ff".to_owned(), ..key("one", KeySource::ConfigFile) };
    let two = ApiKey { lookup: "cfg_00ff".to_owned(), ..key("two", KeySource::ConfigFile) };
    for key in [&two, &key("three", KeySource::Created), &one] {
        store.insert(key).await.expect("insert");
    }
    assert_eq!(store.find_by_lookup("cfg_00ff").await.expect("find"), [one, two], "in order of id");
    assert_eq!(store.find_by_lookup("cfg_00f").await.expect("find"), []);
    assert_eq!(store.find_by_lookup("CFG_00FF").await.expect("find"), [], "case matters");
    assert_eq!(store.find_by_lookup("cfg_%").await.expect("find"), [], "no patterns");
}

async fn refuses_a_taken_id(store: &dyn KeyStore) {
    let first = key("first", KeySource::Created);
    store.insert(&first).await.expect("insert");
    let again = ApiKey { client_id: "someone else".to_owned(), ..first.clone() };
    let error = store.insert(&again).await.expect_err("the id is taken");
    assert!(matches!(error, KeyStoreError::Duplicate { ref id } if id == "first"), "{error:?}");
    assert_eq!(store.list().await.expect("list"), [first], "the first one is untouched");
}

async fn revokes_once(store: &dyn KeyStore) {
    let early = Timestamp::from_millisecond(1_750_000_000_000).expect("a time");
    let late = Timestamp::from_millisecond(1_760_000_000_000).expect("a time");
    store.insert(&key("it", KeySource::Created)).await.expect("insert");
    store.insert(&key("other", KeySource::Created)).await.expect("insert");
    assert!(!store.revoke("nobody", early).await.expect("revoke"));
    assert!(store.revoke("it", early).await.expect("revoke"));
    assert!(store.revoke("it", late).await.expect("revoke"), "it is there still");
    let found = store.find_by_lookup("ck_it").await.expect("find");
    assert_eq!(found[0].revoked_at, Some(early), "the first time stays");
    let other = store.find_by_lookup("ck_other").await.expect("find");
    assert_eq!(other[0].revoked_at, None);
}

async fn replaces_the_keys_of_the_file(store: &dyn KeyStore) {
    let made = key("made", KeySource::Created);
    store.insert(&made).await.expect("insert");
    let (a, b, c) = (
        key("config:a", KeySource::ConfigFile),
        key("config:b", KeySource::ConfigFile),
        key("config:c", KeySource::ConfigFile),
    );
    store.replace_config_keys(vec![a, b.clone()]).await.expect("replace");
    let changed = ApiKey { hash: "$argon2id$new".to_owned(), ..b };
    store.replace_config_keys(vec![changed.clone(), c.clone()]).await.expect("replace");
    assert_eq!(store.list().await.expect("list"), [changed, c, made.clone()]);
    store.replace_config_keys(Vec::new()).await.expect("replace");
    assert_eq!(store.list().await.expect("list"), [made], "keys made by hand stay");
}

async fn replaces_all_or_nothing(store: &dyn KeyStore) {
    let made = key("made", KeySource::Created);
    let kept = key("config:kept", KeySource::ConfigFile);
    store.insert(&made).await.expect("insert");
    store.insert(&kept).await.expect("insert");
    let clash = key("made", KeySource::ConfigFile);
    let new = vec![key("config:new", KeySource::ConfigFile), clash];
    store.replace_config_keys(new).await.expect_err("the id is taken");
    assert_eq!(store.list().await.expect("list"), [kept, made]);
}
