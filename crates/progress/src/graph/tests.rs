use std::collections::HashMap;

use proptest::prelude::*;

use super::GraphProgress;

#[derive(Clone, Debug)]
enum Op {
    Cached(Vec<&'static str>),
    Started(&'static str),
    Progress(&'static str, f64, f64),
    Finished(&'static str),
}
use Op::{Cached, Finished, Progress, Started};

fn apply(graph: &mut GraphProgress, op: &Op) -> Option<f64> {
    match op {
        Cached(nodes) => graph.cached(&nodes.iter().map(|node| (*node).to_owned()).collect::<Vec<_>>()),
        Started(node) => graph.node_started(node),
        Progress(node, value, max) => graph.node_progress(node, *value, *max),
        Finished(node) => graph.node_finished(node),
    }
}

fn graph(weights: &[(&str, f64)]) -> GraphProgress {
    GraphProgress::new(weights.iter().map(|(id, weight)| ((*id).to_owned(), *weight)).collect())
}

fn check(weights: &[(&str, f64)], steps: &[(Op, Option<f64>)]) {
    let mut graph = graph(weights);
    for (number, (op, expect)) in steps.iter().enumerate() {
        let got = apply(&mut graph, op);
        let same = match (got, expect) {
            (Some(got), Some(expect)) => (got - expect).abs() < 1e-9,
            (got, expect) => got.is_none() && expect.is_none(),
        };
        assert!(same, "step {number}, {op:?}: got {got:?}, expected {expect:?}");
    }
    assert!((graph.finished() - 1.0).abs() < f64::EPSILON);
    for (op, _) in steps {
        assert_eq!(apply(&mut graph, op), None, "{op:?} after the end");
    }
}

#[test]
fn nodes_count_with_their_weight() {
    check(
        &[("load", 1.0), ("sample", 8.0), ("save", 1.0)],
        &[
            (Cached(vec![]), None),
            (Started("load"), None),
            (Started("sample"), Some(0.1)),
            (Progress("sample", 1.0, 4.0), Some(0.3)),
            (Progress("sample", 4.0, 4.0), Some(0.9)),
            (Started("save"), None),
            (Finished("save"), Some(0.999)),
        ],
    );
}

#[test]
fn cached_nodes_leave_the_whole_to_the_others() {
    check(
        &[("load", 6.0), ("sample", 3.0), ("save", 1.0)],
        &[
            (Cached(vec!["load", "nobody knows it"]), None),
            (Started("sample"), None),
            (Finished("sample"), Some(0.75)),
            // It runs after all, which makes the whole larger; what was shown stays.
            (Started("load"), None),
            (Finished("load"), Some(0.9)),
        ],
    );
    check(&[("a", 1.0)], &[(Cached(vec!["a"]), Some(0.999)), (Finished("a"), None)]);
}

#[test]
fn repeated_and_backward_events_change_nothing() {
    check(
        &[("a", 1.0), ("b", 1.0)],
        &[
            (Progress("a", 3.0, 4.0), Some(0.375)),
            (Progress("a", 3.0, 4.0), None),
            (Progress("a", 1.0, 4.0), None),
            (Finished("a"), Some(0.5)),
            (Finished("a"), None),
            (Started("a"), None),
            (Progress("a", 0.0, 4.0), None),
        ],
    );
}

#[test]
fn numbers_without_sense_are_ignored() {
    let ops = [
        (f64::NAN, 4.0),
        (1.0, f64::NAN),
        (1.0, 0.0),
        (0.0, 0.0),
        (1.0, -4.0),
        (-1.0, 4.0),
        (1.0, f64::INFINITY),
        (f64::INFINITY, f64::INFINITY),
        (f64::NEG_INFINITY, 4.0),
    ];
    for (value, max) in ops {
        check(&[("a", 1.0), ("b", 1.0)], &[(Progress("a", value, max), None), (Finished("a"), Some(0.5))]);
    }
    // More steps than there are is a node that is done.
    check(&[("a", 1.0), ("b", 1.0)], &[(Progress("a", 9.0, 4.0), Some(0.5))]);
}

#[test]
fn weights_without_sense_count_for_nothing() {
    let weights = [
        ("nan", f64::NAN),
        ("negative", -1.0),
        ("zero", 0.0),
        ("infinite", f64::INFINITY),
        ("a", 1.0),
        ("b", 3.0),
    ];
    check(
        &weights,
        &[
            (Finished("nan"), None),
            (Finished("negative"), None),
            (Finished("infinite"), None),
            (Finished("a"), Some(0.25)),
        ],
    );
    check(&[("a", f64::MAX), ("b", f64::MAX)], &[(Finished("a"), Some(0.5))]);
}

#[test]
fn without_weights_it_still_rises() {
    let mut graph = graph(&[]);
    let mut last = 0.0;
    for node in 0..50 {
        graph.node_started(&node.to_string());
        let now = graph.node_finished(&node.to_string()).expect("each node is a step on");
        assert!(now > last && now < 1.0);
        last = now;
    }
}

#[test]
fn nodes_without_a_weight_neither_help_nor_hurt() {
    check(
        &[("a", 1.0), ("b", 1.0)],
        &[
            (Started("a.0.1"), None),
            (Progress("a.0.1", 1.0, 1.0), None),
            (Started("a"), None),
            (Started("a.0.2"), Some(0.5)),
            (Finished("b"), Some(0.999)),
        ],
    );
}

const NODES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

fn any_number() -> impl Strategy<Value = f64> {
    prop_oneof![4 => 0.0..100.0, 1 => any::<f64>()]
}

fn any_op() -> impl Strategy<Value = Op> {
    let node = || proptest::sample::select(&NODES[..]);
    prop_oneof![
        1 => proptest::collection::vec(node(), 0..3).prop_map(Cached),
        3 => node().prop_map(Started),
        5 => (node(), any_number(), any_number()).prop_map(|(node, value, max)| Progress(node, value, max)),
        3 => node().prop_map(Finished),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_fraction_is_above_the_one_before_and_below_one(
        weights in proptest::collection::hash_map(proptest::sample::select(&NODES[..4]), any_number(), 0..4),
        ops in proptest::collection::vec(any_op(), 0..60),
    ) {
        let weights: HashMap<String, f64> = weights.into_iter().map(|(id, weight)| (id.to_owned(), weight)).collect();
        let mut graph = GraphProgress::new(weights);
        let mut last = 0.0;
        for op in &ops {
            if let Some(fraction) = apply(&mut graph, op) {
                prop_assert!(fraction > last && fraction < 1.0, "{op:?}: {fraction} after {last}");
                last = fraction;
            }
        }
        prop_assert!((graph.finished() - 1.0).abs() < f64::EPSILON);
    }
}
