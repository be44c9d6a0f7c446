//! The bytes of artifacts: over HTTP from the server's own door, else through `get_image`.

use std::time::Duration;

use bytes::Bytes;
use mcp_protocol::client::ClientError;
use mcp_protocol::wire::Content;
use reqwest::StatusCode;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use secrecy::ExposeSecret as _;
use serde_json::json;
use url::Url;

use crate::connect::ConnectOptions;
use crate::error::GatewayError;
use crate::gateway::{GatewayClient, ImageSize};
use crate::job::Artifact;

/// The largest artifact that is taken.
const MAX_ARTIFACT_BYTES: u64 = 512 * 1024 * 1024;

/// Where artifacts are over HTTP, and the key to it.
///
/// The address is derived from that of the MCP endpoint, not taken from the server's answers: the key never
/// goes to another place than the one that was connected to.
#[derive(Debug, Clone)]
pub(crate) struct ArtifactDoor {
    client: reqwest::Client,
    base: Url,
}

impl ArtifactDoor {
    pub(crate) fn new(mcp_url: &str, options: &ConnectOptions) -> Result<ArtifactDoor, GatewayError> {
        let setup = |reason: String| GatewayError::Client(ClientError::Setup { reason });
        let base = Url::parse(mcp_url)
            .and_then(|url| url.join("artifacts/"))
            .map_err(|error| setup(error.to_string()))?;
        let mut headers = HeaderMap::new();
        for (name, value) in &options.headers {
            let name = HeaderName::try_from(name).map_err(|error| setup(error.to_string()))?;
            headers.append(name, HeaderValue::try_from(value).map_err(|error| setup(error.to_string()))?);
        }
        if let Some(key) = &options.api_key {
            let mut value = HeaderValue::try_from(format!("Bearer {}", key.expose_secret()))
                .map_err(|_| setup("the API key has characters that no key has".to_owned()))?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let client = reqwest::Client::builder()
            .default_headers(headers)
            .connect_timeout(Duration::from_secs(10))
            .read_timeout(options.timeout)
            .tcp_nodelay(true)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| setup(error.to_string()))?;
        Ok(ArtifactDoor { client, base })
    }

    /// The address of an artifact.
    fn address(&self, id: &str) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push(id);
        }
        url
    }

    async fn fetch(&self, id: &str) -> Result<Bytes, Fetch> {
        let broken = |error: reqwest::Error| Fetch::Failed(error.without_url().to_string());
        let mut response = self.client.get(self.address(id)).send().await.map_err(broken)?;
        if response.status() == StatusCode::TOO_MANY_REQUESTS
            && let Some(seconds) = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok())
            && let Ok(seconds) = seconds.trim().parse()
        {
            return Err(Fetch::RateLimited(Duration::from_secs(seconds)));
        }
        if !response.status().is_success() {
            return Err(Fetch::Refused(response.status().as_u16()));
        }
        let too_large = || Fetch::Failed(format!("it has more than {MAX_ARTIFACT_BYTES} bytes"));
        if response.content_length().is_some_and(|length| length > MAX_ARTIFACT_BYTES) {
            return Err(too_large());
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(broken)? {
            if bytes.len() as u64 + chunk.len() as u64 > MAX_ARTIFACT_BYTES {
                return Err(too_large());
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes.into())
    }
}

enum Fetch {
    /// An HTTP status.
    Refused(u16),
    /// 429, with the time to wait.
    RateLimited(Duration),
    Failed(String),
}

impl GatewayClient {
    /// The bytes of an artifact, as it was made.
    pub async fn fetch_image(&self, artifact: &Artifact) -> Result<Bytes, GatewayError> {
        let bytes = self.fetch_artifact(&artifact.id).await?;
        if bytes.len() as u64 != artifact.bytes {
            let reason = format!("{} of its {} bytes came", bytes.len(), artifact.bytes);
            return Err(GatewayError::Artifact { id: artifact.id.clone(), reason });
        }
        Ok(bytes)
    }

    /// The bytes of an artifact by its id, or by its `comfy://artifacts/{id}`.
    pub async fn fetch_artifact(&self, id_or_uri: &str) -> Result<Bytes, GatewayError> {
        let id = artifact_id(id_or_uri);
        if let Some(door) = &self.door {
            match door.fetch(id).await {
                Ok(bytes) => return Ok(bytes),
                // Behind some proxies only the MCP endpoint is to be had; the tool also says best what is
                // wrong.
                Err(Fetch::Refused(status)) => {
                    tracing::debug!(http.status = status, "the artifact is asked for with get_image");
                }
                Err(Fetch::RateLimited(wait)) => {
                    let message = format!("artifact {id} can't be fetched just now");
                    return Err(ClientError::RateLimited { message, retry_after: Some(wait) }.into());
                }
                Err(Fetch::Failed(reason)) => {
                    return Err(GatewayError::Artifact { id: id.to_owned(), reason });
                }
            }
        }
        Ok(self.get_image(id, ImageSize::Full).await?.0)
    }

    /// An image by its artifact's id or URI, inside the answer of a tool: its bytes and its media type.
    pub async fn get_image(&self, id_or_uri: &str, size: ImageSize) -> Result<(Bytes, String), GatewayError> {
        let size = match size {
            ImageSize::Full => "full",
            ImageSize::Preview => "preview",
        };
        let arguments = json!({"artifact_id": artifact_id(id_or_uri), "size": size});
        let result = self.call("get_image", arguments).await?;
        let image = result.content.into_iter().find_map(|content| match content {
            Content::Image { data, mime_type } => Some((data, mime_type)),
            _ => None,
        });
        image.ok_or_else(|| GatewayError::Answer {
            tool: "get_image".to_owned(),
            reason: "it has no image".to_owned(),
        })
    }
}

/// The id in `comfy://artifacts/{id}`, or the id itself.
pub(crate) fn artifact_id(id_or_uri: &str) -> &str {
    id_or_uri.strip_prefix("comfy://artifacts/").unwrap_or(id_or_uri)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_artifact_is_beside_the_endpoint_and_nowhere_else() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let cases = [
            ("http://h:9000/mcp", "a1", "http://h:9000/artifacts/a1"),
            ("https://h/gate/mcp", "a1", "https://h/gate/artifacts/a1"),
            ("http://h/mcp", "../../x?y#z", "http://h/artifacts/..%2F..%2Fx%3Fy%23z"),
            ("http://h/mcp", "http://evil/x", "http://h/artifacts/http:%2F%2Fevil%2Fx"),
        ];
        for (mcp, id, expected) in cases {
            let door = ArtifactDoor::new(mcp, &ConnectOptions::default()).unwrap();
            assert_eq!(door.address(id).as_str(), expected);
        }
        assert_eq!(artifact_id("comfy://artifacts/a1"), "a1");
    }
}
