//! The ComfyUI machines: which can be reached, what is installed there, and which one gets the next job.

mod monitor;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use comfy_client::{ComfyClient, ComfyError};
use tokio::sync::{Mutex, Notify, watch};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use workflow_analyzer::ObjectInfo;

/// How long a caller waits for the first contact with a backend after a start.
const FIRST_CONTACT: Duration = Duration::from_secs(5);
/// An older list of nodes and models is still used, and asked anew beside.
const FRESH: Duration = Duration::from_secs(30);
/// A list that is younger than this is not asked anew, whoever misses a name in it.
const JUST_ASKED: Duration = Duration::from_secs(2);

/// What a backend has: node classes and, in their choices, model files.
#[derive(Debug)]
pub struct Installed {
    /// `GET /object_info`, read.
    pub info: ObjectInfo,
    /// When it was asked.
    pub asked_at: Instant,
}

/// What is known of a backend.
#[derive(Debug, Clone)]
pub enum Health {
    /// Nothing yet.
    Connecting,
    /// It answers.
    Up {
        /// The version that it gives itself.
        version: String,
    },
    /// It doesn't answer.
    Down {
        /// Why, for people.
        reason: String,
    },
}

#[derive(Debug, Clone)]
struct State {
    health: Health,
    installed: Option<Arc<Installed>>,
}

/// One ComfyUI.
pub struct Backend {
    /// Its URL without credentials; also the name under which a job remembers it.
    pub name: String,
    /// Its API.
    pub client: ComfyClient,
    state: watch::Sender<State>,
    check_now: Notify,
    refresh_soon: Notify,
    refreshing: Mutex<()>,
    running: AtomicUsize,
}

/// No backend can be used now.
#[derive(Debug, Clone, thiserror::Error)]
#[error("ComfyUI at {name} can't be reached: {reason}")]
pub struct Unavailable {
    /// The backend.
    pub name: String,
    /// Why, for people.
    pub reason: String,
}

impl Backend {
    fn new(name: String, client: ComfyClient) -> Arc<Self> {
        let state = State { health: Health::Connecting, installed: None };
        Arc::new(Self {
            name,
            client,
            state: watch::Sender::new(state),
            check_now: Notify::new(),
            refresh_soon: Notify::new(),
            refreshing: Mutex::new(()),
            running: AtomicUsize::new(0),
        })
    }

    /// What is known of it now.
    pub fn health(&self) -> Health {
        self.state.borrow().health.clone()
    }

    /// Has it asked again now: a request to it has just failed, or a model is said to be there.
    pub fn check_soon(&self) {
        self.check_now.notify_one();
    }

    /// What is installed, as it was last seen. Waits only where nothing was seen yet.
    async fn installed(&self) -> Result<Arc<Installed>, Unavailable> {
        let known = self.state.borrow().installed.clone();
        if let Some(installed) = known {
            if installed.asked_at.elapsed() > FRESH {
                self.refresh_soon.notify_one();
            }
            return Ok(installed);
        }
        let mut state = self.state.subscribe();
        let contact = state.wait_for(|state| !matches!(state.health, Health::Connecting));
        let known =
            timeout(FIRST_CONTACT, contact).await.ok().and_then(Result::ok).map(|state| state.clone());
        match known {
            Some(State { installed: Some(installed), .. }) => Ok(installed),
            Some(State { health: Health::Down { reason }, .. }) => Err(self.unavailable(reason)),
            _ => Err(self.unavailable("it has not answered yet".into())),
        }
    }

    /// The same, asked anew unless that has just been done; as it was last seen when the backend doesn't answer.
    async fn installed_now(&self) -> Result<Arc<Installed>, Unavailable> {
        let error = match self.refresh().await {
            Ok(installed) => return Ok(installed),
            Err(error) => error,
        };
        self.check_soon();
        let last = self.state.borrow().installed.clone();
        last.ok_or_else(|| self.unavailable(reason(&error)))
    }

    /// One question at a time; whoever waited for it takes its answer.
    async fn refresh(&self) -> Result<Arc<Installed>, ComfyError> {
        let _one = self.refreshing.lock().await;
        let known = self.state.borrow().installed.clone();
        if let Some(installed) = known.filter(|installed| installed.asked_at.elapsed() < JUST_ASKED) {
            return Ok(installed);
        }
        let info = self.client.object_info().await?;
        let installed = Arc::new(Installed { info, asked_at: Instant::now() });
        self.state.send_modify(|state| state.installed = Some(Arc::clone(&installed)));
        Ok(installed)
    }

    fn unavailable(&self, reason: String) -> Unavailable {
        Unavailable { name: self.name.clone(), reason }
    }
}

