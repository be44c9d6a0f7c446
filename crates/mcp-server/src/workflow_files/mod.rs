//! `mcp-server workflow`: looks at workflow files without a server.

pub mod convert;
pub mod inspect;

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use comfy_client::{ComfyAuth, ComfyClient, ComfyConfig};
use workflow_analyzer::ObjectInfo;

use crate::settings::Settings;

/// How long ComfyUI may take to answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// What ComfyUI has: out of a file, or as it says itself.
pub(crate) async fn object_info(settings: &Settings, file: Option<&Path>) -> anyhow::Result<ObjectInfo> {
    if let Some(path) = file {
        let bytes = std::fs::read(path).with_context(|| format!("{} can't be read", path.display()))?;
        let json =
            serde_json::from_slice(&bytes).with_context(|| format!("{} is not JSON", path.display()))?;
        return ObjectInfo::from_json(json).with_context(|| format!("{} can't be used", path.display()));
    }
    let mut config = ComfyConfig::new(settings.comfyui_url.clone());
    config.auth = settings.comfyui_token.clone().map(ComfyAuth::Bearer);
    config.headers = settings.comfyui_headers.clone().into_iter().collect();
    let client = ComfyClient::new(&config).context("comfyui_url can't be used")?;
    let answer = tokio::time::timeout(PATIENCE, client.object_info()).await;
    Ok(answer.context("it doesn't answer in time")??)
}
