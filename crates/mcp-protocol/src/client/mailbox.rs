//! What a server tells unasked, on its way to whoever listens. A listener that doesn't keep up loses the oldest, and
//! learns of it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::Notify;

use super::error::ClientError;
use super::notices::Notice;
use crate::wire::SubscriptionFilter;

/// The most that waits for one listener; more pushes out the oldest.
const MAX_WAITING: usize = 256;
/// The same in bytes of messages. The newest is kept, however large it is.
const MAX_WAITING_BYTES: usize = 4 * 1024 * 1024;

/// All who listen to one server.
#[derive(Debug, Default)]
pub(super) struct Hub {
    listeners: Mutex<Listeners>,
}

#[derive(Debug, Default)]
struct Listeners {
    mailboxes: Vec<Weak<Mailbox>>,
    /// Why nothing comes any more.
    ended: Option<Arc<str>>,
}

/// What waits for one listener.
#[derive(Debug)]
pub(super) struct Mailbox {
    state: Mutex<State>,
    news: Notify,
}

/// What a listener wants to know.
#[derive(Debug)]
pub(super) enum Wanted {
    /// All that comes.
    Everything,
    /// What a legacy server sends to everybody, if it is of these.
    These(SubscriptionFilter),
    /// What a modern server sends for the `subscriptions/listen` with this id.
    Tagged(i64),
}

#[derive(Debug)]
struct State {
    wanted: Wanted,
    waiting: VecDeque<(Notice, usize)>,
    bytes: usize,
    /// Some is lost; how many, as far as it is known.
    missed: Option<u64>,
    /// What the server has agreed to, the first time, and how often it has.
    agreed: Option<SubscriptionFilter>,
    agreements: u64,
    end: Option<End>,
}

#[derive(Debug)]
enum End {
    Finished,
    Closed(Arc<str>),
    Failed(ClientError),
}

impl Hub {
    /// A new listener; it is forgotten when it is dropped.
    pub(super) fn listen(&self, wanted: Wanted) -> Arc<Mailbox> {
        let mailbox = Arc::new(Mailbox::new(wanted));
        let mut listeners = self.lock();
        if let Some(reason) = &listeners.ended {
            mailbox.end(End::Closed(Arc::clone(reason)));
        }
        listeners.mailboxes.retain(|mailbox| mailbox.strong_count() > 0);
        listeners.mailboxes.push(Arc::downgrade(&mailbox));
        mailbox
    }

    /// Tells it to those who want it. `tag` is the id of the subscription that it is for, `bytes` its size.
    pub(super) fn tell(&self, notice: &Notice, tag: Option<i64>, bytes: usize) {
        for mailbox in self.mailboxes() {
            mailbox.offer(notice, tag, bytes);
        }
    }

    /// The server has agreed to the subscription with this id.
    pub(super) fn agreed(&self, tag: i64, filter: &SubscriptionFilter) {
        for mailbox in self.mailboxes() {
            mailbox.agree(tag, filter);
        }
    }

    /// Something may have been told while nobody could hear it.
    pub(super) fn gap(&self) {
        for mailbox in self.mailboxes() {
            mailbox.miss(0);
        }
    }

    /// Nothing comes any more.
    pub(super) fn end(&self, reason: &str) {
        let reason: Arc<str> = reason.into();
        for mailbox in self.mailboxes() {
            mailbox.end(End::Closed(Arc::clone(&reason)));
        }
        self.lock().ended.get_or_insert(reason);
    }