/// An error and its causes in one line. That a machine can't be reached says enough by itself.
pub fn describe(error: &ComfyError) -> String {
    let mut text = error.to_string();
    if let ComfyError::Unreachable { .. } = error {
        return text;
    }
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// The same for a text that names the machine already.
fn reason(error: &ComfyError) -> String {
    match error {
        ComfyError::Unreachable { reason, .. } => reason.to_string(),
        other => describe(other),
    }
}

/// A job's place on a backend; given back when it is dropped.
pub struct Slot {
    /// The backend.
    pub backend: Arc<Backend>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.backend.running.fetch_sub(1, Ordering::Relaxed);
    }
}

/// All backends.
pub struct Pool {
    backends: Vec<Arc<Backend>>,
}

impl Pool {
    /// Starts to watch the backends. Returns at once; `stop` ends the watching.
    pub fn start(clients: Vec<(String, ComfyClient)>, stop: &CancellationToken) -> Arc<Self> {
        let backends: Vec<_> = clients.into_iter().map(|(name, client)| Backend::new(name, client)).collect();
        for backend in &backends {
            tokio::spawn(monitor::watch(Arc::clone(backend), stop.clone()));
        }
        Arc::new(Self { backends })
    }

    /// The backends, for reports.
    pub fn backends(&self) -> &[Arc<Backend>] {
        &self.backends
    }

    /// What is installed on the first backend that can be reached, or was last.
    pub async fn installed(&self) -> Result<Arc<Installed>, Unavailable> {
        self.first(Backend::installed).await
    }

    /// The same, asked anew: a name was not found that may have been installed a moment ago.
    pub async fn installed_now(&self) -> Result<Arc<Installed>, Unavailable> {
        self.first(Backend::installed_now).await
    }

    /// The same without waiting, if it is known.
    pub fn known(&self) -> Option<Arc<Installed>> {
        self.backends.iter().find_map(|backend| backend.state.borrow().installed.clone())
    }

    /// Waits until a backend has said what is installed, later than at `since`.
    pub async fn asked_after(&self, since: Option<Instant>) {
        let is_later = move |state: &State| {
            let asked_at = state.installed.as_ref().map(|installed| installed.asked_at);
            asked_at.is_some_and(|asked_at| since.is_none_or(|since| asked_at > since))
        };
        self.any(is_later).await;
    }

    async fn first<'a, F>(&'a self, ask: impl Fn(&'a Backend) -> F) -> Result<Arc<Installed>, Unavailable>
    where
        F: Future<Output = Result<Arc<Installed>, Unavailable>>,
    {
        let mut refused = None;
        for backend in &self.backends {
            match ask(backend).await {
                Ok(installed) => return Ok(installed),
                Err(error) => refused = Some(error),
            }
        }
        Err(refused.unwrap_or_else(|| Unavailable { name: "-".into(), reason: "none is configured".into() }))
    }

    /// Waits for a backend that is up and takes a place on the one with the least to do.
    pub async fn acquire(&self) -> Slot {
        loop {
            if let Some(slot) = self.try_acquire() {
                return slot;
            }
            self.any_up().await;
        }
    }

    /// Takes a place on the backend with the least to do; `None` when none is up.
    pub fn try_acquire(&self) -> Option<Slot> {
        let up = self.backends.iter().filter(|backend| matches!(backend.health(), Health::Up { .. }));
        let backend = up.min_by_key(|backend| backend.running.load(Ordering::Relaxed))?;
        backend.running.fetch_add(1, Ordering::Relaxed);
        Some(Slot { backend: Arc::clone(backend) })
    }

    /// Waits until the named backend is up, and takes a place there; `None` when there is none of that name.
    pub async fn acquire_named(&self, name: &str) -> Option<Slot> {
        let backend = self.backends.iter().find(|backend| backend.name == name)?;
        let mut state = backend.state.subscribe();
        state.wait_for(|state| matches!(state.health, Health::Up { .. })).await.ok()?;
        backend.running.fetch_add(1, Ordering::Relaxed);
        Some(Slot { backend: Arc::clone(backend) })
    }

    async fn any_up(&self) {
        self.any(|state| matches!(state.health, Health::Up { .. })).await;
    }

    async fn any(&self, is_so: impl Fn(&State) -> bool + Copy) {
        let mut receivers: Vec<_> = self.backends.iter().map(|backend| backend.state.subscribe()).collect();
        if receivers.is_empty() {
            return std::future::pending().await;
        }
        let waiting = receivers.iter_mut().map(|state| Box::pin(state.wait_for(is_so)));
        let _ = futures::future::select_all(waiting).await;
    }
}
