//! From a request, through the layers, to its method and back.

use std::future::ready;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use jsonrpsee::core::middleware::{Batch, Notification, RpcServiceT};
use jsonrpsee::core::server::MethodCallback;
use jsonrpsee::types::{ErrorObjectOwned, Id, Request as RpcRequest};
use jsonrpsee::{ConnectionId, Extensions, MethodResponse};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::Answer;
use super::admission::Admitted;
use super::methods::MethodTables;
use crate::context::{Channel, RequestInfo};
use crate::error;
use crate::wire::Request;

/// The innermost service: looks the method up in the table of the request's era and calls it.
///
/// Notifications and batches don't come this far: transports deal with the former, and MCP has none of the latter.
#[derive(Clone, Debug)]
pub struct Dispatch {
    tables: Arc<MethodTables>,
}

impl Dispatch {
    pub(crate) fn new(tables: MethodTables) -> Dispatch {
        Dispatch { tables: Arc::new(tables) }
    }
}

impl RpcServiceT for Dispatch {
    type MethodResponse = MethodResponse;
    type NotificationResponse = MethodResponse;
    type BatchResponse = MethodResponse;

    fn call<'a>(&self, request: RpcRequest<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        let tables = Arc::clone(&self.tables);
        async move {
            let id = request.id().into_owned();
            let Some(era) = RequestInfo::of(&request).map(|info| info.version.era()) else {
                return MethodResponse::error(id, error::internal());
            };
            let Some(MethodCallback::Async(method)) = tables.of(era).method(request.method_name()) else {
                return MethodResponse::error(id, error::method_not_found(request.method_name(), era));
            };
            let params = request.params().into_owned();
            method(id, params, ConnectionId(0), usize::MAX, request.extensions).await
        }
    }

    fn batch<'a>(&self, _: Batch<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        ready(MethodResponse::notification())
    }

    fn notification<'a>(&self, _: Notification<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        ready(MethodResponse::notification())
    }
}

/// The stack of layers, its type forgotten.
pub(crate) trait ErasedService: Send + Sync {
    /// Works on a request; see [`run`].
    fn start(
        &self,
        request: Request,
        extensions: Extensions,
        channel: Arc<Channel>,
        limit: usize,
        admitted: Admitted,
    ) -> BoxFuture<'static, Answer>;
}

impl<S> ErasedService for S
where
    S: RpcServiceT<MethodResponse = MethodResponse> + Send + Sync,
{
    fn start(
        &self,
        request: Request,
        extensions: Extensions,
        channel: Arc<Channel>,
        limit: usize,
        admitted: Admitted,
    ) -> BoxFuture<'static, Answer> {
        // jsonrpsee's ids have no negative numbers; ours is put back when the answer is written.
        let mut surrogate = RpcRequest::owned(request.method, request.params, Id::Number(0));
        surrogate.extensions = extensions;
        run(RpcServiceT::call(self, surrogate), channel, limit, admitted).boxed()
    }
}

/// Runs a call to its end. A drop before that counts as its cancellation; a panic is an internal error, and so is a result
/// of more than `limit` bytes.
async fn run(
    call: impl Future<Output = MethodResponse>,
    channel: Arc<Channel>,
    limit: usize,
    _admitted: Admitted,
) -> Answer {
    let guard = channel.cancelled.clone().drop_guard();
    let response = AssertUnwindSafe(call).catch_unwind().await;
    guard.disarm();
    let Ok(response) = response else {
        tracing::error!("a request handler panicked");
        return Err(error::internal());
    };
    match channel.take_result().filter(|_| response.is_success()) {
        Some(result) if result.get().len() > limit => Err(error::answer_too_large(limit)),
        Some(result) => Ok(result),
        None => answer(&response),
    }
}

/// Takes the payload out of a response that was written under the surrogate id: an error, or what a layer answers in
/// the method's place.
fn answer(response: &MethodResponse) -> Answer {
    #[derive(Deserialize)]
    struct Written<'a> {
        #[serde(borrow, default)]
        result: Option<&'a RawValue>,
        #[serde(default)]
        error: Option<ErrorObjectOwned>,
    }
    match serde_json::from_str::<Written<'_>>(response.as_ref()) {
        Ok(Written { result: Some(result), .. }) => Ok(result.to_owned()),
        Ok(Written { error: Some(error), .. }) => Err(error),
        _ => Err(error::internal()),
    }
}
