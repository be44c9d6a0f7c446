//! Files that nobody's editor writes: an error or a result, in bounded time and memory.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::subgraphs::{definition, with_definitions};
use super::{alone, check_inputs, converted, file, info};
use crate::{ConvertError, MAX_NODES, convert};

/// Generous: a debug build on a busy machine. What these tests guard against takes minutes, or never ends.
const LIMIT: Duration = Duration::from_mins(1);

/// A chain of definitions, each with `width` of the next in it.
fn nested(depth: usize, width: usize) -> Value {
    let name = |level: usize| format!("level{level}");
    let definitions: Vec<_> = (0..depth)
        .map(|level| {
            let class = if level + 1 < depth { name(level + 1) } else { "Load".to_owned() };
            let nodes: Value = (0..width).map(|id| json!({ "id": id, "type": class })).collect();
            definition(&name(level), &json!([]), &json!([]), &nodes, &json!([]))
        })
        .collect();
    with_definitions(alone("level0", Value::Null), &definitions)
}

#[test]
fn subgraphs_in_themselves_are_refused() {
    let definitions = |inner: &str| {
        let nodes = |class: &str| json!([{ "id": 1, "type": class }]);
        [
            definition("a", &json!([]), &json!([]), &nodes("b"), &json!([])),
            definition("b", &json!([]), &json!([]), &nodes(inner), &json!([])),
        ]
    };
    for inner in ["a", "b"] {
        let document = with_definitions(alone("a", Value::Null), &definitions(inner));
        let error = convert(&document, &info()).unwrap_err();
        assert!(matches!(error, ConvertError::SelfIncluding { .. }), "{error}");
    }
}

#[test]
fn deep_and_wide_nesting_is_refused() {
    assert_eq!(convert(&nested(20, 1), &info()).unwrap().graph.nodes.len(), 1);
    assert_eq!(convert(&nested(20_000, 1), &info()), Err(ConvertError::TooDeep));
    assert_eq!(convert(&nested(25, 10), &info()), Err(ConvertError::TooManyNodes));
}

#[test]
fn values_that_are_repeated_take_bounded_memory() {
    let text = "x".repeat(1 << 20);
    let inner = definition(
        "big",
        &json!([]),
        &json!([]),
        &json!([{ "id": 1, "type": "Save", "widgets_values": [text] }]),
        &json!([]),
    );
    let hosts: Value = (0..2_000).map(|id| json!({ "id": id, "type": "big" })).collect();
    let document = with_definitions(file(&hosts, &json!([])), &[inner]);
    assert_eq!(convert(&document, &info()), Err(ConvertError::TooLarge));
    let mut deep = json!(1);
    for _ in 0..100 {
        deep = json!([deep]);
    }
    assert_eq!(convert(&alone("Save", json!([deep])), &info()), Err(ConvertError::TooDeep));
    let id = "x".repeat(1000);
    assert_eq!(
        convert(&file(&json!([{ "id": id, "type": "Load" }]), &json!([])), &info()),
        Err(ConvertError::LongId)
    );
}

#[test]
fn a_hundred_thousand_nodes_are_converted_and_more_are_refused() {
    let chain = |count: usize| {
        let node = |id: usize| json!({ "id": id, "type": "Tune", "inputs": [{ "name": "model", "type": "MODEL", "link": id }] });
        let nodes: Value = (0..count).map(node).collect();
        let links: Value = (1..count).map(|id| json!([id, id - 1, 0, id, 0, "MODEL"])).collect();
        file(&nodes, &links)
    };
    let start = Instant::now();
    assert_eq!(convert(&chain(MAX_NODES), &info()).unwrap().graph.nodes.len(), MAX_NODES);
    let more: Value = (0..=MAX_NODES).map(|_| Value::Null).collect();
    assert_eq!(convert(&file(&more, &json!([])), &info()), Err(ConvertError::TooManyNodes));
    assert!(start.elapsed() < LIMIT, "{:?}", start.elapsed());
}

