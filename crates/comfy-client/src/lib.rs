//! A typed client for ComfyUI's HTTP and websocket API.
//!
//! [`ComfyClient`] has one method per endpoint. [`ComfyClient::run`] submits a graph and gives an [`Execution`]:
//! a stream of events that hides whether they come over the websocket or by polling, and that ends exactly once,
//! with the outputs.

mod cancel;
mod catalog;
mod client;
mod config;
mod error;
mod files;
mod follow;
mod frame;
mod history;
mod json;
mod message;
mod outcome;
mod prompt;
mod run;
mod socket;
mod tracker;
mod transport;

#[cfg(test)]
mod tests;

pub use cancel::{CancelResult, Canceller};
pub use catalog::{Device, Features, FreeRequest, SystemInfo, SystemStats};
pub use client::ComfyClient;
pub use config::{ComfyAuth, ComfyConfig, FollowConfig};
pub use error::{ComfyError, NodeErrors, NodeValidation, UnreachableReason, ValidationError};
pub use files::{FileRef, Folder, Overwrite, Upload, Uploaded, ViewStream};
pub use history::{HistoryEntry, HistoryStatus};
pub use outcome::{LostReason, NodeError, OutputFile, OutputKind, OutputText, RunOutcome};
pub use prompt::{PromptRequest, QueueItem, QueuePosition, QueueState, Standing, Submitted};
pub use run::{Execution, Previews, RunEvent, RunRequest, Transport};
