//! Whether two graphs in the API format are the same, up to the ids that nodes of subgraphs have.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use serde_json::Value;

/// Longer values are cut in messages.
const MAX_SHOWN: usize = 120;

/// What differs: the same nodes, classes and inputs are expected. `_meta` doesn't count, and what follows the first colon
/// of an id may be something else as long as it is the same everywhere.
pub(super) fn differences(expected: &Value, got: &Value) -> Vec<String> {
    let (Value::Object(expected), Value::Object(got)) = (expected, got) else {
        return vec!["a graph is an object".to_owned()];
    };
    let (expected, got) = (Nodes::new(expected), Nodes::new(got));
    let identity: HashMap<&str, &str> = expected.0.keys().map(|id| (*id, *id)).collect();
    let as_written = under(&expected, &got, &identity);
    if as_written.is_empty() {
        return as_written;
    }
    let names = renaming(&expected, &got);
    let renamed = under(&expected, &got, &names);
    if renamed.len() < as_written.len() { renamed } else { as_written }
}

/// Nodes by id, each with its class and inputs.
struct Nodes<'a>(BTreeMap<&'a str, (&'a str, BTreeMap<&'a str, &'a Value>)>);

impl<'a> Nodes<'a> {
    fn new(graph: &'a serde_json::Map<String, Value>) -> Nodes<'a> {
        let nodes = graph.iter().map(|(id, node)| {
            let class = node.get("class_type").and_then(Value::as_str).unwrap_or_default();
            let inputs = node.get("inputs").and_then(Value::as_object).into_iter().flatten();
            (id.as_str(), (class, inputs.map(|(name, value)| (name.as_str(), value)).collect()))
        });
        Nodes(nodes.collect())
    }

    /// The node and slot that a value links to.
    fn link(&self, value: &'a Value) -> Option<(&'a str, u64)> {
        let [Value::String(node), slot] = value.as_array()?.as_slice() else { return None };
        self.0.contains_key(node.as_str()).then_some((node.as_str(), slot.as_u64()?))
    }
}

/// What differs when the nodes of `expected` have these names in `got`.
fn under(expected: &Nodes<'_>, got: &Nodes<'_>, names: &HashMap<&str, &str>) -> Vec<String> {
    let mut found = Vec::new();
    let mut seen = HashSet::new();
    for (id, (class, inputs)) in &expected.0 {
        let Some((name, (got_class, got_inputs))) = names.get(id).and_then(|name| got.0.get_key_value(name))
        else {
            found.push(format!("node {id} ({class}) is missing"));
            continue;
        };
        seen.insert(*name);
        if class != got_class {
            found.push(format!("node {id}: class {class} expected, got {got_class}"));
        }
        let all: BTreeSet<&str> = inputs.keys().chain(got_inputs.keys()).copied().collect();
        for input in all {
            let (wanted, came) = (inputs.get(input).copied(), got_inputs.get(input).copied());
            let same = match (wanted, came) {
                (Some(wanted), Some(came)) => match (expected.link(wanted), got.link(came)) {
                    (Some((node, slot)), Some((other, other_slot))) => {
                        names.get(node) == Some(&other) && slot == other_slot
                    }
                    _ => equal(wanted, came),
                },
                _ => false,
            };
            if !same {
                let (wanted, came) = (shown(wanted), shown(came));
                found.push(format!("node {id} ({class}), input {input}: {wanted} expected, got {came}"));
            }
        }
    }
    for (id, (class, _)) in &got.0 {
        if !seen.contains(id) {
            found.push(format!("node {id} ({class}) is one too many"));
        }
    }
    found
}

/// Which node of `got` each node of `expected` is, told by what they hold and what they are linked to.
fn renaming<'a>(expected: &Nodes<'a>, got: &Nodes<'a>) -> HashMap<&'a str, &'a str> {
    let (mut colours, mut other_colours) = (colours(expected), colours(got));
    let mut names = HashMap::new();
    let mut taken = HashSet::new();
    // Nodes that look the same in every way are told apart by pairing two of them and looking again.
    loop {
        for _ in 0..expected.0.len().min(64) {
            let count = distinct(&colours);
            colours = refine(expected, &colours);
            other_colours = refine(got, &other_colours);
            if distinct(&colours) == count {
                break;
            }
        }
        let mut by_colour: HashMap<u64, Vec<&str>> = HashMap::new();
        for (id, colour) in &other_colours {
            if !taken.contains(id) {
                by_colour.entry(*colour).or_default().push(id);
            }
        }
        let mut ambiguous = None;
        for id in expected.0.keys() {
            if names.contains_key(id) {
                continue;
            }
            match by_colour.get(&colours[id]).map(Vec::as_slice) {
                Some([only]) if taken.insert(*only) => {
                    names.insert(*id, *only);
                }
                Some([first, ..]) if ambiguous.is_none() => ambiguous = Some((*id, *first)),
                _ => {}
            }
        }
        let Some((id, other)) = ambiguous.filter(|(_, other)| taken.insert(other)) else { break };
        names.insert(id, other);
        let own = names.len() as u64;
        colours.insert(id, own);
        other_colours.insert(other, own);
    }
    // What is left differs somewhere; what looks the same by itself, or has the same id, or else the same class, is the
    // best guess for a message.
    let (own, others) = (self::colours(expected), self::colours(got));
    for (id, (class, _)) in &expected.0 {
        if names.contains_key(id) {
            continue;
        }
        let inner = id.contains(':');
        let candidates: Vec<&str> = got.0.keys().copied().filter(|other| !taken.contains(other)).collect();
        let guess = candidates
            .iter()
            .filter(|other| {
                if inner {
                    other.split(':').next() == id.split(':').next()
                        && other.contains(':')
                        && got.0[*other].0 == *class
                } else {
                    *other == id
                }
            })
            .max_by_key(|other| (own[id] == others[*other], *other == id));
        if let Some(guess) = guess {
            taken.insert(guess);
            names.insert(id, guess);
        }
    }
    names
}

/// What a node shows by itself: its class, the values of its inputs, and its id if that has to stay.
fn colours<'a>(nodes: &Nodes<'a>) -> HashMap<&'a str, u64> {
    let colour = |id: &str, class: &str, inputs: &BTreeMap<&str, &'a Value>| {
        let mut hasher = DefaultHasher::new();
        class.hash(&mut hasher);
        // Of a node inside the outermost id stays.
        id.split_inclusive(':').next().hash(&mut hasher);
        for (name, value) in inputs {
            name.hash(&mut hasher);
            match nodes.link(value) {
                Some((_, slot)) => slot.hash(&mut hasher),
                None => canonical(value).hash(&mut hasher),
            }
        }
        hasher.finish()
    };
    nodes.0.iter().map(|(id, (class, inputs))| (*id, colour(id, class, inputs))).collect()
}

