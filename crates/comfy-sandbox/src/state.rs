//! What the parts of a running sandbox share.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{
    catalog::Catalog,
    data::DataDir,
    events::{self, Hub, Target},
    faults::Faults,
    queue::Queue,
};

/// The shared state; behind an `Arc`.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) data: Arc<DataDir>,
    pub(crate) catalog: Catalog,
    pub(crate) hub: Hub,
    pub(crate) faults: Faults,
    pub(crate) sampling_time: Duration,
    pub(crate) max_body_bytes: usize,
    pub(crate) stop: CancellationToken,
    /// Told when a prompt is put into the queue.
    pub(crate) work: Notify,
    /// Set by `POST /free`: the cache is to be emptied after the running prompt.
    pub(crate) free_memory: AtomicBool,
    /// The node that runs, and for whom: what a client that comes back is told.
    current: Mutex<Option<Current>>,
    queue: Mutex<Queue>,
}

/// The node that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Current {
    pub(crate) client_id: Option<String>,
    pub(crate) node: String,
}

impl State {
    pub(crate) fn new(
        data: DataDir,
        catalog: Catalog,
        sampling_time: Duration,
        max_body_bytes: usize,
    ) -> Arc<Self> {
        let stop = CancellationToken::new();
        Arc::new_cyclic(|state| Self {
            data: Arc::new(data),
            catalog,
            hub: Hub::start(stop.clone()),
            faults: Faults::new(state.clone()),
            sampling_time,
            max_body_bytes,
            stop,
            work: Notify::new(),
            free_memory: AtomicBool::new(false),
            current: Mutex::default(),
            queue: Mutex::default(),
        })
    }

    pub(crate) fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn current(&self) -> MutexGuard<'_, Option<Current>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells everyone how long the queue is.
    pub(crate) async fn send_status(&self) {
        let remaining = self.queue().remaining();
        self.hub.send(Target::Everyone, events::event("status", &events::status(remaining))).await;
    }

    /// Loses queue, history and cache.
    pub(crate) fn forget(&self) {
        self.queue().forget();
        *self.current() = None;
        self.free_memory.store(true, Ordering::Relaxed);
        self.work.notify_one();
    }
}
