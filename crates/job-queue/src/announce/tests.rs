use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use serde_json::json;
use tokio::time::{Duration, timeout};

use super::{Announcer, REMEMBERED};
use crate::execution::{NoObserver, Observer};
use crate::memory::MemoryStore;
use crate::model::{Job, JobState, NewJob};
use crate::store::JobStore;

#[derive(Default)]
struct States(Mutex<Vec<(u64, JobState, bool)>>);

impl Observer for States {
    fn job_changed(&self, job: &Job) {
        self.0.lock().unwrap().push((job.fence, job.state, job.cancel_requested));
    }
}

async fn job() -> Job {
    let new = NewJob::new("owner", "test", json!(null));
    MemoryStore::new().enqueue(new, Timestamp::UNIX_EPOCH).await.unwrap().into_job()
}

#[tokio::test]
async fn a_change_that_was_overtaken_is_left_out() {
    use JobState::{Cancelled, Queued, Running};
    let job = job().await;
    for (told, expect) in [
        (
            vec![(0, Queued, false), (1, Running, false), (1, Running, true), (1, Cancelled, true)],
            vec![0, 1, 2, 3],
        ),
        // The claim's word came before the submission's, and the cancel's after the end.
        (vec![(1, Running, false), (0, Queued, false), (1, Cancelled, true), (1, Running, true)], vec![0, 2]),
        // Taken back and claimed anew, while the word of the first was under way.
        (vec![(0, Queued, false), (2, Running, false), (1, Running, false), (1, Queued, false)], vec![0, 1]),
        (vec![(1, Cancelled, false), (1, Cancelled, false)], vec![0]),
    ] {
        let states = Arc::new(States::default());
        let announcer = Announcer::new(states.clone());
        for (fence, state, cancel_requested) in &told {
            announcer.announce(&Job {
                fence: *fence,
                state: *state,
                cancel_requested: *cancel_requested,
                ..job.clone()
            });
        }
        let expect: Vec<_> = expect.into_iter().map(|index: usize| told[index]).collect();
        assert_eq!(*states.0.lock().unwrap(), expect);
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_hears_of_the_end_alone_and_leaves_nothing_behind() {
    let announcer = Arc::new(Announcer::new(Arc::new(NoObserver)));
    let job = job().await;
    let (mut early, mut other) = (announcer.watch(&job.id), announcer.watch(&job.id));
    let running = Job { state: JobState::Running, fence: 1, ..job.clone() };
    announcer.announce(&running);
    assert!(timeout(Duration::from_secs(1), early.end()).await.is_err());
    let ended = Job { state: JobState::Failed, ..running };
    announcer.announce(&ended);
    announcer.announce(&Job { state: JobState::Running, cancel_requested: true, ..ended.clone() });
    assert_eq!(early.end().await, ended);
    assert_eq!(early.end().await, ended);
    assert_eq!(other.end().await, ended);
    drop(early);
    assert_eq!(announcer.waiting(), 1);
    drop(other);
    assert_eq!(announcer.waiting(), 0);
}

#[tokio::test]
async fn what_is_remembered_is_bounded() {
    let announcer = Announcer::new(Arc::new(NoObserver));
    let job = job().await;
    for _ in 0..REMEMBERED + 100 {
        announcer.announce(&Job { id: crate::model::JobId::new(), ..job.clone() });
    }
    let known = announcer.lock();
    assert_eq!((known.latest.len(), known.remembered.len()), (REMEMBERED, REMEMBERED));
}
