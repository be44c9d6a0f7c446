//! Values as models and Rust write them, made to fit their schema where it is clear what they mean: a null for an
//! optional property that isn't nullable is left out, and a whole number has no fraction where an integer is wanted.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

/// What can be changed in the values of one schema: found out once, as schemas are long and calls are many.
#[derive(Debug)]
pub(crate) struct Normaliser {
    /// One for each schema inside the schema; the first is the root's. None at all: nothing is ever changed.
    nodes: Vec<Node>,
}

#[derive(Debug, Default)]
struct Node {
    integer: bool,
    /// `allOf`, `anyOf`, `oneOf`.
    branches: Vec<usize>,
    /// In the order of their names.
    properties: Vec<Property>,
    /// `additionalProperties`.
    others: Option<usize>,
    items: Option<usize>,
}

#[derive(Debug)]
struct Property {
    name: String,
    node: Option<usize>,
    /// Optional, and not nullable.
    drops_null: bool,
}

impl Normaliser {
    pub(crate) fn new(schema: &Value) -> Normaliser {
        let mut compiler = Compiler { root: schema, nodes: Vec::new(), known: HashMap::new() };
        compiler.node(schema);
        let mut nodes = compiler.nodes;
        forget_idle(&mut nodes);
        Normaliser { nodes }
    }

    pub(crate) fn normalise(&self, value: &mut Value) {
        self.walk(value, 0, 0);
    }

    fn walk(&self, value: &mut Value, node: usize, depth: usize) {
        const DEEPEST: usize = 64;
        let Some(node) = self.nodes.get(node).filter(|_| depth < DEEPEST) else { return };
        for branch in &node.branches {
            self.walk(value, *branch, depth + 1);
        }
        match value {
            Value::Object(members) => self.walk_object(members, node, depth),
            Value::Array(items) => {
                if let Some(inner) = node.items {
                    for item in items {
                        self.walk(item, inner, depth + 1);
                    }
                }
            }
            Value::Number(number) if node.integer => {
                // Up to 2^53 a float says exactly which integer it means.
                if let Some(float) = number.as_f64().filter(|_| number.is_f64())
                    && float.fract() == 0.0
                    && float.abs() <= 9_007_199_254_740_992.0
                {
                    *value = json!(float as i64);
                }
            }
            _ => {}
        }
    }

    fn walk_object(&self, members: &mut Map<String, Value>, node: &Node, depth: usize) {
        if node.properties.is_empty() && node.others.is_none() {
            return;
        }
        members.retain(|name, value| {
            let property = node.properties.binary_search_by(|property| property.name.as_str().cmp(name));
            let inner = match property.map(|index| &node.properties[index]) {
                Ok(property) if value.is_null() => return !property.drops_null,
                Ok(property) => property.node,
                Err(_) => node.others,
            };
            if let Some(inner) = inner {
                self.walk(value, inner, depth + 1);
            }
            true
        });
    }
}

struct Compiler<'a> {
    root: &'a Value,
    nodes: Vec<Node>,
    /// The nodes by the place of their schema, so that schemas which contain themselves end.
    known: HashMap<*const Map<String, Value>, usize>,
}

impl Compiler<'_> {
    /// `None` for a schema that is a boolean.
    fn node(&mut self, schema: &Value) -> Option<usize> {
        let schema = resolve(schema, self.root)?;
        let place = std::ptr::from_ref(schema);
        if let Some(node) = self.known.get(&place) {
            return Some(*node);
        }
        let index = self.nodes.len();
        self.nodes.push(Node::default());
        self.known.insert(place, index);
        let branches =
            ["allOf", "anyOf", "oneOf"].into_iter().filter_map(|keyword| schema.get(keyword)?.as_array());
        let node = Node {
            integer: schema.get("type").is_some_and(|kind| kind == "integer"),
            branches: branches.flatten().filter_map(|branch| self.node(branch)).collect(),
            properties: self.properties(schema),
            others: schema.get("additionalProperties").and_then(|others| self.node(others)),
            items: schema.get("items").and_then(|items| self.node(items)),
        };
        self.nodes[index] = node;
        Some(index)
    }

    fn properties(&mut self, schema: &Map<String, Value>) -> Vec<Property> {
        let required = schema.get("required").and_then(Value::as_array);
        let needed = |name: &str| required.is_some_and(|required| required.iter().any(|other| other == name));
        let all = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
        let mut properties: Vec<Property> = all
            .map(|(name, property)| Property {
                drops_null: !needed(name) && !allows_null(property, self.root),
                node: self.node(property),
                name: name.clone(),
            })
            .collect();
        properties.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        properties
    }
}

/// Cuts the links to nodes below which nothing can be changed; of a property the name is kept, as it is not another one.
fn forget_idle(nodes: &mut Vec<Node>) {
    let mut active = vec![false; nodes.len()];
    loop {
        let before = active.clone();
        for (index, node) in nodes.iter().enumerate() {
            let below = node.properties.iter().filter_map(|property| property.node);
            let below = below.chain(node.branches.iter().copied()).chain(node.others).chain(node.items);
            active[index] = node.integer
                || node.properties.iter().any(|property| property.drops_null)
                || below.into_iter().any(|inner| before[inner]);
        }
        if active == before {
            break;
        }
    }
    if active.first() != Some(&true) {
        nodes.clear();
    }
    for node in nodes {
        node.branches.retain(|inner| active[*inner]);
        node.others = node.others.filter(|inner| active[*inner]);
        node.items = node.items.filter(|inner| active[*inner]);
        for property in &mut node.properties {
            property.node = property.node.filter(|inner| active[*inner]);
        }
    }
}

fn allows_null(schema: &Value, root: &Value) -> bool {
    let Some(schema) = resolve(schema, root) else { return true };
    let named = |keyword: &str| schema.get(keyword);
    let kind = match named("type") {
        Some(Value::String(kind)) => kind == "null",
        Some(Value::Array(kinds)) => kinds.iter().any(|kind| kind == "null"),
        _ => true,
    };
    let branches = ["anyOf", "oneOf"].iter().filter_map(|keyword| named(keyword)?.as_array());
    kind && named("enum").and_then(Value::as_array).is_none_or(|values| values.iter().any(Value::is_null))
        && named("const").is_none_or(Value::is_null)
        && branches.into_iter().all(|branches| branches.iter().any(|branch| allows_null(branch, root)))
}

/// Follows a reference into `$defs`; `None` for a schema that is a boolean.
fn resolve<'a>(schema: &'a Value, root: &'a Value) -> Option<&'a Map<String, Value>> {
    let map = schema.as_object()?;
    match map.get("$ref").and_then(Value::as_str).and_then(|target| target.strip_prefix("#/$defs/")) {
        Some(name) => root.get("$defs")?.get(name)?.as_object(),
        None => Some(map),
    }
}
