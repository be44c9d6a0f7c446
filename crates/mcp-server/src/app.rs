//! The parts of the gateway, put together.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context as _;
use auth::{Authenticator, RateLimiter};
use comfy_client::{ComfyAuth, ComfyClient, ComfyConfig};
use comfy_sandbox::{Sandbox, SandboxConfig};
use job_queue::{Job, JobFilter, JobState, Observer, Queue, QueueConfig};
use progress::{Event, Hub, HubConfig, StateChange};
use storage::{ArtifactStore, LockMode, Storage, StorageConfig};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use url::Url;
use workflow_analyzer::ObjectInfo;

use crate::backend::Pool;
use crate::catalog;
use crate::error::ServerError;
use crate::executor::ComfyExecutor;
use crate::settings::Settings;
use crate::tools::OwnTools;
use crate::updates::Updates;

/// How long `cancel_job` waits for a running job to end.
const CANCEL_WAIT: Duration = Duration::from_secs(5);
/// How many graphs are analysed at once: each takes a core.
const MAX_PLANNING: usize = 2;
/// How many old pictures are deleted in one go.
const PRUNED_AT_ONCE: u64 = 1000;
/// More jobs than can be unfinished.
const MAX_UNFINISHED: usize = 100_000;
/// How long an attempt may take to end after a cancel or a stop; ComfyUI gets ten seconds of it to let go.
const STOP_GRACE: Duration = Duration::from_secs(15);

/// Everything a tool or an HTTP handler works with.
pub struct App {
    /// The configuration.
    pub settings: Settings,
    /// The queue.
    pub queue: Queue,
    /// Events of jobs.
    pub hub: Hub,
    /// News of jobs for those who subscribe to them.
    pub updates: Updates,
    /// ComfyUI.
    pub pool: Arc<Pool>,
    /// Workflows by name.
    pub catalog: Arc<catalog::Live>,
    /// Pictures.
    pub artifacts: ArtifactStore,
    /// The database, for sessions and keys.
    pub storage: Storage,
    /// Keys; asked only where authentication is on.
    pub authenticator: Authenticator,
    /// Calls of each client.
    pub limiter: RateLimiter,
    /// Cancelled when the server stops.
    pub stopping: CancellationToken,
    /// The tools that are made of workflows.
    pub(crate) own_tools: OwnTools,
    planning: Arc<Semaphore>,
    listening: OnceLock<String>,
}

/// The app and what runs beside it.
pub struct Running {
    /// The app.
    pub app: Arc<App>,
    workers: tokio::task::JoinHandle<()>,
    sandbox: Option<Sandbox>,
}

/// Whether other processes may work on the same data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// The HTTP server: the folder is its own.
    Exclusive,
    /// A process that a desktop client started: there may be several.
    Shared,
}

impl App {
    /// Opens the data, starts to watch ComfyUI, and starts the workers. Doesn't wait for ComfyUI.
    pub async fn start(settings: Settings, sharing: Sharing) -> anyhow::Result<Running> {
        let stopping = CancellationToken::new();
        let storage = open_storage(&settings, sharing).await?;
        let sandbox = start_sandbox(&settings).await?;
        let client = comfy(&settings, sandbox.as_ref())?;
        let pool = Pool::start(vec![(display_url(client.url()), client)], &stopping);
        let hub = Hub::new(HubConfig::default());
        let jobs = storage.jobs();
        if sharing == Sharing::Exclusive {
            let found = jobs.void_leases(jiff::Timestamp::now()).await.context("the queue can't be read")?;
            if found > 0 {
                tracing::info!(jobs = found, "jobs that ran when the server stopped are taken up again");
            }
        }
        let updates = Updates::default();
        let announcer = Announcer { hub: hub.clone(), updates: updates.clone() };
        let queue = Queue::new(jobs, queue_config(&settings), Arc::new(announcer));
        let artifacts = storage.artifacts();
        let executor = ComfyExecutor {
            pool: Arc::clone(&pool),
            hub: hub.clone(),
            updates: updates.clone(),
            artifacts: artifacts.clone(),
        };
        tokio::spawn(forget_old(storage.clone(), settings.job_retention(), stopping.clone()));
        let workers = tokio::spawn({
            let (queue, stop) = (queue.clone(), stopping.clone());
            async move { queue.run(Arc::new(executor), stop).await }
        });
        let app = Self {
            catalog: Arc::new(catalog::Live::load(&settings.workflows_dir)),
            authenticator: Authenticator::new(storage.keys()),
            limiter: RateLimiter::new(),
            own_tools: OwnTools::default(),
            planning: Arc::new(Semaphore::new(MAX_PLANNING)),
            listening: OnceLock::new(),
            settings,
            queue,
            hub,
            updates,
            pool,
            artifacts,
            storage,
            stopping,
        };
        let app = Arc::new(app);
        tokio::spawn(app.updates.clone().run(Arc::clone(&app)));
        tokio::spawn(catalog::watch::run(Arc::clone(&app.catalog), app.stopping.clone()));
        Ok(Running { app, workers, sandbox })
    }

