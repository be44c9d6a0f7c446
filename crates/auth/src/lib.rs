//! API keys, permissions and rate limits.
//!
//! A key is looked up by a short public part, verified with argon2id off the runtime, and turned into a
//! [`Principal`], which says what its bearer may do and how often. Keys live behind [`KeyStore`].

mod authenticator;
pub mod config_file;
#[cfg(any(test, feature = "contract"))]
pub mod contract;
mod hash;
mod key;
mod principal;
mod rate_limit;
mod store;

pub use authenticator::{AuthError, Authenticator, ManageError};
pub use config_file::ClientEntry;
pub use hash::HashError;
pub use key::{ApiKey, KeyError, KeySource, NewKey, generate_key};
pub use principal::{InvalidLimit, InvalidPermission, Permissions, Principal, RateLimit};
pub use rate_limit::{RateLimited, RateLimiter};
pub use store::{KeyStore, KeyStoreError, MemoryKeyStore};
