//! Jobs, artifacts, sessions and keys in a SQL database and an object store.
//!
//! The only crate that knows the database. It implements the traits of the crates that own the rules:
//! [`job_queue::JobStore`], [`auth::KeyStore`] and [`mcp_protocol::SessionStore`]. SQL is written with the
//! query builder; what is SQLite's alone is in one module.

mod artifacts;
mod audit;
mod batch;
mod config;
mod database;
mod entity;
mod error;
mod folder;
mod jobs;
mod keys;
mod migration;
mod sessions;
mod sqlite;
mod storage;
mod time;

pub use artifacts::{Artifact, ArtifactError, ArtifactStore, Content, NewArtifact, PreviewInfo};
pub use audit::{Audit, AuditEntry, AuditFilter, AuditOutcome};
pub use config::{LockMode, StorageConfig};
pub use error::StorageError;
pub use storage::Storage;

#[cfg(test)]
mod tests;
