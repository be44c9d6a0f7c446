//! Listening to changes: `subscriptions/listen` (2026-07-28, basic/patterns/subscriptions), or `resources/subscribe`
//! and what a legacy server tells everybody (2025-11-25, server/resources).

use std::sync::{Arc, Weak};
use std::time::Duration;

use serde_json::Value;
use tokio_util::task::AbortOnDropHandle;

use super::Peer;
use super::connection::Connection;
use super::error::ClientError;
use super::get_stream::GetStream;
use super::mailbox::{Mailbox, Wanted};
use super::notices::Notice;
use super::transport::{self, Call, in_time, next_id};
use crate::wire::{Era, ListenParams, SubscriptionFilter};

/// How often in a row a broken subscription is opened again without the server agreeing to it.
const MAX_FAILURES: u32 = 12;
/// The wait before that; it doubles each time.
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// How long a legacy server may take to say whether it has a stream for what belongs to no call.
pub(super) const OPENING: Duration = Duration::from_secs(1);

/// What is listened to; it ends when this is dropped.
///
/// At most 256 changes wait to be taken, each thing that has changed once; then the oldest are lost, and
/// [`Notice::Missed`] says so. It says so too when the connection was broken for a while.
#[derive(Debug)]
pub struct Subscription {
    mailbox: Arc<Mailbox>,
    agreed: SubscriptionFilter,
    keeper: Keeper,
}

#[derive(Debug)]
enum Keeper {
    /// The task that holds the `subscriptions/listen` open.
    Modern(AbortOnDropHandle<()>),
    Legacy(Watch),
}

/// Resources that a legacy server tells of.
#[derive(Debug)]
struct Watch {
    connection: Weak<Connection>,
    uris: Vec<String>,
    _stream: Option<Arc<GetStream>>,
}

impl Peer {
    /// Listens to one resource.
    pub async fn subscribe(&self, uri: &str) -> Result<Subscription, ClientError> {
        let resource_subscriptions = vec![uri.to_owned()];
        self.listen(SubscriptionFilter { resource_subscriptions, ..SubscriptionFilter::default() }).await
    }

    /// Listens to all that the filter names. What the server doesn't agree to is never told: see
    /// [`Subscription::agreed`]. Tasks are told by modern servers alone.
    pub async fn listen(&self, filter: SubscriptionFilter) -> Result<Subscription, ClientError> {
        match self.connection.era() {
            Era::Modern => listen_modern(&self.connection, filter).await,
            Era::Legacy => listen_legacy(&self.connection, filter).await,
        }
    }
}

impl Subscription {
    /// The next change. `None` when the server has ended the subscription in good order, an error when it broke for
    /// good; after either always `None`. The future may be dropped and made again.
    pub async fn next(&mut self) -> Result<Option<Notice>, ClientError> {
        self.mailbox.next().await
    }

    /// What the server has agreed to tell. Of a legacy server it is what its capabilities promise.
    pub fn agreed(&self) -> &SubscriptionFilter {
        &self.agreed
    }

    /// Ends it, and waits until the server was told.
    pub async fn close(self) {
        match self.keeper {
            Keeper::Modern(task) => {
                task.abort();
                let _ = task.await;
            }
            Keeper::Legacy(mut watch) => watch.end().await,
        }
    }
}

async fn listen_modern(
    connection: &Arc<Connection>,
    filter: SubscriptionFilter,
) -> Result<Subscription, ClientError> {
    let id = next_id();
    let mailbox = connection.incoming.hub.listen(Wanted::Tagged(id));
    let keeping = keep(Arc::clone(connection), filter, Arc::clone(&mailbox), id);
    let closing = connection.incoming.closing.clone();
    let task = tokio::spawn(async move {
        tokio::select! {
            () = closing.cancelled() => {}
            () = keeping => {}
        }
    });
    let keeper = Keeper::Modern(AbortOnDropHandle::new(task));
    let agreed = in_time(
        "subscriptions/listen",
        connection.options.timeout,
        &connection.incoming,
        mailbox.agreement(),
    )
    .await?;
    Ok(Subscription { mailbox, agreed, keeper })
}

/// Holds a modern subscription open, and opens it again when its connection breaks.
async fn keep(connection: Arc<Connection>, filter: SubscriptionFilter, mailbox: Arc<Mailbox>, mut id: i64) {
    let params = transport::object(&ListenParams { notifications: filter });
    let mut failures = 0;
    loop {
        let before = mailbox.agreements();
        let mut call = Call::new("subscriptions/listen", params.clone());
        call.timeout = Duration::MAX;
        let ended = connection
            .transport
            .call_as(id, &call, connection.about.version, &connection.caller, &mut None)
            .await;
        let Err(error) = ended else { return mailbox.finish() };
        if mailbox.agreements() > before {
            failures = 0;
        }
        if !error.is_transient() || mailbox.agreements() == 0 || failures >= MAX_FAILURES {
            return mailbox.fail(error);
        }
        tracing::debug!(%error, "a subscription is opened again");
        tokio::time::sleep(FIRST_WAIT.saturating_mul(1 << failures).min(LONGEST_WAIT)).await;
        failures += 1;
        id = next_id();
        mailbox.retag(id);
    }
}

async fn listen_legacy(
    connection: &Arc<Connection>,
    filter: SubscriptionFilter,
) -> Result<Subscription, ClientError> {
    let mut agreed = promised(connection, filter);
    let mailbox = connection.incoming.hub.listen(Wanted::These(agreed.clone()));
    let stream = connection.events();
    if let Some(stream) = &stream
        && !stream.opened(OPENING).await
    {
        // Nothing can come from there.
        agreed = SubscriptionFilter::default();
    }
    let mut watch = Watch { connection: Arc::downgrade(connection), uris: Vec::new(), _stream: stream };
    for uri in &agreed.resource_subscriptions {
        connection.watch(uri).await?;
        watch.uris.push(uri.clone());
    }
    Ok(Subscription { mailbox, agreed, keeper: Keeper::Legacy(watch) })
}

/// What a legacy server's capabilities promise of this. A resource is asked for in any case: the server's own refusal
/// says more.
fn promised(connection: &Connection, filter: SubscriptionFilter) -> SubscriptionFilter {
    let changes = |feature: &str| {
        let feature = connection.about.capabilities.get(feature);
        feature.and_then(|feature| feature.get("listChanged")) == Some(&Value::Bool(true))
    };
    SubscriptionFilter {
        tools_list_changed: filter.tools_list_changed && changes("tools"),
        prompts_list_changed: filter.prompts_list_changed && changes("prompts"),
        resources_list_changed: filter.resources_list_changed && changes("resources"),
        resource_subscriptions: filter.resource_subscriptions,
        task_ids: Vec::new(),
    }
}

impl Watch {
    async fn end(&mut self) {
        let uris = std::mem::take(&mut self.uris);
        if let Some(connection) = self.connection.upgrade() {
            for uri in uris {
                connection.unwatch(&uri).await;
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let uris = std::mem::take(&mut self.uris);
        let (Some(connection), Ok(runtime)) =
            (self.connection.upgrade(), tokio::runtime::Handle::try_current())
        else {
            return;
        };
        if uris.is_empty() {
            return;
        }
        let closing = connection.incoming.closing.clone();
        runtime.spawn(async move {
            let telling = async {
                for uri in uris {
                    connection.unwatch(&uri).await;
                }
            };
            tokio::select! {
                () = closing.cancelled() => {}
                () = telling => {}
            }
        });
    }
}
