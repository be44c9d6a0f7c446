//! What Python makes of JSON values: the conversions that ComfyUI applies to inputs, and the texts of their errors.

use std::fmt::Write as _;

use serde_json::{Number, Value};

/// An exception that ComfyUI would have raised: the name of its type and `str()` of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Exception {
    pub(crate) kind: &'static str,
    pub(crate) message: String,
}

impl Exception {
    pub(crate) fn key_error(key: &Value) -> Self {
        Self { kind: "KeyError", message: repr(key) }
    }

    pub(crate) fn type_error(message: impl Into<String>) -> Self {
        Self { kind: "TypeError", message: message.into() }
    }
}

/// `int(value)`.
pub(crate) fn int(value: &Value) -> Result<Value, String> {
    match value {
        Value::Number(number) => Ok(truncate(number)),
        Value::Bool(flag) => Ok(Value::from(u8::from(*flag))),
        Value::String(text) => {
            parse_int(text).ok_or_else(|| format!("invalid literal for int() with base 10: {}", repr(value)))
        }
        other => Err(format!(
            "int() argument must be a string, a bytes-like object or a real number, not '{}'",
            type_name(other)
        )),
    }
}

/// `float(value)`.
pub(crate) fn float(value: &Value) -> Result<Value, String> {
    match value {
        Value::Number(number) => Ok(Value::from(number.as_f64().unwrap_or_default())),
        Value::Bool(flag) => Ok(Value::from(f64::from(u8::from(*flag)))),
        Value::String(text) => text
            .trim()
            .parse::<f64>()
            .ok()
            .filter(|number| number.is_finite())
            .map(Value::from)
            .ok_or_else(|| format!("could not convert string to float: {}", repr(value))),
        other => {
            Err(format!("float() argument must be a string or a real number, not '{}'", type_name(other)))
        }
    }
}

/// `bool(value)`.
pub(crate) fn truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(flag) => *flag,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
    }
}

/// `str(value)`.
pub(crate) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => repr(other),
    }
}

/// `repr(value)`, close enough for error texts.
pub(crate) fn repr(value: &Value) -> String {
    let mut out = String::new();
    write_repr(&mut out, value);
    out
}

/// `value < bound` and `value > bound` for numbers; `None` when the two don't compare.
pub(crate) fn compare(value: &Value, bound: &Value) -> Option<std::cmp::Ordering> {
    let (Value::Number(value), Value::Number(bound)) = (value, bound) else { return None };
    match (value.as_i128(), bound.as_i128()) {
        (Some(value), Some(bound)) => Some(value.cmp(&bound)),
        _ => value.as_f64()?.partial_cmp(&bound.as_f64()?),
    }
}

fn truncate(number: &Number) -> Value {
    if number.is_i64() || number.is_u64() {
        return Value::Number(number.clone());
    }
    from_i128(number.as_f64().unwrap_or_default().trunc() as i128)
}

fn parse_int(text: &str) -> Option<Value> {
    let digits = text.trim().replace('_', "");
    digits.parse::<i128>().ok().map(from_i128)
}

fn from_i128(number: i128) -> Value {
    // Outside of 64 bits only the comparison with the bounds is left to do, and it fails.
    Number::from_i128(number).map_or_else(|| Value::from(number as f64), Value::Number)
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "NoneType",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float",
        Value::Number(_) => "int",
        Value::String(_) => "str",
        Value::Array(_) => "list",
        Value::Object(_) => "dict",
    }
}

fn write_repr(out: &mut String, value: &Value) {
    match value {
        Value::Null => out.push_str("None"),
        Value::Bool(true) => out.push_str("True"),
        Value::Bool(false) => out.push_str("False"),
        Value::Number(number) => {
            // Writing to a string can't fail.
            let _ = write!(out, "{number}");
        }
        Value::String(text) => write_quoted(out, text),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                write_repr(out, item);
            }
            out.push(']');
        }
        Value::Object(fields) => {
            out.push('{');
            for (index, (name, field)) in fields.iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                write_quoted(out, name);
                out.push_str(": ");
                write_repr(out, field);
            }
            out.push('}');
        }
    }
}

fn write_quoted(out: &mut String, text: &str) {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(quote);
    for character in text.chars() {
        match character {
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\\' => out.push_str("\\\\"),
            quoted if quoted == quote => {
                out.push('\\');
                out.push(quoted);
            }
            other => out.push(other),
        }
    }
    out.push(quote);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn converts_as_python_does() {
        let ints = [
            (json!("64"), Ok(json!(64))),
            (json!(96.7), Ok(json!(96))),
            (json!(true), Ok(json!(1))),
            (json!(u64::MAX), Ok(json!(u64::MAX))),
            (json!("many"), Err("invalid literal for int() with base 10: 'many'".to_owned())),
        ];
        for (value, expected) in ints {
            assert_eq!(int(&value), expected, "{value}");
        }
        assert_eq!(float(&json!("1.5")), Ok(json!(1.5)));
        assert_eq!(float(&json!("x")), Err("could not convert string to float: 'x'".to_owned()));
        assert_eq!(repr(&json!(["a", 1, null, true, "it's"])), r#"['a', 1, None, True, "it's"]"#);
        assert_eq!(text(&json!(1000.0)), "1000.0");
    }

    #[test]
    fn a_huge_integer_compares_above_every_bound() {
        let huge = int(&json!("99999999999999999999999")).unwrap();
        assert_eq!(compare(&huge, &json!(u64::MAX)), Some(std::cmp::Ordering::Greater));
    }
}
