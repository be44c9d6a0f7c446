//! Whether a value suits an input, as ComfyUI decides it: Python's conversions, then bounds, then choices.

use serde_json::Value;

use super::{DiagnosticCode, InputFiles, NEAREST, shortened};
use crate::InputKind;
use crate::graph::type_name;
use crate::nearest::nearest;

/// Inputs whose class takes any text instead of an option, by code of its own.
const ANY_TEXT: [&str; 1] = ["choice"];

/// What is wrong with a value.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) code: DiagnosticCode,
    pub(super) message: String,
}

pub(super) fn check_value(
    name: &str,
    kind: &InputKind,
    value: &Value,
    files: InputFiles<'_>,
) -> Result<(), Fault> {
    let value = unwrapped(value);
    match kind {
        InputKind::Int { min, max, .. } => {
            let number = int(value).ok_or_else(|| unconvertible(name, value, "an integer"))?;
            check_bounds(name, number, *min, *max)
        }
        InputKind::Float { min, max, .. } => {
            let number = float(value).ok_or_else(|| unconvertible(name, value, "a number"))?;
            check_bounds(name, number, *min, *max)
        }
        InputKind::Combo { options: choices, upload: true, .. } => check_file(name, value, choices, files),
        InputKind::Combo { options: choices, multiselect, .. } => match value {
            Value::Array(chosen) if *multiselect => {
                chosen.iter().try_for_each(|chosen| check_choice(name, chosen, choices))
            }
            _ => check_choice(name, value, choices),
        },
        InputKind::String { .. }
        | InputKind::Boolean
        | InputKind::Link { .. }
        | InputKind::Dynamic { .. } => Ok(()),
    }
}

/// What might be meant instead of a value that isn't among the choices, or what there is to choose from.
pub(super) fn choices_hint(kind: &InputKind, value: &Value) -> Option<String> {
    let InputKind::Combo { options, .. } = kind else { return None };
    if options.is_empty() {
        return Some("the server has none to choose from".to_owned());
    }
    let texts: Vec<String> = options.iter().map(text).collect();
    let alike = nearest(&text(unwrapped(value)), texts.iter().map(String::as_str), NEAREST);
    if !alike.is_empty() {
        return Some(format!("did you mean {}", alike.join(" or ")));
    }
    let shown: Vec<String> = texts.iter().take(5).map(|text| shortened(text)).collect();
    let more = if texts.len() > shown.len() {
        format!(" and {} more", texts.len() - shown.len())
    } else {
        String::new()
    };
    Some(format!("choose one of {}{more}", shown.join(", ")))
}

/// ComfyUI lets lists through as `{"__value__": […]}`, because a bare list is a link.
fn unwrapped(value: &Value) -> &Value {
    value.get("__value__").unwrap_or(value)
}

fn check_bounds<T: Copy + PartialOrd + std::fmt::Display>(
    name: &str,
    number: T,
    min: Option<T>,
    max: Option<T>,
) -> Result<(), Fault> {
    if let Some(min) = min.filter(|min| number < *min) {
        let message = format!("{name} is {number}, the least is {min}");
        return Err(Fault { code: DiagnosticCode::ValueSmallerThanMin, message });
    }
    if let Some(max) = max.filter(|max| number > *max) {
        let message = format!("{name} is {number}, the most is {max}");
        return Err(Fault { code: DiagnosticCode::ValueBiggerThanMax, message });
    }
    Ok(())
}

fn check_choice(name: &str, value: &Value, choices: &[Value]) -> Result<(), Fault> {
    let free = choices.is_empty() && ANY_TEXT.contains(&name);
    if free || is_choice(value, choices) {
        return Ok(());
    }
    let message = format!("{name} is {}, which isn't among its choices", shortened(&text(value)));
    Err(Fault { code: DiagnosticCode::ValueNotInList, message })
}

/// The list of a loader holds the files at the top of the input folder; files in folders below it and in the other
/// folders (`name [output]`) are there or not, nobody here can tell.
fn check_file(name: &str, value: &Value, listed: &[Value], files: InputFiles<'_>) -> Result<(), Fault> {
    let Some(file) = value.as_str() else { return Err(unconvertible(name, value, "a file name")) };
    let InputFiles::Known(uploaded) = files else { return Ok(()) };
    let bare = file.strip_suffix(" [input]").unwrap_or(file);
    let elsewhere = bare.contains(['/', '\\']) || bare.ends_with(']');
    let is_known = uploaded.contains(file) || uploaded.contains(bare);
    if elsewhere || is_known || listed.iter().any(|listed| listed.as_str() == Some(bare)) {
        return Ok(());
    }
    let message = format!("{name} names the file {}, which isn't there", shortened(file));
    Err(Fault { code: DiagnosticCode::FileNotFound, message })
}

fn unconvertible(name: &str, value: &Value, wanted: &str) -> Fault {
    let message = format!("{name} is {} ({}), it takes {wanted}", shortened(&text(value)), type_name(value));
    Fault { code: DiagnosticCode::InvalidInputType, message }
}

/// A value as a person would write it.
fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Python's `int()`: fractions are cut off, texts of digits are read.
fn int(value: &Value) -> Option<i128> {
    match value {
        Value::Bool(flag) => Some((*flag).into()),
        Value::Number(number) => {
            let integer = number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from));
            integer.or_else(|| number.as_f64().map(|float| float as i128))
        }
        Value::String(text) => without_underscores(text.trim())?.parse().ok(),
        _ => None,
    }
}

/// Python's `float()`.
fn float(value: &Value) -> Option<f64> {
    match value {
        Value::Bool(flag) => Some(f64::from(u8::from(*flag))),
        Value::Number(number) => number.as_f64(),
        Value::String(text) => without_underscores(text.trim())?.parse().ok(),
        _ => None,
    }
}

/// Python takes `1_000`, but neither `_1` nor `1__0`.
fn without_underscores(text: &str) -> Option<String> {
    let misplaced = text.starts_with('_') || text.ends_with('_') || text.contains("__");
    if misplaced { None } else { Some(text.replace('_', "")) }
}

/// Whether a value is among the choices of a combo.
pub(crate) fn is_choice(value: &Value, choices: &[Value]) -> bool {
    choices.iter().any(|choice| equal(choice, value))
}

/// Python's `==`: numbers are equal whatever their type.
fn equal(a: &Value, b: &Value) -> bool {
    let number =
        |value: &Value| value.as_f64().or_else(|| value.as_bool().map(|flag| f64::from(u8::from(flag))));
    a == b || number(a).is_some_and(|a| number(b).is_some_and(|b| a.total_cmp(&b).is_eq()))
}
