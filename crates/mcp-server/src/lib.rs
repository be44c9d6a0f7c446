//! The gateway between MCP clients and ComfyUI: the parts of the workspace, composed.
//!
//! The binary `mcp-server` is a thin shell around this library; see [`serve`] for its two ways to serve and [`app`]
//! for what it is made of.

pub mod app;
pub mod artifacts;
pub mod backend;
pub mod catalog;
pub mod cli;
pub mod error;
pub mod executor;
pub mod guard;
pub mod http;
pub mod images;
pub mod inputs;
pub mod jobs;
pub mod keys;
mod models;
pub mod plan;
mod prompts;
mod recheck;
mod resources;
pub mod serve;
pub mod settings;
mod tasks;
pub mod telemetry;
mod tools;
pub mod updates;
pub mod views;
pub mod workflow_files;