#[test]
fn long_ways_through_reroutes_end() {
    // A chain of reroutes, and as many nodes that take what comes out of it.
    let way = |count: usize| {
        let reroute = |id: usize| json!({ "id": id, "type": "Reroute", "inputs": [{ "name": "", "type": "*", "link": id }] });
        let taker = |id: usize| json!({ "id": id, "type": "Tune", "inputs": [{ "name": "model", "type": "MODEL", "link": id }] });
        let nodes = std::iter::once(json!({ "id": 0, "type": "Load" }))
            .chain((1..count).map(reroute))
            .chain((count..2 * count).map(taker));
        let links = (1..2 * count).map(|id| json!([id, id.min(count) - 1, 0, id, 0, "MODEL"]));
        file(&nodes.collect(), &links.collect())
    };
    let start = Instant::now();
    let graph = convert(&way(200), &info()).unwrap().graph.to_json();
    assert_eq!(graph["399"]["inputs"]["model"], json!(["0", 0]));
    assert_eq!(convert(&way(40_000), &info()), Err(ConvertError::TooTangled));
    assert!(start.elapsed() < LIMIT, "{:?}", start.elapsed());
}

#[test]
fn inputs_that_grow_again_and_again_are_refused() {
    // By its last digits each of them is the first, and the second is made anew for it.
    let ids = |node: u64| (node * 4_000)..(node * 4_000 + 4_000);
    let batch = |node: u64| {
        let inputs: Value =
            ids(node).map(|id| json!({ "name": format!("all.{id}x0"), "link": id })).collect();
        json!({ "id": node, "type": "Batch", "inputs": inputs })
    };
    let nodes = std::iter::once(json!({ "id": 0, "type": "Sample" })).chain((1..4).map(batch));
    let links =
        (1..4).flat_map(|node| ids(node).map(move |id| json!([id, 0, 0, node, id % 4_000, "LATENT"])));
    let document = file(&nodes.collect(), &links.collect());
    let start = Instant::now();
    assert_eq!(convert(&document, &info()).err(), Some(ConvertError::TooTangled));
    assert!(start.elapsed() < LIMIT, "{:?}", start.elapsed());
}

/// Any JSON, with the words that files have.
fn anything() -> impl Strategy<Value = Value> {
    let word = prop::sample::select(vec![
        "1",
        "2",
        "-1",
        "-10",
        "a",
        "b",
        "Load",
        "Encode",
        "Sample",
        "Tune",
        "Pick",
        "Batch",
        "Kinds",
        "Reroute",
        "PrimitiveNode",
        "Note",
        "workflow>g",
        "g",
        "model",
        "clip",
        "text",
        "how",
        "*",
        "MODEL",
        "CLIP",
        "exact",
        "",
        "%Load.name%",
        "{a|b",
        "Strange",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-12_i64..6).prop_map(Value::from),
        (-12_i64..6).prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        word.prop_map(Value::from),
    ];
    let key = prop::sample::select(vec![
        "id",
        "type",
        "mode",
        "inputs",
        "outputs",
        "nodes",
        "links",
        "link",
        "linkIds",
        "widgets_values",
        "properties",
        "widget",
        "name",
        "origin_id",
        "origin_slot",
        "target_id",
        "target_slot",
        "proxyWidgets",
        "title",
        "version",
        "definitions",
        "subgraphs",
        "extra",
        "groupNodes",
        "external",
        "config",
        "proxyWidgetErrorQuarantine",
        "originalEntry",
        "hostValue",
        "last_node_id",
        "g",
    ]);
    leaf.prop_recursive(6, 256, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
            prop::collection::vec((key.clone(), inner), 0..8)
                .prop_map(|fields| fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()),
        ]
    })
}

/// A node of some class, with any links and values.
fn node() -> impl Strategy<Value = Value> {
    let class = prop::sample::select(vec![
        "Load",
        "Encode",
        "Sample",
        "Tune",
        "Pick",
        "Batch",
        "Kinds",
        "Any",
        "Reroute",
        "SetNode",
        "GetNode",
        "PrimitiveNode",
        "a",
        "b",
        "workflow>g",
        "Strange",
    ]);
    let input =
        prop::sample::select(vec!["model", "clip", "text", "value", "all.one0", "how.other", "steps", "x"]);
    let inputs = prop::collection::vec((input, prop::option::of(0_u64..8), any::<bool>()), 0..4);
    let proxies =
        prop::collection::vec((-1_i64..6, prop::sample::select(vec!["text", "model", "steps", "x"])), 0..3);
    (0_u64..6, class, prop::sample::select(vec![0, 2, 4]), inputs, anything(), proxies).prop_map(
        |(id, class, mode, inputs, values, proxies)| {
            let input = |(name, link, widget): (&str, Option<u64>, bool)| {
                let widget = widget.then(|| json!({ "name": name }));
                json!({ "name": name, "type": "*", "link": link, "widget": widget })
            };
            let proxies: Value = proxies.into_iter().map(|(id, name)| json!([id.to_string(), name])).collect();
            json!({ "id": id, "type": class, "mode": mode, "widgets_values": values,
                "inputs": inputs.into_iter().map(input).collect::<Value>(), "properties": { "proxyWidgets": proxies } })
        },
    )
}

