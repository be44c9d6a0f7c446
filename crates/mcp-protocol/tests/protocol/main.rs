//! Properties of the protocol: whatever arrives, the server neither panics nor hangs, and it answers nothing that the
//! JSON schema of the revision forbids.
//!
//! The schemas in `schema/` are those that the revisions and the tasks extension publish, without their texts.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(unreachable_pub, reason = "the fuzz targets use these modules too")]

mod checker;
mod conversation;
mod messages;
mod properties;
mod server;
