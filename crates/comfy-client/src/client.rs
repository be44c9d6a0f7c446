//! The handle to one ComfyUI.

use std::sync::Arc;

use crate::{ComfyConfig, ComfyError, FollowConfig, transport::Http};

/// A ComfyUI. Cheap to clone; clones share connections. Makes no connection before the first call.
///
/// The endpoints are methods, grouped by file: prompts and queue, history, what is installed, files.
#[derive(Clone, Debug)]
pub struct ComfyClient {
    pub(crate) http: Arc<Http>,
    pub(crate) follow: Arc<FollowConfig>,
}

impl ComfyClient {
    /// Fails for an address that isn't http(s), for a header that can't be sent, and for an `https` address when no
    /// rustls crypto provider is installed.
    pub fn new(config: &ComfyConfig) -> Result<Self, ComfyError> {
        Ok(Self { http: Arc::new(Http::new(config)?), follow: Arc::new(config.follow.clone()) })
    }

    /// The base URL, without credentials.
    pub fn url(&self) -> &str {
        &self.http.shown
    }
}