/// Nodes and links of a root or a subgraph.
fn scope(id: &'static str, objects: bool) -> impl Strategy<Value = Value> {
    let end = || prop_oneof![0_i64..6, Just(-10), Just(-20)];
    let link = (0_u64..8, end(), 0_u64..3, end(), 0_u64..3).prop_map(move |(id, from, slot, to, to_slot)| {
        if objects {
            json!({ "id": id, "origin_id": from, "origin_slot": slot, "target_id": to, "target_slot": to_slot })
        } else {
            json!([id, from, slot, to, to_slot, "*"])
        }
    });
    let slots = || {
        let slot = (prop::sample::select(vec!["model", "text", "x"]), prop::collection::vec(0_u64..8, 0..3));
        let slot = slot.prop_map(|(name, links)| json!({ "name": name, "type": "*", "linkIds": links }));
        prop::collection::vec(slot, 0..3)
    };
    let parts = (prop::collection::vec(node(), 0..6), prop::collection::vec(link, 0..8), slots(), slots());
    parts.prop_map(move |(nodes, links, inputs, outputs)| {
        json!({ "id": id, "name": id, "nodes": nodes, "links": links, "inputs": inputs, "outputs": outputs, "version": 0.4 })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_json_is_converted_or_refused(mut document in anything(), nodes in anything()) {
        let _ = convert(&document, &info());
        if let Some(fields) = document.as_object_mut() {
            fields.insert("nodes".to_owned(), nodes);
            let _ = convert(&document, &info());
        }
    }

    #[test]
    fn any_graph_is_converted_or_refused(
        root in scope("root", false), a in scope("a", true), b in scope("b", true), group in scope("g", false),
    ) {
        let mut document = with_definitions(root, &[a, b]);
        document["extra"] = json!({ "groupNodes": { "g": group } });
        if let Ok(conversion) = convert(&document, &info()) {
            for node in conversion.graph.nodes.values() {
                for (origin, _) in node.inputs.values().filter_map(crate::Input::as_link) {
                    prop_assert!(conversion.graph.nodes.contains_key(origin), "{document}");
                }
            }
        }
    }
}

#[test]
fn endless_lists_of_types_are_not_compared_each_with_each() {
    let (ours, theirs) = ("a,".repeat(1 << 19), "b,".repeat(1 << 19));
    let nodes = json!([
        { "id": 1, "type": "Load" },
        { "id": 2, "type": "Unheard", "mode": 4, "inputs": [{ "name": "in", "type": ours, "link": 1 }],
            "outputs": [{ "name": "out", "type": ours, "links": [2] }] },
        { "id": 3, "type": "Unheard", "inputs": [{ "name": "x", "type": theirs, "link": 2 }] },
    ]);
    let started = Instant::now();
    let graph = converted(&file(&nodes, &json!([[1, 1, 0, 2, 0, ours], [2, 2, 0, 3, 0, theirs]]))).graph;
    assert_eq!(graph.nodes.len(), 2);
    assert!(started.elapsed() < LIMIT, "{:?}", started.elapsed());
}

#[test]
fn comments_and_tokens_without_end_are_passed_over() {
    let started = Instant::now();
    let comments = "/* ".repeat(1 << 20);
    check_inputs("Encode", json!([comments]), &json!({ "text": comments }));
    // Each would stand for a megabyte.
    let tokens = "%Encode.text%".repeat(300);
    let nodes = json!([
        { "id": 1, "type": "Encode", "widgets_values": ["x".repeat(1 << 20)] },
        { "id": 2, "type": "SaveImage", "widgets_values": [tokens] },
    ]);
    let graph = converted(&file(&nodes, &json!([]))).graph;
    assert!(graph.to_json()["2"].to_string().len() < 10_000);
    assert!(started.elapsed() < LIMIT, "{:?}", started.elapsed());
}
