//! From a presented key to a principal.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use tokio::sync::{Semaphore, TryAcquireError, watch};
use tokio::task::{JoinError, spawn_blocking};

use crate::config_file::{ClientEntry, MAX_KEY_BYTES, hash_entries};
use crate::hash::{self, HashError};
use crate::key::{ApiKey, KeyError, NewKey, generate_key, lookup_of};
use crate::principal::Principal;
use crate::store::{KeyStore, KeyStoreError};

/// Verifications at once: each needs 19 MiB and a core for some ten milliseconds.
const MAX_VERIFYING: usize = 2;
/// Verifications that may wait; more are answered with [`AuthError::Busy`].
const MAX_WAITING: usize = 64;
/// How long a successful verification is remembered.
const REMEMBERED: SignedDuration = SignedDuration::from_secs(60);
/// How many are remembered.
const MAX_REMEMBERED: usize = 1024;
/// How long an unknown key waits for the keys of the configuration file to be hashed.
const MAX_LOAD_WAIT: Duration = Duration::from_secs(10);

/// Why a caller is refused. The text is fit for the caller; it doesn't tell a revoked key from a wrong one.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// No key was given.
    #[error("no api key was given")]
    Missing,
    /// No such key.
    #[error("the api key is not valid")]
    Invalid,
    /// It was a key once.
    #[error("the api key is not valid")]
    Revoked,
    /// Its time is over.
    #[error("the api key has expired")]
    Expired,
    /// Too many keys are being verified.
    #[error("too many api keys are being verified, try again in a second")]
    Busy,
    /// The store failed.
    #[error("the api key can't be looked up now")]
    Store(#[source] KeyStoreError),
    /// The stored hash can't be used.
    #[error("the api key can't be verified")]
    Hash(#[source] HashError),
    /// The verification was ended by the runtime.
    #[error("the verification of the api key was broken off")]
    BrokenOff(#[source] JoinError),
}

/// Why a key can't be made, or the keys of the file can't be taken over.
#[derive(Debug, thiserror::Error)]
pub enum ManageError {
    /// The key is refused.
    #[error("the key can't be made")]
    Key(#[source] KeyError),
    /// The store failed.
    #[error("the key can't be stored")]
    Store(#[source] KeyStoreError),
    /// The work was ended by the runtime.
    #[error("hashing was broken off")]
    BrokenOff(#[source] JoinError),
}

/// Tells who a key belongs to. Cheap to clone; clones share everything.
///
/// Every call reads the key from the store, so that a revocation and an expiry count at once, also when
/// another process made them; only the verification by argon2 is remembered (by the SHA-256 of the key,
/// successes only, 60 s).
#[derive(Clone)]
pub struct Authenticator {
    inner: Arc<Inner>,
}

struct Inner {
    store: Arc<dyn KeyStore>,
    verified: Mutex<HashMap<[u8; 32], Verified>>,
    waiting: Semaphore,
    verifying: Arc<Semaphore>,
    loads: watch::Sender<usize>,
    #[cfg(test)]
    runs: std::sync::atomic::AtomicUsize,
}

struct Verified {
    key_id: String,
    hash: String,
    at: Timestamp,
}

struct Presented {
    text: SecretString,
    digest: [u8; 32],
    lookup: String,
}

impl Authenticator {
    /// An authenticator over a store.
    pub fn new(store: Arc<dyn KeyStore>) -> Authenticator {
        Authenticator {
            inner: Arc::new(Inner {
                store,
                verified: Mutex::default(),
                waiting: Semaphore::new(MAX_WAITING),
                verifying: Arc::new(Semaphore::new(MAX_VERIFYING)),
                loads: watch::Sender::new(0),
                #[cfg(test)]
                runs: std::sync::atomic::AtomicUsize::new(0),
            }),
        }
    }

    /// Who the key belongs to.
    pub async fn authenticate(&self, presented: &str, now: Timestamp) -> Result<Principal, AuthError> {
        if presented.is_empty() {
            return Err(AuthError::Missing);
        }
        if presented.len() > MAX_KEY_BYTES {
            return Err(AuthError::Invalid);
        }
        let presented = Presented {
            digest: Sha256::digest(presented.as_bytes()).into(),
            lookup: lookup_of(presented),
            text: SecretString::from(presented),
        };
        match self.find(&presented, now).await {
            Err(AuthError::Invalid) if *self.inner.loads.borrow() > 0 => {
                self.loaded().await;
                self.find(&presented, now).await
            }
            answer => answer,
        }
    }

    /// Makes and stores a key; the text is shown once.
    pub async fn create(&self, new: NewKey, now: Timestamp) -> Result<(SecretString, ApiKey), ManageError> {
        let made = spawn_blocking(move || generate_key(new, now)).await.map_err(ManageError::BrokenOff)?;
        let (text, key) = made.map_err(ManageError::Key)?;
        self.inner.store.insert(&key).await.map_err(ManageError::Store)?;
        Ok((text, key))
    }

    /// Revokes a key and forgets its verification; `false` if there is none with this id.
    pub async fn revoke(&self, id: &str, now: Timestamp) -> Result<bool, KeyStoreError> {
        let known = self.inner.store.revoke(id, now).await?;
        self.inner.verified().retain(|_, verified| verified.key_id != id);
        Ok(known)
    }

    /// Takes over the keys of the configuration file, hashing those that changed; returns how many there are.
    ///
    /// From the call on (not only from the first poll), a key that isn't found waits for the end of this. So
    /// the returned future can be spawned and the server started meanwhile.
    pub fn load_config(
        &self,
        entries: Vec<ClientEntry>,
        now: Timestamp,
    ) -> impl Future<Output = Result<usize, ManageError>> + Send + use<> {
        let load = Load::begin(Arc::clone(&self.inner));
        async move {
            let inner = &load.inner;
            let stored = inner.store.list().await.map_err(ManageError::Store)?;
            let permit = Arc::clone(&inner.verifying).acquire_owned().await.ok();
            let keys = spawn_blocking(move || {
                let _permit = permit;
                hash_entries(&entries, &stored, now)
            });
            let keys = keys.await.map_err(ManageError::BrokenOff)?.map_err(ManageError::Key)?;
            let count = keys.len();
            inner.store.replace_config_keys(keys).await.map_err(ManageError::Store)?;
            Ok(count)
        }
    }

    async fn find(&self, presented: &Presented, now: Timestamp) -> Result<Principal, AuthError> {
        let candidates =
            self.inner.store.find_by_lookup(&presented.lookup).await.map_err(AuthError::Store)?;
        for key in candidates {
            if self.verify(&key, presented, now).await? {
                return admit(&key, now);
            }
        }
        Err(AuthError::Invalid)
    }

    /// Waits until no load is under way, for a bounded time.
    async fn loaded(&self) {
        let mut loads = self.inner.loads.subscribe();
        let none = loads.wait_for(|loads| *loads == 0);
        // Both the time-out and the end are followed by one more look.
        drop(tokio::time::timeout(MAX_LOAD_WAIT, none).await);
    }

    async fn verify(&self, key: &ApiKey, presented: &Presented, now: Timestamp) -> Result<bool, AuthError> {
        let inner = &self.inner;
        if inner.remembers(key, presented, now) {
            return Ok(true);
        }
        let waiting = inner.waiting.try_acquire().map_err(|error| match error {
            TryAcquireError::NoPermits | TryAcquireError::Closed => AuthError::Busy,
        })?;
        let permit = Arc::clone(&inner.verifying).acquire_owned().await.map_err(|_| AuthError::Busy)?;
        // Another call with the same key may have done the work meanwhile.
        if inner.remembers(key, presented, now) {
            return Ok(true);
        }
        #[cfg(test)]
        inner.runs.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let (text, phc) = (presented.text.clone(), key.hash.clone());
        // The permit goes along: the work goes on when the caller is gone.
        let task = spawn_blocking(move || (hash::verify(text.expose_secret().as_bytes(), &phc), permit));
        let (fits, permit) = task.await.map_err(AuthError::BrokenOff)?;
        let fits = fits.map_err(AuthError::Hash)?;
        if fits {
            inner.remember(key, presented, now);
        }
        drop((permit, waiting));
        Ok(fits)
    }
}

fn admit(key: &ApiKey, now: Timestamp) -> Result<Principal, AuthError> {
    if key.revoked_at.is_some() {
        return Err(AuthError::Revoked);
    }
    if key.expires_at.is_some_and(|at| at <= now) {
        return Err(AuthError::Expired);
    }
    Ok(key.principal())
}

impl Inner {
    fn verified(&self) -> MutexGuard<'_, HashMap<[u8; 32], Verified>> {
        self.verified.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remembers(&self, key: &ApiKey, presented: &Presented, now: Timestamp) -> bool {
        self.verified().get(&presented.digest).is_some_and(|verified| {
            // The hash too: the key of this id may have been replaced.
            verified.is_fresh(now) && verified.key_id == key.id && verified.hash == key.hash
        })
    }

    fn remember(&self, key: &ApiKey, presented: &Presented, now: Timestamp) {
        let mut verified = self.verified();
        if verified.len() >= MAX_REMEMBERED {
            verified.retain(|_, other| other.is_fresh(now));
        }
        if verified.len() >= MAX_REMEMBERED {
            let oldest = verified.iter().min_by_key(|(_, other)| other.at).map(|(digest, _)| *digest);
            oldest.map(|digest| verified.remove(&digest));
        }
        let entry = Verified { key_id: key.id.clone(), hash: key.hash.clone(), at: now };
        verified.insert(presented.digest, entry);
    }
}

impl Verified {
    fn is_fresh(&self, now: Timestamp) -> bool {
        let age = now.duration_since(self.at);
        !age.is_negative() && age < REMEMBERED
    }
}

/// Counts as under way until it is dropped.
struct Load {
    inner: Arc<Inner>,
}

impl Load {
    fn begin(inner: Arc<Inner>) -> Load {
        inner.loads.send_modify(|loads| *loads += 1);
        Load { inner }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.inner.loads.send_modify(|loads| *loads -= 1);
    }
}

#[cfg(test)]
mod tests;
