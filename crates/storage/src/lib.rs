//! Jobs, artifacts, sessions and keys in a SQL database and an object store.
