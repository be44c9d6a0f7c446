//! What the integration tests start and talk to: the real programs as child processes, and clients for them.
//!
//! [`gateway`] and [`comfy`] start the two sides, [`proxy`] breaks the line between them, [`client`] and [`raw`] speak
//! MCP, and [`e2e`] is the suite that runs against the sandbox and against a real ComfyUI alike.

pub mod binaries;
pub mod client;
pub mod comfy;
pub mod contract;
pub mod e2e;
pub mod figures;
pub mod gateway;
pub mod images;
pub mod log;
pub mod process;
pub mod proxy;
pub mod raw;
pub mod wait;

/// Installs the TLS library of this process once; every start of the harness calls it.
pub fn init() {
    // An error says that it is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
