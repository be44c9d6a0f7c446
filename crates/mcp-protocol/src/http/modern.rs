//! Requests of the modern era: stateless, and cancelled by a disconnect.

use axum::response::Response;
use http::StatusCode;
use http::request::Parts;
use jsonrpsee::types::ErrorObjectOwned;
use serde_json::Value;

use super::Endpoint;
use super::headers::{self, Accept};
use super::reply::{Envelope, Refusal, Source, reply};
use crate::context::RequestInfo;
use crate::error::{self, INVALID_REQUEST};
use crate::server::{Admitted, Head, LISTEN};
use crate::wire::{CallToolParams, Era, Request, RequestId};

impl Endpoint {
    pub(super) async fn modern_request(
        &self,
        parts: Parts,
        request: Request,
        head: Head,
    ) -> Result<Response, Refusal> {
        let info = self
            .check(&parts, &request, head)
            .map_err(|error| Refusal::bad_request(Some(&request.id), error))?;
        let envelope = self.envelope(&parts, &request.id, Era::Modern)?;
        if request.method == LISTEN && envelope.accept == Accept::Json {
            return Err(not_acceptable(
                Some(&request.id),
                "subscriptions/listen is answered with text/event-stream",
            ));
        }
        let admitted = self.admit(&parts, &request)?;
        let call = self.server.start(request, info, parts.extensions, admitted, None);
        Ok(reply(Source::Inside(Box::new(call)), envelope).await)
    }

    fn check(&self, parts: &Parts, request: &Request, head: Head) -> Result<RequestInfo, ErrorObjectOwned> {
        headers::check_version(&parts.headers, head.meta.protocol_version.as_deref())?;
        let info = head.into_modern(request)?;
        headers::check_standard(&parts.headers, request, info.target.as_deref())?;
        let wanted = info.tool(&request.method).map(|tool| self.server.param_headers(tool));
        if let Some(wanted) = wanted.filter(|wanted| !wanted.is_empty()) {
            headers::check_params(&parts.headers, &wanted, &arguments(request))?;
        }
        Ok(info)
    }

    pub(super) fn envelope(&self, parts: &Parts, id: &RequestId, era: Era) -> Result<Envelope, Refusal> {
        let Some(accept) = Accept::of(&parts.headers) else {
            return Err(not_acceptable(
                Some(id),
                "the client has to accept application/json and text/event-stream",
            ));
        };
        Ok(Envelope { id: id.clone(), era, accept, keep_alive: self.config.keep_alive })
    }

    pub(super) fn admit(&self, parts: &Parts, request: &Request) -> Result<Admitted, Refusal> {
        let busy = |error| Refusal::new(StatusCode::SERVICE_UNAVAILABLE, Some(request.id.clone()), error);
        if request.method == LISTEN {
            return self.place(parts, Some(&request.id));
        }
        self.server.admit(&request.method, parts.extensions.get()).map_err(busy)
    }
}

pub(super) fn not_acceptable(id: Option<&RequestId>, message: &str) -> Refusal {
    Refusal::new(StatusCode::NOT_ACCEPTABLE, id.cloned(), error::error(INVALID_REQUEST, message))
}

/// Null where there are none that can be read; the method answers for that.
fn arguments(request: &Request) -> Value {
    let params =
        request.params.as_deref().and_then(|raw| serde_json::from_str::<CallToolParams>(raw.get()).ok());
    let arguments = params.and_then(|params| params.arguments);
    arguments.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default()
}
