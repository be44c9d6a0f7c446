//! JSON schemas from Rust types, without the bytes that say nothing to a model.

mod normalise;

use std::collections::HashMap;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

pub(crate) use normalise::Normaliser;

/// The schema of a tool's arguments.
pub(crate) fn input<T: JsonSchema>() -> Value {
    let generator = SchemaSettings::draft2020_12().for_deserialize().into_generator();
    let mut schema = generator.into_root_schema_for::<T>().to_value();
    compact(&mut schema, Descriptions::Keep);
    close(&mut schema);
    schema
}

/// The schema of a tool's structured content. Its descriptions are left out: the names have to do.
pub(crate) fn output<T: JsonSchema>() -> Value {
    let generator = SchemaSettings::draft2020_12().for_serialize().into_generator();
    let mut schema = generator.into_root_schema_for::<T>().to_value();
    compact(&mut schema, Descriptions::Drop);
    schema
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Descriptions {
    Keep,
    Drop,
}

fn compact(schema: &mut Value, descriptions: Descriptions) {
    simplify(schema, descriptions);
    if let Value::Object(root) = schema {
        root.shift_remove("description");
        if !root.contains_key("type") && (root.contains_key("oneOf") || root.contains_key("anyOf")) {
            root.shift_insert(0, "type".to_owned(), json!("object"));
        }
    }
    inline_definitions(schema);
}

/// Calls `act` with every schema directly inside `schema`.
fn each_subschema(schema: &mut Map<String, Value>, act: &mut dyn FnMut(&mut Value)) {
    for (keyword, value) in schema.iter_mut() {
        match (keyword.as_str(), value) {
            ("properties" | "$defs" | "patternProperties" | "dependentSchemas", Value::Object(map)) => {
                map.values_mut().for_each(&mut *act);
            }
            ("allOf" | "anyOf" | "oneOf" | "prefixItems", Value::Array(list)) => {
                list.iter_mut().for_each(&mut *act);
            }
            (
                "items"
                | "additionalProperties"
                | "contains"
                | "not"
                | "if"
                | "then"
                | "else"
                | "propertyNames",
                inner,
            ) => act(inner),
            _ => {}
        }
    }
}

fn simplify(schema: &mut Value, descriptions: Descriptions) {
    let Value::Object(map) = schema else { return };
    map.shift_remove("$schema");
    map.shift_remove("title");
    if matches!(map.get("type").and_then(Value::as_str), Some("integer" | "number"))
        || map.get("type").is_some_and(Value::is_array)
    {
        map.shift_remove("format");
    }
    if map.get("default").is_some_and(Value::is_null) {
        map.shift_remove("default");
    }
    match descriptions {
        Descriptions::Drop => _ = map.shift_remove("description"),
        Descriptions::Keep => {
            if let Some(Value::String(text)) = map.get_mut("description") {
                *text = text.split_whitespace().collect::<Vec<_>>().join(" ");
            }
        }
    }
    make_optional(map);
    each_subschema(map, &mut |inner| simplify(inner, descriptions));
    join_constants(map);
}

/// A property that may be null becomes one that may be absent.
fn make_optional(object: &mut Map<String, Value>) {
    let Some(Value::Object(properties)) = object.get_mut("properties") else { return };
    let mut optional = Vec::new();
    for (name, property) in properties.iter_mut() {
        if let Value::Object(property) = property
            && remove_null(property)
        {
            optional.push(name.clone());
        }
    }
    if let Some(Value::Array(required)) = object.get_mut("required") {
        required.retain(|name| !optional.iter().any(|optional| name == optional));
        if required.is_empty() {
            object.shift_remove("required");
        }
    }
}

/// Takes null out of what a schema allows; true if it was allowed.
fn remove_null(schema: &mut Map<String, Value>) -> bool {
    let mut removed = false;
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        removed |= types.iter().any(|kind| kind == "null");
        types.retain(|kind| kind != "null");
        if let [single] = types.as_slice() {
            let single = single.clone();
            schema.insert("type".to_owned(), single);
        }
    }
    if let Some(Value::Array(values)) = schema.get_mut("enum") {
        removed |= values.iter().any(Value::is_null);
        values.retain(|value| !value.is_null());
    }
    for keyword in ["anyOf", "oneOf"] {
        let Some(Value::Array(branches)) = schema.get_mut(keyword) else { continue };
        let before = branches.len();
        branches.retain(|branch| branch.get("type").is_none_or(|kind| kind != "null"));
        removed |= branches.len() < before;
        if let [Value::Object(only)] = branches.as_slice() {
            let only = only.clone();
            schema.shift_remove(keyword);
            merge_under(schema, only);
        }
    }
    removed
}

