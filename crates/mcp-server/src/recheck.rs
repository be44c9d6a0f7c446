//! The key of a connection that stays open, looked at again with each request: it may be revoked, expire, or lose
//! permissions meanwhile. Over HTTP every request brings its key, and the middleware in front looks at it.

use std::sync::Arc;

use jsonrpsee::MethodResponse;
use jsonrpsee::core::middleware::{Batch, Notification, Request, RpcServiceT};
use jsonrpsee::types::ErrorObjectOwned;
use secrecy::{ExposeSecret as _, SecretString};
use tower::Layer;

use crate::app::App;
use crate::guard;

/// Whose key is to be looked at with each request of a connection: put into the extensions of its opening.
#[derive(Clone)]
pub(crate) struct OpenedWith(pub(crate) SecretString);

/// Refuses requests of a connection whose key isn't good any more, and gives the others what the key allows now.
#[derive(Clone)]
pub(crate) struct RecheckLayer(pub(crate) Arc<App>);

/// A service behind a [`RecheckLayer`].
#[derive(Clone)]
pub(crate) struct Rechecked<S> {
    app: Arc<App>,
    inner: S,
}

impl<S> Layer<S> for RecheckLayer {
    type Service = Rechecked<S>;

    fn layer(&self, inner: S) -> Rechecked<S> {
        Rechecked { app: Arc::clone(&self.0), inner }
    }
}

impl<S> RpcServiceT for Rechecked<S>
where
    S: RpcServiceT<MethodResponse = MethodResponse> + Clone + Send + Sync + 'static,
{
    type MethodResponse = MethodResponse;
    type NotificationResponse = S::NotificationResponse;
    type BatchResponse = S::BatchResponse;

    fn call<'a>(&self, mut request: Request<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        let (app, inner) = (Arc::clone(&self.app), self.inner.clone());
        async move {
            if let Some(OpenedWith(key)) = request.extensions.get::<OpenedWith>() {
                match guard::verify(&app, key.expose_secret()).await {
                    Ok(principal) => _ = request.extensions.insert(principal),
                    Err(refused) => {
                        return MethodResponse::error(request.id(), ErrorObjectOwned::from(refused));
                    }
                }
            }
            inner.call(request).await
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
