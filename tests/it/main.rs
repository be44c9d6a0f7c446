//! The integration tests: the real programs, on real sockets, with the sandbox in ComfyUI's place.

mod auth;
mod configuration;
mod contract;
mod e2e;
mod eras;
mod keys;
mod robustness;
mod start;
mod stdio;
mod tool_list;
