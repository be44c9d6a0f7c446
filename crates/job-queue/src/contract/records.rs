//! Cases of what is kept, found, listed, counted and deleted.

use std::future::Future;
use std::sync::Arc;

use serde_json::json;

use super::{Store, add, at, claim, get, name, new, result, with_priority};
use crate::model::{
    Counts, Enqueued, Job, JobFilter, JobId, JobState, JobSummary, NewJob, Outcome, Priority,
};

pub(super) async fn run<F: Fn() -> M, M: Future<Output = Store>>(make: &F) {
    a_job_is_kept_as_it_was_given(make().await).await;
    an_unknown_job_is_nowhere(make().await).await;
    a_key_finds_the_first_job_of_its_owner(make().await).await;
    a_key_makes_one_job_of_many_at_once(make().await).await;
    lists_are_filtered_and_paged(make().await).await;
    counts_are_per_state_and_owner(make().await).await;
    pruning_takes_what_ended_before(make().await).await;
}

async fn a_job_is_kept_as_it_was_given(store: Store) {
    let payload = json!({
        "text": "ü \u{0} \" \\ 🎨", "seed": u64::MAX, "low": i64::MIN, "half": 0.5, "nothing": null, "list": [[], {}],
        "z": 1, "a": 2,
    });
    let new = NewJob {
        owner: "an owner's 'name'".into(),
        kind: "image".into(),
        payload: payload.clone(),
        priority: Priority::MIN,
        idempotency_key: Some("key".into()),
        max_attempts: 7,
        deadline: Some(at(900)),
    };
    let enqueued = store.enqueue(new, at(0)).await.expect("enqueue");
    let Enqueued::Created(job) = enqueued else { panic!("{enqueued:?} should be new") };
    let expected = Job {
        id: job.id.clone(),
        owner: "an owner's 'name'".into(),
        kind: "image".into(),
        payload,
        priority: Priority::MIN,
        state: JobState::Queued,
        attempt: 0,
        max_attempts: 7,
        idempotency_key: Some("key".into()),
        created_at: at(0),
        run_after: at(0),
        started_at: None,
        finished_at: None,
        deadline: Some(at(900)),
        cancel_requested: false,
        checkpoint: None,
        result: None,
        error: None,
        lease_expires_at: None,
        fence: 0,
    };
    assert_eq!(job, expected);
    assert_eq!(get(&store, &job.id).await, expected);
}

async fn an_unknown_job_is_nowhere(store: Store) {
    let id = JobId::new();
    assert_eq!(store.get(&id).await.expect("get"), None);
    assert_eq!(store.request_cancel(&id, at(0)).await.expect("cancel"), None);
    assert_eq!(store.position(&id).await.expect("position"), None);
    assert_eq!(store.find("a", "key").await.expect("find"), None);
    assert_eq!(store.counts(None).await.expect("counts"), Counts::default());
    assert_eq!(store.next_run_after(at(0)).await.expect("next"), None);
    assert!(store.claim("worker", super::LEASE, at(0)).await.expect("claim").is_none());
}

async fn a_key_finds_the_first_job_of_its_owner(store: Store) {
    let keyed = |owner: &str| NewJob { idempotency_key: Some("key".into()), ..new(owner) };
    let first = add(&store, "first", keyed("a"), 0).await;
    add(&store, "of another owner", keyed("b"), 0).await;
    add(&store, "without a key", new("a"), 0).await;
    add(&store, "without a key again", new("a"), 0).await;

    let again = NewJob { payload: json!("again"), priority: Priority::MAX, ..keyed("a") };
    let found = store.enqueue(again.clone(), at(5)).await.expect("enqueue");
    assert_eq!(found, Enqueued::Existing(first.clone()), "it is given back unchanged");
    assert_eq!(store.find("a", "key").await.expect("find"), Some(first.clone()));
    assert_eq!(store.find("a", "other").await.expect("find"), None);
    assert_eq!(store.find("c", "key").await.expect("find"), None);
    assert_eq!(store.counts(None).await.expect("counts").queued, 4);

    let ended = store.request_cancel(&first.id, at(6)).await.expect("cancel").expect("it is there");
    let found = store.enqueue(again.clone(), at(7)).await.expect("enqueue");
    assert_eq!(found, Enqueued::Existing(ended), "also when it has ended");

    store.prune(at(100)).await.expect("prune");
    let fresh = store.enqueue(again, at(101)).await.expect("enqueue");
    assert!(matches!(fresh, Enqueued::Created(_)), "but not when it was deleted");
}

