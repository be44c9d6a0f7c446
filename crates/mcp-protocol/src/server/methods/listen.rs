//! `subscriptions/listen`: a request that stays open and says what has changed (2026-07-28,
//! basic/patterns/subscriptions).

use std::collections::BTreeSet;
use std::convert::Infallible;

use jsonrpsee::types::ErrorObjectOwned;
use serde_json::{Value, json};

use super::resources::{LONGEST_URI, MOST_SUBSCRIPTIONS};
use super::{Module, parsed, register as add};
use crate::context::CallContext;
use crate::error::{self, INVALID_PARAMS};
use crate::notify::{Change, Listener};
use crate::server::Core;
use crate::wire::{Era, ListenParams, ListenResult, SubscriptionFilter, key, notification};

pub(super) fn register(module: &mut Module) {
    add(module, "subscriptions/listen", |core, cx, params| async move {
        let params = parsed(&params)?;
        core.listen(cx, params).await
    });
}

impl Core {
    /// Ends when the server closes, or with the request.
    async fn listen(&self, cx: CallContext, params: ListenParams) -> Result<ListenResult, ErrorObjectOwned> {
        let agreed = self.agreed(&cx, params.notifications).await?;
        let listener = self.notifier.listen(&agreed);
        let tag = json!({key::SUBSCRIPTION_ID: cx.request_id()});
        let outbox = &cx.channel().outbox;
        let acknowledged = json!({"_meta": tag, "notifications": agreed});
        if let Ok(text) = notification("notifications/subscriptions/acknowledged", &acknowledged) {
            outbox.push_kept(text);
        }
        tokio::select! {
            () = self.closing.cancelled() => {}
            ended = self.tell(&cx, &agreed, &listener, &tag) => match ended? {},
        }
        let mut frame = self.frame(Era::Modern);
        let id = serde_json::to_value(cx.request_id()).unwrap_or_default();
        frame.meta.get_or_insert_default().insert(key::SUBSCRIPTION_ID.to_owned(), id);
        Ok(ListenResult { frame })
    }

    /// Sends what the listener hears, for as long as this is polled.
    async fn tell(
        &self,
        cx: &CallContext,
        agreed: &SubscriptionFilter,
        listener: &Listener,
        tag: &Value,
    ) -> Result<Infallible, ErrorObjectOwned> {
        let mut ended = self.present_tasks(cx, agreed, tag).await?;
        let outbox = &cx.channel().outbox;
        loop {
            let change = listener.next().await;
            // The end of a task is told once, and nothing of it afterwards.
            if let Change::Task(task) = &change {
                if ended.contains(&task.task_id) {
                    continue;
                }
                if task.state.is_terminal() {
                    ended.insert(task.task_id.clone());
                }
            }
            if let Some(text) = change.notification(Some(tag)) {
                outbox.push_kept(text);
            }
            // Until then, what else changes is kept once by the listener.
            outbox.drained().await;
        }
    }

    /// What of the wish this server sends, and this caller may see.
    async fn agreed(
        &self,
        cx: &CallContext,
        mut wanted: SubscriptionFilter,
    ) -> Result<SubscriptionFilter, ErrorObjectOwned> {
        if wanted.resource_subscriptions.len() + wanted.task_ids.len() > MOST_SUBSCRIPTIONS {
            let message = format!("a subscription names at most {MOST_SUBSCRIPTIONS} resources and tasks");
            return Err(error::error(INVALID_PARAMS, message));
        }
        let mut resources = Vec::new();
        for uri in std::mem::take(&mut wanted.resource_subscriptions) {
            if uri.len() <= LONGEST_URI
                && let Some(provider) = &self.resources
                && provider.may_subscribe(cx, &uri).await?
            {
                resources.push(uri);
            }
        }
        let mut tasks = Vec::new();
        if !wanted.task_ids.is_empty() && self.tasks.is_some() {
            let store = self.task_store(cx)?;
            for id in std::mem::take(&mut wanted.task_ids) {
                if store.get(cx, &id).await?.is_some() {
                    tasks.push(id);
                }
            }
        }
        Ok(SubscriptionFilter {
            tools_list_changed: wanted.tools_list_changed,
            prompts_list_changed: wanted.prompts_list_changed && self.has_prompts,
            resources_list_changed: wanted.resources_list_changed && self.resources.is_some(),
            resource_subscriptions: resources,
            task_ids: tasks,
        })
    }

    /// Sends the tasks as they are now, so that one that ends while the subscription opens isn't missed. Gives those that
    /// have ended.
    async fn present_tasks(
        &self,
        cx: &CallContext,
        agreed: &SubscriptionFilter,
        tag: &Value,
    ) -> Result<BTreeSet<String>, ErrorObjectOwned> {
        let mut ended = BTreeSet::new();
        for id in &agreed.task_ids {
            let Some(task) = self.task_store(cx)?.get(cx, id).await? else { continue };
            if task.state.is_terminal() {
                ended.insert(id.clone());
            }
            cx.channel().outbox.drained().await;
            if let Some(text) = Change::Task(Box::new(task)).notification(Some(tag)) {
                cx.channel().outbox.push_kept(text);
            }
        }
        Ok(ended)
    }
}
