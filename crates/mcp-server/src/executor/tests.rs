//! Jobs on a sandbox: cancels, faults of ComfyUI, and what is told of them.

mod trouble;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use comfy_client::{ComfyClient, ComfyConfig, FollowConfig, RunOutcome, Standing};
use comfy_sandbox::{Sandbox, SandboxConfig};
use jiff::{SignedDuration, Timestamp};
use job_queue::{Backoff, Job, JobId, JobState, JobStore, MemoryStore, NewJob, Observer, Queue, QueueConfig};
use progress::{Event, Hub, HubConfig, Progress, Subscription};
use serde_json::{Value, json};
use storage::{Storage, StorageConfig};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::begin::Checkpoint;
use super::{ComfyExecutor, Finished};
use crate::backend::Pool;
use crate::updates::Updates;

/// No test waits longer.
const LONG: Duration = Duration::from_mins(1);

/// A queue whose worker runs jobs on a sandbox.
struct Bench {
    sandbox: Sandbox,
    comfy: ComfyClient,
    store: Arc<MemoryStore>,
    queue: Queue,
    hub: Hub,
    executor: Arc<ComfyExecutor>,
    worker: Option<(JoinHandle<()>, CancellationToken)>,
    stop_on_cancel: Arc<Mutex<Option<CancellationToken>>>,
    _data: TempDir,
    _pool: tokio_util::sync::DropGuard,
}

/// Stops the worker at the very moment of a cancel, if it is told to.
struct Stops(Arc<Mutex<Option<CancellationToken>>>);

impl Observer for Stops {
    fn job_changed(&self, job: &Job) {
        if job.state == JobState::Running
            && job.cancel_requested
            && let Some(stop) = self.0.lock().unwrap().take()
        {
            stop.cancel();
        }
    }
}

impl Bench {
    /// A sampler takes so long.
    async fn new(sampling: Duration) -> Bench {
        Bench::with_limit(sampling, StorageConfig::DEFAULT_MAX_ARTIFACT_BYTES).await
    }

    async fn with_limit(sampling: Duration, max_artifact_bytes: u64) -> Bench {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let config = SandboxConfig { sampling_time: sampling, ..SandboxConfig::default() };
        let sandbox = Sandbox::start(config).await.unwrap();
        let mut config = ComfyConfig::new(sandbox.url());
        config.follow = FollowConfig {
            outage_grace: Duration::from_millis(300),
            stall_grace: Duration::from_millis(300),
            ..FollowConfig::default()
        };
        let comfy = ComfyClient::new(&config).unwrap();
        let watching = CancellationToken::new();
        let pool = Pool::start(vec![("sandbox".into(), comfy.clone())], &watching);
        let data = tempfile::tempdir().unwrap();
        let config = StorageConfig { max_artifact_bytes, ..StorageConfig::in_folder(data.path()) };
        let artifacts = Storage::open(&config).await.unwrap().artifacts();
        let hub = Hub::new(HubConfig::default());
        let executor = ComfyExecutor { pool, hub: hub.clone(), updates: Updates::default(), artifacts };
        let store = Arc::new(MemoryStore::new());
        let stop_on_cancel = Arc::new(Mutex::new(None));
        let soon = Duration::from_millis(10);
        let config =
            QueueConfig { retry_backoff: Backoff { initial: soon, max: soon }, ..QueueConfig::default() };
        let queue = Queue::new(store.clone(), config, Arc::new(Stops(stop_on_cancel.clone())));
        let mut bench = Bench {
            sandbox,
            comfy,
            store,
            queue,
            hub,
            executor: Arc::new(executor),
            worker: None,
            stop_on_cancel,
            _data: data,
            _pool: watching.drop_guard(),
        };
        bench.start();
        bench
    }

    fn start(&mut self) {
        let (queue, executor, stop) = (self.queue.clone(), self.executor.clone(), CancellationToken::new());
        let stopped = stop.clone();
        self.worker = Some((tokio::spawn(async move { queue.run(executor, stopped).await }), stop));
    }

    async fn stop(&mut self) {
        let (worker, stop) = self.worker.take().unwrap();
        stop.cancel();
        timeout(LONG, worker).await.expect("the worker stops").unwrap();
    }

    async fn submit(&self, graph: Value) -> JobId {
        let weights = json!({"sampler": 10.0, "decode": 1.0, "save": 1.0});
        let plan = json!({"tool": "generate_image", "workflow": "test", "graph": graph, "uploads": [],
            "weights": weights});
        let job = NewJob::new("owner", "generate_image", plan);
        self.queue.submit(job).await.unwrap().into_job().id
    }

    async fn get(&self, id: &JobId) -> Job {
        self.queue.get(id).await.unwrap().unwrap()
    }

    async fn end(&self, id: &JobId) -> Job {
        let job = self.queue.wait(id, Instant::now() + LONG).await.unwrap().unwrap();
        assert!(job.state.is_terminal(), "{job:?} never ends");
        job
    }

    /// Returns in the middle of the job's sampling.
    async fn samples(&self, id: &JobId) {
        let mut events = self.hub.subscribe(id.as_str(), None);
        while progress(&mut events).await.step.is_none() {}
    }

