//! A stand-in for ComfyUI that needs no GPU, no Python and no models.
//!
//! [`Sandbox::start`] opens ComfyUI's HTTP and websocket API on a socket of this process. Image nodes really work on
//! pixels; the diffusion nodes are a painter, deterministic in every parameter, so that a parameter that is lost on
//! the way shows in the picture. It says that it is a sandbox in `/system_stats` and on every picture it paints.

mod catalog;
mod config;
mod data;
mod digest;
mod engine;
mod events;
mod faults;
mod http;
mod nodes;
mod painter;
mod pictures;
mod python;
mod queue;
mod sandbox;
mod state;
#[cfg(test)]
mod tests;
mod validation;

pub use config::SandboxConfig;
pub use faults::{FaultError, FaultRequest, Faults};
pub use sandbox::{Sandbox, StartError};
