//! Resources: lists, reading, and the subscriptions of the legacy era.

use std::sync::Arc;

use jsonrpsee::types::ErrorObjectOwned;
use serde_json::Map;

use super::lifecycle::store_failed;
use super::rounds::{Answered, Origin};
use super::{ListParams, Module, parsed, register as add};
use crate::context::CallContext;
use crate::error::{self, INVALID_REQUEST};
use crate::resource::Resources;
use crate::server::Core;
use crate::wire::{
    Era, ListResourceTemplatesResult, ListResourcesResult, ReadResourceParams, ReadResourceResult,
    ResourceParams,
};

/// The most subscriptions of one session.
pub(super) const MOST_SUBSCRIPTIONS: usize = 1000;
/// The most bytes of a URI that can be listened to: a session keeps them all.
pub(super) const LONGEST_URI: usize = 2048;

pub(super) fn register(core: &Arc<Core>, module: &mut Module) {
    if core.resources.is_none() {
        return;
    }
    add(module, "resources/list", |core, cx, params| async move {
        core.list_resources(&cx, &parsed(&params)?).await
    });
    add(module, "resources/templates/list", |core, cx, params| async move {
        core.list_templates(cx.era(), &parsed(&params)?)
    });
    add(module, "resources/read", |core, cx, params| async move {
        let params = parsed(&params)?;
        core.read_resource(cx, params).await
    });
}

pub(super) fn register_legacy(core: &Arc<Core>, module: &mut Module) {
    if !core.resources.as_ref().is_some_and(|resources| resources.can_subscribe()) {
        return;
    }
    add(module, "resources/subscribe", |core, cx, params| async move {
        core.subscribe(&cx, &parsed(&params)?).await?;
        Ok(Map::new())
    });
    add(module, "resources/unsubscribe", |_, cx, params| async move {
        let params: ResourceParams = parsed(&params)?;
        if let Some(session) = cx.session() {
            session.set_subscribed(&params.uri, false).await.map_err(|error| store_failed(&error))?;
        }
        Ok(Map::new())
    });
}

impl Core {
    /// The methods are registered only where there are resources.
    pub(super) fn provider(&self) -> Result<&dyn Resources, ErrorObjectOwned> {
        self.resources.as_deref().ok_or_else(error::internal)
    }

    async fn list_resources(
        &self,
        cx: &CallContext,
        params: &ListParams,
    ) -> Result<ListResourcesResult, ErrorObjectOwned> {
        let page = self.provider()?.list(cx, params.cursor.as_deref()).await?;
        Ok(ListResourcesResult {
            resources: page.items,
            next_cursor: page.next,
            frame: self.cacheable(cx.era(), self.resources_cache),
        })
    }

    fn list_templates(
        &self,
        era: Era,
        params: &ListParams,
    ) -> Result<ListResourceTemplatesResult, ErrorObjectOwned> {
        let templates = self.provider()?.templates().into_iter();
        let (resource_templates, next_cursor) = params.page("templates", templates, self.page_size)?;
        Ok(ListResourceTemplatesResult {
            resource_templates,
            next_cursor,
            frame: self.cacheable(era, self.cache),
        })
    }

    async fn read_resource(
        &self,
        mut cx: CallContext,
        params: ReadResourceParams,
    ) -> Result<Answered<ReadResourceResult>, ErrorObjectOwned> {
        let origin = Origin { method: "resources/read", target: &params.uri, arguments: None };
        cx.round = self.round(&cx, origin, params.input_responses, params.request_state.as_deref())?;
        let read = self.provider()?.read(&cx, &params.uri);
        Ok(match self.until_asked(&cx, origin, read).await? {
            Ok(Some(reply)) => Answered::Complete(ReadResourceResult {
                contents: reply.contents,
                frame: self.cacheable(cx.era(), reply.cache),
            }),
            Ok(None) => return Err(error::resource_not_found(&params.uri, cx.era())),
            Err(questions) => Answered::InputRequired(questions),
        })
    }

    async fn subscribe(&self, cx: &CallContext, params: &ResourceParams) -> Result<(), ErrorObjectOwned> {
        if params.uri.len() > LONGEST_URI || !self.provider()?.may_subscribe(cx, &params.uri).await? {
            return Err(error::resource_not_found(&params.uri, cx.era()));
        }
        let Some(session) = cx.session() else { return Ok(()) };
        let subscriptions = session.subscriptions().await.map_err(|error| store_failed(&error))?;
        if subscriptions.len() >= MOST_SUBSCRIPTIONS && !subscriptions.contains(&params.uri) {
            let message =
                format!("a session has at most {MOST_SUBSCRIPTIONS} subscriptions; unsubscribe some");
            return Err(error::error(INVALID_REQUEST, message));
        }
        session.set_subscribed(&params.uri, true).await.map_err(|error| store_failed(&error))
    }
}