    /// Makes a plan from what is installed. When it fails for a name or a file that isn't there, the list may be old:
    /// ComfyUI is asked once more before the error is told.
    pub async fn planned<T: Send + 'static>(
        &self,
        plan: impl Fn(&ObjectInfo) -> Result<T, ServerError> + Send + Sync + 'static,
    ) -> Result<T, ServerError> {
        let plan = Arc::new(plan);
        let installed = self.pool.installed().await?;
        let first = Arc::clone(&plan);
        match self.off_runtime(move || first(&installed.info)).await? {
            Err(error) if error.may_be_stale() => {
                let installed = self.pool.installed_now().await?;
                self.off_runtime(move || plan(&installed.info)).await?
            }
            planned => planned,
        }
    }

    /// Does what takes a core for a while beside the runtime, and little of it at once. A caller that leaves doesn't
    /// end the work, so its place stays taken.
    pub async fn off_runtime<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ServerError> {
        let place = Arc::clone(&self.planning).acquire_owned().await.map_err(ServerError::internal)?;
        let done = tokio::task::spawn_blocking(move || {
            let _place = place;
            work()
        });
        done.await.map_err(ServerError::internal)
    }

    /// How long a call waits for its job when it doesn't say.
    pub fn default_wait(&self) -> Duration {
        Duration::from_secs(self.settings.wait_seconds)
    }

    /// How long `cancel_job` waits for the end of a running job.
    pub fn cancel_wait(&self) -> Duration {
        CANCEL_WAIT
    }

    /// Where this server is reached over HTTP, without a slash at the end; none on stdio.
    pub fn base_url(&self) -> Option<String> {
        match &self.settings.public_url {
            Some(url) => Some(url.as_str().trim_end_matches('/').to_owned()),
            None => self.listening.get().cloned(),
        }
    }

    /// Tells the address once it is known.
    pub fn listens_on(&self, base_url: String) {
        let _ = self.listening.set(base_url);
    }
}

impl Running {
    /// Returns when the workers have ended, which they should only do after a stop.
    pub async fn workers_ended(&mut self) {
        if let Err(error) = (&mut self.workers).await {
            tracing::error!(%error, "the workers ended badly");
        }
    }

    /// Stops the workers; running prompts go on in ComfyUI and are found again at the next start.
    pub async fn stop(mut self) {
        self.app.stopping.cancel();
        if !self.workers.is_finished() {
            self.workers_ended().await;
        }
        if let Some(sandbox) = self.sandbox {
            sandbox.shutdown().await;
        }
        if let Err(error) = self.app.storage.close().await {
            tracing::warn!(
                error = format!("{:#}", anyhow::Error::from(error)),
                "the database was not closed well"
            );
        }
    }
}

/// Opens the database and the folder of pictures.
pub async fn open_storage(settings: &Settings, sharing: Sharing) -> anyhow::Result<Storage> {
    let config = StorageConfig {
        db_url: settings.database().to_string_lossy().into_owned(),
        artifacts_dir: settings.artifacts_dir(),
        max_artifact_bytes: 1 << 30,
        lock: match sharing {
            Sharing::Exclusive => LockMode::Exclusive,
            Sharing::Shared => LockMode::Shared,
        },
    };
    Ok(Storage::open(&config).await?)
}

