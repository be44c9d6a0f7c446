//! What is installed in a ComfyUI, and how the machine is doing.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use workflow_analyzer::ObjectInfo;

use crate::{
    ComfyClient, ComfyError,
    transport::{path_segment, shown_path},
};

/// `GET /system_stats`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct SystemStats {
    /// The machine and the software.
    #[serde(default)]
    pub system: SystemInfo,
    /// The devices that it computes on, the main one first.
    #[serde(default)]
    pub devices: Vec<Device>,
}

/// The machine and the software.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct SystemInfo {
    /// Such as `0.8.0`; missing in old versions.
    pub comfyui_version: Option<String>,
    /// Such as `linux` or `posix`.
    pub os: Option<String>,
    /// With its CUDA variant.
    pub pytorch_version: Option<String>,
    /// Bytes.
    pub ram_total: Option<u64>,
    /// Bytes.
    pub ram_free: Option<u64>,
    /// What else is there.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A device that ComfyUI computes on.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Device {
    /// Such as `cuda:0 NVIDIA GeForce RTX 4090 : cudaMallocAsync`.
    #[serde(default)]
    pub name: String,
    /// `cpu`, `cuda`, `mps` …
    #[serde(rename = "type", default)]
    pub kind: String,
    /// Bytes; the machine's memory for a CPU.
    pub vram_total: Option<u64>,
    /// Bytes.
    pub vram_free: Option<u64>,
    /// What else is there.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// `GET /features`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Features {
    /// Whether previews say which node and prompt they are of.
    #[serde(default)]
    pub supports_preview_metadata: bool,
    /// Bytes of the largest request body. ComfyUI can send it as a fraction.
    #[serde(default)]
    pub max_upload_size: Option<f64>,
    /// What else is there.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// What [`ComfyClient::free`] gives up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FreeRequest {
    /// Take the models out of the device's memory.
    pub unload_models: bool,
    /// Forget cached results too.
    pub free_memory: bool,
}

impl ComfyClient {
    /// Every node class. Some megabytes, so that it is worth keeping.
    pub async fn object_info(&self) -> Result<ObjectInfo, ComfyError> {
        self.object_info_at(&["object_info"]).await
    }

    /// One node class; empty when ComfyUI doesn't have it.
    pub async fn object_info_of(&self, class_type: &str) -> Result<ObjectInfo, ComfyError> {
        self.object_info_at(&["object_info", path_segment(class_type, "node class")?]).await
    }

    async fn object_info_at(&self, path: &[&str]) -> Result<ObjectInfo, ComfyError> {
        let value: Value = self.http.get(path).await?;
        ObjectInfo::from_json(value)
            .map_err(|error| ComfyError::InvalidBody { path: shown_path(path), source: error.into() })
    }

    /// Versions and memory. The cheapest way to ask whether a ComfyUI is there.
    pub async fn system_stats(&self) -> Result<SystemStats, ComfyError> {
        self.http.get(&["system_stats"]).await
    }

    /// What this ComfyUI can do; nothing for a version that is older than the question.
    pub async fn features(&self) -> Result<Features, ComfyError> {
        match self.http.get(&["features"]).await {
            Err(ComfyError::Status { status: 404, .. }) => Ok(Features::default()),
            result => result,
        }
    }

    /// The kinds of models that it has folders for.
    pub async fn model_folders(&self) -> Result<Vec<String>, ComfyError> {
        self.http.get(&["models"]).await
    }

    /// The files of one kind, such as `checkpoints`, with their subfolders. 404 for a kind that isn't known.
    pub async fn models(&self, folder: &str) -> Result<Vec<String>, ComfyError> {
        self.http.get(&["models", path_segment(folder, "model folder")?]).await
    }

    /// The names of the embeddings, without extension.
    pub async fn embeddings(&self) -> Result<Vec<String>, ComfyError> {
        self.http.get(&["embeddings"]).await
    }

    /// Gives memory back after the running prompt.
    pub async fn free(&self, request: FreeRequest) -> Result<(), ComfyError> {
        self.http.post(&["free"], &request).await
    }
}