async fn a_key_makes_one_job_of_many_at_once(store: Store) {
    let tasks: Vec<_> = (0..16)
        .map(|_| {
            let store = Arc::clone(&store);
            let job = NewJob { idempotency_key: Some("key".into()), ..new("a") };
            tokio::spawn(async move { store.enqueue(job, at(0)).await.expect("enqueue") })
        })
        .collect();
    let mut created = 0;
    let mut ids = Vec::new();
    for task in tasks {
        let enqueued = task.await.expect("the task ends");
        created += usize::from(matches!(enqueued, Enqueued::Created(_)));
        ids.push(enqueued.into_job().id);
    }
    ids.dedup();
    assert_eq!((created, ids.len()), (1, 1), "one job was created, and everybody was given it");
}

async fn lists_are_filtered_and_paged(store: Store) {
    for (number, owner) in ["a", "b", "a", "a", "b", "a"].iter().enumerate() {
        add(&store, &format!("{owner}{number}"), new(owner), number as i64).await;
    }
    let (running, lease) = claim(&store, 10).await;
    assert_eq!(name(&running), "a0");
    claim(&store, 10).await;
    store.complete(&lease, Outcome::Succeeded(result()), at(11)).await.expect("complete");

    let filter = |owner: Option<&str>, states: &[JobState], limit| JobFilter {
        owner: owner.map(str::to_owned),
        states: states.to_vec(),
        limit,
        before: None,
    };
    for (filter, expect) in [
        (filter(None, &[], 100), "a5 b4 a3 a2 b1 a0"),
        (filter(None, &[], 2), "a5 b4"),
        (filter(None, &[], 0), ""),
        (filter(Some("b"), &[], 100), "b4 b1"),
        (filter(Some("nobody"), &[], 100), ""),
        (filter(None, &[JobState::Running, JobState::Succeeded], 100), "b1 a0"),
        (filter(None, &[JobState::Failed], 100), ""),
        (filter(Some("a"), &[JobState::Queued], 2), "a5 a3"),
    ] {
        let jobs = store.list(&filter).await.expect("list");
        assert_eq!(jobs.iter().map(name).collect::<Vec<_>>().join(" "), expect, "{filter:?}");
        let brief: Vec<_> = jobs.iter().map(JobSummary::from).collect();
        assert_eq!(store.summaries(&filter).await.expect("summaries"), brief, "{filter:?}");
    }

    let mut page = filter(Some("a"), &[], 3);
    let mut names = Vec::new();
    for _ in 0..3 {
        let jobs = store.list(&page).await.expect("list");
        page.before = jobs.last().map(|job| job.id.clone()).or(page.before);
        names.extend(jobs.iter().map(name));
    }
    assert_eq!(names, ["a5", "a3", "a2", "a0"], "the pages are the list");
}

async fn counts_are_per_state_and_owner(store: Store) {
    let ends: [Option<Outcome>; 4] = [
        Some(Outcome::Succeeded(result())),
        Some(Outcome::Failed(super::error("broken"))),
        Some(Outcome::Cancelled),
        None,
    ];
    for (number, end) in ends.into_iter().enumerate() {
        add(&store, "job", new("a"), number as i64).await;
        let (_, lease) = claim(&store, 10 + number as i64).await;
        if let Some(outcome) = end {
            store.complete(&lease, outcome, at(20)).await.expect("complete");
        }
    }
    add(&store, "job", new("a"), 5).await;
    add(&store, "job", with_priority("b", 5), 5).await;

    let a = Counts { queued: 1, running: 1, succeeded: 1, failed: 1, cancelled: 1 };
    for (owner, expect) in [
        (Some("a"), a),
        (Some("b"), Counts { queued: 1, ..Counts::default() }),
        (Some("c"), Counts::default()),
        (None, Counts { queued: 2, ..a }),
    ] {
        assert_eq!(store.counts(owner).await.expect("counts"), expect, "of {owner:?}");
    }
}

async fn pruning_takes_what_ended_before(store: Store) {
    for (number, finished) in [10, 20, 30].into_iter().enumerate() {
        add(&store, &finished.to_string(), new("a"), number as i64).await;
        let (_, lease) = claim(&store, 5).await;
        store.complete(&lease, Outcome::Succeeded(result()), at(finished)).await.expect("complete");
    }
    add(&store, "running", new("a"), 3).await;
    claim(&store, 5).await;
    add(&store, "queued", new("a"), 4).await;

    for (before, pruned, left) in
        [(10, 0, "queued running 30 20 10"), (20, 1, "queued running 30 20"), (1000, 2, "queued running")]
    {
        assert_eq!(store.prune(at(before)).await.expect("prune"), pruned, "before {before}");
        let filter = JobFilter { limit: 100, ..JobFilter::default() };
        let names: Vec<String> = store.list(&filter).await.expect("list").iter().map(name).collect();
        assert_eq!(names.join(" "), left);
    }
}