    async fn standing(&self, job: &Job) -> Standing {
        let checkpoint: Checkpoint = serde_json::from_value(job.checkpoint.clone().unwrap()).unwrap();
        self.comfy.standing(&checkpoint.prompt_id).await.unwrap()
    }

    /// How the prompt of the job ended.
    async fn outcome(&self, job: &Job) -> RunOutcome {
        match self.standing(job).await {
            Standing::Finished(entry) => entry.outcome(),
            other => panic!("the prompt has not ended: {other:?}"),
        }
    }
}

async fn progress(events: &mut Subscription) -> Progress {
    loop {
        let event =
            timeout(LONG, events.next()).await.expect("something happens").expect("the stream is open");
        if let Event::Progress(progress) = event.event {
            return progress;
        }
    }
}

fn graph() -> Value {
    let sampler = json!({"model": ["model", 0], "positive": ["prompt", 0], "negative": ["prompt", 0],
        "latent_image": ["latent", 0], "seed": 7, "steps": 20, "cfg": 5.0, "sampler_name": "euler",
        "scheduler": "normal", "denoise": 1.0});
    json!({
        "model": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "sandbox-sd15.safetensors"}},
        "prompt": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["model", 1], "text": "a fox"}},
        "latent": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}},
        "sampler": {"class_type": "KSampler", "inputs": sampler},
        "decode": {"class_type": "VAEDecode", "inputs": {"samples": ["sampler", 0], "vae": ["model", 2]}},
        "save": {"class_type": "SaveImage", "inputs": {"images": ["decode", 0], "filename_prefix": "test"}},
    })
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn finished(job: &Job) -> Finished {
    assert_eq!(job.state, JobState::Succeeded, "{:?}", job.error);
    serde_json::from_value(job.result.clone().unwrap()).unwrap()
}

#[tokio::test]
async fn a_cancel_goes_before_a_stop() {
    let mut bench = Bench::new(seconds(30)).await;
    let id = bench.submit(graph()).await;
    bench.samples(&id).await;
    let (worker, stop) = bench.worker.take().unwrap();
    *bench.stop_on_cancel.lock().unwrap() = Some(stop);
    bench.queue.cancel(&id).await.unwrap();
    timeout(LONG, worker).await.expect("it stops").unwrap();
    let job = bench.get(&id).await;
    assert_eq!(job.state, JobState::Cancelled);
    assert_eq!(bench.outcome(&job).await, RunOutcome::Interrupted, "it doesn't run on in ComfyUI");
}

#[tokio::test]
async fn a_job_cancelled_between_its_attempts_ends_in_comfyui_too() {
    let mut bench = Bench::new(seconds(30)).await;
    let id = bench.submit(graph()).await;
    bench.samples(&id).await;
    bench.stop().await;
    let job = bench.get(&id).await;
    assert!(matches!(bench.standing(&job).await, Standing::Running(_)), "a stop leaves it running");
    let job = bench.queue.cancel(&id).await.unwrap().unwrap();
    assert_eq!((job.state, job.cancel_requested), (JobState::Queued, true));
    bench.start();
    let job = bench.end(&id).await;
    assert_eq!(job.state, JobState::Cancelled);
    assert_eq!(bench.outcome(&job).await, RunOutcome::Interrupted);
}

#[tokio::test]
async fn a_lost_lease_leaves_the_prompt_to_the_next_attempt() {
    let bench = Bench::new(seconds(2)).await;
    let id = bench.submit(graph()).await;
    bench.samples(&id).await;
    let prompt = bench.get(&id).await.checkpoint;
    // What another server does whose clock is far ahead.
    let later = Timestamp::now() + SignedDuration::from_hours(1);
    assert_eq!(bench.store.reap_expired(later).await.unwrap().len(), 1);
    let job = bench.end(&id).await;
    assert_eq!((finished(&job).artifacts.len(), job.attempt), (1, 2));
    assert_eq!(job.checkpoint, prompt, "it was not submitted again");
}

#[tokio::test]
async fn progress_rises_to_the_end_over_all_attempts() {
    let mut bench = Bench::new(seconds(1)).await;
    let id = bench.submit(graph()).await;
    let mut events = bench.hub.subscribe(id.as_str(), None);
    let mut last = 0.0;
    let mut is_stopped = false;
    while last < 1.0 {
        let progress = progress(&mut events).await;
        assert!(progress.fraction >= last, "{progress:?} after {last}");
        last = progress.fraction;
        if last > 0.3 && !is_stopped {
            is_stopped = true;
            bench.stop().await;
            bench.start();
        }
    }
    assert!(is_stopped);
    assert_eq!(bench.end(&id).await.state, JobState::Succeeded);
}

#[tokio::test]
async fn what_comfyui_leaves_out_is_told() {
    let bench = Bench::new(Duration::ZERO).await;
    let mut graph = graph();
    graph["bad"] = json!({"class_type": "SaveImage", "inputs": {"filename_prefix": "no picture"}});
    let id = bench.submit(graph).await;
    let finished = finished(&bench.end(&id).await);
    assert_eq!((finished.artifacts.len(), finished.warnings.len()), (1, 1));
    let warning = &finished.warnings[0];
    assert!(warning.contains("node bad (SaveImage)") && warning.contains("images"), "{warning}");
}
