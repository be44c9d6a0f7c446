//! The worker: takes one prompt after another from the queue and runs it.

mod cache;
mod progress;
mod run;
mod schedule;

use std::sync::{Arc, atomic::Ordering};

use serde_json::json;
use tokio::sync::watch;

use self::{cache::Cache, run::Run};
use crate::{
    events::{self, Target},
    queue::{Prompt, Signal, history_entry},
    state::State,
};

/// Runs prompts until the sandbox stops.
pub(crate) async fn work(state: Arc<State>) {
    let mut cache = Cache::default();
    let stop = state.stop.clone();
    stop.run_until_cancelled(async {
        loop {
            let (prompt, signal) = next(&state, &mut cache).await;
            state.send_status().await;
            run(&state, &prompt, signal, &mut cache).await;
        }
    })
    .await;
}

/// Waits for a prompt; empties the cache meanwhile, if it is to be emptied.
async fn next(state: &State, cache: &mut Cache) -> (Arc<Prompt>, watch::Receiver<Signal>) {
    loop {
        let work = state.work.notified();
        if state.free_memory.swap(false, Ordering::Relaxed) {
            *cache = Cache::default();
        }
        if let Some(next) = state.queue().start_next() {
            return next;
        }
        work.await;
    }
}

async fn run(state: &Arc<State>, prompt: &Arc<Prompt>, signal: watch::Receiver<Signal>, cache: &mut Cache) {
    tracing::info!(prompt.id = %prompt.id, "prompt started");
    let mut run = Run::new(state.clone(), prompt.clone(), signal);
    let outcome = run.execute(cache).await;
    *state.current() = None;
    let entry = history_entry(prompt, run.outputs(), outcome.status_str(), run.messages());
    if !state.queue().finish(prompt, entry) {
        return;
    }
    tracing::info!(prompt.id = %prompt.id, status = outcome.status_str(), "prompt ended");
    state.send_status().await;
    if let Some(client_id) = prompt.client_id() {
        let ended = events::event("executing", &json!({"node": null, "prompt_id": prompt.id}));
        state.hub.send(Target::Client(client_id.to_owned()), ended).await;
    }
}
