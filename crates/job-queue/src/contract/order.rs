//! Cases of which job is next.

use std::future::Future;

use super::{Store, add, at, claim, claim_name, error, name, new, try_claim, with_priority};
use crate::model::{JobId, NewJob, Outcome};

pub(super) async fn run<F: Fn() -> M, M: Future<Output = Store>>(make: &F) {
    the_higher_priority_first_then_the_older(make().await).await;
    for (arrives, expect) in [(119, "high low"), (120, "high low"), (179, "high low"), (180, "low high")] {
        waiting_raises_the_priority(make().await, arrives, expect).await;
    }
    the_jobs_of_a_priority_age_together(make().await).await;
    the_owner_with_the_fewest_running_first(make().await).await;
    owners_take_turns(make().await).await;
    a_priority_counts_more_than_a_turn(make().await).await;
    a_job_waits_for_its_time(make().await).await;
    a_retried_job_is_young_again(make().await).await;
    past_its_deadline_a_job_is_not_started(make().await).await;
    positions_are_by_priority_and_turn(make().await).await;
}

/// Claims until there is nothing more.
async fn claim_all(store: &Store, seconds: i64) -> String {
    let mut names = Vec::new();
    while let Some((job, _)) = try_claim(store, seconds).await {
        names.push(name(&job));
    }
    names.join(" ")
}

async fn the_higher_priority_first_then_the_older(store: Store) {
    for (name, priority) in [("a", 0), ("b", -100), ("c", 5), ("d", 0), ("e", 100), ("f", 5), ("g", -100)] {
        add(&store, name, with_priority("a", priority), 0).await;
    }
    assert_eq!(claim_all(&store, 59).await, "e c f a d b g");
}

async fn waiting_raises_the_priority(store: Store, arrives: i64, expect: &str) {
    add(&store, "low", with_priority("a", 0), 0).await;
    add(&store, "high", with_priority("a", 2), arrives).await;
    assert_eq!(claim_all(&store, arrives).await, expect, "the high one arrives after {arrives} s");
}

/// So that who sent many jobs early doesn't keep others of the same priority waiting.
async fn the_jobs_of_a_priority_age_together(store: Store) {
    for name in ["a1", "a2", "a3"] {
        add(&store, name, new("a"), 0).await;
    }
    add(&store, "b1", new("b"), 600).await;
    assert_eq!(claim_all(&store, 600).await, "a1 b1 a2 a3");
}

async fn the_owner_with_the_fewest_running_first(store: Store) {
    for (name, owner) in [("a1", "a"), ("a2", "a"), ("a3", "a"), ("b1", "b"), ("b2", "b"), ("c1", "c")] {
        add(&store, name, new(owner), 0).await;
    }
    assert_eq!(claim_name(&store, 1).await, "a1");
    assert_eq!(claim_name(&store, 2).await, "b1");
    let (c1, lease) = claim(&store, 3).await;
    assert_eq!(name(&c1), "c1");
    store.complete(&lease, Outcome::Failed(error("broken")), at(4)).await.expect("complete");
    add(&store, "c2", new("c"), 5).await;
    assert_eq!(claim_name(&store, 6).await, "c2", "nothing of c runs");
    assert_eq!(claim_all(&store, 7).await, "a2 b2 a3");
}

/// With one worker nothing ever runs when it claims, and still everybody has a turn.
async fn owners_take_turns(store: Store) {
    for (name, owner) in [("a1", "a"), ("a2", "a"), ("a3", "a"), ("b1", "b"), ("b2", "b"), ("c1", "c")] {
        add(&store, name, new(owner), 0).await;
    }
    let mut names = Vec::new();
    for seconds in 1..=6 {
        let (job, lease) = claim(&store, seconds).await;
        names.push(name(&job));
        store.complete(&lease, Outcome::Cancelled, at(seconds)).await.expect("complete");
    }
    assert_eq!(names.join(" "), "a1 b1 c1 a2 b2 a3");
}

async fn a_priority_counts_more_than_a_turn(store: Store) {
    add(&store, "b1", with_priority("b", 9), 0).await;
    add(&store, "a1", with_priority("a", 10), 0).await;
    add(&store, "a2", with_priority("a", 10), 0).await;
    assert_eq!(claim_all(&store, 1).await, "a1 a2 b1");
}

async fn a_job_waits_for_its_time(store: Store) {
    add(&store, "later", new("a"), 0).await;
    let (_, lease) = claim(&store, 1).await;
    let retry = Outcome::Retry { error: error("busy"), run_after: at(30) };
    store.complete(&lease, retry, at(2)).await.expect("complete");
    add(&store, "other", new("a"), 3).await;

    assert_eq!(store.next_run_after(at(3)).await.expect("next"), Some(at(30)));
    assert_eq!(claim_name(&store, 29).await, "other");
    assert_eq!(claim_name(&store, 29).await, "-");
    assert_eq!(store.next_run_after(at(30)).await.expect("next"), None);
    assert_eq!(claim_name(&store, 30).await, "later");
    assert_eq!(store.next_run_after(at(3)).await.expect("next"), None, "it isn't queued any more");
}

async fn a_retried_job_is_young_again(store: Store) {
    add(&store, "low", with_priority("a", 0), 0).await;
    let (_, lease) = claim(&store, 0).await;
    let retry = Outcome::Retry { error: error("busy"), run_after: at(600) };
    store.complete(&lease, retry, at(1)).await.expect("complete");
    add(&store, "high", with_priority("a", 1), 600).await;
    assert_eq!(claim_all(&store, 601).await, "high low", "it waits since it might run");
}

async fn past_its_deadline_a_job_is_not_started(store: Store) {
    let job = NewJob { deadline: Some(at(10)), ..with_priority("a", 100) };
    add(&store, "due", job.clone(), 0).await;
    add(&store, "due too", job, 0).await;
    add(&store, "other", new("a"), 0).await;
    assert_eq!(claim_name(&store, 9).await, "due");
    assert_eq!(claim_all(&store, 10).await, "other");
}

async fn positions_are_by_priority_and_turn(store: Store) {
    let mut ids: Vec<(&str, JobId)> = Vec::new();
    for (name, owner, priority) in [
        ("a1", "a", 0),
        ("a2", "a", 0),
        ("b1", "b", 0),
        ("a-low", "a", -1),
        ("c-high", "c", 1),
        ("a3", "a", 0),
        ("b2", "b", 0),
    ] {
        ids.push((name, add(&store, name, with_priority(owner, priority), 0).await.id));
    }
    let order = |store: Store, ids: Vec<(&'static str, JobId)>| async move {
        let mut order = Vec::new();
        for (name, id) in ids {
            order.extend(store.position(&id).await.expect("position").map(|position| (position, name)));
        }
        order.sort_unstable();
        let numbers: Vec<u64> = order.iter().map(|(position, _)| *position).collect();
        assert_eq!(numbers, (0..numbers.len() as u64).collect::<Vec<_>>(), "each position once");
        order.iter().map(|(_, name)| *name).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(order(store.clone(), ids.clone()).await, "c-high a1 b1 a2 b2 a3 a-low");
    claim(&store, 1).await;
    store.request_cancel(&ids[0].1, at(2)).await.expect("cancel");
    assert_eq!(order(store.clone(), ids.clone()).await, "a2 b1 a3 b2 a-low", "those that are queued");
}
