//! News for those who listen: changed lists, updated resources, tasks.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::wire::{SubscriptionFilter, Task, notification};

/// Tells the listeners of a server what has changed. Cheap to clone; never blocks.
///
/// Each listener holds what it hasn't read yet at most once for each thing that it listens to, so a slow one costs
/// little and misses nothing but states that are past.
#[derive(Clone, Debug, Default)]
pub struct Notifier {
    listeners: Arc<Mutex<Vec<Weak<Mailbox>>>>,
}

/// One thing that has changed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Change {
    Tools,
    Prompts,
    Resources,
    Resource(String),
    Task(Box<Task>),
}

/// The receiving end. Dropped, it is forgotten.
#[derive(Clone, Debug)]
pub(crate) struct Listener {
    mailbox: Arc<Mailbox>,
}

#[derive(Debug, Default)]
struct Mailbox {
    /// Names a session's listener for `resources/subscribe`.
    session: Option<String>,
    state: Mutex<State>,
    news: Notify,
}

#[derive(Debug, Default)]
struct State {
    tools: bool,
    prompts: bool,
    resources: bool,
    uris: BTreeSet<String>,
    tasks: BTreeSet<String>,
    unread_lists: BTreeSet<&'static str>,
    unread_uris: BTreeSet<String>,
    unread_tasks: BTreeMap<String, Box<Task>>,
}

impl Notifier {
    /// Without listeners.
    pub fn new() -> Notifier {
        Notifier::default()
    }

    /// The list of tools has changed.
    pub fn tools_changed(&self) {
        self.each(|state| state.tools && state.unread_lists.insert("tools"));
    }

    /// The list of prompts has changed.
    pub fn prompts_changed(&self) {
        self.each(|state| state.prompts && state.unread_lists.insert("prompts"));
    }

    /// The list of resources has changed.
    pub fn resources_changed(&self) {
        self.each(|state| state.resources && state.unread_lists.insert("resources"));
    }

    /// What the resource holds has changed.
    pub fn resource_updated(&self, uri: &str) {
        self.each(|state| state.uris.contains(uri) && state.unread_uris.insert(uri.to_owned()));
    }

    /// A task has changed. `task` is made only where somebody listens to it.
    pub fn task_changed(&self, task_id: &str, task: impl Fn() -> Task) {
        self.each(|state| {
            if !state.tasks.contains(task_id) {
                return false;
            }
            state.unread_tasks.insert(task_id.to_owned(), Box::new(task()));
            true
        });
    }

    /// Whether anybody listens to this resource or task: for those to whom finding out costs something.
    pub fn has_listeners(&self, uri_or_task_id: &str) -> bool {
        let listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.iter().filter_map(Weak::upgrade).any(|mailbox| {
            let state = mailbox.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.uris.contains(uri_or_task_id) || state.tasks.contains(uri_or_task_id)
        })
    }

    /// Listens to what a client has asked for and may see.
    pub(crate) fn listen(&self, filter: &SubscriptionFilter) -> Listener {
        self.add(Mailbox { state: Mutex::new(State::of(filter)), ..Mailbox::default() })
    }

    /// Listens for a session: to all lists, and to the resources it subscribes to, now and later.
    pub(crate) fn listen_for_session(
        &self,
        session: &str,
        uris: impl IntoIterator<Item = String>,
    ) -> Listener {
        let state = State {
            tools: true,
            prompts: true,
            resources: true,
            uris: uris.into_iter().collect(),
            ..State::default()
        };
        self.add(Mailbox { session: Some(session.to_owned()), state: Mutex::new(state), news: Notify::new() })
    }

    /// `resources/subscribe` and `resources/unsubscribe` of a session that may be listening.
    pub(crate) fn set_subscribed(&self, session: &str, uri: &str, subscribed: bool) {
        let listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        let own = listeners.iter().filter_map(Weak::upgrade);
        for mailbox in own.filter(|mailbox| mailbox.session.as_deref() == Some(session)) {
            let mut state = mailbox.state.lock().unwrap_or_else(PoisonError::into_inner);
            if subscribed {
                state.uris.insert(uri.to_owned());
            } else {
                state.uris.remove(uri);
                state.unread_uris.remove(uri);
            }
        }
    }

    fn add(&self, mailbox: Mailbox) -> Listener {
        let mailbox = Arc::new(mailbox);
        let mut listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.retain(|listener| listener.strong_count() > 0);
        listeners.push(Arc::downgrade(&mailbox));
        Listener { mailbox }
    }

    fn each(&self, put: impl Fn(&mut State) -> bool) {
        let listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        for mailbox in listeners.iter().filter_map(Weak::upgrade) {
            let put = put(&mut mailbox.state.lock().unwrap_or_else(PoisonError::into_inner));
            if put {
                mailbox.news.notify_one();
            }
        }
    }
}

impl Listener {
    /// The next change. Cancel-safe; one reader.
    pub(crate) async fn next(&self) -> Change {
        loop {
            if let Some(change) = self.take() {
                return change;
            }
            self.mailbox.news.notified().await;
        }
    }

    fn take(&self) -> Option<Change> {
        let mut state = self.mailbox.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(list) = state.unread_lists.pop_first() {
            return Some(match list {
                "tools" => Change::Tools,
                "prompts" => Change::Prompts,
                _ => Change::Resources,
            });
        }
        if let Some((_, task)) = state.unread_tasks.pop_first() {
            return Some(Change::Task(task));
        }
        state.unread_uris.pop_first().map(Change::Resource)
    }
}

impl State {
    fn of(filter: &SubscriptionFilter) -> State {
        State {
            tools: filter.tools_list_changed,
            prompts: filter.prompts_list_changed,
            resources: filter.resources_list_changed,
            uris: filter.resource_subscriptions.iter().cloned().collect(),
            tasks: filter.task_ids.iter().cloned().collect(),
            ..State::default()
        }
    }
}

impl Change {
    /// The text of its notification. `meta` is what a subscription tags its messages with.
    pub(crate) fn notification(&self, meta: Option<&Value>) -> Option<String> {
        let (method, mut params) = match self {
            Change::Tools => ("notifications/tools/list_changed", json!({})),
            Change::Prompts => ("notifications/prompts/list_changed", json!({})),
            Change::Resources => ("notifications/resources/list_changed", json!({})),
            Change::Resource(uri) => ("notifications/resources/updated", json!({"uri": uri})),
            Change::Task(task) => ("notifications/tasks", serde_json::to_value(task).ok()?),
        };
        if let (Some(meta), Value::Object(params)) = (meta, &mut params) {
            params.insert("_meta".to_owned(), meta.clone());
        }
        notification(method, &params).ok()
    }
}