/// Deletes artifacts that are older than the jobs that are kept; the queue does so with its jobs.
async fn forget_old(storage: Storage, retention: Duration, stop: CancellationToken) {
    let mut hourly = tokio::time::interval(Duration::from_hours(1));
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = hourly.tick() => {}
        }
        let Ok(before) = jiff::Timestamp::now().checked_sub(retention) else { return };
        match prune(&storage, before).await {
            Ok(0) => {}
            Ok(artifacts) => tracing::info!(artifacts, "old pictures are deleted"),
            Err(error) => tracing::warn!(error = format!("{error:#}"), "old pictures can't be deleted"),
        }
    }
}

/// A picture that a waiting job loads stays, however old it is.
async fn prune(storage: &Storage, mut before: jiff::Timestamp) -> anyhow::Result<u64> {
    let states = vec![JobState::Queued, JobState::Running];
    let unfinished = JobFilter { owner: None, states, limit: MAX_UNFINISHED, before: None };
    if let Some(oldest) = storage.jobs().summaries(&unfinished).await?.last() {
        // Its inputs were stored just before it.
        before = before.min(oldest.created_at.checked_sub(Duration::from_hours(24))?);
    }
    let mut deleted = 0;
    loop {
        let now = storage.artifacts().prune(before, PRUNED_AT_ONCE).await?;
        deleted += now;
        if now < PRUNED_AT_ONCE {
            return Ok(deleted);
        }
    }
}

async fn start_sandbox(settings: &Settings) -> anyhow::Result<Option<Sandbox>> {
    if !settings.sandbox {
        return Ok(None);
    }
    let config = SandboxConfig {
        sampling_time: Duration::from_secs_f64(settings.sandbox_sampling_seconds),
        ..SandboxConfig::default()
    };
    let sandbox = Sandbox::start(config).await.context("the sandbox can't be started")?;
    tracing::warn!(
        url = %sandbox.url(),
        "this is the sandbox: pictures are painted stand-ins, no model runs; start without `sandbox` for real ones"
    );
    Ok(Some(sandbox))
}

fn comfy(settings: &Settings, sandbox: Option<&Sandbox>) -> anyhow::Result<ComfyClient> {
    let mut config = match sandbox {
        Some(sandbox) => ComfyConfig::new(sandbox.url()),
        None => ComfyConfig::new(settings.comfyui_url.clone()),
    };
    if sandbox.is_none() {
        config.ws_url.clone_from(&settings.comfyui_ws_url);
        config.auth = settings.comfyui_token.clone().map(ComfyAuth::Bearer);
        config.headers = settings.comfyui_headers.clone().into_iter().collect();
    }
    ComfyClient::new(&config).context("comfyui_url can't be used")
}

/// The URL without a name and a password in it.
pub fn display_url(url: &str) -> String {
    let Ok(mut url) = Url::parse(url) else { return String::new() };
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.as_str().trim_end_matches('/').to_owned()
}

fn queue_config(settings: &Settings) -> QueueConfig {
    QueueConfig {
        max_concurrent_jobs: settings.max_concurrent_jobs,
        max_queued: settings.max_queued_jobs,
        max_queued_per_owner: settings.max_queued_jobs_per_client,
        max_payload_bytes: 16 << 20,
        retention: settings.job_retention(),
        grace: STOP_GRACE,
        ..QueueConfig::default()
    }
}

/// Carries changes of state to those who wait, and to those who subscribe.
struct Announcer {
    hub: Hub,
    updates: Updates,
}

impl Observer for Announcer {
    fn job_changed(&self, job: &Job) {
        let message =
            job.error.as_ref().filter(|_| job.state == JobState::Failed).map(|error| error.message.clone());
        let change = StateChange { state: job.state.as_str().to_owned(), message };
        self.hub.publish(job.id.as_str(), Event::State(change));
        if job.state.is_terminal() {
            self.hub.close(job.id.as_str());
        }
        self.updates.changed(&job.id);
        tracing::info!(
            job.id = %job.id, job.state = job.state.as_str(), job.tool = %job.kind, job.attempt = job.attempt,
            error.code = job.error.as_ref().map(|error| error.code.as_str()),
            "job changed"
        );
    }
}
