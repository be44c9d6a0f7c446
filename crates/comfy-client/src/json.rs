//! JSON as Python writes it: `NaN` and `Infinity` are read as null.

use serde::de::DeserializeOwned;

/// Parses `bytes`; when that fails and there are tokens that only Python writes, parses again without them.
///
/// Custom nodes return `float("nan")` to say "changed", and ComfyUI writes it into queue and history as it is.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, serde_json::Error> {
    match serde_json::from_slice(bytes) {
        Ok(value) => Ok(value),
        Err(error) => match without_python_numbers(bytes) {
            Some(cleaned) => serde_json::from_slice(&cleaned),
            None => Err(error),
        },
    }
}

fn without_python_numbers(bytes: &[u8]) -> Option<Vec<u8>> {
    const TOKENS: [&[u8]; 3] = [b"-Infinity", b"Infinity", b"NaN"];
    let mut cleaned = Vec::with_capacity(bytes.len());
    let (mut at, mut in_string, mut found) = (0, false, false);
    while let Some(&byte) = bytes.get(at) {
        if in_string {
            let len = if byte == b'\\' { 2 } else { 1 };
            in_string = byte != b'"';
            cleaned.extend_from_slice(&bytes[at..bytes.len().min(at + len)]);
            at += len;
        } else if let Some(token) = TOKENS.iter().find(|token| bytes[at..].starts_with(token)) {
            cleaned.extend_from_slice(b"null");
            at += token.len();
            found = true;
        } else {
            in_string = byte == b'"';
            cleaned.push(byte);
            at += 1;
        }
    }
    found.then_some(cleaned)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::parse;

    #[test]
    fn python_numbers_are_null_and_strings_stay() {
        let check = |text: &str, expect: Value| {
            assert_eq!(parse::<Value>(text.as_bytes()).unwrap(), expect, "{text}");
        };
        check(r#"{"a":[NaN,-Infinity,Infinity,1]}"#, json!({"a": [null, null, null, 1]}));
        check(r#"{"NaN \" NaN":NaN,"s":"a\\"}"#, json!({"NaN \" NaN": null, "s": "a\\"}));
        check(r#"{"seed":18446744073709551615}"#, json!({"seed": u64::MAX}));
    }

    #[test]
    fn garbage_is_an_error() {
        for text in ["", "<html>", "NaN,", "\"\\", "{\"a\":NaN", "\"NaN"] {
            assert!(parse::<Value>(text.as_bytes()).is_err(), "{text}");
        }
    }
}
