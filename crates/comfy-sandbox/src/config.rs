//! What a sandbox is started with.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

/// How a sandbox is set up; `SandboxConfig::default()` is good for tests.
#[derive(Clone, Debug)]
pub struct SandboxConfig {
    /// The address to listen on; port 0 takes a free one, which [`crate::Sandbox::url`] tells.
    pub listen: SocketAddr,
    /// How long one sampler run takes in all, spread evenly over its steps.
    pub sampling_time: Duration,
    /// The folder that holds `input`, `output` and `temp`; `None` makes one that is removed with the sandbox.
    pub data_dir: Option<PathBuf>,
    /// The model files that the sandbox claims to have: folder (as in `/models`) → file names.
    pub models: BTreeMap<String, Vec<String>>,
    /// The largest request body, in bytes; `/features` tells it as `max_upload_size`.
    pub max_body_bytes: usize,
}

impl Default for SandboxConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            sampling_time: Duration::from_millis(100),
            data_dir: None,
            models: default_models(),
            max_body_bytes: 100 * 1024 * 1024,
        }
    }
}

fn default_models() -> BTreeMap<String, Vec<String>> {
    let models = [
        ("checkpoints", &["sandbox-sd15.safetensors", "sandbox-sketch.safetensors"][..]),
        ("clip_vision", &[]),
        ("configs", &[]),
        ("controlnet", &["sandbox-canny.safetensors"]),
        ("diffusion_models", &["sandbox-unet.safetensors"]),
        ("embeddings", &["sandbox-embedding.safetensors"]),
        ("loras", &["sandbox-style.safetensors", "sandbox-detail.safetensors"]),
        ("text_encoders", &["sandbox-clip-l.safetensors", "sandbox-t5xxl.safetensors"]),
        ("upscale_models", &["sandbox-2x.safetensors"]),
        ("vae", &["sandbox-vae.safetensors"]),
    ];
    models
        .into_iter()
        .map(|(folder, names)| (folder.to_owned(), names.iter().map(|&name| name.to_owned()).collect()))
        .collect()
}