/// The colours with those of the nodes on both ends of the links in them.
fn refine<'a>(nodes: &Nodes<'a>, colours: &HashMap<&'a str, u64>) -> HashMap<&'a str, u64> {
    let mut to: HashMap<&str, Vec<u64>> = HashMap::new();
    let mut refined = HashMap::new();
    for (id, (_, inputs)) in &nodes.0 {
        let mut hasher = DefaultHasher::new();
        colours[id].hash(&mut hasher);
        for (name, value) in inputs {
            if let Some((node, slot)) = nodes.link(value) {
                (name, slot, colours[node]).hash(&mut hasher);
                let mut end = DefaultHasher::new();
                (name, slot, colours[id]).hash(&mut end);
                to.entry(node).or_default().push(end.finish());
            }
        }
        refined.insert(*id, hasher.finish());
    }
    for (id, colour) in &mut refined {
        let mut ends = to.remove(id).unwrap_or_default();
        ends.sort_unstable();
        let mut hasher = DefaultHasher::new();
        (*colour, ends).hash(&mut hasher);
        *colour = hasher.finish();
    }
    refined
}

fn distinct(colours: &HashMap<&str, u64>) -> usize {
    colours.values().collect::<HashSet<_>>().len()
}

/// The editor has one kind of number: 8 and 8.0 are the same, and seeds beyond 2^53 are rounded in its files.
fn equal(a: &Value, b: &Value) -> bool {
    canonical(a) == canonical(b)
}

fn canonical(value: &Value) -> String {
    match value {
        Value::Number(number) => format!("{:?}", number.as_f64()),
        Value::Array(items) => {
            items.iter().fold("[".to_owned(), |text, item| text + &canonical(item) + ",") + "]"
        }
        Value::Object(fields) => {
            let sorted: BTreeMap<_, _> = fields.iter().collect();
            let fields = sorted.into_iter().map(|(name, value)| format!("{name:?}:{},", canonical(value)));
            format!("{{{}}}", fields.collect::<String>())
        }
        other => other.to_string(),
    }
}

fn shown(value: Option<&Value>) -> String {
    let Some(value) = value else { return "nothing".to_owned() };
    let text = value.to_string();
    match text.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