/// Adds the members of `below` that `schema` doesn't have.
fn merge_under(schema: &mut Map<String, Value>, below: Map<String, Value>) {
    for (keyword, value) in below {
        schema.entry(keyword).or_insert(value);
    }
}

/// An enum of bare strings, which schemars writes as one branch for each kind of variant.
fn join_constants(schema: &mut Map<String, Value>) {
    let Some(Value::Array(branches)) = schema.get("oneOf") else { return };
    let mut values = Vec::new();
    for branch in branches {
        let Value::Object(branch) = branch else { return };
        if branch.get("type").is_none_or(|kind| kind != "string") || branch.len() != 2 {
            return;
        }
        match (branch.get("const"), branch.get("enum")) {
            (Some(value), None) => values.push(value.clone()),
            (None, Some(Value::Array(several))) => values.extend(several.iter().cloned()),
            _ => return,
        }
    }
    schema.shift_remove("oneOf");
    schema.insert("type".to_owned(), json!("string"));
    schema.insert("enum".to_owned(), Value::Array(values));
}

/// Puts a definition in the place of its references where that is shorter, until nothing changes.
fn inline_definitions(root: &mut Value) {
    while let Some((name, definition)) = next_to_inline(root) {
        replace_references(root, &pointer(&name), &definition);
        if let Some(Value::Object(definitions)) = root.get_mut("$defs") {
            definitions.shift_remove(&name);
        }
    }
    if let Value::Object(root) = root
        && root.get("$defs").and_then(Value::as_object).is_some_and(Map::is_empty)
    {
        root.shift_remove("$defs");
    }
}

fn next_to_inline(root: &mut Value) -> Option<(String, Value)> {
    let mut uses = HashMap::new();
    count_references(root, &mut uses);
    let definitions = root.get("$defs")?.as_object()?.clone();
    definitions.into_iter().find(|(name, definition)| {
        let pointer = pointer(name);
        let uses = uses.get(&pointer).copied().unwrap_or(0);
        let mut inner = HashMap::new();
        count_references(&mut definition.clone(), &mut inner);
        let size = definition.to_string().len();
        let reference = json!({ "$ref": pointer }).to_string().len();
        // A definition that refers to others waits until they are settled; one that refers to itself stays.
        inner.is_empty() && uses * size <= size + name.len() + 4 + uses * reference
    })
}

fn pointer(name: &str) -> String {
    format!("#/$defs/{name}")
}

fn count_references(schema: &mut Value, uses: &mut HashMap<String, usize>) {
    let Value::Object(map) = schema else { return };
    if let Some(Value::String(target)) = map.get("$ref") {
        *uses.entry(target.clone()).or_default() += 1;
    }
    each_subschema(map, &mut |inner| count_references(inner, uses));
}

fn replace_references(schema: &mut Value, target: &str, definition: &Value) {
    let Value::Object(map) = schema else { return };
    if map.get("$ref").is_some_and(|reference| reference == target) {
        map.shift_remove("$ref");
        if let Value::Object(definition) = definition {
            merge_under(map, definition.clone());
        }
    }
    each_subschema(map, &mut |inner| replace_references(inner, target, definition));
}

/// Makes arguments that the schema doesn't name an error.
fn close(schema: &mut Value) {
    let Value::Object(map) = schema else { return };
    let composed = ["allOf", "anyOf", "oneOf", "$ref"].iter().any(|keyword| map.contains_key(*keyword));
    if map.get("type").is_some_and(|kind| kind == "object") && !composed {
        map.entry("additionalProperties").or_insert(Value::Bool(false));
    }
    each_subschema(map, &mut close);
}

#[cfg(test)]
mod tests;
