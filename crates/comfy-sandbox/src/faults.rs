//! Faults that a test switches on: what goes wrong with a real ComfyUI, on demand.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use serde::Deserialize;

use crate::state::State;

/// The longest delay that a fault may put before an answer.
const MAX_DELAY: Duration = Duration::from_mins(10);
/// How many endpoints and node classes may have a fault at once.
const MAX_ENTRIES: usize = 1000;

/// The switches. Cheap to clone; every clone is the same set of switches.
#[derive(Clone, Debug)]
pub struct Faults {
    switches: Arc<Mutex<Switches>>,
    /// The sandbox, which holds these faults.
    sandbox: Weak<State>,
}

#[derive(Debug, Default)]
struct Switches {
    silent_sockets: bool,
    refuse_prompts: bool,
    delay: Duration,
    failing_endpoints: HashMap<String, u32>,
    failing_nodes: HashMap<String, String>,
}

/// Several switches at once: the body of `POST /sandbox/faults`. A field that is left out stays as it is.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FaultRequest {
    /// True: every switch back to normal, before the rest of this request.
    pub reset: bool,
    /// True: see [`Faults::drop_sockets`].
    pub drop_sockets: bool,
    /// True: see [`Faults::forget`].
    pub forget: bool,
    /// See [`Faults::silence_sockets`] and [`Faults::let_sockets_speak`].
    pub silence_sockets: Option<bool>,
    /// See [`Faults::refuse_prompts`] and [`Faults::accept_prompts`].
    pub refuse_prompts: Option<bool>,
    /// See [`Faults::delay_answers`]; milliseconds, 0 for none.
    pub delay_ms: Option<u64>,
    /// See [`Faults::fail_endpoint`]: path → number of requests.
    pub fail_endpoints: HashMap<String, u32>,
    /// See [`Faults::fail_next_node`]: node class → error text.
    pub fail_nodes: HashMap<String, String>,
}

/// Why a set of faults was not switched on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FaultError {
    /// The delay is longer than ten minutes.
    #[error("a delay of {0} ms is over the limit of 600000 ms")]
    DelayTooLong(u64),
    /// More endpoints or node classes than are kept.
    #[error("more than 1000 endpoints or node classes with a fault")]
    TooMany,
}

impl Faults {
    pub(crate) fn new(sandbox: Weak<State>) -> Self {
        Self { switches: Arc::default(), sandbox }
    }

    /// Closes every open websocket now, without a close frame.
    pub fn drop_sockets(&self) {
        if let Some(sandbox) = self.sandbox.upgrade() {
            sandbox.hub.drop_all();
        }
    }

    /// Forgets the queue, the running prompt and the history now, without a word on the websocket: what a restart
    /// of ComfyUI does. Files stay.
    pub fn forget(&self) {
        if let Some(sandbox) = self.sandbox.upgrade() {
            sandbox.forget();
        }
    }

    /// From now on websockets stay open and say nothing. What happens meanwhile is lost to them.
    pub fn silence_sockets(&self) {
        self.lock().silent_sockets = true;
    }

    /// Ends [`Faults::silence_sockets`].
    pub fn let_sockets_speak(&self) {
        self.lock().silent_sockets = false;
    }

    /// From now on `POST /prompt` answers 503 with a text.
    pub fn refuse_prompts(&self) {
        self.lock().refuse_prompts = true;
    }

    /// Ends [`Faults::refuse_prompts`].
    pub fn accept_prompts(&self) {
        self.lock().refuse_prompts = false;
    }

    /// Puts this time before every HTTP answer; zero ends it. At most ten minutes.
    pub fn delay_answers(&self, delay: Duration) {
        self.lock().delay = delay.min(MAX_DELAY);
    }

    /// The next `requests` requests to this path (without `/api`, such as `/history`; what is below it counts too)
    /// are answered 500 with ComfyUI's plain text.
    pub fn fail_endpoint(&self, path: &str, requests: u32) {
        let mut switches = self.lock();
        if switches.failing_endpoints.len() < MAX_ENTRIES {
            switches.failing_endpoints.insert(path.trim_end_matches('/').to_owned(), requests);
        }
    }

    /// The next node of this class that runs fails with this text.
    pub fn fail_next_node(&self, class_type: &str, error: &str) {
        let mut switches = self.lock();
        if switches.failing_nodes.len() < MAX_ENTRIES {
            switches.failing_nodes.insert(class_type.to_owned(), error.to_owned());
        }
    }

    /// Every switch back to normal.
    pub fn reset(&self) {
        *self.lock() = Switches::default();
    }

    /// Sets several switches at once.
    pub fn apply(&self, request: &FaultRequest) -> Result<(), FaultError> {
        if let Some(delay) = request.delay_ms
            && Duration::from_millis(delay) > MAX_DELAY
        {
            return Err(FaultError::DelayTooLong(delay));
        }
        if request.fail_endpoints.len().max(request.fail_nodes.len()) > MAX_ENTRIES {
            return Err(FaultError::TooMany);
        }
        if request.reset {
            self.reset();
        }
        self.set(request);
        if request.forget {
            self.forget();
        }
        if request.drop_sockets {
            self.drop_sockets();
        }
        Ok(())
    }

    fn set(&self, request: &FaultRequest) {
        for (path, requests) in &request.fail_endpoints {
            self.fail_endpoint(path, *requests);
        }
        for (class_type, error) in &request.fail_nodes {
            self.fail_next_node(class_type, error);
        }
        let mut switches = self.lock();
        if let Some(silent) = request.silence_sockets {
            switches.silent_sockets = silent;
        }
        if let Some(refuse) = request.refuse_prompts {
            switches.refuse_prompts = refuse;
        }
        if let Some(delay) = request.delay_ms {
            switches.delay = Duration::from_millis(delay);
        }
    }

    pub(crate) fn sockets_are_silent(&self) -> bool {
        self.lock().silent_sockets
    }

    pub(crate) fn prompts_are_refused(&self) -> bool {
        self.lock().refuse_prompts
    }

    pub(crate) fn delay(&self) -> Duration {
        self.lock().delay
    }

    /// Whether this request is one of those that an endpoint's fault has taken.
    pub(crate) fn takes_request(&self, path: &str) -> bool {
        let mut switches = self.lock();
        let hit = switches.failing_endpoints.iter_mut().find(|(endpoint, left)| {
            **left > 0
                && path
                    .strip_prefix(endpoint.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        });
        hit.map(|(_, left)| *left -= 1).is_some()
    }

    /// The error that the next node of this class has to fail with; taken away by asking.
    pub(crate) fn take_node_error(&self, class_type: &str) -> Option<String> {
        self.lock().failing_nodes.remove(class_type)
    }

    fn lock(&self) -> MutexGuard<'_, Switches> {
        self.switches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