    fn mailboxes(&self) -> Vec<Arc<Mailbox>> {
        self.lock().mailboxes.iter().filter_map(Weak::upgrade).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Listeners> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Mailbox {
    fn new(wanted: Wanted) -> Mailbox {
        let state = State {
            wanted,
            waiting: VecDeque::new(),
            bytes: 0,
            missed: None,
            agreed: None,
            agreements: 0,
            end: None,
        };
        Mailbox { state: Mutex::new(state), news: Notify::new() }
    }

    /// The next thing. `Ok(None)` is a good end; after an end of either kind it is always that.
    pub(super) async fn next(&self) -> Result<Option<Notice>, ClientError> {
        loop {
            let news = self.news.notified();
            if let Some(next) = self.lock().next() {
                return next;
            }
            news.await;
        }
    }

    /// What the server has agreed to, once it has.
    pub(super) async fn agreement(&self) -> Result<SubscriptionFilter, ClientError> {
        loop {
            let news = self.news.notified();
            {
                let mut state = self.lock();
                if let Some(agreed) = &state.agreed {
                    return Ok(agreed.clone());
                }
                if let Some(end) = state.take_end() {
                    return Err(end.into_error());
                }
            }
            news.await;
        }
    }

    /// How often the server has agreed.
    pub(super) fn agreements(&self) -> u64 {
        self.lock().agreements
    }

    /// From now on it is for the subscription with this id.
    pub(super) fn retag(&self, tag: i64) {
        self.lock().wanted = Wanted::Tagged(tag);
    }

    /// The server has ended the subscription in good order.
    pub(super) fn finish(&self) {
        self.end(End::Finished);
    }

    /// The subscription can't be kept.
    pub(super) fn fail(&self, error: ClientError) {
        self.end(End::Failed(error));
    }

    fn offer(&self, notice: &Notice, tag: Option<i64>, bytes: usize) {
        let mut state = self.lock();
        if state.wanted.takes(notice, tag) {
            state.add(notice, bytes);
            drop(state);
            self.news.notify_one();
        }
    }

    fn agree(&self, tag: i64, filter: &SubscriptionFilter) {
        let mut state = self.lock();
        if !matches!(state.wanted, Wanted::Tagged(own) if own == tag) {
            return;
        }
        state.agreements += 1;
        if state.agreed.is_some() {
            // Opened again: what happened in between was not told.
            state.miss(0);
        } else {
            state.agreed = Some(filter.clone());
        }
        drop(state);
        self.news.notify_one();
    }

    fn miss(&self, count: u64) {
        self.lock().miss(count);
        self.news.notify_one();
    }

    fn end(&self, end: End) {
        self.lock().end.get_or_insert(end);
        self.news.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn next(&mut self) -> Option<Result<Option<Notice>, ClientError>> {
        if let Some(at_least) = self.missed.take() {
            return Some(Ok(Some(Notice::Missed { at_least })));
        }
        if let Some((notice, bytes)) = self.waiting.pop_front() {
            self.bytes -= bytes;
            return Some(Ok(Some(notice)));
        }
        Some(match self.take_end()? {
            End::Finished => Ok(None),
            end => Err(end.into_error()),
        })
    }

    /// The end, if there is one. Its cause is told once.
    fn take_end(&mut self) -> Option<End> {
        let end = self.end.take()?;
        self.end = Some(End::Finished);
        Some(end)
    }

    fn add(&mut self, notice: &Notice, bytes: usize) {
        if self.end.is_some() {
            return;
        }
        // That a thing has changed is told once, however often it did before somebody looked.
        if let Some(at) = self.waiting.iter().position(|(waiting, _)| notice.replaces(waiting))
            && let Some((_, old)) = self.waiting.remove(at)
        {
            self.bytes -= old;
        }
        self.waiting.push_back((notice.clone(), bytes));
        self.bytes += bytes;
        let mut lost = 0;
        while self.waiting.len() > MAX_WAITING || (self.bytes > MAX_WAITING_BYTES && self.waiting.len() > 1) {
            let Some((_, bytes)) = self.waiting.pop_front() else { break };
            self.bytes -= bytes;
            lost += 1;
        }
        if lost > 0 {
            self.miss(lost);
        }
    }

    fn miss(&mut self, count: u64) {
        self.missed = Some(self.missed.unwrap_or(0).saturating_add(count));
    }
}

impl Wanted {
    fn takes(&self, notice: &Notice, tag: Option<i64>) -> bool {
        match self {
            Wanted::Everything => true,
            Wanted::Tagged(own) => tag == Some(*own),
            Wanted::These(filter) => match notice {
                Notice::ToolsChanged => filter.tools_list_changed,
                Notice::PromptsChanged => filter.prompts_list_changed,
                Notice::ResourcesChanged => filter.resources_list_changed,
                // It may be a part of the resource that was asked for (2025-11-25, server/resources).
                Notice::ResourceUpdated { uri } => {
                    filter.resource_subscriptions.iter().any(|wanted| uri.starts_with(wanted.as_str()))
                }
                _ => false,
            },
        }
    }
}

impl End {
    fn into_error(self) -> ClientError {
        match self {
            End::Failed(error) => error,
            End::Closed(reason) => ClientError::Closed { reason: reason.to_string() },
            End::Finished => ClientError::Closed { reason: "the server ended the subscription".to_owned() },
        }
    }
}
