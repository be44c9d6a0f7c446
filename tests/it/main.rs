//! The integration tests: the real programs, on real sockets, with the sandbox in ComfyUI's place.

mod auth;
mod configuration;
mod contract;
mod e2e;
mod eras;
mod families;
mod keys;
mod prompts;
mod questions;
mod resources;
mod robustness;
mod sessions;
mod start;
mod stdio;
mod subscriptions;
mod tasks;
mod tool_list;
mod websocket;
mod workflows;
