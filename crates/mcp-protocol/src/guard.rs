//! A layer that lets a request through or answers it with an error.

use jsonrpsee::MethodResponse;
use jsonrpsee::core::middleware::{Batch, Notification, Request, RpcServiceT};
use jsonrpsee::types::ErrorObjectOwned;
use tower::layer::Layer;

/// Asks a function about each request before its method runs: permissions, rate limits.
///
/// The function sees the method's name, what the transport found out ([`crate::RequestInfo`], with the name of the
/// called tool), and the extensions that middleware in front has put there.
///
/// ```
/// use std::time::Duration;
/// use mcp_protocol::jsonrpsee::core::middleware::RpcServiceBuilder;
/// use mcp_protocol::{GuardLayer, RequestInfo, Server, ServerInfo, error};
///
/// #[derive(Clone)]
/// struct Principal { tools: Vec<String>, credit: u32 }
///
/// let guard = GuardLayer::new(|request| {
///     let Some(tool) = RequestInfo::called_tool(request) else { return Ok(()) };
///     let Some(principal) = request.extensions.get::<Principal>() else {
///         return Err(error::unauthenticated("a key is needed"));
///     };
///     if !principal.tools.iter().any(|allowed| allowed == tool) {
///         return Err(error::forbidden(format!("this key may not call {tool:?}")));
///     }
///     if principal.credit == 0 {
///         return Err(error::rate_limited("too many calls", Duration::from_secs(2)));
///     }
///     Ok(())
/// });
/// let server = Server::builder(ServerInfo::default())
///     .layers(RpcServiceBuilder::new().layer(guard))
///     .build()?;
/// # Ok::<(), mcp_protocol::BuildError>(())
/// ```
#[derive(Clone, Debug)]
pub struct GuardLayer<F> {
    check: F,
}

impl<F> GuardLayer<F>
where
    F: Fn(&Request<'_>) -> Result<(), ErrorObjectOwned> + Clone + Send + Sync + 'static,
{
    /// The error that `check` returns is the answer; see [`crate::error`] for those with an HTTP status.
    pub fn new(check: F) -> GuardLayer<F> {
        GuardLayer { check }
    }
}

/// A service behind a [`GuardLayer`].
#[derive(Clone, Debug)]
pub struct Guarded<S, F> {
    inner: S,
    check: F,
}

impl<S, F: Clone> Layer<S> for GuardLayer<F> {
    type Service = Guarded<S, F>;

    fn layer(&self, inner: S) -> Guarded<S, F> {
        Guarded { inner, check: self.check.clone() }
    }
}

impl<S, F> RpcServiceT for Guarded<S, F>
where
    S: RpcServiceT<MethodResponse = MethodResponse> + Clone + Send + Sync + 'static,
    F: Fn(&Request<'_>) -> Result<(), ErrorObjectOwned> + Clone + Send + Sync + 'static,
{
    type MethodResponse = MethodResponse;
    type NotificationResponse = S::NotificationResponse;
    type BatchResponse = S::BatchResponse;

    fn call<'a>(&self, request: Request<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        let verdict = (self.check)(&request);
        let inner = self.inner.clone();
        async move {
            match verdict {
                Ok(()) => inner.call(request).await,
                Err(error) => MethodResponse::error(request.id(), error),
            }
        }
    }

    fn batch<'a>(&self, requests: Batch<'a>) -> impl Future<Output = S::BatchResponse> + Send + 'a {
        self.inner.batch(requests)
    }

    fn notification<'a>(
        &self,
        notification: Notification<'a>,
    ) -> impl Future<Output = S::NotificationResponse> + Send + 'a {
        self.inner.notification(notification)
    }
}
